"""Where a sort is cut: exact cuts by histogram refinement, and the sampled splitters of a partition into buckets.

`find` is Histogram Sort with Sampling (Yang, Harsh, Solomonik 2019): in each round every rank samples the keys that may
still be the one looked for, all count the keys below each sample, and the counts narrow the search. The cuts are exact,
and equal keys are divided by origin (lower ranks first), so that heavy duplicates are cut like any other keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import partition
from hpckit.spmd.arrays import exscan_sums

if TYPE_CHECKING:
    from hpckit.spmd import Context

SAMPLES_PER_TARGET = 64  # expected in each round of `find`: it takes about log64(keys) rounds
CELLS_MAX = 1 << 14  # of a classifier's table: 32 KiB, it stays in the first cache
CELLS_PER_BUCKET = 16
GAP_SHARE = 32
ROUNDED_MAX = 2.0  # how much larger than the mean the largest bucket may be for splitters at the edges of cells
WORD_MAX = (1 << 64) - 1


def find(context: Context, keys: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Cut the ranks' sorted `keys` (1-D, any dtype NumPy can search) at global positions. Collective.

    `targets` (int64, the same on all ranks) are positions in the sorted order of all keys of all ranks, 0 … their
    number; among equal keys those of lower ranks come first, on a rank in the order given. Returns int64 cuts:
    keys[:cuts[j]] are this rank's part of the first targets[j] keys, so the cuts of all ranks add up to targets[j].
    """
    targets = np.asarray(targets, np.int64)
    total = context.allreduce(len(keys))
    search = _Search(targets, len(keys), total)
    searched = search.open.copy()
    trip = 0
    while search.open.any():  # alike on every rank: it follows from global counts
        probes = _sample(context, keys, search, trip)
        local = np.stack([np.searchsorted(keys, probes, "left"), np.searchsorted(keys, probes, "right")])
        search.narrow(local, context.allreduce(local.astype(np.int64)))
        trip += 1
    cuts = np.where(targets > 0, len(keys), 0)  # of targets 0 and `total`
    cuts[searched] = _divide_ties(context, search.low, search.high, targets - search.below)[searched]
    return cuts


class _Search:
    """For each target the keys among which it is known to be: this rank's keys[low:high], `below` … `above` of all."""

    def __init__(self, targets: np.ndarray, count: int, total: int) -> None:
        self.targets = targets
        self.open = (targets > 0) & (targets < total)
        self.low, self.high = np.zeros_like(targets), np.full_like(targets, count)
        self.below, self.above = np.zeros_like(targets), np.full_like(targets, total)

    def narrow(self, local: np.ndarray, everywhere: np.ndarray) -> None:
        """Take in how many keys are (less than, at most) each probe on this rank, and on all of them. Local.

        A target at or inside a run of keys equal to a probe is found: low:high becomes that run.
        """
        at = np.searchsorted(everywhere[0], self.targets, "right") - 1  # the last probe that begins at or before it
        has, has_next = self.open & (at >= 0), self.open & (at + 1 < everywhere.shape[1])
        found = has & (self.targets <= everywhere[1][at])
        inside, after = at[found], at[has & ~found]
        self.low[found], self.high[found], self.below[found] = local[0][inside], local[1][inside], everywhere[0][inside]
        self.open[found] = False
        rest = has & ~found
        self.low[rest] = np.maximum(self.low[rest], local[1][after])
        self.below[rest] = np.maximum(self.below[rest], everywhere[1][after])
        rest = has_next & ~found
        before = at[rest] + 1
        self.high[rest] = np.minimum(self.high[rest], local[0][before])
        self.above[rest] = np.minimum(self.above[rest], everywhere[0][before])


def _sample(context: Context, keys: np.ndarray, search: _Search, trip: int) -> np.ndarray:
    """About SAMPLES_PER_TARGET keys of all ranks out of each open interval, sorted, each once. Collective.

    Chance decides how fast the search is, never what it finds.
    """
    chance = np.random.default_rng([context.rank, trip])
    places = []
    for j in np.flatnonzero(search.open).tolist():
        low, high = int(search.low[j]), int(search.high[j])
        within = int(search.above[j] - search.below[j])
        if within <= SAMPLES_PER_TARGET:
            places.append(np.arange(low, high))
        elif high > low:
            count = chance.binomial(high - low, SAMPLES_PER_TARGET / within)
            places.append(chance.integers(low, high, count))
    mine = keys[np.unique(np.concatenate(places))] if places else keys[:0]
    return np.unique(np.concatenate(context.allgather(mine)))


def _divide_ties(context: Context, low: np.ndarray, high: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Cuts in runs of equal keys low:high so that `wanted` of all ranks' come before, lower ranks' first.
    Collective."""
    ties = high - low
    return low + np.clip(wanted - exscan_sums(context, ties), 0, ties)


class Classifier:
    """Buckets of words: bucket b holds the words from splitters[b - 1] up to, but without, splitters[b]. Local.

    A table over equal cells between the first and the last splitter gives the bucket of a cell's least word, and a
    branchless binary search over the few splitters within a cell the rest, so that evenly spread words take one look-up
    and any others at most the steps of a binary search. The widest gap between two splitters takes few cells only.
    """

    def __init__(self, splitters: np.ndarray, gap: tuple[int, int] = (0, 0), shift: int | None = None) -> None:
        """From ascending, distinct uint64 splitters, one less than there are buckets, which `gap` (see widest_gap) has
        brought closer; cells are 2^shift words wide."""
        self.gap = gap
        self.buckets = len(splitters) + 1
        self.shift = cell_shift(splitters) if shift is None else shift
        first, last = (int(splitters[0]), int(splitters[-1])) if len(splitters) else (0, 0)
        self.low = max(0, first - (1 << self.shift))  # so that no splitter is within the first cell if it can be
        cells = ((last - self.low) >> self.shift) + 1
        starts = (np.arange(cells, dtype=np.uint64) << np.uint64(self.shift)) + np.uint64(self.low)
        before = np.searchsorted(splitters, starts, "right")
        before[0] = 0  # this cell takes all smaller words as well
        after = np.searchsorted(splitters, starts[1:] - np.uint64(1), "right")
        within = np.append(after, len(splitters)) - before
        self.steps = int(within.max()).bit_length()
        self.table = np.append(before, 0).astype(np.uint16)  # the last is padding
        self.splitters = np.append(splitters, np.full(1 << self.steps, WORD_MAX, np.uint64))
        alone = np.zeros(self.buckets, bool)
        alone[1:-1] = splitters[:-1] + np.uint64(1) == splitters[1:]
        self.constant = alone  # of each bucket, whether it holds one word only

    @property
    def rule(self) -> tuple[int, int, int, int, int, np.ndarray, np.ndarray, int]:
        """What the kernels take."""
        return *self.gap, self.low, self.shift, self.steps, self.table, self.splitters, self.buckets


def cell_shift(splitters: np.ndarray) -> int:
    """Cells of 2^this words make a table of at most CELLS_MAX (and a few) between the outer splitters. Local."""
    span = int(splitters[-1] - splitters[0]) if len(splitters) else 0
    cells = min(CELLS_MAX, CELLS_PER_BUCKET << len(splitters).bit_length())
    return max(0, span.bit_length() - (cells.bit_length() - 1))


def widest_gap(splitters: np.ndarray) -> tuple[int, int]:
    """(above, skip): bring words from `above` on down by `skip`, and no two splitters meet that did not. Local.

    The widest gap between splitters becomes a GAP_SHARE-th of the rest, but at least two words; (0, 0) if it is less.
    """
    if len(splitters) < 3:
        return 0, 0
    gaps = np.diff(splitters)
    at = int(gaps.argmax())
    rest = int(splitters[-1] - splitters[0]) - int(gaps[at])
    skip = int(gaps[at]) - max(2, rest // GAP_SHARE)
    return (int(splitters[at + 1]), skip) if skip > 0 else (0, 0)


def closer(words: np.ndarray, gap: tuple[int, int]) -> np.ndarray:
    """What becomes of ascending words outside the gap. Local."""
    above, skip = gap
    return words - np.where(words >= np.uint64(above), np.uint64(skip), np.uint64(0))


def choose(context: Context, sample: np.ndarray, buckets: int) -> Classifier:
    """Buckets of about equal numbers of words, from a sample (uint64) of each rank's words. Collective.

    A word that is worth more than one bucket gets one of its own. Up to 2 · `buckets` buckets.
    """
    samples = context.allgather(sample)
    with context.agreed("choosing the buckets of a sort"):
        return _chosen(np.sort(np.concatenate(samples)), buckets)


def _chosen(words: np.ndarray, buckets: int) -> Classifier:
    """As `choose`, from the samples of all ranks in order. Local."""
    if not len(words):
        return Classifier(words)
    picked = words[np.arange(1, buckets) * len(words) // buckets]
    values, times = np.unique(picked, return_counts=True)
    heavy = values[(times > 1) & (values < WORD_MAX)] + np.uint64(1)
    values = np.unique(np.concatenate([values, heavy]))
    gap = widest_gap(values)
    values = closer(values, gap)
    shift = cell_shift(values)
    rounded = values[:0] if len(heavy) or not len(values) else _rounded(values, shift)
    if len(rounded):
        found = Classifier(rounded, gap, shift)
        ids, counts = np.empty(len(words), np.uint16), np.zeros(found.buckets, np.int64)
        partition.classify(words, 0, *found.rule, ids, counts)
        if counts.max() * buckets <= ROUNDED_MAX * len(words):
            return found
    return Classifier(values, gap, shift)


def _rounded(splitters: np.ndarray, shift: int) -> np.ndarray:
    """Splitters moved up to the next cell's beginning, so that the table alone finds a word's bucket. Local.

    Empty where two of them, or the end of the range of words, are less than a cell apart.
    """
    cell = np.uint64(1 << shift)
    if int(splitters[-1]) + (1 << shift) > WORD_MAX:
        return splitters[:0]
    rounded = (splitters + (cell - np.uint64(1))) >> np.uint64(shift) << np.uint64(shift)
    return rounded if (rounded[1:] > rounded[:-1]).all() else splitters[:0]

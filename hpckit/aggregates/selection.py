"""Order statistics of groups whose values lie on all ranks, without moving the values.

Every rank counts how many of its values lie below some pivots; the counts are summed over the ranks, and the interval
that holds the wanted value shrinks to a sixteenth each round (the multi-way form of bisection; cf. parallel selection
in Saukas and Song, 1999). Words are 64-bit integers, so there are at most 16 rounds, whatever their distribution, and
the result is exact. Compared with an exchange this sends counts instead of values, and no rank holds a whole group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels.runs import count_below, narrow

if TYPE_CHECKING:
    from hpckit.aggregates.peers import Peers
    from hpckit.aggregates.values import Run

PIVOTS = 15
GROUPS_MAX = 1 << 15  # all ranks hold all groups and their pivots
PAIRS_PER_GROUP = 256  # about as many values are sent in the time of one group's search


def pays(pairs: int, groups: int) -> bool:
    """Whether to search rather than to exchange, from the number of pairs and groups on all ranks together."""
    return 0 < groups <= GROUPS_MAX and pairs >= PAIRS_PER_GROUP * groups


class Segments:
    """The values of one run by group: `numbers` are the run's group ids as all ranks number them."""

    def __init__(self, run: Run, numbers: np.ndarray, groups: int) -> None:
        ids, words, counts = run
        sums = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=sums[1:])
        self._run = np.ascontiguousarray(words), sums
        places = np.searchsorted(ids, np.arange(len(numbers) + 1))
        self.begin, self.end = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
        self.begin[numbers], self.end[numbers] = places[:-1], places[1:]
        self._base = self.begin

    def totals(self) -> np.ndarray:
        """int64 rows of each group."""
        sums = self._run[1]
        return sums[self.end] - sums[self.begin]

    def limits(self, lowest: np.ndarray, highest: np.ndarray) -> None:
        """lowest, highest = the extremes of them and of this run's words, by group."""
        held = np.flatnonzero(self.begin < self.end)
        words = self._run[0]
        lowest[held] = np.minimum(lowest[held], words[self.begin[held]])
        highest[held] = np.maximum(highest[held], words[self.end[held] - 1])

    def repeat(self, times: int) -> None:
        """From now on `times` searches a group."""
        self.begin, self.end = self.begin.repeat(times), self.end.repeat(times)
        self._base = self.begin.copy()

    def count(self, pivots: np.ndarray, counts: np.ndarray) -> None:
        """counts[t, j] += rows of search t's group below pivots[t, j]."""
        count_below(self._run, self.begin, self.end, self._base, pivots, counts)

    def narrow(self, low: np.ndarray, high: np.ndarray) -> None:
        """Search t goes on in low[t] … high[t]."""
        narrow(self._run, self.begin, self.end, low, high)


def totals(peers: Peers, segments: list[Segments], groups: int) -> np.ndarray:
    """int64 rows of each group on all ranks. Collective."""
    return peers.reduce(sum((s.totals() for s in segments), np.zeros(groups, np.int64)), "sum")


def select(peers: Peers, segments: list[Segments], ranks: np.ndarray) -> np.ndarray:
    """The words number ranks[g, r] (from 0) of each group g; arbitrary for a group without rows. Collective."""
    groups, times = ranks.shape
    lowest, highest = np.full(groups, np.iinfo(np.int64).max), np.full(groups, np.iinfo(np.int64).min)
    for segment in segments:
        segment.limits(lowest, highest)
        segment.repeat(times)
    lowest, highest = peers.reduce(lowest, "min"), peers.reduce(highest, "max")
    empty = lowest > highest
    lowest[empty] = highest[empty] = 0
    low, high, wanted = lowest.repeat(times), highest.repeat(times), ranks.reshape(-1, 1)
    every = np.arange(len(low))
    while (low < high).any():
        pivots = _pivots(low, high)
        counts = np.zeros(pivots.shape, np.int64)
        for segment in segments:
            segment.count(pivots, counts)
        # the value is not below a pivot that at most `rank` rows are below
        passed = (peers.reduce(counts, "sum") <= wanted).sum(axis=1)
        low = np.where(passed > 0, pivots[every, np.maximum(passed - 1, 0)], low)
        high = np.where(passed < PIVOTS, pivots[every, np.minimum(passed, PIVOTS - 1)] - 1, high)
        for segment in segments:
            segment.narrow(low, high)
    return low.reshape(groups, times)


def _pivots(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """int64 (searches, PIVOTS), ascending, that cut low … high into parts of equal width."""
    start = low.view(np.uint64)[:, None]  # unsigned: the distance of two int64 may need all 64 bits
    span = high.view(np.uint64)[:, None] - start
    step = span // np.uint64(PIVOTS + 1) + np.uint64(1)
    steps = np.arange(1, PIVOTS + 1, dtype=np.uint64)
    most = span // step  # steps that stay within the span; nothing overflows
    return (start + np.where(steps <= most, step * np.minimum(steps, most), span)).view(np.int64)

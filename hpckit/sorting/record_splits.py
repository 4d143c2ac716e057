"""Splitters of fixed-length records: many fine buckets from samples, exact counts, whole buckets to ranks.

Sample sort with regular oversampling (Shi and Schaeffer, PSRS 1992; buckets finer than ranks as in Histogram Sort with
Sampling, Yang, Harsh and Solomonik 2019). A splitter is (key, global row): equal keys are split by their place, so
that no key, however frequent, makes a bucket large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import records as kernel
from hpckit.sorting.record_files import Shape

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SAMPLES_PER_BUCKET = 32
ROW_BYTES = 8


@dataclass(frozen=True)
class Splitters:
    """Ascending (key, row): `keys` (n, key) uint8, `rows` (n,) int64, `words` the first eight bytes of each key."""

    keys: np.ndarray
    rows: np.ndarray
    words: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def find(ctx: Context, keys: np.ndarray, rows: np.ndarray, buckets: int) -> Splitters:
    """Up to `buckets` - 1 splitters that cut the union of all ranks' samples into equal parts. Collective.

    keys (n, key) uint8 and their global rows (n,) int64: this rank's sample, in any order; no row twice.
    """
    packed = np.concatenate([keys, rows.astype(">u8").view(np.uint8).reshape(-1, ROW_BYTES)], axis=1)
    gathered = ctx.gather(packed)
    chosen = ctx.on_root(_choose, gathered, buckets)
    key = keys.shape[1]
    chosen_keys = np.ascontiguousarray(chosen[:, :key])
    words = np.empty(len(chosen), np.uint64)
    kernel.key_words(chosen_keys.reshape(-1), key, key, words)
    return Splitters(chosen_keys, np.ascontiguousarray(chosen[:, key:]).view(">u8").ravel().astype(np.int64), words)


def _choose(gathered: list[np.ndarray], buckets: int) -> np.ndarray:
    """Every k-th of the sorted samples. Local, on root."""
    samples = np.concatenate(gathered)
    width = samples.shape[1]
    sorter = kernel.Sorter(width, width, len(samples))
    sorter.sort([samples.reshape(-1)])
    ordered = np.empty(samples.size, np.uint8)
    sorter.gather(0, len(samples), ordered)
    places = np.arange(1, buckets) * len(samples) // buckets if len(samples) else np.zeros(0, np.int64)
    places = places[np.diff(places, prepend=-1) > 0]  # fewer samples than buckets
    return ordered.reshape(len(samples), width)[places]


def sample_rows(rows: int, wanted: int, seed: int) -> np.ndarray:
    """About `wanted` of the rows 0 … rows-1, one at random from each of as many strata, ascending."""
    wanted = min(rows, wanted)
    if wanted == 0:
        return np.zeros(0, np.int64)
    strata = np.arange(wanted + 1) * rows // wanted
    offsets = np.random.default_rng(seed).random(wanted) * np.diff(strata)
    return strata[:-1] + offsets.astype(np.int64)


def share(counts: np.ndarray, parts: int) -> np.ndarray:
    """Bucket ends for each of `parts` contiguous shares of about equal counts: part p has buckets ends[p-1]:ends[p]."""
    total = int(counts.sum())
    middles = np.cumsum(counts) - counts // 2
    targets = np.array([total * (part + 1) // parts for part in range(parts)], np.int64)
    ends = np.searchsorted(middles, targets, side="right")
    ends[-1] = len(counts)
    return ends


def bucket_count(total_bytes: int, parts: int, bucket_bytes: int, most: int) -> int:
    """How many buckets: about `bucket_bytes` each, at most `most`, but always several for each part."""
    return max(16 * parts if parts > 1 else 1, min(most, -(-total_bytes // bucket_bytes)))


def sample(data: np.ndarray, shape: Shape, first_row: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """(keys, global rows) of about `wanted` of the records in `data`, whose first has the global row `first_row`."""
    table = data.reshape(-1, shape.record)
    rows = sample_rows(len(table), wanted, first_row)
    return table[rows][:, : shape.key].copy(), rows + first_row

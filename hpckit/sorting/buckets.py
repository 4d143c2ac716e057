"""The one partition pass of a sort: sample, choose buckets for all ranks and for the cache at once, count, scatter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import partition
from hpckit.sorting import keys, layout, splitters
from hpckit.sorting.pool import room

if TYPE_CHECKING:
    from hpckit.spmd import Context

SAMPLES_PER_BUCKET = 64
BUCKETS_MAX = 2048  # each has a line buffer: together they have to stay in the second-level cache


def bucket_count(context: Context, total: int, row_bytes: int, piece_bytes: int) -> int:
    """Buckets so that a piece has about `piece_bytes`, a multiple of the number of ranks. Local."""
    wanted = -(-total * row_bytes // (context.size * piece_bytes))
    return max(1, min(wanted, BUCKETS_MAX // context.size)) * context.size


class Buckets:
    """Which bucket each row goes to, and where the buckets lie (`placed`)."""

    def __init__(
        self, context: Context, bits: np.ndarray, kind: int, row_bytes: int, piece_bytes: int, alone: bool = False
    ) -> None:
        """From the bits of the keys; a piece has about `piece_bytes`, a row `row_bytes` with its payload. Collective.

        If the keys are `alone`, without columns that follow them, the bucket of each is found twice and not kept.
        """
        self.context = context
        total = context.allreduce(len(bits))
        buckets = bucket_count(context, total, row_bytes, piece_bytes)
        with context.agreed("sampling the keys of a sort"):
            wanted = -(-buckets * SAMPLES_PER_BUCKET * len(bits) // max(1, total))
            sample = _sample(context.rank, bits, kind, wanted)
        c = splitters.choose(context, sample, buckets)
        with context.agreed("assigning rows to buckets"):
            counts = np.zeros(c.buckets, np.int64)
            self.ids = None if alone else room(context, len(bits), np.dtype(np.uint16))
            partition.classify(bits, kind, *c.rule, self.ids, counts)
        self.rule = c.rule
        self.placed = layout.place(context, counts, c.constant, row_bytes)

    def room(self, dtype: np.dtype, shape: tuple[int, ...] = ()) -> np.ndarray:
        """A buffer for a column of this dtype and row shape. Local."""
        return room(self.context, self.placed.rows, dtype, shape)

    def scatter(self, bits: np.ndarray, kind: int, plain: bool = False) -> np.ndarray:
        """The words of all rows in their buckets, or if `plain` their bits as they are (keys alone only). Local."""
        words, places = self.room(bits.dtype), self.placed.starts.copy()
        if self.ids is None:
            partition.partition(bits, kind, *self.rule, places, words, plain)
        else:
            partition.scatter(bits, kind, self.ids, places, words, plain)
        return words

    def scatter_numbers(self, first: int) -> np.ndarray:
        """The numbers (uint64) of all rows, from `first` on, in their buckets. Local."""
        numbers = self.room(np.dtype(np.uint64))
        partition.scatter_numbers(first, self.ids, self.placed.starts.copy(), numbers)
        return numbers

    def scatter_rows(self, column: np.ndarray) -> np.ndarray:
        """The rows of any array in their buckets. Local."""
        if column.ndim == 1 and column.dtype.itemsize in (4, 8) and column.dtype.kind in keys.KINDS:
            return self.scatter(keys.bits_of(column), keys.UNSIGNED).view(column.dtype.newbyteorder("="))
        out = self.room(column.dtype, column.shape[1:])
        if out.size and column.size:
            rows, places = np.ascontiguousarray(column).view(np.uint8), out.view(np.uint8)
            partition.scatter_rows(
                rows.reshape(len(column), -1), self.ids, self.placed.starts.copy(), places.reshape(len(out), -1)
            )
        return out


def _sample(rank: int, bits: np.ndarray, kind: int, count: int) -> np.ndarray:
    """Words of `count` keys taken by chance (with repetition), none if there are none. Local."""
    if not len(bits):
        return np.empty(0, np.uint64)
    picked = bits[np.random.default_rng(rank).integers(0, len(bits), count)]
    words = np.empty(count, np.uint64)
    partition.encode(picked, kind, words)
    return words

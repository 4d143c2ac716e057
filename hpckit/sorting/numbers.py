"""Sorting numbers that are all there is: partition once into cache-sized buckets, exchange, sort each piece once.

Equal words are the same value, so the pieces need no stable sort. NumPy's is the fastest with AVX-512, and for words of
32 bits; with AVX2 a word of 64 bits takes it 17 ns in the cache, and our radix sort 8 ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import partition, radix
from hpckit.errors import UserError
from hpckit.partition import block_range
from hpckit.sorting import keys, layout
from hpckit.sorting.buckets import Buckets
from hpckit.sorting.delivery import Arrival, deliver

if TYPE_CHECKING:
    from hpckit.spmd import Context

PIECE_BYTES = 1 << 20  # sorted at once, with scratch if it needs that: half of a second-level cache
RADIX_ROWS_MAX = 1 << 18  # of a piece that is much larger than most NumPy sorts the rest, which needs no scratch
KEPT_MAX = 1.25  # how much larger than its result a buffer may be that is kept for it


def sort(context: Context, local: np.ndarray) -> np.ndarray:
    """This rank's canonical block of the sorted whole of all ranks' `local` (1-D, numeric, the same dtype).
    Collective."""
    keys.agree(context, [local], True, "array")
    dtype = local.dtype
    if dtype.kind == "S":
        raise UserError(f"cannot sort {dtype} as numbers: expected a numeric dtype; sort the words of keys.encode_all")
    if dtype.itemsize < 4:
        return sort_small(context, local)
    kind = keys.kind_of(dtype)
    plain = kind == keys.SIGNED  # NumPy sorts them as well as words
    with context.phase("partition"):
        with context.agreed("reading the keys of a sort"):
            bits = keys.bits_of(local)
        by_radix = dtype.itemsize == 8 and not numpy_is_faster()
        piece_bytes = context.bcast(PIECE_BYTES // 2 if by_radix else PIECE_BYTES)  # nodes may differ
        buckets = Buckets(context, bits, kind, dtype.itemsize, piece_bytes, alone=not by_radix)
        with context.agreed("partitioning numbers"):
            words = buckets.scatter(bits, kind, plain)
            if plain:
                words, kind = words.view(f"i{dtype.itemsize}"), keys.UNSIGNED  # nothing to decode
            placed = buckets.placed
            del buckets
        pieces = layout.cut(context, placed, lambda start, stop: _sorted(words[start:stop]))
    at = 0
    scratch = np.empty(RADIX_ROWS_MAX if by_radix else 0, np.uint64)  # what is never used is never touched

    def place(arrival: Arrival) -> None:
        nonlocal at
        with context.phase("sort"):
            at = _place(arrival, words, scratch, context.rank, kind, at)

    with context.phase("exchange"):
        deliver(context, pieces, [words], placed.rounds, place)
    return trimmed(words, placed.block_rows).view(dtype.newbyteorder("=")).astype(dtype, copy=False)


def numpy_is_faster() -> bool:
    """Whether NumPy sorts words of 64 bits faster than radix.sort_words on this processor. Local."""
    return partition.is_wide()


def trimmed(buffer: np.ndarray, rows: int) -> np.ndarray:
    """The first `rows` rows of a buffer, copied if much would be kept for nothing. Local."""
    return buffer[:rows] if len(buffer) <= rows * KEPT_MAX else buffer[:rows].copy()


def _sorted(words: np.ndarray) -> np.ndarray:
    words.sort()
    return words


def _place(arrival: Arrival, words: np.ndarray, scratch: np.ndarray, here: int, kind: int, at: int) -> int:
    """Sort the pieces of one round into words[at:], as values; returns the row behind them."""
    own, came = keys.bits_of(words), keys.bits_of(arrival.columns[0])
    for i, (size, constant) in enumerate(zip(arrival.sizes, arrival.constant.tolist(), strict=True)):
        piece = words[at : at + size]
        bits = piece.view(own.dtype)
        radix.gather(own, came, here, arrival.starts[i : i + 1], arrival.counts[i : i + 1], bits)
        if not constant:
            if size <= len(scratch):
                radix.sort_words(bits, scratch, words.dtype.kind == "i")
            else:
                piece.sort()
        partition.decode(bits, kind)
        at += size
    return at


def sort_small(context: Context, local: np.ndarray) -> np.ndarray:
    """As `sort` for types of one and two bytes: counted, not moved. Collective."""
    dtype = local.dtype
    values = 1 << (8 * dtype.itemsize)
    with context.agreed("counting values"):
        counts = np.zeros(values, np.int64)
        for start in range(0, len(local), 1 << 20):  # the words of a part at a time
            counts += np.bincount(keys.encode(local[start : start + (1 << 20)]).view(np.int64), minlength=values)
    ends = np.cumsum(context.allreduce(counts))
    begin, end = block_range(int(ends[-1]), context.size, context.rank)
    here = np.clip(ends, begin, end)
    return np.repeat(keys.decode(np.arange(values), dtype), np.diff(here, prepend=begin))

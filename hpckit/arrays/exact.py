"""Exact sums of blocks: groups by row or by column, merged over the ranks, rounded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels.exactsum import ExactSums
from hpckit.arrays.moving import all_rows, canonical_starts, send_rows

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SLICE_VALUES = 1 << 18  # converted to float64 at a time, so that it stays in cache
_DOUBLES_EXACT_TO = 1 << 53  # integers up to here are doubles, and the vector code adds those
MERGED_EVERYWHERE = 1 << 16  # sums, counted over all ranks, that every rank merges by itself in one step


def add(sums: ExactSums, block: np.ndarray, by_column: bool) -> None:
    """Adds row g (column g, by column) of the 2-D block of reals to sum g. Local."""
    along = 0 if by_column else 1
    step = max(1, SLICE_VALUES // max(1, block.shape[1 - along]))
    is_integer = block.dtype.kind in "iu" and block.dtype.itemsize == 8
    for start in range(0, block.shape[along], step):
        part = block[start : start + step] if by_column else block[:, start : start + step]
        if is_integer and not _fit_doubles(part):
            words = np.ascontiguousarray(part).view(np.uint64)
            sums.add_integers(words, by_column, block.dtype.kind == "i")
        else:
            sums.add_block(np.ascontiguousarray(part, np.float64), by_column)


def _fit_doubles(part: np.ndarray) -> bool:
    return not part.size or (int(part.min()) >= -_DOUBLES_EXACT_TO and int(part.max()) <= _DOUBLES_EXACT_TO)


def new(groups: int, square: bool = False) -> ExactSums:
    """So many sums, all zero."""
    sums = ExactSums(square)
    sums.resize(groups)
    return sums


def merged(
    context: Context, states: list[ExactSums], finish: Callable[[list[ExactSums], slice], np.ndarray]
) -> np.ndarray:
    """finish(sums over all ranks of some groups, which groups) for all groups, on every rank. Collective.

    A few groups are merged by every rank; many are dealt out by blocks.
    """
    groups = len(states[0])
    if context.size == 1:
        return finish(states, slice(0, groups))
    packed = [state.to_bytes() for state in states]
    if groups * context.size <= MERGED_EVERYWHERE:
        whole = [new(groups, state.square) for state in states]
        for parts in context.allgather(packed):
            for state, (offsets, data) in zip(whole, parts, strict=True):
                state.add_bytes(np.arange(groups, dtype=np.int32), offsets, data)
        return finish(whole, slice(0, groups))
    starts = canonical_starts(groups, context.size)
    begin, end = int(starts[context.rank]), int(starts[context.rank + 1])
    mine = []
    for state, (offsets, data) in zip(states, packed, strict=True):
        lengths, counts = send_rows(context, np.diff(offsets), np.diff(starts))
        received, _ = send_rows(context, data, np.diff(offsets[starts]))
        own = new(end - begin, state.square)
        ids = np.concatenate([np.arange(n, dtype=np.int32) for n in counts.tolist()])
        own.add_bytes(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), received)
        mine.append(own)
    return all_rows(context, finish(mine, slice(begin, end)))

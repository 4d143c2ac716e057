"""Rows from rank to rank: redistribution to other blocks, gathering, and rows fetched by their global numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit._kernels import route
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.errors import InternalError, MemoryBudgetError, UserError
from hpckit.partition import block_range
from hpckit.spmd import transport
from hpckit.spmd.memory import format_size

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


def canonical_starts(rows: int, ranks: int) -> np.ndarray:
    """int64 (ranks + 1): offsets of the canonical blocks, which differ by at most one row. Local."""
    size, extra = divmod(rows, ranks)
    part = np.arange(ranks + 1, dtype=np.int64)
    return part * size + np.minimum(part, extra)


def own_range(context: Context, rows: int) -> tuple[int, int]:
    """This rank's canonical block. Local."""
    return block_range(rows, context.size, context.rank)


def send_rows(context: Context, rows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first counts[0] of `rows` go to rank 0, the next counts[1] to rank 1, …; returns (the rows received in rank
    order, int64 how many from each). Collective. All ranks pass rows of one dtype and trailing shape.

    Sizes and content hashes are compared, so that a row that leaves is a row that arrives.
    """
    row_bytes = rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64))
    data = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
    sizes = np.asarray(counts, np.int64) * row_bytes
    ends = np.cumsum(sizes)
    facts = np.zeros((context.size, 3), np.int64)
    facts[:, 0], facts[:, 1] = counts, sizes
    for rank in np.flatnonzero(sizes).tolist():
        if rank != context.rank:
            facts[rank, 2] = _content(data[ends[rank] - sizes[rank] : ends[rank]])
    arriving = transport.alltoall(context, facts)
    received = transport.alltoallv(context, data, sizes, np.ascontiguousarray(arriving[:, 1]))
    context.count(bytes=len(data) - int(sizes[context.rank]), rows=len(rows), messages=int(np.count_nonzero(sizes)))
    with context.agreed("checking rows that arrived"):
        _check(context, received, arriving)
    shape = (int(arriving[:, 0].sum()), *rows.shape[1:])
    return received.view(rows.dtype).reshape(shape), arriving[:, 0].copy()


def _content(message: np.ndarray) -> int:
    return int(np.uint64(route.hash_bytes(message)).astype(np.int64))


def _check(context: Context, received: np.ndarray, arriving: np.ndarray) -> None:
    start = 0
    for source, (rows, size, content) in enumerate(arriving.tolist()):
        if size and source != context.rank and _content(received[start : start + size]) != content:
            raise InternalError(
                f"message from rank {source} to rank {context.rank} ({size} bytes, {rows} rows) arrived changed"
            )
        start += size


@alike()
def redistribute(x: DistArray, like: DistArray | None = None, counts: Sequence[int] | None = None) -> DistArray:
    """`x` in blocks that differ by at most one row, or those of `like`, or `counts[r]` rows on rank r. Collective.

    Rows keep their order. Returns `x` itself where the blocks are so already.
    """
    if like is not None:
        starts = like.starts
    elif counts is not None:
        starts = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))])
        if len(starts) != len(x.starts) or min(counts, default=0) < 0:
            raise UserError(f"redistribute: counts {counts!r}: expected {x.context.size} numbers >= 0, one for a rank")
    else:
        starts = canonical_starts(len(x), x.context.size)
    return to_starts(x, starts)


def to_starts(x: DistArray, starts: np.ndarray) -> DistArray:
    """`x` in the blocks given by `starts`. Collective."""
    if starts[-1] != len(x):
        raise UserError(f"redistribute: blocks of {starts[-1]} rows in all for an array of {len(x)}; expected as many")
    if np.array_equal(starts, x.starts):
        return x
    rank = x.context.rank
    begins, ends = np.clip(starts[:-1], x.start, x.stop), np.clip(starts[1:], x.start, x.stop)
    stays = slice(int(begins[rank]) - x.start, int(ends[rank]) - x.start)
    counts = ends - begins
    counts[rank] = 0
    leaving = x.local if stays.start == stays.stop else np.concatenate([x.local[: stays.start], x.local[stays.stop :]])
    received, arrived = send_rows(x.context, leaving, counts)
    before = int(arrived[:rank].sum())
    return DistArray(x.context, np.concatenate([received[:before], x.local[stays], received[before:]]), starts)


@alike()
def gather(x: DistArray, to: str = "all") -> Any:
    """The whole array as np.ndarray on all ranks, or with to="root" on rank 0 (None elsewhere). Collective.

    MemoryBudgetError, naming the sizes, where it does not fit a rank's memory budget.
    """
    context = x.context
    if to not in ("all", "root"):
        raise UserError(f"gather: to={to!r}: expected 'all' or 'root' (this rank's block is .local)")
    refuse_above_budget(context, x.nbytes, f"gathering an array of shape {x.shape} and dtype {x.dtype}")
    if context.size == 1:
        return x.local.copy()
    counts = np.zeros(context.size, np.int64)
    counts[0] = len(x.local)
    received, _ = send_rows(context, x.local, counts)
    if to == "root":
        return received if context.is_root else None
    data = transport.bcast(context, received.reshape(-1).view(np.uint8) if context.is_root else None, 0)
    return data.view(x.dtype).reshape(x.shape)


def refuse_above_budget(context: Context, needed_bytes: int, what: str) -> None:
    """Collective. MemoryBudgetError on all ranks if any of them may not use so much."""
    budget = context.allreduce(context.memory_budget(), "min")
    if needed_bytes > budget:
        raise MemoryBudgetError(
            f"{what} needs {format_size(needed_bytes)} on a rank, whose memory budget is {format_size(budget)}; reduce "
            "or slice it first, write it to a file, or use fewer ranks a node"
        )


def owners(starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rank that holds each of the global row numbers. Local."""
    return np.searchsorted(starts[1:], rows, side="right")


def fetch(x: DistArray, rows: np.ndarray) -> np.ndarray:
    """The rows of `x` with these global numbers (int64, 0 <= row < len(x), each rank its own). Collective."""
    context = x.context
    if context.size == 1:
        return x.local[rows]
    wanted = owners(x.starts, rows)
    order = np.argsort(wanted, kind="stable")
    counts = np.bincount(wanted, minlength=context.size)
    asked, asked_counts = send_rows(context, rows[order], counts)
    found, _ = send_rows(context, x.local[asked - x.start], asked_counts)
    result = np.empty_like(found)
    result[order] = found
    return result


def bcast_row(x: DistArray, row: int) -> Any:
    """Row number `row` on all ranks, a scalar of a 1-D array. Collective."""
    owner = int(owners(x.starts, np.array([row]))[0])
    data = None
    if x.context.rank == owner:
        data = np.ascontiguousarray(x.local[row - x.start : row - x.start + 1]).reshape(-1).view(np.uint8)
    values = transport.bcast(x.context, data, owner).view(x.dtype).reshape(x.shape[1:])
    return values.copy() if x.ndim > 1 else values[()]


def bcast_array(context: Context, values: np.ndarray | None, root: int = 0) -> np.ndarray:
    """The array of `root` on every rank. Collective."""
    facts = context.bcast(None if values is None else (values.dtype.str, values.shape), root)
    data = None if values is None else np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    assert facts is not None
    return transport.bcast(context, data, root).view(np.dtype(facts[0])).reshape(facts[1])


def all_rows(context: Context, rows: np.ndarray) -> np.ndarray:
    """The rows of all ranks in rank order, on every rank. Collective; for a few."""
    if context.size == 1:
        return rows
    counts = np.zeros(context.size, np.int64)
    counts[0] = len(rows)
    received, _ = send_rows(context, rows, counts)
    return bcast_array(context, received if context.is_root else None)


@alike()
def concatenate(arrays: Sequence[Any], axis: int = 0) -> DistArray:
    """Arrays one after another along the first axis, in canonical blocks; along another axis, block by block.
    Collective."""
    from hpckit.arrays import checks, elementwise

    parts = list(arrays)
    first = next((part for part in parts if isinstance(part, DistArray)), None)
    if first is None or not all(isinstance(part, DistArray) for part in parts):
        raise UserError("concatenate: expected arrays that are all distributed; make them so with hpckit.arrays.array")
    axis = checks.axis_of(axis, first.ndim, "concatenate")
    for part in parts:
        shape = [n for i, n in enumerate(part.shape) if i != axis]
        if shape != [n for i, n in enumerate(first.shape) if i != axis]:
            raise UserError(f"concatenate: shapes {first.shape} and {part.shape} differ outside axis {axis}")
    if axis:
        blocks = [to_starts(part, first.starts).local for part in parts]
        return first.with_local(np.concatenate(blocks, axis))
    context, dtype = first.context, np.result_type(*(part.dtype for part in parts))
    starts = canonical_starts(sum(len(part) for part in parts), context.size)
    begin, pieces = 0, []
    for part in parts:
        inside = np.clip(starts - begin, 0, len(part))
        pieces.append(to_starts(elementwise.astype(part, dtype), inside).local)
        begin += len(part)
    return DistArray(context, np.concatenate(pieces), starts)

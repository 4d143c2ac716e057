"""Sorting a table that lies on all ranks, in memory: sample, cut, partition and exchange once, sort once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.sorting.bounds import find_bounds, with_origin
from hpckit.sorting.columns import Key, Ordering, as_keys
from hpckit.sorting.pool import release_idle, room_bytes
from hpckit.sorting.strings import VIEWS, is_text, one_text_array
from hpckit.spmd.exchange import exchange
from hpckit.spmd.texts import has_offsets, take_text

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SAMPLES_PER_RANK = 1 << 14
IMBALANCE_MAX = 1.04  # of a rank's equal share of the rows
TAKE_ROWS = 1 << 20
MIX = np.uint64(0x9E3779B97F4A7C15)

Keys = Sequence[Key | tuple[str, bool, bool]]


def sort_here(table: pa.Table, keys: Keys) -> pa.Table:
    """The rows of `table` by `keys` [Key or (column, descending, nulls_first), …], stable. Local."""
    wanted = as_keys(keys, table.schema)
    return take(table, Ordering.of(table, wanted).order(table))


def sort_everywhere(ctx: Context, table: pa.Table, keys: Keys, without: Sequence[str] = ()) -> pa.Table:
    """The rows of all ranks by `keys`, `without` these columns: rank r gets the r-th part, about as many rows as any
    other. Collective.

    Stable: ties keep the order of (rank, row). Within 5 % of equal parts whatever the keys and wherever the rows were
    (one row at least). All ranks pass tables of one schema; QueryError on all ranks for a column that is not there or
    has no order. A caller that lets go of `table` saves its memory.
    """
    with ctx.agreed("sorting rows"):
        wanted = as_keys(keys, table.schema)
        ordering = Ordering.of(table, wanted)
        release_idle()  # of what was read
        table = table.combine_chunks()  # once, for the keys and for the exchange
        release_idle()  # of the pieces
    if ctx.size > 1:
        ordering = ordering.agree(ctx)
        with ctx.phase("partition"):
            parts = [destinations(ctx, table, ordering)]
        with ctx.phase("exchange"):
            table = exchange(ctx, table, parts.pop())  # which lets go of them as soon as it can
            release_idle()
    with ctx.phase("sort"), ctx.agreed("sorting rows"):
        table = table.combine_chunks()  # again once
        order = ordering.order(table, partial(room_bytes, ctx))
        table = table.drop_columns(list(without))
        release_idle()  # the scratch makes room for the result
        return take(table, order)


def destinations(ctx: Context, table: pa.Table, ordering: Ordering) -> np.ndarray:
    """int32: the rank of each row in the global order, such that all ranks get about equally many. Collective."""
    total = ctx.allreduce(table.num_rows, "sum")
    first = ctx.exscan_sum(table.num_rows)
    wanted = np.arange(1, ctx.size) * total // ctx.size
    with ctx.agreed("looking at the rows to sort"):
        rows = ordering.rows(table, first)
    step = max(1, total // (SAMPLES_PER_RANK * ctx.size))
    while True:
        with ctx.agreed("sampling rows to sort"):
            sample = with_origin(table, ordering, _sampled(first, table.num_rows, step), first)
            sample = sample.take(pa.array(ordering.bounds(sample).order()))
        bounds = find_bounds(ctx, sample, ordering, wanted // step)
        with ctx.agreed("partitioning rows"):
            parts = rows.parts(ordering.bounds(bounds))
        largest = int(ctx.allreduce(np.bincount(parts, minlength=ctx.size), "sum").max())
        if step == 1 or largest <= IMBALANCE_MAX * total / ctx.size:
            return parts
        step = max(1, step // 16)


def _sampled(first: int, rows: int, step: int) -> np.ndarray:
    """int64: of rows numbered from `first`, one of every `step` of the input, at a place that no pattern can meet."""
    if step == 1:
        return np.arange(rows)
    strata = np.arange(first // step, (first + rows) // step + 1, dtype=np.uint64)
    mixed = (strata + np.uint64(1)) * MIX
    mixed ^= mixed >> np.uint64(31)
    places = (strata * np.uint64(step) + mixed % np.uint64(step)).astype(np.int64) - first
    return places[(places >= 0) & (places < rows)]


def take(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """These rows of `table`, in chunks of at most 2^20 rows. Local."""
    if table.num_columns == 0 or len(rows) == 0:
        return table.slice(0, len(rows))
    if len(rows) == table.num_rows and rows[0] == 0 and rows[-1] == len(rows) - 1 and _is_identity(rows):
        return table
    return pa.concat_tables(taken(table, rows, TAKE_ROWS))


def taken(table: pa.Table, rows: np.ndarray, chunk_rows: int) -> Iterator[pa.Table]:
    """These rows of `table`, `chunk_rows` at a time. Local."""
    columns = [one_chunk(column) for column in table.columns]
    for start in range(0, len(rows), chunk_rows):
        some = rows[start : start + chunk_rows]
        indices = pa.array(some)
        pieces = [
            take_column(column, some, indices, field) for column, field in zip(columns, table.schema, strict=True)
        ]
        yield pa.Table.from_arrays(pieces, schema=table.schema)


def one_chunk(column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`column` as one array where it can be; strings of more than 2 GiB get 64-bit offsets."""
    if column.type in VIEWS:
        column = column.cast(VIEWS[column.type])
    if column.num_chunks == 1:
        return column.chunk(0)
    return one_text_array(column) if is_text(column.type) else column.combine_chunks()


def take_column(
    column: pa.Array | pa.ChunkedArray, rows: np.ndarray, indices: pa.Array, field: pa.Field
) -> pa.Array | pa.ChunkedArray:
    """column.take(rows) as the type of `field`; `indices` are the same rows for Arrow."""
    kind = column.type
    piece = take_text(column, rows) if has_offsets(kind) else column.take(indices)
    return piece if piece.type == field.type else piece.cast(field.type)


def _is_identity(rows: np.ndarray) -> bool:
    return bool((rows == np.arange(len(rows))).all())

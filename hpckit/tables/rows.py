"""Rows of a statement behind its first exchange: a table on each rank, and what their global order is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.aggregates.leading import leading_groups
from hpckit.errors import InternalError
from hpckit.spmd.failpoints import fail_point
from hpckit.tables.columns import Batch
from hpckit.tables.order import sort_distributed
from hpckit.tables.pipeline import (
    INTERNAL,
    POSITION,
    AggregateSink,
    OrderKey,
    ProjectStage,
    compile_stages,
    segment,
    sort_columns,
)
from hpckit.tables.plan import Aggregate, Limit, Operator, Sort

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

BATCH_ROWS = 1 << 16


@dataclass(slots=True)
class Rows:
    """A distributed table.

    order   hidden columns that put the rows in their canonical order, as sort keys; empty: the order is that of
            (rank, row)
    hidden  columns that are not part of the result
    """

    table: pa.Table
    order: list[OrderKey]
    hidden: list[str]

    def batches(self) -> list[Batch]:
        """The local rows in pieces, positions counted from the first local row."""
        out, start = [], 0
        for piece in self.table.combine_chunks().to_batches(max_chunksize=BATCH_ROWS):
            positions = np.arange(start, start + piece.num_rows, dtype=np.int64)
            out.append(Batch(dict(zip(piece.schema.names, piece.columns, strict=True)), positions))
            start += piece.num_rows
        return out


def settle(ctx: Context, rows: Rows, limit: int | None = None, offset: int = 0) -> Rows:
    """The rows in physical order over the ranks, hidden columns gone; LIMIT and OFFSET applied. Collective."""
    table = rows.table
    if rows.order:
        table = sort_distributed(ctx, table, rows.order, limit, offset)
    elif limit is not None or offset:
        before = ctx.exscan_sum(table.num_rows)
        begin = min(max(offset - before, 0), table.num_rows)
        end = table.num_rows if limit is None else min(max(offset + limit - before, 0), table.num_rows)
        table = table.slice(begin, max(end - begin, 0))
    return Rows(table.drop_columns(rows.hidden) if rows.hidden else table, [], [])


class Peers:
    """What GroupBy.shuffle asks of the other ranks (aggregates/peers.py)."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def exchange(self, table: pa.Table, by: list[str]) -> pa.Table:
        """Rows to the rank that a hash of `by` names. Collective."""
        ctx = self._ctx
        with ctx.agreed("hashing group keys"):
            destinations = ctx.destinations(ctx.hash_rows(table, by)) if by else np.zeros(table.num_rows, np.int32)
        return ctx.exchange(table, destinations, keep_coded=True)

    def everyone(self, table: pa.Table) -> pa.Table:
        """The rows of all ranks. Collective."""
        return self._ctx.bcast_table(self._ctx.gather_table(table))

    def reduce(self, values: np.ndarray, operation: str) -> np.ndarray:
        """Element-wise over the ranks. Collective."""
        return self._ctx.allreduce(values, operation)

    def hashes(self, table: pa.Table, by: list[str]) -> np.ndarray:
        """Local."""
        return self._ctx.hash_rows(table, by)


def finish_aggregate(ctx: Context, sink: AggregateSink, then: Sequence[Operator] = ()) -> Rows:
    """Exchange the states of a GROUP BY so that each group is whole on one rank. Collective.

    Groups that the operators behind it, `then`, leave out for sure may be missing.
    """
    with ctx.phase("exchange"):
        peers = Peers(ctx)
        first = sink.leading(then) if ctx.size > 1 else None
        only = leading_groups(sink.state, *first, peers, ctx.size) if first else None
        fail_point("exchange")
        state = sink.state.shuffle(peers, only)
        fail_point("merge")
    with ctx.phase("merge"), ctx.agreed("merging groups"):
        table = sink.rename(state.finish(emit_empty_global=ctx.is_root, ordered=False))
    table, carried = with_order(sink, table)
    return Rows(table, [(name, False, False) for name in carried], carried)


def with_order(sink: AggregateSink, table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Groups are ordered by their keys, NULL last: the keys once more as columns that no projection can touch, and the
    names of these. Local."""
    carried = [f"{INTERNAL}key{i}" for i in range(len(sink.operator.keys))]
    for name, (key, _) in zip(carried, sink.operator.keys, strict=True):
        table = table.append_column(name, table.column(key))
    return table, carried


def run_rest(ctx: Context, rows: Rows, operators: Sequence[Operator]) -> Rows:
    """The operators behind the first exchange. Collective."""
    while operators:
        front, rest = segment(operators)
        rows = _stream(ctx, rows, front)
        if not rest:
            return rows
        head, operators = rest[0], rest[1:]
        if isinstance(head, Aggregate):
            rows = _aggregate(ctx, rows, head, operators)
        elif isinstance(head, Sort):
            limit = operators[0] if operators and isinstance(operators[0], Limit) else None
            rows = _sort(ctx, rows, head, limit)
            operators = operators[1:] if limit else operators
        elif isinstance(head, Limit):
            rows = settle(ctx, rows, head.count, head.offset)
        else:
            raise InternalError(f"operator {type(head).__name__} is not known to the executor")
    return rows


def _stream(ctx: Context, rows: Rows, operators: Sequence[Operator]) -> Rows:
    if not operators:
        return rows
    with ctx.agreed("evaluating expressions"):
        stages, schema = compile_stages(operators, rows.table.schema, rows.hidden)
        pieces = []
        for batch in rows.batches():
            for stage in stages:
                batch = stage.run(batch)
            pieces.append(batch.to_arrow().cast(schema))
        table = pa.concat_tables(pieces) if pieces else schema.empty_table()
    return Rows(table, rows.order, rows.hidden)


def _aggregate(ctx: Context, rows: Rows, operator: Aggregate, then: Sequence[Operator]) -> Rows:
    """A second GROUP BY: its rows have a canonical order too, which first() and last() go by."""
    if any(call.name in ("first", "last") for _, call in operator.aggregates):
        rows = settle(ctx, rows)
    start = ctx.exscan_sum(rows.table.num_rows)
    with ctx.agreed("grouping rows"):
        sink = AggregateSink(operator, rows.table.schema)
        for batch in rows.batches():
            sink.update(Batch(batch.columns, batch.positions + start))
    return finish_aggregate(ctx, sink, then)


def _sort(ctx: Context, rows: Rows, operator: Sort, limit: Limit | None) -> Rows:
    """ORDER BY, ties in the order that the rows had."""
    if not rows.order:
        start = ctx.exscan_sum(rows.table.num_rows)
        positions = pa.array(np.arange(start, start + rows.table.num_rows, dtype=np.int64))
        rows = Rows(rows.table.append_column(POSITION, positions), [(POSITION, False, False)], [POSITION])
    with ctx.agreed("evaluating ORDER BY"):
        columns = sort_columns(operator.keys, rows.table.schema, rows.hidden)
        stage = ProjectStage(columns.projection, rows.table.schema, rows.hidden)
        pieces = [stage.run(batch).to_arrow().cast(stage.schema) for batch in rows.batches()]
        table = pa.concat_tables(pieces) if pieces else stage.schema.empty_table()
    sortable = Rows(table, [*columns.keys, *rows.order], [*columns.hidden, *rows.hidden])
    return settle(ctx, sortable, limit.count if limit else None, limit.offset if limit else 0)

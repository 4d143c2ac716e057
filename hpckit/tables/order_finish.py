"""What follows a scan into ORDER BY: rows that fit are sorted in memory, others stream from sorted runs to a spool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.sorting.columns import Key
from hpckit.tables.columns import Batch
from hpckit.tables.order import sort_distributed
from hpckit.tables.pipeline import POSITION, SortSink, Stage, compile_stages, segment
from hpckit.tables.plan import Limit, Operator, Plan
from hpckit.tables.rows import Rows, run_rest, settle
from hpckit.tables.spool import Spool

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SPOOL_SHARE = 16  # of the memory: what spools may hold while runs are merged


def finish_sort(
    ctx: Context, sink: SortSink, rest: Sequence[Operator], plan: Plan, scratch: Path | None, memory_bytes: int
) -> Spool:
    """The rows of a SortSink in order, through the operators behind ORDER BY, as a spool. Collective."""
    hidden = [*sink.columns.hidden, POSITION]
    try:
        if not sink.sorter.fits(ctx):
            return _streamed(ctx, sink, rest, plan, scratch, memory_bytes)
        held = [sink.sorter.table(keep=ctx.surviving)]
    finally:
        if not ctx.surviving:  # else it may have to be done again
            sink.sorter.close()
    limit = rest[0] if rest and isinstance(rest[0], Limit) else Limit(None)
    with ctx.phase("order"):
        keys = [*sink.keys, Key(POSITION)]
        rows = Rows(sort_distributed(ctx, held.pop(), keys, limit.count, limit.offset, hidden), [], [])
    return spooled(ctx, run_rest(ctx, rows, rest[1:] if limit in rest else rest), plan, scratch, memory_bytes)


def spooled(ctx: Context, rows: Rows, plan: Plan, scratch: Path | None, memory_bytes: int) -> Spool:
    """Rows in their order as the result of `plan`. Collective."""
    with ctx.phase("order"):
        rows = settle(ctx, rows)
    spool = Spool(plan.schema, scratch, memory_bytes // 2)
    with ctx.agreed("storing the result"):
        spool.append(ctx.rank, rows.table.select(plan.schema.names).cast(plan.schema))
    return spool


def _streamed(
    ctx: Context, sink: SortSink, rest: Sequence[Operator], plan: Plan, scratch: Path | None, memory_bytes: int
) -> Spool:
    """Merged runs through filters and projections into a spool; then what else there is. Collective."""
    budget = memory_bytes // SPOOL_SHARE
    front, rest = segment(rest)
    with ctx.agreed("evaluating expressions"):
        visible = pa.schema([f for f in sink.schema if f.name not in (*sink.columns.hidden, POSITION)])
        stages, schema = compile_stages(front, visible)
        spool = Spool(schema, scratch, budget)
    for tables in sink.sorter.merged(ctx, keep=ctx.surviving):
        with ctx.phase("merge"), ctx.agreed("storing the result"):
            spool.append(ctx.rank, schema.empty_table())
            for table in tables:
                spool.append(ctx.rank, _through(table.select(visible.names).cast(visible), stages, schema))
    while rest and isinstance(rest[0], Limit):
        spool, rest = _limited(ctx, spool, rest[0], scratch, budget), rest[1:]
    if not rest:
        return spool
    with ctx.agreed("collecting rows"):
        table = pa.Table.from_batches(list(spool.read(ctx.rank)), spool.schema).cast(schema)
        spool.close()
    return spooled(ctx, run_rest(ctx, Rows(table, [], []), rest), plan, scratch, memory_bytes)


def _through(table: pa.Table, stages: list[Stage], schema: pa.Schema) -> pa.Table:
    """The rows of `table` after filters and projections. Local."""
    if not stages:
        return table
    batch = Batch({f.name: c.combine_chunks() for f, c in zip(table.schema, table.columns, strict=True)}, np.arange(0))
    batch.positions = np.arange(table.num_rows, dtype=np.int64)
    for stage in stages:
        batch = stage.run(batch)
    return batch.to_arrow().cast(schema)


def _limited(ctx: Context, spool: Spool, limit: Limit, scratch: Path | None, budget_bytes: int) -> Spool:
    """The rows of LIMIT and OFFSET of a spool that has one chunk a rank. Collective."""
    before = ctx.exscan_sum(spool.total_rows)
    begin = max(limit.offset - before, 0)
    end = spool.total_rows if limit.count is None else limit.offset + limit.count - before
    kept = Spool(spool.schema, scratch, budget_bytes)
    with ctx.agreed("storing the result"):
        kept.append(ctx.rank, spool.schema.empty_table())
        start = 0
        for batch in spool.read(ctx.rank):
            low, high = max(begin - start, 0), min(end - start, batch.num_rows)
            if high > low:
                kept.append(ctx.rank, pa.Table.from_batches([batch.slice(low, high - low)]))
            start += batch.num_rows
        spool.close()
    return kept

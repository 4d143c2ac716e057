"""What follows a GROUP BY that was spilled: its groups stream into the next operator as they become complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.errors import InternalError
from hpckit.spmd.failpoints import fail_point
from hpckit.tables.columns import Batch
from hpckit.tables.group_merge import merged_groups
from hpckit.tables.options import RunOptions
from hpckit.tables.pipeline import AggregateSink, Budget, Pipeline
from hpckit.tables.plan import Operator
from hpckit.tables.rows import BATCH_ROWS, with_order

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

POSITION_BITS = 44  # of a position: the rows of one rank


def stream_groups(ctx: Context, sink: AggregateSink, then: Sequence[Operator], options: RunOptions) -> Pipeline:
    """The operators `then` behind a GROUP BY, with all its groups run through to the next one that needs all rows.

    Collective. What was spilled stays for another time in a job that survives losses.
    """
    if sink.spilled is None or sink.limit is None:
        raise InternalError("this rank has no scratch folder, another one has")
    before_bytes = sink.spilled.spilled_bytes
    with ctx.agreed("spilling groups"):
        sink.spill()
    ctx.count(spilled_bytes=sink.spilled.spilled_bytes - before_bytes)
    fail_point("exchange")
    following, rows, following_bytes = None, 0, 0
    for state in merged_groups(ctx, sink.state, sink.spilled, sink.limit):
        with ctx.phase("merge"), ctx.agreed("merging groups"):
            table, carried = with_order(sink, sink.rename(state.finish(ctx.is_root, ordered=False)))
            del state
            if following is None:
                memory_bytes = ctx.memory_budget(options.memory_bytes)
                budget = Budget(memory_bytes // 4, options.scratch, memory_bytes)
                following = Pipeline(then, table.schema, budget, carried)
            for batch in _batches(table, (ctx.rank << POSITION_BITS) + rows):
                following.update(batch, ctx.rank)
            rows += table.num_rows
            ctx.count(spilled_bytes=following.spilled_bytes - following_bytes)
            following_bytes = following.spilled_bytes
            del table
            pa.default_memory_pool().release_unused()
    fail_point("merge")
    if not ctx.surviving:
        sink.spilled.close()
    if following is None:
        raise InternalError("spilled groups had no round")
    return following


def _batches(table: pa.Table, first: int) -> Iterator[Batch]:
    """The rows in pieces, with positions from `first` on."""
    for piece in table.to_batches(max_chunksize=BATCH_ROWS):
        positions = np.arange(first, first + piece.num_rows, dtype=np.int64)
        yield Batch(dict(zip(piece.schema.names, piece.columns, strict=True)), positions)
        first += piece.num_rows

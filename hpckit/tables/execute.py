"""The executor: one scan for all statements over the same source, then exchange, merge and order for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from hpckit.errors import FormatError, Interrupted, RankLost
from hpckit.sources.base import OpenSource
from hpckit.sources.counts import REJECT_SCHEMA, LineCounts
from hpckit.spmd.failpoints import fail_point
from hpckit.spmd.losses import in_spite_of_losses
from hpckit.tables.group_finish import stream_groups
from hpckit.tables.options import RunOptions
from hpckit.tables.order_finish import finish_sort, spooled
from hpckit.tables.pipeline import POSITION, AggregateSink, LimitSink, Pipeline, SortSink, SpoolSink, TopKSink
from hpckit.tables.plan import Plan, Source
from hpckit.tables.rows import Rows, finish_aggregate, run_rest, settle
from hpckit.tables.shared_scan import SharedScan
from hpckit.tables.spool import Spool

if TYPE_CHECKING:
    from hpckit.spmd.context import Context
    from hpckit.tables.checkpoints import Checkpoints

T = TypeVar("T")
REJECTS_MEMORY_BYTES = 64 << 20


@dataclass(slots=True)
class Result:
    """What a statement gave: rows by ordinal on this rank, and how its source was read (on all ranks together).

    kind   "select", "explain" or "describe"
    """

    plan: Plan
    spool: Spool
    counts: LineCounts
    kind: str = "select"

    def release(self, ctx: Context) -> None:
        """Give memory and disk back, unless the rows may have to be delivered once more. Local."""
        if not ctx.surviving:
            self.spool.close()


@dataclass(slots=True)
class Outcome:
    """Results of all statements in their order, and the rejected records of all scans on this rank by ordinal.

    again    whether they may have been delivered before, and a rank was lost in it: outputs may replace themselves
    """

    results: list[Result]
    rejects: Spool
    counts: LineCounts
    again: bool = False

    def release(self, ctx: Context) -> None:
        """Give memory and disk back, unless it may all have to be delivered once more. Local."""
        for result in self.results:
            result.release(ctx)
        if not ctx.surviving:
            self.rejects.close()


class SpooledRejects:
    """Takes rejected records of one source: memory stays bounded however bad the input is."""

    def __init__(self, spool: Spool, first_ordinal: int) -> None:
        self._spool, self._first = spool, first_ordinal

    def append(self, rows: tuple[int, pa.RecordBatch], /) -> None:
        """Store (ordinal of the split, rows)."""
        self._spool.append(self._first + rows[0], pa.Table.from_batches([rows[1]]))


def run_plans(
    ctx: Context,
    plans: Sequence[Plan],
    opened: dict[Source, OpenSource],
    options: RunOptions,
    deliver: Callable[[Outcome], T] = lambda outcome: outcome,  # type: ignore[assignment,return-value]
) -> T:
    """Run all statements; those over equal sources share one scan; returns what `deliver` makes of the results.

    Collective. In a job that survives losses, what a lost rank had read is read by others and everything after the scan
    is done again, `deliver` included: it writes the outputs, and commits them behind a Context.settle().
    """
    job = in_spite_of_losses(ctx, lambda: Job(ctx, plans, opened, options))
    made = in_spite_of_losses(ctx, lambda: job.run(deliver), job.take_over)
    job.close()
    return made


class Job:
    """Statements under way. What was read stays until the results are delivered, so that the rest can be repeated."""

    def __init__(
        self, ctx: Context, plans: Sequence[Plan], opened: dict[Source, OpenSource], options: RunOptions
    ) -> None:
        """Collective."""
        self.ctx, self.plans, self.options = ctx, plans, options
        self.rejects = Spool(REJECT_SCHEMA, options.scratch, REJECTS_MEMORY_BYTES)
        self.scans: dict[Source, SharedScan] = {}
        self._resumed = False  # whether any rank may have read something before this attempt
        self._again = False  # whether there was an attempt before this one
        first = 0
        for source in dict.fromkeys(plan.source for plan in plans):
            members = [plan for plan in plans if plan.source == source]
            scan = self.scans[source] = SharedScan(ctx, opened[source], members, options, first, len(plans))
            scan.reader.rejects = SpooledRejects(self.rejects, first)
            first += len(opened[source].splits)
        self._checkpoints: Checkpoints | None = None
        if options.checkpoint is not None:
            from hpckit.tables.checkpoints import Checkpoints

            self._checkpoints = Checkpoints(self, opened)

    @property
    def units(self) -> set[int]:
        """What this rank has read, as units of all scans."""
        return set().union(*(scan.units for scan in self.scans.values()))

    def run(self, deliver: Callable[[Outcome], T]) -> T:
        """Read what nobody has read yet, compute the results and deliver them. Collective; may be repeated."""
        saving = self._checkpoints
        if saving is None:
            self._accumulate(None)
            return deliver(self._outcome())
        from hpckit.checkpoint.signals import watch

        with watch():
            self._resumed |= saving.open()
            try:
                self._accumulate(saving.after_unit)
            except Interrupted:
                saving.commit()  # ranks that were ahead have something to save as well
                saving.flush()
                raise
            saving.between_phases()
            outcome = self._outcome()
            saving.between_phases()
            return deliver(outcome)

    def _accumulate(self, after_split: Callable[[], None] | None) -> None:
        done = self._done_anywhere() if self._resumed else frozenset()
        for source, scan in self.scans.items():
            with self.ctx.phase("scan"):
                scan.run(done, after_split)
            fail_point("scan.end")
            scan.total = merge_counts(self.ctx, scan.reader.counts)
            check_format(source, scan.total, scan.source)

    def _done_anywhere(self) -> frozenset[int]:
        """The units that any rank has read. Collective."""
        return frozenset().union(*self.ctx.allgather(self.units))

    def _outcome(self) -> Outcome:
        results: dict[int, Result] = {}
        total = LineCounts()
        for source, scan in self.scans.items():
            assert scan.total is not None
            total.add(scan.total)
            fail_point("finish")
            numbers = [i for i, plan in enumerate(self.plans) if plan.source == source]
            for i, pipeline in zip(numbers, scan.pipelines, strict=True):
                spool = finish(self.ctx, pipeline, self.plans[i], self.options)
                results[i] = Result(self.plans[i], spool, scan.total)
        return Outcome([results[i] for i in range(len(self.plans))], self.rejects, total, self._again)

    def take_over(self) -> None:
        """After a loss: take in what the lost ranks had saved; the rest is read again. Collective (survivors)."""
        self._resumed = self._again = True
        if self._checkpoints is not None:
            self._checkpoints.take_over()

    def close(self) -> None:
        """The results are delivered: what was saved on the way may go. Collective."""
        if self._checkpoints is not None:
            with suppress(RankLost):  # nobody is needed any more
                self._checkpoints.close()


def merge_counts(ctx: Context, mine: LineCounts) -> LineCounts:
    """The counts of all ranks together. Collective."""
    total = LineCounts()
    for counts in ctx.allgather(mine):
        total.add(counts)
    return total


def check_format(source: Source, counts: LineCounts, opened: OpenSource) -> None:
    """A format that fits nothing is the user's mistake, not a result of zero rows."""
    if counts.parsed or not counts.rejected:
        return
    name = getattr(getattr(opened, "format", None), "name", source.kind)
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(counts.reasons.items()))
    raise FormatError(
        f"{', '.join(source.paths)}: format {name!r} fits none of {counts.lines:,} lines ({reasons}); "
        f"`hpckit formats --try {source.paths[0]}` guesses the format"
    )


def finish(ctx: Context, pipeline: Pipeline, plan: Plan, options: RunOptions) -> Spool:
    """What is left after the scan; the result as a spool whose ordinals are in canonical order. Collective."""
    sink, rest = pipeline.sink, pipeline.rest
    if isinstance(sink, SpoolSink) and not rest:
        return sink.spool
    if isinstance(sink, SortSink):
        return finish_sort(ctx, sink, rest[1:], plan, options.scratch, ctx.memory_budget(options.memory_bytes))
    if isinstance(sink, AggregateSink) and ctx.allreduce(int(sink.has_spilled), "max"):
        following = stream_groups(ctx, sink, rest[1:], options)
        return finish(ctx, following, plan, options)
    if isinstance(sink, AggregateSink):
        rows = run_rest(ctx, finish_aggregate(ctx, sink, rest[1:]), rest[1:])
    elif isinstance(sink, TopKSink):
        with ctx.agreed("sorting rows"):
            table = sink.state.finish()
        limit = rest[1]
        rows = Rows(table, sink.keys, [*sink.columns.hidden, POSITION])
        rows = run_rest(ctx, settle(ctx, rows, limit.count, limit.offset), rest[2:])  # type: ignore[union-attr]
    else:
        rows = run_rest(ctx, _spooled_rows(ctx, sink), rest)
    with ctx.phase("order"):
        rows = settle(ctx, rows)
    return spooled(ctx, rows, plan, options.scratch, ctx.memory_budget(options.memory_bytes))


def _spooled_rows(ctx: Context, sink: SpoolSink | LimitSink) -> Rows:
    """Rows collected by split as one table a rank, ordered by their positions."""
    spool = sink.inner.spool if isinstance(sink, LimitSink) else sink.spool
    with ctx.agreed("collecting rows"):
        pieces, starts = [], []
        for ordinal in spool.ordinals():
            for piece in spool.read(ordinal):
                pieces.append(piece)
                starts.append(np.full(piece.num_rows, ordinal, np.int64))
        table = pa.Table.from_batches(pieces, spool.schema)
        if not ctx.surviving:
            spool.close()
        # A split's rows are together and in order: (ordinal, row) is their place.
        ordinals = np.concatenate(starts) if starts else np.zeros(0, np.int64)
        table = table.append_column(POSITION, pa.array((ordinals << 40) + np.arange(len(ordinals))))
    return Rows(table, [(POSITION, False, False)], [POSITION])

"""The executor: one scan for all statements over the same source, then exchange, merge and order for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.errors import FormatError, MemoryBudgetError
from hpckit.frozen import frozen
from hpckit.partition import deal_by_weight
from hpckit.sources.base import HIDDEN, Atom, OpenSource, ReadOptions, SplitReader
from hpckit.sources.counts import REJECT_SCHEMA, LineCounts
from hpckit.sources.program import WantedColumn
from hpckit.sources.splits import Split
from hpckit.tables.expr import Column as ColumnRef
from hpckit.tables.expr import Expr
from hpckit.tables.order_finish import finish_sort, spooled
from hpckit.tables.pipeline import POSITION, AggregateSink, Budget, LimitSink, Pipeline, SortSink, SpoolSink, TopKSink
from hpckit.tables.plan import Aggregate, Filter, Operator, Plan, Project, Source
from hpckit.tables.pushdown import TERMS_MAX, split_filter
from hpckit.tables.rows import Rows, finish_aggregate, run_rest, settle
from hpckit.tables.spool import Spool

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

REJECTS_MEMORY_BYTES = 64 << 20


@frozen
class RunOptions:
    """Everything that is not in the statements: how to read, how much memory, where to spill."""

    read: ReadOptions = field(default_factory=ReadOptions)
    memory_bytes: int | None = None
    scratch: Path | None = None
    progress: bool = False


@dataclass(slots=True)
class Result:
    """What a statement gave: rows by ordinal on this rank, and how its source was read (on all ranks together).

    kind   "select", "explain" or "describe"
    """

    plan: Plan
    spool: Spool
    counts: LineCounts
    kind: str = "select"


@dataclass(slots=True)
class Outcome:
    """Results of all statements in their order, and the rejected records of all scans on this rank by ordinal."""

    results: list[Result]
    rejects: Spool
    counts: LineCounts


class SpooledRejects:
    """Takes rejected records of one source: memory stays bounded however bad the input is."""

    def __init__(self, spool: Spool, first_ordinal: int) -> None:
        self._spool, self._first = spool, first_ordinal

    def append(self, rows: tuple[int, pa.RecordBatch], /) -> None:
        """Store (ordinal of the split, rows)."""
        self._spool.append(self._first + rows[0], pa.Table.from_batches([rows[1]]))


def run_plans(ctx: Context, plans: Sequence[Plan], opened: dict[Source, OpenSource], options: RunOptions) -> Outcome:
    """Run all statements; those over equal sources share one scan. Collective."""
    results: dict[int, Result] = {}
    rejects = Spool(REJECT_SCHEMA, options.scratch, REJECTS_MEMORY_BYTES)
    total = LineCounts()
    first_ordinal = 0
    for source in dict.fromkeys(plan.source for plan in plans):
        numbers = [i for i, plan in enumerate(plans) if plan.source == source]
        scan = SharedScan(ctx, opened[source], [plans[i] for i in numbers], options)
        scan.reader.rejects = SpooledRejects(rejects, first_ordinal)
        with ctx.phase("scan"):
            scan.run()
        counts = merge_counts(ctx, scan.reader.counts)
        check_format(source, counts, opened[source])
        total.add(counts)
        first_ordinal += len(opened[source].splits)
        for i, pipeline in zip(numbers, scan.pipelines, strict=True):
            results[i] = Result(plans[i], finish(ctx, pipeline, plans[i], options), counts)
    return Outcome([results[i] for i in range(len(plans))], rejects, total)


class SharedScan:
    """One pass over a source that feeds several statements."""

    def __init__(self, ctx: Context, source: OpenSource, plans: Sequence[Plan], options: RunOptions) -> None:
        self.ctx, self.source, self.options = ctx, source, options
        chains = [projected(plan) for plan in plans]
        # What a source leaves out because of a predicate, it does not check.
        operators, terms = (chains, []) if options.read.validate_all else push_down(chains, source)
        memory_bytes = ctx.memory_budget(options.memory_bytes)
        budget = Budget(memory_bytes // (4 * len(plans)), options.scratch, memory_bytes // len(plans))
        with ctx.agreed("planning"):
            columns = wanted_columns(operators, source)
            everything = with_hidden(source.schema)
            schema = pa.schema([everything.field(column.name) for column in columns])
            self.pipelines = [Pipeline(ops, schema, budget) for ops in operators]
            self.reader: SplitReader = source.reader(columns, terms, options.read)
        if hasattr(source, "prepare"):
            source.prepare(ctx)

    def run(self) -> None:
        """Scan all splits, or with nothing but LIMITs as many as they need. Collective."""
        limits = [p.sink for p in self.pipelines if isinstance(p.sink, LimitSink)]
        if len(limits) < len(self.pipelines) or not limits:
            self._scan(self.source.splits, progress=self.options.progress)
            return
        # Waves of splits that double: which splits are read depends on the input alone.
        start, size = 0, 1
        while start < len(self.source.splits):
            self._scan(self.source.splits[start : start + size], progress=False)
            have = self.ctx.allreduce(np.array([sum(sink.rows.values()) for sink in limits], np.int64), "sum")
            if all(rows >= sink.wanted for rows, sink in zip(have, limits, strict=True)):
                break
            start, size = start + size, size * 2

    def _scan(self, splits: Sequence[Split], progress: bool) -> None:
        ctx = self.ctx
        mine = [splits[i] for i in deal_by_weight([s.weight for s in splits], ctx.size)[ctx.rank]]
        own_bytes, all_bytes = sum(s.end - s.begin for s in mine), sum(s.end - s.begin for s in splits)
        bar = ctx.progress("scan", all_bytes, own_bytes) if progress else None
        limit = ctx.memory_budget(self.options.memory_bytes)
        with ctx.agreed("reading"):
            for split in mine:
                seen_lines = self.reader.counts.lines
                for batch in self.reader.read(split):
                    for pipeline in self.pipelines:
                        pipeline.update(batch, split.ordinal)
                    self._check_memory(limit)
                if bar:
                    bar.update(split.end - split.begin, self.reader.counts.lines - seen_lines)
            if bar:
                bar.close()
        ctx.count(bytes=own_bytes, rows=self.reader.counts.parsed)

    def _check_memory(self, limit: int) -> None:
        held = sum(p.sink.state.nbytes for p in self.pipelines if isinstance(p.sink, AggregateSink))
        if held > limit:
            raise MemoryBudgetError(
                f"the groups of this query hold {held >> 20:,} MiB on one rank, --memory grants {limit >> 20:,} MiB; "
                "use more ranks or nodes, raise --memory, group by fewer distinct values, or use "
                "approx_count_distinct and approx_quantile"
            )


def with_hidden(schema: pa.Schema) -> pa.Schema:
    """The source's columns, then those that every source has besides."""
    return pa.schema([*schema, *(f for f in HIDDEN if f.name not in schema.names)])


def projected(plan: Plan) -> tuple[Operator, ...]:
    """The plan's operators, with a projection to its columns if it has none: no column is read that is not shown."""
    if any(isinstance(operator, Project | Aggregate) for operator in plan.operators):
        return plan.operators
    return (*plan.operators, Project(tuple((name, ColumnRef(name)) for name in plan.schema.names)))


def push_down(
    chains: Sequence[tuple[Operator, ...]], source: OpenSource
) -> tuple[list[tuple[Operator, ...]], list[list[Atom]]]:
    """(operators left for each statement, terms for the source).

    A row is read if any statement can want it. Where one statement is alone, what the source tests exactly is not
    tested again.
    """
    terms: list[list[Atom]] = []
    left: list[tuple[Operator, ...]] = []
    everything = False
    for operators in chains:
        filters = []
        for operator in operators:
            if not isinstance(operator, Filter):
                break
            filters.append(operator)
        own, rest = split_filter([f.predicate for f in filters], source.atom_kind)
        if not own:
            everything = True
        terms += own
        if len(chains) == 1:
            left.append((*(Filter(p) for p in rest), *operators[len(filters) :]))
        else:
            left.append(operators)
    if everything or len(terms) > TERMS_MAX:
        return list(chains), []
    return left, terms


def wanted_columns(chains: Sequence[tuple[Operator, ...]], source: OpenSource) -> list[WantedColumn]:
    """Columns that any statement reads, in the source's order; coded where the source or a GROUP BY says so."""
    schema = with_hidden(source.schema)
    used: set[str] = set()
    grouped: set[str] = set()
    for operators in chains:
        names, keys = _used_names(operators)
        used |= names
        grouped |= keys
    return [WantedColumn(n, coded=n in source.coded or n in grouped) for n in schema.names if n in used]


def _used_names(operators: Iterable[Operator]) -> tuple[set[str], set[str]]:
    """(columns read before the first new set of columns, those of them that are grouped by or computed on)."""
    used: set[str] = set()
    coded: set[str] = set()
    for operator in operators:
        exprs, ends = _expressions(operator)
        for expr in exprs:
            used |= expr.column_names()
            if not isinstance(expr, ColumnRef) or isinstance(operator, Aggregate):
                coded |= expr.column_names()
        if ends:
            return used, coded
    return used, coded


def _expressions(operator: Operator) -> tuple[list[Expr], bool]:
    """(expressions of an operator, whether columns below it are hidden behind it)."""
    if isinstance(operator, Filter):
        return [operator.predicate], False
    if isinstance(operator, Project):
        return [expr for _, expr in operator.columns], True
    if isinstance(operator, Aggregate):
        return [*(e for _, e in operator.keys), *(c for _, call in operator.aggregates for c in call.children)], True
    return [key.expr for key in getattr(operator, "keys", ())], False


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
        spool.close()
        # A split's rows are together and in order: (ordinal, row) is their place.
        ordinals = np.concatenate(starts) if starts else np.zeros(0, np.int64)
        table = table.append_column(POSITION, pa.array((ordinals << 40) + np.arange(len(ordinals))))
    return Rows(table, [(POSITION, False, False)], [POSITION])

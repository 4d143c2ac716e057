"""One pass over a source that feeds several statements: what it reads, which splits are whose, and what is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.errors import MemoryBudgetError, RankLost
from hpckit.partition import deal_by_weight
from hpckit.sources.base import HIDDEN, Atom, OpenSource, SplitReader
from hpckit.sources.counts import LineCounts
from hpckit.sources.program import WantedColumn
from hpckit.sources.splits import Split
from hpckit.spmd.failpoints import fail_point
from hpckit.tables.expr import Column as ColumnRef
from hpckit.tables.expr import Expr
from hpckit.tables.options import RunOptions
from hpckit.tables.pipeline import AggregateSink, Budget, LimitSink, Pipeline
from hpckit.tables.plan import Aggregate, Filter, Operator, Plan, Project
from hpckit.tables.pushdown import TERMS_MAX, split_filter

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


class SharedScan:
    """One pass over a source that feeds several statements. Its state is what this rank has read: `units` says which
    splits that is (by `first_unit` + ordinal, unique over all scans of a job), `pipelines` and `reader` hold the rest.
    """

    def __init__(
        self,
        ctx: Context,
        source: OpenSource,
        plans: Sequence[Plan],
        options: RunOptions,
        first_unit: int,
        statements: int,
    ) -> None:
        """Collective. `statements` of the whole job share the memory."""
        self.ctx, self.source, self.options, self.first_unit = ctx, source, options, first_unit
        self.units: set[int] = set()
        self.total: LineCounts | None = None  # of all ranks, once all splits are read
        chains = [projected(plan) for plan in plans]
        # What a source leaves out because of a predicate, it does not check.
        operators, terms = (chains, []) if options.read.validate_all else push_down(chains, source)
        memory_bytes = ctx.memory_budget(options.memory_bytes)
        budget = Budget(memory_bytes // (4 * statements), options.scratch, memory_bytes // statements)
        with ctx.agreed("planning"):
            columns = wanted_columns(operators, source)
            everything = with_hidden(source.schema)
            schema = pa.schema([everything.field(column.name) for column in columns])
            self.pipelines = [Pipeline(ops, schema, budget) for ops in operators]
            self.reader: SplitReader = source.reader(columns, terms, options.read)
        if hasattr(source, "prepare"):
            source.prepare(ctx)

    def run(self, done: Collection[int], after_split: Callable[[], None] | None = None) -> None:
        """Read all splits whose unit is not in `done`, or with nothing but LIMITs as many as they need. Collective.

        `after_split` is called between two splits of this rank; it is Local and may raise.
        """
        limits = [p.sink for p in self.pipelines if isinstance(p.sink, LimitSink)]
        if len(limits) < len(self.pipelines) or not limits:
            self._scan(self.source.splits, done, after_split, progress=self.options.progress)
            return
        # Waves of splits that double: which splits are read depends on the input alone.
        start, size = 0, 1
        while start < len(self.source.splits):
            self._scan(self.source.splits[start : start + size], done, after_split, progress=False)
            have = self.ctx.allreduce(np.array([sum(sink.rows.values()) for sink in limits], np.int64), "sum")
            if all(rows >= sink.wanted for rows, sink in zip(have, limits, strict=True)):
                break
            start, size = start + size, size * 2

    def _scan(
        self,
        splits: Sequence[Split],
        done: Collection[int],
        after_split: Callable[[], None] | None,
        progress: bool,
    ) -> None:
        ctx = self.ctx
        if done:
            splits = [split for split in splits if self.first_unit + split.ordinal not in done]
        mine = [splits[i] for i in deal_by_weight([s.weight for s in splits], ctx.size)[ctx.rank]]
        own_bytes, all_bytes = sum(s.end - s.begin for s in mine), sum(s.end - s.begin for s in splits)
        bar = ctx.progress("scan", all_bytes, own_bytes) if progress else None
        parsed, spilled_bytes = self.reader.counts.parsed, self._spilled_bytes
        with ctx.agreed("reading"):
            for split in mine:
                seen_lines = self.reader.counts.lines
                self._read(split)
                if bar:
                    bar.update(split.end - split.begin, self.reader.counts.lines - seen_lines)
                if after_split is not None:
                    after_split()
            if bar:
                bar.close()
        spilled_bytes = self._spilled_bytes - spilled_bytes
        ctx.count(bytes=own_bytes, rows=self.reader.counts.parsed - parsed, spilled_bytes=spilled_bytes)

    @property
    def _spilled_bytes(self) -> int:
        return sum(pipeline.spilled_bytes for pipeline in self.pipelines)

    def _read(self, split: Split) -> None:
        """Take a whole split into account: a loss that is noticed within it is raised behind it."""
        limit = self.ctx.memory_budget(self.options.memory_bytes)
        loss: RankLost | None = None
        for batch in self.reader.read(split):
            for pipeline in self.pipelines:
                pipeline.update(batch, split.ordinal)
            self._check_memory(limit)
            fail_point("scan.batch")
            try:
                self.ctx.check()
            except RankLost as noticed:
                loss = noticed
        self.units.add(self.first_unit + split.ordinal)
        if loss is not None:
            raise loss

    def _check_memory(self, limit: int) -> None:
        sinks = [p.sink for p in self.pipelines if isinstance(p.sink, AggregateSink)]
        held = sum(sink.state.nbytes for sink in sinks if sink.spilled is None)
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

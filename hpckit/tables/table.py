"""The Python API: lazy tables with polars' verbs, on the same plan and executor as SQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hpckit.aggregates.spec import AggSpec
from hpckit.errors import MemoryBudgetError, QueryError
from hpckit.sinks.scratch import scratch_folder
from hpckit.sources.base import OpenSource, ReadOptions
from hpckit.tables.evaluate_types import typed, typed_condition
from hpckit.tables.execute import Outcome, Result, run_plans
from hpckit.tables.expr import AggCall, Call, Cast, Column, Expr
from hpckit.tables.expressions import Expression, col, len_, lit, node_of, when
from hpckit.tables.options import RunOptions
from hpckit.tables.plan import Aggregate, Filter, Limit, Operator, Plan, Project, Sort, SortKey, Source
from hpckit.tables.render import to_text
from hpckit.tables.shared_scan import with_hidden

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

__all__ = ["Table", "col", "collect_all", "len_", "lit", "when"]

TARGETS = ("all", "root", "local")


@dataclass(frozen=True, slots=True)
class Bound:
    """An opened source with how it is read and by whom."""

    context: Context
    source: Source
    opened: OpenSource
    options: RunOptions


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that are not computed yet. Verbs give new tables and are Local; `collect` and `write_*` are Collective.

    `schema` are the columns; without `sort`, rows come in input order, groups in the order of their keys.
    """

    bound: Bound
    operators: tuple[Operator, ...]
    schema: pa.Schema

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.schema.names)

    def _input(self) -> pa.Schema:
        """What expressions may name: the columns, and on a bare source the hidden ones (`_file`, `_offset`, `_raw`)."""
        plain = all(isinstance(operator, Filter | Sort | Limit) for operator in self.operators)
        return with_hidden(self.schema) if plain else self.schema

    def _with(self, *operators: Operator, schema: pa.Schema | None = None) -> Table:
        return Table(self.bound, (*self.operators, *operators), self.schema if schema is None else schema)

    def filter(self, *predicates: Any) -> Table:
        """The rows for which all `predicates` are true (NULL counts as false)."""
        conditions = [_by_row(node_of(p)) for p in predicates]
        made = [Filter(typed_condition(condition, self._input(), "filter")) for condition in conditions]
        return self._with(*made)

    def select(self, *exprs: Any, **named: Any) -> Table:
        """Exactly these columns: names or expressions; name=expression names one. Aggregates alone give one row."""
        columns = _named(exprs, named)
        if any(_aggregates(expr) for _, expr in columns):
            return _aggregated(self, [], columns)
        return self._project(columns)

    def with_columns(self, *exprs: Any, **named: Any) -> Table:
        """All columns, with these added or replaced."""
        new = dict(_named(exprs, named))
        kept: list[tuple[str, Expr]] = [(name, new.pop(name, Column(name))) for name in self.schema.names]
        return self._project([*kept, *new.items()])

    def drop(self, *names: str) -> Table:
        """All columns but these."""
        for name in names:
            self._check(name)
        return self._project([(name, Column(name)) for name in self.schema.names if name not in names])

    def rename(self, mapping: dict[str, str]) -> Table:
        """Other names for some columns: {old: new}."""
        for name in mapping:
            self._check(name)
        return self._project([(mapping.get(name, name), Column(name)) for name in self.schema.names])

    def _check(self, name: str) -> None:
        typed(Column(name), self.schema)

    def _project(self, columns: Sequence[tuple[str, Expr]]) -> Table:
        made = [(name, *typed(_by_row(expr), self._input())) for name, expr in columns]
        _distinct([name for name, _ in columns])
        schema = pa.schema([(name, kind) for name, _, kind in made])
        return self._with(Project(tuple((name, expr) for name, expr, _ in made)), schema=schema)

    def group_by(self, *keys: Any, **named: Any) -> Grouped:
        """Groups by names or expressions; NULL is a group of its own. Go on with `.agg(…)`."""
        return Grouped(self, _named(keys, named))

    def unique(self, *subset: str) -> Table:
        """Distinct rows (of these columns, if given), ordered by their columns."""
        names = list(subset) or self.columns
        return _aggregated(self, [(name, Column(name)) for name in names], [])

    def sort(
        self, *by: Any, descending: bool | Sequence[bool] = False, nulls_last: bool | Sequence[bool] = True
    ) -> Table:
        """Rows in order of names or expressions; ties keep their order."""
        exprs = [typed(_by_row(expr), self._input())[0] for _, expr in _named(by, {}, unnamed="key")]
        down, last = _per_key("descending", descending, len(exprs)), _per_key("nulls_last", nulls_last, len(exprs))
        return self._with(Sort(tuple(SortKey(e, d, not n) for e, d, n in zip(exprs, down, last, strict=True))))

    def top_k(self, k: int, *by: Any) -> Table:
        """The k rows with the greatest values of `by`, greatest first; ties in the order of the rows."""
        return self.sort(*by, descending=True).head(k)

    def head(self, n: int = 5) -> Table:
        """The first n rows."""
        return self._with(Limit(_count("head", n)))

    limit = head

    def slice(self, offset: int, length: int | None = None) -> Table:
        """`length` rows from number `offset` on (from 0)."""
        return self._with(Limit(None if length is None else _count("slice", length), _count("slice", offset)))

    def plan(self) -> Plan:
        """The logical plan."""
        return Plan(self.bound.source, self.operators, self.schema)

    def explain(self) -> str:
        """The plan as text."""
        from hpckit.tables.explain import explain

        return explain(self.plan())

    def collect(self, to: str = "all") -> pa.Table:
        """Compute the rows as an Arrow table. Collective.

        to   "all": every rank gets all rows; "root": rank 0 does, the others none; "local": each rank its own part, in
             rank order. Refused (MemoryBudgetError) if what one rank would get exceeds its memory budget.
        """
        return collect_all([self], to)[0]

    def write(self, path: str | os.PathLike[str], overwrite: bool = False) -> int:
        """Compute the rows and write them by the path's ending (.csv .jsonl .parquet .arrow .h5). Collective.

        Returns the number of rows. The file appears whole or not at all, with the same bytes at any number of ranks.
        """
        from hpckit.sinks import check_target, write

        ctx = self.bound.context
        ctx.on_root(_checked, check_target, path, overwrite)

        def deliver(outcome: Outcome) -> int:
            try:
                return write(ctx, outcome.results[0].spool, path, overwrite or outcome.again)
            finally:
                outcome.release(ctx)

        bound = self.bound
        return run_plans(ctx, [self.plan()], {bound.source: bound.opened}, bound.options, deliver)

    write_csv = write_jsonl = write_parquet = write_arrow = write_hdf5 = write

    def __repr__(self) -> str:
        columns = ", ".join(f"{f.name}: {f.type}" for f in self.schema)
        return f"<hpckit.Table {columns}; not computed yet, .collect() does that>"


@dataclass(frozen=True, slots=True)
class Grouped:
    """What `group_by` gives: rows in groups, waiting for `agg`."""

    table: Table
    keys: list[tuple[str, Expr]]

    def agg(self, *exprs: Any, **named: Any) -> Table:
        """One row a group: the keys, then these expressions of aggregates; ordered by the keys."""
        return _aggregated(self.table, self.keys, _named(exprs, named), keep_keys=True)

    def len(self) -> Table:
        """How many rows each group has, as column `len`."""
        return self.agg(len_())


def collect_all(tables: Sequence[Table], to: str = "all") -> list[pa.Table]:
    """Compute several tables; those over the same source share one scan of it. Collective. See Table.collect."""
    if to not in TARGETS:
        raise QueryError(f"collect(to={to!r}): expected one of {', '.join(TARGETS)}")
    # Only what is read alike shares a scan: a file may be read in two time zones.
    alike: dict[tuple[int, RunOptions], list[int]] = {}
    for i, table in enumerate(tables):
        alike.setdefault((id(table.bound.context), table.bound.options), []).append(i)
    collected: dict[int, pa.Table] = {}
    for numbers in alike.values():
        first, members = tables[numbers[0]].bound, [tables[i] for i in numbers]
        opened = {table.bound.source: table.bound.opened for table in members}
        plans = [table.plan() for table in members]
        made = run_plans(first.context, plans, opened, first.options, partial(_collected, first, to))
        collected.update(zip(numbers, made, strict=True))
    return [collected[i] for i in range(len(tables))]


def _collected(bound: Bound, to: str, outcome: Outcome) -> list[pa.Table]:
    return [_rows(bound, result, to) for result in outcome.results]


def _rows(bound: Bound, result: Result, to: str) -> pa.Table:
    ctx, spool = bound.context, result.spool
    share = ctx.allreduce(spool.nbytes, "max" if to == "local" else "sum")
    budget = ctx.memory_budget(bound.options.memory_bytes)
    if share > budget:
        raise MemoryBudgetError(
            f"collect(to={to!r}) would put {share >> 20:,} MiB on a rank whose budget is {budget >> 20:,} MiB; "
            "write the table to a file, collect(to='local'), or aggregate first"
        )
    with ctx.agreed("collecting a result"):
        pieces = [(o, batch) for o in spool.ordinals() for batch in spool.read(o)]
        mine = pa.Table.from_batches([batch for _, batch in pieces], spool.schema)
    if to != "local":
        mine = _in_order(ctx, mine, pieces)
        mine = ctx.bcast_table(mine if ctx.is_root else None) if to == "all" else mine
    result.release(ctx)
    return mine.cast(result.plan.schema)


def _in_order(ctx: Context, mine: pa.Table, pieces: list[tuple[int, pa.RecordBatch]]) -> pa.Table:
    """All ranks' rows on root in the order of their ordinals, none elsewhere. Collective."""
    gathered = ctx.gather_table(mine)
    runs = ctx.gather([(ordinal, batch.num_rows) for ordinal, batch in pieces])
    if gathered is None or runs is None:
        return mine.slice(0, 0)
    starts, at = [], 0
    for ordinal, rows in (run for rank in runs for run in rank):
        starts.append((ordinal, at, rows))
        at += rows
    ordered = [gathered.slice(start, rows) for _, start, rows in sorted(starts)]
    return pa.concat_tables(ordered).combine_chunks() if ordered else gathered


def _checked(check: Callable[..., Any], path: Any, overwrite: bool) -> None:
    check(path, overwrite)


def _count(verb: str, n: int) -> int:
    if not isinstance(n, int) or n < 0:
        raise QueryError(f"{verb}({n!r}): expected a whole number of rows, 0 or more")
    return n


def _per_key(what: str, value: bool | Sequence[bool], count: int) -> list[bool]:
    values = [value] * count if isinstance(value, bool) else list(value)
    if len(values) != count:
        raise QueryError(f"sort: {what} has {len(values)} entries for {count} keys")
    return values


def _named(exprs: Iterable[Any], named: dict[str, Any], unnamed: str = "") -> list[tuple[str, Expr]]:
    """(name, tree) of verbs' arguments: column names, expressions (their alias or column), name=expression."""
    flat: list[Any] = []
    for item in exprs:
        flat.extend(item if isinstance(item, list | tuple) else [item])
    out: list[tuple[str, Expr]] = []
    for item in flat:
        if isinstance(item, str):
            out.append((item, Column(item)))
        elif isinstance(item, Expression):
            name = item.name or unnamed
            if not name:
                raise QueryError(f"{to_text(item.node)}: give the column a name with .alias('…') or name=…")
            out.append((name, item.node))
        else:
            raise QueryError(f"{item!r}: expected a column name or an expression such as hk.col('x')")
    out += [(name, node_of(value)) for name, value in named.items()]
    if not unnamed:
        _distinct([name for name, _ in out])
    return out


def _distinct(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise QueryError(f"column {twice!r} is made twice; rename one with .alias('…')")


def _aggregates(expr: Expr) -> list[AggCall]:
    return [node for node in expr.walk() if isinstance(node, AggCall)]


def _by_row(expr: Expr) -> Expr:
    """`expr`, if it can be computed row by row."""
    for call in _aggregates(expr):
        raise QueryError(
            f"{to_text(call)} cannot be computed row by row; aggregates go into select() or group_by().agg()"
        )
    return expr


def _aggregated(
    table: Table, keys: list[tuple[str, Expr]], columns: list[tuple[str, Expr]], keep_keys: bool = True
) -> Table:
    """GROUP BY `keys`; each column may compute on aggregates and keys, which become columns of a later projection."""
    schema = table._input()
    typed_keys = [(name, *typed(_by_row(expr), schema)) for name, expr in keys]
    calls: list[tuple[str, AggCall]] = []
    after: list[tuple[str, Expr]] = [(name, Column(name)) for name, _ in keys] if keep_keys else []
    key_names = {expr: name for name, expr in keys}
    for name, expr in columns:
        after.append((name, _lifted(expr, name, calls, key_names, schema)))
    _distinct([name for name, _ in after])
    fields = [(name, kind) for name, _, kind in typed_keys]
    fields += [(name, _spec(call, schema).result_type) for name, call in calls]
    operator = Aggregate(tuple((name, expr) for name, expr, _ in typed_keys), tuple(calls))
    grouped = Table(table.bound, (*table.operators, operator), pa.schema(fields))
    if [(name, Column(name)) for name, _ in fields] == after:
        return grouped
    return grouped._project(after)


def _spec(call: AggCall, schema: pa.Schema) -> AggSpec:
    return AggSpec(call.name, tuple(typed(arg, schema)[1] for arg in call.args), call.fraction)


def _lifted(expr: Expr, name: str, calls: list[tuple[str, AggCall]], keys: dict[Expr, str], schema: pa.Schema) -> Expr:
    """`expr` with its aggregates and keys replaced by columns of the grouped table; new aggregates go to `calls`."""
    if isinstance(expr, AggCall):
        for child in expr.children:
            _by_row(child)
        call = typed(expr, schema)[0]
        assert isinstance(call, AggCall)
        known = next((n for n, c in calls if repr(c) == repr(call)), None)
        if known is None:
            known = name if all(name != n for n, _ in calls) and name not in keys.values() else f"{name}__{len(calls)}"
            calls.append((known, call))
        return Column(known)
    if expr in keys:
        return Column(keys[expr])
    if isinstance(expr, Column):
        raise QueryError(
            f"column {expr.name!r} is neither a key of the group_by nor inside an aggregate; use .first(), .max(), …"
        )
    if isinstance(expr, Call):
        return Call(expr.name, tuple(_lifted(arg, name, calls, keys, schema) for arg in expr.args))
    if isinstance(expr, Cast):
        return Cast(_lifted(expr.arg, name, calls, keys, schema), expr.type, expr.lenient)
    return expr


def open_table(
    source: Source, context: Context | None, read: ReadOptions, memory: int | None, scratch: str | None
) -> Table:
    """A table over a source. Collective: root looks at the files."""
    from hpckit.sources.open import open_source
    from hpckit.spmd import world

    ctx = world() if context is None else context
    opened = ctx.on_root(open_source, source, read)
    options = RunOptions(read, memory, scratch_folder(scratch))
    return Table(Bound(ctx, source, opened, options), (), opened.schema)

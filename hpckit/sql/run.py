"""SQL text to results: parsed and bound on root, run by all ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from hpckit.errors import QueryError
from hpckit.sources.base import OpenSource
from hpckit.sources.open import open_source
from hpckit.sql import bind, parse_script
from hpckit.tables.execute import Outcome, Result, run_plans
from hpckit.tables.explain import explain
from hpckit.tables.options import RunOptions
from hpckit.tables.plan import Plan, Source
from hpckit.tables.spool import Spool

if TYPE_CHECKING:
    from hpckit.sources.counts import LineCounts
    from hpckit.spmd.context import Context
    from hpckit.tables.table import Table


@dataclass(slots=True)
class Prepared:
    """Statements ready to run, equal on all ranks.

    kinds    "select", "explain" or "describe" for each statement
    texts    the statements as written
    opened   the sources that the plans read
    """

    kinds: list[str]
    texts: list[str]
    plans: list[Plan]
    opened: dict[Source, OpenSource]


def prepare(ctx: Context, text: str, options: RunOptions) -> Prepared:
    """Parse and bind a script. Collective: root reads the SQL, looks at the files, and sends the plans."""
    return ctx.on_root(_prepare, text, options)


def _prepare(text: str, options: RunOptions) -> Prepared:
    opened: dict[Source, OpenSource] = {}

    def schema_of(source: Source) -> pa.Schema:
        if source not in opened:
            opened[source] = open_source(source, options.read)
        return opened[source].schema

    statements = parse_script(text)
    plans = [bind(statement, schema_of) for statement in statements]
    used = {plan.source: opened[plan.source] for plan in plans}
    return Prepared([s.kind for s in statements], [s.text for s in statements], plans, used)


def run_script(ctx: Context, prepared: Prepared, options: RunOptions, deliver: Callable[[Outcome], None]) -> None:
    """Run all statements, those over one source in one scan, and `deliver` their results (see run_plans). Collective.

    EXPLAIN and DESCRIBE read no data.
    """
    numbers = [i for i, kind in enumerate(prepared.kinds) if kind == "select"]

    def deliver_all(outcome: Outcome) -> None:
        selected = dict(zip(numbers, outcome.results, strict=True))
        results = [
            selected[i] if kind == "select" else _described(ctx, kind, prepared.plans[i], outcome.counts)
            for i, kind in enumerate(prepared.kinds)
        ]
        deliver(replace(outcome, results=results))

    run_plans(ctx, [prepared.plans[i] for i in numbers], prepared.opened, options, deliver_all)


def _described(ctx: Context, kind: str, plan: Plan, counts: LineCounts) -> Result:
    from hpckit.tables.types import sql_name

    if kind == "explain":
        table = pa.table({"plan": pa.array(explain(plan).splitlines(), pa.string())})
    else:
        names = pa.array(plan.schema.names, pa.string())
        table = pa.table(
            {"column_name": names, "column_type": pa.array([sql_name(t) for t in plan.schema.types], pa.string())}
        )
    spool = Spool(table.schema, None, 1 << 30)
    spool.append(ctx.rank, table if ctx.is_root else table.slice(0, 0))
    return Result(plan, spool, counts, kind)


def sql(text: str, *, context: Context | None = None, options: RunOptions | None = None) -> Table:
    """A lazy table from one SELECT: `hk.sql("SELECT …").collect()`. Collective: root reads SQL and looks at files."""
    from hpckit.spmd import world
    from hpckit.tables.table import Bound, Table

    ctx = world() if context is None else context
    options = RunOptions() if options is None else options
    prepared = prepare(ctx, text, options)
    if prepared.kinds != ["select"] or prepared.plans[0].output:
        raise QueryError("hk.sql takes one SELECT; `hpckit query -f FILE` runs scripts")
    plan = prepared.plans[0]
    return Table(Bound(ctx, plan.source, prepared.opened[plan.source], options), plan.operators, plan.schema)

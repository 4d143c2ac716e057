"""Plans as text for EXPLAIN, and schemas as a table for DESCRIBE."""

from __future__ import annotations

import pyarrow as pa

from hpckit.tables.expr import Column, Expr
from hpckit.tables.plan import Aggregate, Filter, Limit, Operator, Plan, Project, Sort, Source
from hpckit.tables.render import to_text
from hpckit.tables.types import sql_name


def explain(plan: Plan) -> str:
    """The plan as indented text, the result on top, the source at the bottom."""
    lines: list[str] = []
    if plan.output is not None:
        lines.append(f"Write {plan.output}")
    lines.append("Result " + ", ".join(f"{field.name} {sql_name(field.type)}" for field in plan.schema))
    for operator in reversed(plan.operators):
        lines += [f"{'  ' * len(lines)}{line}" for line in _operator(operator)]
    lines.append("  " * len(lines) + _source(plan.source, plan))
    return "\n".join(lines)


def _named(name: str, expr: Expr) -> str:
    return name if isinstance(expr, Column) and expr.name == name else f"{name} := {to_text(expr)}"


def _operator(operator: Operator) -> list[str]:
    if isinstance(operator, Filter):
        return [f"Filter {to_text(operator.predicate)}"]
    if isinstance(operator, Project):
        return ["Project " + ", ".join(_named(name, expr) for name, expr in operator.columns)]
    if isinstance(operator, Aggregate):
        keys = ", ".join(_named(name, expr) for name, expr in operator.keys)
        calls = ", ".join(_named(name, expr) for name, expr in operator.aggregates)
        head = f"Aggregate by {keys}" if keys else "Aggregate all rows"
        return [f"{head}: {calls}" if calls else head]
    if isinstance(operator, Sort):
        order = [to_text(k.expr) + " DESC" * k.descending + " NULLS FIRST" * k.nulls_first for k in operator.keys]
        return ["Sort by " + ", ".join(order)]
    if isinstance(operator, Limit):
        count = "all" if operator.count is None else str(operator.count)
        return [f"Limit {count}" + (f" after {operator.offset}" if operator.offset else "")]
    return [repr(operator)]


def columns_read(plan: Plan) -> list[str]:
    """Names of the source's columns that the plan reads, sorted."""
    names: set[str] = set()
    for operator in plan.operators:
        if isinstance(operator, Filter):
            names |= operator.predicate.column_names()
        elif isinstance(operator, Sort):
            names |= set().union(*(key.expr.column_names() for key in operator.keys))
        elif isinstance(operator, (Project, Aggregate)):
            parts = operator.columns if isinstance(operator, Project) else (*operator.keys, *operator.aggregates)
            return sorted(names.union(*(expr.column_names() for _, expr in parts)))
    return sorted(names | set(plan.schema.names))


def _source(source: Source, plan: Plan) -> str:
    paths = ", ".join(source.paths)
    options = "".join(f", {name} = {value!r}" for name, value in source.options)
    columns = ", ".join(columns_read(plan)) or "no column, only the number of rows"
    return f"Scan {source.kind} {paths}{options}; reads {columns}"


def describe(plan: Plan) -> pa.Table:
    """Columns of the plan's result: column_name, column_type."""
    names = [field.name for field in plan.schema]
    kinds = [sql_name(field.type) for field in plan.schema]
    return pa.table({"column_name": pa.array(names, pa.string()), "column_type": pa.array(kinds, pa.string())})

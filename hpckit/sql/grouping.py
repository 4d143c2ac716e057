"""GROUP BY: the aggregates collected from select list, HAVING and ORDER BY, and what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from hpckit.errors import QueryError
from hpckit.sql.scope import unique_names
from hpckit.tables.evaluate_types import typed, typed_aggregate, typed_condition
from hpckit.tables.expr import AggCall, Column, Expr, Literal, rebuild
from hpckit.tables.plan import Aggregate, Filter, Operator, SortKey
from hpckit.tables.render import to_text


def has_aggregate(expr: Expr) -> bool:
    return any(isinstance(node, AggCall) for node in expr.walk())


class Grouping:
    """Group keys over an input schema, and the condition of HAVING."""

    def __init__(self, schema: pa.Schema, keys: Sequence[Expr], having: Expr | None) -> None:
        self._schema = schema
        self._keys = list(keys)
        self._having = having
        self._names: dict[Expr, str] = {}

    def apply(
        self, names: Sequence[str], outputs: Sequence[Expr], order: Sequence[SortKey]
    ) -> tuple[list[Operator], pa.Schema, list[Expr], list[SortKey]]:
        """(operators, schema after them, outputs and sort keys over that schema)."""
        exprs = [*outputs, *(key.expr for key in order), *([self._having] if self._having is not None else [])]
        calls = list(dict.fromkeys(call for expr in exprs for call in self._calls(expr)))
        self._assign_names([*self._keys, *calls], names, outputs)
        keys = tuple((self._names[key], typed(key, self._schema)[0]) for key in self._keys)
        aggregates = tuple((self._names[call], typed_aggregate(call, self._schema)[0]) for call in calls)
        schema = pa.schema([(self._names[e], typed(e, self._schema)[1]) for e in [*self._keys, *calls]])
        operators: list[Operator] = [Aggregate(keys, aggregates)]
        if self._having is not None:
            operators.append(Filter(typed_condition(self._over(self._having), schema, "HAVING")))
        new_order = [SortKey(self._over(k.expr), k.descending, k.nulls_first) for k in order]
        return operators, schema, [self._over(expr) for expr in outputs], new_order

    def _calls(self, expr: Expr) -> list[AggCall]:
        """The aggregates in `expr` that are not inside a group key."""
        if expr in self._keys:
            return []
        if isinstance(expr, AggCall):
            return [expr]
        return [call for child in expr.children for call in self._calls(child)]

    def _assign_names(self, exprs: Sequence[Expr], names: Sequence[str], outputs: Sequence[Expr]) -> None:
        """Keys and aggregates that are selected as they are take the result's names."""
        selected: dict[Expr, str] = {}
        for name, output in zip(names, outputs, strict=True):
            selected.setdefault(output, name)
        wanted = [selected[e] for e in exprs if e in selected]
        others = [to_text(e) for e in exprs if e not in selected]
        unique = unique_names([*wanted, *others])
        taken, free = iter(unique[: len(wanted)]), iter(unique[len(wanted) :])
        self._names = {e: next(taken) if e in selected else next(free) for e in exprs}

    def _over(self, expr: Expr) -> Expr:
        """`expr` in terms of the aggregate's output."""
        if expr in self._names:
            return Column(self._names[expr])
        if isinstance(expr, Column):
            keys = ", ".join(to_text(key) for key in self._keys) or "nothing"
            raise QueryError(
                f"column {expr.name} is neither grouped nor inside an aggregate (grouped by {keys}); "
                f"add it to GROUP BY or use any_value({expr.name})"
            )
        if isinstance(expr, Literal) or not expr.children:
            return expr
        return rebuild(expr, [self._over(child) for child in expr.children])

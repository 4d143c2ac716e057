"""Aggregate calls of SQL to AggCall: DISTINCT, FILTER, fractions, and names that stand for others."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hpckit.errors import QueryError, UnsupportedError
from hpckit.sql.vocabulary import AGGREGATES
from hpckit.tables.expr import AggCall, Call, Expr, Literal, conjunction

_DISTINCT_IS_PLAIN = ("min", "max", "bool_and", "bool_or", "approx_count_distinct", "any_value")


def aggregate_call(
    node: exp.Anonymous, condition: exp.Expression | None, bind: Callable[[exp.Expression], Expr]
) -> Expr:
    """The AggCall for an aggregate's call; `bind` binds its arguments, `condition` is its FILTER."""
    name = str(node.this).lower()
    canonical, count = AGGREGATES[name]
    args, distinct = _arguments(node, name)
    where = None if condition is None else bind(condition)
    if canonical == "count_star" or (canonical == "count" and (not args or isinstance(args[0], exp.Star))):
        if distinct or len(args) > 1:
            raise QueryError(f"{_shown(node)}: count(DISTINCT *) has no meaning; name a column")
        return AggCall("count_star", (), where)
    if distinct and canonical == "count" and len(args) > 1:
        instead = "count the rows of a subquery with SELECT DISTINCT"
        raise UnsupportedError(f"count(DISTINCT a, b) is not offered: {_shown(node)}; {instead}")
    if len(args) != count:
        raise QueryError(f"{_shown(node)}: {len(args)} arguments given, {name} takes {count}")
    if distinct and canonical == "count":
        return AggCall("count_distinct", (bind(args[0]),), where)
    if distinct and canonical not in _DISTINCT_IS_PLAIN:
        raise UnsupportedError(f"{name}(DISTINCT …) is not offered: {_shown(node)}; count(DISTINCT …) is")
    value = bind(args[0])
    if canonical == "count_if":
        return AggCall("count_star", (), value if where is None else conjunction([where, value]))
    if canonical == "any_value":
        present = Call("is_not_null", (value,))
        return AggCall("first", (value,), present if where is None else conjunction([where, present]))
    if canonical == "median":
        return AggCall("median", (value,), where, 0.5)
    if count == 2:
        return AggCall(canonical, (value,), where, _fraction(bind(args[1]), node))
    return AggCall(canonical, (value,), where)


def _arguments(node: exp.Anonymous, name: str) -> tuple[list[exp.Expression], bool]:
    args = list(node.expressions)
    distinct = len(args) == 1 and isinstance(args[0], exp.Distinct)
    if distinct:
        args = list(args[0].expressions)
    for arg in args:
        if isinstance(arg, exp.Order):
            raise UnsupportedError(f"{name}(… ORDER BY …) is not offered: {_shown(node)}")
        if isinstance(arg, (exp.IgnoreNulls, exp.RespectNulls)):
            instead = "use FILTER (WHERE x IS NOT NULL)"
            raise UnsupportedError(f"{arg.key.upper()} is not offered: {_shown(node)}; {instead}")
    return args, distinct


def _fraction(expr: Expr, node: exp.Anonymous) -> float:
    value = expr.value if isinstance(expr, Literal) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UnsupportedError(f"{_shown(node)}: the fraction must be one constant number")
    if not 0 <= value <= 1:
        raise QueryError(f"{_shown(node)}: the fraction {value} is not within 0 to 1")
    return float(value)


def _shown(node: exp.Expression) -> str:
    return node.sql("duckdb")

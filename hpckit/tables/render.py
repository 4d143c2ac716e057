"""Expressions as SQL-like text, for error messages and EXPLAIN."""

from __future__ import annotations

import datetime

from hpckit.tables.expr import AggCall, Call, Cast, Column, Expr, Literal
from hpckit.tables.types import DATE, INTERVAL, TIMESTAMP, sql_name

_INFIX = {"+", "-", "*", "/", "//", "%", "=", "<>", "<", "<=", ">", ">=", "||", "&", "|", "<<", ">>"}
_WORDS = {
    "is_distinct": "IS DISTINCT FROM",
    "is_not_distinct": "IS NOT DISTINCT FROM",
    "like": "LIKE",
    "ilike": "ILIKE",
}
_EPOCH = datetime.datetime(1970, 1, 1)


def to_text(expr: Expr) -> str:
    """`expr` written as SQL, operators in parentheses."""
    if isinstance(expr, Column):
        return expr.name
    if isinstance(expr, Literal):
        return _literal(expr)
    if isinstance(expr, Cast):
        return f"{'TRY_CAST' if expr.lenient else 'CAST'}({to_text(expr.arg)} AS {sql_name(expr.type)})"
    if isinstance(expr, AggCall):
        return _aggregate(expr)
    if isinstance(expr, Call):
        return _call(expr.name, [to_text(arg) for arg in expr.args])
    return repr(expr)


def _call(name: str, args: list[str]) -> str:
    if name in ("and", "or"):
        return "(" + f" {name.upper()} ".join(args) + ")"
    if len(args) == 2 and (name in _INFIX or name in _WORDS):
        return f"({args[0]} {_WORDS.get(name, name)} {args[1]})"
    if name == "not":
        return f"(NOT {args[0]})"
    if name == "neg":
        return f"(-{args[0]})"
    if name in ("is_null", "is_not_null"):
        return f"({args[0]} IS {'NOT ' if name == 'is_not_null' else ''}NULL)"
    if name == "in":
        return f"({args[0]} IN ({', '.join(args[1:])}))"
    if name == "case":
        branches = "".join(f" WHEN {c} THEN {v}" for c, v in zip(args[:-1:2], args[1:-1:2], strict=True))
        return f"CASE{branches} ELSE {args[-1]} END"
    return f"{name}({', '.join(args)})"


def _literal(literal: Literal) -> str:
    value = literal.value
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if literal.type == TIMESTAMP and isinstance(value, int):
        try:
            return f"TIMESTAMP '{_EPOCH + datetime.timedelta(microseconds=value)}'"
        except OverflowError:
            return f"TIMESTAMP {value} us"
    if literal.type == DATE and isinstance(value, int):
        try:
            return f"DATE '{(_EPOCH + datetime.timedelta(days=value)).date()}'"
        except OverflowError:
            return f"DATE {value} days"
    if literal.type == INTERVAL and isinstance(value, int):
        return f"INTERVAL '{value / 1e6:g} seconds'"
    return str(value)


def _aggregate(call: AggCall) -> str:
    args = ", ".join(to_text(arg) for arg in call.args)
    if call.name == "count_star":
        text = "count(*)"
    elif call.name == "count_distinct":
        text = f"count(DISTINCT {args})"
    elif call.fraction is not None:
        text = f"{call.name}({args}, {call.fraction:g})"
    else:
        text = f"{call.name}({args})"
    return text if call.filter is None else f"{text} FILTER (WHERE {to_text(call.filter)})"

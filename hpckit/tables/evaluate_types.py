"""Types of expressions: every implicit conversion made explicit, constants folded, misfits refused."""

from __future__ import annotations

import importlib

import numpy as np
import pyarrow as pa

from hpckit.errors import QueryError
from hpckit.tables.expr import AggCall, Call, Cast, Column, Expr, Literal, conjuncts
from hpckit.tables.functions import FUNCTIONS, Typed, coerce, convert, literal_of
from hpckit.tables.functions_logic import as_condition
from hpckit.tables.nearest import nearest
from hpckit.tables.render import to_text
from hpckit.tables.types import (
    BOOL,
    CALENDAR_INTERVAL,
    COMPUTABLE,
    DATE,
    FLOAT,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    is_number,
    normal_type,
    sql_name,
)

for _module in ("numbers", "patterns", "strftime", "text", "time_bucket"):  # each registers its functions
    importlib.import_module(f"hpckit.tables.functions_{_module}")


def infer_type(expr: Expr, schema: pa.Schema) -> pa.DataType:
    """The type `expr` has over columns of `schema`; QueryError if its arguments do not fit."""
    return typed(expr, schema)[1]


def typed(expr: Expr, schema: pa.Schema) -> Typed:
    """(`expr` with all conversions written out and constants folded, its type)."""
    if isinstance(expr, Column):
        index = schema.get_field_index(expr.name)
        if index < 0:
            raise QueryError(f"column {expr.name} does not exist; {nearest(expr.name, schema.names)}")
        return expr, normal_type(schema.field(index).type)
    if isinstance(expr, Literal):
        return expr, expr.type
    if isinstance(expr, Cast):
        return _typed_cast(expr, schema)
    if isinstance(expr, AggCall):
        return typed_aggregate(expr, schema)
    if not isinstance(expr, Call):
        raise QueryError(f"{expr!r} is not an expression")
    entry = FUNCTIONS.get(expr.name)
    if entry is None:
        raise QueryError(f"function {expr.name} does not exist; {nearest(expr.name, list(FUNCTIONS))}")
    args = [typed(arg, schema) for arg in expr.args]
    for arg, kind in args:
        _check_computable(arg, kind, expr.name)
    bound, kind = entry.bind(expr.name, args)
    return _simplified(bound, kind), kind


def _check_computable(arg: Expr, kind: pa.DataType, where: str) -> None:
    if kind not in (*COMPUTABLE, NULL, CALENDAR_INTERVAL):
        raise QueryError(f"{where}: {to_text(arg)} is of type {kind}, which can be selected but not computed with")


def _simplified(expr: Expr, kind: pa.DataType) -> Expr:
    """A call whose arguments are done, computed if it is constant."""
    if not isinstance(expr, Call):
        return expr
    if expr.name in ("and", "or"):
        return _simplified_logic(expr)
    if expr.name == "not":
        return _simplified_not(expr)
    if FUNCTIONS[expr.name].strict and any(isinstance(arg, Literal) and arg.value is None for arg in expr.args):
        return Literal(None, kind)
    if all(isinstance(arg, Literal) and arg.type != CALENDAR_INTERVAL for arg in expr.args):
        return _folded(expr, kind)
    return expr


def _simplified_logic(expr: Call) -> Expr:
    """and/or flattened, neutral constants dropped."""
    decisive = expr.name == "or"
    parts: list[Expr] = []
    for arg in expr.args:
        parts += arg.args if isinstance(arg, Call) and arg.name == expr.name else [arg]
    kept = [p for p in parts if not (isinstance(p, Literal) and p.value is (not decisive))]
    if not kept:
        return Literal(not decisive, BOOL)
    if isinstance(kept[0], Literal) and kept[0].value is decisive:
        return kept[0]
    return kept[0] if len(kept) == 1 else Call(expr.name, tuple(kept))


_OPPOSITE = {
    "=": "<>",
    "<>": "=",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "is_null": "is_not_null",
    "is_not_null": "is_null",
    "is_distinct": "is_not_distinct",
    "is_not_distinct": "is_distinct",
}


def _simplified_not(expr: Call) -> Expr:
    arg = expr.args[0]
    if isinstance(arg, Literal):
        return Literal(None if arg.value is None else not arg.value, BOOL)
    if isinstance(arg, Call) and arg.name == "not":
        return arg.args[0]
    if isinstance(arg, Call) and arg.name in _OPPOSITE:
        return Call(_OPPOSITE[arg.name], arg.args)
    return expr


def _folded(expr: Expr, kind: pa.DataType) -> Expr:
    """The constant that `expr` computes; `expr` itself if that is an error, which rows that reach it then raise."""
    from hpckit.tables.columns import Batch, to_arrow
    from hpckit.tables.evaluate import Evaluator  # it types its expressions by this module

    try:
        result = Evaluator([expr], pa.schema([]), bound=True).evaluate(Batch({}, np.zeros(1, np.int64)))[0]
    except QueryError:
        return expr
    return literal_of(to_arrow(result)[0], kind)


def _typed_cast(expr: Cast, schema: pa.Schema) -> Typed:
    arg, kind = typed(expr.arg, schema)
    _check_computable(arg, kind, "CAST")
    if expr.type not in COMPUTABLE:
        raise QueryError(f"CAST: no conversion of {to_text(arg)} to {sql_name(expr.type)}")
    return convert((arg, kind), expr.type, lenient=expr.lenient), expr.type


_FLOAT_AGGREGATES = ("avg", "stddev", "stddev_pop", "variance", "var_pop")
_ANY_AGGREGATES = ("first", "last", "min", "max", "quantile_disc")


def typed_aggregate(call: AggCall, schema: pa.Schema) -> tuple[AggCall, pa.DataType]:
    """As `typed`, for an aggregate."""
    condition = None
    if call.filter is not None:
        condition = typed_condition(call.filter, schema, "FILTER")
        if isinstance(condition, Literal) and condition.value is True:
            condition = None
    args = [typed(arg, schema) for arg in call.args]
    arg, kind = _aggregate_argument(call, args[0]) if args else (None, INT)
    name = call.name
    if name == "median":
        name = "quantile_cont" if is_number(kind) or kind in (TIMESTAMP, DATE) else "quantile_disc"
    if arg is not None and name == "quantile_cont" and kind == DATE:
        arg, kind = convert((arg, kind), TIMESTAMP), TIMESTAMP
    return AggCall(name, () if arg is None else (arg,), condition, call.fraction), _aggregate_type(name, kind)


def _aggregate_argument(call: AggCall, arg: Typed) -> Typed:
    """The argument as the aggregate takes it, and its type."""
    expr, kind = arg
    name = call.name
    _check_computable(expr, kind, name)
    if kind == NULL:
        return Literal(None, INT), INT
    if kind == CALENDAR_INTERVAL:
        raise QueryError(f"{name}: an INTERVAL with months cannot be aggregated")
    if name == "sum" and kind == BOOL:
        return convert(arg, INT), INT
    if name in ("sum", *_FLOAT_AGGREGATES, "approx_quantile") and not is_number(kind):
        hint = "epoch(x)" if kind not in (STRING, BOOL) else f"CAST({to_text(expr)} AS DOUBLE)"
        raise QueryError(f"{name}({to_text(expr)}): {sql_name(kind)} where a number is needed; use {name}({hint})")
    if name == "quantile_cont" and not is_number(kind) and kind not in (TIMESTAMP, DATE):
        raise QueryError(f"{name}({to_text(expr)}): {sql_name(kind)} cannot be interpolated; use quantile_disc")
    if name in ("bool_and", "bool_or"):
        return coerce(arg, BOOL, name), BOOL
    return arg


def _aggregate_type(name: str, kind: pa.DataType) -> pa.DataType:
    if name in ("count_star", "count", "count_distinct", "approx_count_distinct"):
        return INT
    if name in _FLOAT_AGGREGATES:
        return FLOAT
    if name == "quantile_cont":
        return TIMESTAMP if kind == TIMESTAMP else FLOAT
    if name in ("bool_and", "bool_or"):
        return BOOL
    if name in ("sum", "approx_quantile") or name in _ANY_AGGREGATES:
        return kind
    raise QueryError(f"aggregate {name} does not exist")


def typed_condition(expr: Expr, schema: pa.Schema, where: str) -> Expr:
    """A WHERE, HAVING or FILTER condition as BOOLEAN, its parts typed one by one."""
    parts = [as_condition(typed(piece, schema), where)[0] for piece in conjuncts(expr)]
    return parts[0] if len(parts) == 1 else _simplified_logic(Call("and", tuple(parts)))

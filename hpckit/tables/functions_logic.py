"""Comparison, NULL handling and the logical operators' types. Floats: NaN equals NaN and is the greatest."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import QueryError
from hpckit.tables.evaluate_vectors import Datum, both, build, split, validity, values
from hpckit.tables.expr import Call, Literal
from hpckit.tables.functions import (
    FUNCTIONS,
    Function,
    Typed,
    check_count,
    coerce,
    common_type,
    comparison_type,
    convert,
    register,
    strict_call,
)
from hpckit.tables.types import BOOL, FLOAT, INT, NULL, STRING, sql_name

_ARROW = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def _float_less(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    return (a < b) | (~np.isnan(a) & np.isnan(b))


def _float_equal(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    return (a == b) | (np.isnan(a) & np.isnan(b))


_FLOATS = {
    "=": _float_equal,
    "<>": lambda a, b: ~_float_equal(a, b),
    "<": _float_less,
    "<=": lambda a, b: ~_float_less(b, a),
    ">": lambda a, b: _float_less(b, a),
    ">=": lambda a, b: ~_float_less(a, b),
}


def compare(operator: str, a: Datum, b: Datum) -> pa.Array:
    """a operator b, NULL where either is NULL."""
    if a.type != FLOAT:
        return _ARROW[operator](a, b)
    left, left_valid = split(a)
    right, right_valid = split(b)
    return build(_FLOATS[operator](left, right), both(left_valid, right_valid), BOOL)


def _bind_comparison(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    kind = comparison_type(args, name)
    if kind == NULL:
        return Literal(None, BOOL), BOOL
    return strict_call(name, *(convert(arg, kind) for arg in args), kind=BOOL), BOOL


def _comparison(operator: str) -> None:
    @register(operator, _bind_comparison)
    def run(a: Datum, b: Datum) -> pa.Array:
        return compare(operator, a, b)


for _operator in _ARROW:
    _comparison(_operator)


def _bind_null_safe(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    kind = comparison_type(args, name)
    kind = BOOL if kind == NULL else kind
    return Call(name, tuple(convert(arg, kind) for arg in args)), BOOL


def _null_flags(datum: Datum) -> np.ndarray | bool:
    if isinstance(datum, pa.Scalar):
        return not datum.is_valid
    valid = validity(datum)
    return False if valid is None else ~valid


@register("is_not_distinct", _bind_null_safe, strict=False)
def _is_not_distinct(a: Datum, b: Datum) -> pa.Array:
    length = len(a) if isinstance(a, pa.Array) else len(b)
    a_null, b_null = _null_flags(a), _null_flags(b)
    if any(isinstance(d, pa.Scalar) and not d.is_valid for d in (a, b)):
        return build(np.broadcast_to(np.logical_and(a_null, b_null), length), None, BOOL)
    same = compare("=", a, b)
    same = values(same) & ~np.logical_or(a_null, b_null)
    return build(same | np.logical_and(a_null, b_null), None, BOOL)


@register("is_distinct", _bind_null_safe, strict=False)
def _is_distinct(a: Datum, b: Datum) -> pa.Array:
    return pc.invert(_is_not_distinct(a, b))


def _bind_any(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 1, 1)
    return Call(name, (args[0][0],)), BOOL


@register("is_null", _bind_any, strict=False)
def _is_null(a: pa.Array) -> pa.Array:
    return pc.is_null(a)


@register("is_not_null", _bind_any, strict=False)
def _is_not_null(a: pa.Array) -> pa.Array:
    return pc.is_valid(a)


def _bind_in(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2)
    kind = comparison_type(args, "IN")
    if kind == NULL:
        return Literal(None, BOOL), BOOL
    return Call(name, tuple(convert(arg, kind) for arg in args)), BOOL


@register("in", _bind_in, strict=False)
def _in(value: Datum, *items: Datum) -> pa.Array:
    """SQL's IN: NULL if not found and the value or a list entry is NULL."""
    length = next(len(d) for d in (value, *items) if isinstance(d, pa.Array))
    if isinstance(value, pa.Scalar):
        value = pa.repeat(value, length)
    constants = [d for d in items if isinstance(d, pa.Scalar)]
    known = [d for d in constants if d.is_valid]
    found = np.zeros(length, np.bool_)
    if known and value.type == FLOAT:
        data = values(value) + 0.0  # -0 becomes 0
        wanted = np.array([d.as_py() for d in known], np.float64)
        found |= np.isin(data, wanted)
        if np.isnan(wanted).any():
            found |= np.isnan(data)
    elif known:
        found |= values(pc.is_in(value, value_set=pa.array([d.as_py() for d in known], value.type)))
    unknown = np.full(length, len(known) < len(constants))
    for item in items:
        if isinstance(item, pa.Array):
            equal = compare("=", value, item)
            valid = validity(equal)
            found |= values(equal) if valid is None else values(equal) & valid
            unknown |= _null_flags(item)
    value_valid = validity(value)
    if value_valid is not None:
        found = found & value_valid
        unknown = unknown | ~value_valid
    return build(found, found | ~unknown, BOOL)


def as_condition(typed: Typed, where: str) -> Typed:
    """The expression as BOOLEAN: numbers are true unless 0, text literals are read."""
    if typed[1] in (INT, FLOAT):
        return convert(typed, BOOL), BOOL
    return coerce(typed, BOOL, where), BOOL


def _bind_logical(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 1 if name == "not" else 2, 1 if name == "not" else None)
    return Call(name, tuple(as_condition(arg, name.upper())[0] for arg in args)), BOOL


@register("not", _bind_logical)
def _not(a: pa.Array) -> pa.Array:
    return pc.invert(a)


def _bind_case(name: str, args: list[Typed]) -> Typed:
    check_count("CASE", args, 3)
    results = [*args[1:-1:2], args[-1]]
    kind = common_type(results, "CASE")
    pieces = []
    for position, arg in enumerate(args):
        is_condition = position % 2 == 0 and position < len(args) - 1
        pieces.append(as_condition(arg, "CASE WHEN")[0] if is_condition else convert(arg, kind))
    return Call(name, tuple(pieces)), kind


def _bind_coalesce(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 1)
    kind = common_type(args, "COALESCE")
    return Call(name, tuple(convert(arg, kind) for arg in args)), kind


# These decide row by row which arguments matter: the evaluator computes them itself.
for _name, _bind in (("and", _bind_logical), ("or", _bind_logical), ("case", _bind_case), ("coalesce", _bind_coalesce)):
    FUNCTIONS[_name] = Function(_name, _bind, None, strict=False)


def _bind_extreme(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 1)
    kind = common_type(args, name)
    if kind == NULL:
        return Literal(None, NULL), NULL
    if kind == BOOL:
        raise QueryError(f"{name} of {sql_name(kind)} is not offered; use AND / OR")
    return Call(name, tuple(convert(arg, kind) for arg in args)), kind


def _extreme(operator: str, args: tuple[Datum, ...]) -> pa.Array:
    length = next(len(d) for d in args if isinstance(d, pa.Array))
    best: pa.Array | None = None
    for datum in args:
        array = pa.repeat(datum, length) if isinstance(datum, pa.Scalar) else datum
        if best is None:
            best = array
            continue
        better = compare(operator, array, best)
        take_new = pc.or_(pc.fill_null(better, False), pc.is_null(best))
        best = pc.if_else(take_new, array, best)
    return best


@register("greatest", _bind_extreme, strict=False)
def _greatest(*args: Datum) -> pa.Array:
    return _extreme(">", args)


@register("least", _bind_extreme, strict=False)
def _least(*args: Datum) -> pa.Array:
    return _extreme("<", args)


def _bind_nullif(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    kind = args[0][1]
    equal, _ = _bind_comparison("=", args)
    return Call("case", (equal, Literal(None, STRING if kind == NULL else kind), args[0][0])), kind


FUNCTIONS["nullif"] = Function("nullif", _bind_nullif, None, strict=False)

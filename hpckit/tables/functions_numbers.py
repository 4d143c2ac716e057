"""Arithmetic and mathematics. Integers are int64 and overflow is an error; floats follow IEEE 754.

Division by zero (/, //, %) is NULL.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import QueryError
from hpckit.tables.evaluate_vectors import Datum, Values, both, build, split
from hpckit.tables.expr import Call, Literal
from hpckit.tables.functions import Typed, check_count, coerce, convert, function, register
from hpckit.tables.functions_time import bind_time_arithmetic
from hpckit.tables.render import to_text
from hpckit.tables.types import BOOL, DATE, FLOAT, INT, INTERVAL, NULL, TIMESTAMP, is_number, sql_name

_CHECKED = {"+": pc.add_checked, "-": pc.subtract_checked, "*": pc.multiply_checked}
_INT64_MIN = -(2**63)
_TIMES = (TIMESTAMP, DATE, INTERVAL)


def _mismatch(name: str, args: list[Typed]) -> QueryError:
    kinds = ", ".join(sql_name(kind) for _, kind in args)
    texts = ", ".join(to_text(expr) for expr, _ in args)
    return QueryError(f"operator {name} does not take ({kinds}) in ({texts}); write a CAST")


def _numbers(name: str, args: list[Typed]) -> tuple[list, pa.DataType] | None:
    """The arguments as numbers of one type, or None if one is neither number nor NULL."""
    if not all(is_number(kind) or kind == NULL for _, kind in args):
        return None
    target = FLOAT if any(kind == FLOAT for _, kind in args) else INT
    return [convert(arg, target) for arg in args], target


def _bind_arithmetic(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    numbers = _numbers(name, args)
    if numbers is not None:
        return Call(name, tuple(numbers[0])), numbers[1]
    timed = bind_time_arithmetic(name, args)
    if timed is None:
        raise _mismatch(name, args)
    return timed


def _arithmetic(name: str) -> None:
    @register(name, _bind_arithmetic, raises=True)
    def run(a: Datum, b: Datum) -> pa.Array:
        if pa.types.is_temporal(a.type) or pa.types.is_temporal(b.type):
            return _time_arithmetic(name, a, b)
        return _CHECKED[name](a, b)


for _name in _CHECKED:
    _arithmetic(_name)


def _as_integers(datum: Datum) -> Datum:
    if datum.type == DATE:
        return datum.cast(pa.int32()).cast(INT)
    return datum.cast(INT) if pa.types.is_temporal(datum.type) else datum


def _time_arithmetic(name: str, a: Datum, b: Datum) -> pa.Array:
    """Sums and differences of times (the binder left only sensible pairs), with overflow checked."""
    result = _CHECKED[name](_as_integers(a), _as_integers(b))
    if a.type == DATE or b.type == DATE:
        return result if a.type == b.type else result.cast(pa.int32()).cast(DATE)
    if name == "*" or INTERVAL == a.type == b.type or (name == "-" and a.type == b.type):
        return result.cast(INTERVAL)
    return result.cast(TIMESTAMP)


def _bind_divide(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    if args[0][1] == INTERVAL and args[1][1] == INT:
        return Call("interval_divide", (args[0][0], args[1][0])), INTERVAL
    if _numbers(name, args) is None:
        raise _mismatch(name, args)
    return Call(name, tuple(convert(arg, FLOAT) for arg in args)), FLOAT


def _nonzero(divisor: Values, valid: np.ndarray | None, length: int) -> np.ndarray | None:
    """Validity of a quotient: the operands' and a divisor that is not 0."""
    nonzero = divisor != 0
    if not isinstance(nonzero, np.ndarray):
        return valid if nonzero else np.zeros(length, np.bool_)
    if nonzero.all():
        return valid
    return both(valid, nonzero)


def _length(*data: Datum) -> int:
    return next(len(d) for d in data if isinstance(d, pa.Array))


@register("/", _bind_divide)
def _divide(a: Datum, b: Datum) -> pa.Array:
    x, x_valid = split(a)
    y, y_valid = split(b)
    with np.errstate(all="ignore"):
        quotient = np.true_divide(x, y) if isinstance(y, np.ndarray) or y != 0 else np.zeros(len(a))
    return build(quotient, _nonzero(y, both(x_valid, y_valid), _length(a, b)), FLOAT)


@register("interval_divide", lambda name, args: (Call(name, tuple(e for e, _ in args)), INTERVAL))
def _interval_divide(a: Datum, b: Datum) -> pa.Array:
    """Rounded to microseconds, half to even."""
    x, x_valid = split(a)
    y, y_valid = split(b)
    length = _length(a, b)
    valid = _nonzero(y, both(x_valid, y_valid), length)
    size, divisor = np.abs(x), np.abs(np.where(np.asarray(y) == 0, 1, y))
    quotient = size // divisor
    twice = 2 * (size - quotient * divisor)
    quotient += (twice > divisor) | ((twice == divisor) & (quotient % 2 == 1))
    return build(np.broadcast_to(quotient * np.sign(x) * np.sign(y), length), valid, INTERVAL)


def _bind_truncating(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    numbers = _numbers(name, args)
    if numbers is None:
        raise _mismatch(name, args)
    if name == "//" and numbers[1] == FLOAT:
        return Call("/", tuple(numbers[0])), FLOAT
    return Call(name, tuple(numbers[0])), numbers[1]


def _truncating(name: str, a: Datum, b: Datum) -> pa.Array:
    """Integer quotient rounded towards zero, or the remainder with the dividend's sign."""
    x, x_valid = split(a)
    y, y_valid = split(b)
    length = _length(a, b)
    valid = _nonzero(y, both(x_valid, y_valid), length)
    y = np.where(y == 0, 1, y) if isinstance(y, np.ndarray) else (y or 1)
    with np.errstate(all="ignore"):
        if name == "%":
            remainder = np.fmod(x, y)
            # the one pair whose quotient overflows has remainder 0
            return build(np.broadcast_to(remainder, length), valid, INT)
        overflow = np.broadcast_to((np.asarray(x) == _INT64_MIN) & (np.asarray(y) == -1), length)
        if (overflow if valid is None else overflow & valid).any():
            raise QueryError(f"integer overflow in {_INT64_MIN} // -1")
        quotient = np.floor_divide(x, y)
        remainder = x - quotient * y
        return build(np.broadcast_to(quotient + ((remainder != 0) & ((x < 0) != (y < 0))), length), valid, INT)


@register("//", _bind_truncating, raises=True)
def _integer_divide(a: Datum, b: Datum) -> pa.Array:
    return _truncating("//", a, b)


@register("%", _bind_truncating)
def _modulo(a: Datum, b: Datum) -> pa.Array:
    if a.type == INT:
        return _truncating("%", a, b)
    x, x_valid = split(a)
    y, y_valid = split(b)
    with np.errstate(all="ignore"):
        rest = np.broadcast_to(np.fmod(x, y), _length(a, b))
    return build(rest, _nonzero(y, both(x_valid, y_valid), len(rest)), FLOAT)


def _bind_same(name: str, args: list[Typed]) -> Typed:
    """One number (or interval) in, the same type out."""
    check_count(name, args, 1, 1)
    expr, kind = args[0]
    if kind == NULL:
        return Literal(None, INT), INT
    if not is_number(kind) and not (name == "neg" and kind == INTERVAL):
        raise _mismatch(name, args)
    return Call(name, (expr,)), kind


@register("neg", _bind_same, raises=True)
def _neg(a: pa.Array) -> pa.Array:
    if a.type == INTERVAL:
        return pc.negate_checked(a.cast(INT)).cast(INTERVAL)
    return pc.negate_checked(a)


@register("abs", _bind_same, raises=True)
def _abs(a: pa.Array) -> pa.Array:
    return pc.abs_checked(a)


def _bind_sign(name: str, args: list[Typed]) -> Typed:
    return _bind_same(name, args)[0], INT


@register("sign", _bind_sign)
def _sign(a: pa.Array) -> pa.Array:
    data, valid = split(a)
    return build((data > 0).astype(np.int64) - (data < 0), valid, INT)


def _bind_round(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 1, 2)
    number, kind = _bind_same(name, args[:1])
    if isinstance(number, Literal):
        return number, kind
    places = coerce(args[1], INT, name) if len(args) == 2 else Literal(0, INT)
    return Call(name, (*number.children, places)), kind


@register("round", _bind_round, raises=True)
def _round(a: Datum, places: Datum) -> pa.Array:
    """Half away from zero, computed as DuckDB does: scaled by a power of ten, rounded, scaled back."""
    x, x_valid = split(a)
    digits, digits_valid = split(places)
    length, valid = _length(a, places), both(x_valid, digits_valid)
    x = np.broadcast_to(x, length)
    if a.type == INT:
        return _round_integers(x, np.broadcast_to(digits, length), valid)
    with np.errstate(all="ignore"):
        scale = np.power(10.0, np.abs(digits).astype(np.float64) if isinstance(digits, np.ndarray) else abs(digits))
        down = np.asarray(digits) < 0
        scaled = np.where(down, x / scale, x * scale)
        whole = np.trunc(scaled)
        rounded = whole + np.where(np.abs(scaled - whole) >= 0.5, np.copysign(1.0, scaled), 0.0)
        rounded = np.where(rounded == 0, np.copysign(0.0, x), rounded)
        result = np.where(down, rounded * scale, rounded / scale)
        fallback = np.where(down & np.isfinite(x), 0.0, x)
    return build(np.where(np.isfinite(result), result, fallback), valid, FLOAT)


def _round_integers(x: np.ndarray, digits: np.ndarray, valid: np.ndarray | None) -> pa.Array:
    result = x.copy()
    for places in np.unique(digits[digits < 0]):
        rows = digits == places
        if places < -18:
            result[rows] = 0
            continue
        scale = 10 ** int(-places)
        rest = np.fmod(x[rows], scale)
        base = x[rows] - rest
        step = np.where(np.abs(rest) >= scale // 2, np.sign(rest) * scale, 0)
        rounded = base + step
        if ((rounded > 0) != (x[rows] > 0))[(rounded != 0)].any():
            raise QueryError(f"integer overflow in round(…, {places})")
        result[rows] = rounded
    return build(result, valid, INT)


def _unary(name: str, compute: np.ufunc) -> None:
    @function(name, "f", FLOAT)
    def run(a: pa.Array) -> pa.Array:
        data, valid = split(a)
        with np.errstate(all="ignore"):
            return build(compute(data), valid, FLOAT)


for _name, _ufunc in {
    "floor": np.floor,
    "ceil": np.ceil,
    "sqrt": np.sqrt,
    "cbrt": np.cbrt,
    "exp": np.exp,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "degrees": np.degrees,
    "radians": np.radians,
}.items():
    _unary(_name, _ufunc)


def _bind_trunc(name: str, args: list[Typed]) -> Typed:
    bound, kind = _bind_same(name, args)
    return (args[0][0], INT) if kind == INT else (bound, FLOAT)


@register("trunc", _bind_trunc)
def _trunc(a: pa.Array) -> pa.Array:
    data, valid = split(a)
    return build(np.trunc(data), valid, FLOAT)


def _binary_float(name: str, compute: Callable[[Values, Values], Values]) -> None:
    @function(name, "ff", FLOAT)
    def run(a: Datum, b: Datum) -> pa.Array:
        x, x_valid = split(a)
        y, y_valid = split(b)
        with np.errstate(all="ignore"):
            return build(np.broadcast_to(compute(x, y), _length(a, b)), both(x_valid, y_valid), FLOAT)


_binary_float("pow", np.power)
_binary_float("atan2", np.arctan2)
_binary_float("log_base", lambda base, x: np.log10(x) / np.log10(base))


def _float_test(name: str, compute: np.ufunc) -> None:
    @function(name, "f", BOOL)
    def run(a: pa.Array) -> pa.Array:
        data, valid = split(a)
        return build(compute(data), valid, BOOL)


for _name, _ufunc in (("isnan", np.isnan), ("isinf", np.isinf), ("isfinite", np.isfinite)):
    _float_test(_name, _ufunc)


@function("pi", "", FLOAT)
def _pi() -> pa.Array:
    return pa.array([math.pi])


def _bitwise(name: str, compute: np.ufunc) -> None:
    @function(name, "ii", INT)
    def run(a: Datum, b: Datum) -> pa.Array:
        x, x_valid = split(a)
        y, y_valid = split(b)
        return build(np.broadcast_to(compute(x, y), _length(a, b)), both(x_valid, y_valid), INT)


for _name, _combine in (("&", np.bitwise_and), ("|", np.bitwise_or), ("xor", np.bitwise_xor)):
    _bitwise(_name, _combine)


@function("bit_not", "i", INT)
def _bit_not(a: pa.Array) -> pa.Array:
    data, valid = split(a)
    return build(~data, valid, INT)


@function(">>", "ii", INT)
def _shift_right(a: Datum, b: Datum) -> pa.Array:
    x, x_valid = split(a)
    y, y_valid = split(b)
    length = _length(a, b)
    shift = np.broadcast_to(y, length)
    inside = (shift >= 0) & (shift < 64)
    shifted = np.right_shift(np.broadcast_to(x, length), np.where(inside, shift, 0))
    return build(np.where(inside, shifted, 0), both(x_valid, y_valid), INT)


@function("<<", "ii", INT, raises=True)
def _shift_left(a: Datum, b: Datum) -> pa.Array:
    x, x_valid = split(a)
    y, y_valid = split(b)
    length, valid = _length(a, b), both(x_valid, y_valid)
    data, shift = np.broadcast_to(x, length), np.broadcast_to(y, length)
    checked = np.ones(length, np.bool_) if valid is None else valid
    bad = checked & ((shift < 0) | (data < 0) | ((shift >= 64) & (data != 0)))
    small = np.clip(shift, 0, 63)
    bad |= checked & ((data >> (63 - small)) != 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise QueryError(f"left shift {data[row]} << {shift[row]} is out of range")
    return build(np.where(shift > 63, 0, data << small), valid, INT)


def _outside(a: pa.Array, limit: pa.Scalar) -> np.ndarray:
    data, valid = split(a)
    outside = (data < -limit.as_py()) | (data >= limit.as_py())
    return outside if valid is None else outside & valid


@function("narrow", "ii", INT, raises=True)
def _narrow(a: pa.Array, limit: pa.Scalar) -> pa.Array:
    """The integers as they are, refused outside -limit .. limit-1: CAST to a type of fewer bits."""
    outside = _outside(a, limit)
    if outside.any():
        number = split(a)[0][int(np.argmax(outside))]
        bits = limit.as_py().bit_length()
        raise QueryError(f"{number} does not fit an integer of {bits} bits; CAST to BIGINT, or TRY_CAST for NULL")
    return a


@function("try_narrow", "ii", INT)
def _try_narrow(a: pa.Array, limit: pa.Scalar) -> pa.Array:
    """As narrow, NULL outside."""
    data, valid = split(a)
    return build(data, both(valid, ~_outside(a, limit)), INT)

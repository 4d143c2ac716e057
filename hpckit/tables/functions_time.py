"""Functions of time: truncation, parts, conversions to and from numbers, arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from hpckit.errors import QueryError, UnsupportedError
from hpckit.tables.civil_time import (
    CLOCK_PARTS,
    DAY,
    FIXED,
    HOUR,
    MINUTE,
    MONTHS_IN,
    SECOND,
    add_months,
    month_start_day,
    months_of,
    part,
    truncate,
    unit_named,
)
from hpckit.tables.evaluate_vectors import Datum, both, build, split
from hpckit.tables.expr import Call, Expr, Literal
from hpckit.tables.functions import (
    Typed,
    check_count,
    coerce,
    convert,
    function,
    register,
    strict_call,
)
from hpckit.tables.render import to_text
from hpckit.tables.types import CALENDAR_INTERVAL, DATE, FLOAT, INT, INTERVAL, NULL, STRING, TIMESTAMP


def _unit_argument(typed: Typed, where: str) -> str:
    expr, kind = typed
    if not isinstance(expr, Literal) or kind != STRING or expr.value is None:
        raise QueryError(f"{where}: the unit must be a constant such as 'hour', not {to_text(expr)}")
    return unit_named(expr.value, where)


def _bind_trunc(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    unit = _unit_argument(args[0], name)
    if unit == "epoch":
        unit = "second"
    return Call(name, (Literal(unit, args[0][1]), coerce(args[1], TIMESTAMP, name))), TIMESTAMP


@register("date_trunc", _bind_trunc, rows=1)
def _date_trunc(unit: pa.Scalar, time: pa.Array) -> pa.Array:
    micros, valid = split(time)
    return build(truncate(micros, unit.as_py()), valid, TIMESTAMP)


def _bind_part(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    unit = _unit_argument(args[0], name)
    kind = args[1][1]
    if unit == "epoch":
        return Call("epoch", (args[1][0] if kind == INTERVAL else coerce(args[1], TIMESTAMP, name),)), FLOAT
    if kind == INTERVAL:
        if unit not in ("hour", "minute", "second", "millisecond", "microsecond", "day"):
            raise QueryError(f"{name}: an INTERVAL has no {unit}; use epoch({to_text(args[1][0])}) for its seconds")
        return Call("interval_part", (Literal(unit, args[0][1]), args[1][0])), INT
    return Call(name, (Literal(unit, args[0][1]), coerce(args[1], TIMESTAMP, name))), INT


@register("date_part", _bind_part, rows=1)
def _date_part(unit: pa.Scalar, time: pa.Array) -> pa.Array:
    micros, valid = split(time)
    return build(part(micros, unit.as_py()), valid, INT)


def _keep(result: pa.DataType) -> Callable[[str, list[Typed]], Typed]:
    """Binder of calls that this module makes itself, already typed."""
    return lambda name, args: (Call(name, tuple(expr for expr, _ in args)), result)


@register("interval_part", _keep(INT), rows=1)
def _interval_part(unit: pa.Scalar, interval: pa.Array) -> pa.Array:
    """Parts of the difference of two timestamps: whole days and a clock, both with the sign of the difference."""
    micros, valid = split(interval)
    modulus, divisor = CLOCK_PARTS.get(unit.as_py(), (0, DAY))
    rest = np.fmod(micros, modulus) if modulus else micros
    return build(np.sign(rest) * (np.abs(rest) // divisor), valid, INT)


def _bind_epoch(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 1, 1)
    expr = args[0][0] if args[0][1] == INTERVAL else coerce(args[0], TIMESTAMP, name)
    return Call(name, (expr,)), FLOAT if name == "epoch" else INT


@register("epoch", _bind_epoch)
def _epoch(time: pa.Array) -> pa.Array:
    micros, valid = split(time)
    return build(micros / 1e6, valid, FLOAT)


def _bind_epoch_ms(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 1, 1)
    if args[0][1] == INT:  # epoch_ms(BIGINT) is the inverse
        micros = strict_call("*", args[0][0], Literal(1000, INT), kind=INT)
        return strict_call("from_micros", micros, kind=TIMESTAMP), TIMESTAMP
    return _bind_epoch(name, args)


@register("epoch_ms", _bind_epoch_ms)
def _epoch_ms(time: pa.Array) -> pa.Array:
    """Milliseconds, rounded half away from zero."""
    micros, valid = split(time)
    return build(np.sign(micros) * ((np.abs(micros) + 500) // 1000), valid, INT)


@register("epoch_us", _bind_epoch)
def _epoch_us(time: pa.Array) -> pa.Array:
    micros, valid = split(time)
    return build(micros, valid, INT)


@register("epoch_ns", _bind_epoch, raises=True)
def _epoch_ns(time: pa.Array) -> pa.Array:
    micros, valid = split(time)
    far = np.abs(micros) > (2**63 - 1) // 1000
    if (far if valid is None else far & valid).any():
        raise QueryError("epoch_ns: a time is beyond the years 1677 to 2262 that nanoseconds can count")
    return build(micros * 1000, valid, INT)


@function("from_micros", "i", TIMESTAMP)
def _from_micros(micros: pa.Array) -> pa.Array:
    return micros.cast(TIMESTAMP)


@function("to_timestamp", "f", TIMESTAMP, raises=True)
def _to_timestamp(seconds: pa.Array) -> pa.Array:
    data, valid = split(seconds)
    with np.errstate(invalid="ignore"):
        micros = np.rint(data * 1e6)
        bad = ~(np.abs(micros) < 2.0**63)
        if (bad if valid is None else bad & valid).any():
            raise QueryError("to_timestamp: a number of seconds is not a time (NaN, infinite or too large)")
        return build(np.where(bad, 0, micros).astype(np.int64), valid, TIMESTAMP)


def _interval_from(name: str, width: int) -> None:
    @function(name, "i", INTERVAL, raises=True)
    def run(count: pa.Array) -> pa.Array:
        data, valid = split(count)
        far = np.abs(data) > (2**63 - 1) // width
        if (far if valid is None else far & valid).any():
            raise QueryError(f"{name}: the interval is too long")
        return build(data * width, valid, INTERVAL)


for _name, _width in (
    ("to_microseconds", 1),
    ("to_milliseconds", 1000),
    ("to_seconds", SECOND),
    ("to_minutes", MINUTE),
    ("to_hours", HOUR),
    ("to_days", DAY),
    ("to_weeks", 7 * DAY),
):
    _interval_from(_name, _width)


def bind_time_arithmetic(name: str, args: list[Typed]) -> Typed | None:
    """+ - * where a time or an interval takes part; None if the pair makes no sense."""
    (a, ak), (b, bk) = args
    if name == "*":
        pair = {ak, bk}
        return (Call("*", (a, b)), INTERVAL) if pair == {INTERVAL, INT} else None
    if name == "+" and (ak in (INTERVAL, CALENDAR_INTERVAL) or ak == INT) and bk in (TIMESTAMP, DATE):
        return bind_time_arithmetic(name, [args[1], args[0]])
    if ak in (TIMESTAMP, DATE) and bk == CALENDAR_INTERVAL:
        return _add_calendar(coerce(args[0], TIMESTAMP, name), b, -1 if name == "-" else 1), TIMESTAMP
    if ak in (TIMESTAMP, DATE) and bk == INTERVAL:
        return Call(name, (coerce(args[0], TIMESTAMP, name), b)), TIMESTAMP
    if ak == DATE and bk == INT:
        return Call(name, (a, b)), DATE
    if INTERVAL == ak == bk:
        return Call(name, (a, b)), INTERVAL
    if name == "-" and DATE == ak == bk:
        return Call(name, (a, b)), INT
    if name == "-" and {ak, bk} <= {TIMESTAMP, DATE}:
        return Call(name, (convert(args[0], TIMESTAMP), convert(args[1], TIMESTAMP))), INTERVAL
    if NULL in (ak, bk):
        known = bk if ak == NULL else ak
        return Literal(None, known), known
    return None


def _add_calendar(time: Expr, interval: Expr, sign: int) -> Expr:
    assert isinstance(interval, Literal)  # nothing computes intervals with months, they are only written down
    months, days, nanos = interval.value
    shifted = strict_call("add_months", time, Literal(sign * months, INT), kind=TIMESTAMP)
    rest = days * DAY + nanos // 1000
    if not rest:
        return shifted
    return strict_call("+" if sign > 0 else "-", shifted, Literal(rest, INTERVAL), kind=TIMESTAMP)


@register("add_months", _keep(TIMESTAMP))
def _add_months(time: pa.Array, count: pa.Scalar) -> pa.Array:
    micros, valid = split(time)
    return build(add_months(micros, count.as_py()), valid, TIMESTAMP)


@function("last_day", "t", DATE)
def _last_day(time: pa.Array) -> pa.Array:
    micros, valid = split(time)
    return build(month_start_day(months_of(micros) + 1) - 1, valid, DATE)


def _bind_difference(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 3, 3)
    unit = _unit_argument(args[0], name)
    if unit == "week":  # DuckDB 1 counts Mondays, DuckDB 2 whole weeks
        raise UnsupportedError(f"{name}('week', …) is not offered; write {name}('day', …) // 7 for whole weeks")
    if unit not in FIXED and unit not in MONTHS_IN:
        raise QueryError(f"{name}: no differences in unit '{unit}'")
    return Call(name, (Literal(unit, args[0][1]), *(coerce(a, TIMESTAMP, name) for a in args[1:]))), INT


@register("date_diff", _bind_difference, rows=1)
def _date_diff(unit: pa.Scalar, start: Datum, stop: Datum) -> pa.Array:
    """Boundaries of the unit between the two times."""
    a, a_valid = split(start)
    b, b_valid = split(stop)
    a, b = np.broadcast_arrays(np.asarray(a, np.int64), np.asarray(b, np.int64))
    name = unit.as_py()
    if name in MONTHS_IN:
        count, shift = MONTHS_IN[name], 1970 * 12
        result = (months_of(b.copy()) + shift) // count - (months_of(a.copy()) + shift) // count
    else:
        result = b // FIXED[name] - a // FIXED[name]
    return build(result, both(a_valid, b_valid), INT)

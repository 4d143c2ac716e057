"""time_bucket: times rounded down to multiples of an interval, counted from an origin."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hpckit.errors import QueryError
from hpckit.tables.civil_time import DAY, month_start, months_of
from hpckit.tables.evaluate_vectors import build, split
from hpckit.tables.expr import Call, Expr, Literal
from hpckit.tables.functions import Typed, check_count, coerce, convert, register, strict_call
from hpckit.tables.intervals import parse_interval
from hpckit.tables.render import to_text
from hpckit.tables.types import CALENDAR_INTERVAL, DATE, INT, INTERVAL, STRING, TIMESTAMP

_ORIGIN = 10_959 * DAY  # Monday 2000-01-03, so that weeks start on Mondays
_MONTH_ORIGIN = 10_957 * DAY  # 2000-01-01


def _width(typed: Typed, where: str) -> tuple[int, int]:
    """(months, microseconds) of the bucket; exactly one of them is positive."""
    expr, kind = typed
    if isinstance(expr, Literal) and kind == STRING:
        months, micros = parse_interval(expr.value)
    elif isinstance(expr, Literal) and kind == INTERVAL:
        months, micros = 0, expr.value
    elif isinstance(expr, Literal) and kind == CALENDAR_INTERVAL:
        months, micros = expr.value[0], expr.value[1] * DAY + expr.value[2] // 1000
    else:
        raise QueryError(f"{where}: the width must be a constant such as INTERVAL '5 minutes', not {to_text(expr)}")
    if (months and micros) or months < 0 or micros < 0 or not (months or micros):
        raise QueryError(f"{where}: the width must be positive, in months or in smaller units but not both")
    return months, micros


def _bind(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 3)
    months, micros = _width(args[0], name)
    result = DATE if args[1][1] == DATE else TIMESTAMP
    time = coerce(args[1], TIMESTAMP, name)
    shift = 0  # time_bucket(width, time, offset) counts from the default origin plus the offset
    origin: Expr = Literal(_MONTH_ORIGIN if months else _ORIGIN, TIMESTAMP)
    if len(args) == 3:
        third, kind = args[2]
        if kind == INTERVAL and isinstance(third, Literal):
            shift = third.value
        elif kind == CALENDAR_INTERVAL:
            raise QueryError(f"{name}: an offset in months is not offered; give an origin such as DATE '2000-02-01'")
        else:
            origin = coerce(args[2], TIMESTAMP, name)
            if not isinstance(origin, Literal):
                raise QueryError(f"{name}: the origin must be a constant timestamp, not {to_text(third)}")
    unit = "time_bucket_months" if months else "time_bucket"
    call = strict_call(unit, Literal(months or micros, INT), time, origin, Literal(shift, INT), kind=TIMESTAMP)
    return convert((call, TIMESTAMP), result), result


def _keep(name: str, args: list[Typed]) -> Typed:
    return Call(name, tuple(expr for expr, _ in args)), TIMESTAMP


def _rebind(name: str, args: list[Typed]) -> Typed:
    """User calls come with an interval first; calls bound before with four typed arguments."""
    return _keep(name, args) if len(args) == 4 and args[0][1] == INT else _bind(name, args)


@register("time_bucket", _rebind, rows=1)
def _time_bucket(width: pa.Scalar, time: pa.Array, origin: pa.Scalar, shift: pa.Scalar) -> pa.Array:
    micros, valid = split(time)
    step = width.as_py()
    start = (split(origin)[0] + shift.as_py()) % step
    if start == 0:
        return build(micros // step * step, valid, TIMESTAMP)
    return build((micros - start) // step * step + start, valid, TIMESTAMP)


@register("time_bucket_months", _keep, rows=1)
def _time_bucket_months(width: pa.Scalar, time: pa.Array, origin: pa.Scalar, shift: pa.Scalar) -> pa.Array:
    """Whole months; an origin inside a month counts as the month's start, as in DuckDB."""
    micros, valid = split(time)
    step, offset = width.as_py(), shift.as_py()
    first = int(months_of(np.array([split(origin)[0]], np.int64))[0])
    index = (months_of(micros - offset) - first) // step * step + first
    return build(month_start(index) + offset, valid, TIMESTAMP)

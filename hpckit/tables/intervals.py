"""INTERVAL texts: '5 minutes', '1 day 02:30:00', '3 months' as months and microseconds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hpckit.errors import QueryError
from hpckit.tables.civil_time import DAY, HOUR, MINUTE, MONTHS_IN, SECOND, unit_named

if TYPE_CHECKING:
    from fractions import Fraction

_MICROS = {
    "microsecond": 1,
    "millisecond": 1000,
    "second": SECOND,
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": 7 * DAY,
}
_PIECE = re.compile(r"\s*([+-]?)\s*(?:(\d+):(\d\d?)(?::(\d\d?(?:\.\d+)?))?|(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]+))\s*")


def interval_of(count: Fraction, unit_name: str) -> tuple[int, int]:
    """(months, microseconds) of `count` units."""
    unit = unit_named(unit_name, "INTERVAL")
    if unit in MONTHS_IN:
        months = count * MONTHS_IN[unit]
        if months.denominator != 1:
            raise QueryError(f"INTERVAL: {float(count)} {unit_name} is not a whole number of months")
        return int(months), 0
    if unit not in _MICROS:
        raise QueryError(f"INTERVAL: '{unit_name}' is not a unit of length")
    return 0, int(count * _MICROS[unit])


def parse_interval(text: str) -> tuple[int, int]:
    """(months, microseconds) of an interval's text."""
    from fractions import Fraction

    months, micros, position = 0, 0, 0
    if not text.strip():
        raise QueryError("INTERVAL '': give a length such as '5 minutes'")
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:
            raise QueryError(f"INTERVAL '{text}': cannot read '{text[position:]}'; write for example '1 day 2 hours'")
        sign, hours, minutes, seconds, number, unit = match.groups()
        factor = -1 if sign == "-" else 1
        if number is not None:
            more_months, more_micros = interval_of(Fraction(number if number[-1] != "." else number[:-1]), unit)
        else:
            more_months = 0
            more_micros = int(hours) * HOUR + int(minutes) * MINUTE + int(Fraction(seconds or 0) * SECOND)
        months += factor * more_months
        micros += factor * more_micros
        position = match.end()
    return months, micros

"""Calendar arithmetic in NumPy: integer microseconds since 1970, proleptic Gregorian, UTC."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpckit.errors import QueryError

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 86_400 * SECOND
MONDAY = 4 * DAY  # the first Monday after the epoch, 1970-01-05

_UNIT_ALIASES = {
    "microsecond": "microseconds us usec usecs usecond useconds",
    "millisecond": "milliseconds ms msec msecs",
    "second": "seconds s sec secs",
    "minute": "minutes m min mins",
    "hour": "hours h hr hrs",
    "day": "days d dayofmonth",
    "week": "weeks w weekofyear",
    "month": "months mon mons",
    "quarter": "quarters",
    "year": "years y yr yrs",
    "decade": "decades dec decs",
    "century": "centuries cent c",
    "millennium": "millennia mil mils millenia",
    "dow": "dayofweek weekday",
    "isodow": "",
    "doy": "dayofyear",
    "isoyear": "",
    "yearweek": "",
    "epoch": "",
}
_UNITS = {alias: unit for unit, names in _UNIT_ALIASES.items() for alias in [unit, *names.split()]}

FIXED = {"microsecond": 1, "millisecond": 1000, "second": SECOND, "minute": MINUTE, "hour": HOUR, "day": DAY}
MONTHS_IN = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200, "millennium": 12_000}
_DAY_UNITS = ("dow", "isodow", "doy")  # date_trunc takes them for the day


def unit_named(name: str, where: str) -> str:
    """The canonical unit for one of its names."""
    unit = _UNITS.get(name.strip().lower())
    if unit is None:
        raise QueryError(f"{where}: unknown unit '{name}'; known are {', '.join(_UNIT_ALIASES)}")
    return unit


def months_of(micros: np.ndarray) -> np.ndarray:
    """Months since January 1970."""
    return micros.view("M8[us]").astype("M8[M]").view(np.int64)


def month_start(months: np.ndarray) -> np.ndarray:
    """Microseconds of the first of each month."""
    return month_start_day(months) * DAY


def month_start_day(months: np.ndarray) -> np.ndarray:
    """Days since 1970 of the first of each month."""
    return np.ascontiguousarray(months).view("M8[M]").astype("M8[D]").view(np.int64)


def _to_multiple(micros: np.ndarray, width: int, origin: int = 0) -> np.ndarray:
    if origin:
        return (micros - origin) // width * width + origin
    return micros // width * width


def truncate(micros: np.ndarray, unit: str) -> np.ndarray:
    """date_trunc for one unit."""
    if unit in FIXED:
        return micros if unit == "microsecond" else _to_multiple(micros, FIXED[unit])
    if unit in _DAY_UNITS:
        return _to_multiple(micros, DAY)
    if unit in ("week", "yearweek"):
        return _to_multiple(micros, 7 * DAY, MONDAY)
    if unit == "isoyear":
        fourth = (iso_year(micros // DAY) - 1970) * 12
        return _to_multiple(month_start(fourth) + 3 * DAY, 7 * DAY, MONDAY)
    if unit not in MONTHS_IN:
        raise QueryError(f"date_trunc: unit '{unit}' cannot be truncated to")
    count = MONTHS_IN[unit]
    shift = 1970 * 12  # years are counted from 0, so that decades start in years ending in 0
    return month_start((months_of(micros) + shift) // count * count - shift)


def iso_year(days: np.ndarray) -> np.ndarray:
    """The ISO 8601 year: that of the week's Thursday."""
    thursday = days - (days + 3) % 7 + 3
    return thursday.view("M8[D]").astype("M8[Y]").view(np.int64) + 1970


def _iso_week(days: np.ndarray) -> np.ndarray:
    thursday = days - (days + 3) % 7 + 3
    new_year = month_start_day((iso_year(days) - 1970) * 12)
    return (thursday - new_year) // 7 + 1


def _year(days: np.ndarray) -> np.ndarray:
    return days.view("M8[D]").astype("M8[Y]").view(np.int64) + 1970


def _month(days: np.ndarray) -> np.ndarray:
    return days.view("M8[D]").astype("M8[M]").view(np.int64) % 12 + 1


def _ordinal(year: np.ndarray, width: int) -> np.ndarray:
    """Century or millennium: 1-based, and counted backwards before year 1."""
    return np.where(year > 0, (year - 1) // width + 1, -((-year) // width + 1))


_DAY_PARTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "year": _year,
    "month": _month,
    "quarter": lambda days: (_month(days) - 1) // 3 + 1,
    "day": lambda days: days - month_start_day(days.view("M8[D]").astype("M8[M]").view(np.int64)) + 1,
    "dow": lambda days: (days + 4) % 7,
    "isodow": lambda days: (days + 3) % 7 + 1,
    "doy": lambda days: days - month_start_day((_year(days) - 1970) * 12) + 1,
    "week": _iso_week,
    "isoyear": iso_year,
    "yearweek": lambda days: iso_year(days) * 100 + np.where(iso_year(days) > 0, 1, -1) * _iso_week(days),
    "decade": lambda days: np.trunc(_year(days) / 10).astype(np.int64),
    "century": lambda days: _ordinal(_year(days), 100),
    "millennium": lambda days: _ordinal(_year(days), 1000),
}
CLOCK_PARTS = {  # unit: (modulus, divisor) of the microseconds
    "hour": (DAY, HOUR),
    "minute": (HOUR, MINUTE),
    "second": (MINUTE, SECOND),
    "millisecond": (MINUTE, 1000),
    "microsecond": (MINUTE, 1),
}


def part(micros: np.ndarray, unit: str) -> np.ndarray:
    """date_part for one unit but epoch: int64."""
    if unit in CLOCK_PARTS:
        modulus, divisor = CLOCK_PARTS[unit]
        return micros % modulus // divisor
    return _DAY_PARTS[unit](micros // DAY)


def add_months(micros: np.ndarray, count: int) -> np.ndarray:
    """The same day and clock `count` months later; the month's last day if it has no such day."""
    days = micros // DAY
    months = months_of(micros)
    day = days - month_start_day(months)
    first = month_start_day(months + count)
    last = month_start_day(months + count + 1) - first - 1
    return (first + np.minimum(day, last)) * DAY + (micros - days * DAY)

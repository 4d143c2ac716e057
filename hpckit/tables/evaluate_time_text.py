"""Dates, timestamps and intervals from and to text, in vectors: a regular expression cuts, integers compute."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.tables.civil_time import DAY, HOUR, MINUTE, SECOND, month_start_day
from hpckit.tables.evaluate_vectors import both, build, validity, values
from hpckit.tables.types import DATE, INT, STRING, TIMESTAMP

_PATTERN = (
    r"^\s*(?P<year>[0-9]{1,6})(?:-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})|/(?P<month2>[0-9]{1,2})/(?P<day2>[0-9]{1,2}))"
    r"(?:[ T](?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2})(?::(?P<second>[0-9]{1,2})(?:\.(?P<fraction>[0-9]{1,12}))?)?"
    r"\s*(?P<zone>[Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?\s*$"
)
_YEAR_MAX = 290_000


def number(fields: pa.StructArray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(values, present) of a group of digits; absent groups are 0."""
    text = pc.struct_field(fields, name)
    present = pc.fill_null(pc.not_equal(text, ""), False)
    numbers = pc.fill_null(pc.cast(pc.if_else(present, text, pa.scalar(None, STRING)), INT), 0)
    return values(numbers), values(present)


def days_of(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(days since 1970, whether there is such a date)."""
    good = (month >= 1) & (month <= 12) & (day >= 1) & (np.abs(year) <= _YEAR_MAX)
    months = (np.where(good, year, 1970) - 1970) * 12 + np.where(good, month, 1) - 1
    first = month_start_day(months)
    good &= day <= month_start_day(months + 1) - first
    return first + np.where(good, day, 1) - 1, good


def micros_of_fraction(fields: pa.StructArray, name: str) -> np.ndarray:
    """The digits after a decimal point as microseconds; further digits are cut off."""
    text = pc.fill_null(pc.struct_field(fields, name), "")
    digits = pc.utf8_slice_codeunits(pc.utf8_rpad(text, 6, "0"), 0, 6)
    return values(pc.cast(digits, INT))


def zone_micros(fields: pa.StructArray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(offset from UTC in microseconds, whether it is sensible) of texts such as Z, +02, -0330, +05:30."""
    text = pc.replace_substring(pc.fill_null(pc.struct_field(fields, name), ""), ":", "")
    signed = pc.match_substring_regex(text, r"^[+-]")
    digits = pc.utf8_rpad(pc.if_else(signed, pc.utf8_slice_codeunits(text, 1, 5), "0"), 4, "0")
    clock = values(pc.cast(digits, INT))
    sign = np.where(values(pc.starts_with(text, "-")), -1, 1)
    return sign * ((clock // 100) * HOUR + (clock % 100) * MINUTE), (clock // 100 <= 15) & (clock % 100 < 60)


def _fields(array: pa.Array) -> tuple[pa.StructArray, np.ndarray, np.ndarray]:
    """(fields, days, whether the text has a date that exists)."""
    fields = pc.extract_regex(array, _PATTERN)
    matched = np.asarray(fields.is_valid())
    year = number(fields, "year")[0]
    month = number(fields, "month")[0] + number(fields, "month2")[0]
    day = number(fields, "day")[0] + number(fields, "day2")[0]
    days, good = days_of(year, month, day)
    return fields, days, good & matched


def _result(data: np.ndarray, good: np.ndarray, array: pa.Array, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    present = validity(array)
    failed = ~good if present is None else ~good & present
    return build(data, both(present, good), kind), failed


def parse_timestamps(array: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """(timestamps, rows that are none) of texts 'YYYY-MM-DD[ HH:MM[:SS[.ffffff]][zone]]'; a zone is subtracted."""
    try:
        return pc.cast(array, TIMESTAMP), None
    except pa.ArrowInvalid:
        fields, days, good = _fields(array)
    hour, minute, second = (number(fields, name)[0] for name in ("hour", "minute", "second"))
    clock = hour * HOUR + minute * MINUTE + second * SECOND + micros_of_fraction(fields, "fraction")
    offset, sensible = zone_micros(fields, "zone")
    good &= (minute < 60) & (second < 60) & sensible & ((hour < 24) | (clock == DAY))
    return _result(days * DAY + clock - offset, good, array, TIMESTAMP)


def parse_dates(array: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """(dates, rows that are none); a clock after the date is read and dropped."""
    try:
        return pc.cast(array, DATE), None
    except pa.ArrowInvalid:
        _, days, good = _fields(array)
    return _result(days, good, array, DATE)


def _interval_text(micros: int) -> str:
    """As DuckDB writes the difference of two timestamps: 2 days 01:00:00.5."""
    sign, size = ("-", -micros) if micros < 0 else ("", micros)
    days, rest = divmod(size, DAY)
    pieces = [f"{sign}{days} day{'' if days == 1 else 's'}"] if days else []
    if rest or not days:
        seconds, fraction = divmod(rest, SECOND)
        text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        pieces.append(f"{text}.{fraction:06}".rstrip("0") if fraction else text)
    return " ".join(pieces)


def interval_texts(array: pa.Array) -> pa.Array:
    """The intervals as text, each distinct one formatted once."""
    numbers = array.cast(INT)
    distinct = pc.unique(numbers)
    texts = pa.array([None if v is None else _interval_text(v) for v in distinct.to_pylist()], STRING)
    return texts.take(pc.index_in(numbers, value_set=distinct))

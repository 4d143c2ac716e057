"""strftime and strptime, in vectors: one text column for each directive, one regular expression for each pattern."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import QueryError
from hpckit.tables.civil_time import DAY, HOUR, MINUTE, SECOND, part, truncate
from hpckit.tables.evaluate_time_text import days_of, micros_of_fraction, number, zone_micros
from hpckit.tables.evaluate_vectors import Datum, both, build, split, validity, values
from hpckit.tables.expr import Call
from hpckit.tables.functions import Typed, check_count, coerce, function, register
from hpckit.tables.functions_patterns import re_quote
from hpckit.tables.functions_text import per_constant
from hpckit.tables.types import INT, STRING, TIMESTAMP, is_time

DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_COMPOUND = {"%x": "%Y-%m-%d", "%X": "%H:%M:%S", "%c": "%Y-%m-%d %H:%M:%S", "%T": "%H:%M:%S", "%D": "%Y-%m-%d"}
_DIRECTIVE = re.compile(r"%-?[A-Za-z%]")


def _padded(numbers: np.ndarray, width: int) -> pa.Array:
    return pc.utf8_lpad(pc.cast(pa.array(numbers), STRING), width, "0")


def _named(names: tuple[str, ...], index: np.ndarray, length: int | None = None) -> pa.Array:
    return pa.array([name[:length] for name in names]).take(pa.array(index))


def _week_from(days_before_monday: int) -> Callable[[np.ndarray], np.ndarray]:
    """Week of the year, counted from the first Sunday (0) or Monday (1)."""

    def week(micros: np.ndarray) -> np.ndarray:
        weekday = (part(micros, "dow") - days_before_monday) % 7
        return (part(micros, "doy") - 1 + 7 - weekday) // 7

    return week


_NUMBERS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "Y": (4, lambda t: part(t, "year")),
    "m": (2, lambda t: part(t, "month")),
    "d": (2, lambda t: part(t, "day")),
    "H": (2, lambda t: part(t, "hour")),
    "I": (2, lambda t: (part(t, "hour") + 11) % 12 + 1),
    "M": (2, lambda t: part(t, "minute")),
    "S": (2, lambda t: part(t, "second")),
    "f": (6, lambda t: t % SECOND),
    "g": (3, lambda t: t % SECOND // 1000),
    "n": (9, lambda t: t % SECOND * 1000),
    "j": (3, lambda t: part(t, "doy")),
    "y": (2, lambda t: part(t, "year") % 100),
    "u": (1, lambda t: part(t, "isodow")),
    "w": (1, lambda t: part(t, "dow")),
    "G": (4, lambda t: part(t, "isoyear")),
    "V": (2, lambda t: part(t, "week")),
    "U": (2, _week_from(0)),
    "W": (2, _week_from(1)),
}
_FINEST = [(set("fgn"), "microsecond"), (set("S"), "second"), (set("M"), "minute"), (set("HIp"), "hour")]
_NAMES: dict[str, Callable[[np.ndarray], pa.Array]] = {
    "a": lambda t: _named(DAYS, part(t, "dow"), 3),
    "A": lambda t: _named(DAYS, part(t, "dow")),
    "b": lambda t: _named(MONTHS, part(t, "month") - 1, 3),
    "h": lambda t: _named(MONTHS, part(t, "month") - 1, 3),
    "B": lambda t: _named(MONTHS, part(t, "month") - 1),
    "p": lambda t: _named(("AM", "PM"), part(t, "hour") // 12),
}


def _pieces(pattern: str, where: str) -> list[str]:
    """The pattern cut into directives and the texts between them, compound directives spelled out."""
    for compound, meaning in _COMPOUND.items():
        pattern = re.sub(f"(?<!%)((?:%%)*){compound}", rf"\1{meaning}", pattern)
    pieces, position = [], 0
    for match in _DIRECTIVE.finditer(pattern):
        pieces += [pattern[position : match.start()], match.group()]
        position = match.end()
    pieces.append(pattern[position:])
    if any("%" in piece for piece in pieces[::2]):
        raise QueryError(f"{where}: '{pattern}' has a % that starts no directive; write %% for a percent sign")
    return [piece for piece in pieces if piece]


def _format(time: pa.Array, pattern: str) -> pa.Array:
    """Each distinct time formatted once, cut to the finest unit that the pattern shows."""
    codes = {piece[-1] for piece in _pieces(pattern, "strftime") if piece.startswith("%")}
    unit = next((unit for letters, unit in _FINEST if codes & letters), "day")
    micros, valid = split(time)
    distinct = build(truncate(micros, unit), valid, TIMESTAMP).dictionary_encode()
    return _format_all(distinct.dictionary, pattern).take(distinct.indices)


def _format_all(time: pa.Array, pattern: str) -> pa.Array:
    micros, valid = split(time)
    parts: list[pa.Array | pa.Scalar] = [pa.repeat(pa.scalar(""), len(micros))]
    for piece in _pieces(pattern, "strftime"):
        code = piece[-1]
        if not piece.startswith("%"):
            parts.append(pa.scalar(piece))
        elif piece == "%%":
            parts.append(pa.scalar("%"))
        elif code in _NUMBERS:
            width, compute = _NUMBERS[code]
            parts.append(_padded(compute(micros), 1 if piece[1] == "-" else width))
        elif code in _NAMES and len(piece) == 2:
            parts.append(_NAMES[code](micros))
        else:
            raise QueryError(f"strftime: unknown directive {piece} in '{pattern}'")
    text = pc.binary_join_element_wise(*parts, "")
    return text if valid is None else pc.if_else(pa.array(valid), text, pa.scalar(None, STRING))


def _bind_strftime(name: str, args: list[Typed]) -> Typed:
    check_count(name, args, 2, 2)
    if is_time(args[1][1]):  # DuckDB takes the two in either order
        args = args[::-1]
    return Call(name, (coerce(args[0], TIMESTAMP, name), coerce(args[1], STRING, name))), STRING


@register("strftime", _bind_strftime, raises=True)
def _strftime(time: Datum, pattern: Datum) -> pa.Array:
    return per_constant(_format, time, pattern, kind=STRING)


@function("monthname", "t", STRING)
def _monthname(time: pa.Array) -> pa.Array:
    return _format(time, "%B")


@function("dayname", "t", STRING)
def _dayname(time: pa.Array) -> pa.Array:
    return _format(time, "%A")


_READ = {
    "Y": r"(?P<year>[0-9]{1,4})",
    "y": r"(?P<short_year>[0-9]{1,2})",
    "m": r"(?P<month>[0-9]{1,2})",
    "d": r"(?P<day>[0-9]{1,2})",
    "H": r"(?P<hour>[0-9]{1,2})",
    "I": r"(?P<hour12>[0-9]{1,2})",
    "M": r"(?P<minute>[0-9]{1,2})",
    "S": r"(?P<second>[0-9]{1,2})",
    "f": r"(?P<fraction>[0-9]{1,6})",
    "g": r"(?P<fraction>[0-9]{1,3})",
    "j": r"(?P<doy>[0-9]{1,3})",
    "p": r"(?P<half>[AaPp][Mm])",
    "b": "(?P<month_name>" + "|".join(m[:3] for m in MONTHS) + ")",
    "B": "(?P<month_name>" + "|".join(MONTHS) + ")",
    "a": "(?:" + "|".join(d[:3] for d in DAYS) + ")",
    "A": "(?:" + "|".join(DAYS) + ")",
    "z": r"(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)",
}
_GROUP_NAME = re.compile(r"\(\?P<(\w+)>")


def _regex_of(pattern: str) -> str:
    regex = ""
    for piece in _pieces(pattern, "strptime"):
        if not piece.startswith("%") or piece == "%%":
            regex += re_quote(piece if piece != "%%" else "%")
        elif piece[-1] in _READ:
            regex += _READ[piece[-1]]
        else:
            raise QueryError(f"strptime: unknown directive {piece} in '{pattern}'")
    names = _GROUP_NAME.findall(regex)
    if len(set(names)) < len(names):
        raise QueryError(f"strptime: '{pattern}' reads the same thing twice")
    return rf"(?i)^\s*{regex}\s*(?P<whole>)$"


def _month_number(names: pa.Array) -> np.ndarray:
    short = pc.utf8_slice_codeunits(pc.utf8_lower(names), 0, 3)
    index = pc.index_in(short, value_set=pa.array([month[:3].lower() for month in MONTHS]))
    return values(pc.fill_null(index, 0).cast(INT)) + 1


def _read(text: pa.Array, pattern: str) -> tuple[pa.Array, np.ndarray]:
    """(timestamps, rows that do not fit the pattern)."""
    regex = _regex_of(pattern)
    names = set(_GROUP_NAME.findall(regex))
    fields = pc.extract_regex(text, regex)

    def get(name: str, default: int = 0) -> np.ndarray:
        return number(fields, name)[0] if name in names else np.full(len(text), default, np.int64)

    good = np.asarray(fields.is_valid())
    year = get("year", 1900)
    if "short_year" in names:
        short = get("short_year")
        year = short + np.where(short < 69, 2000, 1900)
    month = get("month", 1)
    if "month_name" in names:
        month = _month_number(pc.struct_field(fields, "month_name"))
    days, exists = days_of(year, month, get("day", 1))
    if "doy" in names:
        days, good = days + get("doy") - 1, good & (get("doy") >= 1) & (get("doy") <= 366)
    hour = get("hour")
    if "hour12" in names:
        twelve = get("hour12")
        good &= (twelve >= 1) & (twelve <= 12)
        hour = twelve % 12
        if "half" in names:
            afternoon = pc.match_substring_regex(pc.struct_field(fields, "half"), "^[pP]")
            hour = hour + 12 * values(pc.fill_null(afternoon, False))
    minute, second = get("minute"), get("second")
    clock = hour * HOUR + minute * MINUTE + second * SECOND
    if "fraction" in names:
        clock = clock + micros_of_fraction(fields, "fraction")
    if "zone" in names:
        offset, sensible = zone_micros(fields, "zone")
        clock, good = clock - offset, good & sensible
    good &= exists & (hour < 24) & (minute < 60) & (second < 60)
    present = validity(text)
    result = build(days * DAY + clock, both(present, good), TIMESTAMP)
    return result, ~good if present is None else ~good & present


@function("strptime", "ss", TIMESTAMP, raises=True)
def _strptime(text: Datum, pattern: Datum) -> pa.Array:
    def read(t: pa.Array, p: str) -> pa.Array:
        result, failed = _read(t, p)
        if failed.any():
            bad = t[int(np.argmax(failed))].as_py()
            raise QueryError(f"strptime: {bad!r} does not fit '{p}'; try_strptime gives NULL for such texts")
        return result

    return per_constant(read, text, pattern, kind=TIMESTAMP)


@function("try_strptime", "ss", TIMESTAMP, raises=True)
def _try_strptime(text: Datum, pattern: Datum) -> pa.Array:
    return per_constant(lambda t, p: _read(t, p)[0], text, pattern, kind=TIMESTAMP)

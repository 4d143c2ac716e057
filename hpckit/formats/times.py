"""Time patterns: the strptime directives of log formats, their widths, and a plain Python reading of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from hpckit.errors import FormatError
from hpckit.frozen import frozen

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
          "november", "december")  # fmt: skip
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Other abbreviations (CST, IST) are ambiguous: they stand for the zone that the format or the command names.
UTC_NAMES = ("utc", "gmt", "ut", "z")
ALIASES = {"%T": "%H:%M:%S", "%F": "%Y-%m-%d", "%R": "%H:%M", "%D": "%m/%d/%y", "%h": "%b"}

# directive: (regular expression, least width, fixed width or None)
_NAMES = {
    "%b": "|".join(m[:3] for m in MONTHS), "%B": "|".join(MONTHS),
    "%a": "|".join(d[:3] for d in DAYS), "%A": "|".join(DAYS),
}  # fmt: skip
DIRECTIVES: dict[str, tuple[str, int, int | None]] = {
    "%Y": (r"[0-9]{4}", 4, 4), "%y": (r"[0-9]{2}", 2, 2), "%m": (r"[0-9]{2}", 2, 2), "%d": (r"[ 0-9][0-9]", 2, 2),
    "%e": (r"(?:[ 0-9][0-9]|[0-9])", 1, None), "%j": (r"[0-9]{3}", 3, 3),
    "%b": (_NAMES["%b"], 3, 3), "%B": (_NAMES["%B"], 3, None), "%a": (_NAMES["%a"], 3, 3),
    "%A": (_NAMES["%A"], 6, None),
    "%H": (r"[0-9]{2}", 2, 2), "%I": (r"[0-9]{2}", 2, 2), "%p": (r"[ap]m", 2, 2), "%M": (r"[0-9]{2}", 2, 2),
    "%S": (r"[0-9]{2}", 2, 2), "%f": (r"[0-9]{1,9}", 1, None), "%3f": (r"[0-9]{3}", 3, 3),
    "%6f": (r"[0-9]{6}", 6, 6), "%9f": (r"[0-9]{9}", 9, 9), "%.f": (r"(?:[.,][0-9]{1,9})?", 0, None),
    "%z": (r"(?:z|[+-][0-9]{2}(?::?[0-9]{2})?)", 1, None), "%Z": (r"[a-z][a-z/_]*", 1, None),
    "%s": (r"-?[0-9]+(?:[.,][0-9]{1,9})?", 1, None), "%Q": (r"-?[0-9]+", 1, None), "%U": (r"-?[0-9]+", 1, None),
    "%%": (r"%", 1, 1),
}  # fmt: skip
_PIECE = re.compile(r"%(?:[369.]f|.)|[^%]+|%$", re.DOTALL)
PARTS_MAX = 48  # what the scan kernel has room for
EPOCH_MAX_S = 9_000_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def expand(pattern: str) -> str:
    """The pattern with %T %F %R %D %h written out, so that a kernel knows the basic directives only.

    Raises FormatError naming the first unknown directive.
    """
    out = []
    for piece in _PIECE.findall(pattern):
        piece = ALIASES.get(piece, piece)
        if piece.startswith("%"):
            for directive in _PIECE.findall(piece):
                if directive.startswith("%") and directive not in DIRECTIVES:
                    known = " ".join([*DIRECTIVES, *ALIASES])
                    raise FormatError(f"unknown directive '{directive}' in time pattern '{pattern}'; known: {known}")
        out.append(piece)
    parts = sum(1 if p in DIRECTIVES else len(p.encode()) for p in pieces("".join(out)))
    if parts > PARTS_MAX:
        raise FormatError(f"time pattern '{pattern}' has {parts} directives and characters, at most {PARTS_MAX}")
    return "".join(out)


def pieces(pattern: str) -> list[str]:
    """Directives and literal stretches of an expanded pattern, in order."""
    return _PIECE.findall(pattern)


def time_min_width(pattern: str) -> int:
    """The fewest bytes a time of this pattern can have."""
    return sum(DIRECTIVES[p][1] if p in DIRECTIVES else len(p.encode()) for p in pieces(expand(pattern)))


def time_fixed_width(pattern: str) -> int | None:
    """The number of bytes every time of this pattern has, None if it varies (%e %f %.f %z %Z %s %Q %U %B %A)."""
    widths = [DIRECTIVES[p][2] if p in DIRECTIVES else len(p.encode()) for p in pieces(expand(pattern))]
    return None if None in widths else sum(w for w in widths if w is not None)


def needs_year(pattern: str) -> bool:
    """Whether the year has to come from elsewhere (syslog)."""
    return not {"%Y", "%y", "%s", "%Q", "%U"}.intersection(pieces(expand(pattern)))


def has_zone(pattern: str) -> bool:
    """Whether every time of this pattern says its own offset from UTC (%Z does only for UTC, GMT and Z)."""
    return bool({"%z", "%s", "%Q", "%U"}.intersection(pieces(expand(pattern))))


@lru_cache(maxsize=256)
def _regex(pattern: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    parts, names = [], []
    for piece in pieces(expand(pattern)):
        if piece in DIRECTIVES:
            parts.append(f"({DIRECTIVES[piece][0]})")
            names.append(piece)
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts), re.IGNORECASE), tuple(names)


def _fraction_us(digits: str) -> int:
    """Microseconds of a fraction's digits; what is finer is cut off, as in a clock."""
    return int((digits + "000000")[:6]) if digits else 0


def _offset_s(text: str) -> int:
    if text in "zZ":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError(f"offset {text} is not a time zone's")
    return (-1 if text[0] == "-" else 1) * (hours * 3600 + minutes * 60)


def _epoch_us(text: str) -> int:
    whole, _, fraction = text.replace(",", ".").partition(".")
    if abs(int(whole)) > EPOCH_MAX_S:
        raise ValueError(f"{whole} is too far for a time in seconds; are these milliseconds (%Q) or microseconds (%U)?")
    micros = abs(int(whole)) * 1_000_000 + _fraction_us(fraction)
    return -micros if whole.startswith("-") else micros


def _epoch_ms(text: str) -> int:
    if abs(int(text)) > EPOCH_MAX_S * 1000:
        raise ValueError(f"{text} is too far for a time in milliseconds; are these microseconds (%U)?")
    return int(text) * 1000


def _epoch_plain_us(text: str) -> int:
    if len(text.lstrip("-")) > 18:
        raise ValueError(f"{text} is too far for a time in microseconds")
    return int(text)


def _month_of(text: str) -> int:
    return next(i for i, m in enumerate(MONTHS, 1) if m.startswith(text.lower()))


def _year2(text: str) -> int:
    return int(text) + (1900 if int(text) >= 69 else 2000)


# directive: (part of the time it sets, how)
_MEANING: dict[str, tuple[str, Callable[[str], int]]] = {
    "%Y": ("year", int), "%y": ("year", _year2), "%m": ("month", int), "%b": ("month", _month_of),
    "%B": ("month", _month_of), "%d": ("day", int), "%e": ("day", int), "%j": ("yearday", int), "%H": ("hour", int),
    "%I": ("hour12", int), "%p": ("pm", lambda s: int(s.lower() == "pm")), "%M": ("minute", int), "%S": ("second", int),
    "%f": ("us", _fraction_us), "%3f": ("us", _fraction_us), "%6f": ("us", _fraction_us), "%9f": ("us", _fraction_us),
    "%.f": ("us", lambda s: _fraction_us(s[1:])), "%z": ("offset", _offset_s),
    "%Z": ("zone", lambda s: int(s.lower() in UTC_NAMES)),
    "%s": ("epoch", _epoch_us), "%Q": ("epoch", _epoch_ms), "%U": ("epoch", _epoch_plain_us),
}  # fmt: skip


@frozen
class Clock:
    """What a line does not say about its time: the zone of local times and, where a pattern has no year, the year.

    `year` fixes the year; else it is the latest one that puts the time not after `newest_us` (the file's time, UTC).
    """

    zone: str = "UTC"
    year: int | None = None
    newest_us: int | None = None


UTC_CLOCK = Clock()


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The zone `name` (IANA); raises FormatError for an unknown one."""
    if name in ("", "UTC"):
        return timezone.utc
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except Exception as error:
        raise FormatError(f"time zone '{name}' is unknown here; give an IANA name such as Europe/Berlin") from error


def parse_time(text: str, pattern: str, clock: Clock = UTC_CLOCK) -> int:
    """UTC microseconds since 1970 of `text`; raises ValueError with the reason. Local.

    A second of 60 (leap second) is the next minute's second 0. A local time that occurs twice means the first; one that
    a change of clocks skips is read with the offset before the change.
    """
    regex, names = _regex(pattern)
    match = regex.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of the form {pattern}")
    parts: dict[str, int] = {}
    for name, value in zip(names, match.groups(), strict=True):
        if name in _MEANING:
            key, read = _MEANING[name]
            parts[key] = read(value)
    if parts.get("zone"):
        parts.setdefault("offset", 0)
    if "epoch" in parts:
        return parts["epoch"]
    if "hour12" in parts:
        if not 1 <= parts["hour12"] <= 12:
            raise ValueError(f"hour {parts['hour12']} of a 12-hour clock")
        parts["hour"] = parts["hour12"] % 12 + 12 * parts.get("pm", 0)
    if "year" in parts or clock.year is not None:
        return _utc_us(parts, parts.get("year", clock.year or 0), clock.zone)
    return _in_latest_year(parts, clock)


def _in_latest_year(parts: dict[str, int], clock: Clock) -> int:
    """The time in the latest year that is not after the clock; a 29 February goes back to the last leap year."""
    newest = clock.newest_us
    if newest is None:
        raise ValueError("a time without a year needs the file's time or a year")
    first = (EPOCH + timedelta(microseconds=newest)).year + 1  # + 1: local time may be ahead of UTC
    for year in range(first, first - 10, -1):
        try:
            us = _utc_us(parts, year, clock.zone)
        except ValueError:
            if (parts.get("month"), parts.get("day")) == (2, 29):
                continue
            raise
        if us <= newest:
            return us
    raise ValueError("no year fits")


def _utc_us(parts: dict[str, int], year: int, zone: str) -> int:
    second = parts.get("second", 0)
    if second > 60:
        raise ValueError(f"second {second} is out of range")
    day = datetime(year, parts.get("month", 1), parts.get("day", 1), parts.get("hour", 0), parts.get("minute", 0))
    if "yearday" in parts:
        day = day.replace(month=1, day=1) + timedelta(days=parts["yearday"] - 1)
        if day.year != year or parts["yearday"] == 0:
            raise ValueError(f"day {parts['yearday']} of {year}")
    if "offset" in parts:
        moment = day.replace(tzinfo=timezone.utc) - timedelta(seconds=parts["offset"])
    else:
        moment = day.replace(tzinfo=zone_of(zone))
    delta = moment - EPOCH if "offset" in parts else moment.astimezone(timezone.utc) - EPOCH
    return (delta.days * 86_400 + delta.seconds + second) * 1_000_000 + parts.get("us", 0)

"""Methods of expressions behind `.str` and `.dt`: functions of text and of times."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from hpckit.errors import QueryError
from hpckit.tables.expr import Literal
from hpckit.tables.expressions import Expression, call

UNITS = {"us": "microsecond", "ms": "millisecond", "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week",
         "mo": "month", "q": "quarter", "y": "year"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """Functions of a text column; patterns are RE2."""

    of: Expression

    def contains(self, pattern: str, literal: bool = False) -> Expression:
        """Whether the pattern (with literal=True: the text itself) occurs."""
        return call("contains" if literal else "regexp_matches", self.of, pattern)

    def starts_with(self, prefix: str) -> Expression:
        """Whether the text begins so."""
        return call("starts_with", self.of, prefix)

    def ends_with(self, suffix: str) -> Expression:
        """Whether the text ends so."""
        return call("ends_with", self.of, suffix)

    def to_lowercase(self) -> Expression:
        """In lower case."""
        return call("lower", self.of)

    def to_uppercase(self) -> Expression:
        """In upper case."""
        return call("upper", self.of)

    def strip_chars(self) -> Expression:
        """Without blanks at both ends."""
        return call("trim", self.of)

    def len_chars(self) -> Expression:
        """How many characters."""
        return call("length", self.of)

    def slice(self, offset: int, length: int | None = None) -> Expression:
        """Characters from `offset` (from 0, negative: from the end)."""
        start = offset + 1 if offset >= 0 else offset
        return call("substring", self.of, start) if length is None else call("substring", self.of, start, length)

    def split_part(self, separator: str, index: int) -> Expression:
        """The part number `index` (from 0) between separators; '' if there are fewer."""
        return call("split_part", self.of, separator, index + 1 if index >= 0 else index)

    def replace_all(self, text: str, by: str) -> Expression:
        """Every occurrence of `text` replaced."""
        return call("replace", self.of, text, by)

    def extract(self, pattern: str, group: int = 1) -> Expression:
        """A group of the pattern's first match; '' if it does not match."""
        return call("regexp_extract", self.of, pattern, group)


@dataclass(frozen=True, slots=True)
class Times:
    """Functions of a timestamp column (UTC)."""

    of: Expression

    def truncate(self, every: str) -> Expression:
        """The start of the interval that the time lies in: "1h", "15m", "30s", "1d", "1w", "1mo", "1y", …"""
        digits = every.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = UNITS.get(every[len(digits) :])
        if not digits.isdigit() or unit is None:
            raise QueryError(f"truncate({every!r}): expected a count and a unit of {', '.join(UNITS)}, e.g. 1h or 15m")
        if int(digits) == 1:
            return call("date_trunc", unit, self.of)
        step = {
            "microsecond": 1,
            "millisecond": 10**3,
            "second": 10**6,
            "minute": 6 * 10**7,
            "hour": 36 * 10**8,
            "day": 864 * 10**8,
        }
        if unit == "week":
            unit, digits = "day", str(7 * int(digits))
        if unit not in step:
            raise QueryError(f"truncate({every!r}): only one {unit} at a time; use 1{every[len(digits) :]}")
        width = Expression(Literal(int(digits) * step[unit], pa.duration("us")))
        return call("time_bucket", width, self.of)

    def _part(self, name: str) -> Expression:
        return call("date_part", name, self.of)

    def year(self) -> Expression:
        """The year."""
        return self._part("year")

    def month(self) -> Expression:
        """The month, 1 to 12."""
        return self._part("month")

    def day(self) -> Expression:
        """The day of the month."""
        return self._part("day")

    def hour(self) -> Expression:
        """The hour, 0 to 23."""
        return self._part("hour")

    def minute(self) -> Expression:
        """The minute."""
        return self._part("minute")

    def weekday(self) -> Expression:
        """The day of the week, Monday = 1 to Sunday = 7."""
        return self._part("isodow")

    def epoch_s(self) -> Expression:
        """Seconds since 1970-01-01, with the fraction."""
        return call("epoch", self.of)

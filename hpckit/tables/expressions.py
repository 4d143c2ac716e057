"""The Python API's expressions: polars' spelling over the same tree that SQL builds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa

from hpckit.errors import QueryError
from hpckit.tables.expr import AggCall, Call, Cast, Column, Expr, Literal

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
TYPES = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us"),
    date: pa.date32(),
}
UNITS = {"us": "microsecond", "ms": "millisecond", "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week",
         "mo": "month", "q": "quarter", "y": "year"}  # fmt: skip


def literal(value: Any) -> Literal:
    """A Python (or NumPy) scalar as a literal. Naive datetimes are UTC."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return Literal(None, pa.null())
    if isinstance(value, bool):
        return Literal(value, pa.bool_())
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise QueryError(f"integer {value}: expected 64 bits at most")
        return Literal(value, pa.int64())
    if isinstance(value, float):
        return Literal(value, pa.float64())
    if isinstance(value, str):
        return Literal(value, pa.string())
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return Literal((aware - EPOCH) // timedelta(microseconds=1), pa.timestamp("us"))
    if isinstance(value, date):
        return Literal(value, pa.date32())
    if isinstance(value, timedelta):
        return Literal(value // timedelta(microseconds=1), pa.duration("us"))
    raise QueryError(
        f"{value!r} ({type(value).__name__}) cannot stand in an expression; expected a number, text, bool, time"
    )


def node_of(value: Any) -> Expr:
    """The tree of an expression; anything else becomes a literal."""
    return value.node if isinstance(value, Expression) else literal(value)


def call(name: str, *args: Any) -> Expression:
    """A scalar function by its SQL name, e.g. call("round", col("x"), 2)."""
    return Expression(Call(name, tuple(node_of(arg) for arg in args)))


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A column to be computed. Build it from `col`, `lit` and operators; `alias` names it."""

    node: Expr
    name: str | None = None

    def alias(self, name: str) -> Expression:
        """The same values under another name."""
        return Expression(self.node, name)

    # Operators. & | ~ are SQL's AND OR NOT, with NULL.

    def __add__(self, other: Any) -> Expression:
        return call("+", self, other)

    def __radd__(self, other: Any) -> Expression:
        return call("+", other, self)

    def __sub__(self, other: Any) -> Expression:
        return call("-", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return call("-", other, self)

    def __mul__(self, other: Any) -> Expression:
        return call("*", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return call("*", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return call("/", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return call("/", other, self)

    def __floordiv__(self, other: Any) -> Expression:
        return call("//", self, other)

    def __rfloordiv__(self, other: Any) -> Expression:
        return call("//", other, self)

    def __mod__(self, other: Any) -> Expression:
        return call("%", self, other)

    def __rmod__(self, other: Any) -> Expression:
        return call("%", other, self)

    def __neg__(self) -> Expression:
        return call("neg", self)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return call("=", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return call("<>", self, other)

    def __lt__(self, other: Any) -> Expression:
        return call("<", self, other)

    def __le__(self, other: Any) -> Expression:
        return call("<=", self, other)

    def __gt__(self, other: Any) -> Expression:
        return call(">", self, other)

    def __ge__(self, other: Any) -> Expression:
        return call(">=", self, other)

    def __and__(self, other: Any) -> Expression:
        return call("and", self, other)

    def __or__(self, other: Any) -> Expression:
        return call("or", self, other)

    def __invert__(self) -> Expression:
        return call("not", self)

    def __bool__(self) -> bool:
        raise QueryError(
            "an expression has no truth value; write & | ~ instead of and, or, not, and brackets around comparisons"
        )

    def __hash__(self) -> int:
        return hash((self.node, self.name))

    # Rows

    def is_in(self, values: Iterable[Any]) -> Expression:
        """Whether the value is one of `values`; of none, it never is."""
        items = list(values)
        return call("in", self, *items) if items else Expression(literal(False), self.name)

    def is_between(self, low: Any, high: Any) -> Expression:
        """low <= value <= high."""
        return (self >= low) & (self <= high)

    def is_null(self) -> Expression:
        """Whether the value is missing."""
        return call("is_null", self)

    def is_not_null(self) -> Expression:
        """Whether there is a value."""
        return call("is_not_null", self)

    def fill_null(self, value: Any) -> Expression:
        """`value` where it is missing."""
        return call("coalesce", self, value)

    def cast(self, kind: Any, strict: bool = True) -> Expression:
        """Another type (of Arrow, or int, float, str, bool, datetime, date); not strict: NULL where it does not fit."""
        target = TYPES.get(kind, kind)
        if not isinstance(target, pa.DataType):
            raise QueryError(
                f"cast to {kind!r}: expected an Arrow type or one of int, float, str, bool, datetime, date"
            )
        return Expression(Cast(self.node, target, not strict), self.name)

    def abs(self) -> Expression:
        """The absolute value."""
        return call("abs", self)

    def round(self, digits: int = 0) -> Expression:
        """Rounded to `digits` decimals."""
        return call("round", self, digits) if digits else call("round", self)

    def floor(self) -> Expression:
        """The next lower whole number."""
        return call("floor", self)

    def ceil(self) -> Expression:
        """The next higher whole number."""
        return call("ceil", self)

    @property
    def str(self) -> Text:
        """Functions of text."""
        return Text(self)

    @property
    def dt(self) -> Times:
        """Functions of timestamps."""
        return Times(self)

    # Aggregates

    def _aggregate(self, name: str_type, fraction: float | None = None) -> Expression:
        return Expression(AggCall(name, (self.node,), None, fraction), self.name or _column_name(self.node))

    def where(self, condition: Any) -> Expression:
        """Restrict an aggregate to the rows that satisfy `condition` (SQL's FILTER)."""
        if not isinstance(self.node, AggCall):
            raise QueryError("where() restricts an aggregate, e.g. hk.len().where(hk.col('level') == 'FATAL')")
        return Expression(AggCall(self.node.name, self.node.args, node_of(condition), self.node.fraction), self.name)

    def count(self) -> Expression:
        """How many values are not NULL."""
        return self._aggregate("count")

    def sum(self) -> Expression:
        """The sum; of floats correctly rounded, of integers exact (too large is an error)."""
        return self._aggregate("sum")

    def mean(self) -> Expression:
        """The mean, correctly rounded."""
        return self._aggregate("avg")

    def min(self) -> Expression:
        """The least value."""
        return self._aggregate("min")

    def max(self) -> Expression:
        """The greatest value; NaN is greater than any number."""
        return self._aggregate("max")

    def std(self, ddof: int = 1) -> Expression:
        """The standard deviation of the sample (ddof=0: of the population)."""
        return self._aggregate("stddev" if ddof else "stddev_pop")

    def var(self, ddof: int = 1) -> Expression:
        """The variance of the sample (ddof=0: of the population)."""
        return self._aggregate("variance" if ddof else "var_pop")

    def first(self) -> Expression:
        """The value of the first row in input order."""
        return self._aggregate("first")

    def last(self) -> Expression:
        """The value of the last row in input order."""
        return self._aggregate("last")

    def n_unique(self) -> Expression:
        """How many distinct values (NULL is none), exact."""
        return self._aggregate("count_distinct")

    def approx_n_unique(self) -> Expression:
        """How many distinct values, within about 0.6 %."""
        return self._aggregate("approx_count_distinct")

    def median(self) -> Expression:
        """The median, exact."""
        return self.quantile(0.5)

    def quantile(self, q: float, interpolation: str_type = "linear") -> Expression:
        """The exact quantile; interpolation "linear" between two values, or "lower" for a value that occurs."""
        names = {"linear": "quantile_cont", "lower": "quantile_disc"}
        if interpolation not in names:
            raise QueryError(f"quantile interpolation {interpolation!r}: expected one of {', '.join(names)}")
        return self._aggregate(names[interpolation], float(q))

    def approx_quantile(self, q: float) -> Expression:
        """The quantile within 1 % of its value, in little memory."""
        return self._aggregate("approx_quantile", float(q))


str_type = str  # inside Expression, `str` is a property


def _column_name(node: Expr) -> str_type | None:
    return node.name if isinstance(node, Column) else None


@dataclass(frozen=True, slots=True)
class Text:
    """Functions of a text column; patterns are RE2."""

    of: Expression

    def contains(self, pattern: str_type, literal: bool = False) -> Expression:
        """Whether the pattern (with literal=True: the text itself) occurs."""
        return call("contains" if literal else "regexp_matches", self.of, pattern)

    def starts_with(self, prefix: str_type) -> Expression:
        """Whether the text begins so."""
        return call("starts_with", self.of, prefix)

    def ends_with(self, suffix: str_type) -> Expression:
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

    def split_part(self, separator: str_type, index: int) -> Expression:
        """The part number `index` (from 0) between separators; '' if there are fewer."""
        return call("split_part", self.of, separator, index + 1 if index >= 0 else index)

    def replace_all(self, text: str_type, by: str_type) -> Expression:
        """Every occurrence of `text` replaced."""
        return call("replace", self.of, text, by)

    def extract(self, pattern: str_type, group: int = 1) -> Expression:
        """A group of the pattern's first match; '' if it does not match."""
        return call("regexp_extract", self.of, pattern, group)


@dataclass(frozen=True, slots=True)
class Times:
    """Functions of a timestamp column (UTC)."""

    of: Expression

    def truncate(self, every: str_type) -> Expression:
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

    def _part(self, name: str_type) -> Expression:
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


def col(name: str_type) -> Expression:
    """The input column `name`."""
    return Expression(Column(name), name)


def lit(value: Any) -> Expression:
    """A constant."""
    return Expression(literal(value), "literal")


def len_() -> Expression:
    """How many rows: SQL's count(*)."""
    return Expression(AggCall("count_star"), "len")


class When:
    """`hk.when(condition).then(value).when(…).then(…).otherwise(value)`: SQL's CASE."""

    def __init__(self, args: tuple[Any, ...], condition: Any) -> None:
        self._args, self._condition = args, condition

    def then(self, value: Any) -> Then:
        """The value where the condition holds."""
        return Then((*self._args, self._condition, value))


class Then:
    """What `when().then()` gives: go on with another when() or end with otherwise()."""

    def __init__(self, args: tuple[Any, ...]) -> None:
        self._args = args

    def when(self, condition: Any) -> When:
        """Another case, tried if those before do not hold."""
        return When(self._args, condition)

    def otherwise(self, value: Any) -> Expression:
        """The value where no condition holds."""
        return call("case", *self._args, value)


def when(condition: Any) -> When:
    """Begin a case distinction."""
    return When((), condition)

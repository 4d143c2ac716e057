"""The Python API's expressions: polars' spelling over the same tree that SQL builds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit.errors import QueryError
from hpckit.tables.expr import AggCall, Call, Cast, Column, Expr, Literal

if TYPE_CHECKING:
    from hpckit.tables.expression_methods import Text, Times

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
TYPES = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us"),
    date: pa.date32(),
}


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
        from hpckit.tables.expression_methods import Text

        return Text(self)

    @property
    def dt(self) -> Times:
        """Functions of timestamps."""
        from hpckit.tables.expression_methods import Times

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

"""The expression tree that SQL and the Python API both build: immutable, comparable, picklable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Expr:
    """Base of all nodes. Two equal nodes compute the same column."""

    @property
    def children(self) -> tuple[Expr, ...]:
        return ()

    def walk(self) -> Iterator[Expr]:
        """This node and everything below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def column_names(self) -> set[str]:
        """Names of the input columns this expression reads."""
        return {node.name for node in self.walk() if isinstance(node, Column)}


@dataclass(frozen=True, slots=True)
class Column(Expr):
    """An input column by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    """A constant. `value` is a Python value that `pa.scalar(value, type)` takes (timestamps: int microseconds)."""

    value: Any
    type: pa.DataType


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A scalar function or operator by its canonical name, e.g. "+", "and", "lower", "case", "in"."""

    name: str
    args: tuple[Expr, ...]

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.args


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    """Conversion to a type; with `lenient` (TRY_CAST) what does not fit becomes NULL instead of an error."""

    arg: Expr
    type: pa.DataType
    lenient: bool = False

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.arg,)


@dataclass(frozen=True, slots=True)
class AggCall(Expr):
    """An aggregate. `name` is canonical: count_star, count, sum, avg, min, max, stddev, stddev_pop, variance, var_pop,
    first, last, count_distinct, approx_count_distinct, quantile_cont, quantile_disc, approx_quantile, bool_and, bool_or.

    `args` are row expressions (none for count_star); `filter` restricts the rows; `fraction` is q of the quantiles.
    """

    name: str
    args: tuple[Expr, ...] = ()
    filter: Expr | None = None
    fraction: float | None = None

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.args + ((self.filter,) if self.filter is not None else ())

"""The expression tree that SQL and the Python API both build: immutable, comparable, picklable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from hpckit.frozen import frozen


@frozen
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


@frozen
class Column(Expr):
    """An input column by name."""

    name: str


@frozen
class Literal(Expr):
    """A constant. `value` is a Python value that `pa.scalar(value, type)` takes (timestamps: int microseconds)."""

    value: Any
    type: pa.DataType


@frozen
class Call(Expr):
    """A scalar function or operator by its canonical name, e.g. "+", "and", "lower", "case", "in".

    Operators: + - * / // % = <> < <= > >= and or not (n-ary and/or). "neg", "is_null", "is_not_null", "is_distinct",
    "is_not_distinct"; "in" takes the value, then the list; "case" takes condition, value, condition, value, …, else.
    """

    name: str
    args: tuple[Expr, ...]

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.args


@frozen
class Cast(Expr):
    """Conversion to a type; with `lenient` (TRY_CAST) what does not fit becomes NULL instead of an error."""

    arg: Expr
    type: pa.DataType
    lenient: bool = False

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.arg,)


@frozen
class AggCall(Expr):
    """An aggregate. `name` is canonical: count_star, count, sum, avg, min, max, stddev, stddev_pop, variance, var_pop,
    first, last, count_distinct, approx_count_distinct, quantile_cont, quantile_disc, approx_quantile, bool_and,
    bool_or.

    `args` are row expressions (none for count_star); `filter` restricts the rows; `fraction` is q of the quantiles.
    """

    name: str
    args: tuple[Expr, ...] = ()
    filter: Expr | None = None
    fraction: float | None = None

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.args + ((self.filter,) if self.filter is not None else ())


def rebuild(expr: Expr, children: Sequence[Expr]) -> Expr:
    """The same node over other children (as many as it has)."""
    if isinstance(expr, Call):
        return Call(expr.name, tuple(children))
    if isinstance(expr, Cast):
        return Cast(children[0], expr.type, expr.lenient)
    if isinstance(expr, AggCall):
        condition = children[-1] if expr.filter is not None else None
        return AggCall(expr.name, tuple(children[: len(expr.args)]), condition, expr.fraction)
    return expr


def substitute(expr: Expr, columns: Mapping[str, Expr]) -> Expr:
    """`expr` with every column that `columns` names replaced by what it stands for."""
    if isinstance(expr, Column):
        return columns.get(expr.name, expr)
    if not expr.children:
        return expr
    return rebuild(expr, [substitute(child, columns) for child in expr.children])


def substitute_aggregate(call: AggCall, columns: Mapping[str, Expr]) -> AggCall:
    """The aggregate with columns in its argument and condition replaced."""
    condition = None if call.filter is None else substitute(call.filter, columns)
    return AggCall(call.name, tuple(substitute(arg, columns) for arg in call.args), condition, call.fraction)


def conjuncts(expr: Expr) -> list[Expr]:
    """The conditions that AND joins in `expr`, in order."""
    if isinstance(expr, Call) and expr.name == "and":
        return [part for arg in expr.args for part in conjuncts(arg)]
    return [expr]


def conjunction(parts: Sequence[Expr]) -> Expr:
    """All of `parts` (at least one) joined by one n-ary AND; they are evaluated in this order."""
    flat = [piece for part in parts for piece in conjuncts(part)]
    return flat[0] if len(flat) == 1 else Call("and", tuple(flat))

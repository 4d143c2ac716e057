"""Plans rewritten into equal ones that read and compute less: filters at the source, unused columns dropped."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from hpckit.tables.expr import Column, Expr, Literal, conjunction, conjuncts, substitute, substitute_aggregate
from hpckit.tables.plan import Aggregate, Filter, Operator, Project, Sort
from hpckit.tables.types import BOOL

_ORDERED = ("first", "last")  # aggregates whose answer depends on the order of the rows


def optimize(operators: Sequence[Operator], result: pa.Schema) -> tuple[Operator, ...]:
    """The chain rewritten; its result (columns of `result`, rows and their order) is the same.

    Filters move down through projections, sorts and, where they read group keys only, aggregates. Neighbouring
    projections become one. Columns that nothing reads are dropped. A sort whose order is lost is dropped.
    """
    chain = list(operators)
    while True:
        before = list(chain)
        chain = _merge_projections(_drop_sorts(_sink_filters(chain)))
        if chain == before:
            break
    return tuple(_drop_identities(_prune(chain, list(result.names))))


def _sink_filters(chain: list[Operator]) -> list[Operator]:
    result: list[Operator] = []
    for operator in chain:
        if isinstance(operator, Filter):
            _place_filter(result, operator.predicate)
        else:
            result.append(operator)
    return result


def _place_filter(below: list[Operator], predicate: Expr) -> None:
    """Put a filter on top of `below`, as far down as it may go."""
    if isinstance(predicate, Literal) and predicate.value is True:
        return
    top = below[-1] if below else None
    if isinstance(top, Filter):
        below.pop()
        _place_filter(below, conjunction([top.predicate, predicate]))
    elif isinstance(top, Project):
        below.pop()
        _place_filter(below, substitute(predicate, dict(top.columns)))
        below.append(top)
    elif isinstance(top, Sort):
        below.pop()
        _place_filter(below, predicate)
        below.append(top)
    elif isinstance(top, Aggregate) and top.keys:
        _through_aggregate(below, top, predicate)
    else:
        below.append(Filter(predicate))


def _through_aggregate(below: list[Operator], top: Aggregate, predicate: Expr) -> None:
    """Conditions on group keys choose rows before grouping; the others choose groups."""
    keys = dict(top.keys)
    parts = conjuncts(predicate)
    sinking = [p for p in parts if p.column_names() and p.column_names() <= keys.keys()]
    staying = [p for p in parts if p not in sinking]
    below.pop()
    if sinking:
        _place_filter(below, substitute(conjunction(sinking), keys))
    below.append(top)
    if staying:
        below.append(Filter(conjunction(staying)))


def _merge_projections(chain: list[Operator]) -> list[Operator]:
    result: list[Operator] = []
    for operator in chain:
        below = result[-1] if result else None
        if isinstance(below, Project) and isinstance(operator, Project):
            columns = dict(below.columns)
            result[-1] = Project(tuple((name, substitute(expr, columns)) for name, expr in operator.columns))
        elif isinstance(below, Project) and isinstance(operator, Aggregate):
            columns = dict(below.columns)
            keys = tuple((name, substitute(expr, columns)) for name, expr in operator.keys)
            calls = tuple((name, substitute_aggregate(call, columns)) for name, call in operator.aggregates)
            result[-1] = Aggregate(keys, calls)
        else:
            result.append(operator)
    return result


def _drop_sorts(chain: list[Operator]) -> list[Operator]:
    """A sort right below an aggregate is lost in it, unless first or last see it."""
    result: list[Operator] = []
    for operator in chain:
        if isinstance(operator, Aggregate) and not any(call.name in _ORDERED for _, call in operator.aggregates):
            while result and isinstance(result[-1], Sort):
                result.pop()
        result.append(operator)
    return result


def _names(exprs: Sequence[Expr]) -> set[str]:
    return set().union(*(expr.column_names() for expr in exprs))


def _prune(chain: list[Operator], wanted: list[str]) -> list[Operator]:
    """Walk from the result to the source and keep only columns that something above reads."""
    needed: set[str] = set(wanted)
    result: list[Operator] = []
    is_last = True
    for operator in reversed(chain):
        if isinstance(operator, Project):
            if not is_last:
                kept = tuple((n, e) for n, e in operator.columns if n in needed)
                operator = Project(kept or (("__row", Literal(True, BOOL)),))
            needed = _names([expr for _, expr in operator.columns])
            is_last = False
        elif isinstance(operator, Aggregate):
            if not is_last:
                operator = Aggregate(operator.keys, tuple((n, c) for n, c in operator.aggregates if n in needed))
            needed = _names([expr for _, expr in (*operator.keys, *operator.aggregates)])
            is_last = False
        elif isinstance(operator, Filter):
            needed |= operator.predicate.column_names()
        elif isinstance(operator, Sort):
            needed |= _names([key.expr for key in operator.keys])
        result.append(operator)
    return result[::-1]


def _drop_identities(chain: list[Operator]) -> list[Operator]:
    """Drop projections that give just the columns of the aggregate or projection below them, in the same order."""
    result: list[Operator] = []
    columns: list[str] | None = None  # the columns at this point, unknown at the source
    for operator in chain:
        if isinstance(operator, Project):
            names = [name for name, _ in operator.columns]
            if columns == names and all(isinstance(e, Column) and e.name == n for n, e in operator.columns):
                continue
            columns = names
        elif isinstance(operator, Aggregate):
            columns = [name for name, _ in (*operator.keys, *operator.aggregates)]
        result.append(operator)
    return result

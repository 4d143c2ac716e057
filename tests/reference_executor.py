"""Plans run in the most obvious way: one process, everything in memory, groups in Python. An oracle, not an engine."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa

from hpckit.tables.columns import Batch, to_arrow
from hpckit.tables.evaluate import Evaluator, mask
from hpckit.tables.evaluate_types import typed
from hpckit.tables.expr import AggCall, Column, Expr
from hpckit.tables.plan import Aggregate, Filter, Limit, Operator, Plan, Project, Sort


def run(plan: Plan, table: pa.Table) -> pa.Table:
    """The result of `plan` with `table` as its source."""
    for operator in plan.operators:
        table = _apply(operator, table)
    table = table.select(plan.schema.names)
    assert table.schema.equals(plan.schema), f"{table.schema} instead of {plan.schema}"
    return table


def _columns(exprs: list[Expr], table: pa.Table) -> list[pa.Array]:
    batch = Batch({n: table.column(n).combine_chunks() for n in table.column_names}, np.arange(len(table)))
    return [to_arrow(c) for c in Evaluator(exprs, table.schema).evaluate(batch)]


def _apply(operator: Operator, table: pa.Table) -> pa.Table:
    if isinstance(operator, Filter):
        return table.filter(pa.array(mask(_columns([operator.predicate], table)[0])))
    if isinstance(operator, Project):
        columns = _columns([e for _, e in operator.columns], table)
        return pa.Table.from_arrays(columns, names=[n for n, _ in operator.columns])
    if isinstance(operator, Sort):
        columns = [_values(c) for c in _columns([k.expr for k in operator.keys], table)]
        rows = list(range(len(table)))
        for key, values in reversed(list(zip(operator.keys, columns, strict=True))):
            rows.sort(key=lambda row, v=values: _sort_key(v[row]), reverse=key.descending)  # stable in both directions
            rows.sort(key=lambda row, v=values, k=key: (v[row] is None) != k.nulls_first)
        return table.take(pa.array(rows, pa.int64()))
    if isinstance(operator, Limit):
        return table.slice(operator.offset, operator.count)
    assert isinstance(operator, Aggregate)
    return _aggregate(operator, table)


def _values(array: pa.Array) -> list:
    """Python values; timestamps as microseconds, since datetime knows the years 1 to 9999 only."""
    return (array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array).to_pylist()


def _sort_key(value: object) -> tuple:
    if value is None:
        return (-1,)
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    return (0, value.encode()) if isinstance(value, str) else (0, value)


def _group_key(value: object) -> object:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value + 0.0
    return value


def _aggregate(operator: Aggregate, table: pa.Table) -> pa.Table:
    keys = _columns([e for _, e in operator.keys], table)
    key_values = list(zip(*map(_values, keys), strict=True)) if keys else [()] * len(table)
    groups: dict[tuple, list[int]] = {} if keys else {(): []}
    for row, key in enumerate(key_values):
        groups.setdefault(tuple(_group_key(v) for v in key), []).append(row)
    order = sorted(groups.values(), key=lambda rows: _canonical(key_values[rows[0]]) if rows else ())
    arrays = [k.take(pa.array([rows[0] for rows in order], pa.int64())) for k in keys]
    for _, call in operator.aggregates:
        arrays.append(_one_aggregate(call, table, order))
    return pa.Table.from_arrays(arrays, names=[n for n, _ in (*operator.keys, *operator.aggregates)])


def _canonical(key: tuple) -> list[tuple]:
    return [(value is None, _sort_key(value)) for value in key]


def _one_aggregate(call: AggCall, table: pa.Table, groups: list[list[int]]) -> pa.Array:
    kind = typed(call, table.schema)[1]
    exprs = [*call.args, *([call.filter] if call.filter is not None else [])]
    columns = _columns(exprs, table)
    passes = mask(columns[-1]) if call.filter is not None else np.ones(len(table), bool)
    raw = columns[0] if call.args else pa.array(np.arange(len(table)))
    values = _values(raw)
    results = [_fold(call, [values[row] for row in rows if passes[row]]) for rows in groups]
    if kind == pa.float64():
        results = [None if r is None else float(r) for r in results]
    array = pa.array(results, pa.int64() if pa.types.is_timestamp(kind) else kind)
    return array.cast(kind)


def _fold(call: AggCall, values: list) -> object:
    name = call.name
    if name == "count_star":
        return len(values)
    if name == "first":
        return values[0] if values else None
    if name == "last":
        return values[-1] if values else None
    values = [v for v in values if v is not None]
    if name == "count":
        return len(values)
    if name in ("count_distinct", "approx_count_distinct"):
        return len({_group_key(v) for v in values})
    if not values:
        return None
    if name == "sum":
        return _sum(values)
    if name in ("min", "max"):
        return (min if name == "min" else max)(values, key=_sort_key)
    if name == "bool_and":
        return all(values)
    if name == "bool_or":
        return any(values)
    if name.startswith("quantile") or name == "approx_quantile":
        return _quantile(name, sorted(values, key=_sort_key), call.fraction)
    return _moments(name, values)


def _sum(values: list) -> object:
    if isinstance(values[0], float):
        if not all(map(math.isfinite, values)):
            return sum(v for v in values if not math.isfinite(v))  # inf, -inf or NaN
        return float(sum(map(Fraction, values)))
    total = sum(values)
    assert -(2**63) <= total < 2**63, "sum overflows; the test data should not"
    return total


def _quantile(name: str, ordered: list, fraction: float) -> object:
    if name == "quantile_disc":
        return ordered[max(0, math.ceil(len(ordered) * fraction) - 1)]
    place = Fraction(fraction) * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    if name == "approx_quantile":
        return low
    if low == high or (isinstance(low, float) and math.isnan(low)):
        return low
    return low + (high - low) * float(place - math.floor(place))


def _moments(name: str, values: list) -> float | None:
    if any(isinstance(v, float) and not math.isfinite(v) for v in values):
        return _sum([float(v) for v in values]) if name == "avg" else math.nan
    exact = [Fraction(v) for v in values]
    mean = sum(exact) / len(exact)
    if name == "avg":
        return float(mean)
    count = len(exact) - (0 if name in ("stddev_pop", "var_pop") else 1)
    if count == 0:
        return None
    variance = sum((v - mean) ** 2 for v in exact) / count
    return float(variance) if name.startswith("var") else math.sqrt(variance)


__all__ = ["Column", "run"]

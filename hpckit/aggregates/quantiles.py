"""Quantiles read from ordered value counts, with DuckDB's choice of ranks and of interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.aggregates import buckets
from hpckit.aggregates.spec import DATE, FLOAT, INT, AggSpec
from hpckit.aggregates.words import doubles

if TYPE_CHECKING:
    from hpckit.aggregates.values import ValueCounts

_US_PER_DAY = 86_400_000_000


def wanted_ranks(spec: AggSpec, totals: np.ndarray) -> list[np.ndarray]:
    """The ranks (from 0, int64) of the values that the result of groups of `totals` rows is computed from."""
    if spec.name == "quantile_disc":  # the value of rank ceil(q n), counted from 1, at least the first
        return [np.maximum(totals - np.floor(totals - totals * spec.fraction).astype(np.int64), 1) - 1]
    place = _place(spec, totals)
    below = np.floor(place).astype(np.int64)
    return [below] if spec.name == "approx_quantile" else [below, np.ceil(place).astype(np.int64)]


def _place(spec: AggSpec, totals: np.ndarray) -> np.ndarray:
    """(n - 1) q: where the quantile lies, counted from 0."""
    return np.maximum(totals - 1, 0) * spec.fraction


def discrete(spec: AggSpec, values: ValueCounts) -> pa.Array:
    """quantile_disc: a value that occurs."""
    runs = values.ordered()
    (ranks,) = wanted_ranks(spec, runs.totals)
    return values.decode(runs.at(ranks), runs.totals == 0)


def continuous(spec: AggSpec, values: ValueCounts) -> pa.Array:
    """quantile_cont: at (n - 1) q, linear between the two values around it."""
    runs = values.ordered()
    missing = runs.totals == 0
    low, high = (runs.at(ranks) for ranks in wanted_ranks(spec, runs.totals))
    place = _place(spec, runs.totals)
    part = place - np.floor(place)
    if spec.arg_type in (INT, FLOAT):
        a, b = (doubles(w) if spec.arg_type == FLOAT else w.astype(np.float64) for w in (low, high))
        with np.errstate(invalid="ignore", over="ignore"):
            between = a + part * (b - a)
        return pa.array(np.where(part > 0, between, a), mask=missing)
    scale = _US_PER_DAY if spec.arg_type == DATE else 1
    steps = (high - low) * scale
    points = low * scale + (part * steps.astype(np.float64)).astype(np.int64)
    return pa.array(points, mask=missing).view(spec.result_type)


def approximate(spec: AggSpec, values: ValueCounts) -> pa.Array:
    """approx_quantile: within 1 % of the value of rank floor(q (n - 1))."""
    runs = values.ordered()
    (ranks,) = wanted_ranks(spec, runs.totals)
    index = runs.at(ranks)
    found = buckets.values(index) if spec.arg_type == FLOAT else buckets.integers(index)
    result = pa.array(found, mask=runs.totals == 0)
    return result if spec.arg_type == FLOAT else result.view(spec.result_type)

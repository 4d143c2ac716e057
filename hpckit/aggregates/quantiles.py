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


def discrete(spec: AggSpec, values: ValueCounts) -> pa.Array:
    """quantile_disc: the value of rank ceil(q n), at least the first."""
    runs = values.ordered()
    n = runs.totals
    ranks = np.maximum(n - np.floor(n - n * spec.fraction).astype(np.int64), 1) - 1
    return values.decode(runs.at(ranks), n == 0)


def continuous(spec: AggSpec, values: ValueCounts) -> pa.Array:
    """quantile_cont: at (n - 1) q, linear between the two values around it."""
    runs = values.ordered()
    missing = runs.totals == 0
    place = np.maximum(runs.totals - 1, 0) * spec.fraction
    below = np.floor(place)
    low, high = runs.at(below.astype(np.int64)), runs.at(np.ceil(place).astype(np.int64))
    part = place - below
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
    ranks = np.floor(np.maximum(runs.totals - 1, 0) * spec.fraction).astype(np.int64)
    index = runs.at(ranks)
    found = buckets.values(index) if spec.arg_type == FLOAT else buckets.integers(index)
    result = pa.array(found, mask=runs.totals == 0)
    return result if spec.arg_type == FLOAT else result.view(spec.result_type)

"""From states to result columns: the one place where anything is rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit._kernels.exactsum import ratios, variances
from hpckit.aggregates.spec import DATE, FLOAT, INT, STRING, AggSpec
from hpckit.aggregates.words import decode
from hpckit.errors import QueryError

if TYPE_CHECKING:
    from hpckit.aggregates.chosen import Edges
    from hpckit.aggregates.pairs import Distinct
    from hpckit.aggregates.sketches import DistinctSketches
    from hpckit.aggregates.states import Counts, FloatSums

_US_PER_DAY = 86_400_000_000


def counts(spec: AggSpec, count: Counts) -> pa.Array:
    """count_star and count."""
    return pa.array(count.values)


def total(spec: AggSpec, count: Counts, sums: Any) -> pa.Array:
    """sum: NULL without rows, an error where an integer sum leaves int64."""
    missing = count.values == 0
    if spec.arg_type == FLOAT:
        return pa.array(sums.sums.means(), mask=missing)
    low, high = np.ascontiguousarray(sums.values.T).view(np.int64)
    if np.any(high != low >> 63):
        raise QueryError(
            f"integer overflow in sum({spec.arg_type}): a sum leaves the range of int64; use sum(CAST(… AS DOUBLE))"
        )
    return pa.array(low, mask=missing).view(spec.result_type)


def mean(spec: AggSpec, count: Counts, sums: Any) -> pa.Array:
    """avg: the exact sum over the count, rounded once; points in time lose fractions of a microsecond."""
    missing = count.values == 0
    if spec.arg_type == FLOAT:
        return pa.array(sums.sums.means(count.values), mask=missing)
    if spec.arg_type == INT:
        return pa.array(ratios(sums.values, count.values), mask=missing)
    scale = _US_PER_DAY if spec.arg_type == DATE else 1
    whole = np.zeros(len(missing), np.int64)
    for group in np.flatnonzero(~missing):
        low, high = (int(w) for w in sums.values[group])
        exact = (high << 64 | low) - (1 << 128 if high >> 63 else 0)
        whole[group] = _truncated(exact * scale, int(count.values[group]))
    return pa.array(whole, mask=missing).view(spec.result_type)


def _truncated(numerator: int, denominator: int) -> int:
    """The quotient without its fraction, as DuckDB averages timestamps."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


def variance(spec: AggSpec, count: Counts, sums: FloatSums, squares: FloatSums) -> pa.Array:
    """stddev, stddev_pop, variance, var_pop: from exact sums, the variance rounded once, its root once more."""
    ddof = 0 if spec.name.endswith("_pop") else 1
    values = variances(sums.sums, squares.sums, count.values, ddof)
    if spec.name.startswith("stddev"):
        values = np.sqrt(values)
    return pa.array(values, mask=count.values <= ddof)


def extreme(spec: AggSpec, count: Counts, best: Any) -> pa.Array:
    """min, max, bool_and, bool_or."""
    if spec.arg_type == STRING:
        return best.strings()
    return decode(best.values, spec.result_type, count.values == 0)


def distinct(spec: AggSpec, values: Distinct) -> pa.Array:
    """count_distinct."""
    return pa.array(values.values)


def estimate(spec: AggSpec, registers: DistinctSketches) -> pa.Array:
    """approx_count_distinct, to the nearest integer."""
    return pa.array(np.rint(registers.values).astype(np.int64))


def edge(spec: AggSpec, chosen: Edges) -> pa.Array:
    """first and last."""
    return chosen.values()

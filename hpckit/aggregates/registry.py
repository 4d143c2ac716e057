"""Which states an aggregate needs, and how its result is read from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa

from hpckit.aggregates import quantiles, results
from hpckit.aggregates.chosen import Edges, StringExtremes
from hpckit.aggregates.pairs import Distinct
from hpckit.aggregates.sketches import DistinctSketches
from hpckit.aggregates.spec import FLOAT, STRING, AggSpec
from hpckit.aggregates.states import Counts, Extremes, FloatSums, IntegerSums
from hpckit.aggregates.values import ValueCounts

Part = tuple[str, Callable[[], Any]]


def parts_of(spec: AggSpec) -> list[Part]:
    """(name, factory) of each state; aggregates over the same source share states of the same name."""
    count: Part = ("count", Counts)
    name, kind = spec.name, spec.arg_type
    if name in ("count", "count_star"):
        return [count]
    if name in ("sum", "avg"):
        return [count, ("sum", partial(FloatSums, False) if kind == FLOAT else IntegerSums)]
    if name in ("stddev", "stddev_pop", "variance", "var_pop"):
        return [count, ("double sum", partial(FloatSums, False)), ("squares", partial(FloatSums, True))]
    if name == "count_distinct":
        return [("distinct", partial(Distinct, kind))]
    if name == "approx_count_distinct":
        return [("registers", partial(DistinctSketches, kind))]
    if name in ("quantile_cont", "quantile_disc"):
        return [("values", partial(ValueCounts, kind, False))]
    if name == "approx_quantile":
        return [("buckets", partial(ValueCounts, kind, True))]
    if name in ("first", "last"):
        return [(name, partial(Edges, kind, name == "last"))]
    largest = name in ("max", "bool_or")
    word = "max" if largest else "min"
    return [count, (word, partial(StringExtremes if kind == STRING else Extremes, largest))]


_RESULTS: dict[str, Callable[..., pa.Array]] = {
    "count_star": results.counts,
    "count": results.counts,
    "sum": results.total,
    "avg": results.mean,
    "stddev": results.variance,
    "stddev_pop": results.variance,
    "variance": results.variance,
    "var_pop": results.variance,
    "count_distinct": results.distinct,
    "approx_count_distinct": results.estimate,
    "quantile_cont": quantiles.continuous,
    "quantile_disc": quantiles.discrete,
    "approx_quantile": quantiles.approximate,
    "first": results.edge,
    "last": results.edge,
    "min": results.extreme,
    "max": results.extreme,
    "bool_and": results.extreme,
    "bool_or": results.extreme,
}


def result_of(spec: AggSpec, states: list[Any]) -> pa.Array:
    """The result column by group id, type spec.result_type."""
    return _RESULTS[spec.name](spec, *states)

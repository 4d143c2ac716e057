"""Which states an aggregate needs, and how its result is read from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa

from hpckit.aggregates import results
from hpckit.aggregates.spec import FLOAT, AggSpec
from hpckit.aggregates.states import Counts, Extremes, FloatSums, IntegerSums

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
    if name in ("min", "bool_and"):
        return [count, ("min", partial(Extremes, False))]
    return [count, ("max", partial(Extremes, True))]


_RESULTS: dict[str, Callable[..., pa.Array]] = {
    "count_star": results.counts,
    "count": results.counts,
    "sum": results.total,
    "avg": results.mean,
    "stddev": results.variance,
    "stddev_pop": results.variance,
    "variance": results.variance,
    "var_pop": results.variance,
    "min": results.extreme,
    "max": results.extreme,
    "bool_and": results.extreme,
    "bool_or": results.extreme,
}


def result_of(spec: AggSpec, states: list[Any]) -> pa.Array:
    """The result column by group id, type spec.result_type."""
    return _RESULTS[spec.name](spec, *states)

"""Counts of values: unique, bincount, histogram; counts are integers, weighted sums correctly rounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpckit._kernels import arrays as kernel
from hpckit.arrays import exact
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.elementwise import called
from hpckit.arrays.extremes import max as max_
from hpckit.arrays.extremes import min as min_
from hpckit.arrays.indexing import ravel
from hpckit.arrays.moving import refuse_above_budget, to_starts
from hpckit.arrays.reduce import of_kind
from hpckit.errors import UserError

_PIECE = 1 << 15  # values converted to float64 at a time


@alike()
def bincount(x: DistArray, weights: DistArray | None = None, minlength: int = 0) -> np.ndarray:
    """np.bincount of a 1-D array of integers >= 0: how often each number occurs, on every rank. Collective.

    int64, or the correctly rounded sums of `weights` (float64). MemoryBudgetError where the result is too long.
    """
    x = of_kind(x, "biu", "bincount")
    if x.ndim != 1:
        raise UserError(f"bincount: an array of shape {x.shape}; expected one dimension")
    least, length = (int(min_(x)), int(max_(x)) + 1) if len(x) else (0, 0)
    if least < 0:
        raise UserError(f"bincount: the array holds {least}; expected integers >= 0")
    length = max(length, minlength)
    refuse_above_budget(
        x.context, 8 * length * (1 if weights is None else 12), f"bincount of numbers up to {length - 1}"
    )
    if weights is None:
        with x.context.agreed("counting numbers"):
            counts = np.bincount(x.local.astype(np.int64, copy=False), minlength=length)
        return x.context.allreduce(counts.astype(np.int64), "sum")
    return _weighted(x, np.asarray(x.local, np.int64), _weights(x, weights, "bincount"), length, np.dtype(np.float64))


def _weights(x: DistArray, weights: Any, place: str) -> np.ndarray:
    """This rank's weights as float64. Collective."""
    if not isinstance(weights, DistArray):
        raise UserError(
            f"{place}: weights are {type(weights).__name__}; expected a distributed array of shape {x.shape}"
        )
    weights = of_kind(weights, "biuf", f"{place}: weights")
    if weights.shape != x.shape:
        raise UserError(f"{place}: weights of shape {weights.shape} for values of shape {x.shape}")
    return np.ascontiguousarray(to_starts(weights, x.starts).local.reshape(-1), np.float64)


def _weighted(x: DistArray, ids: np.ndarray, weights: np.ndarray, groups: int, kind: np.dtype) -> np.ndarray:
    """Correctly rounded sums (of dtype `kind`) of the weights of each id in 0 … groups - 1. Collective."""
    if groups >= 1 << 31:
        raise UserError(f"weighted counts of {groups} numbers: expected fewer than 2^31; leave out the weights")
    with x.context.agreed("adding up weights"):
        sums = exact.new(groups)
        sums.add(ids.astype(np.int32), weights)
    shorter = kind.kind == "f" and kind.itemsize < 8
    return exact.merged(x.context, [sums], lambda states, which: states[0].means(odd=shorter)).astype(kind)


@alike()
def histogram(
    x: DistArray, bins: Any = 10, range: Any = None, density: bool = False, weights: DistArray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """np.histogram of all values: (counts, edges) on every rank. Collective.

    `bins` is a number of equal bins between `range` (default: the least and greatest value), or ascending edges. With
    `weights` the counts are correctly rounded sums of weights, in their dtype.
    """
    x = ravel(of_kind(x, "biuf", "histogram"))
    edges = _edges(x, bins, range)
    inside = (
        None
        if weights is None
        else _weights(x, ravel(weights) if isinstance(weights, DistArray) else weights, "histogram")
    )
    with x.context.agreed("counting values in bins"):
        uniform = np.ndim(bins) == 0
        counts = _counts(x.local, edges, uniform) if inside is None else np.zeros(0, np.int64)
    if inside is None:
        counts = x.context.allreduce(counts, "sum")
    else:
        kind = weights.dtype if weights is not None and weights.dtype.kind != "b" else np.dtype(np.int64)
        counts = _weighted_counts(x, edges, inside, kind)
    if density:
        return counts / np.array(np.diff(edges), float) / counts.sum(), edges
    return counts, edges


def _edges(x: DistArray, bins: Any, limits: Any) -> np.ndarray:
    """The edges as np.histogram_bin_edges has them. Collective."""
    if isinstance(bins, str):
        raise UserError(
            f"histogram: bins={bins!r}: expected a number of bins or their edges; estimators are not offered"
        )
    if np.ndim(bins):
        return np.asarray(called("histogram", np.histogram_bin_edges, np.empty(0, x.dtype), bins))
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise UserError(f"histogram: bins={bins!r}: expected a whole number of at least 1, or the edges of the bins")
    refuse_above_budget(x.context, 40 * int(bins), f"histogram of {bins} bins")
    if limits is None and len(x):
        values = np.array([min_(x), max_(x)])
        if not np.isfinite(values).all():
            raise UserError(
                f"histogram: the values go from {values[0]} to {values[1]}; give range=(low, high), or leave out what "
                "is not finite: x[np.isfinite(x)]"
            )
    else:
        values = np.empty(0, x.dtype)
    return np.asarray(called("histogram", np.histogram_bin_edges, values, bins, limits))


def _counts(values: np.ndarray, edges: np.ndarray, uniform: bool) -> np.ndarray:
    """int64: how many values each bin has. Local."""
    counts = np.zeros(len(edges) - 1, np.int64)
    if not uniform or edges.dtype.kind != "f":
        return np.histogram(values, edges)[0].astype(np.int64)
    wide = edges.astype(np.float64)
    for start in np.arange(0, len(values), _PIECE).tolist():
        kernel.count_uniform(values[start : start + _PIECE].astype(np.float64, copy=False), wide, counts)
    return counts


def _weighted_counts(x: DistArray, edges: np.ndarray, weights: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Sums of the weights in each bin. Collective."""
    with x.context.agreed("counting values in bins"):
        places = np.searchsorted(edges, x.local, side="right") - 1
        places[x.local == edges[-1]] = len(edges) - 2
        inside = (places >= 0) & (places < len(edges) - 1)
    return _weighted(x, places[inside], weights[inside], len(edges) - 1, kind)

"""Exact quantiles by selection: histograms of order-preserving words, finer and finer, until a few values are left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit._kernels import arrays as kernel
from hpckit.arrays import words
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.axes import Groups, grouped
from hpckit.arrays.elementwise import called
from hpckit.arrays.moving import all_rows
from hpckit.errors import UserError

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

BINS_LOG2 = 16
SMALL = 1 << 12  # values, over all ranks, that are gathered and sorted without looking for candidates
FEW = 1 << 16  # candidates, over all ranks, that are gathered and sorted
BETWEEN = ("linear", "midpoint")  # values
METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@alike()
def quantile(x: DistArray, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """np.quantile to the bit (of integers: of int64), for q a number or array in 0 … 1: exact, no sort. Collective.

    Methods: linear, lower, higher, midpoint, nearest. NaN where there is one among the values. A result without the
    first axis is on every rank; axes behind the first (`axis` >= 1) are one rank's work, and q is one number then.
    """
    if not isinstance(x, DistArray):
        raise UserError(f"quantile: {type(x).__name__} is no distributed array; use np.quantile")
    shares = _shares(q)
    if method not in METHODS:
        raise UserError(f"quantile: method {method!r}: expected one of {', '.join(METHODS)}")
    kind = words.code(x.dtype, "quantile")
    if x.dtype.kind == "b":
        raise UserError("quantile: dtype bool has no values in between; convert it with .astype(np.int8)")
    groups = grouped(x, axis, keepdims, "quantile")
    if groups.count == 0:
        raise UserError(f"quantile: no values in an array of shape {x.shape}; check len(x) first")
    if not groups.shared:
        return _local(x, groups, q, axis, method, keepdims)
    columns = []
    for g in range(groups.groups):
        values = groups.block[:, g] if groups.by_column else groups.block[g]
        columns.append(_of_column(x.context, np.ascontiguousarray(values), kind, groups.count, q, shares, method))
    found = (
        np.array(columns, None if columns else _dtype(x, q, method))
        .reshape(groups.groups, shares.size)
        .T.reshape((*shares.shape, *groups.shape))
    )
    return found if found.ndim else found[()]


@alike()
def median(x: DistArray, axis: Any = None, keepdims: bool = False) -> Any:
    """The quantile 0.5. Collective."""
    return quantile(x, 0.5, axis, keepdims=keepdims)


@alike()
def percentile(x: DistArray, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """Quantiles given in percent. Collective."""
    hundredths = np.true_divide(q, 100)
    return quantile(x, float(hundredths) if isinstance(q, int | float) else hundredths, axis, method, keepdims)


def _shares(q: Any) -> np.ndarray:
    shares = np.asarray(q)
    if shares.dtype.kind not in "iuf" or not ((shares >= 0) & (shares <= 1)).all():
        raise UserError(f"quantile: q = {q!r}: expected numbers from 0 to 1 (percentile takes 0 to 100)")
    return shares


def _local(x: DistArray, groups: Groups, q: Any, axis: Any, method: str, keepdims: bool) -> DistArray:
    """Quantiles along axes of one rank: NumPy's own."""
    if np.ndim(q):
        raise UserError("quantile: several q along an axis behind the first; ask for one at a time")
    with x.context.agreed("computing quantiles"):
        if not len(x.local):
            return groups.result(np.empty(0, _dtype(x, q, method)))
        # NumPy lets differences of integers overflow
        differs = method in BETWEEN and x.dtype.kind == "i" and x.dtype.itemsize < 8
        local = x.local.astype(np.int64) if differs else x.local
        return groups.result(called("quantile", np.quantile, local, q, axis=axis, method=method, keepdims=keepdims))


def _dtype(x: DistArray, q: Any, method: str) -> np.dtype:
    """That of a quantile. Local."""
    return np.quantile(np.zeros(1, x.dtype), q, method=method).dtype  # type: ignore[call-overload]


def _of_column(
    context: Context, values: np.ndarray, kind: int, count: int, q: Any, shares: np.ndarray, method: str
) -> np.ndarray:
    """The quantiles of one set of values that is spread over the ranks. Collective."""
    place = _places(count, shares, method)
    before = np.floor(place).astype(np.int64)
    ranks = np.unique(np.concatenate([before.ravel(), np.minimum(before + 1, count - 1).ravel(), [count - 1]]))
    numbers = words.decode(order_statistics(context, values, kind, ranks), values.dtype)
    below = numbers[np.searchsorted(ranks, before)]
    above = numbers[np.searchsorted(ranks, np.minimum(before + 1, count - 1))]
    if place.dtype.kind in "iu":
        found = below
    else:
        gamma = np.asanyarray(place - before, dtype=place.dtype)
        if method == "midpoint":
            gamma = np.where(place % 1 == 0, place.dtype.type(0), place.dtype.type(0.5))
        found = _between(below, above, float(gamma) if type(q) in (int, float) else gamma)
    if values.dtype.kind == "f" and np.isnan(numbers[-1]):
        found = np.full_like(found, np.nan)
    return np.asarray(found).reshape(-1)


def _places(count: int, shares: np.ndarray, method: str) -> np.ndarray:
    """Where in the sorted values the quantiles lie, as NumPy computes it: integers need no interpolation."""
    place = np.asanyarray((count - 1) * shares)
    if method == "midpoint":
        return 0.5 * (np.floor(place) + np.ceil(place))
    rounding: Any = {"lower": np.floor, "higher": np.ceil, "nearest": np.around}.get(method)
    return rounding(place).astype(np.int64) if rounding else place


def _between(a: np.ndarray, b: np.ndarray, t: Any) -> np.ndarray:
    """NumPy's interpolation, operation by operation: from the nearer end, so that t = 0 and 1 give the ends.

    Except that NumPy lets the difference of two integers overflow, and then leaves the range of the values.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        if a.dtype.kind == "i":
            span = np.subtract(b, a, dtype=np.int64)
            if (span < 0).any():
                span = np.where(span < 0, b.astype(np.float64) - a.astype(np.float64), span)
        else:
            span = b - a
        found = np.asanyarray(np.add(a, span * t))
        np.subtract(b, span * (1 - t), out=found, where=np.asarray(t) >= 0.5, casting="unsafe", dtype=found.dtype)
    return found


def order_statistics(context: Context, values: np.ndarray, kind: int, ranks: np.ndarray) -> np.ndarray:
    """uint64 words of the values number ranks[i] (ascending, from 0) in sorted order over all ranks. Collective."""
    with context.agreed("looking at the range of an array"):
        ranges = [kernel.word_range(piece, kind) for piece in words.pieces(values)]
        low, high = min((r[0] for r in ranges), default=(1 << 64) - 1), max((r[1] for r in ranges), default=0)
    everyone = context.allgather((low, high, values.size))
    low, high = min(r[0] for r in everyone), max(r[1] for r in everyone)
    if sum(r[2] for r in everyone) <= SMALL:
        with context.agreed("picking words"):
            here = [_picked(piece, kind, 0, 63, np.ones(2, np.uint8)) for piece in words.pieces(values)]
            mine = np.concatenate(here) if here else np.empty(0, np.uint64)
        return np.sort(all_rows(context, mine))[ranks]
    return _select(context, values, kind, ranks, low, high)


def _select(context: Context, values: np.ndarray, kind: int, ranks: np.ndarray, low: int, high: int) -> np.ndarray:
    """As order_statistics, of values whose words are in low … high. Collective, and every rank takes the same way."""
    if low == high:
        return np.full(len(ranks), low, np.uint64)
    shift = max(0, (high - low).bit_length() - BINS_LOG2)
    with context.agreed("counting words"):
        counts = np.zeros(((high - low) >> shift) + 1, np.int64)
        for piece in words.pieces(values):
            kernel.count_words(piece, kind, low, shift, counts)
    counts = context.allreduce(counts, "sum")
    ends = np.cumsum(counts)
    bins = np.searchsorted(ends, ranks, side="right")
    if shift == 0:
        return bins.astype(np.uint64) + np.uint64(low)
    with context.agreed("picking words"):
        wanted = np.zeros(len(counts), np.uint8)
        wanted[bins] = 1
        here = [_picked(piece, kind, low, shift, wanted) for piece in words.pieces(values)]
        candidates = np.concatenate(here) if here else np.empty(0, np.uint64)
    chosen = np.unique(bins)
    total = int(counts[chosen].sum())
    skipped = ranks - (ends - counts)[bins]  # number within its bin
    if total <= FEW:
        return _from_few(context, candidates, counts, chosen, bins, skipped)
    found = np.empty(len(ranks), np.uint64)
    own = (candidates - np.uint64(low)) >> np.uint64(shift)
    for number in chosen.tolist():
        which = bins == number
        part = candidates[own == number] if len(chosen) > 1 else candidates
        first = low + (number << shift)
        found[which] = _select(
            context, part, kernel.UNSIGNED, skipped[which], first, min(high, first + (1 << shift) - 1)
        )
    return found


def _picked(piece: np.ndarray, kind: int, low: int, shift: int, wanted: np.ndarray) -> np.ndarray:
    out = np.empty(len(piece), np.uint64)
    return out[: kernel.pick_words(piece, kind, low, shift, wanted, out)].copy()


def _from_few(
    context: Context, candidates: np.ndarray, counts: np.ndarray, chosen: np.ndarray, bins: np.ndarray, skip: np.ndarray
) -> np.ndarray:
    """The words asked for out of all candidates, sorted on every rank. Collective."""
    ordered = np.sort(all_rows(context, candidates))
    sizes = counts[chosen]
    starts = np.cumsum(sizes) - sizes
    return ordered[starts[np.searchsorted(chosen, bins)] + skip]

"""The distinct values of an array in order, with counts, first places and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpckit.arrays import checks
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.indexing import ravel, starts_of
from hpckit.arrays.moving import all_rows, redistribute, send_rows
from hpckit.arrays.search import searchsorted
from hpckit.errors import UserError

SAMPLES = 256  # values a rank gives for the choice of the splitters


@alike()
def unique(
    x: DistArray,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: None = None,
) -> Any:
    """np.unique of all elements: distinct values ascending, as a DistArray in canonical blocks. Collective.

    Then, as asked for: the row-major index of each value's first occurrence, the number of each element's value (in the
    blocks and the shape of `x`), how often each occurs; all int64. NaNs count as one value, the last; −0 is 0.
    """
    if not isinstance(x, DistArray):
        raise UserError(f"unique: {type(x).__name__} is no distributed array; use np.unique")
    if axis is not None and not (x.ndim == 1 and checks.axis_of(axis, 1, "unique") == 0):
        raise UserError(f"unique: axis={axis}: rows as values are not offered; expected axis=None")
    flat = ravel(x)
    with x.context.agreed("looking for distinct values"):
        values, counts, first = _distinct(_plain(flat.local), flat.start, return_index)
    if x.context.size > 1:
        values, counts, first = _exchanged(flat, values, counts, first)
    starts = starts_of(x.context, len(values))
    found = [redistribute(DistArray(x.context, part, starts)) for part in (values, first, counts)]
    result = [found[0]]
    if return_index:
        result.append(found[1])
    if return_inverse:
        inverse = searchsorted(found[0], flat.with_local(_plain(flat.local)))
        last = max(0, len(found[0]) - 1)  # complex NaNs differ, and some lie behind the one that stands for all
        result.append(x.with_local(np.minimum(inverse.local, last).reshape(x.local.shape)))
    if return_counts:
        result.append(found[2])
    return tuple(result) if len(result) > 1 else result[0]


def _plain(values: np.ndarray) -> np.ndarray:
    """The values with +0 for −0 and one NaN, so that equal ones have equal bits."""
    if values.dtype.kind != "f":
        return values + 0 if values.dtype.kind == "c" else values
    values = values + values.dtype.type(0)
    values[np.isnan(values)] = np.nan
    return values


def _distinct(values: np.ndarray, start: int, first: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(distinct values ascending, counts, row-major index of the first occurrence if asked for). Local."""
    if first:
        order = np.argsort(values, kind="stable")
        ordered = values[order]
    else:
        ordered = np.sort(values)
    begins = np.flatnonzero(_changes(ordered))
    counts = np.diff(np.append(begins, len(ordered)))
    return ordered[begins], counts, order[begins] + start if first else np.zeros(len(begins), np.int64)


def _changes(ordered: np.ndarray) -> np.ndarray:
    """True where a sorted array goes on to another value."""
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    missing = _missing(ordered)
    new[1:] &= ~(missing[1:] & missing[:-1])
    return new


def _missing(values: np.ndarray) -> np.ndarray:
    """True where a value is NaN or NaT."""
    return np.isnan(values) if values.dtype.kind in "fcmM" else np.zeros(len(values), bool)


def _exchanged(
    x: DistArray, values: np.ndarray, counts: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each distinct value on one rank, ascending over the ranks, its counts added up. Collective."""
    context = x.context
    splitters = _splitters(x, values)
    # NaNs are one value, even if complex ones differ: all go to the last rank
    edges = np.searchsorted(values[~_missing(values)], splitters[~_missing(splitters)])
    edges = np.concatenate([edges, np.full(len(splitters) - len(edges), np.count_nonzero(~_missing(values)))])
    sent = np.diff(np.concatenate([[0], edges, [len(values)]]))
    values, _ = send_rows(context, values, sent)
    facts, _ = send_rows(context, np.column_stack([counts, first]).astype(np.int64), sent)
    with context.agreed("merging distinct values"):
        order = np.argsort(values, kind="stable")  # ranks come in order, so the first of equals has the least index
        ordered = values[order]
        begins = np.flatnonzero(_changes(ordered))
        facts = facts[order]
        if not len(begins):
            return ordered, facts[:, 0], facts[:, 1]
        return ordered[begins], np.add.reduceat(facts[:, 0], begins), facts[begins, 1]


def _splitters(x: DistArray, values: np.ndarray) -> np.ndarray:
    """size - 1 values that cut the distinct values of all ranks into about equal parts, from samples at regular
    distances (Shi, Schaeffer, "Parallel sorting by regular sampling", 1992). Collective."""
    context = x.context
    places = np.linspace(0, max(0, len(values) - 1), min(SAMPLES, len(values))).astype(np.int64)
    weights = np.full(len(places), len(values) / max(1, len(places)))
    samples, weights = all_rows(context, values[places]), all_rows(context, weights)
    order = np.argsort(samples, kind="stable")
    if not len(order):
        return np.zeros(context.size - 1, values.dtype)
    weight = np.cumsum(weights[order])
    wanted = weight[-1] * np.arange(1, context.size) / context.size
    return samples[order[np.minimum(np.searchsorted(weight, wanted), len(order) - 1)]]

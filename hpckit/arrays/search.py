"""Where values are: searchsorted in a sorted array, and the indices of what is not zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.elementwise import called
from hpckit.arrays.indexing import ravel, starts_of
from hpckit.arrays.moving import all_rows, send_rows
from hpckit.errors import UserError


@alike()
def searchsorted(a: Any, v: Any, side: str = "left") -> Any:
    """Where in the sorted 1-D array `a` the values `v` would be inserted, as np.searchsorted has it. Collective.

    `a` is a DistArray or a NumPy array that every rank has. For `v` a DistArray the result is one in its blocks, for a
    scalar or NumPy array (the same on every rank) it is int64 on every rank.
    """
    if side not in ("left", "right"):
        raise UserError(f"searchsorted: side {side!r}: expected 'left' or 'right'")
    if np.ndim(a.local if isinstance(a, DistArray) else a) != 1:
        raise UserError(f"searchsorted: the sorted array has shape {np.shape(a.local)}; expected one dimension")
    if not isinstance(a, DistArray):
        if not isinstance(v, DistArray):
            raise UserError("searchsorted: neither array is distributed; use np.searchsorted")
        with v.context.agreed("searching"):
            return v.with_local(called("searchsorted", np.searchsorted, a, v.local, side).astype(np.int64))
    _check_sorted(a)
    if isinstance(v, DistArray):
        return _search_distributed(a, v, side)
    with a.context.agreed("searching"):
        here = np.asarray(called("searchsorted", np.searchsorted, a.local, v, side), np.int64)
    # every value has a place in each rank's sorted part; the places add up to the place in the whole
    return a.context.allreduce(here, "sum")[()]


def _check_sorted(a: DistArray) -> None:
    """UserError where the ends of the blocks show that `a` is not sorted. Collective; NaNs are last."""
    ends = all_rows(a.context, a.local[[0, -1]] if len(a.local) else a.local[:0])
    if ends.dtype.kind in "fc":
        ends = ends[~np.isnan(ends)]
    later = np.flatnonzero(ends[1:] < ends[:-1])
    if len(later):
        raise UserError(
            f"searchsorted: the array is not sorted: {ends[later[0]]} comes before {ends[later[0] + 1]}; sort it first "
            "with hpckit.arrays.sort"
        )


def _search_distributed(a: DistArray, v: DistArray, side: str) -> DistArray:
    """Each value goes to the last rank whose first element is not behind it, and its place comes back. Collective."""
    context, values = a.context, ravel(v)
    held = np.flatnonzero(np.diff(a.starts))
    firsts = all_rows(context, a.local[:1])
    with context.agreed("searching"):
        if len(held):
            dest = held[np.maximum(called("searchsorted", np.searchsorted, firsts, values.local, side) - 1, 0)]
        else:
            dest = np.full(len(values.local), context.rank)
        order = np.argsort(dest, kind="stable")
        counts = np.bincount(dest, minlength=context.size)
    asked, asked_counts = send_rows(context, values.local[order], counts)
    found, _ = send_rows(context, called("searchsorted", np.searchsorted, a.local, asked, side) + a.start, asked_counts)
    places = np.empty_like(found)
    places[order] = found
    return v.with_local(places.reshape(v.local.shape))


@alike()
def nonzero(x: DistArray) -> tuple[DistArray, ...]:
    """Indices of the elements that are not zero, an int64 array for each axis, in row-major order. Collective.

    They lie where the elements do; `redistribute` evens the blocks.
    """
    if not isinstance(x, DistArray):
        raise UserError(f"nonzero: {type(x).__name__} is no distributed array; use np.nonzero")
    with x.context.agreed("looking for what is not zero"):
        found = called("nonzero", np.nonzero, x.local)
    starts = starts_of(x.context, len(found[0]))
    first = found[0] + x.start
    return tuple(DistArray(x.context, np.asarray(index, np.int64), starts) for index in (first, *found[1:]))


@alike()
def flatnonzero(x: DistArray) -> DistArray:
    """Row-major indices of the elements that are not zero. Collective."""
    return nonzero(ravel(x))[0]

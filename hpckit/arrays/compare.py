"""Comparing and differencing whole arrays: count_nonzero, array_equal, allclose, diff."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpckit.arrays import elementwise, extremes, reduce
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.checks import axis_of
from hpckit.errors import UserError


@alike()
def count_nonzero(x: DistArray, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements along `axis` (None: of all) are not zero. Collective."""
    if x.dtype.kind in "mM":  # a time is not compared with 0
        return reduce.sum(x.astype(bool), axis, None, keepdims)
    return reduce.sum(x != (b"" if x.dtype.kind == "S" else 0), axis, None, keepdims)


@alike()
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Whether two arrays, of which at least one is distributed, have one shape and equal elements. Collective."""
    if np.shape(a1) != np.shape(a2):
        return False
    same = elementwise.apply(_equal_nan if equal_nan else np.equal, [a1, a2], "array_equal")
    return bool(extremes.all(same))


def _equal_nan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    equal = np.equal(a, b)
    return equal | (np.isnan(a) & np.isnan(b)) if equal.size and np.asarray(a).dtype.kind in "fcmM" else equal


@alike()
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are equal within NumPy's tolerance. Collective."""
    close = elementwise.apply(np.isclose, [a, b], "allclose", rtol=rtol, atol=atol, equal_nan=equal_nan)
    return bool(extremes.all(close))


@alike()
def diff(a: DistArray, n: int = 1, axis: int = -1) -> DistArray:
    """Differences of neighbours along `axis`, n times. Collective."""
    if n < 0:
        raise UserError(f"diff: n = {n}: expected a number >= 0")
    axis = axis_of(axis, a.ndim, "diff")
    before, after = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
    for _ in range(n):
        a = a[after] != a[before] if a.dtype.kind == "b" else a[after] - a[before]
    return a

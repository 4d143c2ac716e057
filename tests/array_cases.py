"""What is asked of distributed arrays and of NumPy alike: arrays of all kinds, and expressions that take either."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

import hpckit as hk


def arrays() -> dict[str, np.ndarray]:
    """Arrays by name: every dtype, one to three dimensions, extremes, one row, no rows."""
    rng = np.random.default_rng(11)
    normal = rng.normal(size=403)
    special = normal.copy()
    special[[7, 100, 250]] = [np.inf, -np.inf, -0.0]
    holes = normal.copy()
    holes[[5, 390]] = np.nan
    times = np.array("2024-02-28T23:59", "M8[s]") + rng.integers(0, 10**6, 50).astype("m8[s]")
    return {
        "f8": normal,
        "f8 wide": normal * 10.0 ** rng.integers(-200, 200, 403),
        "f8 special": special,
        "f8 nan": holes,
        "f8 zeros": np.array([0.0, -0.0, 0.0, -0.0, -0.0]),
        "f8 equal": np.full(97, 2.5),
        "f8 2d": rng.normal(size=(37, 5)),
        "f8 3d": rng.normal(size=(7, 3, 4)),
        "f8 one": np.array([4.25]),
        "f8 none": np.zeros(0),
        "f8 no rows": np.zeros((0, 3)),
        "f8 no columns": np.zeros((4, 0)),
        "f4": normal.astype("f4"),
        "f4 2d": rng.normal(size=(21, 3)).astype("f4"),
        "f2": rng.normal(size=60).astype("f2"),
        "i8": rng.integers(-50, 50, 300),
        "i8 extreme": np.array([2**63 - 1, -(2**63), 0, -1, 1, 2**62, -(2**62)]),
        "i8 2d": rng.integers(-9, 9, (40, 4)),
        "i4": rng.integers(-(2**31), 2**31, 200).astype("i4"),
        "i2": rng.integers(-5, 5, 90).astype("i2"),
        "u1": rng.integers(0, 256, 500).astype("u1"),
        "u8": rng.integers(0, 2**64, 30, np.uint64) >> np.uint64(8),
        "bool": rng.random(70) < 0.3,
        "bool 2d": rng.random((9, 4)) < 0.8,
        "c16": normal[:80] + 1j * normal[80:160],
        "c8": (normal[:33] - 2j * normal[33:66]).astype("c8"),
        "M8": times,
        "m8": times - times[0],
        "S": np.array([b"node7", b"a", b"", b"node10", b"zz", b"a", b"node7"]),
    }


ALL, REAL, NUMBERS, ORDERED, INTEGERS = "biufcmMS", "iuf", "biufc", "biufmM", "biu"

# name -> (kinds of dtypes, dimensions at least, expression); the same bits are expected, and the same dtype
EXACT: dict[str, tuple[str, int, Callable[[Any], Any]]] = {
    "itself": (ALL, 1, lambda x: x),
    "arithmetic": (REAL, 1, lambda x: (x * 2 + x) - x[::-1]),
    "divmod": ("iu", 1, lambda x: np.divmod(x, 7)),
    "comparison": (NUMBERS, 1, lambda x: (x > 0) & ~(x == x[::-1])),
    "equal": (ALL, 1, lambda x: x == x[::-1]),
    "row broadcast": (REAL, 2, lambda x: x + np.arange(x.shape[-1], dtype=x.dtype)),
    "whole operand": (REAL, 1, lambda x: np.ones(x.shape, np.int8) + x),
    "ufunc where": (REAL, 1, lambda x: np.multiply(x, 3, out=x.copy(), where=x > 0)),
    "frexp": ("f", 1, np.frexp),
    "unary": (REAL, 1, lambda x: abs(-x.astype(np.float64))),
    "isnan": ("fc", 1, np.isnan),
    "astype": (REAL, 1, lambda x: x.astype(np.float32)),
    "where": (REAL, 1, lambda x: np.where(x > 0, x, -x)),
    "where scalar": (NUMBERS, 1, lambda x: np.where(x == 0, x, x.dtype.type(1))),
    "clip": (REAL, 1, lambda x: np.clip(x, 1, 3)),
    "round": ("f", 1, lambda x: np.round(x, 1)),
    "slice": (ALL, 1, lambda x: x[3:60:4]),
    "slice back": (ALL, 1, lambda x: x[::-3]),
    "slice from the end": (ALL, 1, lambda x: x[-20:-1]),
    "slice of nothing": (ALL, 1, lambda x: x[50:10]),
    "slice back of nothing": (ALL, 1, lambda x: x[2:40:-1]),
    "columns": (ALL, 2, lambda x: x[:, ::2]),
    "a column": (ALL, 2, lambda x: x[1:, -1] if x.shape[1] else x[1:]),
    "columns by number": (NUMBERS, 2, lambda x: x[..., [0, 2]] if x.shape[-1] > 2 else x),
    "newaxis": (ALL, 1, lambda x: x[:, None]),
    "outer": (NUMBERS, 1, lambda x: (x[:20, None] == x[:20]) if x.ndim == 1 else x),
    "mask": (NUMBERS, 1, lambda x: x[x != 0]),
    "mask of rows": (REAL, 2, lambda x: x[np.arange(x.shape[0]) % 3 == 1, :2]),
    "row": (ALL, 1, lambda x: x[x.shape[0] // 2] if x.shape[0] else x),
    "last row": (ALL, 2, lambda x: x[-1, ::-1] if x.shape[0] else x),
    "row numbers": (ALL, 1, lambda x: x[[0, -1, 0]] if x.shape[0] else x),
    "take": (ALL, 1, lambda x: np.take(x, np.arange(0, x.size, 3)[::-1] if x.size else [])),
    "take of columns": (ALL, 2, lambda x: x.take([1, 0], axis=1) if x.shape[1] else x),
    "ravel": (ALL, 1, lambda x: x.ravel()),
    "reshape": (ALL, 2, lambda x: x.reshape(-1, x.shape[0]) if x.size else x),
    "concatenate": (NUMBERS, 1, lambda x: np.concatenate([x, x[:2], x[::-1]])),
    "concatenate columns": (NUMBERS, 2, lambda x: np.concatenate([x, x], axis=1)),
    "diff": (REAL, 1, lambda x: np.diff(x, axis=0) if x.shape[0] > 1 else x),
    "any all": (NUMBERS, 1, lambda x: (np.any(x), np.all(x), x.any(0), x.all(-1, keepdims=True))),
    "nonzero": (NUMBERS, 1, np.nonzero),
    "flatnonzero": (NUMBERS, 1, np.flatnonzero),
    "count_nonzero": (NUMBERS, 1, np.count_nonzero),
    "min max": (ORDERED, 1, lambda x: (np.min(x), x.max()) if x.size else ()),
    "min max of columns": (ORDERED, 2, lambda x: (x.min(0), x.max(axis=0, keepdims=True)) if x.shape[0] else ()),
    "min max of rows": (ORDERED, 2, lambda x: (x.min(1), x.max(-1, keepdims=True)) if x.shape[1] else ()),
    "argmin argmax": (ORDERED, 1, lambda x: (np.argmin(x), x.argmax()) if x.size else ()),
    "argmin of columns": (ORDERED, 2, lambda x: (x.argmin(0), x.argmax(0), x.argmin(1)) if x.size else ()),
    "sum": ("biu", 1, lambda x: np.sum(x // 2 if x.dtype.kind != "b" else x)),
    "sum of no axes": ("iu", 1, lambda x: x.sum(axis=())),
    "sum of axes": ("bi", 2, lambda x: (x.sum(0), x.sum(1, keepdims=True), x.sum((0, 1)), np.add.reduce(x))),
    "cumsum": ("iu", 1, lambda x: (x // 4).cumsum()),
    "cumsum of axes": ("bi", 2, lambda x: (x.cumsum(0), x.cumsum(1), np.add.accumulate(x))),
    "prod": ("biu", 1, lambda x: (x.prod(), np.multiply.reduce(x))),
    "cumprod": ("biu", 1, lambda x: x.cumprod()),
    "unique": ("biufcmMS", 1, np.unique),
    "unique with all": (ORDERED, 1, lambda x: np.unique(x, True, True, True)),
    "bincount": ("u", 1, lambda x: np.bincount((x % 97).astype(np.int64), minlength=5)),
    "histogram": ("biuf", 1, lambda x: np.histogram(_finite(x), 7)),
    "histogram range": ("biuf", 1, lambda x: np.histogram(x, 13, (-1.5, 2))),
    "histogram edges": ("iuf", 1, lambda x: np.histogram(x, [-1, 0, 0.5, 3])),
    "histogram density": ("iuf", 1, lambda x: np.histogram(x, 5, (-9, 9), density=True) if _inside(x) else ()),
    "quantile": ("iuf", 1, lambda x: np.quantile(x, [0, 0.25, 0.5, 0.77, 1]) if x.size else ()),
    "quantile weak": ("iuf", 1, lambda x: (np.quantile(x, 0.3), np.percentile(x, 90)) if x.size else ()),
    "quantile methods": ("iuf", 1, lambda x: [np.quantile(x, 0.4, method=m) for m in METHODS] if x.size else ()),
    "quantile axes": ("iuf", 2, lambda x: (np.quantile(x, [0.1, 0.6], axis=0), np.median(x, 1)) if x.size else ()),
    "searchsorted": ("iuf", 1, lambda x: x.ravel()[:1].searchsorted([0, 3]) if not x.size else _found(x)),
}

# the same up to rounding
CLOSE: dict[str, tuple[str, int, Callable[[Any], Any]]] = {
    "sum": ("fc", 1, lambda x: (np.sum(x), x.sum(0), x.sum(-1))),
    "sum in float": ("biuf", 1, lambda x: np.sum(x, dtype=np.float64)),
    "mean": (NUMBERS, 1, lambda x: (np.mean(x), x.mean(0), x.mean(-1, keepdims=True)) if x.size else ()),
    "var": (NUMBERS, 1, lambda x: (np.var(x), x.var(0, ddof=1), x.std(-1)) if _many(x) else ()),
    "cumsum": ("fc", 1, lambda x: (np.cumsum(x), x.cumsum(-1), x.cumsum(0))),
    "prod": ("fc", 1, lambda x: (np.prod(x), x.prod(0), x.prod(-1))),
    "cumprod": ("fc", 1, lambda x: (np.cumprod(x), x.cumprod(0), x.cumprod(-1))),
    "weighted histogram": ("f", 1, lambda x: np.histogram(x, 6, (-2, 2), weights=x * x)),
}

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _finite(x: Any) -> Any:
    return x if x.dtype.kind != "f" else x[np.isfinite(x)]


def _inside(x: Any) -> bool:
    return bool(((x > -9) & (x < 9)).any())


def _many(x: Any) -> bool:
    return x.shape[0] > 1 and x.size > 1


def _found(x: Any) -> Any:
    """searchsorted in a sorted array with ties, of a NumPy array and of the values themselves."""
    order = np.sort(whole(x).ravel())
    values = order[:: max(1, len(order) // 9)]
    if isinstance(x, hk.arrays.DistArray):
        order = hk.arrays.array(order)
    return [np.searchsorted(order, v, side) for v in (values, x.ravel(), values[0]) for side in ("left", "right")]


def whole(value: Any) -> Any:
    """The gathered array of a DistArray; lists and tuples member by member."""
    if isinstance(value, list | tuple):
        return [whole(v) for v in value]
    return value.gather() if isinstance(value, hk.arrays.DistArray) else value


def applies(array: np.ndarray, kinds: str, ndim: int) -> bool:
    return array.dtype.kind in kinds and array.ndim >= ndim


def same(found: Any, expected: Any, tolerance: float = 0.0) -> None:
    """Assert equal dtypes, shapes and values (NaN equals NaN)."""
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for f, e in zip(found, expected, strict=True):
            same(f, e, tolerance)
        return
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if tolerance:
        digits = {2: 1e-2, 4: 1e-4, 8: tolerance, 16: tolerance}[expected.real.dtype.itemsize]
        np.testing.assert_allclose(found, expected, rtol=digits, atol=digits)
    else:
        np.testing.assert_array_equal(found, expected)


def exact_sum(values: np.ndarray) -> float:
    return math.fsum(values.ravel().tolist())


def exact_mean(values: np.ndarray) -> float:
    return float(sum(map(Fraction, values.ravel().tolist())) / values.size)


def exact_variance(values: np.ndarray, ddof: int = 0) -> float:
    numbers = [Fraction(v) for v in values.ravel().tolist()]
    mean = sum(numbers) / len(numbers)
    return float(sum((v - mean) ** 2 for v in numbers) / (len(numbers) - ddof))

"""Distributed arrays in even, uneven and empty blocks against NumPy, and the bits of floats at any rank count."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
import array_cases as cases

import hpckit as hk

pytestmark = pytest.mark.mpi
NAMES = ("f8 special", "i8 2d", "f8 none", "f8 2d")  # all of them are tested on one rank
ARRAYS = {name: array for name, array in cases.arrays().items() if name in NAMES}
NO_MESSAGES = {
    "divmod", "comparison", "row broadcast", "whole operand", "frexp", "unary", "isnan", "astype", "where scalar",
    "clip", "round", "columns", "a column", "columns by number", "newaxis", "take of columns", "concatenate columns",
    "itself", "histogram density", "quantile methods", "flatnonzero", "count_nonzero", "min max of rows",
    "slice from the end", "equal", "ravel", "mask of rows", "any all",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def spread(context, array: np.ndarray, how: str):
    """`array` in blocks of another kind."""
    rows, size = len(array), context.size
    if how == "last":  # one rank has everything
        edges = [0] * size + [rows]
    elif how == "uneven":  # more and more, the first rank nothing
        edges = [0, *(rows * (k - 1) ** 2 // (size - 1) ** 2 for k in range(1, size)), rows]
    else:
        return hk.arrays.array(array)
    return hk.arrays.from_local(array[edges[context.rank] : edges[context.rank + 1]].copy())


@pytest.mark.parametrize("case", [c for c in cases.EXACT if c not in NO_MESSAGES])
def test_equal_to_numpy(context, case: str) -> None:
    kinds, ndim, expression = cases.EXACT[case]
    for index, (name, array) in enumerate(ARRAYS.items()):
        if cases.applies(array, kinds, ndim):
            x = spread(context, array, ("last", "uneven", "even")[index % 3])
            cases.same(cases.whole(expression(x)), expression(array))
            assert x.gather().tobytes() == array.tobytes(), name


@pytest.mark.parametrize("case", cases.CLOSE)
def test_close_to_numpy_and_the_same_bits(context, record, case: str) -> None:
    kinds, ndim, expression = cases.CLOSE[case]
    bits = []
    for name, array in ARRAYS.items():
        if cases.applies(array, kinds, ndim):
            found = [cases.whole(expression(spread(context, array, how))) for how in ("uneven", "even")]
            cases.same(found[0], expression(array), tolerance=1e-9)
            assert _bytes(found[0]) == _bytes(found[1]), name
            bits.append(_bytes(found[0]))
    record(b"".join(bits))


def _bytes(value) -> bytes:
    return b"".join(map(_bytes, value)) if isinstance(value, list) else np.asarray(value).tobytes()


def test_large_float_results_have_the_same_bits_at_any_rank_count(context, record) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=200_000) * 10.0 ** rng.integers(-20, 20, 200_000)
    x = spread(context, values, "uneven")
    assert x.sum() == cases.exact_sum(values)
    near = 1 + values.astype("f4") * np.float32(1e-24)
    y = spread(context, near, "even")
    results = [x.cumsum().gather(), x.var(), y.prod(), y.cumprod().gather(), y.sum(), x.quantile([0.1, 0.5, 0.999])]
    results += [x.cumsum(dtype="f4").gather(), hk.arrays.array(np.repeat([1e-300, 1e300], 70_000)).cumprod().gather()]
    assert np.array_equal(results[5], np.quantile(values, [0.1, 0.5, 0.999]))
    record(b"".join(_bytes(r) for r in results))


def test_many_groups_are_merged_in_parts(context, record) -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(9, 40_000)) * 10.0 ** rng.integers(-9, 9, (9, 40_000))
    x = spread(context, values, "uneven")
    found = x.mean(0)
    assert found[:50].tolist() == [cases.exact_mean(column) for column in values.T[:50]]
    record(found.tobytes() + x.var(0).tobytes())


def test_operands_in_other_blocks(context) -> None:
    values = np.arange(50.0)
    x, y, z = (spread(context, values, how) for how in ("even", "last", "uneven"))
    total = x + y * z
    assert np.array_equal(total.gather(), values + values * values)
    assert np.array_equal(total.starts, x.starts), "the blocks are those of the left operand"
    y += x
    assert np.array_equal(y.gather(), 2 * values) and len(y.local) == (50 if context.rank == context.size - 1 else 0)
    np.add(x, y, out=z)
    assert np.array_equal(z.gather(), 3 * values)
    total += 1
    total -= hk.arrays.array([1.0])
    assert np.array_equal(total.gather(), values + values * values), "a result can be written to"
    assert np.array_equal(x[z > 75].gather(), values[3 * values > 75])
    assert np.array_equal((x[:, None] * hk.arrays.array([1.0, 2.0])).gather(), values[:, None] * [1.0, 2.0])


def test_assignment(context) -> None:
    values = np.arange(60.0).reshape(20, 3)
    for how in ("even", "last", "uneven"):
        x, expected = spread(context, values, how).copy(), values.copy()
        for key, value in [
            (np.s_[2:15:3], 7.0),
            (np.s_[:, 1], np.arange(20.0)),
            (np.s_[5], [1.0, 2.0, 3.0]),
            (np.s_[-1, 2], 9.0),
            (np.s_[...], values[::-1]),
            (values[:, 0] > 30, -1.0),
        ]:
            x[key] = value
            expected[key] = value
            assert np.array_equal(x.gather(), expected), key
        x[x > 40] = 0
        expected[expected > 40] = 0
        x[3:9] = spread(context, values[:6], "last")
        expected[3:9] = values[:6]
        assert np.array_equal(x.gather(), expected)


def test_redistribution(context) -> None:
    values = np.arange(23 * 2, dtype="i4").reshape(23, 2)
    x = spread(context, values, "last")
    assert max(np.diff(x.redistribute().starts)) - min(np.diff(x.redistribute().starts)) <= 1
    counts = [0] * (context.size - 1) + [23]
    assert np.array_equal(
        x.redistribute().redistribute(counts=counts[::-1]).local, values if context.is_root else values[:0]
    )
    assert np.array_equal(x.redistribute(like=spread(context, values, "uneven")).gather(), values)
    assert x.redistribute(counts=counts) is x
    on_root = x.gather(to="root")
    assert np.array_equal(on_root, values) if context.is_root else on_root is None


def test_searching_with_empty_ranks_and_ties_across_ranks(context) -> None:
    values = np.sort(np.random.default_rng(1).integers(0, 6, 40))
    wanted = np.array([-1, 0, 2, 5, 9, 3, 3])
    for how in ("even", "last", "uneven"):
        a = spread(context, values, how)
        for side in ("left", "right"):
            expected = np.searchsorted(values, wanted, side)
            assert np.array_equal(a.searchsorted(wanted, side), expected)
            assert np.array_equal(a.searchsorted(spread(context, wanted, "uneven"), side).gather(), expected)


def test_take_with_distributed_numbers(context) -> None:
    values = np.random.default_rng(1).normal(size=(31, 2))
    numbers = np.random.default_rng(2).integers(-31, 31, 100)
    found = hk.arrays.take(spread(context, values, "uneven"), spread(context, numbers, "last"), axis=0)
    assert np.array_equal(found.gather(), values[numbers])
    assert len(found.local) == (100 if context.rank == context.size - 1 else 0)


def test_unique_balances_whatever_a_rank_has(context) -> None:
    values = np.random.default_rng(2).integers(0, 5000, 20_000)
    found, index, inverse, counts = hk.arrays.unique(spread(context, values, "last"), True, True, True)
    for mine, theirs in zip((found, index, inverse, counts), np.unique(values, True, True, True), strict=True):
        assert np.array_equal(mine.gather(), theirs)
    assert max(np.diff(found.starts)) - min(np.diff(found.starts)) <= 1


def test_unique_of_complex_numbers_with_nans_that_differ(context) -> None:
    nan, inf = np.nan, np.inf
    values = [complex(nan, -inf), complex(inf, 1), complex(1, nan), 1 + 2j, complex(nan, 0), complex(nan, nan), 0j, -0j]
    values = np.tile(np.array(values, np.complex128), 3)
    for how in ("even", "uneven", "last"):
        found = hk.arrays.unique(spread(context, values, how), True, True, True)
        for mine, theirs in zip(found, np.unique(values, True, True, True), strict=True):
            assert np.array_equal(mine.gather(), theirs, equal_nan=theirs.dtype.kind == "c")


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(6, 3), (6, 0)])
def test_dtypes_of_quantiles(context, method: str, axis: int, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(3).integers(-50, 50, shape).astype(np.int16)
    if not shape[axis]:
        pytest.skip("no values")
    found = cases.whole(hk.arrays.quantile(spread(context, values, "uneven"), 0.3, axis=axis, method=method))
    expected = np.quantile(values, 0.3, axis=axis, method=method)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)


def test_extremes_have_one_answer(context, record) -> None:
    zeros = np.array([0.0, -0.0, 0.0, -0.0, 0.0])
    nans = np.array([1.0, -np.nan, 3.0, np.nan])
    found = []
    for array in (zeros, zeros[::-1].copy(), nans):
        x = spread(context, array, "uneven")
        found += [x.min(), x.max(), *x[:, None].min(0), x.argmin(), x.argmax()]
    assert np.signbit(found[0]) and not np.signbit(found[1])
    record(_bytes(found))

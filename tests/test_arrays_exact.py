"""Sums, means, variances and quantiles against exact arithmetic; overflow; products that overflow on the way."""

from __future__ import annotations

import math

import array_cases as cases
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import hpckit as hk
from hpckit.arrays import quantiles, words
from hpckit.errors import UserError

RNG = np.random.default_rng(5)
FLOATS = npst.arrays("f8", st.integers(1, 40), elements=st.floats(allow_nan=False, allow_infinity=False, width=64))


@given(FLOATS)
def test_sum_mean_and_variance_are_correctly_rounded(values: np.ndarray) -> None:
    x = hk.arrays.array(values)
    try:
        total = cases.exact_sum(values)
    except OverflowError:
        return
    assert x.sum() == total
    assert x.mean() == cases.exact_mean(values)
    if abs(values).max() < 1e150:
        assert x.var() == cases.exact_variance(values)


@pytest.mark.parametrize("shape", [(700, 3), (3, 700), (12, 5, 9), (2100,)])
def test_every_axis_is_correctly_rounded(shape: tuple[int, ...]) -> None:
    values = RNG.normal(size=shape) * 10.0 ** RNG.integers(-12, 12, shape)
    x = hk.arrays.array(values)
    for axis in range(len(shape)):
        for mine, oracle in [
            (x.sum(axis), cases.exact_sum),
            (x.mean(axis), cases.exact_mean),
            (x.var(axis, ddof=1), lambda v: cases.exact_variance(v, 1)),
        ]:
            cases.same(cases.whole(mine), np.apply_along_axis(oracle, axis, values)[()])
    if len(shape) == 3:
        lines = values.transpose(1, 0, 2).reshape(5, -1)
        assert x.sum((0, 2)).tolist() == [cases.exact_sum(line) for line in lines]
        assert x.mean((2, 0), keepdims=True).shape == (1, 5, 1)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_short_floats_are_rounded_once(dtype: str) -> None:
    values = (RNG.normal(size=(300, 4)) * 10).astype(dtype)
    x = hk.arrays.array(values)
    kind = np.dtype(dtype).type
    exact = [cases.exact_sum(column.astype("f8")) for column in values.T]
    assert x.sum(0).dtype == dtype and x.sum(0).tolist() == [kind(v) for v in exact]
    assert x.sum(dtype="f8") == cases.exact_sum(values.astype("f8"))


@pytest.mark.parametrize("dtype", ["i8", "u8", "i4", "u1", "?"])
def test_integers_are_exact(dtype: str) -> None:
    info = np.iinfo(dtype) if dtype != "?" else None
    values = RNG.integers(info.min, info.max, 5000, dtype, endpoint=True) if info else RNG.random(5000) < 0.5
    x = hk.arrays.array(values)
    numbers = [int(v) for v in values]
    assert x.mean() == sum(numbers) / len(numbers)
    assert x.var(ddof=1) == cases.exact_variance(values.astype(object), 1)
    small = values >> values.dtype.type(13) if dtype in ("i8", "u8") else values
    found = hk.arrays.array(small).sum()
    assert (int(found), found.dtype) == (sum(int(v) for v in small), small.sum().dtype)
    if dtype in ("i8", "u8"):
        assert small.astype(object).sum() > np.iinfo(dtype).max // 4096, "halves of sums beyond 2^53 were added"


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([2**63 - 1, 1], 2**63),
        ([-(2**63), -1], -(2**63) - 1),
        ([2**62] * 4 + [-1], 2**64 - 1),
        (np.array([2**64 - 1, 1], np.uint64), 2**64),
    ],
)
def test_a_sum_that_does_not_fit_is_refused(values: list[int], total: int) -> None:
    x = hk.arrays.array(values)
    with pytest.raises(hk.UserError, match=f"{total} does not fit.*float64"):
        x.sum()
    with pytest.raises(hk.UserError, match="does not fit"):
        x.cumsum()
    with pytest.raises(hk.UserError, match="does not fit"):
        hk.arrays.array(np.stack([x.local] * 3)).sum(1)


def test_sums_that_overflow_only_on_the_way() -> None:
    assert hk.arrays.array([2**63 - 1, 5, -6]).sum() == 2**63 - 2
    with pytest.raises(hk.UserError, match="running sum"):
        hk.arrays.array([2**63 - 1, 5, -6]).cumsum()
    huge = hk.arrays.array([1.7e308, 1.7e308, -1.7e308])
    assert huge.sum() == 1.7e308 and huge.mean() == pytest.approx(1.7e308 / 3, rel=1e-15)


def test_infinities_and_nan() -> None:
    assert hk.arrays.array([np.inf, 1.0]).sum() == np.inf
    assert math.isnan(hk.arrays.array([np.inf, -np.inf]).sum())
    assert math.isnan(hk.arrays.array([1.0, np.nan]).mean())
    assert math.isnan(hk.arrays.zeros(0).mean()) and hk.arrays.zeros(0).sum() == 0
    assert math.isnan(hk.arrays.ones(3).var(ddof=3))


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 200_000])
def test_running_sums_over_several_blocks(length: int) -> None:
    values = RNG.normal(size=length)
    found = hk.arrays.array(values).cumsum().gather()
    for index in (0, 65_535, 65_536, 131_072, length - 1):
        if index < length:
            assert found[index] == pytest.approx(cases.exact_sum(values[: index + 1]), abs=1e-10)
    assert np.array_equal(found[:65_536], np.cumsum(values[:65_536]))


@pytest.mark.parametrize(
    "values",
    [
        np.exp(RNG.normal(size=150_000) * 0.01),
        np.repeat([1e-300, 1e300], 70_000),
        np.concatenate([np.full(200, 1e10), [0.0], np.full(70_000, 2.0)]),
        np.where(np.arange(140_000) % 2, 1e5, -1e-5),
    ],
)
def test_products_over_several_blocks(values: np.ndarray) -> None:
    x = hk.arrays.array(values)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(x.cumprod().gather(), np.cumprod(values), rtol=1e-9)
        np.testing.assert_allclose(x.prod(), np.cumprod(values)[-1], rtol=1e-9)


@given(
    npst.arrays(st.sampled_from(["f8", "f4", "i8", "u8", "i2"]), st.integers(1, 60)),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
    st.sampled_from(cases.METHODS),
)
def test_quantiles_are_numpys_to_the_bit(values: np.ndarray, shares: list[float], method: str) -> None:
    assume(values.dtype.kind != "i" or int(values.max()) - int(values.min()) < 2**63)
    x = hk.arrays.array(values)
    if values.dtype.kind == "i" and method in ("linear", "midpoint"):
        values = values.astype(np.int64)  # NumPy's differences of shorter integers overflow
    with np.errstate(all="ignore"):
        cases.same(x.quantile(shares, method=method), np.quantile(values, shares, method=method))
        cases.same(x.quantile(shares[0], method=method), np.quantile(values, shares[0], method=method))


@pytest.mark.parametrize("kind", ["normal", "integers", "equal", "two", "wide"])
def test_selection_in_many_values_goes_through_finer_histograms(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiles, "FEW", 50)
    monkeypatch.setattr(quantiles, "SMALL", 0)
    values = {
        "normal": RNG.normal(size=30_000),
        "integers": RNG.integers(-(2**63), 2**63 - 1, 30_000),
        "equal": np.full(30_000, 7.25),
        "two": RNG.choice([1.0, np.nextafter(1.0, 2)], 30_000),
        "wide": RNG.normal(size=30_000) * 10.0 ** RNG.integers(-300, 300, 30_000),
    }[kind]
    shares = np.linspace(0, 1, 37)
    assert np.array_equal(hk.arrays.quantile(hk.arrays.array(values), shares), np.quantile(values, shares))


@pytest.mark.parametrize(("dtype", "values"), [("i1", [127, -128]), ("i8", [2**63 - 1, -5, 2**63 - 1]), ("i8", [3, 1])])
def test_quantiles_of_far_integers_lie_between_them(dtype: str, values: list[int]) -> None:
    """NumPy's own leave the range of the values where the difference of two overflows."""
    block = np.array(values, dtype)
    for q in (0.1, 0.25, 0.5, 0.75, 0.9, [0, 0.3, 1]):
        place = np.asarray(q) * (len(values) - 1)
        expected = np.interp(place, np.arange(len(values)), np.sort(block).astype(float))
        assert np.allclose(hk.arrays.array(block).quantile(q), expected, rtol=1e-12, atol=0)
    if dtype == "i1":
        assert hk.arrays.array(block.reshape(1, 2)).quantile(0.25, axis=1).gather().tolist() == [-64.25]


def test_times_that_are_not_zero_are_counted() -> None:
    times = np.array(["1970-01-01", "NaT", "1990-05-05"], "M8[s]")
    assert hk.arrays.count_nonzero(hk.arrays.array(times)) == np.count_nonzero(times) == 2
    assert hk.arrays.count_nonzero(hk.arrays.array(times - times[0])) == 2


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u8", "i1", "u2", "?"])
def test_words_order_as_the_numbers_do_and_come_back(dtype: str) -> None:
    from hpckit._kernels import arrays as kernel

    values = np.frombuffer(RNG.bytes(8000), np.uint8)[: 8000 // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize]
    values = (values & 1).astype(bool) if dtype == "?" else values.view(dtype)
    if values.dtype.kind == "f":
        values = np.concatenate([values[~np.isnan(values)], np.array([0.0, -0.0, np.inf, -np.inf], dtype)])
    found = []
    for piece in words.pieces(values):
        out = np.empty(len(piece), np.uint64)
        kernel.words_of(piece, words.code(values.dtype, "test"), out)
        found.append(out)
    encoded = np.concatenate(found)
    assert words.decode(encoded, values.dtype).tobytes() == values.tobytes()
    assert np.array_equal(values[np.argsort(encoded)], np.sort(values))


def test_counting_kernels_refuse_what_does_not_fit() -> None:
    from hpckit._kernels import arrays as kernel

    bits = np.array([1, 5, 900], np.uint64)
    with pytest.raises(ValueError, match="1 words"):
        kernel.count_words(bits, kernel.UNSIGNED, 0, 0, np.zeros(10, np.int64))
    with pytest.raises(ValueError, match="room"):
        kernel.pick_words(bits, kernel.UNSIGNED, 0, 0, np.ones(10, np.uint8), np.empty(1, np.uint64))
    with pytest.raises(ValueError, match="edges"):
        kernel.count_uniform(np.zeros(1), np.zeros(3), np.zeros(3, np.int64))


@given(
    npst.arrays("f8", st.integers(0, 50), elements=st.floats(-10, 10)),
    st.integers(1, 12),
    st.tuples(st.floats(-5, 0), st.floats(0.5, 5)),
)
@example(np.array([5e-324, 0.0]), 2, (0.0, 1.0))
def test_histograms_are_numpys(values: np.ndarray, bins: int, limits: tuple[float, float]) -> None:
    x = hk.arrays.array(values)
    for arguments in ({"bins": bins, "range": limits}, {"bins": bins}):
        try:
            expected = np.histogram(values, **arguments)
        except ValueError as error:  # values too near to one another for so many bins
            with pytest.raises(UserError, match=str(error)[:20]):
                hk.arrays.histogram(x, **arguments)
            continue
        cases.same(hk.arrays.histogram(x, **arguments), expected)


def test_weights_are_added_exactly() -> None:
    values, weights = RNG.random(4000), RNG.normal(size=4000) * 10.0 ** RNG.integers(-9, 9, 4000)
    x, w = hk.arrays.array(values), hk.arrays.array(weights)
    counts, edges = hk.arrays.histogram(x, 5, weights=w)
    number = np.minimum(np.searchsorted(edges, values, "right") - 1, 4)
    assert counts.tolist() == [cases.exact_sum(weights[number == k]) for k in range(5)]
    found = hk.arrays.bincount(hk.arrays.array(number), w, minlength=7)
    assert found.tolist() == [cases.exact_sum(weights[number == k]) for k in range(7)]
    assert hk.arrays.histogram(x, 5, weights=hk.arrays.array(number))[0].dtype == np.int64

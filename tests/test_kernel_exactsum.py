"""Exact sums against rational arithmetic: whatever the order, rounded once."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest

from hpckit._kernels.exactsum import ExactSums, ratios, variances

EXTREMES = [0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 1.0]


def _random_double(rng: random.Random, kind: str) -> float:
    if kind == "wide":
        return rng.uniform(-1, 1) * 10.0 ** rng.randint(-307, 307)
    if kind == "tiny":
        return rng.choice([1, -1]) * math.ldexp(rng.randint(0, 1 << 60), -1074)
    if kind == "extreme":
        return rng.choice(EXTREMES)
    return rng.uniform(-1e5, 1e5)


def _rounded(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _sums(values: list[float], square: bool = False) -> ExactSums:
    sums = ExactSums(square)
    sums.resize(1)
    sums.add(np.zeros(len(values), np.int32), np.array(values, np.float64))
    return sums


@pytest.mark.parametrize("kind", ["plain", "wide", "tiny", "extreme"])
def test_sums_means_and_variances_are_correctly_rounded(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(150):
        values = [_random_double(rng, kind) for _ in range(rng.choice([1, 2, 3, 12]))]
        n = len(values)
        total = sum(map(Fraction, values))
        sums, squares, count = _sums(values), _sums(values, square=True), np.array([n])
        assert sums.means()[0] == _rounded(total)
        assert sums.means(count)[0] == _rounded(total / n)
        for ddof in (0, 1):
            spread = sum(Fraction(v) ** 2 for v in values) - total * total / n
            expected = _rounded(spread / (n - ddof)) if n > ddof else 0.0
            assert variances(sums, squares, count, ddof)[0] == expected


def test_many_values_agree_with_fsum() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=50_000) * 10.0 ** rng.integers(-9, 9, 50_000)
    ids = rng.integers(0, 7, len(values)).astype(np.int32)
    use = (rng.random(len(values)) < 0.8).astype(np.uint8)
    sums = ExactSums()
    sums.resize(7)
    sums.add(ids, values, use)
    assert sums.means().tolist() == [math.fsum(values[(ids == g) & (use == 1)]) for g in range(7)]


def test_the_largest_values_cancel_exactly_however_often_carries_move() -> None:
    sums = _sums([1.7976931348623157e308] * 5000 + [5e-324] + [-1.7976931348623157e308] * 5000)
    assert sums.means()[0] == 5e-324


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, math.inf], math.inf),
        ([-math.inf, 3.0], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1.0], math.nan),
    ],
)
def test_infinities_and_nan(values: list[float], expected: float) -> None:
    sums, squares = _sums(values), _sums(values, square=True)
    assert sums.means()[0] == expected or (math.isnan(expected) and math.isnan(sums.means()[0]))
    assert math.isnan(variances(sums, squares, np.array([2]), 0)[0])


def test_bytes_carry_everything_and_do_not_depend_on_the_order() -> None:
    rng = random.Random(5)
    for kind in ("plain", "wide", "tiny"):
        values = [_random_double(rng, kind) for _ in range(3000)]
        whole = _sums(values)
        shuffled = values.copy()
        rng.shuffle(shuffled)
        merged = ExactSums()
        merged.resize(1)
        for part in (shuffled[:1000], shuffled[1000:1001], shuffled[1001:], [math.inf]):
            offsets, data = _sums(part).to_bytes()
            merged.add_bytes(np.zeros(1, np.int32), offsets, data)
        assert merged.means()[0] == math.inf
        whole.add(np.zeros(1, np.int32), np.array([math.inf]))
        assert merged.to_bytes()[1].tobytes() == whole.to_bytes()[1].tobytes()


def test_damaged_bytes_are_refused() -> None:
    offsets, data = _sums([1.0]).to_bytes()
    data = data.copy()
    data[:2] = 255
    with pytest.raises(ValueError, match="row 0 is damaged"):
        _sums([1.0]).add_bytes(np.zeros(1, np.int32), offsets, data)


def test_ratios_of_128_bit_integers() -> None:
    rng = random.Random(1)
    for _ in range(500):
        value = rng.randint(-(1 << rng.randint(1, 127)), 1 << rng.randint(1, 126))
        divisor = rng.randint(1, 1 << rng.randint(1, 62))
        words = np.array([[value & (1 << 64) - 1, value >> 64 & (1 << 64) - 1]], np.uint64)
        assert ratios(words, np.array([divisor]))[0] == float(Fraction(value, divisor))


def test_no_groups_and_no_rows() -> None:
    sums = ExactSums()
    sums.add(np.zeros(0, np.int32), np.zeros(0))
    assert len(sums.means()) == 0
    sums.resize(2)
    assert sums.means().tolist() == [0.0, 0.0]
    assert sums.means(np.array([0, 3])).tolist() == [0.0, 0.0]

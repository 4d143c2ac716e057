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


BLOCKS = [(1, 0), (1, 1), (3, 31), (2, 1025), (1, 5000), (9, 40), (0, 5)]


@pytest.mark.parametrize("shape", BLOCKS)
@pytest.mark.parametrize("kind", ["plain", "wide", "tiny", "extreme", "special"])
@pytest.mark.parametrize("square", [False, True])
def test_blocks_by_row_and_by_column_are_the_sums_value_by_value(
    shape: tuple[int, int], kind: str, square: bool
) -> None:
    rng = random.Random(f"{shape}{kind}")
    groups, n = shape
    values = np.array([_random_double(rng, kind) for _ in range(groups * n)]).reshape(shape)
    if kind == "special" and values.size:
        values.flat[rng.randrange(values.size)] = rng.choice([math.inf, -math.inf, math.nan])
    slow = ExactSums(square)
    slow.resize(groups)
    slow.add(np.repeat(np.arange(groups, dtype=np.int32), n), values.ravel())
    for by_column, portable in [(False, False), (False, True), (True, False), (True, True)]:
        sums = ExactSums(square)
        sums.resize(groups)
        sums.add_block(np.ascontiguousarray(values.T) if by_column else values, by_column, portable)
        assert sums.to_bytes()[1].tobytes() == slow.to_bytes()[1].tobytes()


def test_a_chunk_of_any_magnitude_folds_to_nothing() -> None:
    """Chunks of one exponent each, from the least to the greatest, and with one far smaller value beside."""
    for exponent in [*range(-1074, 1024, 53), 999, 1000, 1001, 1023]:
        for low in (exponent, max(-1074, exponent - 700)):
            values = np.full(1024, math.ldexp(1 - 2**-53, exponent) if exponent > -1000 else math.ldexp(1, exponent))
            values[5], values[6] = math.ldexp(1, low), -math.ldexp(1, -1074)
            total = sum(map(Fraction, values.tolist()))
            sums = ExactSums()
            sums.resize(1)
            sums.add_block(values[None, :])
            assert sums.means()[0] == _rounded(total), exponent


@pytest.mark.parametrize("is_signed", [False, True])
def test_integers_of_64_bits(is_signed: bool) -> None:
    rng = np.random.default_rng(8)
    words = rng.integers(0, 1 << 64, (3, 300), np.uint64)
    words[0, :4] = [0, 1, (1 << 63), (1 << 64) - 1]
    numbers = [[int(v) for v in row] for row in (words.view(np.int64) if is_signed else words)]
    for square in (False, True):
        for by_column in (False, True):
            sums = ExactSums(square)
            sums.resize(3)
            sums.add_integers(np.ascontiguousarray(words.T) if by_column else words, by_column, is_signed)
            assert sums.means().tolist() == [float(sum(v * v if square else v for v in row)) for row in numbers]


def test_rounding_to_odd_makes_shorter_floats_correctly_rounded() -> None:
    rng = random.Random(2)
    half = math.ldexp(1, -25)  # 1 + half lies between two float32; what is added decides, and is lost in a double
    cases = [[1.0, half, tiny] for tiny in (1e-30, -1e-30, 0.0)] + [[1.0, 3 * half, -1e-40]]
    cases += [[_random_double(rng, "plain") for _ in range(rng.randint(1, 9))] for _ in range(300)]
    for values in cases:
        exact = sum(map(Fraction, values))
        near = np.float32(float(exact))
        around = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
        distances = [abs(Fraction(float(v)) - exact) for v in around]
        best = [v for v, d in zip(around, distances, strict=True) if d == min(distances)]
        found = np.float32(_sums(values).means(odd=True)[0])
        assert found in best and (len(best) == 1 or found.view(np.uint32) % 2 == 0)


def test_variance_with_any_ddof() -> None:
    values = [1.5, 2.25, -7.0, 1e9]
    mean = sum(map(Fraction, values)) / 4
    spread = sum((Fraction(v) - mean) ** 2 for v in values)
    for ddof in range(6):
        found = variances(_sums(values), _sums(values, square=True), np.array([4]), ddof)[0]
        assert found == (float(spread / (4 - ddof)) if ddof < 4 else 0.0)

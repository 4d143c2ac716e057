"""The partition and radix kernels against NumPy, and their refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sorting_cases import values

from hpckit._kernels import partition, radix
from hpckit.sorting import keys, splitters

WORD = np.uint64
EXTREMES = [0, 1, 2, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1]


def classified(words: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gap = splitters.widest_gap(bounds)
    c = splitters.Classifier(splitters.closer(bounds, gap), gap)
    ids, counts = np.empty(len(words), np.uint16), np.zeros(c.buckets, np.int64)
    partition.classify(words, keys.UNSIGNED, *c.rule, ids, counts)
    return ids, counts


@given(st.lists(st.integers(0, (1 << 64) - 1) | st.sampled_from(EXTREMES), max_size=60), st.integers(0, 40))
def test_buckets_are_what_a_binary_search_finds(numbers: list[int], bounds: int) -> None:
    words = np.array(numbers + EXTREMES, WORD)
    chosen = np.unique(words[: bounds + 1])
    ids, counts = classified(words, chosen)
    assert np.array_equal(ids, np.searchsorted(chosen, words, "right"))
    assert np.array_equal(counts, np.bincount(ids, minlength=len(chosen) + 1))


@pytest.mark.parametrize("shape", ["random", "zipf", "equal", "sorted"])
@pytest.mark.parametrize("dtype", ["f8", "i8", "f4", "u4", "M8[us]"])
def test_many_buckets_of_real_keys(dtype: str, shape: str) -> None:
    array = values(dtype, shape, 5000)
    words = keys.encode(array)
    chosen = np.unique(words[::7])
    gap = splitters.widest_gap(chosen)
    c = splitters.Classifier(splitters.closer(chosen, gap), gap)
    ids, counts = np.empty(len(words), np.uint16), np.zeros(c.buckets, np.int64)
    partition.classify(keys.bits_of(array), keys.kind_of(array.dtype), *c.rule, ids, counts)
    assert np.array_equal(ids, np.searchsorted(chosen, words, "right")) and counts.sum() == 5000
    room = -(-counts // 64) * 64
    starts = np.cumsum(room) - room
    bits, again = keys.bits_of(array), np.zeros_like(counts)
    partition.classify(bits, keys.kind_of(array.dtype), *c.rule, None, again)
    assert np.array_equal(again, counts)
    narrow = words.astype(bits.dtype)
    for plain, expected in ((False, narrow), (True, bits)):
        out = partition.aligned(int(room.sum()) * bits.itemsize, 64).view(bits.dtype)
        partition.partition(bits, keys.kind_of(array.dtype), *c.rule, starts.copy(), out, plain)
        found = np.concatenate([out[a : a + n] for a, n in zip(starts, counts, strict=True)])
        assert np.array_equal(found, expected[np.argsort(ids, kind="stable")])


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 4000])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_scatter_keeps_the_order_within_buckets(dtype: type, rows: int) -> None:
    chance = np.random.default_rng(rows)
    array = chance.integers(0, 1 << 30, rows).astype(dtype)
    ids = chance.integers(0, 7, rows).astype(np.uint16)
    counts = np.bincount(ids, minlength=7)
    room = -(-counts // 64) * 64
    starts = np.cumsum(room) - room
    out = partition.aligned(int(room.sum()) * array.itemsize, 64).view(dtype)
    places = starts.copy()
    partition.scatter(array, keys.UNSIGNED, ids, places, out)
    assert np.array_equal(places, starts + counts)
    numbered, wide = np.empty(len(out), WORD)[:0], np.zeros((len(out), 5), np.uint8)
    if dtype is np.uint64:
        numbered = partition.aligned(len(out) * 8, 64).view(WORD)
        partition.scatter_numbers(100, ids, starts.copy(), numbered)
    rows_of = chance.integers(0, 255, (rows, 5)).astype(np.uint8)
    partition.scatter_rows(rows_of, ids, starts.copy(), wide)
    for b in range(7):
        span = slice(starts[b], starts[b] + counts[b])
        assert np.array_equal(out[span], array[ids == b])
        assert np.array_equal(wide[span], rows_of[ids == b])
        if len(numbered):
            assert np.array_equal(numbered[span], 100 + np.flatnonzero(ids == b))


@pytest.mark.parametrize("shape", ["random", "few", "equal", "sorted", "reversed", "zipf"])
@pytest.mark.parametrize("rows", [0, 1, 2, 31, 33, 1000, 70_000])
def test_radix_sorts_pairs_stably(rows: int, shape: str) -> None:
    key = keys.encode(values("u8", "random" if rows == 70_000 else shape, min(rows, 1000)))
    key = np.resize(key, rows)
    pairs = np.stack([key, np.arange(rows, dtype=WORD)], axis=1)
    expected = pairs[np.argsort(key, kind="stable")]
    radix.sort_pairs(pairs, np.empty_like(pairs))
    assert np.array_equal(pairs, expected)


@given(st.lists(st.integers(0, 63), min_size=40, max_size=200))
def test_radix_sorts_keys_of_very_different_sizes(exponents: list[int]) -> None:
    """Few leading bits tell them apart: the recursion has to."""
    key = np.array([1 << e for e in exponents] + [(1 << e) + i for i, e in enumerate(exponents)], WORD)
    pairs = np.stack([key, np.arange(len(key), dtype=WORD)], axis=1)
    expected = pairs[np.argsort(key, kind="stable")]
    radix.sort_pairs(pairs, np.empty_like(pairs))
    assert np.array_equal(pairs, expected)


@pytest.mark.parametrize("dtype", ["u8", "i8"])
@pytest.mark.parametrize("shape", ["random", "few", "equal", "sorted", "reversed", "zipf"])
@pytest.mark.parametrize("rows", [0, 1, 2, 32, 33, 1000, 70_000, 1_100_000])
def test_radix_sorts_words(rows: int, shape: str, dtype: str) -> None:
    """The largest size takes three passes."""
    given = np.resize(values(dtype, "random" if rows >= 70_000 else shape, min(rows, 1_100_000)), rows)
    words = given.view(WORD).copy()
    radix.sort_words(words, np.empty_like(words), dtype == "i8")
    assert np.array_equal(words.view(dtype), np.sort(given))


@given(st.lists(st.integers(0, 63), min_size=40, max_size=200), st.booleans(), st.integers(0, 40))
def test_radix_sorts_words_of_very_different_sizes(exponents: list[int], is_signed: bool, again: int) -> None:
    """Long runs agree in the leading bits: words would have to pass many others there."""
    words = np.array([(1 << e) + i % (again + 1) for i, e in enumerate(exponents * 3)][::-1], WORD)
    expected = np.sort(words.view("i8") if is_signed else words)
    radix.sort_words(words, np.empty_like(words), is_signed)
    assert np.array_equal(words, expected.view(WORD))


def test_pieces_come_from_own_and_arrived_rows() -> None:
    own, arrived = np.array([9, 5, 7, 1], WORD), np.array([6, 2, 5, 0], WORD)
    starts, counts = np.array([[0, 1], [2, 2]]), np.array([[2, 1], [2, 2]])
    out = np.zeros(7, WORD)
    assert radix.gather(own, arrived, 0, starts, counts, out) == 7
    assert out.tolist() == [9, 5, 2, 7, 1, 5, 0]
    pairs, scratch, sorted_, values_ = (
        np.empty((4, 2), WORD),
        np.empty((4, 2), WORD),
        np.empty(7, WORD),
        np.empty(7, WORD),
    )
    radix.sort_pieces(own, arrived, own * 10, arrived * 100, 0, starts, counts, pairs, scratch, sorted_, values_)
    assert sorted_.tolist() == [2, 5, 9, 0, 1, 5, 7] and values_.tolist() == [200, 50, 90, 0, 10, 500, 70]
    radix.sort_pieces(own, arrived, None, None, 0, starts, counts, pairs, scratch, None, values_)
    assert values_.tolist() == [2, 1, 0, 3, 1, 2, 0]


def test_refusals() -> None:
    some = np.zeros(4, WORD)
    ids, places = np.zeros(3, np.uint16), np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="4 values for 3 bucket numbers"):
        partition.scatter(some, keys.UNSIGNED, ids, places, some)
    with pytest.raises(ValueError, match="lie outside"):
        radix.gather(some, some, 0, np.array([[3]]), np.array([[2]]), some)
    with pytest.raises(ValueError, match="for a place of"):
        radix.gather(some, some, 0, np.array([[0]]), np.array([[4]]), some[:3])
    with pytest.raises(ValueError, match="scratch of 1 rows"):
        radix.sort_pairs(np.zeros((2, 2), WORD), np.zeros((1, 2), WORD))
    with pytest.raises(ValueError, match="4 words, scratch of 3"):
        radix.sort_words(some, some[:3], False)
    with pytest.raises(ValueError, match="padded splitters"):
        partition.classify(
            some, 0, 0, 0, 0, 0, 2, places.astype(np.uint16), some[:2], 2, np.zeros(4, np.uint16), np.zeros(2, int)
        )

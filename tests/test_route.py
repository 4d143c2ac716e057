"""Routing of rows against plain Python: hashes of keys, destinations, the counting sort."""

from __future__ import annotations

import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpckit._kernels import route as kernel
from hpckit.errors import InternalError
from hpckit.spmd import route

MASK = (1 << 64) - 1
K0, K1, K2 = 0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3
NULL = 0x589965CC75374CC3


def mix(a: int, b: int) -> int:
    product = a * b
    return (product & MASK) ^ (product >> 64)


def combine(state: int, value: int) -> int:
    return mix(state ^ K0, value ^ K1)


def load(data: bytes) -> int:
    return int.from_bytes(data, "little")


def hash_of_bytes(data: bytes) -> int:
    """The twin of route_bytes."""
    left, h = len(data), K2
    at = 0
    if left > 32:
        g = h ^ K0
        while left > 32:
            h = mix(load(data[at : at + 8]) ^ K0, load(data[at + 8 : at + 16]) ^ h)
            g = mix(load(data[at + 16 : at + 24]) ^ K1, load(data[at + 24 : at + 32]) ^ g)
            at, left = at + 32, left - 32
        h ^= g
    while left > 16:
        h = mix(load(data[at : at + 8]) ^ K0, load(data[at + 8 : at + 16]) ^ h)
        at, left = at + 16, left - 16
    tail = data[at:]
    return mix(K1 ^ len(data), mix(load(tail[:8]) ^ K1, load(tail[8:]) ^ h))


def word(value: object) -> int:
    """The 64 bits a value is folded in as."""
    if value is None:
        return NULL
    if isinstance(value, (str, bytes)):
        return hash_of_bytes(value.encode() if isinstance(value, str) else value)
    if isinstance(value, float):
        if value == 0 or math.isnan(value):
            return 0 if value == 0 else 0x7FF8000000000000
        return load(struct.pack("<d", value))
    return int(value) & MASK


def twin(rows: list[tuple]) -> list[int]:
    hashes = []
    for row in rows:
        state = route.SEED
        for value in row:
            state = combine(state, word(value))
        hashes.append(state)
    return hashes


rows = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(),
        st.none() | st.text(max_size=70),
        st.none() | st.binary(max_size=70),
        st.none() | st.booleans(),
    ),
    max_size=30,
)
SCHEMA = pa.schema(
    [("i", pa.int64()), ("f", pa.float64()), ("s", pa.string()), ("b", pa.binary()), ("flag", pa.bool_())]
)


@given(rows, st.integers(0, 3))
def test_hashes_equal_the_twin_s_also_in_slices(values: list[tuple], skip: int) -> None:
    table = pa.table(list(map(list, zip(*values, strict=True))) or [[]] * 5, schema=SCHEMA)
    assert route.hash_rows(table, SCHEMA.names).tolist() == twin(values)
    chunked = pa.concat_tables([table.slice(skip), table.slice(0, skip)])
    assert route.hash_rows(chunked, SCHEMA.names).tolist() == twin(values[skip:] + values[:skip])


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.uint16(), pa.int64()])
def test_integers_hash_by_value_whatever_their_width(kind: pa.DataType) -> None:
    assert route.hash_rows(pa.table({"k": pa.array([1, 5, None, 77], kind)}), ["k"]).tolist() == twin(
        [(1,), (5,), (None,), (77,)]
    )


def test_floats_have_one_zero_and_one_nan() -> None:
    other_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0]
    table = pa.table({"f": pa.array([0.0, -0.0, math.nan, other_nan, 1.5], pa.float64())})
    zero, minus_zero, nan, nan_2, other = route.hash_rows(table, ["f"]).tolist()
    assert zero == minus_zero
    assert nan == nan_2
    assert len({zero, nan, other}) == 3


def test_strings_of_any_representation_hash_alike() -> None:
    values = ["", "a", "node-17", None, "ä" * 40]
    plain = pa.array(values, pa.string())
    arrays = [plain, plain.cast(pa.large_string()), plain.cast(pa.binary()), plain.dictionary_encode()]
    arrays.append(pa.array(["x", *values, "y"], pa.large_string()).dictionary_encode().slice(1, len(values)))
    entries = pa.array(["a", None, "node-17", "", "ä" * 40, "unused"])  # a NULL that is an entry
    arrays.append(pa.DictionaryArray.from_arrays(pa.array([3, 0, 2, 1, 4], pa.int8()), entries))
    hashes = [route.hash_rows(pa.table({"k": array}), ["k"]).tolist() for array in arrays]
    assert hashes == [twin([(v,) for v in values])] * len(arrays)


def test_codes_out_of_range_are_refused() -> None:
    state, hashes = np.zeros(3, np.uint64), np.zeros(3, np.uint64)
    assert kernel.fold_codes(np.array([1, -1, 2], np.int32), hashes, state) == 2
    assert kernel.fold_codes(np.array([0, -2, 1], np.int32), hashes, state) == 1
    assert kernel.fold_codes(np.array([0, -1, 1], np.int32), hashes, state) == -1
    with pytest.raises(IndexError, match="row 1: code 2 in a dictionary of 2 entries"):
        kernel.compact(np.array([0, 2], np.int32), 2)


@pytest.mark.parametrize("entries", [1, 7, 5000])
@pytest.mark.parametrize("n", [0, 1, 900])
def test_compact_numbers_codes_in_order_of_first_sight(n: int, entries: int) -> None:
    codes = np.random.default_rng(n).integers(-1, entries, n).astype(np.int32)
    renamed, used = kernel.compact(codes, entries)
    expected = list(dict.fromkeys(code for code in codes.tolist() if code >= 0))
    assert used.tolist() == expected
    assert renamed.tolist() == [expected.index(code) if code >= 0 else -1 for code in codes.tolist()]


def test_times_hash_as_their_integers() -> None:
    for kind in (pa.timestamp("us"), pa.date32(), pa.duration("us"), pa.time64("us"), pa.time32("s")):
        assert route.hash_rows(pa.table({"t": pa.array([1, None, 90], kind)}), ["t"]).tolist() == twin(
            [(1,), (None,), (90,)]
        )


def test_lists_and_odd_types_tell_different_values_apart() -> None:
    lists = pa.array([[], [None], None, [1], [1, 2], [2, 1], [1]], pa.list_(pa.int64()))
    hashes = route.hash_rows(pa.table({"l": lists}), ["l"]).tolist()
    assert hashes[3] == hashes[6]
    assert len(set(hashes)) == 6
    decimals = pa.array([None, "1.50", "2.25", "1.50"], pa.string()).cast(pa.decimal128(10, 2))
    hashes = route.hash_rows(pa.table({"d": decimals}), ["d"]).tolist()
    assert hashes[1] == hashes[3]
    assert len(set(hashes)) == 3


def test_no_keys_or_no_rows() -> None:
    assert route.hash_rows(pa.table({"a": [1, 2]}), []).tolist() == [route.SEED] * 2
    assert route.hash_rows(SCHEMA.empty_table(), SCHEMA.names).tolist() == []


@given(st.lists(st.integers(0, MASK), max_size=50), st.integers(1, 5000))
def test_destinations_are_the_upper_half_scaled(hashes: list[int], size: int) -> None:
    found = route.destinations(np.array(hashes, np.uint64), size)
    assert found.dtype == np.int32
    assert found.tolist() == [((h >> 32) * size) >> 32 for h in hashes]


def test_destinations_are_even() -> None:
    table = pa.table({"node": [f"R{i // 100}-M{i % 100}" for i in range(20_000)]})
    counts = np.bincount(route.destinations(route.hash_rows(table, ["node"]), 8), minlength=8)
    assert counts.max() / counts.mean() < 1.06  # 3 standard deviations of a fair deal are 1.06


@given(st.lists(st.integers(0, 6), max_size=60))
def test_scatter_is_a_stable_sort(targets: list[int]) -> None:
    order, counts = route.scatter(np.array(targets, np.int32), 7)
    assert order.tolist() == np.argsort(targets, kind="stable").tolist()
    assert counts.tolist() == np.bincount(np.array(targets, int), minlength=7).tolist()


@pytest.mark.parametrize("bad", [-1, 3])
def test_scatter_names_a_bad_row(bad: int) -> None:
    with pytest.raises(InternalError, match=f"row 2 is sent to rank {bad}: expected 0 <= rank < 3"):
        route.scatter(np.array([0, 1, bad], np.int32), 3)

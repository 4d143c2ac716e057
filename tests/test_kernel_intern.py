"""String dictionaries against a Python dict."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpckit._kernels.intern import Interner, same_bytes

TEXTS = st.lists(
    st.none() | st.text(max_size=40) | st.sampled_from(["", "a", "ab", "x" * 16, "x" * 17, "é"]), max_size=80
)


def twin(values, known):
    """Codes by order of first sight."""
    return [-1 if value is None else known.setdefault(value, len(known)) for value in values]


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_codes_are_those_of_a_dict(batches):
    interner, known = Interner(), {}
    for batch in batches:
        assert interner.intern(pa.array(batch, pa.string())).tolist() == twin(batch, known)
    assert interner.arrow().to_pylist() == list(known)
    assert len(interner) == len(known)
    order = sorted(known, key=lambda text: text.encode())
    assert interner.rank().tolist() == [order.index(text) for text in known]
    assert all(interner.find(text.encode()) == code for text, code in known.items())
    assert interner.find(b"never seen") == -1


@settings(max_examples=100, deadline=None)
@given(TEXTS, TEXTS, st.data())
def test_entries_of_another_dictionary(mine, others, data):
    target, known, other = Interner(), {}, Interner()
    target.intern(pa.array(mine, pa.string()))
    twin(mine, known)
    other.intern(pa.array(others, pa.string()))
    texts = other.arrow().to_pylist()
    picked = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=60)) if texts else []
    codes = target.intern_entries(other, np.array(picked, np.int32))
    assert codes.tolist() == twin([texts[i] for i in picked], known)
    assert target.intern_coded(other).tolist() == twin(texts, known)
    assert target.intern_coded(target, 0, len(target)).tolist() == list(range(len(target)))


def test_growth_slices_and_wide_arrays():
    values = [f"key {i}" for i in range(100_000)]
    interner = Interner()
    assert interner.intern(pa.array(values, pa.large_string())).tolist() == list(range(100_000))
    assert interner.intern(pa.array(values, pa.string()).slice(99_000, 500)).tolist() == list(range(99_000, 99_500))
    assert interner.intern(pa.chunked_array([values[5:7], values[:1]])).tolist() == [5, 6, 0]
    assert interner.intern(pa.nulls(3)).tolist() == [-1, -1, -1]
    with pytest.raises(TypeError, match="expected strings"):
        interner.intern(pa.array([1]))


def test_hashes_depend_on_the_bytes_alone():
    values = ["", "a", "abcd", "abcdefgh", "x" * 16, "x" * 17, "y" * 100]
    one, two = Interner(), Interner()
    one.intern(pa.array(values))
    two.intern(pa.array(["other", *values[::-1]]))
    assert one.hashes().tolist() == two.hashes().tolist()[:0:-1]
    assert len(set(one.hashes().tolist())) == len(values)


def test_limits():
    bounded = Interner(max_entries=3, max_bytes=100, grow=False)
    bounded.intern(pa.array(["a", "b", "c"]))
    assert bounded.full and bounded.intern(pa.array(["b", "a"])).tolist() == [1, 0]
    with pytest.raises(MemoryError, match="3 entries is full"):
        bounded.intern(pa.array(["d"]))
    long = Interner(max_entries=3, max_bytes=4, grow=False)
    assert long.intern(pa.array(["longer than the limit"])).tolist() == [0]  # the first is always taken


@pytest.mark.parametrize("length", [*range(72), 95, 96, 97, 127, 128, 129, 200])
def test_bytes_are_the_same_if_each_of_them_is(length):
    text = bytes(range(1, 1 + length))
    assert same_bytes(text, bytes(bytearray(text)))
    for place in range(length):
        for bit in (1, 128):
            other = bytearray(text)
            other[place] ^= bit
            assert not same_bytes(text, bytes(other)), (place, bit)


@pytest.mark.parametrize("reserved", [0, 1, 100, 5000])
def test_strings_that_are_looked_up_together(reserved):
    """NULLs, repetitions and growth within and across what is hashed together, with room made at any time."""
    rng = np.random.default_rng(reserved)
    values = [None if x % 7 == 0 else f"{x:x}" * (1 + x % 9) for x in rng.integers(0, 3000, 9000).tolist()]
    interner, known = Interner(), {}
    for begin, end in ((0, 63), (63, 64), (64, 1000), (1000, 9000)):
        interner.reserve(reserved)
        assert interner.intern(pa.array(values[begin:end], pa.string())).tolist() == twin(values[begin:end], known)
    assert interner.arrow().to_pylist() == list(known)
    interner.reserve(0)
    assert interner.intern(pa.array(values, pa.string())).tolist() == twin(values, known)


def test_a_bounded_dictionary_makes_no_room():
    interner = Interner(max_entries=3, max_bytes=100, grow=False)
    before = interner.nbytes
    interner.reserve(100_000)
    assert interner.nbytes == before

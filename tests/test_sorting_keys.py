"""Words of sort keys: their order is that of the values, and they turn back into them."""

from __future__ import annotations

import numpy as np
import pytest
from sorting_cases import DTYPES, twin_descending, twin_order, values

from hpckit.errors import UserError
from hpckit.sorting import keys


@pytest.mark.parametrize("rows", [0, 1, 300])
@pytest.mark.parametrize("dtype", DTYPES)
def test_words_order_as_the_values(dtype: str, rows: int) -> None:
    array = values(dtype, "random", rows)
    for descending, twin in ((False, twin_order), (True, twin_descending)):
        words = keys.encode_all(array, descending)
        assert all(word.dtype == np.uint64 and len(word) == rows for word in words)
        assert np.array_equal(np.lexsort(words[::-1]), twin(array))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "S13"])
def test_words_turn_back_into_the_values(dtype: str, descending: bool, nulls_first: bool) -> None:
    array = values(dtype, "random", 200)
    back = keys.decode(keys.encode(array, descending, nulls_first), array.dtype, descending, nulls_first)
    assert back.dtype == array.dtype and back.tobytes() == array.tobytes()


def test_nat_goes_where_it_is_asked_for() -> None:
    times = np.array([3, "NaT", 1, 2], "M8[s]")
    places = {
        (descending, first): np.argsort(keys.encode(times, descending, first)).tolist()
        for descending in (False, True)
        for first in (False, True)
    }
    assert places == {
        (False, False): [2, 3, 0, 1], (False, True): [1, 2, 3, 0], (True, False): [0, 3, 2, 1],
        (True, True): [1, 0, 3, 2],
    }  # fmt: skip


def test_bytes_of_several_words() -> None:
    array = values("S13", "random", 100)
    assert np.array_equal(keys.decode_bytes(keys.encode_bytes(array), array.dtype), array)
    with pytest.raises(UserError, match="does not fit one word"):
        keys.encode(array)


def test_strided_input_is_taken_as_it_reads() -> None:
    array = values("i8", "random", 100)
    assert np.array_equal(keys.encode(array[::-2]), keys.encode(array[::-2].copy()))


@pytest.mark.parametrize("dtype", ["O", "U3", "c16", "V4", [("a", "i4")], "g"])
def test_other_dtypes_are_refused_by_name(dtype: object) -> None:
    with pytest.raises(UserError, match="cannot sort"):
        keys.encode(np.zeros(3, dtype))

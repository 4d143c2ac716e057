"""hk.arrays.sort, argsort and sort_by on one rank against Python's sorted, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from sorting_cases import DTYPES, SHAPES, twin_descending, twin_order, values

import hpckit as hk
from hpckit.errors import UserError
from hpckit.sorting import layout, numbers, pairs

ARRAYS = hk.arrays


@pytest.fixture(autouse=True, params=["one piece", "many pieces", "many pieces by radix"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays in as many buckets and rounds as large ones."""
    monkeypatch.setattr(numbers, "numpy_is_faster", lambda: "radix" not in request.param)
    if "many pieces" in request.param:
        monkeypatch.setattr(layout, "ROUND_BYTES", 1 << 10)
        monkeypatch.setattr(numbers, "PIECE_BYTES", 1 << 8)
        monkeypatch.setattr(pairs, "PIECE_BYTES", 1 << 9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sort_and_argsort(dtype: str, shape: str) -> None:
    array = values(dtype, shape, 700)
    x = ARRAYS.from_local(array)
    before, order = x.local.tobytes(), twin_order(array)
    found = ARRAYS.sort(x).local
    assert found.dtype == x.dtype and found.tobytes() == x.local[order].tobytes()
    assert np.array_equal(ARRAYS.argsort(x).local, order)
    down = twin_descending(array)
    assert np.array_equal(ARRAYS.argsort(x, descending=True).local, down)
    assert ARRAYS.sort(x, descending=True).local.tobytes() == x.local[down].tobytes()
    assert x.local.tobytes() == before


@pytest.mark.parametrize("rows", [0, 1, 2, 1000])
@pytest.mark.parametrize("payload", ["i8", "f4", "u1", "S5", "3 columns"])
@pytest.mark.parametrize("dtype", ["i8", "f8", "i4", "i2", "S3"])
def test_payload_travels_along(dtype: str, payload: str, rows: int) -> None:
    array = values(dtype, "zipf" if rows % 2 else "few", rows)
    if payload == "3 columns":
        along = np.random.default_rng(rows).random((rows, 3))
    else:
        along = values(payload, "random", rows)
    key, found = ARRAYS.sort_by(ARRAYS.from_local(array), ARRAYS.from_local(along))
    order = twin_order(array)
    assert key.local.tobytes() == array[order].tobytes() and found.local.tobytes() == along[order].tobytes()


def test_several_keys_each_its_own_way() -> None:
    chance = np.random.default_rng(3)
    a, b, c = chance.integers(0, 4, 900), values("S13", "few", 900), values("M8[us]", "few", 900)
    c[::9] = "NaT"
    number = np.arange(900)
    parts = [ARRAYS.from_local(x) for x in (a, b, c, number)]
    *_, found = ARRAYS.sort_by(parts[:3], parts[3], descending=[True, False, True], nulls_first=[False, False, True])
    when = np.where(np.isnat(c), 0, 1 + c.astype(np.int64).max() - c.astype(np.int64))
    twin = sorted(range(900), key=lambda i: (-a[i], bytes(b[i]), when[i]))
    assert found.local.tolist() == twin
    assert ARRAYS.sort_by(parts[0])[0].local.tolist() == sorted(a.tolist())


def test_keys_of_narrow_range_share_a_word() -> None:
    a, b = values("i4", "few", 500), values("u8", "random", 500) >> np.uint64(20)
    constant = np.full(500, 7, np.uint64)
    words = pairs.pack(ARRAYS.from_local(a).context, [a.astype(np.uint64), constant, b])
    assert len(words) == 1
    assert np.array_equal(np.argsort(words[0], kind="stable"), np.lexsort((b, a)))
    assert pairs.pack(ARRAYS.from_local(a).context, [constant, constant]) == []


def test_refusals() -> None:
    x, y = ARRAYS.from_local(np.arange(6)), ARRAYS.from_local(np.arange(5))
    cases = {
        "key 0 has 6; expected as many rows": lambda: ARRAYS.sort_by(x, y),
        "payload 0 is ndarray: expected a DistArray": lambda: ARRAYS.sort_by(x, np.arange(6)),
        "without a key": lambda: ARRAYS.sort_by([]),
        "descending has 2 entries for 1 keys": lambda: ARRAYS.sort_by([x], descending=[True, False]),
        "expected one dimension": lambda: ARRAYS.sort(ARRAYS.from_local(np.zeros((2, 2)))),
        "axis 1": lambda: ARRAYS.sort(x, axis=1),
        "cannot sort an array of dtype complex128": lambda: ARRAYS.argsort(ARRAYS.from_local(np.zeros(2, complex))),
        "sort of list: expected a DistArray": lambda: ARRAYS.sort([3, 1, 2]),
    }
    for message, mistake in cases.items():
        with pytest.raises(UserError, match=message):
            mistake()

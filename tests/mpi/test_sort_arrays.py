"""Sorts on several ranks: canonical blocks of the one right order from even, uneven and empty parts; errors for all."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from sorting_cases import twin_order, values

import hpckit as hk
from hpckit.errors import InternalError, UserError
from hpckit.partition import block_range
from hpckit.sorting import layout, numbers, pairs, splitters
from hpckit.spmd import arrays

pytestmark = pytest.mark.mpi
ROWS = 1500
CASES = (
    "f8, random, even", "i8, equal, even", "i8, zipf, one rank", "f4, reversed, even", "i4, sorted, uneven",
    "S13, few, uneven", "i2, random, one rank",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays in many buckets and a few rounds, as large ones."""
    monkeypatch.setattr(layout, "ROUND_BYTES", 1 << 12)
    monkeypatch.setattr(numbers, "PIECE_BYTES", 1 << 9)
    monkeypatch.setattr(pairs, "PIECE_BYTES", 1 << 10)


def counts_of(spread: str, rows: int, size: int) -> list[int]:
    """Rows of each rank."""
    if spread == "one rank":
        return [rows if r == size - 1 else 0 for r in range(size)]
    if spread == "uneven" and size > 1:
        return [rows // 3, *[0] * (size - 2), rows - rows // 3]
    return [b - a for a, b in (block_range(rows, size, r) for r in range(size))]


def part(context, whole: np.ndarray, spread: str) -> hk.arrays.DistArray:
    """The distributed array of `whole`."""
    ends = np.cumsum(counts_of(spread, len(whole), context.size))
    start = 0 if context.is_root else int(ends[context.rank - 1])
    return hk.arrays.from_local(whole[start : int(ends[context.rank])].copy(), context)


def is_block(context, found: hk.arrays.DistArray, whole: np.ndarray) -> bool:
    begin, end = block_range(len(whole), context.size, context.rank)
    return found.local.dtype == whole.dtype and found.local.tobytes() == whole[begin:end].tobytes()


@pytest.mark.parametrize("way", ["numpy", "radix", "mixed"])
@pytest.mark.parametrize("case", CASES)
def test_sorts_are_those_of_one_rank(context, record, monkeypatch: pytest.MonkeyPatch, case: str, way: str) -> None:
    """Mixed: processors differ."""
    monkeypatch.setattr(numbers, "numpy_is_faster", lambda: way == "numpy" or (way == "mixed" and context.rank == 1))
    dtype, shape, spread = case.split(", ")
    whole = values(dtype, shape, ROWS)
    order = twin_order(whole)
    x = part(context, whole, spread)
    assert is_block(context, hk.arrays.sort(x), whole[order])
    found = hk.arrays.argsort(x)
    assert is_block(context, found, order)
    record(found.gather().tobytes())


@pytest.mark.parametrize("rows", [0, 3, ROWS])
def test_payload_follows_its_key(context, rows: int) -> None:
    key, number = values("i8", "zipf", rows), np.arange(rows)
    order = twin_order(key)
    wide, text = np.random.default_rng(1).random((rows, 3)), values("S5", "random", rows)
    columns = [part(context, number, "uneven"), part(context, wide, "one rank"), part(context, text, "uneven")]
    k, n, w, t = hk.arrays.sort_by(part(context, key, "uneven"), *columns)
    found = zip((k, n, w, t), (key, number, wide, text), strict=True)
    assert all(is_block(context, got, whole[order]) for got, whole in found)
    k, n = hk.arrays.sort_by([part(context, key, "even")], part(context, number, "even"))
    assert is_block(context, k, key[order]) and is_block(context, n, order)


@pytest.mark.parametrize(("dtype", "most"), [("u8", 1), ("S9", 3), ("u8", 1 << 40)])
def test_cuts_are_exact_and_divide_ties_by_origin(context, dtype: str, most: int) -> None:
    chance = np.random.default_rng(most)
    sizes = [int(n) for n in chance.integers(0, 400, context.size)]
    parts = [np.sort(chance.integers(0, most, n).astype(dtype)) for n in sizes]
    total = sum(sizes)
    targets = np.array([0, 0, 1, total // 3, total // 2, total // 2 + 1, max(0, total - 1), total])
    cuts = splitters.find(context, parts[context.rank], np.minimum(targets, total))
    order = np.argsort(np.concatenate(parts), kind="stable")
    origin = np.repeat(np.arange(context.size), sizes)[order]
    assert cuts.tolist() == [int((origin[:t] == context.rank).sum()) for t in np.minimum(targets, total)]


@pytest.mark.parametrize("round_bytes", [64, 1 << 20])
def test_arrays_between_ranks(context, round_bytes: int) -> None:
    size, here = context.size, context.rank
    counts = [[(7 * s + 3 * r) % 5 * 10 for r in range(size)] for s in range(size)]
    sent = [np.arange(sum(counts[s]) * 2, dtype="i4").reshape(-1, 2) + 1000 * s for s in range(size)]
    found, incoming = arrays.exchange(context, sent[here], np.array(counts[here]), round_bytes)
    starts = np.cumsum(counts, axis=1) - counts
    expected = [sent[s][starts[s, here] : starts[s, here] + counts[s][here]] for s in range(size)]
    assert np.array_equal(found, np.concatenate(expected)) and incoming.tolist() == [c[here] for c in counts]
    with pytest.raises(InternalError, match="rows and"):
        context.exchange_array(sent[here], np.zeros(size + 1, int))


def test_what_arrives_changed_is_found(context) -> None:
    if context.size == 1:
        pytest.skip("nothing is sent on one rank")
    messages = arrays.Exchange(context)
    parts = [[np.full(100, r, np.int64)] for r in range(context.size)]
    into = [[np.empty(100, np.int64)] for _ in range(context.size)]
    messages.round(parts, into)
    messages.finish()
    messages.received[0, 1] ^= np.uint64(1)
    with pytest.raises(InternalError, match="of hash"):
        messages.finish()


def test_one_error_on_all_ranks(context) -> None:
    dtype = np.float32 if context.rank == context.size - 1 else np.float64
    if context.size > 1:
        with pytest.raises(UserError, match=r"float32.*float64|float64.*float32"):
            numbers.sort(context, np.zeros(3, dtype))
        with pytest.raises(UserError, match="key and payload 1 has"):
            pairs.sort_rows(context, [np.zeros(3, np.uint64)], [np.zeros(3 - (context.rank == 0))])
    with pytest.raises(UserError, match="cannot sort"):
        numbers.sort(context, np.array([None, 1]))
    with pytest.raises(UserError, match="as many rows"):
        x = hk.arrays.from_local(np.arange(3), context)
        hk.arrays.sort_by(x, hk.arrays.from_local(np.arange(2), context))

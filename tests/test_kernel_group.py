"""Group tables, runs of pairs and reductions against plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hpckit._kernels import reduce as kernel
from hpckit._kernels.group import GroupTable, gather_ids, unknown_codes
from hpckit._kernels.runs import PairBuffer, merge_runs

LOW, HIGH = np.iinfo(np.int64).min, np.iinfo(np.int64).max
EXTREMES = np.array([0, -1, 1, LOW, HIGH, LOW + 1, HIGH - 1, 1 << 20, (1 << 20) - 1, (1 << 20) - 2, -2])


def _columns(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    return {
        "few": lambda: rng.integers(0, 7, n),
        "dense": lambda: rng.permutation(n),
        "growing": lambda: np.sort(rng.integers(0, 300_000, n)),
        "scattered": lambda: rng.integers(LOW, HIGH, n),
        "extremes": lambda: rng.choice(EXTREMES, n),
        "mixed": lambda: np.where(rng.random(n) < 0.5, rng.integers(0, 50_000, n), rng.choice(EXTREMES, n)),
        "multiples": lambda: rng.integers(0, n + 1, n) << 40,
    }[kind]()


@pytest.mark.parametrize("kind", ["few", "dense", "growing", "scattered", "extremes", "mixed", "multiples"])
@pytest.mark.parametrize("n_keys", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 20_000])
def test_group_ids_number_rows_in_order_of_first_sight(kind: str, n_keys: int, n: int) -> None:
    rng = np.random.default_rng(n + n_keys)
    columns = [_columns(kind, n, rng) for _ in range(n_keys)]
    table = GroupTable(n_keys)
    cut = n // 3
    found = np.concatenate([table.ids([c[:cut] for c in columns]), table.ids([c[cut:] for c in columns])])
    known: dict[tuple, int] = {}
    expected = [known.setdefault(row, len(known)) for row in zip(*(c.tolist() for c in columns), strict=True)]
    assert found.dtype == np.int32
    assert found.tolist() == expected
    assert len(table) == len(known)
    assert list(zip(*(k.tolist() for k in table.keys()), strict=True)) == list(known)  # noqa: SIM118
    assert np.array_equal(table.ids(columns), found)  # nothing is new the second time


@pytest.mark.parametrize("n_keys", [1, 2, 3])
def test_room_reserved_at_any_time_changes_no_id(n_keys: int) -> None:
    columns = [np.random.default_rng(j).integers(0, 40, 3000) for j in range(n_keys)]
    plain, reserved = GroupTable(n_keys), GroupTable(n_keys)
    expected = plain.ids(columns)
    reserved.reserve(700)
    first = reserved.ids([column[:1000] for column in columns])
    for groups in (0, 2000, 100_000):
        reserved.reserve(groups)
    rest = reserved.ids([column[1000:] for column in columns])
    assert np.concatenate([first, rest]).tolist() == expected.tolist()
    stored = reserved.keys(), plain.keys()
    assert [key.tolist() for key in stored[0]] == [key.tolist() for key in stored[1]]


def test_keys_of_some_groups() -> None:
    columns = [np.random.default_rng(j).integers(0, 50, 3000) for j in range(2)]
    table = GroupTable(2)
    table.ids(columns)
    whole = table.keys()
    for ids in ([], [0], [5, 3, 3, len(table) - 1]):
        some = table.keys(np.array(ids, np.int64))
        assert [key.tolist() for key in some] == [key[ids].tolist() for key in whole]
    for wrong in (-1, len(table)):
        with pytest.raises(IndexError, match=f"group {wrong}, expected"):
            table.keys(np.array([0, wrong], np.int64))


def test_group_table_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        GroupTable(0)
    with pytest.raises(ValueError, match="expected 2 key columns"):
        GroupTable(2).ids([np.zeros(1, np.int64)])
    with pytest.raises(ValueError, match="has 2 rows, expected 3"):
        GroupTable(2).ids([np.zeros(3, np.int64), np.zeros(2, np.int64)])


def test_group_table_takes_read_only_keys() -> None:
    keys = np.arange(10)
    keys.flags.writeable = False
    assert GroupTable(1).ids([keys]).tolist() == list(range(10))


def test_gather_ids_counts_the_unknown_and_refuses_codes_out_of_range() -> None:
    known = np.array([9, 4, -2, 6], np.int32)
    out = np.empty(4, np.int32)
    assert gather_ids(np.array([-1, 0, 1, 2], np.int32), known, out) == 1
    assert out.tolist() == [9, 4, -2, 6]
    for code in (3, -2):
        with pytest.raises(IndexError, match=f"row 1: code {code}"):
            gather_ids(np.array([0, code], np.int32), known, np.empty(2, np.int32))


def test_unknown_codes_come_once_in_order_of_first_sight() -> None:
    known = np.array([-2, 4, -2, 6, -2], np.int32)
    assert unknown_codes(np.array([3, 0, -1, 1, 3, -1], np.int32), known).tolist() == [3, -1, 1]
    assert known.tolist() == [-3, 4, -3, 6, -3]
    assert unknown_codes(np.array([3, 0], np.int32), known).tolist() == []


@pytest.mark.parametrize("spread", [3, 1 << 20, 1 << 62])
@pytest.mark.parametrize("groups", [1, 5, 5000])
def test_runs_count_pairs(spread: int, groups: int) -> None:
    rng = np.random.default_rng(groups)
    n = 5000
    ids = rng.integers(0, groups, n).astype(np.int32)
    words = rng.integers(-spread, spread, n)
    words[:2] = (LOW, HIGH) if spread == 1 << 62 else words[:2]
    use = (rng.random(n) < 0.7).astype(np.uint8)
    buffer, run = PairBuffer(700), None
    start = 0
    while start < n:
        start = buffer.add(ids, words, use, start)
        fresh = buffer.drain()
        run = fresh if run is None else merge_runs(run, fresh)
    rows = zip(ids.tolist(), words.tolist(), use.tolist(), strict=True)
    expected = sorted(Counter((i, w) for i, w, u in rows if u).items())
    found = [((i, w), c) for i, w, c in zip(*(part.tolist() for part in run), strict=True)]
    assert found == expected


def test_an_empty_buffer_drains_to_an_empty_run() -> None:
    empty = PairBuffer(10).drain()
    assert [len(part) for part in empty] == [0, 0, 0]
    one = (np.zeros(1, np.int32), np.ones(1, np.int64), np.ones(1, np.int64))
    assert merge_runs(empty, one) is one and merge_runs(one, empty) is one


@pytest.mark.parametrize("groups", [1, 9])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n", [0, 1, 3000])
@pytest.mark.parametrize("small", [False, True], ids=["any size", "up to 47 bits"])
def test_reductions(groups: int, masked: bool, n: int, small: bool) -> None:
    rng = np.random.default_rng(n)
    ids = rng.integers(0, groups, n).astype(np.int32)
    values = np.where(rng.random(n) < 0.5, rng.choice(EXTREMES, n), rng.integers(LOW, HIGH, n))
    if small:
        values = np.where(rng.random(n) < 0.5, rng.choice([-(1 << 47), (1 << 47) - 1], n), values >> 17)
    use = (rng.random(n) < 0.5).astype(np.uint8) if masked else None
    rows = [(g, v) for k, (g, v) in enumerate(zip(ids.tolist(), values.tolist(), strict=True)) if not masked or use[k]]
    counts, sums = np.zeros(groups, np.int64), np.zeros((groups, 2), np.uint64)
    least, most = np.full(groups, HIGH), np.full(groups, LOW)
    kernel.count_rows(ids, use, counts)
    kernel.sum_integers(ids, values, use, sums)
    kernel.keep_extremes(ids, values, use, least, False)
    kernel.keep_extremes(ids, values, use, most, True)
    for g in range(groups):
        mine = [v for h, v in rows if h == g]
        assert counts[g] == len(mine)
        assert (int(sums[g, 1]) << 64 | int(sums[g, 0])) == sum(mine) % (1 << 128)
        assert least[g] == min(mine, default=HIGH) and most[g] == max(mine, default=LOW)


def test_edges_keep_the_row_of_the_extreme_position() -> None:
    ids = np.array([0, 1, 0, 1, 0], np.int32)
    positions = np.array([5, 2, 3, 9, 7])
    use = np.array([1, 1, 1, 1, 0], np.uint8)
    for last, expected in ((False, [2, 1]), (True, [0, 3])):
        best, rows = np.full(2, LOW if last else HIGH), np.full(2, -1)
        kernel.keep_edges(ids, positions, use, best, rows, last)
        assert rows.tolist() == expected and best.tolist() == positions[expected].tolist()


def test_order_doubles_agrees_with_the_order_of_numbers() -> None:
    nans = np.array([np.nan, -np.nan, np.uint64(0x7FF0000000000001).view(np.float64)])
    values = np.array([-np.inf, -1e308, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, 1e308, np.inf])
    both = np.concatenate([values, nans])
    words = np.empty(len(both), np.int64)
    kernel.order_doubles(both.view(np.int64), words, False)
    assert np.all(np.diff(words[: len(values) + 1]) > 0) and len(set(words[-3:].tolist())) == 1
    kernel.order_doubles(both.view(np.int64), words, True)
    assert words[4] == words[5] and np.all(np.diff(words[5 : len(values) + 1]) > 0)


@pytest.mark.parametrize("offset", [0, 1, 7, 8, 13])
def test_expand_bits(offset: int) -> None:
    bitmap = np.random.default_rng(0).integers(0, 256, 20).astype(np.uint8)
    out = np.empty(100, np.uint8)
    kernel.expand_bits(bitmap, offset, out)
    assert np.array_equal(out, np.unpackbits(bitmap, bitorder="little")[offset : offset + 100])
    with pytest.raises(ValueError, match="bitmap of 20 bytes"):
        kernel.expand_bits(bitmap, 61, out)

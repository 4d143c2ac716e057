"""Order statistics found without moving values, against sorted lists: words at the ends of int64, any runs."""

from __future__ import annotations

import numpy as np
import pytest
from aggregate_data import Alone
from hypothesis import given
from hypothesis import strategies as st

from hpckit._kernels.runs import count_below, narrow
from hpckit.aggregates import selection, values
from hpckit.aggregates.selection import Segments, select, totals
from hpckit.aggregates.values import CountedPairs

LOW, HIGH = np.iinfo(np.int64).min, np.iinfo(np.int64).max
WORDS = st.one_of(st.sampled_from([LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH]), st.integers(LOW, HIGH), st.integers(-9, 9))


def _run(rows: list[tuple[int, int]]) -> values.Run:
    pairs = sorted(set(rows))
    counts = [rows.count(pair) for pair in pairs]
    return (
        np.array([g for g, _ in pairs], np.int32),
        np.array([w for _, w in pairs], np.int64),
        np.array(counts, np.int64),
    )


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), WORDS), max_size=30), max_size=4))
def test_every_rank_of_every_group(runs: list[list[tuple[int, int]]]) -> None:
    numbers = np.array([5, 0, 2, 3])  # local group -> number among all ranks; groups 1 and 4 are held by nobody
    expected = {n: sorted(w for run in runs for g, w in run if numbers[g] == n) for n in range(6)}
    segments = [Segments(_run(run), numbers, 6) for run in runs]
    found = totals(Alone(), segments, 6)
    assert found.tolist() == [len(expected[n]) for n in range(6)]
    width = max(1, found.max())
    ranks = np.minimum(np.tile(np.arange(width), (6, 1)), np.maximum(found - 1, 0)[:, None])
    words = select(Alone(), segments, ranks)
    for n in range(6):
        if expected[n]:
            assert words[n].tolist() == [expected[n][rank] for rank in ranks[n]]


def test_the_number_of_rounds_is_bounded() -> None:
    class Counting(Alone):
        rounds = 0

        def reduce(self, array: np.ndarray, operation: str) -> np.ndarray:
            self.rounds += array.ndim == 2
            return array

    peers = Counting()
    rng = np.random.default_rng(1)
    words = np.sort(np.concatenate([rng.integers(LOW, HIGH, 500), np.arange(500), [LOW, HIGH]]))
    run = np.zeros(len(words), np.int32), words, np.ones(len(words), np.int64)
    ranks = np.arange(len(words))[None, :]
    assert select(peers, [Segments(run, np.array([0]), 1)], ranks).tolist() == [words.tolist()]
    assert 0 < peers.rounds <= 16


def test_searching_pays_for_few_groups_of_many_values() -> None:
    assert selection.pays(256, 1)
    assert not selection.pays(255, 1)
    assert not selection.pays(0, 0)
    assert not selection.pays(1 << 60, selection.GROUPS_MAX + 1)


def test_places_outside_the_run_are_refused() -> None:
    run = np.arange(5), np.arange(6)
    place = np.array([3]), np.array([6])
    with pytest.raises(IndexError, match=r"places 3 … 6 of a run of 5 rows"):
        count_below(run, *place, np.array([0]), np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int64))
    with pytest.raises(IndexError, match=r"places 3 … 6 of a run of 5 rows"):
        narrow(run, *place, np.array([0]), np.array([1]))
    with pytest.raises(ValueError, match="2 rows of pivots for 1 places"):
        count_below(
            run, np.array([0]), np.array([5]), np.array([0]), np.zeros((2, 2), np.int64), np.zeros((1, 2), np.int64)
        )


def test_runs_are_kept_apart_then_merged_and_lose_nothing(monkeypatch) -> None:
    monkeypatch.setattr(values, "_TABLE_PAIRS_MAX", 10)
    monkeypatch.setattr(values, "_BUFFER_ROWS", 64)
    monkeypatch.setattr(values, "_FRESH_MAX", 3)
    rng = np.random.default_rng(3)
    pairs = CountedPairs()
    given: dict[tuple[int, int], int] = {}
    for n in (20, 1000, 0, 63, 65):
        ids, words = rng.integers(0, 4, n).astype(np.int32), rng.integers(0, 50, n)
        pairs.add(ids, words, None)
        for pair in zip(ids.tolist(), words.tolist(), strict=True):
            given[pair] = given.get(pair, 0) + 1
        held = pairs.runs()
        assert sum(int(counts.sum()) for _, _, counts in held) == sum(given.values())
        assert len(pairs) == sum(len(run[0]) for run in held)
        assert len(held) < 12
    ids, words, counts = (part.tolist() for part in pairs.run())
    assert list(zip(ids, words, strict=True)) == sorted(given)
    assert dict(zip(zip(ids, words, strict=True), counts, strict=True)) == given

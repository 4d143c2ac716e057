"""The first k groups by a count or a sum are found among the groups that are exchanged, whoever has which part."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from hpckit.aggregates import AggSpec, GroupBy, leading
from hpckit.aggregates.spec import INT
from hpckit.tables.rows import Peers

pytestmark = pytest.mark.mpi

CALLS = {
    "count": [AggSpec("count_star"), AggSpec("count_distinct", (INT,)), AggSpec("avg", (INT,))],
    "sum": [AggSpec("sum", (INT,)), AggSpec("max", (INT,))],
}


def rows_of(seed: int, shape: str) -> tuple[list[str | None], np.ndarray]:
    """All keys (some NULL) and values of the job, the same on every rank."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 3000))
    if shape == "zipf":
        numbers = rng.zipf(1.3, count) % 997
    elif shape == "ties":
        numbers = np.repeat(np.arange(count // 5 + 1), 5)[:count]
    else:
        numbers = rng.integers(0, max(count // 2, 1), count)
    keys = [None if n % 97 == 3 else f"node{n}" for n in numbers.tolist()]
    return keys, rng.integers(0, 1000, count) ** (1 + seed % 3)


def state_of(call: str, keys: list[str | None], values: np.ndarray, mine: np.ndarray) -> GroupBy:
    state = GroupBy([pa.string()], CALLS[call])
    args = {"count_star": []}
    column = pa.array(values[mine], mask=values[mine] % 7 == 0) if call == "sum" else pa.array(values[mine])
    picked = pa.array([keys[i] for i in mine.tolist()], pa.string())
    state.update(
        [picked], [args.get(a.name, [column]) for a in CALLS[call]], [None] * len(CALLS[call]), mine, len(mine)
    )
    return state


def shared_out(seed: int, shape: str, count: int, rank: int, size: int) -> np.ndarray:
    """The rows of this rank: at random, in runs (groups then lie together), or all with one rank."""
    rng = np.random.default_rng(seed + 1)
    owner = {0: rng.integers(0, size, count), 1: np.sort(rng.integers(0, size, count)), 2: np.full(count, size - 1)}
    return np.flatnonzero(owner[seed % 3] == rank)


@pytest.mark.parametrize("call", list(CALLS))
@pytest.mark.parametrize("shape", ["zipf", "ties", "uniform"])
def test_the_first_groups_are_among_the_chosen(context, monkeypatch, shape: str, call: str) -> None:
    monkeypatch.setattr(leading, "GROUPS_MIN", 1)
    spared = 0
    for seed in range(12):
        keys, values = rows_of(seed, shape)
        mine = shared_out(seed, shape, len(keys), context.rank, context.size)
        state = state_of(call, keys, values, mine)
        k = 1 + seed % 9
        peers = Peers(context)
        only = leading.leading_groups(state, 0, k, peers, context.size)
        assert len(set(context.allgather(only is None))) == 1
        owned = state.shuffle(peers, only).finish()
        whole = context.bcast_table(context.gather_table(owned))
        spared += only is not None
        totals: Counter[str | None] = Counter()
        for key, value in zip(keys, values.tolist(), strict=True):
            totals[key] += 1 if call == "count" else (0 if value % 7 == 0 else value)
        expected = sorted(totals.values(), reverse=True)
        least = expected[min(k, len(expected)) - 1]
        found = dict(zip(whole.column("k0").to_pylist(), whole.column("a0").to_pylist(), strict=True))
        assert len(found) == whole.num_rows
        # all that can be among the first k, ties included, with their whole totals
        assert {key: n for key, n in totals.items() if n >= max(least, 1)}.items() <= found.items()
        if call == "count":
            distinct = dict(zip(whole.column("k0").to_pylist(), whole.column("a1").to_pylist(), strict=True))
            for key in found:
                same = {v for other, v in zip(keys, values.tolist(), strict=True) if other == key}
                assert distinct[key] == len(same)
    assert spared or shape == "ties" or context.size == 1, "nothing was ever left out"


def test_what_cannot_be_weighed_is_exchanged_whole(context, monkeypatch) -> None:
    monkeypatch.setattr(leading, "GROUPS_MIN", 1)
    numbers = np.arange(1000)
    for values in (np.where(numbers % 300 == 200, -1, 5), np.where(numbers % 300 == 200, 1 << 50, 5)):
        mine = numbers[context.rank :: context.size]
        state = GroupBy([INT], [AggSpec("sum", (INT,))])
        state.update([pa.array(mine % 300)], [[pa.array(values[mine])]], [None], mine, len(mine))
        assert leading.leading_groups(state, 0, 3, Peers(context), context.size) is None


def test_only_where_no_other_result_can_fail() -> None:
    count, total = AggSpec("count_star"), AggSpec("sum", (INT,))
    assert leading.applies([count, AggSpec("avg", (INT,))], 0)
    assert leading.applies([total, count], 0)
    assert not leading.applies([total, count], 1)  # an overflow of the sum is an error at any number of ranks
    assert not leading.applies([AggSpec("sum", (pa.float64(),))], 0)
    assert not leading.applies([AggSpec("max", (INT,))], 0)

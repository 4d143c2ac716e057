"""GroupBy against DuckDB on random data with NULLs, and against itself over splits, merges and shuffles."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pyarrow as pa
import pytest
from aggregate_data import CALLS, KEYS, ROWS, Feeder, everything, ipc_bytes

from hpckit.aggregates import GroupBy, selection

duckdb = pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return everything()


def _sql(keys: list[str], filtered: bool) -> str:
    columns = list(keys)
    for name, column, fraction in CALLS:
        call = {"count_star": "count(*)", "count_distinct": f"count(DISTINCT {column})"}.get(name)
        if name.startswith("quantile"):
            call = f"{name}({column}, {fraction})"
        elif name in ("first", "last"):
            call = f"{name}({column} ORDER BY p)"
        elif name == "approx_count_distinct":
            call = f"count(DISTINCT {column})"
        elif name == "approx_quantile":
            call = f"list({column} ORDER BY {column}) FILTER (WHERE {column} IS NOT NULL" + (
                " AND keep)" if filtered else ")"
            )
            columns.append(call)
            continue
        call = call or f"{name}({column})"
        columns.append(call + (" FILTER (WHERE keep)" if filtered else ""))
    order = ", ".join(f"{k} NULLS LAST" for k in keys)
    return f"SELECT {', '.join(columns)} FROM t" + (f" GROUP BY {', '.join(keys)} ORDER BY {order}" if keys else "")


def _agrees(call: tuple, found: object, expected: object) -> bool:
    name, _, fraction = call
    if name == "approx_quantile":
        if not expected:
            return found is None
        exact = expected[math.floor(fraction * (len(expected) - 1))]
        return abs(found - exact) <= 0.01 * abs(exact)
    if found is None or expected is None:
        return found is expected
    if name == "approx_count_distinct":
        return abs(found - expected) <= max(1, 0.02 * expected)  # few values may share a register
    if isinstance(found, float):
        return found == expected or abs(found - expected) <= 1e-9 * max(abs(expected), 1.0)
    if name in ("avg", "quantile_cont") and hasattr(found, "year"):
        return abs((found - expected).total_seconds()) < 1.5e-6  # DuckDB goes through a double here
    return found == expected


@pytest.mark.parametrize(("keys", "filtered"), [*((k, True) for k in KEYS), *((k, False) for k in KEYS[:3])])
def test_agrees_with_duckdb(table: pa.Table, keys: list[str], filtered: bool) -> None:
    connection = duckdb.connect()
    connection.register("t", table)
    expected = connection.sql(_sql(keys, filtered)).to_arrow_table()
    found = Feeder(table, keys, filtered, coded=True).state([(0, 700), (700, ROWS)]).finish()
    assert found.num_rows == expected.num_rows
    for j, call in enumerate([*[(k, k, None) for k in keys], *CALLS]):
        pairs = zip(found.column(j).to_pylist(), expected.column(j).to_pylist(), strict=True)
        for row, (mine, theirs) in enumerate(pairs):
            assert _agrees(call, mine, theirs), (call, row, mine, theirs)


@pytest.mark.parametrize("keys", [k for k in KEYS if len(k) != 1 or k[0] in "sfi"], ids="-".join)
def test_any_split_and_merge_gives_the_sameipc_bytes(table: pa.Table, keys: list[str]) -> None:
    rng = np.random.default_rng(len(keys))
    whole = Feeder(table, keys, True, coded=True).state([(0, ROWS)]).finish()
    for trial in range(2):
        cuts = [0, *sorted(rng.integers(0, ROWS, 5)), ROWS]
        splits = list(itertools.pairwise(cuts))
        parts = []
        for k in range(3):
            mine = [splits[i] for i in rng.permutation(len(splits)) if i % 3 == k]
            parts.append(Feeder(table, keys, True, coded=bool((k + trial) % 2)).state(mine))
        total = parts[1]
        total.merge(parts[2])
        total.merge(parts[0])
        assert ipc_bytes(total.finish()) == ipc_bytes(whole)
        restored = GroupBy.from_tables(total.key_types, total.aggs, total.to_tables())
        assert ipc_bytes(restored.finish()) == ipc_bytes(whole)


class FakeRanks:
    """Threads that meet, as the ranks of the executor do."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = Barrier(size)
        self.board: list[object] = [None] * size

    def swap(self, rank: int, value: object) -> list:
        """What every rank gives, in rank order."""
        self.board[rank] = value
        self.barrier.wait(30)
        given = list(self.board)
        self.barrier.wait(30)
        return given


class FakePeers:
    """One thread's view of them."""

    def __init__(self, ranks: FakeRanks, rank: int) -> None:
        self.ranks, self.rank = ranks, rank

    def exchange(self, table: pa.Table, by: list[str]) -> pa.Table:
        rows = zip(*(table.column(name).to_pylist() for name in by), strict=True)
        owners = np.array([hash(repr(row)) % self.ranks.size for row in rows] if by else [0] * table.num_rows, int)
        given = self.ranks.swap(self.rank, (tuple(by), table, owners))
        assert len({by for by, _, _ in given}) == 1
        return pa.concat_tables([t.filter(pa.array(o == self.rank)) for _, t, o in given])

    def everyone(self, table: pa.Table) -> pa.Table:
        return pa.concat_tables(self.ranks.swap(self.rank, table))

    def reduce(self, values: np.ndarray, operation: str) -> np.ndarray:
        return {"sum": np.add, "min": np.minimum, "max": np.maximum}[operation].reduce(
            self.ranks.swap(self.rank, values)
        )


@pytest.mark.parametrize("pairs_per_group", [0, 1 << 40], ids=["searched", "exchanged"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("keys", [[], ["s"], ["k", "f"]], ids="-".join)
def test_shuffle_gives_every_group_one_owner(
    table: pa.Table, monkeypatch, keys: list[str], size: int, pairs_per_group: int
) -> None:
    monkeypatch.setattr(selection, "PAIRS_PER_GROUP", pairs_per_group)
    ranks = FakeRanks(size)

    def run(rank: int) -> pa.Table:
        begin, end = ROWS * rank // size, ROWS * (rank + 1) // size
        state = Feeder(table, keys, True, coded=True).state([(begin, end)] if rank != 1 else [])
        before = ipc_bytes(state.finish())
        owned = state.shuffle(FakePeers(ranks, rank))
        assert ipc_bytes(state.finish()) == before
        return owned.finish(emit_empty_global=rank == 0)

    with ThreadPoolExecutor(size) as pool:
        parts = pa.concat_tables(list(pool.map(run, range(size))))
    skip = (ROWS // size, ROWS * 2 // size) if size > 1 else (ROWS, ROWS)
    expected = Feeder(table, keys, True, coded=False).state([(0, skip[0]), (skip[1], ROWS)]).finish()
    assert parts.num_rows == expected.num_rows
    assert sorted(map(repr, parts.to_pylist())) == sorted(map(repr, expected.to_pylist()))

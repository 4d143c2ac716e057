"""GROUP BY with more groups than memory: the bytes of the answer that never left memory, at any number of ranks."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
import test_statements
from aggregate_data import CALLS, everything
from sql_cases import ORDERED, UNORDERED
from table_source import TableSource
from test_statements import oracle, serialised

from hpckit.sql import bind, parse_script
from hpckit.tables import group_merge, group_spill
from hpckit.tables.execute import RunOptions
from hpckit.tables.pipeline import AggregateSink
from hpckit.tables.table import Bound, Table, collect_all

pytestmark = pytest.mark.mpi

__all__ = ["oracle"]  # a fixture
GROUPING = [s for s in (*ORDERED, *UNORDERED) if "GROUP BY" in s or "DISTINCT" in s or "(" in s.split("FROM")[0]]
EVERYTHING = everything()
WORK_BYTES = 256 << 10
MEMORY_BYTES = 4 * WORK_BYTES


@pytest.fixture
def spilling(monkeypatch):
    """spilling(every, round_bytes): from now on states go to scratch at every so many batches, and rounds are small.

    Returns the number of groups of each state that went, on this rank.
    """
    spill, spills, calls = AggregateSink.spill, list[int](), itertools.count(1)

    def counted(self) -> None:
        spills.append(len(self.state))
        spill(self)

    def start(every: int = 3, round_bytes: int = 2 << 10) -> list[int]:
        monkeypatch.setattr(group_spill, "WORK_BYTES_MIN", WORK_BYTES)
        monkeypatch.setattr(group_merge, "ROUND_SHARE", WORK_BYTES // round_bytes)
        monkeypatch.setattr(group_spill.GroupLimit, "reached", lambda self, held_bytes: next(calls) % every == 0)
        monkeypatch.setattr(AggregateSink, "spill", counted)
        return spills

    return start


def collect(context, statement: str, source: TableSource, scratch: Path, memory_bytes: int | None = None) -> pa.Table:
    plan = bind(parse_script(statement)[0], lambda _: source.schema)
    bound = Bound(context, plan.source, source, RunOptions(scratch=scratch, memory_bytes=memory_bytes))
    return collect_all([Table(bound, plan.operators, plan.schema)], to="root")[0]


@pytest.mark.parametrize("statement", GROUPING)
def test_statement_as_duckdb_has_it(context, shared_path, oracle, record, monkeypatch, spilling, statement) -> None:
    spilling()
    monkeypatch.setattr(
        test_statements, "RunOptions", lambda scratch: RunOptions(scratch=scratch, memory_bytes=MEMORY_BYTES)
    )
    test_statements.test_statement(context, shared_path, oracle, record, statement)


def _every_call() -> str:
    words = []
    for name, column, fraction in CALLS:
        if name == "avg" and column in ("t", "d"):
            continue  # not in SQL
        arguments = column or ""
        if fraction is not None:
            arguments += f", {fraction}"
        words.append("count(*)" if name == "count_star" else _in_sql(name, arguments))
    return ", ".join(f"{word} AS a{i}" for i, word in enumerate(words))


def _in_sql(name: str, arguments: str) -> str:
    return f"count(DISTINCT {arguments})" if name == "count_distinct" else f"{name}({arguments})"


@pytest.mark.parametrize("keys", [[], ["s"], ["f"], ["t", "s"], ["b", "f"]], ids=lambda keys: "-".join(keys) or "none")
def test_every_aggregate(context, shared_path, record, spilling, keys: list[str]) -> None:
    """All aggregates at once over keys of every type, NULL, NaN and zeros among them."""
    group = f" GROUP BY {', '.join(keys)}" if keys else ""
    statement = f"SELECT {', '.join([*keys, _every_call()])} FROM x{group}"
    source = TableSource(EVERYTHING.slice(0, 600), 100)
    expected = collect(context, statement, source, shared_path)
    spills = spilling(15, 40 << 10)
    found = collect(context, statement, source, shared_path, 16 * MEMORY_BYTES)
    assert sum(spills) > 0
    if context.is_root:
        assert serialised(found) == serialised(expected)
        record(serialised(found))


SHAPES = [
    "SELECT k, i, count(*) n, sum(f) FROM x GROUP BY k, i",
    "SELECT k, i, count(*) n FROM x GROUP BY k, i HAVING n > 1 ORDER BY n DESC, i LIMIT 7",
    "SELECT i, count(*) n FROM x GROUP BY i ORDER BY n DESC",
    "SELECT i % 10 r, n FROM (SELECT i, count(*) n FROM x GROUP BY i) ORDER BY r",
    "SELECT i, max(s) FROM x GROUP BY i LIMIT 9 OFFSET 3",
    "SELECT DISTINCT s, b, f FROM x",
    "SELECT n, count(*), first(i), last(i) FROM (SELECT i, count(*) n FROM x GROUP BY i) GROUP BY n",
    "SELECT b, sum(n), count(DISTINCT m) FROM (SELECT b, p, count(*) n, min(t) m FROM x GROUP BY b, p) GROUP BY b",
    "SELECT count(*), sum(n), median(n) FROM (SELECT p, i, count(*) n FROM x GROUP BY p, i)",
    "SELECT upper(s) u, n + 1 FROM (SELECT s, p, count(*) n FROM x GROUP BY s, p) WHERE n > 0 ORDER BY u, n LIMIT 20",
    "SELECT p FROM x GROUP BY p HAVING count(*) > 5",
    "SELECT count(DISTINCT p), count(DISTINCT s), median(f), quantile_disc(i, 0.2) FROM x",
    "SELECT count(DISTINCT p) FROM x WHERE p < 0",
]


@pytest.mark.parametrize("statement", SHAPES)
def test_what_follows(context, shared_path, record, spilling, statement: str) -> None:
    """Whatever stands behind the groups gives the same rows in the same order."""
    source = TableSource(EVERYTHING, 100)
    expected = collect(context, statement, source, shared_path)
    spilling()
    found = collect(context, statement, source, shared_path, MEMORY_BYTES)
    if context.is_root:
        assert serialised(found) == serialised(expected)
        record(serialised(found))


def test_only_one_rank_spills(context, shared_path, record, spilling) -> None:
    """One rank's states on disk and the others' in memory meet."""
    statement = "SELECT p, count(*) n, avg(f) a FROM x GROUP BY p"
    expected = collect(context, statement, TableSource(EVERYTHING, 100), shared_path)
    spilling(3 if context.rank == context.size - 1 else 1 << 30)
    found = collect(context, statement, TableSource(EVERYTHING, 100), shared_path, MEMORY_BYTES)
    if context.is_root:
        assert serialised(found) == serialised(expected)
        record(serialised(found))


def test_partitions_are_split_while_that_helps(context, shared_path, spilling, monkeypatch) -> None:
    """Rounds stay within the limit; equal keys cannot be split, and come together."""
    rounds, sizes = group_merge.rounds, []

    def watched(ctx, spilled, limit_bytes):
        for where, parts in rounds(ctx, spilled, limit_bytes):
            if where is spilled:  # else it was seen where it was split
                held = int(ctx.allreduce(where.sizes()[parts], "sum").sum())
                sizes.append((held, limit_bytes, where.level))
            yield where, parts

    monkeypatch.setattr(group_merge, "rounds", watched)
    spilling(20, 256)
    table = pa.table({"k": np.append(np.arange(3000), np.zeros(3000, np.int64))})
    found = collect(
        context, "SELECT k, count(*) n FROM t GROUP BY k", TableSource(table, 500), shared_path, MEMORY_BYTES
    )
    assert len(sizes) > 10 and max(level for _, _, level in sizes) >= 1
    assert sum(held > limit for held, limit, _ in sizes) <= 1
    if context.is_root:
        assert found.column("k").to_pylist() == list(range(3000))
        assert found.column("n").to_pylist() == [3001] + [1] * 2999


def test_a_full_disk_is_one_error(context, shared_path, spilling, monkeypatch) -> None:
    """On every rank, and no file stays."""
    import errno

    from hpckit.errors import OutputError
    from hpckit.sinks import scratch

    write, calls = scratch.pwrite_all, []

    def full(fd: int, data: bytes, offset: int) -> None:
        calls.append(offset)
        if context.rank == context.size - 1 and len(calls) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(fd, data, offset)

    monkeypatch.setattr(scratch, "pwrite_all", full)
    spilling()
    source = TableSource(EVERYTHING, 100)
    with pytest.raises(OutputError, match=r"disk full while spilling the groups of a query.*--scratch"):
        collect(context, "SELECT p, count(*) FROM x GROUP BY p", source, shared_path, MEMORY_BYTES)
    context.allreduce(0)  # all ranks have given up before anyone looks
    assert not list(shared_path.iterdir())

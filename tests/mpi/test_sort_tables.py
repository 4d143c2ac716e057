"""Sorting tables over ranks: balanced and stable whatever the input, the same bytes in memory and from runs on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hpckit.errors import OutputError, QueryError
from hpckit.sorting import bounds, external, runs, tables
from hpckit.sorting.tables import sort_everywhere
from hpckit.tables.plan import Source
from hpckit.tables.sort_files import sort_source

pytestmark = pytest.mark.mpi

ROWS = 8_000


def numbers(how: str) -> np.ndarray:
    """int64, shape (ROWS,): the input in which the ranks hold equal or unequal parts."""
    rng = np.random.default_rng(4)
    return {
        "equal": np.zeros(ROWS, np.int64),
        "sorted": np.arange(ROWS),
        "reversed": np.arange(ROWS)[::-1].copy(),
        "zipf": np.minimum(rng.zipf(1.2, ROWS), 1000),
        "random": rng.integers(-(2**62), 2**62, ROWS),
    }[how]


def part(context, table: pa.Table, where: str) -> pa.Table:
    """This rank's rows: an even share, or all on the last rank."""
    if where == "last":
        return table if context.rank == context.size - 1 else table.slice(0, 0)
    begin, end = (table.num_rows * k // context.size for k in (context.rank, context.rank + 1))
    return table.slice(begin, end - begin)


@pytest.mark.parametrize("how", ["equal", "sorted", "reversed", "zipf", "random"])
@pytest.mark.parametrize("where", ["even", "last"])
@pytest.mark.parametrize("kind", ["int64", "string"])
def test_balanced_and_stable(context, monkeypatch, record, how: str, where: str, kind: str) -> None:
    monkeypatch.setattr(tables, "SAMPLES_PER_RANK", 1000)
    values = numbers(how)
    keys = pa.array(values) if kind == "int64" else pa.array([f"/log/node-{v:020d}" for v in values])
    table = pa.table({"key": keys, "row": np.arange(ROWS)})
    result = sort_everywhere(context, part(context, table, where), [("key", True, False)])
    assert context.allreduce(result.num_rows, "max") <= 1.05 * ROWS / context.size + 1
    assert context.allreduce(result.num_rows, "min") >= 0.9 * ROWS / context.size - 1
    whole = context.gather_table(result)
    if context.is_root:
        order = np.argsort(-values, kind="stable") if kind == "int64" else None
        if order is None:
            strings = keys.to_pylist()
            order = sorted(range(ROWS), key=strings.__getitem__, reverse=True)
        assert whole.column("row").to_pylist() == list(order)
    record(whole.column("row").to_numpy().tobytes() if context.is_root else b"")


def test_bounds_are_exact_where_they_must_be(context) -> None:
    """All rows as sample, cuts at every row but a few: every round of refinement narrows to single rows."""
    table = part(context, pa.table({"key": np.zeros(500, np.int64), "x": np.arange(500)}), "last")
    ordering = tables.Ordering.of(table, tables.as_keys([("key", False, False)], table.schema)).agree(context)
    first = context.exscan_sum(table.num_rows)
    sample = bounds.with_origin(table, ordering, np.arange(table.num_rows), first)
    found = bounds.find_bounds(context, sample, ordering, np.arange(1, 500))
    assert found.column(ordering.origin).to_pylist() == list(range(1, 500))
    nothing = bounds.find_bounds(context, sample.slice(0, 0), ordering, np.arange(1, 500))
    assert nothing.num_rows == 0


def test_unbalanced_samples_are_taken_again(context, monkeypatch) -> None:
    monkeypatch.setattr(tables, "SAMPLES_PER_RANK", 2)
    table = part(context, pa.table({"key": numbers("random")}), "even")
    result = sort_everywhere(context, table, [("key", False, False)])
    assert context.allreduce(result.num_rows, "max") <= 1.05 * ROWS / context.size + 1


@pytest.fixture
def source(context, shared_path: Path) -> Path:
    """A file of several row groups with strings, NULLs, ties."""
    path = shared_path / "in.parquet"
    if context.is_root:
        rng = np.random.default_rng(8)
        nodes = [f"R{i:02d}-é" for i in rng.integers(0, 40, ROWS)]
        table = pa.table(
            {
                "node": pa.array(nodes, pa.string(), mask=rng.random(ROWS) < 0.1),
                "x": pa.array(rng.integers(0, 9, ROWS), mask=rng.random(ROWS) < 0.1),
                "text": [f"message {i}" * (i % 3) for i in range(ROWS)],
                "row": np.arange(ROWS),
            }
        )
        pq.write_table(table, path, row_group_size=700)
    context.allgather(None)  # the file is there before anyone reads
    return path


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_the_same_file_in_memory_and_from_runs(
    context, monkeypatch, record, source: Path, shared_path: Path, target: str
) -> None:
    monkeypatch.setattr(external, "resident_bytes", lambda: 0)
    monkeypatch.setattr(runs, "BLOCK_BYTES", 4000)
    spilled: list[int] = []
    write = runs.Runs.write
    monkeypatch.setattr(runs.Runs, "write", lambda *args: spilled.append(args[1].num_rows) or write(*args))
    digests = []
    for memory in (1 << 30, 120_000):
        path = shared_path / f"{memory}-{target}"
        by = [("node", True, True), ("x", False, False)]
        done = sort_source(
            context, Source("parquet", (str(source),)), by, path, memory_bytes=memory, scratch=shared_path / "scratch"
        )
        assert done.rows == ROWS
        assert context.allreduce(len(spilled), "max") == 0 or memory == 120_000
        digests.append(hashlib.sha256(path.read_bytes()).digest())
    assert context.allreduce(len(spilled), "max") > 1
    assert digests[0] == digests[1]
    record(digests[0])
    if context.is_root and target == "out.parquet":
        found, rows = pq.read_table(path), pq.read_table(source).to_pylist()
        rows.sort(key=lambda r: (r["x"] is None, r["x"] or 0))
        rows.sort(key=lambda r: (r["node"] is None, (r["node"] or "").encode()), reverse=True)
        assert found.column("row").to_pylist() == [r["row"] for r in rows]
        assert not list((shared_path / "scratch").iterdir())


def test_a_full_disk_on_one_rank_ends_all(context, monkeypatch, source: Path, shared_path: Path) -> None:
    monkeypatch.setattr(external, "resident_bytes", lambda: 0)
    if context.rank == context.size - 1:

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(OutputError, match="disk full while spilling the rows to sort"):
        sort_source(
            context, Source("parquet", (str(source),)), ["node"], shared_path / "out.csv", memory_bytes=120_000,
            scratch=shared_path / "scratch",
        )  # fmt: skip
    context.allgather(None)  # everybody has failed before root looks
    if context.is_root:
        assert not (shared_path / "out.csv").exists() and not list((shared_path / "scratch").iterdir())


def test_unknown_and_unsortable_columns_on_all_ranks(context, source: Path, shared_path: Path) -> None:
    with pytest.raises(QueryError, match="nod: expected one of the columns node, x, text, row"):
        sort_source(context, Source("parquet", (str(source),)), ["nod"], shared_path / "out.csv")
    lists = pa.table({"l": pa.array([[1]], pa.list_(pa.int64()))})
    with pytest.raises(QueryError, match="ORDER BY l: rows cannot be ordered by it"):
        sort_everywhere(context, lists, [("l", False, False)])

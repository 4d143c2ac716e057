"""The spool: rows come back in order from memory and from scratch, whatever the pieces, and disk trouble is named."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sink_tables import rows_of, spool_of, wild_table

from hpckit.errors import InternalError, MemoryBudgetError, OutputError
from hpckit.sinks import scratch
from hpckit.sinks.canonical import canonical_batch
from hpckit.tables.spool import BATCH_BYTES_MAX, BATCH_ROWS_MAX, Spool


def everything(spool: Spool) -> pa.Table:
    return pa.Table.from_batches([b for o in spool.ordinals() for b in spool.read(o)], spool.schema)


@pytest.mark.parametrize("budget_bytes", [1 << 30, 20_000, 0])
@pytest.mark.parametrize("pieces", [1, 7, 300])
def test_rows_come_back_in_order(tmp_path: Path, budget_bytes: int, pieces: int) -> None:
    table = wild_table(5000)
    spool = spool_of(table, pieces, budget_bytes, tmp_path)
    assert spool.total_rows == 5000
    assert spool.ordinals() == sorted([3 * i for i in range(pieces)] + [3 * i + 1 for i in range(pieces)])
    for _ in range(2):
        assert rows_of(everything(spool)) == rows_of(table)
    assert sum(spool.rows(o) for o in spool.ordinals()) == 5000
    assert (spool.spilled_bytes > 0) == (budget_bytes < 1 << 30)
    assert os.listdir(tmp_path) == []
    spool.close()
    spool.close()


def test_an_ordinal_grows_by_many_small_appends(tmp_path: Path) -> None:
    table = wild_table(2000)
    spool = Spool(table.schema, tmp_path, 50_000)
    for start in range(0, 1000, 3):
        spool.append(5, table.slice(start, min(3, 1000 - start)))
        spool.append(2, table.slice(1000 + start, min(3, 1000 - start)))
    assert spool.ordinals() == [2, 5]
    expected = rows_of(table)
    assert rows_of(everything(spool)) == expected[1000:] + expected[:1000]


def test_batches_are_small(tmp_path: Path) -> None:
    spool = Spool(pa.schema([("n", pa.int64())]), tmp_path, 1 << 30)
    spool.append(0, pa.table({"n": np.arange(3 * BATCH_ROWS_MAX + 1)}))
    sizes = [batch.num_rows for batch in spool.read(0)]
    assert max(sizes) <= BATCH_ROWS_MAX and sum(sizes) == 3 * BATCH_ROWS_MAX + 1


@pytest.mark.parametrize("budget_bytes", [1 << 20, 64 << 20])
def test_wide_rows_are_not_held_beyond_the_budget(tmp_path: Path, budget_bytes: int) -> None:
    """400 rows of 256 KiB, 100 MiB in all: far fewer than rows make a batch."""
    spool = Spool(pa.schema([("text", pa.string())]), tmp_path, budget_bytes)
    before = pa.total_allocated_bytes()
    held = 0
    for i in range(400):
        spool.append(0, pa.table({"text": [f"{i:08d}" * (1 << 15)]}))
        held = max(held, pa.total_allocated_bytes() - before)
    assert held < budget_bytes + 2.5 * BATCH_BYTES_MAX
    batches = [(batch.nbytes, batch.column(0).to_pylist()) for batch in spool.read(0)]
    assert max(size for size, _ in batches) <= 1.1 * BATCH_BYTES_MAX
    assert [text[:8] for _, texts in batches for text in texts] == [f"{i:08d}" for i in range(400)]
    spool.close()


def test_size_and_statistics_do_not_depend_on_the_cuts(tmp_path: Path) -> None:
    table = wild_table(3000)
    whole, cut = spool_of(table, 1), spool_of(table, 40, 0, tmp_path)
    texts = [t or "" for t in table.column("text").to_pylist() + table.column("é/%.valid").to_pylist()]
    assert whole.nbytes == cut.nbytes == 3000 * (4 + 8 + 8 + 1 + 8 + 4 + 8 + 4) + sum(len(t.encode()) for t in texts)
    assert cut.statistics()[:, 1:].sum(axis=0).tolist() == whole.statistics()[:, 1:].sum(axis=0).tolist()
    nulls = [column.null_count for column in table.columns]
    assert whole.statistics()[:, 2::2].sum(axis=0).tolist() == nulls


def test_types_are_brought_to_those_of_storage() -> None:
    given = pa.table(
        {
            "i": pa.array([1, None], pa.int16()),
            "f": pa.array([0.5, None], pa.float32()),
            "s": pa.array(["a", None]).dictionary_encode(),
            "l": pa.array(["a", None], pa.large_string()),
            "t": pa.array([1, None], pa.timestamp("s", "UTC")),
        }
    )
    spool = Spool(given.schema, None, 1 << 20)
    spool.append(0, given)
    assert [str(f.type) for f in spool.schema] == ["int64", "double", "string", "string", "timestamp[us]"]
    assert [row[:4] for row in rows_of(everything(spool))] == [("1", "0.5", "'a'", "'a'"), ("None",) * 4]


def test_small_slices_do_not_keep_large_buffers() -> None:
    spool = Spool(pa.schema([("s", pa.string())]), None, 1 << 20)
    before = pa.total_allocated_bytes()
    for i in range(20):
        spool.append(i, pa.table({"s": pa.array(["x" * 100] * 20_000)}).slice(50, 10))
    spool.append(99, pa.table({"s": ["end"]}))
    assert pa.total_allocated_bytes() - before < 4_000_000


def test_wrong_columns_are_refused() -> None:
    spool = Spool(pa.schema([("a", pa.int64())]), None, 1 << 20)
    with pytest.raises(OutputError, match="'b'"):
        spool.append(0, pa.table({"b": [1]}))
    with pytest.raises(OutputError, match="column 'a'"):
        spool.append(0, pa.table({"a": ["x"]}))


def test_without_scratch_the_budget_is_an_error() -> None:
    spool = Spool(pa.schema([("a", pa.int64())]), None, 1000)
    with pytest.raises(MemoryBudgetError, match="--scratch"):
        spool.append(0, pa.table({"a": np.arange(100_000)}))


def test_full_scratch_disk_names_folder_and_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: object, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch.os, "pwrite", full)
    spool = Spool(pa.schema([("a", pa.int64())]), tmp_path, 1000)
    with pytest.raises(OutputError, match=r"disk full while spilling.* bytes needed.* free"):
        spool.append(0, pa.table({"a": np.arange(100_000)}))
    assert os.listdir(tmp_path) == []


def test_scratch_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="--scratch"):
        scratch.ScratchFile(tmp_path / "file", "a test")


def test_closed_spool_refuses_rows() -> None:
    spool = Spool(pa.schema([("a", pa.int64())]), None, 1000)
    spool.close()
    with pytest.raises(InternalError, match="closed"):
        spool.append(0, pa.table({"a": [1]}))


def test_pwrite_all_survives_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    calls = []

    def short(fd: int, data: memoryview, offset: int) -> int:
        calls.append(offset)
        return pwrite(fd, data[: max(1, len(data) // 3)], offset)

    monkeypatch.setattr(scratch.os, "pwrite", short)
    fd = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    data = bytes(range(256)) * 10
    scratch.pwrite_all(fd, data, 7)
    os.close(fd)
    assert (tmp_path / "x").read_bytes() == bytes(7) + data
    assert len(calls) > 3


@pytest.mark.parametrize("nulls", [0.0, 0.3, 1.0])
def test_canonical_arrays_have_one_spelling(nulls: float) -> None:
    table = wild_table(1001, nulls=nulls)
    noisy = pa.concat_tables([table.slice(500, 501), table]).slice(501, 1001)
    filtered = pa.concat_tables([table, table]).filter(pa.array(np.arange(2002) < 1001))
    one, two, three = (canonical_batch(t) for t in (table, noisy, filtered))
    assert rows_of(pa.Table.from_batches([two])) == rows_of(table)
    for a, b, c in zip(one.columns, two.columns, three.columns, strict=True):
        buffers = [[None if x is None else x.to_pybytes() for x in array.buffers()] for array in (a, b, c)]
        assert buffers[0] == buffers[1] == buffers[2]
        assert a.offset == b.offset == 0 and (a.buffers()[0] is None) == (a.null_count == 0)

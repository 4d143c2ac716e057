"""Files of every kind: what other readers get, whole or not at all, and errors that say what to do."""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import resource
import signal
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from sink_tables import rows_of, spool_of, wild_table

from hpckit import sinks
from hpckit.errors import MemoryBudgetError, OutputError
from hpckit.sinks import blocks, columnar, hdf5, scratch, target
from hpckit.spmd import world

KINDS = ["csv", "tsv", "jsonl", "ndjson", "csv.gz", "jsonl.zst", "parquet", "arrow", "feather", "h5", "hdf5"]


def write(table: pa.Table, path: Path, **options: bool) -> int:
    spool = spool_of(table, 5)
    try:
        return sinks.write(world(), spool, path, **options)
    finally:
        spool.close()


@pytest.mark.parametrize("rows", [0, 1, 3000])
@pytest.mark.parametrize("nulls", [0.0, 0.2, 1.0])
def test_columnar_files_read_back(tmp_path: Path, rows: int, nulls: float) -> None:
    table = wild_table(rows, nulls=nulls).append_column("nothing", pa.nulls(rows))
    for kind in ("parquet", "arrow", "h5"):
        assert write(table, tmp_path / f"x.{kind}") == rows
    found = {
        "parquet": pq.read_table(tmp_path / "x.parquet"),
        "arrow": pa.ipc.open_file(tmp_path / "x.arrow").read_all(),
        "h5": hdf5.read(tmp_path / "x.h5"),
    }
    for kind, read in found.items():
        assert read.schema.equals(table.schema), kind
        assert rows_of(read) == rows_of(table), kind
    assert sorted(os.listdir(tmp_path)) == ["x.arrow", "x.h5", "x.parquet"]


def test_duckdb_reads_parquet_and_compressed_text(tmp_path: Path) -> None:
    table = wild_table(2000).select(["text", "whole", "yes", "time"])
    for kind in ("parquet", "csv.gz", "csv.zst"):
        write(table, tmp_path / f"x.{kind}")
    expected = duckdb.from_arrow(table).fetchall()
    assert duckdb.sql(f"SELECT * FROM '{tmp_path}/x.parquet'").fetchall() == expected
    types = "{'text': 'VARCHAR', 'whole': 'BIGINT', 'yes': 'BOOLEAN', 'time': 'TIMESTAMP'}"
    for kind in ("csv.gz", "csv.zst"):
        sql = f"SELECT * FROM read_csv('{tmp_path}/x.{kind}', header = true, quote = '\"', columns = {types})"
        found = duckdb.sql(sql).fetchall()
        assert [row[1:] for row in found] == [row[1:] for row in expected]


def test_compressed_text_is_the_plain_text_in_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpckit.sinks.text.COMPRESSED_BLOCK_ROWS", 100)
    table = wild_table(1050)
    for kind in ("csv", "csv.gz", "csv.zst"):
        write(table, tmp_path / f"x.{kind}")
    plain = (tmp_path / "x.csv").read_bytes()
    assert gzip.decompress((tmp_path / "x.csv.gz").read_bytes()) == plain
    with open(tmp_path / "x.csv.zst", "rb") as file:
        assert zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read() == plain


def test_hdf5_is_readable_without_hpckit(tmp_path: Path) -> None:
    table = pa.table(
        {
            "node": ["R1", None, "", "é"],
            "a/b": [1, 2, 3, None],
            "time": pa.array([0, 1, 2, 3], pa.timestamp("us")),
            "ok": [True, None, False, True],
            "x": [0.5, float("nan"), 2.0, 3.0],
            "x.valid": [1, 2, 3, 4],
        }
    )
    write(table, tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert list(file.attrs["columns"]) == table.column_names
        assert list(file.attrs["datasets"]) == ["node", "a%2Fb", "time", "ok", "x", "x%2Evalid"]
        assert file.attrs["rows"] == 4
        offsets, data = file["node/offsets"][:], file["node/bytes"][:].tobytes()
        assert [data[a:b].decode() for a, b in itertools.pairwise(offsets)] == ["R1", "", "", "é"]
        assert file["node.valid"][:].tolist() == [1, 0, 1, 1]
        assert file["a%2Fb"][:].tolist() == [1, 2, 3, 0] and file["a%2Fb.valid"][:].tolist() == [1, 1, 1, 0]
        assert file["time"].attrs["unit"] == "us" and file["time"].dtype == np.int64
        assert file["ok"][:].tolist() == [1, 0, 0, 1]
        assert "x.valid" not in file and file["x%2Evalid"][:].tolist() == [1, 2, 3, 4]
        assert file["x"].chunks is None
    assert rows_of(hdf5.read(tmp_path / "x.h5")) == rows_of(table)


def test_several_tables_in_one_hdf5_file(tmp_path: Path) -> None:
    tables = {"by severity": wild_table(50), "hours": wild_table(0), "nodes": wild_table(700, 1)}
    spools = {name: spool_of(table, 3) for name, table in tables.items()}
    assert sinks.write_many(world(), spools, tmp_path / "r.h5") == {"by severity": 50, "hours": 0, "nodes": 700}
    for name, table in tables.items():
        assert rows_of(hdf5.read(tmp_path / "r.h5", name)) == rows_of(table)
    with pytest.raises(OutputError, match="exists already"):
        sinks.write_many(world(), spools, tmp_path / "r.h5")
    with pytest.raises(OutputError, match=r"\.h5 only"):
        sinks.write_many(world(), spools, tmp_path / "r.csv")
    with pytest.raises(OutputError, match="'a/b'"):
        sinks.write_many(world(), {"a/b": spools["nodes"]}, tmp_path / "s.h5")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_large_results_become_a_folder_of_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(columnar, "ONE_FILE_BYTES_MAX", 1000)
    monkeypatch.setattr(blocks, "BLOCK_ROWS_MAX", 256)
    table = wild_table(1000)
    write(table, tmp_path / f"x.{kind}")
    parts = sorted((tmp_path / f"x.{kind}").iterdir())
    assert [p.name for p in parts] == [f"part-{i:05d}.{kind}" for i in range(4)]
    read = pq.read_table if kind == "parquet" else lambda path: pa.ipc.open_file(path).read_all()
    found = [read(path) for path in parts]
    assert [t.num_rows for t in found] == [256, 256, 256, 232]
    assert rows_of(pa.concat_tables(found)) == rows_of(table)
    with pytest.raises(OutputError, match="exists already"):
        write(table, tmp_path / f"x.{kind}")
    write(table.slice(0, 300), tmp_path / f"x.{kind}", overwrite=True)
    assert len(os.listdir(tmp_path / f"x.{kind}")) == 2 and len(os.listdir(tmp_path)) == 1
    monkeypatch.setattr(columnar, "ONE_FILE_BYTES_MAX", 1 << 30)
    write(table, tmp_path / f"x.{kind}", overwrite=True)  # a file in the place of the folder
    assert (tmp_path / f"x.{kind}").is_file() and len(os.listdir(tmp_path)) == 1


def test_row_groups_are_cut_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS_MAX", 256)
    write(wild_table(600), tmp_path / "x.parquet")
    metadata = pq.ParquetFile(tmp_path / "x.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [256, 256, 88]
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_wide_rows_make_smaller_blocks() -> None:
    assert blocks.block_rows(10**9, 10**9 * 100) == 1 << 20
    assert blocks.block_rows(10**6, 10**6 * 1000) == 1 << 17
    assert blocks.block_rows(10**6, 10**6 * 1000, 1 << 16) == 1 << 16
    assert blocks.block_rows(0, 0) == 1 << 20
    assert blocks.block_rows(3, 3 << 30) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_existing_target_needs_overwrite(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        write(wild_table(10), path)
    assert path.read_bytes() == b"precious"
    write(wild_table(10), path, overwrite=True)
    assert path.read_bytes() != b"precious" and os.listdir(tmp_path) == [f"x.{kind}"]


def test_a_target_that_appears_meanwhile_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    monkeypatch.setattr(target, "sync_path", lambda _: path.write_text("somebody else's"))
    with pytest.raises(OutputError, match="came into being"):
        write(wild_table(10), path)
    assert path.read_text() == "somebody else's" and os.listdir(tmp_path) == ["x.csv"]


@pytest.mark.parametrize(
    "name,message",
    [
        ("x.xlsx", "names no kind of output"),
        ("x", "names no kind of output"),
        (".csv", "names no kind of output"),
        ("x.parquet.gz", "names no kind of output"),
        ("missing/x.csv", "does not exist"),
        ("file/x.csv", "does not exist"),
        ("full.csv", "holds 'keep.txt'"),
    ],
)
def test_bad_targets_are_refused_before_work(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full.csv").mkdir()
    (tmp_path / "full.csv" / "keep.txt").write_text("")
    with pytest.raises(OutputError, match=message) as caught:
        sinks.check_target(tmp_path / name, overwrite=True)
    assert name in str(caught.value)


def test_unwritable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target.os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)
    with pytest.raises(OutputError, match="cannot be written by this user"):
        sinks.check_target(tmp_path / "x.csv")


def test_link_to_a_file_keeps_being_one(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write(wild_table(3), tmp_path / "link.csv", overwrite=True)
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "real.csv").read_text() != "old"


def test_file_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(wild_table(3), tmp_path / "x.parquet")
    finally:
        os.umask(before)
    assert (tmp_path / "x.parquet").stat().st_mode & 0o777 == 0o640


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """Writes beyond this file size fail with EFBIG, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, kind: str) -> None:
    with file_size_limit(20_000), pytest.raises(OutputError, match=f"x.{kind}.*free in") as caught:
        write(wild_table(20_000), tmp_path / f"x.{kind}")
    assert "bytes needed" in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_full_disk_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(columnar, "ONE_FILE_BYTES_MAX", 1000)
    monkeypatch.setattr(blocks, "BLOCK_ROWS_MAX", 1024)
    with file_size_limit(2_000), pytest.raises(OutputError, match="free in"):
        write(wild_table(3_000), tmp_path / f"x.{kind}")
    assert os.listdir(tmp_path) == []


def test_an_old_output_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("old")

    def full(fd: int, data: object, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(scratch.os, "pwrite", full)
    with pytest.raises(OutputError, match=r"no space left on device: [\d,]+ bytes needed, [\d,]+ free in"):
        write(wild_table(100), tmp_path / "x.csv", overwrite=True)
    assert os.listdir(tmp_path) == ["x.csv"] and (tmp_path / "x.csv").read_text() == "old"


@pytest.mark.parametrize("kind", ["csv", "jsonl.gz"])
def test_text_beyond_the_budget_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("hpckit.sinks.text.COMPRESSED_BLOCK_ROWS", 200)
    table = wild_table(5000)
    sinks.write(world(), spool_of(table, 9), tmp_path / f"a.{kind}")
    monkeypatch.setattr("hpckit.sinks.text.MEMORY_BYTES_MIN", 70_000)
    monkeypatch.setattr("hpckit.sinks.text.COPY_BYTES", 700)
    sinks.write(world(), spool_of(table, 9, 500, tmp_path), tmp_path / f"b.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert sorted(os.listdir(tmp_path)) == [f"a.{kind}", f"b.{kind}"]
    if kind == "jsonl.gz":
        spool = spool_of(table, 9)
        spool.budget_bytes = 0
        with pytest.raises(MemoryBudgetError, match="--scratch"):
            sinks.write(world(), spool, tmp_path / "c.jsonl.gz")
        assert len(os.listdir(tmp_path)) == 2


def test_blocks_on_their_way_are_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is up to 128 MiB: what hands it on keeps no second reference to it."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS_MAX", 100)
    spool = spool_of(pa.table({"x": pa.array(np.arange(1000.0))}), 3)
    seen = 0
    for received in blocks.Regrouping(world(), spool, lambda block: 0):
        assert received is not None
        held = weakref.ref(received[1])
        del received
        assert held() is None
        seen += 1
    spool.close()
    assert seen == 10

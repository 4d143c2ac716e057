"""Output by all ranks: the same bytes at any rank count, and one error everywhere with nothing left behind."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from sink_tables import rows_of, wild_table

from hpckit import sinks
from hpckit.errors import InternalError, OutputError
from hpckit.sinks import blocks, columnar, hdf5, scratch, terminal
from hpckit.sinks.blocks import Regrouping
from hpckit.tables.spool import Spool

pytestmark = pytest.mark.mpi

KINDS = ["csv", "tsv", "jsonl", "csv.gz", "jsonl.zst", "parquet", "arrow", "h5"]
HOW = ["dealt", "uneven", "last"]


def shared_spool(context, table: pa.Table, how: str, scratch_folder: Path | None = None) -> Spool:
    """`table` in 13 chunks of uneven size, some empty, dealt out to the ranks, most to one rank, or all to the last."""
    spool = Spool(table.schema, scratch_folder, 3_000 if scratch_folder else 1 << 26)
    rng = np.random.default_rng(4)
    inner = np.sort(rng.choice(table.num_rows + 1, 12))
    ends = np.concatenate(([0], inner, [table.num_rows]))
    for i in range(13):
        owner = {"dealt": i % context.size, "uneven": min(i // 3, context.size - 1), "last": context.size - 1}[how]
        if owner == context.rank:
            spool.append(10 * i, table.slice(ends[i], ends[i + 1] - ends[i]))
    return spool


def contents(path: Path) -> bytes:
    if path.is_dir():
        return b"".join(p.name.encode() + p.read_bytes() for p in sorted(path.iterdir()))
    return path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", HOW)
def test_the_same_bytes_at_any_rank_count(context, shared_path, tmp_path, monkeypatch, record, kind, how) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS_MAX", 128)
    monkeypatch.setattr("hpckit.sinks.text.COMPRESSED_BLOCK_ROWS", 100)
    table = wild_table(1_000)
    spool = shared_spool(context, table, how, tmp_path / "scratch" if how == "dealt" else None)
    path = shared_path / f"x.{kind}"
    assert sinks.write(context, spool, path) == 1_000
    assert context.on_root(os.listdir, shared_path) in ([path.name], ["scratch", path.name], [path.name, "scratch"])
    if context.is_root:
        once = contents(path)
        alone = shared_path / "twin"
        alone.mkdir()
    sinks.write(context, shared_spool(context, table, "last"), shared_path / "twin" / path.name)
    if context.is_root:
        assert contents(alone / path.name) == once
    record(once if context.is_root else b"")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("how", HOW)
def test_parts_are_cut_by_rows_never_by_rank(context, shared_path, monkeypatch, record, kind, how) -> None:
    monkeypatch.setattr(columnar, "ONE_FILE_BYTES_MAX", 1_000)
    monkeypatch.setattr(blocks, "BLOCK_ROWS_MAX", 64)
    table = wild_table(700)
    sinks.write(context, shared_spool(context, table, how), shared_path / f"x.{kind}")
    if context.is_root:
        parts = sorted((shared_path / f"x.{kind}").iterdir())
        assert len(parts) == 11
        read = pq.read_table if kind == "parquet" else lambda path: pa.ipc.open_file(path).read_all()
        assert rows_of(pa.concat_tables([read(part) for part in parts])) == rows_of(table)
        record(contents(shared_path / f"x.{kind}"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows,nulls", [(0, 0.0), (40, 1.0), (40, 0.0)])
def test_no_rows_and_all_null(context, shared_path, record, kind, rows, nulls) -> None:
    table = wild_table(rows, nulls=nulls).append_column("nothing", pa.nulls(rows))
    sinks.write(context, shared_spool(context, table, "dealt"), shared_path / f"x.{kind}")
    if context.is_root:
        record(contents(shared_path / f"x.{kind}"))


def test_several_tables_in_one_file(context, shared_path, record) -> None:
    tables = {"a": wild_table(300), "nothing": wild_table(0), "b": wild_table(77, 5)}
    spools = {name: shared_spool(context, table, "uneven") for name, table in tables.items()}
    assert sinks.write_many(context, spools, shared_path / "r.h5") == {"a": 300, "nothing": 0, "b": 77}
    if context.is_root:
        for name, table in tables.items():
            assert rows_of(hdf5.read(shared_path / "r.h5", name)) == rows_of(table)
        record(contents(shared_path / "r.h5"))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("rows", [1, 7, 1_000])
def test_regrouping_brings_every_block_in_order(context, monkeypatch, how, rows) -> None:
    monkeypatch.setattr(blocks, "SENT_BLOCKS_MAX", 2)
    table = wild_table(60)
    blocks_seen = []
    for received in Regrouping(context, shared_spool(context, table, how), lambda b: b % context.size, rows):
        if received is not None:
            block, part = received
            assert block % context.size == context.rank
            assert rows_of(part) == rows_of(table.slice(block * rows, rows))
            blocks_seen.append(block)
    assert blocks_seen == list(range(context.rank, -(-60 // rows), context.size))


def test_two_owners_of_a_chunk_are_an_error(context, shared_path) -> None:
    if context.size == 1:
        pytest.skip("one rank cannot disagree with itself")
    spool = Spool(pa.schema([("a", pa.int64())]), None, 1 << 20)
    spool.append(7, pa.table({"a": [1]}))
    with pytest.raises(InternalError, match="chunk 7"):
        sinks.write(context, spool, shared_path / "x.csv")
    assert context.on_root(os.listdir, shared_path) == []


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "h5"])
def test_disk_full_on_one_rank(context, shared_path, monkeypatch, kind) -> None:
    def full(fd: int, data: object, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("hpckit.sinks.text.COMPRESSED_BLOCK_ROWS", 20)
    if context.rank == context.size - 1:
        monkeypatch.setattr(scratch.os, "pwrite", full)
    with pytest.raises(OutputError, match=r"bytes needed, [\d,]+ free in"):
        sinks.write(context, shared_spool(context, wild_table(500), "last"), shared_path / f"x.{kind}")
    assert context.on_root(os.listdir, shared_path) == []


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("is_split", [False, True])
def test_block_writer_fails_on_one_rank(context, shared_path, monkeypatch, kind, is_split) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS_MAX", 64)
    if is_split:
        monkeypatch.setattr(columnar, "ONE_FILE_BYTES_MAX", 1_000)

    def full(self: columnar.BlockFile, batch: pa.RecordBatch) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if context.rank == (context.size - 1 if is_split else 0):
        monkeypatch.setattr(columnar.BlockFile, "write", full)
    with pytest.raises(OutputError, match=r"no space left.*free in"):
        sinks.write(context, shared_spool(context, wild_table(500), "dealt"), shared_path / f"x.{kind}")
    assert context.on_root(os.listdir, shared_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_existing_target_is_refused_everywhere(context, shared_path, kind) -> None:
    spool = shared_spool(context, wild_table(20), "dealt")
    path = shared_path / f"x.{kind}"
    sinks.write(context, spool, path)
    with pytest.raises(OutputError, match="exists already"):
        sinks.write(context, spool, path)
    assert sinks.write(context, spool, path, overwrite=True) == 20


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("stream_class", [io.StringIO, Screen])
def test_printing(context, monkeypatch, record, how, stream_class) -> None:
    monkeypatch.setattr(terminal, "STREAM_ROWS", 90)
    monkeypatch.setenv("COLUMNS", "120")
    stream = stream_class()
    assert terminal.show(context, shared_spool(context, wild_table(500), how), stream, 20) == 500
    assert context.is_root or stream.getvalue() == ""
    record(stream.getvalue().encode())


def test_a_reader_that_goes_away_stops_all_ranks(context, monkeypatch) -> None:
    monkeypatch.setattr(terminal, "STREAM_ROWS", 50)
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        assert terminal.show(context, shared_spool(context, wild_table(2_000), "dealt"), stream) == 2_000

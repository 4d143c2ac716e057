"""`hpckit convert`: every kind of input into every kind of output, the same rows and bytes at any rank count."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import h5py
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from conftest import launch, run

CONVERT = [sys.executable, "-m", "hpckit.cli.main", "convert"]
KINDS = ("parquet", "csv", "jsonl", "arrow", "h5")


def convert(*argv: object) -> subprocess.CompletedProcess[str]:
    """hpckit convert on one process."""
    return run([*CONVERT, *(str(word) for word in argv)], 60)


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Strings with separators, quotes and newlines, NULL beside '', integers at their limits, times before 1970."""
    texts = ["plain", "", None, 'say "hi"', "com,ma", "new\nline", "Größe €", " blanks ", "tab\there", "NULL", "0"]
    number = list(range(500))
    return pa.table(
        {
            "i": pa.array(number),
            "text": pa.array([texts[i % len(texts)] for i in number]),
            "n": pa.array([None if i % 7 == 0 else (-1) ** i * (2**62 + i) for i in number]),
            "x": pa.array([None if i % 11 == 0 else i / 7 for i in number]),
            "at": pa.array([(i - 250) * 10**12 + i for i in number], pa.timestamp("us")),
            "flag": pa.array([None if i % 5 == 0 else i % 2 == 0 for i in number]),
        }
    )


@pytest.fixture(scope="module")
def files(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x.parquet of small row groups, and what convert makes of it in every other kind."""
    folder = tmp_path_factory.mktemp("convert")
    pq.write_table(rows, folder / "x.parquet", row_group_size=50)
    for kind in KINDS[1:]:
        done = convert(folder / "x.parquet", folder / f"x.{kind}")
        assert done.returncode == 0, done.stderr
        assert "500 lines read = 500 parsed" in done.stderr and f"wrote {folder}/x.{kind}" in done.stderr
    return folder


def test_others_read_the_same_rows(files: Path, rows: pa.Table) -> None:
    assert pa.feather.read_table(files / "x.arrow").equals(rows)
    for path in ("x.csv", "x.jsonl"):
        theirs = duckdb.sql(f"SELECT * FROM '{files}/{path}' ORDER BY i").to_arrow_table()
        assert theirs.column("n").to_pylist() == rows.column("n").to_pylist()
        assert theirs.column("x").to_pylist() == rows.column("x").to_pylist()
        assert [bool(v) if v is not None else None for v in theirs.column("flag").to_pylist()] == rows.column(
            "flag"
        ).to_pylist()
        assert theirs.column("at").cast(pa.timestamp("us")).to_pylist() == rows.column("at").to_pylist()
    assert [json.loads(line)["text"] for line in (files / "x.jsonl").read_text().splitlines()] == rows.column(
        "text"
    ).to_pylist()
    with h5py.File(files / "x.h5") as file:
        assert file["i"][:].tolist() == list(range(500))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_as_it_was(files: Path, rows: pa.Table, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "back.parquet"
    done = convert(files / f"x.{kind}", out, "--split-size", "997")
    assert done.returncode == 0, done.stderr
    back = pq.read_table(out).select(rows.column_names)
    assert back.num_rows == 500
    for name in rows.column_names:
        ours = back.column(name).cast(rows.schema.field(name).type).to_pylist()
        assert ours == rows.column(name).to_pylist(), name


def test_the_same_bytes_at_any_rank_count(files: Path, tmp_path: Path, same_at_any_rank_count) -> None:
    data = (files / "x.csv").read_bytes()
    cut = data.index(b"\n", data.index(b"new\nline", len(data) // 2) + 6) + 1
    (tmp_path / "part1.csv").write_bytes(data[:cut])
    (tmp_path / "part2.csv.gz").write_bytes(gzip.compress(data[: data.index(b"\n") + 1] + data[cut:]))
    argv = [
        "hpckit",
        "convert",
        tmp_path / "part1.csv",
        tmp_path / "part2.csv.gz",
        "{out}/all.csv",
        "--split-size",
        "211",
    ]
    assert same_at_any_rank_count([*argv, "-q"], "all.csv") == data


def test_logs_with_rejects(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(
        "".join(f"2024-01-02 03:04:{i % 60:02} {'INFO' if i % 3 else 'ERROR'} message {i}\n" for i in range(300))
        + "junk\n"
    )
    argv = [log, tmp_path / "app.parquet", "--format", "{time:%Y-%m-%d %H:%M:%S} {level} {message:rest}"]
    done = launch(2, ["hpckit", "convert", *argv, "--rejects", tmp_path / "bad.csv", "--split-size", "500"])
    assert done.returncode == 0, done.stderr
    assert "301 lines read = 300 parsed + 0 continuation + 1 rejected + 0 blank" in done.stderr
    assert pq.read_table(tmp_path / "app.parquet").column("message").to_pylist() == [f"message {i}" for i in range(300)]
    assert "junk" in (tmp_path / "bad.csv").read_text()
    done = convert(*argv, "--overwrite", "--max-rejects", "0")
    assert done.returncode == 2 and "--max-rejects 0" in done.stderr


def test_mistakes(files: Path, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("a\n")
    mistakes = {
        (files / "x.csv",): "give the input and the output",
        (tmp_path / "x.log", tmp_path / "o.csv"): "--format",
        (files / "x.csv", tmp_path / "o.doc"): "ending",
        (files / "x.csv", files / "x.jsonl"): "exists already",
        (files / "none.csv", tmp_path / "o.csv"): "no such file",
        (files / "x.csv", tmp_path / "no" / "o.csv"): "does not exist",
        (tmp_path / "x.log", tmp_path / "o.csv", "--format", "bgl"): "fits none of 1 lines",
    }
    for argv, message in mistakes.items():
        done = convert(*argv)
        assert done.returncode == 2 and message in done.stderr, (argv, done.stderr)
        assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["x.log"]

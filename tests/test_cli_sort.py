"""`hpckit sort`: records and tables, --check, errors, and nothing left behind by signals or a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import launch, run
from record_cases import left_behind, twin

from hpckit.errors import QueryError
from hpckit.sorting.key_text import parse_keys

SORT = [sys.executable, "-m", "hpckit.cli.main", "sort"]


def sort(*argv: object) -> subprocess.CompletedProcess[str]:
    """hpckit sort on one process."""
    return run([*SORT, *(str(word) for word in argv)], 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """in.dat: 20,000 generated records; x.parquet: a table with NULLs, ties and texts that look like numbers."""
    folder = tmp_path_factory.mktemp("sort")
    generate = [sys.executable, "-m", "hpckit.cli.main", "generate", "records"]
    made = run([*generate, str(folder / "in.dat"), "--rows", "20k"], 60)
    assert made.returncode == 0 and "20,000 records, 2,000,000 bytes" in made.stderr, made.stderr
    rng = np.random.default_rng(5)
    rows = 5000
    table = pa.table(
        {
            "node": pa.array([f"{i:03d}" for i in rng.integers(0, 40, rows)], mask=rng.random(rows) < 0.05),
            "time": pa.array(rng.integers(0, 10**6, rows), pa.timestamp("us")),
            "x": pa.array(np.round(rng.normal(size=rows), 2), mask=rng.random(rows) < 0.1),
            "odd name, really": pa.array(rng.integers(0, 9, rows)),
            "row": pa.array(np.arange(rows)),
        }
    )
    pq.write_table(table, folder / "x.parquet", row_group_size=700)
    return folder


def test_generated_records_have_the_layout_and_distinct_keys(folder: Path) -> None:
    data = np.fromfile(folder / "in.dat", np.uint8).reshape(-1, 100)
    assert bytes(data[12_345, 10:48]) == b"\x00\x11" + b"%032X" % 12_345 + b"\x88\x99\xaa\xbb"
    assert (data[:, 96:] == np.frombuffer(b"\xcc\xdd\xee\xff", np.uint8)).all()
    assert len({bytes(row[:10]) for row in data}) == len(data)
    assert abs(data[:, :10].mean() - 127.5) < 1


def test_records_are_the_same_at_any_rank_count(folder: Path, same_at_any_rank_count) -> None:
    argv = ["hpckit", "sort", str(folder / "in.dat"), "{out}/x", "--records", "100", "--key", "10"]
    written = same_at_any_rank_count(argv, "x")
    data = np.fromfile(folder / "in.dat", np.uint8).reshape(-1, 100)
    assert written == twin(data, 10).tobytes()


def test_records_out_of_core_within_memory(folder: Path, tmp_path: Path) -> None:
    """20 MB on one process and a budget with room for about half of them."""
    many = [str(folder / "in.dat")] * 40
    probe = sort(folder / "in.dat", tmp_path / "x", "--records", 100, "--memory", "1MiB")
    assert probe.returncode == 2 and "give at least" in probe.stderr
    least_mib = float(probe.stderr.split("give at least ")[1].split(" MiB")[0])
    budget, profile = f"{int(least_mib) + 24}MiB", tmp_path / "profile.json"
    options = ["--records", 100, "--key", 10, "--memory", budget, "--scratch", tmp_path / "scratch"]
    done = sort(*many, tmp_path / "out", *options, "--profile", profile)
    assert done.returncode == 0 and "by way of scratch" in done.stderr, done.stderr
    assert json.loads(profile.read_text())["memory_peak_bytes"][0] <= (int(least_mib) + 24) << 20
    checked = sort(*many, tmp_path / "out", "--records", 100, "--key", 10, "--check")
    assert checked.returncode == 0 and "800,000 records in order" in checked.stderr, checked.stderr
    assert os.listdir(tmp_path / "scratch") == []


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_table_needs_some_memory(ranks: int, folder: Path, tmp_path: Path) -> None:
    command = [*SORT[1:], str(folder / "x.parquet"), str(tmp_path / "x.csv"), "--by", "row"]
    probe = launch(ranks, [sys.executable, *command, "--memory", "1KiB"], 60)
    assert probe.returncode == 2 and probe.stderr.count("leaves no room to sort in") == 1, probe.stderr
    assert not (tmp_path / "x.csv").exists()
    least_mib = float(probe.stderr.split("give at least ")[1].split(" MiB")[0])
    done = launch(ranks, [sys.executable, *command, "--memory", f"{int(least_mib) + 8}MiB"], 60)
    assert done.returncode == 0 and "5,000 rows sorted" in done.stderr, done.stderr


def test_check_of_records_fails_with_status_2(folder: Path) -> None:
    done = sort(folder / "in.dat", folder / "in.dat", "--records", 100, "--key", 10, "--check")
    assert done.returncode == 2
    assert "in.dat: not sorted: row " in done.stderr and "below" in done.stderr


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "arrow", "h5"])
def test_table_into_every_sink_and_checked(ending: str, folder: Path, tmp_path: Path) -> None:
    by = 'node, "odd name, really" desc, x desc nulls first'
    done = sort(folder / "x.parquet", tmp_path / f"y.{ending}", "--by", by)
    assert done.returncode == 0 and "5,000 rows sorted" in done.stderr, done.stderr
    checked = sort(folder / "x.parquet", tmp_path / f"y.{ending}", "--by", by, "--check")
    assert checked.returncode == 0 and "5,000 rows in order" in checked.stderr, checked.stderr
    if ending == "parquet":
        query = f"""SELECT row FROM '{folder}/x.parquet' ORDER BY node NULLS LAST, "odd name, really" DESC,
            x DESC NULLS FIRST, row"""
        expected = [row for (row,) in duckdb.sql(query).fetchall()]
        assert pq.read_table(tmp_path / "y.parquet").column("row").to_pylist() == expected


def test_check_of_tables_finds_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "x.parquet").sort_by("row")
    order = np.arange(len(table))
    order[[2500, 2501]] = [2501, 2500]
    changed = table.set_column(4, "row", pa.array(np.where(np.arange(5000) == 4999, 7777, np.arange(5000))))
    for name, wrong, text in (
        ("swapped", table.take(pa.array(order)), "not sorted: row 2,501 (from 0)"),
        ("changed", changed, "not the same ones: checksum"),
        ("short", table.slice(0, 4999), "4,999 rows, the input has 5,000"),
        ("columns", table.drop_columns(["x"]), "has the columns node, time, odd name, really, row"),
    ):
        pq.write_table(wrong, tmp_path / f"{name}.parquet", row_group_size=900)
        argv = [folder / "x.parquet", tmp_path / f"{name}.parquet", "--by", "row", "--check"]
        done = launch(3, ["hpckit", "sort", *argv]) if name == "swapped" else sort(*argv)
        assert done.returncode == 2 and text in done.stderr, f"{name}: {done.stderr}"


def test_logs_need_a_format(tmp_path: Path) -> None:
    log = tmp_path / "l.log"
    run([sys.executable, "-m", "hpckit.cli.main", "generate", "bgl", str(log), "--rows", "2000"], 60)
    done = sort(log, tmp_path / "l.parquet", "--format", "bgl", "--by", "node, time desc")
    assert done.returncode == 0 and "2,000 lines read" in done.stderr, done.stderr
    assert sort(log, tmp_path / "l.parquet", "--format", "bgl", "--by", "node, time desc", "--check").returncode == 0
    without = sort(log, tmp_path / "m.parquet", "--by", "node")
    assert without.returncode == 2 and "give --format" in without.stderr


def test_too_many_rejects_leave_no_output(tmp_path: Path) -> None:
    log = tmp_path / "l.log"
    run(
        [sys.executable, "-m", "hpckit.cli.main", "generate", "bgl", str(log), "--rows", "2000", "--malformed", "9%"],
        60,
    )
    argv = [log, tmp_path / "l.parquet", "--format", "bgl", "--by", "node", "--rejects", tmp_path / "bad.jsonl"]
    for limit, text in (("5%", "too many rejects (--max-rejects 5%)"), ("5", "more than 5 lines rejected")):
        done = sort(*argv, "--max-rejects", limit)
        assert done.returncode == 2 and text in done.stderr, done.stderr
        assert os.listdir(tmp_path) == ["l.log"]
    done = sort(*argv, "--max-rejects", "20%")
    assert done.returncode == 0 and sorted(os.listdir(tmp_path)) == ["bad.jsonl", "l.log", "l.parquet"], done.stderr


@pytest.mark.parametrize("command", ["sort", "convert"])
def test_rejects_do_not_replace_the_output(command: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    keys = ["--by", "x"] if command == "sort" else []
    argv = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--rejects", f"{tmp_path}/./b.csv", "--overwrite"]
    done = run([sys.executable, "-m", "hpckit.cli.main", command, *argv, *keys], 60)
    assert done.returncode == 2 and "b.csv: named for two outputs" in done.stderr, done.stderr
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["in.dat", "out"], "say what to sort by"),
        (["in.dat", "out", "--records", "100", "--by", "x"], "say what to sort by"),
        (["in.dat", "--records", "100"], "give the input and the output"),
        (["in.dat", "out", "--by", "x", "--key", "3"], "--key is the length of the keys of --records"),
        (["in.dat", "out", "--records", "100", "--format", "bgl"], "--format is for tables and logs"),
        (["in.dat", "out", "--records", "0"], "at least 1"),
        (["in.dat", "out", "--records", "99"], "2,000,000 bytes are 20,202 records of 99 bytes and 2 bytes more"),
        (["in.dat", "out", "--records", "100", "--key", "101"], "key length 101: expected 1 to 100"),
        (["nothing.dat", "out", "--records", "100"], "nothing.dat: cannot be read"),
        (["in.dat", "in.dat", "--records", "100"], "exists already"),
        (["in.dat", ".", "--records", "100", "--overwrite"], "is a folder"),
        (["x.parquet", "y.parquet", "--by", "nix"], "nix"),
        (["x.parquet", "y.parquet", "--by", "node descending"], "sort key 'node descending'"),
    ],
)
def test_requests_that_cannot_work(argv: list[str], text: str, folder: Path) -> None:
    before = sorted(os.listdir(folder))
    done = subprocess.run([*SORT, *argv], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and text in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and sorted(os.listdir(folder)) == before


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a", [("a", False, False)]),
        (" a ASC , b desc", [("a", False, False), ("b", True, False)]),
        ('"a, b" desc nulls first,c nulls last', [("a, b", True, True), ("c", False, False)]),
        ('"say ""hi""",desc desc', [('say "hi"', False, False), ("desc", True, False)]),
    ],
)
def test_key_texts(text: str, keys: list[tuple[str, bool, bool]]) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["", " ", "a,", ",a", "a b", "a desc first", "a nulls", 'a"b', "a, a desc", '"a'])
def test_texts_that_are_no_keys(text: str) -> None:
    with pytest.raises(QueryError, match="sort key"):
        parse_keys(text)


@pytest.mark.parametrize(
    ("copies", "memory", "text"),
    [
        (20, "1GiB", "file too large: 40,000,000 bytes needed"),
        (40, "1GiB", "file too large: 80,000,000 bytes needed"),
        (20, "160MiB", "disk full while spilling the sorted records"),
    ],
    ids=["written", "reserved", "spilled"],
)
def test_full_disk_is_one_error_and_leaves_nothing(copies: int, memory: str, text: str, folder: Path, tmp_path: Path):
    """A limit on the size of files stands for the full disk: writes beyond it fail the same way."""
    many = " ".join([str(folder / "in.dat")] * copies)
    options = f"--records 100 --scratch {tmp_path} --memory {memory}"
    command = f"ulimit -f 4000; exec {' '.join(SORT)} {many} {tmp_path}/out {options}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and text in done.stderr, done.stderr
    assert os.listdir(tmp_path) == []


SLOW_TABLE = """
from hpckit.sinks import columnar
from hpckit.tables import sort_files
from hpckit.tables.plan import Source
def stand(*_):
    time.sleep(60)
columnar.canonical_batch = stand
def main():
    sort_files.sort_source(world(), Source("parquet", ({table!r},)), ["row"], {out!r})
"""


@pytest.mark.parametrize("kind", ["records", "table"])
@pytest.mark.parametrize(("ranks", "number"), [(1, signal.SIGTERM), (1, signal.SIGINT), (2, signal.SIGTERM)])
def test_signals_leave_nothing(kind: str, ranks: int, number: int, folder: Path, tmp_path: Path) -> None:
    """A rank stands still in the middle of the work, so that the others wait for it inside MPI."""
    program = tmp_path / "slow.py"
    table = SLOW_TABLE.format(table=str(folder / "x.parquet"), out=str(tmp_path / "out.parquet"))
    head = "import sys, time\nfrom hpckit.spmd import program, world\n"
    program.write_text(
        f"{head}{table}sys.exit(program(main))\n"
        if kind == "table"
        else "import sys, time\n"
        "from hpckit.spmd import program, world\n"
        "from hpckit.sorting import records\n"
        "def stand(*_):\n"
        "    if world().rank == world().size - 1:\n"
        "        time.sleep(60)\n"
        "    return exchange(*_)\n"
        "exchange, records._exchange = records._exchange, stand\n"
        "def main():\n"
        f"    records.sort_records(world(), [{str(folder / 'in.dat')!r}], {str(tmp_path / 'out')!r}, 100, 10)\n"
        "sys.exit(program(main))\n"
    )
    from hpckit.spmd.mpirun import find_launcher

    argv, environ = [sys.executable, str(program)], dict(os.environ)
    if ranks > 1:
        argv, environ = find_launcher().command(ranks, argv, environ)
    # Started in the background of a script, the tests themselves ignore SIGINT, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 30
    while not left_behind(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_behind(tmp_path), "the sort did not begin"
    time.sleep(0.5)
    running.send_signal(number)
    running.communicate(timeout=30)
    assert running.returncode != 0
    deadline = time.monotonic() + 5  # a launcher may end before its ranks have
    while left_behind(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted(os.listdir(tmp_path)) == ["slow.py"]

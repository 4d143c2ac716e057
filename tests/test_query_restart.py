"""`hpckit query --checkpoint`: killed, stopped, taken up on another number of ranks, and the bytes of one quiet run."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import _contents, begin, launch, run

SCRIPT = """
SELECT node, count(*) AS n, count(DISTINCT level) d, first(time) f, quantile_cont(epoch, 0.9) q, avg(epoch) AS a
FROM read_logs('{log}', 'bgl') GROUP BY node ORDER BY n DESC, node LIMIT 50;
SELECT * FROM read_logs('{log}', 'bgl') WHERE level = 'FATAL' ORDER BY message, node LIMIT 100 OFFSET 5;
SELECT _offset, level FROM read_logs('{log}', 'bgl') LIMIT 1500;
SELECT node, time, level FROM read_logs('{log}', 'bgl') ORDER BY node DESC, time;
SELECT node, message FROM read_logs('{log}', 'bgl') WHERE level <> 'INFO';
SELECT count(*) AS n, sum(id) AS s FROM read_csv('{csv}');
SELECT kind, max(value) AS v, stddev(value) AS d FROM read_csv('{csv}') GROUP BY kind;
"""
RANKS = (1, 2, 3, 4, 8)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs, the script, and in `quiet/` what a run without any trouble gives."""
    path = tmp_path_factory.mktemp("restart")
    argv = [sys.executable, "-m", "hpckit.cli.main", "generate", "bgl", str(path / "b.log"), "--rows", "20000"]
    assert run([*argv, "--seed", "5", "--malformed", "1%"], 60).returncode == 0
    rows = "".join(f"{i},k{i % 7},{i * 37 % 1001 / 8}\n" for i in range(4000))
    (path / "t.csv").write_text("id,kind,value\n" + rows)
    (path / "q.sql").write_text(SCRIPT.format(log=path / "b.log", csv=path / "t.csv"))
    done = launch(2, argv_of(path, path / "quiet"))
    assert done.returncode == 0, done.stderr
    return path


def argv_of(job: Path, out: Path, *more: object) -> list[str]:
    """The command, with outputs into `out`."""
    out.mkdir(exist_ok=True)
    argv = ["hpckit", "query", "-f", job / "q.sql", "--output", f"{out}/", "--rejects", out / "rejects.jsonl"]
    return [str(word) for word in (*argv, "--split-size", "20000", *more)]


def end(process: subprocess.Popen[str]) -> str:
    """Kill all of it and return what it said."""
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate(timeout=30)[1]


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_and_taken_up_on_other_ranks(job: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    out, save = tmp_path / "out", ("--checkpoint", tmp_path / "ck", "--checkpoint-every", "0.02s")
    resumed = 0
    for _ in range(5):
        process = begin(rng.choice(RANKS), argv_of(job, out, *save))
        try:
            process.wait(timeout=rng.uniform(0.6, 1.8))
        except subprocess.TimeoutExpired:
            resumed += "going on from" in end(process)
            continue
        break
    done = launch(rng.choice(RANKS), argv_of(job, out, *save, "--overwrite"))
    assert done.returncode == 0, done.stderr
    assert _contents(out) == _contents(job / "quiet")
    assert not [name for name in os.listdir(tmp_path / "ck") if name.startswith("part")]


def test_a_kill_while_outputs_are_written(job: Path, tmp_path: Path) -> None:
    """What a killed start has left under temporary names is gone at the end, and nothing else is."""
    out, save = tmp_path / "out", ("--checkpoint", tmp_path / "ck", "--checkpoint-every", "0.02s")
    argv = argv_of(job, out, *save)
    assert launch(2, argv, HPCKIT_FAIL_AT="output.whole:0:3:KILL").returncode != 0
    left = [name for name in os.listdir(out) if name.endswith(".tmp")]
    assert left, "the kill came too late"
    (out / ".2.parquet.someone.tmp").write_text("not ours")
    done = launch(3, [*argv, "--overwrite"])
    assert done.returncode == 0, done.stderr
    (out / ".2.parquet.someone.tmp").unlink()
    assert _contents(out) == _contents(job / "quiet")


@pytest.mark.parametrize(("before", "after"), [(1, 4), (3, 2), (4, 8)])
def test_stopped_by_a_signal_and_taken_up(job: Path, tmp_path: Path, before: int, after: int) -> None:
    """SIGUSR1 to all ranks: saved, status 75, one message; the next start reads only the rest."""
    out, save = tmp_path / "out", ("--checkpoint", tmp_path / "ck", "--checkpoint-every", "0.02s")
    process = begin(before, argv_of(job, out, *save))
    deadline_s = time.monotonic() + 30
    while not list(tmp_path.glob("ck/part*")):
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert said.count("the same command goes on from there") == 1, said
    assert not list(out.glob("*")), "an interrupted job leaves no output"
    done = launch(after, argv_of(job, out, *save))
    assert done.returncode == 0, done.stderr
    found = re.search(r"going on from .*: ([\d,]+) of ([\d,]+) pieces", done.stderr)
    assert found and 0 < int(found[1].replace(",", "")) < int(found[2].replace(",", "")), done.stderr
    assert _contents(out) == _contents(job / "quiet")


def test_another_job_is_refused(job: Path, tmp_path: Path) -> None:
    save = ("--checkpoint", tmp_path / "ck", "--checkpoint-every", "0.02s")
    process = begin(1, argv_of(job, tmp_path / "out", *save))
    while not list(tmp_path.glob("ck/part*")):
        time.sleep(0.01)
    end(process)
    other = ["hpckit", "query", f"SELECT count(*) FROM read_logs('{job}/b.log', 'bgl')", *map(str, save)]
    for argv, what in ((other, "query"), (argv_of(job, tmp_path / "out", *save, "--year", "2004"), "reading")):
        done = launch(1, argv)
        assert done.returncode == 2 and what in done.stderr, done.stderr
        assert done.stderr.count("hpckit: error") == 1


def test_what_was_spilled_is_saved_too(job: Path, tmp_path: Path) -> None:
    """Sorted runs and results beyond --memory lie on scratch disk, and in the checkpoint all the same."""
    sql = f"SELECT node, message, _raw FROM read_logs('{job}/b.log', 'bgl') ORDER BY message DESC, node"
    argv = ["hpckit", "query", sql, "--split-size", "20000", "--memory", "100MB", "--scratch", str(tmp_path / "s")]
    quiet, out = tmp_path / "quiet.parquet", tmp_path / "out.parquet"
    assert launch(1, [*argv, "--output", str(quiet)]).returncode == 0
    save = ["--checkpoint", str(tmp_path / "ck"), "--checkpoint-every", "0.02s", "--output", str(out)]
    process = begin(2, [*argv, *save])
    while not list(tmp_path.glob("ck/part*")):
        time.sleep(0.01)
    end(process)
    done = launch(3, [*argv, *save, "--overwrite"])
    assert done.returncode == 0 and "going on from" in done.stderr, done.stderr
    assert out.read_bytes() == quiet.read_bytes()


@pytest.mark.parametrize(("path", "more"), [("s.log", ()), ("logs/", ("--files", "3")), ("s.log.gz", ())])
def test_generating_goes_on_too(tmp_path: Path, path: str, more: tuple[str, ...]) -> None:
    def argv_of_generate(folder: Path) -> list[str]:
        folder.mkdir(exist_ok=True)
        return ["hpckit", "generate", "syslog", f"{folder}/{path}", "--rows", "400000", "--seed", "7", *more]

    quiet, out = tmp_path / "quiet", tmp_path / "out"
    save = ["--checkpoint", str(tmp_path / "ck"), "--checkpoint-every", "0s"]
    assert launch(2, argv_of_generate(quiet)).returncode == 0
    process = begin(3, [*argv_of_generate(out), *save])
    while not list(tmp_path.glob("ck/manifest*")):
        assert process.poll() is None
        time.sleep(0.005)
    end(process)
    assert not [name for name in os.listdir(out) if not name.startswith(".")]
    done = launch(2, [*argv_of_generate(out), *save])
    assert done.returncode == 0 and "going on with" in done.stderr, done.stderr
    assert _contents(out) == _contents(quiet)
    assert [name for name in os.listdir(out) if name.startswith(".")] == []

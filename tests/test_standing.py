"""How far a batch job is: what ranks write down, what is made of it, and what happens where nothing can be written."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hpckit.batch import report
from hpckit.batch.jobstate import JobState
from hpckit.spmd import standing
from hpckit.spmd.progress import Progress
from hpckit.spmd.standing import STANDING_VARIABLE, Writer


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's file, of a process that has begun no scan yet."""
    monkeypatch.setattr(standing, "_scans", 0)
    monkeypatch.setattr(standing, "_saved_s", 0.0)
    for name in ("SLURM_RESTART_COUNT", "HPCKIT_ATTEMPT", "MPI_LOCALRANKID", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(STANDING_VARIABLE, str(tmp_path / "7.standing"))
    return tmp_path / "7.standing"


def write(monkeypatch: pytest.MonkeyPatch, path: Path, done: list[int], own: int = 1000, ranks: int = 0) -> None:
    """What ranks write that have done so many of their `own` bytes, two on a node."""
    for rank, count in enumerate(done):
        monkeypatch.setenv("SLURMD_NODENAME", f"n{rank // 2}")
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", str(rank))
        monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", str(rank % 2))
        monkeypatch.setattr(standing, "_scans", 0)
        writer = Writer(str(path), rank, ranks or len(done), "scan", own * (ranks or len(done)), own)
        writer._start_s -= 10
        writer._head["start_s"] -= 10
        writer._next_s = 0.0
        writer.update(count, count // 10)


def test_figures_of_all_ranks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(monkeypatch, path, [500, 100, 600, 800])
    assert sorted(os.listdir(f"{path}.d")) == ["n0", "n1"]
    now = standing.read(path)
    assert now is not None
    assert (now.label, now.ranks, now.bytes_total, now.bytes_done, now.lines) == ("scan", 4, 4000, 2000, 200)
    assert now.skew == pytest.approx(800 / 500)
    assert now.left_s == pytest.approx(90, rel=0.1)  # rank 1 needs nine times as long as it has worked
    assert [(share.rank, share.node) for share in now.shares] == [(0, "n0"), (1, "n0"), (2, "n1"), (3, "n1")]
    words = report.scanned(now)
    assert words.startswith("scan: 50 %, 0.0 of 0.0 MB, 200 lines, ") and words.endswith("90 s left")
    assert report.skew(now) == "most bytes of a rank / mean: 1.60; least of its share: rank 1 on n0, 10 %"
    assert not list(path.parent.glob("*.part"))


def test_ranks_that_have_not_written_are_estimated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(monkeypatch, path, [500, 100], ranks=4)
    now = standing.read(path)
    assert now is not None and now.bytes_done == 1200 and now.bytes_total == 4000


def test_what_another_life_or_attempt_left_does_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(monkeypatch, path, [900, 900, 900, 900])
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    write(monkeypatch, path, [100, 300])
    now = standing.read(path)
    assert now is not None and [share.bytes_done for share in now.shares] == [100, 300]
    monkeypatch.setenv("HPCKIT_ATTEMPT", "2")
    write(monkeypatch, path, [200])
    now = standing.read(path)
    assert now is not None and [share.bytes_done for share in now.shares] == [200] and now.skew is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": 1}', "\0" * 300])
def test_damage_is_no_news(path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    write(monkeypatch, path, [100])
    (Path(f"{path}.d") / "n0").write_bytes(b"\xff" * 100)
    now = standing.read(path)
    assert now is not None and now.shares == [] and now.bytes_done == 100
    path.write_text(text)
    assert standing.read(path) is None


def test_a_rank_writes_now_and_then_and_never_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Progress(0, "scan", 10_000, 10_000) as progress:
        for _ in range(1000):
            progress.update(1, 1)
    now = standing.read(path)
    assert now is not None and now.bytes_done == 1  # only the first is due: the others came within 2 s
    standing.saved()
    monkeypatch.setenv(STANDING_VARIABLE, "/dev/null/nowhere")
    with Progress(0, "scan", 10_000, 10_000) as progress:
        progress.update(1, 1)
    monkeypatch.delenv(STANDING_VARIABLE)
    assert standing.writer(0, 1, "scan", 1, 1) is None


def test_writing_costs_next_to_nothing(path: Path) -> None:
    """A rank writes once in 2 s: a hundred writes are those of 200 s, and take less than 0.1 % of that."""
    writer = Writer(str(path), 0, 1, "scan", 1000, 1000)
    start_s = time.process_time()
    for i in range(100):
        writer._next_s = 0.0
        writer.update(i, i)
    assert time.process_time() - start_s < 0.2


def test_many_ranks_write_less_often(path: Path) -> None:
    assert Writer(str(path), 0, 100, "scan", 1, 1)._interval_s == 2.0
    assert Writer(str(path), 0, 10_000, "scan", 1, 1)._interval_s == 20.0


def test_what_was_saved_last(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing.saved()
    write(monkeypatch, path, [100])
    now = standing.read(path)
    assert now is not None and time.time() - now.saved_s < 10


def test_a_job_that_does_not_run_has_no_standing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(monkeypatch, path, [100])
    assert report.progress(path, JobState("7", "PENDING", "controller"), standing.read(path)) == ""

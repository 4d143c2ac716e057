"""submit, status and cancel answer within 300 ms plus Slurm's own time, which wrappers around its programs measure."""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import SQL, Cluster, on_request, slow

from hpckit.frozen import frozen

on_request()
pytest_plugins = ["slurm_cluster"]

PROGRAMS = ("sbatch", "scontrol", "sstat", "sacct", "scancel", "squeue", "sinfo", "srun")
WRAPPER = """\
#!/bin/bash
begin=$EPOCHREALTIME
{path} "$@"
status=$?
echo "$begin $EPOCHREALTIME {name}" >>{log}
exit $status
"""
OWN_MAX_S = 0.3
GOES = 5


@pytest.fixture(scope="module")
def timed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the head of PATH, of programs that write down in `log` when they ran."""
    folder = tmp_path_factory.mktemp("timed")
    for name in PROGRAMS:
        path = shutil.which(name, path=cluster.environ["PATH"])
        (folder / name).write_text(WRAPPER.format(path=path, name=name, log=folder / "log"))
        (folder / name).chmod(0o755)
    yield folder


@frozen
class Went:
    """One go of a command: seconds in which no program of Slurm's ran, in all, and of processors (Slurm's included)."""

    own_s: float
    total_s: float
    cpu_s: float


def go(cluster: Cluster, timed: Path, *words: str) -> tuple[Went, str]:
    """How long `hpckit WORDS` took, and what it printed."""
    (timed / "log").write_text("")
    environ = {**cluster.environ, "PATH": f"{timed}:{cluster.environ['PATH']}"}
    script = Path(sys.executable).parent / "hpckit"
    before, begin_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    done = subprocess.run(
        [sys.executable, str(script), *words], env=environ, cwd=cluster.folder, capture_output=True, text=True,
        check=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    total_s, used = time.time() - begin_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy_s = end_s = 0.0
    for line in sorted((timed / "log").read_text().splitlines()):
        start_s, stop_s = map(float, line.split()[:2])
        busy_s += max(0.0, stop_s - max(start_s, end_s))
        end_s = max(end_s, stop_s)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return Went(total_s - busy_s, total_s, cpu_s), done.stdout


def test_answers_come_within_300_ms_plus_slurms_own_time(cluster: Cluster, timed: Path, log: Path) -> None:
    """A running query on two nodes, whose ranks write how far they are. On a busy machine only what processors did
    counts."""
    job = cluster.submit("-N", "2", "-t", "9", "--", "query", SQL, "--split-size", "64KiB", "-o", "a.csv", **slow(2.0))
    cluster.until("progress", lambda: "%" in cluster.status(job).get("progress", ""), 60)
    goes: dict[str, list[Went]] = {"submit": [], "status": [], "status (all)": [], "cancel": []}
    for i in range(GOES):
        words = ["submit", "--parsable", "-n", "1", "--begin=now+1hour", "--", "query", SQL, "-o", f"b{i}.csv"]
        went, submitted = go(cluster, timed, *words)
        goes["submit"].append(went)
        went, text = go(cluster, timed, "status", job)
        assert "scan: " in text and "most bytes of a rank / mean" in text, text
        assert len((timed / "log").read_text().splitlines()) == 2  # the controller and the nodes, at the same time
        goes["status"].append(went)
        goes["status (all)"].append(go(cluster, timed, "status")[0])
        goes["cancel"].append(go(cluster, timed, "cancel", submitted.strip())[0])
    cluster.hpckit("cancel", job)
    is_quiet = os.getloadavg()[0] < (os.cpu_count() or 1)
    print(f"\nload {os.getloadavg()[0]:.1f}; medians of {GOES} goes")
    for name, several in goes.items():
        own, total, cpu = (
            1000 * statistics.median(getattr(one, what) for one in several) for what in Went.__match_args__
        )
        print(f"{name}: {own:.0f} ms of its own, {total:.0f} ms in all; {cpu:.0f} ms of processors")
    for name, several in goes.items():
        assert min(one.cpu_s for one in several) < OWN_MAX_S, name
        assert not is_quiet or min(one.own_s for one in several) < OWN_MAX_S, name


def test_progress_and_skew_move_every_two_seconds(cluster: Cluster, log: Path) -> None:
    """One rank reads slowly: that is seen while it runs, and the files are gone when it has ended."""
    setup = cluster.folder / "hpckit.toml"
    setup.write_text('[submit]\nsetup = ["export HPCKIT_TEST_SLOW_RANK=1"]\n')
    query = ["query", SQL, "--split-size", "64KiB", "--output", "uneven.csv"]
    try:
        job = cluster.submit("-N", "2", "-t", "9", "--checkpoint-every", "1s", "--", *query, **slow(0.4))
    finally:
        setup.unlink()
    seen: list[dict[str, float]] = []

    def moved() -> bool:
        found = cluster.status(job)
        if found["standing"] and (not seen or found["standing"]["now_s"] != seen[-1]["now_s"]):
            seen.append(found["standing"])
        return len(seen) > 3 and found["standing"] and found["standing"]["skew"] > 1.2

    cluster.until("an uneven scan", moved, 60)
    assert all(later["bytes_done"] >= earlier["bytes_done"] for earlier, later in itertools.pairwise(seen))
    assert all(later["now_s"] - earlier["now_s"] > 1.9 for earlier, later in itertools.pairwise(seen))
    assert seen[-1]["ranks"] == 2 and seen[-1]["bytes_total"] == log.stat().st_size
    found = cluster.status(job)
    assert "least of its share: rank 1 on " in found["skew"] and " left (" in found["progress"]
    cluster.until("a checkpoint", lambda: " ago, " in cluster.status(job)["saved"], 60)
    cluster.wait(job, "COMPLETED")
    assert not list((cluster.folder / "uneven.csv.job").glob("*.standing*"))

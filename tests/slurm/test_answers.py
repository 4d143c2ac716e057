"""submit, status and cancel answer within 300 ms plus Slurm's own time, which wrappers around its programs measure."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import SQL, Cluster, on_request, slow

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


def own_s(cluster: Cluster, timed: Path, *words: str) -> tuple[float, float, str]:
    """(seconds of `hpckit WORDS` in which no program of Slurm's ran, seconds in all, what it printed)."""
    (timed / "log").write_text("")
    environ = {**cluster.environ, "PATH": f"{timed}:{cluster.environ['PATH']}"}
    script = Path(sys.executable).parent / "hpckit"
    begin_s = time.time()
    done = subprocess.run(
        [sys.executable, str(script), *words], env=environ, cwd=cluster.folder, capture_output=True, text=True,
        check=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    total_s = time.time() - begin_s
    busy_s = end_s = 0.0
    for line in sorted((timed / "log").read_text().splitlines()):
        start_s, stop_s = map(float, line.split()[:2])
        busy_s += max(0.0, stop_s - max(start_s, end_s))
        end_s = max(end_s, stop_s)
    return total_s - busy_s, total_s, done.stdout


def test_answers_come_within_300_ms_plus_slurms_own_time(cluster: Cluster, timed: Path, log: Path) -> None:
    """A running query on two nodes, whose ranks write how far they are; the best of some goes, for other jobs run."""
    job = cluster.submit("-N", "2", "-t", "9", "--", "query", SQL, "--split-size", "64KiB", "-o", "a.csv", **slow(2.0))
    cluster.until("progress", lambda: "%" in cluster.status(job).get("progress", ""), 60)
    figures: dict[str, list[tuple[float, float]]] = {"submit": [], "status": [], "status (all)": [], "cancel": []}
    for i in range(GOES):
        words = ["submit", "--parsable", "-n", "1", "--begin=now+1hour", "--", "query", SQL, "-o", f"b{i}.csv"]
        *seconds, printed = own_s(cluster, timed, *words)
        figures["submit"].append((seconds[0], seconds[1]))
        *seconds, text = own_s(cluster, timed, "status", job)
        assert "scan: " in text and "most bytes of a rank / mean" in text, text
        assert len((timed / "log").read_text().splitlines()) == 2  # the controller and the nodes, at the same time
        figures["status"].append((seconds[0], seconds[1]))
        *seconds, _ = own_s(cluster, timed, "status")
        figures["status (all)"].append((seconds[0], seconds[1]))
        *seconds, _ = own_s(cluster, timed, "cancel", printed.strip())
        figures["cancel"].append((seconds[0], seconds[1]))
    cluster.hpckit("cancel", job)
    print(f"\nload {os.getloadavg()[0]:.1f}")
    for name, pairs in figures.items():
        own, total = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"{name}: {1000 * own:.0f} ms of its own, {1000 * total:.0f} ms in all")
    for name, pairs in figures.items():
        assert min(own for own, _ in pairs) < OWN_MAX_S, name


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

"""A plugin for tests on a real Slurm: one testbed for all, hpckit's commands on it, and waiting that cannot hang.

Not a conftest.py: a second one would take the place of the other tests' under the name that they import.
PYTEST_DONT_REWRITE: test modules import it before pytest could rewrite its asserts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testbed import Testbed, missing

HERE = Path(__file__).parent
SAVER = HERE / "saver.py"
UNITS = 200
UNIT_S = 0.8
SQL = "SELECT node, level, count(*) AS n, min(time) AS first FROM read_logs('bgl.log', 'bgl') GROUP BY node, level"
SAFE = "n4,n5,n6"  # nodes that tests lose: the long jobs keep off them
LIMIT_S = 300.0
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


def on_request() -> None:
    """For the head of a test module: leave it out, unless HPCKIT_TEST_SLURM=1 (`make test-slurm`)."""
    if not os.environ.get("HPCKIT_TEST_SLURM"):
        pytest.skip("run by `make test-slurm`", allow_module_level=True)


class Cluster:
    """A testbed with hpckit's commands on it, of the interpreter `python`, started in `folder`."""

    def __init__(self, bed: Testbed, folder: Path, python: str = sys.executable) -> None:
        self.bed, self.folder, self.python = bed, folder, python
        script = Path(python).parent
        self.jobs: dict[str, str] = {}
        self.environ = {
            **bed.environ,
            "PATH": f"{script}:{bed.environ['PATH']}",
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    def hpckit(self, *words: object, timeout: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
        """`hpckit WORDS`, with its output."""
        return subprocess.run(
            [self.python, "-m", "hpckit.cli.main", *map(str, words)],
            env={**self.environ, **environ}, cwd=self.folder, capture_output=True, text=True, check=False,
            timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def submit(self, *words: object, **environ: str) -> str:
        """The number of the job that `hpckit submit --parsable WORDS` makes."""
        done = self.hpckit("submit", "--parsable", *words, **environ)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def status(self, job: str, **environ: str) -> Any:
        """`hpckit status --json`."""
        done = self.hpckit("status", job, "--json", **environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def wait(self, job: str, *states: str, limit_s: float = LIMIT_S) -> Any:
        """The status of a job once it is in one of `states` (all tasks of an array: the list of them)."""
        deadline_s = time.monotonic() + limit_s
        while True:
            found = self.status(job)
            now = [one["state"] for one in (found if isinstance(found, list) else [found])]
            if all(state in states for state in now):
                return found
            wrong = [state for state in now if state in ENDED and state not in states]
            if wrong or time.monotonic() > deadline_s:
                log = self.hpckit("logs", job).stdout
                pytest.fail(f"job {job} is {', '.join(now)}, not {' or '.join(states)}: {found}\n{log[-3000:]}")
            time.sleep(0.3)

    def until(self, what: str, check: Callable[[], object], limit_s: float = LIMIT_S) -> None:
        """Wait until `check()` is true."""
        deadline_s = time.monotonic() + limit_s
        while not check():
            if time.monotonic() > deadline_s:
                pytest.fail(f"{what}: not within {limit_s:.0f} s")
            time.sleep(0.2)


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """Six nodes of six CPUs."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Testbed(tmp_path_factory.mktemp("bed"), nodes=6, cpus=6) as started:
        yield started


@pytest.fixture(scope="session")
def cluster(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """hpckit's commands on the testbed."""
    return Cluster(bed, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="session")
def log(cluster: Cluster) -> Path:
    """A log of 20,000 lines."""
    path = cluster.folder / "bgl.log"
    done = cluster.hpckit("generate", "bgl", path, "--rows", "20000", "--seed", "7")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def answer(cluster: Cluster, log: Path) -> bytes:
    """What SQL gives on one process."""
    done = cluster.hpckit("query", SQL, "--output", "answer.csv")
    assert done.returncode == 0, done.stderr
    return (cluster.folder / "answer.csv").read_bytes()


def slow(seconds: float) -> dict[str, str]:
    """Variables that make each read of a query take so long."""
    return {"HPCKIT_TEST_READ_S": str(seconds), "PYTHONPATH": str(HERE / "slow")}


@pytest.fixture(scope="session")
def long_jobs(cluster: Cluster, answer: bytes) -> dict[str, str]:
    """Jobs of 80 s of work or more, all submitted at once, told to save when they have run for 40 to 70 s (Slurm looks
    at time limits every 30 s only): longer than their start takes where all start at once on a machine of two cores."""
    limit = ["-t", "2", "--save-before", "80", "--exclude", SAFE]
    for name, options in {
        "limit": ["-N", "2"],
        "chain": ["-n", "2", "--chain", "4"],
        "srun": ["-N", "1", "-n", "2", "--launcher", "srun"],
        "capped": ["-n", "2", "--restarts", "0"],
    }.items():
        cluster.jobs[name] = cluster.submit(
            *options, *limit, "--folder", cluster.folder / name, "--",
            "python", SAVER, f"{name}.txt", f"{name}.state", UNITS, UNIT_S,
        )  # fmt: skip
    for name, options in {"query": ["-N", "2"], "shrunk": ["-N", "2", "--restarts", "0"]}.items():
        query = ["query", SQL, "--split-size", "64KiB", "--output", f"{name}.csv"]
        cluster.jobs[name] = cluster.submit(*options, *limit, "--", *query, **slow(3.5))
    query[1], query[-1] = SQL.replace("bgl.log", "{input}"), "array-{stem}.csv"
    cluster.jobs["array"] = cluster.submit("-n", "2", *limit, "--each", "bgl.log", "--", *query, **slow(3.5))
    return cluster.jobs

"""Ranks that fail: one message, the right exit status, no hang; and a launcher that does not fit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import sys, time
import hpckit as hk
from hpckit.errors import FormatError, Interrupted
from hpckit.spmd import program, world

def main():
    c = world()
    last = c.size - 1
    mode = sys.argv[1]
    if mode == "bug" and c.rank == last:
        raise ZeroDivisionError("oops")
    if mode == "user" and c.rank == last:
        raise FormatError("line 3 is odd")
    if mode == "user-everywhere":
        raise FormatError("line 3 is odd")
    if mode == "exit" and c.rank == last:
        sys.exit(5)
    if mode == "requeue":
        raise Interrupted("saved")
    if mode == "status":
        return 7
    with c.agreed("work"):
        if mode == "agreed-user" and c.rank == last:
            raise FormatError("line 3 is odd")
        if mode == "agreed-bug" and c.rank == last:
            raise ZeroDivisionError("oops")
    c.allreduce(1)
    print("done")

if sys.argv[2] == "program":
    sys.exit(program(main))
main()
"""

# mode -> (exit status, what stderr says exactly once, whether the rank is named)
CASES = {
    "bug": (1, "ZeroDivisionError: oops", True),
    "user": (2, "hpckit: error: line 3 is odd", True),
    "user-everywhere": (2, "hpckit: error: line 3 is odd", False),
    "exit": (5, "", False),
    "requeue": (75, "saved", False),
    "status": (7, "", False),
    "agreed-user": (2, "hpckit: error: line 3 is odd", True),
    "agreed-bug": (1, "ZeroDivisionError: oops", True),
    "none": (0, "", False),
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("failures") / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("mode", CASES)
def test_one_message_and_the_right_status(mpirun, script: Path, mode: str, n: int) -> None:
    status, text, named = CASES[mode]
    done = mpirun(n, ["python", script, mode, "program"], timeout=20)
    assert done.returncode == status, done.stderr
    if text:
        assert done.stderr.count(text) == 1, done.stderr
        assert done.stderr.count("hpckit: ") == 1, done.stderr
    else:
        assert "hpckit" not in done.stderr, "the launcher may speak, we do not"
    if named and n > 1:
        assert f"rank {n - 1}" in done.stderr
    assert done.stdout.count("done") == (n if mode == "none" else 0)


@pytest.mark.parametrize("runner", [[], ["-m", "mpi4py"]], ids=["plain", "mpi4py"])
@pytest.mark.parametrize("mode", ["bug", "user", "agreed-user", "agreed-bug", "none"])
def test_a_script_without_program_fails_alike(mpirun, script: Path, mode: str, runner: list[str]) -> None:
    status, text, _ = CASES[mode]
    done = mpirun(3, ["python", *runner, script, mode, "script"], timeout=20)
    assert done.returncode == status, done.stderr
    assert not text or done.stderr.count(text) == 1, done.stderr


def test_worlds_of_one_are_refused(script: Path) -> None:
    env = {**os.environ, "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}
    done = subprocess.run(
        [sys.executable, str(script), "none", "program"],
        env=env,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "SLURM_STEP_NUM_TASKS says 4 processes" in done.stderr
    assert "instead of plain srun" in done.stderr
    done = subprocess.run(
        [sys.executable, str(script), "none", "program"],
        env={**env, "SLURM_PROCID": "2"}, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, ""), "one process of the step says it"


def test_closed_stdout_ends_quietly() -> None:
    code = (
        "import sys; from hpckit.spmd import program\n"
        "def main():\n    while True: print('line' * 1000)\n"
        "sys.exit(program(main))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    assert (process.wait(timeout=20), stderr) == (141, b"")


def test_run_ends_its_ranks_when_it_is_killed(tmp_path: Path) -> None:
    marker = tmp_path / "pids"
    code = (
        "import os, time; from hpckit.spmd import world\nc = world()\n"
        f"open({str(marker)!r} + str(c.rank), 'w').write(str(os.getpid()))\ntime.sleep(100)"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hpckit.cli.main", "run", "-n", "2", "--", "python", "-c", code],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    paths = [Path(f"{marker}{rank}") for rank in range(2)]
    _wait_for(lambda: all(p.exists() and p.read_text() for p in paths))
    pids = [int(p.read_text()) for p in paths]
    process.kill()
    process.wait()
    _wait_for(lambda: not any(_alive(pid) for pid in pids))


def test_run_hands_on_the_exit_status(mpirun, script: Path) -> None:
    for mode in ("user", "none", "bug"):
        done = subprocess.run(
            [sys.executable, "-m", "hpckit.cli.main", "run", "-n", "2", "--", "python", str(script), mode, "program"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == CASES[mode][0], done.stderr


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _wait_for(condition, timeout_s: float = 15) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.05)

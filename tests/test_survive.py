"""Jobs that go on when ranks die (Open MPI): who dies where, what is written, what is said, what is left behind.

They need Python with Open MPI's mpi4py in HPCKIT_OPENMPI_PYTHON, which `make test` makes and names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, run

PYTHON = os.environ.get("HPCKIT_OPENMPI_PYTHON", "")
PROGRAM = str(ROOT / "tests/survive_program.py")
TIMEOUT_S = 100  # machines may be busy; without a fault a job takes one second

pytestmark = [
    pytest.mark.mpirun,
    pytest.mark.skipif(not Path(PYTHON).is_file(), reason="HPCKIT_OPENMPI_PYTHON names no Python with Open MPI"),
]


def hpckit_run(ranks: int, words: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    """`hpckit run -n RANKS WORDS…` under Open MPI."""
    path = f"{Path(PYTHON).parent}:{os.environ['PATH']}"
    return run(
        [PYTHON, "-m", "hpckit.cli.main", "run", "-n", str(ranks), *words],
        TIMEOUT_S,
        PATH=path,
        PYTHONPATH=str(ROOT),
        **env,
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the program writes on one process, without any MPI."""
    out = tmp_path_factory.mktemp("alone") / "counts.csv"
    assert run([sys.executable, PROGRAM, str(out)], TIMEOUT_S, PYTHONPATH=str(ROOT)).returncode == 0
    return out.read_bytes()


# fail points -> (ranks left at the end, recoveries at least)
CASES = {
    "": (4, 0),
    "start:0:1": (3, 1),
    "accumulate:3:2": (3, 1),
    "exchange:1:1": (3, 1),
    "arrays:0:1": (3, 1),
    "merge:2:1": (3, 1),
    "output:0:1": (3, 1),
    "settle:1:1": (3, 1),
    "commit:0:1": (3, 1),
    "end:0:1": (3, 1),
    "exchange:0:1,exchange:2:1": (2, 1),
    "exchange:0:1,exchange:1:1,exchange:2:1": (1, 1),
    "accumulate:2:1,settle:1:2,commit:0:1": (2, 1),
}


@pytest.mark.parametrize("places", CASES)
def test_the_output_is_the_same_whoever_dies_where(places: str, expected: bytes, tmp_path: Path) -> None:
    left, recoveries = CASES[places]
    out = tmp_path / "counts.csv"
    done = hpckit_run(4, ["--survive", "--", "python", PROGRAM, str(out)], HPCKIT_FAIL_AT=places)
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes() == expected
    assert [p.name for p in tmp_path.iterdir()] == ["counts.csv"], "nothing else is left"
    ranks, epoch = (int(word) for word in done.stdout.split()[1::2])
    assert ranks == left
    assert epoch >= recoveries
    assert done.stderr.count("hpckit run: lost rank") == epoch
    assert "NBC_" not in done.stderr
    assert "MPI_ABORT" not in done.stderr


def test_a_rank_that_is_stopped_is_killed_and_replaced(expected: bytes, tmp_path: Path) -> None:
    out = tmp_path / "counts.csv"
    words = ["--survive", "--heartbeat", "2", "--", "python", PROGRAM, str(out)]
    done = hpckit_run(3, words, HPCKIT_FAIL_AT="merge:1:1:STOP")
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == expected
    assert "hpckit run: rank 1 on " in done.stderr
    assert " stood still for 2." in done.stderr
    assert done.stdout == "ranks 2 epoch 1\n"


def test_without_a_rank_left_the_job_has_failed_and_is_started_again(expected: bytes, tmp_path: Path) -> None:
    everybody = "exchange:0:1,exchange:1:1"
    out = tmp_path / "counts.csv"
    done = hpckit_run(2, ["--survive", "--", "python", PROGRAM, str(out)], HPCKIT_FAIL_AT=everybody)
    assert done.returncode == 1, "the launcher itself says 0"
    assert "no rank was left" in done.stderr
    assert not out.exists()
    words = ["--survive", "--restarts", "1", "--", "python", PROGRAM, str(out)]
    done = hpckit_run(2, words, HPCKIT_FAIL_AT=everybody)
    assert done.returncode == 0, done.stderr
    assert "hpckit run: attempt 1 of 2 failed after " in done.stderr
    assert out.read_bytes() == expected


ENDINGS = """
import os, sys, time
from hpckit.errors import FormatError, Interrupted, RankLost
from hpckit.spmd import program, world

def main():
    ctx, mode = world(), sys.argv[1]
    if mode == "together":  # as on a busy machine, where the first one's abort comes too late to silence the others
        sys.modules["hpckit.spmd.program"].STAGGER_S = 0.0
    try:
        while True:
            ctx.allreduce(1)
            if ctx.rank == 0:
                os.kill(os.getpid(), 9)
    except RankLost:
        if mode in ("unhandled", "together"):
            raise
        loss = ctx.recover()
    assert (loss.lost, loss.origins, loss.renumbered, loss.epoch) == ((0,), (0,), {1: 0, 2: 1, 3: 2, 4: 3}, 1)
    assert (ctx.rank, ctx.size, ctx.node_size, ctx.origins) == (ctx.origin - 1, 4, 4, (1, 2, 3, 4))
    if mode == "agreed":
        with ctx.agreed("reading"):
            if ctx.rank == 1:
                raise FormatError("line 3 is odd")
    if mode == "alone":
        if ctx.rank == 1:
            raise FormatError("line 3 is odd")
        while True:
            ctx.allreduce(1)
    if mode == "requeue":
        raise Interrupted("saved")
    if mode == "bug":
        raise ZeroDivisionError("oops")
    return 7

sys.exit(program(main))
"""


@pytest.mark.parametrize(
    ("mode", "status", "message"),
    [
        ("agreed", 2, "hpckit: error: line 3 is odd"),
        ("alone", 2, "hpckit: error: line 3 is odd"),
        ("requeue", 75, "hpckit: saved"),
        ("bug", 1, "ZeroDivisionError: oops"),
        ("status", 7, ""),
        ("unhandled", 1, "hpckit: a rank of this job died"),
        ("together", 1, "hpckit: a rank of this job died"),
    ],
)
def test_exit_status_and_message_after_a_loss(mode: str, status: int, message: str, tmp_path: Path) -> None:
    script = tmp_path / "endings.py"
    script.write_text(ENDINGS)
    start_s = time.monotonic()
    done = hpckit_run(5, ["--survive", "--", "python", str(script), mode])  # from four on MPI_Abort leaves ranks alive
    assert time.monotonic() - start_s < 60
    assert done.returncode == status, done.stderr
    if message:
        assert done.stderr.count(message) == 1, done.stderr
        assert done.stderr.count("hpckit: ") == 1, done.stderr


WAITING = """
import signal, sys, time
from hpckit.errors import Interrupted
from hpckit.spmd import program, world
got = []
if sys.argv[1] == "saves":
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: got.append(number))

def main():
    ctx = world()
    ctx.allreduce(1)
    if ctx.is_root:
        print("up", flush=True)
    while not ctx.allreduce(len(got), "max"):
        time.sleep(0.01)
    raise Interrupted("saved")

sys.exit(program(main))
"""


def start(words: list[str], script: Path) -> subprocess.Popen[str]:
    """A job of three ranks that has come up."""
    script.write_text(WAITING)
    path = f"{Path(PYTHON).parent}:{os.environ['PATH']}"
    job = subprocess.Popen(
        [PYTHON, "-m", "hpckit.cli.main", "run", "-n", "3", *words],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert job.stdout is not None
    assert job.stdout.readline() == "up\n"
    return job


@pytest.mark.parametrize("survive", [["--survive"], []], ids=["survive", "plain"])
@pytest.mark.parametrize(("program", "status"), [("saves", 75), ("ends", 143)])
def test_sigterm_reaches_the_ranks(program: str, status: int, survive: list[str], tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"
    job = start([*survive, "--restarts", "1", "--", "python", str(script), program], script)
    job.send_signal(signal.SIGTERM)
    _, stderr = job.communicate(timeout=TIMEOUT_S)
    assert job.returncode == status, stderr
    assert ("hpckit: saved" in stderr) == (program == "saves")
    assert "starting again" not in stderr


@pytest.mark.parametrize("victim", ["supervisor", "launcher"])
def test_no_rank_outlives_its_launcher(victim: str, tmp_path: Path) -> None:
    script = tmp_path / f"waiting_{os.getpid()}.py"
    job = start(["--survive", "--", "python", str(script), "ends"], script)
    assert len(processes(script.name)) >= 5, "three ranks, their launcher, and hpckit run"
    launcher = int(subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=True).stdout)
    os.kill(job.pid if victim == "supervisor" else launcher, signal.SIGKILL)
    job.communicate(timeout=TIMEOUT_S)
    assert job.returncode != 0
    deadline_s = time.monotonic() + TIMEOUT_S
    while processes(script.name) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert processes(script.name) == []


def processes(name: str) -> list[int]:
    """Those with `name` on their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if name.encode() in words:
            found.append(int(folder.name))
    return found


def test_the_suite_of_several_ranks_passes_where_ranks_may_die(tmp_path: Path) -> None:
    """Contexts, tables and arrays, with every wait the watched one."""
    suites = [str(ROOT / "tests/mpi" / name) for name in ("test_spmd_context.py", "test_spmd_tables.py")]
    words = ["python", "-m", "pytest", *suites, "--with-mpi", "-q", "-p", "no:cacheprovider", "-x"]
    done = hpckit_run(3, ["--survive", "--", *words], HPCKIT_TEST_TMP=str(tmp_path))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_a_short_campaign() -> None:
    campaign = str(ROOT / "tests/faults/kills.py")
    done = run(
        [PYTHON, campaign, "--work", "spmd", "--count", "6", "--seed", "20", "--ranks", "2,3,4"],
        TIMEOUT_S,
        PATH=f"{Path(PYTHON).parent}:{os.environ['PATH']}",
        PYTHONPATH=str(ROOT),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 trials: " in done.stdout
    assert "in the job" in done.stdout


COMMANDS = {
    "records": (["sort", "{folder}/in.dat", "{out}", "--records", "24", "--key", "2"], "output.whole:0:1"),
    "records saved": (
        ["sort", "{folder}/in.dat", "{out}", "--records", "24", "--key", "2", "--split-size", "3000"],
        "run:1:3,merge:0:1",
    ),
    "generate": (["generate", "syslog", "{out}", "--rows", "400000", "--seed", "3"], "round:0:2"),
    "generate saved": (["generate", "syslog", "{out}", "--rows", "400000", "--seed", "3"], "round:0:1,round:1:3"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_go_on_without_the_ranks_they_lose(name: str, tmp_path: Path) -> None:
    """Also the first rank, with and without a checkpoint: the same bytes, and nothing else is left."""
    words, places = COMMANDS[name]
    (tmp_path / "in.dat").write_bytes(os.urandom(24 * 40_000))
    saving = ["--checkpoint", str(tmp_path / "ck"), "--checkpoint-every", "0s"] if "saved" in name else []

    def argv(out: Path) -> list[str]:
        return [word.format(folder=tmp_path, out=out) for word in words]

    (tmp_path / "out").mkdir()
    quiet, out = tmp_path / "quiet", tmp_path / "out" / "x.log"
    assert run([sys.executable, "-m", "hpckit.cli.main", *argv(quiet)], TIMEOUT_S).returncode == 0
    done = hpckit_run(4, ["--survive", "--", *argv(out), *saving], HPCKIT_FAIL_AT=places)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("hpckit run: lost rank") >= 1, done.stderr
    assert out.read_bytes() == quiet.read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.log"]

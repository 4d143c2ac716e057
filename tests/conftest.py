"""What all tests share: the real sample logs, commands under mpirun that cannot hang, and rank counts to compare."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
LOGHUB = ROOT.parent / "shared" / "data" / "loghub"
RANKS = (1, 2, 3, 4)

settings.register_profile("hpckit", deadline=None)  # a busy machine is no wrong answer
settings.load_profile("hpckit")

kernels = os.environ.get("HPCKIT_TEST_KERNELS")
if kernels:  # a second build of the kernels, e.g. with bounds checks
    import hpckit._kernels

    hpckit._kernels.__path__.insert(0, kernels)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests of several ranks are collected only under mpirun (test_mpi_suites.py starts them)."""
    if collection_path.name == "mpi" and not config.getoption("--with-mpi", default=False):
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start mpirun are marked so: `-m "not mpirun"` leaves the quick ones."""
    for item in items:
        if {"mpirun", "same_at_any_rank_count"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.mpirun)


@pytest.fixture(scope="session")
def loghub() -> Path:
    """The folder of real sample logs, one sub-folder a system."""
    if not LOGHUB.is_dir():
        pytest.skip(f"real sample logs are not at {LOGHUB}")
    return LOGHUB


def run(argv: list[str], timeout: float, **env: str) -> subprocess.CompletedProcess[str]:
    """Run argv with its output captured; after `timeout` seconds kill its process group and fail the test by name."""
    argv = [str(word) for word in argv]
    start_s = time.monotonic()
    process = subprocess.Popen(
        argv,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)  # mpirun takes its ranks along
        try:
            stdout, stderr = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
        pytest.fail(
            f"hang: no end after {time.monotonic() - start_s:.0f} s of: {' '.join(argv)}\n"
            f"stdout: {stdout[-2000:]}\nstderr: {stderr[-4000:]}"
        )
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def launch(ranks: int, argv: list[str], timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """Run argv on so many ranks; a leading "hpckit" or "python" means this interpreter's."""
    command, environ = launching(ranks, argv, env)
    return run(command, timeout, **environ)


def begin(ranks: int, argv: list[str]) -> subprocess.Popen[str]:
    """As `launch`, without waiting: a process group of its own, of which stderr is kept."""
    command, environ = launching(ranks, argv, {})
    return subprocess.Popen(
        command, env=environ, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def launching(ranks: int, argv: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """(command, environment) that start argv on so many ranks."""
    from hpckit.spmd.mpirun import find_launcher

    if argv[0] == "hpckit":
        argv = [sys.executable, "-m", "hpckit.cli.main", *argv[1:]]
    elif argv[0] == "python":
        argv = [sys.executable, *argv[1:]]
    return find_launcher().command(ranks, [str(word) for word in argv], {**os.environ, **env})


@pytest.fixture(scope="session")
def mpirun() -> Callable[..., subprocess.CompletedProcess[str]]:
    """mpirun(n, ["hpckit", "query", …], timeout=60, **env) -> CompletedProcess with text output."""
    return launch


@pytest.fixture(params=RANKS, ids=lambda n: f"{n}ranks")
def ranks(request: pytest.FixtureRequest) -> int:
    """1, 2, 3 and 4 in turn."""
    return request.param


@pytest.fixture
def same_at_any_rank_count(tmp_path: Path) -> Callable[..., bytes]:
    """same_at_any_rank_count(["hpckit", "query", SQL, "--output", "{out}/x.csv"], "x.csv") -> the bytes of that file.

    Runs the command at 1, 2, 3 and 4 ranks, each with a folder of its own for "{out}", and fails unless every run ends
    with status 0 and the same bytes. `output` may be a folder; without it stdout is compared.
    """

    def check(argv: list[str], output: str | None = None, timeout: float = 60, **env: str) -> bytes:
        found: dict[int, bytes] = {}
        for n in RANKS:
            folder = tmp_path / f"at{n}"
            folder.mkdir(exist_ok=True)
            done = launch(n, [str(word).replace("{out}", str(folder)) for word in argv], timeout, **env)
            assert done.returncode == 0, f"{n} ranks: exit status {done.returncode}\n{done.stderr}"
            found[n] = done.stdout.encode() if output is None else _contents(folder / output)
            assert found[n] == found[RANKS[0]], f"{n} ranks give other bytes than {RANKS[0]}: {' '.join(argv)}"
        return found[RANKS[0]]

    return check


def _contents(path: Path) -> bytes:
    """The bytes of a file, or of all files of a folder with their names."""
    if path.is_dir():
        return b"".join(
            str(p.relative_to(path)).encode() + p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()
        )
    return path.read_bytes()

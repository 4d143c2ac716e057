"""Tests under mpirun: a failure on one rank ends all of them, temporary folders are per rank, results are recorded."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpckit.spmd import world
from hpckit.spmd.launch import launcher_rank, launcher_size


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A temporary folder per rank: ranks that share one race for it."""
    if config.option.basetemp is None:
        base = os.environ.get("HPCKIT_TEST_TMP", f"/tmp/hpckit-mpi-tests-{os.getuid()}-{os.getppid()}")
        Path(base).mkdir(parents=True, exist_ok=True)
        config.option.basetemp = f"{base}/n{launcher_size()}-rank{launcher_rank()}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Rank 0 reports for all."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if launcher_rank() > 0 and reporter is not None:
        reporter._tw._file = open(os.devnull, "w")  # noqa: SIM115 - open to the end of the process


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """An assertion fails on one rank while the others wait for it in a collective: say so, then end the job."""
    report = yield
    if report.failed and launcher_size() > 1:
        capture = item.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        context = world()
        sys.stderr.write(f"\nFAILED on rank {context.rank} of {context.size}: {item.nodeid}\n{report.longreprtext}\n")
        sys.stderr.flush()
        context.abort(1)
    return report


@pytest.fixture(scope="session")
def context():
    """The context of all ranks."""
    return world()


@pytest.fixture
def shared_path(context, tmp_path: Path) -> Path:
    """One folder that all ranks of this test share: rank 0's."""
    return Path(context.bcast(str(tmp_path)))


@pytest.fixture
def record(context, request: pytest.FixtureRequest) -> Callable[[bytes], None]:
    """record(data): `data` (the same on every rank, or rank 0's) must be the same at any number of ranks.

    The digests of all runs are compared by tests/test_mpi_suites.py.
    """

    def keep(data: bytes) -> None:
        folder = os.environ.get("HPCKIT_TEST_RECORDS")
        if context.is_root and folder:
            with open(Path(folder) / f"n{context.size}.txt", "a") as file:
                file.write(f"{request.node.nodeid} {hashlib.sha256(data).hexdigest()}\n")

    return keep

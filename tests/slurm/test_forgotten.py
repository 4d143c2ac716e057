"""What is known of a job that the controller has forgotten: from accounting, and without it from its own files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, on_request
from testbed import Testbed, missing

on_request()
pytest_plugins = ["slurm_cluster"]

SLEEP = ["python", "-c", "import time; time.sleep(60)"]


@pytest.fixture(scope="module")
def accounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node with accounting."""
    reason = missing(accounting=True)
    if reason:
        pytest.skip(reason)
    with Testbed(tmp_path_factory.mktemp("accounted"), nodes=1, accounting=True) as bed:
        yield Cluster(bed, tmp_path_factory.mktemp("accounted-work"))


def in_known_from(cluster: Cluster, job: str, source: str) -> str:
    """What `hpckit status` says of a job; `source` is where it must come from."""
    text = cluster.hpckit("status", job).stdout
    assert f"known from  {source}" in text, text
    return text


def test_accounting_then_its_own_files(accounted: Cluster) -> None:
    good = accounted.submit("-n", "1", "-t", "5", "-A", "test", "--", "python", "-c", "print('hello')")
    bad = accounted.submit("-n", "1", "-t", "5", "--", "python", "-c", "raise SystemExit(2)")
    gone = accounted.submit("-n", "1", "-t", "5", "--", *SLEEP)
    accounted.wait(good, "COMPLETED")
    accounted.wait(bad, "FAILED")
    accounted.wait(gone, "RUNNING")
    assert accounted.hpckit("cancel", gone).returncode == 0
    accounted.wait(gone, "CANCELLED")
    ended = ["sacct", "-nXP", "-o", "State", "-j", f"{good},{bad},{gone}"]
    accounted.until("accounts", lambda: accounted.bed.run(*ended).stdout.count("ED") == 3, 60)
    accounted.bed.forget_jobs()
    assert "COMPLETED: finished" in in_known_from(accounted, good, "accounting")
    assert "exit status 2: a mistake" in in_known_from(accounted, bad, "accounting")
    assert "CANCELLED" in in_known_from(accounted, gone, "accounting")
    accounted.bed.end("slurmdbd")
    environ = {"HPCKIT_SLURM_TIMEOUT": "3"}
    text = accounted.hpckit("status", good, **environ).stdout
    assert "COMPLETED" in text and "known from  its own history" in text
    assert "hello" in accounted.hpckit("logs", good, **environ).stdout


def test_an_account_that_does_not_exist(accounted: Cluster) -> None:
    """Runs after the database is gone, too: the controller keeps what it knows of accounts."""
    done = accounted.hpckit("submit", "-A", "nobodys", "--", *SLEEP, HPCKIT_SLURM_TIMEOUT="3")
    if done.returncode == 0:
        pytest.skip("this Slurm takes any account (AccountingStorageEnforce is off)")
    assert "account 'nobodys'" in done.stderr and "--account" in done.stderr


def test_its_own_files_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Without accounting; on a cluster of its own, because the jobs of the others must not be forgotten."""
    with Testbed(tmp_path / "bed", nodes=1) as bed:
        alone = Cluster(bed, tmp_path)
        job = alone.submit("-n", "1", "-t", "5", "--", "python", "-c", "pass")
        alone.wait(job, "COMPLETED")
        bed.forget_jobs()
        assert "COMPLETED: finished" in in_known_from(alone, job, "its own history")
        assert "ended already (COMPLETED)" in alone.hpckit("cancel", job).stdout
        assert "nothing to go on with" in alone.hpckit("resume", job).stderr
    assert "COMPLETED" in alone.hpckit("status", job, HPCKIT_SLURM_TIMEOUT="2").stdout  # no Slurm any more

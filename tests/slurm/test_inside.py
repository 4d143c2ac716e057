"""--survive under Slurm: a lost node ends Open MPI's launcher, and the job goes on in its allocation on the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from slurm_cluster import SQL, Cluster, on_request, slow
from testbed import Testbed

on_request()
pytest_plugins = ["slurm_cluster"]

PYTHON = os.environ.get("HPCKIT_OPENMPI_PYTHON", "")
pytestmark = pytest.mark.skipif(not Path(PYTHON).is_file(), reason="HPCKIT_OPENMPI_PYTHON names no Open MPI's Python")


@pytest.fixture
def surviving(cluster: Cluster, bed: Testbed) -> Cluster:
    """The same cluster for the commands of an environment with Open MPI."""
    return Cluster(bed, cluster.folder, PYTHON)


def start(surviving: Cluster, name: str, exclude: str) -> tuple[str, list[str]]:
    """(job, its nodes) of a query on three nodes, none of `exclude`, that has saved something."""
    job = surviving.submit(
        "-N", "3", "-t", "9", "--exclude", exclude, "--survive", "--checkpoint-every", "1s", "--",
        "query", SQL, "--split-size", "64KiB", "--output", f"{name}.csv", **slow(0.6),
    )  # fmt: skip
    surviving.until("something saved", lambda: " ago, " in surviving.status(job).get("saved", ""))
    named = surviving.bed.run("scontrol", "show", "hostnames", surviving.status(job)["nodes"])
    return job, named.stdout.split()


@pytest.mark.timeout(300)
def test_another_node_is_lost(surviving: Cluster, answer: bytes) -> None:
    job, nodes = start(surviving, "inside", "n1,n2,n3")
    surviving.bed.kill_node(nodes[1])
    try:
        done = surviving.wait(job, "COMPLETED")
        log = Path(done["log"]).read_text()
        assert (surviving.folder / "inside.csv").read_bytes() == answer
        assert f"{nodes[1]}: lost, and Open MPI's launcher cannot go on without" in log
        assert f"{nodes[1]}: gone; 2 ranks on {nodes[0]}, {nodes[2]}" in log
        assert "pieces of the input are done" in log
        assert done["restarts"] == 0 and done["node_count"] == "2"  # the same life, on what was left of its nodes
    finally:
        surviving.bed.return_node(nodes[1])


@pytest.mark.timeout(400)
def test_the_node_of_its_script_is_lost(surviving: Cluster, answer: bytes) -> None:
    """Nothing of the job is left that could go on: Slurm notices the loss and queues it again."""
    job, nodes = start(surviving, "scripts", "n1,n2")  # one more than it needs
    surviving.bed.kill_node(nodes[0])
    try:
        done = surviving.wait(job, "COMPLETED", limit_s=300)
        assert (surviving.folder / "scripts.csv").read_bytes() == answer
        assert nodes[0] not in done["nodes"]
        assert done["restarts"].startswith("1 of at most 20")
    finally:
        surviving.bed.return_node(nodes[0])

"""Jobs that outlive their time limit or a node: queued again by themselves, and the same bytes at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SAVER, Cluster
from saver import expected

UNITS = 200


@pytest.fixture(scope="module", autouse=True)
def long_jobs(cluster: Cluster) -> dict[str, str]:
    """Jobs that take a minute or two, all submitted at once: Slurm looks at time limits every 30 s only."""
    jobs = {}
    for name, options in {
        "limit": ["-N", "2", "--ntasks-per-node", "1", "-t", "1", "--save-before", "40"],
        "chain": ["-N", "1", "-n", "2", "-t", "1", "--save-before", "40", "--chain", "3"],
        "srun": ["-N", "1", "-n", "2", "-t", "1", "--save-before", "40", "--launcher", "srun"],
        "capped": ["-N", "1", "-n", "2", "-t", "1", "--save-before", "40", "--restarts", "0"],
    }.items():
        jobs[name] = cluster.submit(
            *options, "--exclude", "n5,n6", "--folder", cluster.folder / name, "--",
            "python", SAVER, cluster.folder / f"{name}.txt", cluster.folder / f"{name}.state", UNITS, "0.4",
        )  # fmt: skip
    return jobs


def events(cluster: Cluster, name: str, job: str) -> str:
    return (cluster.folder / name / f"{job}.events").read_text()


def test_a_lost_node_is_survived(cluster: Cluster) -> None:
    output = cluster.folder / "lost.txt"
    job = cluster.submit(
        "-N", "2", "-t", "5", "--exclude", "n1,n2,n3", "--folder", cluster.folder / "lost", "--",
        "python", SAVER, output, cluster.folder / "lost.state", "40", "0.2",
    )  # fmt: skip
    state = cluster.folder / "lost.state"
    cluster.until("work", lambda: len(list(state.glob("*.json"))) == 2)
    nodes = cluster.status(job)["nodes"]
    lost = "n" + nodes.strip("n[]").replace("-", ",").split(",")[-1]
    cluster.bed.kill_node(lost)
    try:
        cluster.until("a second life", lambda: '"life": 1' in events(cluster, "lost", job))
        done = cluster.wait(job, "COMPLETED")
        assert output.read_text() == expected(40)
        assert done["restarts"].startswith("1 of at most 20")
        assert lost not in done["nodes"]
    finally:
        cluster.bed.return_node(lost)


def test_the_node_of_the_script_is_lost(cluster: Cluster) -> None:
    output = cluster.folder / "first.txt"
    job = cluster.submit(
        "-N", "2", "-t", "5", "--exclude", "n1,n2,n3", "--folder", cluster.folder / "first", "--",
        "python", SAVER, output, cluster.folder / "first.state", "40", "0.2",
    )  # fmt: skip
    state = cluster.folder / "first.state"
    cluster.until("work", lambda: len(list(state.glob("*.json"))) == 2)
    lost = cluster.bed.run("scontrol", "show", "job", job).stdout.partition("BatchHost=")[2].split()[0]
    cluster.bed.kill_node(lost)
    try:
        cluster.until("a second life", lambda: '"life": 1' in events(cluster, "first", job))
        done = cluster.wait(job, "COMPLETED")
        assert output.read_text() == expected(40)
        assert "node lost" in done["restarts"]
    finally:
        cluster.bed.return_node(lost)


@pytest.mark.parametrize("name", ["limit", "srun"])
def test_the_time_limit_is_survived(cluster: Cluster, long_jobs: dict[str, str], name: str) -> None:
    done = cluster.wait(long_jobs[name], "COMPLETED")
    assert (cluster.folder / f"{name}.txt").read_text() == expected(UNITS)
    assert int(done["restarts"].split()[0]) >= 1
    assert "saved" in Path(done["log"]).read_text()


def test_a_chain_goes_on_where_requeueing_is_not_allowed(cluster: Cluster, long_jobs: dict[str, str]) -> None:
    first = long_jobs["chain"]
    group = cluster.status(first)["group"]
    assert len(group) == 3
    assert cluster.wait(first, "FAILED")["status"] == 75
    cluster.wait(group[1], "COMPLETED")
    assert (cluster.folder / "chain.txt").read_text() == expected(UNITS)
    assert cluster.wait(group[2], "CANCELLED", "COMPLETED")["state"] == "CANCELLED"


def test_restarts_are_capped_and_resume_goes_on(cluster: Cluster, long_jobs: dict[str, str]) -> None:
    capped = cluster.wait(long_jobs["capped"], "FAILED")
    assert capped["status"] == 75
    resumed = cluster.hpckit("resume", "--parsable", long_jobs["capped"], "-N", "3")
    assert resumed.returncode == 0, resumed.stderr
    done = cluster.wait(resumed.stdout.strip(), "COMPLETED")
    assert done["node_count"] == "3"
    assert (cluster.folder / "capped.txt").read_text() == expected(UNITS)

"""Jobs that outlive their time limit or a node: queued again by themselves, and the same bytes at the end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from saver import expected
from slurm_cluster import LIMIT_S, SAVER, SQL, UNITS, Cluster, on_request, slow

on_request()
pytest_plugins = ["slurm_cluster"]
pytestmark = pytest.mark.timeout(2 * LIMIT_S)

SAVED = (75, 138)  # 138: told to save before Python could listen, and so ended by the signal


@pytest.fixture(scope="module", autouse=True)
def all_at_once(long_jobs: dict[str, str]) -> None:
    """The long jobs run while the other tests do."""


def events(cluster: Cluster, name: str, job: str) -> str:
    return (cluster.folder / name / f"{job}.events").read_text()


def test_a_node_is_lost(cluster: Cluster, answer: bytes) -> None:
    """One node for two jobs: the last one of a query, and the one on which the script of the other job runs."""
    query = cluster.submit(
        "-N", "2", "-t", "5", "--exclude", "n1,n2,n3", "--checkpoint-every", "1s", "--",
        "query", SQL, "--split-size", "64KiB", "--output", "lossy.csv", **slow(0.4),
    )  # fmt: skip
    output = cluster.folder / "first.txt"
    saver = cluster.submit(
        "-N", "1", "-n", "2", "-t", "5", "--exclude", "n1,n2,n3,n4", "--folder", cluster.folder / "first", "--",
        "python", SAVER, output, cluster.folder / "first.state", "80", "0.2",
    )  # fmt: skip
    cluster.until("something saved by the query", lambda: " ago, " in cluster.status(query).get("saved", ""))
    state = cluster.folder / "first.state"
    cluster.until("something saved by the program", lambda: len(list(state.glob("*.json"))) == 2)
    lost = cluster.status(saver)["nodes"]
    assert cluster.status(query)["nodes"] == "n[4-5]" and lost == "n5"
    cluster.bed.kill_node(lost)
    try:
        for name, job in (("lossy.csv.job", query), ("first", saver)):
            cluster.until("a second life", lambda n=name, j=job: '"life": 1' in events(cluster, n, j))
            done = cluster.wait(job, "COMPLETED")
            assert lost not in done["nodes"]
            assert done["restarts"].startswith("1 of at most 20")
        assert (cluster.folder / "lossy.csv").read_bytes() == answer
        assert "pieces of the input are done" in (cluster.folder / f"lossy.csv.job/{query}.log").read_text()
        assert output.read_text() == expected(80)
        assert "node lost" in cluster.status(saver)["restarts"]
    finally:
        cluster.bed.return_node(lost)


@pytest.mark.parametrize("partition", ["spare", "spent"])
def test_a_query_survives_preemption(cluster: Cluster, answer: bytes, partition: str) -> None:
    """For a job with more rights Slurm queues `spare` again and cancels `spent`, 30 s after it has told the ranks."""
    job = cluster.submit(
        "-n", "2", "--exclusive", "-p", partition, "-t", "5", "--", "query", SQL, "--split-size", "64KiB", "--output",
        f"{partition}.csv", **slow(0.5),
    )  # fmt: skip
    cluster.until("progress", lambda: "%" in cluster.status(job).get("progress", ""))
    node = cluster.status(job)["nodes"]
    other = cluster.submit("-n", "1", "--exclusive", "-w", node, "-t", "5", "--", "python", "-c", "pass")
    cluster.wait(other, "COMPLETED")
    done = cluster.wait(job, "COMPLETED")
    assert (cluster.folder / f"{partition}.csv").read_bytes() == answer
    assert "1: work saved" in done["restarts"]
    assert "pieces of the input are done" in Path(done["log"]).read_text()


def test_a_query_survives_the_time_limit(cluster: Cluster, long_jobs: dict[str, str], answer: bytes) -> None:
    done = cluster.wait(long_jobs["query"], "COMPLETED")
    assert (cluster.folder / "query.csv").read_bytes() == answer
    assert "work saved" in done["restarts"]
    assert "pieces of the input are done" in Path(done["log"]).read_text()


@pytest.mark.parametrize("nodes", ["1", "3"])
def test_a_query_is_resumed_on_fewer_and_more_nodes(
    cluster: Cluster, long_jobs: dict[str, str], answer: bytes, nodes: str
) -> None:
    """The second resume finds that the first has finished the work; that needs a folder of its own."""
    job = long_jobs["shrunk"]
    cluster.wait(job, "FAILED")
    checkpoint = Path(cluster.status(job)["checkpoint"])
    kept = checkpoint.with_name("kept")
    if kept.exists():
        shutil.rmtree(checkpoint)
        shutil.copytree(kept, checkpoint)
    else:
        shutil.copytree(checkpoint, kept)
    (cluster.folder / "shrunk.csv").unlink(missing_ok=True)
    resumed = cluster.hpckit("resume", "--parsable", job, "-N", nodes, "-t", "5")
    assert resumed.returncode == 0, resumed.stderr
    done = cluster.wait(resumed.stdout.strip(), "COMPLETED")
    assert done["node_count"] == nodes
    assert (cluster.folder / "shrunk.csv").read_bytes() == answer
    assert "pieces of the input are done" in Path(done["log"]).read_text()


@pytest.mark.parametrize("name", ["limit", "srun"])
def test_the_time_limit_is_survived(cluster: Cluster, long_jobs: dict[str, str], name: str) -> None:
    done = cluster.wait(long_jobs[name], "COMPLETED")
    assert (cluster.folder / f"{name}.txt").read_text() == expected(UNITS)
    assert int(done["restarts"].split()[0]) >= 1
    assert "saved" in Path(done["log"]).read_text()


def test_a_chain_goes_on_where_requeueing_is_not_allowed(cluster: Cluster, long_jobs: dict[str, str]) -> None:
    """Links save until one ends the work, on a slow machine a later one than the second; the rest are cancelled."""
    group = cluster.status(long_jobs["chain"])["group"]
    assert len(group) == 4
    ended = [cluster.wait(job, "FAILED", "COMPLETED", "CANCELLED") for job in group]
    last = [one["state"] for one in ended].index("COMPLETED")
    assert last >= 1
    assert all(one["state"] == "FAILED" and one["status"] in SAVED for one in ended[:last])
    assert all(one["state"] == "CANCELLED" for one in ended[last + 1 :])
    assert (cluster.folder / "chain.txt").read_text() == expected(UNITS)


def test_restarts_are_capped_and_resume_goes_on(cluster: Cluster, long_jobs: dict[str, str]) -> None:
    capped = cluster.wait(long_jobs["capped"], "FAILED")
    assert capped["status"] in SAVED
    resumed = cluster.hpckit("resume", "--parsable", long_jobs["capped"], "-N", "3", "-t", "5")
    assert resumed.returncode == 0, resumed.stderr
    done = cluster.wait(resumed.stdout.strip(), "COMPLETED")
    assert done["node_count"] == "3"
    assert (cluster.folder / "capped.txt").read_text() == expected(UNITS)


def test_a_task_of_an_array_survives_the_time_limit(cluster: Cluster, long_jobs: dict[str, str], answer: bytes) -> None:
    (done,) = cluster.wait(long_jobs["array"], "COMPLETED")
    assert (cluster.folder / "array-bgl.csv").read_bytes() == answer
    assert "work saved" in done["restarts"]

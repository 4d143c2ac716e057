"""submit, status, logs and cancel on a real Slurm: every state, arrays, elastic jobs, and what users get wrong."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from slurm_cluster import SQL, Cluster, on_request

on_request()
pytest_plugins = ["slurm_cluster"]

SLEEP = ["python", "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def all_at_once(long_jobs: dict[str, str]) -> None:
    """The long jobs run while these tests do."""


def test_a_dry_run_shows_the_script_and_slurms_verdict(cluster: Cluster, log: Path) -> None:
    done = cluster.hpckit("submit", "-N", "2", "-t", "5", "--dry-run", "--", "query", SQL, "--output", "dry.csv")
    assert done.returncode == 0
    assert done.stdout.startswith("#!/bin/bash\n#SBATCH") and "to start at" in done.stderr
    assert not (cluster.folder / "dry.csv.job").exists()
    assert cluster.hpckit("submit", "-N", "99", "--dry-run", "--", "true").returncode == 2


@pytest.mark.parametrize("nodes", ["1", "3"])
def test_a_query_gives_the_same_bytes_on_any_number_of_nodes(cluster: Cluster, answer: bytes, nodes: str) -> None:
    output = cluster.folder / f"on{nodes}.csv"
    job = cluster.submit("-N", nodes, "--ntasks-per-node", "2", "-t", "5", "--", "query", SQL, "--output", output)
    done = cluster.wait(job, "COMPLETED")
    assert output.read_bytes() == answer
    assert done["ranks"] == str(2 * int(nodes))
    assert "20,000 lines read" in done["last_words"]
    assert "20,000 lines read" in cluster.hpckit("logs", job).stdout
    assert f"job {job} (query): COMPLETED" in cluster.hpckit("status").stdout


def test_srun_gives_the_same_bytes(cluster: Cluster, answer: bytes) -> None:
    job = cluster.submit("-N", "2", "-t", "5", "--launcher", "srun", "--", "query", SQL, "--output", "srun.csv")
    cluster.wait(job, "COMPLETED")
    assert (cluster.folder / "srun.csv").read_bytes() == answer


@pytest.mark.parametrize("launcher", ["mpirun", "srun"])
def test_a_mistake_is_not_tried_again(cluster: Cluster, log: Path, launcher: str) -> None:
    sql = "SELECT nothing FROM read_logs('bgl.log', 'bgl')"
    job = cluster.submit("-N", "2", "-t", "5", "--launcher", launcher, "--folder", launcher, "--", "query", sql)
    done = cluster.wait(job, "FAILED")
    assert done["status"] == 2  # srun itself says 137: it reports the kill that ends an ordered abort
    assert "nothing" in done["last_words"] and done["restarts"] == 0
    assert '"status": 2' in (cluster.folder / launcher / f"{job}.events").read_text()


def test_states_from_waiting_to_cancelled(cluster: Cluster) -> None:
    first = cluster.submit("-N", "1", "-t", "5", "-w", "n6", "--exclusive", "--", *SLEEP)
    second = cluster.submit("-N", "1", "-t", "5", "-w", "n6", "--exclusive", "--", *SLEEP)
    cluster.wait(first, "RUNNING")
    cluster.until("a reason", lambda: cluster.status(second)["reason"] in ("Resources", "Priority"))
    words = cluster.status(second)["words"]
    assert "PENDING: the nodes that it needs are in use" in words or "higher priority" in words
    assert "running" in cluster.hpckit("resume", first).stderr.lower()
    for job in (second, first):
        done = cluster.hpckit("cancel", job)
        assert done.stdout == f"cancelled job {job}\n"
    cluster.wait(first, "CANCELLED")
    cluster.wait(second, "CANCELLED")
    assert "ended already (CANCELLED)" in cluster.hpckit("cancel", first).stdout


def test_what_can_never_start_is_called_so(cluster: Cluster) -> None:
    done = cluster.hpckit("submit", "-N", "9", "--", *SLEEP)
    job = done.stdout.split()[1]
    assert "cannot start" in done.stderr
    cluster.until("Slurm's reason", lambda: "it can never start" in cluster.status(job)["words"])
    cluster.hpckit("cancel", job)


def test_an_elastic_job_takes_what_there_is(cluster: Cluster, answer: bytes) -> None:
    job = cluster.submit(
        "--nodes", "2-5", "--ntasks-per-node", "2", "-t", "5", "--exclude", "n1,n2", "--",
        "query", SQL, "--output", "elastic.csv",
    )  # fmt: skip
    done = cluster.wait(job, "COMPLETED")
    assert 2 <= int(done["node_count"]) <= 4
    assert done["ranks"] == str(2 * int(done["node_count"]))
    assert (cluster.folder / "elastic.csv").read_bytes() == answer


def test_an_array_and_the_job_that_merges_it(cluster: Cluster, log: Path, answer: bytes) -> None:
    text = log.read_bytes().splitlines(keepends=True)
    inputs = cluster.folder / "inputs"
    inputs.mkdir()
    for i in range(4):
        (inputs / f"part {i}.log").write_bytes(b"".join(text[i * 5000 : (i + 1) * 5000]))
    done = cluster.hpckit(
        "submit", "-N", "1", "-n", "1", "-t", "5", "--each", "inputs/*.log", "--at-once", "3",
        "--merge", 'query "SELECT node, level, sum(n) AS n, min(first) AS first FROM read_parquet(\'parts/*.parquet\') '
        'GROUP BY node, level" --output merged.csv', "--",
        "query", SQL.replace("bgl.log", "{input}"), "--output", "parts/{stem}.parquet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[1]
    group = cluster.status(job)[0]["group"]
    cluster.wait(group[1], "COMPLETED")
    assert (cluster.folder / "merged.csv").read_bytes() == answer
    assert f"job {job} (query): 4 tasks: 4 COMPLETED" in cluster.hpckit("status", job).stdout
    assert "5,000 lines read" in cluster.hpckit("logs", f"{job}_3").stdout
    assert "say" in cluster.hpckit("logs", job).stderr


def test_an_array_with_a_broken_task_is_resumed_without_the_others(cluster: Cluster, log: Path) -> None:
    inputs = cluster.folder / "some"
    inputs.mkdir()
    for name in ("a", "b", "c"):
        (inputs / f"{name}.csv").write_text("x\n1\n")
    (inputs / "b.csv").unlink()
    (inputs / "b.csv").symlink_to("nowhere")
    job = cluster.submit(
        "-n", "1", "-t", "5", "--each", "some/*", "--", "query", "SELECT * FROM read_csv('{input}')", "--output",
        "done/{stem}.csv",
    )  # fmt: skip
    cluster.until("the end", lambda: all(not t["state"].startswith(("P", "R")) for t in cluster.status(job)), 60)
    found = {task["task"]: task["state"] for task in cluster.wait(job, "COMPLETED", "FAILED", "COMPLETING")}
    assert found == {"0": "COMPLETED", "1": "FAILED", "2": "COMPLETED"}
    (inputs / "b.csv").unlink()
    (inputs / "b.csv").write_text("x\n2\n")
    again = cluster.hpckit("resume", "--parsable", job)
    assert again.returncode == 0, again.stderr
    tasks = cluster.wait(again.stdout.strip(), "COMPLETED")
    assert [task["task"] for task in tasks] == ["1"]
    assert (cluster.folder / "done/b.csv").read_text() == "x\n2\n"


def test_logs_follow_until_the_end(cluster: Cluster) -> None:
    code = "import time\nfor i in range(3):\n    print('line', i, flush=True)\n    time.sleep(1)"
    job = cluster.submit("-n", "1", "-t", "5", "--", "python", "-c", code)
    done = cluster.hpckit("logs", "-f", job)
    assert done.stdout.splitlines()[-3:] == ["line 0", "line 1", "line 2"]


def test_skew_is_shown(cluster: Cluster) -> None:
    code = (
        "import os, time\nend = time.time() + 20\nbusy = os.environ['SLURMD_NODENAME'] == 'n5'\n"
        "while time.time() < end:\n    busy or time.sleep(0.05)"
    )
    job = cluster.submit("-N", "2", "-t", "5", "-w", "n[5-6]", "--", "python", "-c", code)
    cluster.until("figures", lambda: "least busy, on n6" in cluster.status(job).get("cpu", ""), 30)
    cluster.hpckit("cancel", job)


def test_what_users_get_wrong(cluster: Cluster) -> None:
    for words, remedy in {
        ("-p", "nowhere"): "there are: debug, small, closed, spare, spent",
        ("--frobnicate=1",): "unrecognized option",
        ("-t", "2h"): "Slurm takes MINUTES",
        ("-C", "gpu"): "--constraint",
        ("--nodes", "8-2"): "--nodes 8-2",
    }.items():
        done = cluster.hpckit("submit", *words, "--", *SLEEP)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert remedy in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_jobs_of_others_and_of_nobody(cluster: Cluster) -> None:
    script = "#!/bin/sh\nsleep 60\n"
    made = subprocess.run(
        ["sbatch", "--parsable", "--uid=nobody", "--chdir=/tmp", "--output=/dev/null"],
        input=script, env=cluster.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    job = made.stdout.strip()
    for command in ("status", "cancel"):
        done = cluster.hpckit(command, job)
        assert done.returncode == 2 and f"job {job} is nobody's" in done.stderr, done.stderr
    for command in ("logs", "resume"):
        assert f"no record of job {job}" in cluster.hpckit(command, job).stderr
    cluster.bed.run("scancel", job)
    for command in ("status", "logs", "cancel", "resume"):
        done = cluster.hpckit(command, "999999999")
        assert done.returncode == 2 and "999999999" in done.stderr and "Traceback" not in done.stderr


def test_a_damaged_state_file(cluster: Cluster) -> None:
    job = cluster.submit("-n", "1", "-t", "5", "--folder", "damaged", "--", "python", "-c", "pass")
    cluster.wait(job, "COMPLETED")
    record = cluster.folder / "damaged" / f"{job}.json"
    record.write_bytes(record.read_bytes()[:100])
    for command in ("status", "logs", "resume"):
        done = cluster.hpckit(command, job)
        assert done.returncode == 2 and "damaged state file" in done.stderr and str(record) in done.stderr
    record.unlink()
    assert "COMPLETED" in cluster.hpckit("status", job).stdout


def test_a_controller_that_does_not_answer(cluster: Cluster) -> None:
    """Slurm's own programs would try for minutes."""
    job = cluster.submit("-n", "1", "-t", "5", "--", "python", "-c", "pass")
    cluster.wait(job, "COMPLETED")
    cluster.bed.pause()
    goes_on = threading.Timer(25, cluster.bed.go_on)  # whatever happens here
    goes_on.start()
    try:
        start_s = time.monotonic()
        for words in (["submit", "--", *SLEEP], ["status", job], ["cancel", job]):
            done = cluster.hpckit(*words, HPCKIT_SLURM_TIMEOUT="1")
            assert "did not answer within 1 s" in done.stdout + done.stderr, done.stderr
            assert "Traceback" not in done.stderr
        assert time.monotonic() - start_s < 20
    finally:
        goes_on.cancel()
        cluster.bed.go_on()


def test_the_environment_is_unpacked_on_each_node(cluster: Cluster, answer: bytes, tmp_path: Path) -> None:
    """A small stand-in for an environment: the interpreter's own would take a minute to pack."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    here = Path(sys.executable).parent
    site = next(venv.glob("lib/python*/site-packages"))
    (site / "there.pth").write_text(
        "\n".join(path for path in sys.path if "site-packages" in path or path == str(here))
    )
    (site / "hpckit.pth").write_text(f"{Path(__file__).parent.parent.parent}\n")
    for name in ("mpirun", "mpiexec", "hydra_pmi_proxy"):
        if (here / name).exists():
            (venv / "bin" / name).symlink_to(here / name)
    (venv / "bin" / "hpckit").write_text("import sys\nfrom hpckit.cli.main import script\nscript()\n")
    code = "import sys; sys.stdout.write(f'runs in {sys.prefix}\\n')"
    job = cluster.submit("-N", "2", "-t", "5", "--venv", venv, "--stage-env", "--", "python", "-c", code)
    done = cluster.wait(job, "COMPLETED")
    text = Path(done["log"]).read_text()
    assert text.count(f"runs in /tmp/hpckit-env-{job}") == 2, text
    assert not Path(f"/tmp/hpckit-env-{job}").exists()


def test_scripts_to_copy_are_accepted(cluster: Cluster) -> None:
    scripts = sorted((Path(__file__).parent.parent.parent / "slurm").glob("*.sbatch"))
    assert len(scripts) >= 5
    for script in scripts:  # on nodes of six CPUs
        done = cluster.bed.run("sbatch", "--test-only", "--ntasks-per-node=2", "--nodes=1-2", str(script))
        assert done.returncode == 0 and "to start at" in done.stderr, f"{script}: {done.stderr}"

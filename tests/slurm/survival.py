"""Count the jobs that outlive their time limit, or a node, and end with the right bytes and without a human.

    python tests/slurm/survival.py [--limits 20] [--kills 20] [--inside 0] [--seed 1]

Queries over a log of 20,000 lines, read slowly, on virtual nodes of a testbed of its own. Time limits: ten at once, on
two ranks each. Kills: rounds of jobs on two whole nodes each; at a random moment one of the job's nodes, the one that
runs its script or the other, loses its daemon and all its processes at once (SIGKILL). Inside: jobs with --survive on
three nodes, one of which, not the script's, is lost once something is saved; they must end in the same life. That needs
Open MPI's Python in HPCKIT_OPENMPI_PYTHON.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from slurm_cluster import ENDED, SQL, Cluster, slow
from testbed import Testbed, missing

LIMIT_ROUND = 10  # jobs that start, and start again, at the same time
ROUND = 5  # jobs that lose a node at the same time
SPARE = 4  # nodes beyond those of a round
GIVE_UP_S = 400.0


def main() -> int:
    """Run both counts; 0 if all jobs survived."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limits", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--inside", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if reason := missing():
        sys.exit(reason)
    folder = Path(tempfile.mkdtemp(prefix="hpckit-survival-"))
    try:
        with Testbed(folder / "bed", nodes=2 * ROUND + SPARE) as bed:
            cluster = Cluster(bed, folder)
            check(cluster.hpckit("generate", "bgl", "bgl.log", "--rows", "20000", "--seed", "7"))
            check(cluster.hpckit("query", SQL, "--output", "answer.csv"))
            chance = random.Random(asked.seed)
            good = limits(cluster, asked.limits) and kills(cluster, asked.kills, chance)
            if asked.inside:
                surviving = Cluster(bed, folder, os.environ["HPCKIT_OPENMPI_PYTHON"])
                good = inside(surviving, asked.inside, chance) and good
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


def check(done: object) -> None:
    """Stop if a command of the preparation failed."""
    if getattr(done, "returncode", 1):
        sys.exit(getattr(done, "stderr", "failed"))


def submit(cluster: Cluster, name: str, seconds: float, *options: str) -> str:
    """A query that reads its 47 pieces so slowly, into NAME.csv."""
    command = ["query", SQL, "--split-size", "64KiB", "--output", f"{name}.csv"]
    return cluster.submit(*options, "--", *command, **slow(seconds))


def limits(cluster: Cluster, count: int) -> bool:
    """Rounds of jobs of 140 s of work, told to save 20 to 80 s after the begin of each life of at most two minutes."""
    options, good = ["-N", "1", "-n", "2", "-t", "2", "--save-before", "40"], True
    for first in range(0, count, LIMIT_ROUND):
        names = [f"limit{i}" for i in range(first, min(first + LIMIT_ROUND, count))]
        jobs = {name: submit(cluster, name, 3.0, *options) for name in names}
        good = report("time limit", cluster, jobs, range(2, 21)) and good
    return good


def kills(cluster: Cluster, count: int, chance: random.Random) -> bool:
    """Rounds of jobs of about 10 s, each of which loses a node in the middle."""
    good = True
    for first in range(0, count, ROUND):
        names = [f"kill{i}" for i in range(first, min(first + ROUND, count))]
        options = ["-N", "2", "--exclusive", "-t", "5", "--checkpoint-every", "1s"]
        jobs = {name: submit(cluster, name, 0.4, *options) for name in names}
        for job in jobs.values():
            cluster.wait(job, "RUNNING", limit_s=60)
        lost = []
        for job in jobs.values():
            time.sleep(chance.uniform(0, 1.5))
            text = cluster.bed.run("scontrol", "show", "job", job).stdout
            nodes = cluster.bed.run("scontrol", "show", "hostnames", field(text, " NodeList")).stdout.split()
            if "JobState=RUNNING" in text:
                lost.append(chance.choice(nodes))
                cluster.bed.kill_node(lost[-1])
        print(f"lost {', '.join(lost)}", flush=True)
        good = report("node kill", cluster, jobs) and good
        for node in lost:
            cluster.bed.return_node(node)
    return good


def inside(cluster: Cluster, count: int, chance: random.Random) -> bool:
    """Rounds of two jobs that lose a node, and go on on the other two without being queued again."""
    good = True
    for first in range(0, count, 2):
        names = [f"inside{i}" for i in range(first, min(first + 2, count))]
        options = ["-N", "3", "--exclusive", "-t", "5", "--survive", "--checkpoint-every", "1s"]
        jobs = {name: submit(cluster, name, 0.6, *options) for name in names}
        lost = []
        for job in jobs.values():
            cluster.until("something saved", lambda job=job: " ago, " in cluster.status(job).get("saved", ""), 60)
            time.sleep(chance.uniform(0, 3))
            nodes = cluster.bed.run("scontrol", "show", "hostnames", cluster.status(job)["nodes"]).stdout.split()
            lost.append(chance.choice(nodes[1:]))
            cluster.bed.kill_node(lost[-1])
        print(f"lost {', '.join(lost)}", flush=True)
        good = report("node kill inside", cluster, jobs, range(1, 2)) and good
        for node in lost:
            cluster.bed.return_node(node)
    return good


def field(text: str, name: str) -> str:
    """A value of `scontrol show job`."""
    return text.partition(f"{name}=")[2].split()[0]


def report(what: str, cluster: Cluster, jobs: dict[str, str], allowed: range = range(1, 21)) -> bool:
    """Wait for the jobs and say how many ended with the right bytes, after as many lives as are allowed."""
    answer = (cluster.folder / "answer.csv").read_bytes()
    deadline_s = time.monotonic() + GIVE_UP_S
    good, lives = 0, []
    for name, job in jobs.items():
        while (found := cluster.status(job))["state"] not in ENDED and time.monotonic() < deadline_s:
            time.sleep(0.5)
        output = cluster.folder / f"{name}.csv"
        text = (cluster.folder / f"{name}.csv.job" / f"{job}.events").read_text()
        lives.append(1 + max((int(part.split(",")[0]) for part in text.split('"life": ')[1:]), default=0))
        right = found["state"] == "COMPLETED" and output.exists() and output.read_bytes() == answer
        right = right and lives[-1] in allowed
        good += right
        if not right:
            print(f"{name}: {found['words']}\n{text}{cluster.hpckit('logs', '-n', '30', job).stdout}", flush=True)
    print(f"{what}: {good} of {len(jobs)} ended with the right bytes; lives: {' '.join(map(str, lives))}", flush=True)
    return good == len(jobs)


if __name__ == "__main__":
    sys.exit(main())

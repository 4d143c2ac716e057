"""Which nodes of a Slurm allocation are gone, and giving them back, so that a job can be started again on the others.

Slurm itself notices a lost node late (SlurmdTimeout, 300 s by default) and then ends the whole job. Nodes that do not
answer a step are therefore taken out of the job before that, by the resizing that scontrol(1) allows a job's owner.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ANSWER_S = 20.0
PROBE_S = 40.0  # a node that is off is given up by srun after about 11 s
GONE = ("down", "fail", "error", "unknown", "power", "reboot")  # how the states of nodes begin that run nothing
MARK = "hpckit-node"


def ask(argv: Sequence[str], limit_s: float = ANSWER_S, folder: str | None = None) -> tuple[int, str]:
    """(exit status, what it printed so far) of a program of Slurm's; status 124 if it did not end in time."""
    try:
        child = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            errors="replace", cwd=folder,
        )  # fmt: skip
    except OSError:
        return 127, ""
    try:
        text = child.communicate(timeout=limit_s)[0]
        return child.returncode, text
    except subprocess.TimeoutExpired:
        child.terminate()  # srun then ends its step, too
    try:
        return 124, child.communicate(timeout=2)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        return 124, ""


Ask = Callable[..., tuple[int, str]]


def nodes_left(environ: Mapping[str, str], ask: Ask = ask) -> tuple[list[str], list[str]]:
    """(nodes of this allocation that are there, those that are gone); two empty lists where that is not known.

    Gone are those that Slurm says are down or do not answer ("*" behind the state), and those that a step does not
    reach.
    """
    listed = environ.get("SLURM_JOB_NODELIST", "")
    if not listed or int(environ.get("SLURM_JOB_NUM_NODES", "1")) < 2:
        return [], []
    states: dict[str, str] = {}
    _, text = ask(["sinfo", "--noheader", "--Node", "--nodes", listed, "--format", "%N %T"])
    for line in text.splitlines():
        name, _, state = line.strip().partition(" ")
        if name and state:
            states[name] = state.strip().lower()
    believed = [name for name, state in states.items() if not (state.endswith("*") or state.startswith(GONE))]
    there = answering(believed, ask)
    left = [name for name in believed if name in there] if there else believed  # no answer at all says nothing
    return left, [name for name in states if name not in left]


def answering(nodes: Sequence[str], ask: Ask = ask) -> set[str]:
    """Those of `nodes` that run one process of a step."""
    if not nodes:
        return set()
    count = str(len(nodes))
    step = ["srun", "--overlap", "--mpi=none", "--no-kill", f"--nodelist={','.join(nodes)}", "--nodes", count]
    task = ["--ntasks", count, "--ntasks-per-node=1", "sh", "-c", f'echo {MARK} "$SLURMD_NODENAME"']
    _, text = ask([*step, *task], PROBE_S)
    return set(re.findall(rf"^{MARK} (\S+)$", text, re.MULTILINE))


def give_back(environ: Mapping[str, str], left: Sequence[str], ranks: int, ask: Ask = ask) -> dict[str, str]:
    """Take the nodes that are not among `left` out of the job; the variables that change for `ranks` on the rest.

    Empty if Slurm does not do it: then it ends the whole job, and queues it again, once it has noticed the loss.
    """
    job, names = environ.get("SLURM_JOB_ID", ""), ",".join(left)
    with tempfile.TemporaryDirectory() as folder:  # scontrol writes scripts with the new variables where it runs
        status, _ = ask(["scontrol", "update", f"JobId={job}", f"NodeList={names}"], ANSWER_S, folder)
        if status:
            return {}
        script = Path(folder) / f"slurm_job_{job}_resize.sh"
        text = script.read_text() if script.exists() else ""
    told = dict(re.findall(r'^export (SLURM_\w+)="([^"]*)"', text, re.MULTILINE))
    count, each = str(len(left)), -(-ranks // len(left))
    own = {
        "SLURM_NODELIST": names, "SLURM_JOB_NODELIST": names, "SLURM_NNODES": count, "SLURM_JOB_NUM_NODES": count,
        "SLURM_NTASKS": str(ranks), "SLURM_NPROCS": str(ranks), "SLURM_TASKS_PER_NODE": f"{each}(x{count})",
    }  # fmt: skip
    return {**own, **told}


def share(ranks: int, left: int, gone: int) -> int:
    """How many of `ranks` fit on the nodes that are left, as many on each as before; at least one."""
    return max(1, ranks * left // (left + gone))

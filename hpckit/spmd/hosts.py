"""Which nodes of a Slurm allocation are gone, so that a job can be started again on the others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

ANSWER_S = 20.0
GONE = ("down", "fail", "error", "unknown", "power", "reboot")  # how the states of nodes begin that run nothing


def ask(argv: list[str]) -> str:
    """What a program of Slurm's prints; "" if it does not answer."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=ANSWER_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def nodes_left(environ: Mapping[str, str], ask: Callable[[list[str]], str] = ask) -> tuple[list[str], list[str]]:
    """(nodes of this allocation that are there, those that are gone); two empty lists where that is not known.

    A state with "*" behind it belongs to a node that does not answer.
    """
    listed = environ.get("SLURM_JOB_NODELIST", "")
    if not listed or int(environ.get("SLURM_JOB_NUM_NODES", "1")) < 2:
        return [], []
    states: dict[str, str] = {}
    for line in ask(["sinfo", "--noheader", "--Node", "--nodes", listed, "--format", "%N %T"]).splitlines():
        name, _, state = line.strip().partition(" ")
        if name and state:
            states[name] = state.strip().lower()
    gone = [name for name, state in states.items() if state.endswith("*") or state.startswith(GONE)]
    return [name for name in states if name not in gone], gone


def share(ranks: int, left: int, gone: int) -> int:
    """How many of `ranks` fit on the nodes that are left, as many on each as before; at least one."""
    return max(1, ranks * left // (left + gone))

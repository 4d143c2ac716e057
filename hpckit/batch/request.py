"""What a user asks `hpckit submit` for: resources, how to start ranks, how often to go on, and the command."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from hpckit.batch import durations
from hpckit.errors import UserError
from hpckit.frozen import frozen

SAVE_BEFORE_S = 180  # --signal can come 20 s late, and a node under load needs time to write
RESTARTS = 20
TICK_S = 30  # Slurm looks at time limits this often
RANGE_HELP = "N or MIN-MAX, e.g. 4 or 2-8"


@frozen
class Request:
    """One submission. `options` are sbatch's long names without dashes (nodes, time, …); `extra` goes to it as it is.

    `command` is "hpckit" with a command of it, or a program. With `inputs` it is a job array: {input}, {stem} and
    {index} in the command become each line's of `inputs_file`. `checkpoint` is where work is saved ("": nowhere).
    """

    command: list[str]
    options: dict[str, str]
    extra: list[str] = field(default_factory=list)
    launcher: str = "mpirun"
    pmi: str = ""
    run_options: list[str] = field(default_factory=list)  # of `hpckit run`, e.g. --survive
    restarts: int = RESTARTS
    requeue: bool = True
    chain: int = 1
    save_before_s: int = SAVE_BEFORE_S
    modules: list[str] = field(default_factory=list)
    environment: str = ""  # the venv or prefix that hpckit is installed in
    setup: list[str] = field(default_factory=list)
    stage_env: str = ""  # packed environment to unpack on each node
    inputs: int = 0  # tasks of a job array
    inputs_file: str = ""
    tasks: str = ""  # those to run, "" for all
    at_once: int = 0
    merge: list[str] = field(default_factory=list)
    output: str = ""
    checkpoint: str = ""
    folder: str = ""
    work_folder: str = ""


def from_json(values: dict[str, Any]) -> Request:
    """A request as a record keeps it. Raises TypeError or ValueError if it is none."""
    known = Request.__match_args__
    made = Request(**{name: value for name, value in values.items() if name in known})
    if (
        not made.command
        or not all(isinstance(word, str) for word in made.command)
        or not isinstance(made.options, dict)
    ):
        raise ValueError("no command")
    return made


def to_json(request: Request) -> dict[str, Any]:
    """The request as JSON takes it."""
    return {name: getattr(request, name) for name in Request.__match_args__}


def node_range(text: str, origin: str = "") -> tuple[int, int]:
    """ "4" -> (4, 4), "2-8" -> (2, 8). Raises UserError, which names `origin` where it is no option."""
    what = f"{origin}: nodes = {text}" if origin else f"--nodes {text}"
    low, dash, high = text.partition("-")
    if not low.isdigit() or (dash and not high.isdigit()):
        raise UserError(f"{what}: expected {RANGE_HELP}")
    least, most = int(low), int(high) if dash else int(low)
    if least < 1 or most < least:
        raise UserError(f"{what}: expected {RANGE_HELP}, at least 1 and in ascending order")
    return least, most


def with_ranks(options: dict[str, str]) -> dict[str, str]:
    """sbatch options that say how many ranks: without a word one on each node, and not all of them on the first."""
    if "ntasks" in options or "ntasks-per-node" in options:
        return options
    return {**options, "ntasks-per-node": "1"}


def save_before(time: str | None, asked_s: float | None) -> int:
    """Seconds before the time limit at which ranks are told to save. Raises UserError.

    Slurm acts on limits every 30 s, so a short lead may pass unnoticed. A job shorter than three times the usual lead
    gives a third of its time.
    """
    limit_s = durations.parse(time) if time else float("inf")
    if asked_s is not None:
        if asked_s >= limit_s:
            raise UserError(f"--save-before {asked_s:g} s: --time {time} leaves no time to work; ask for more time")
        return max(1, int(asked_s))
    return int(max(1, min(SAVE_BEFORE_S, limit_s / 3)))

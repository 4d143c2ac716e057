"""Around the job: attempts under any MPI until one succeeds, with pauses between them, and a word on each failure."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hpckit.errors import EXIT_OK, EXIT_REQUEUE, EXIT_USER
from hpckit.frozen import frozen
from hpckit.spmd import hosts
from hpckit.spmd.attempt import Attempt, Ending
from hpckit.spmd.guard import Guard
from hpckit.spmd.launch import ATTEMPT_VARIABLE, SURVIVE_VARIABLE
from hpckit.spmd.mpirun import Launcher, check_survival
from hpckit.spmd.pulse import HEARTBEAT_VARIABLE, PULSE_VARIABLE, open_map
from hpckit.spmd.telling import SUPERVISOR_VARIABLE, Listener

AGREE_S = 20.0  # beyond the heartbeat, which ends the wait for a stopped rank
START_MAX_S = 300.0  # for the first rank of a restart to be there, if any was in the attempt before
BACKOFF_S, BACKOFF_MAX_S = 1.0, 60.0  # before the first restart; doubled for each further one, up to the maximum


@frozen
class Care:
    """What is done for a job: in-job survival, how often it is started again, and the seconds after which a rank that
    stands still is killed, and a whole job given up (0 = never)."""

    survive: bool = False
    heartbeat_s: float = 0.0
    restarts: int = 0
    stall_s: float = 0.0

    @property
    def watches(self) -> bool:
        """Whether anybody has to look at the ranks."""
        return self.survive or self.heartbeat_s > 0 or self.stall_s > 0


def supervise(launcher: Launcher, ranks: int, program: list[str], environ: Mapping[str, str], care: Care) -> int:
    """Run `program` on so many ranks, again after a failure up to care.restarts times; returns the exit status.

    The user's mistake (2), work that was saved for a requeue (75), and a job that was told to end are not retried: the
    first would fail again, the others are decided by whoever asked.
    """
    if care.survive:
        check_survival(launcher)
    place, start_max_s = _Place(ranks, [], dict(environ)), 0.0
    for attempt in range(1, care.restarts + 2):
        place.environ[ATTEMPT_VARIABLE] = str(attempt)
        ending = _attempt(launcher, place, program, care, start_max_s)
        start_max_s = START_MAX_S if ending.met else start_max_s
        if ending.status in (EXIT_OK, EXIT_USER, EXIT_REQUEUE) or ending.asked:
            break
        if attempt > care.restarts:
            if care.restarts or care.watches:
                _say(f"attempt {attempt} of {care.restarts + 1} failed after {ending.elapsed_s:.1f} s: {ending.reason}")
            break
        pause_s = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** (attempt - 1))
        _say(
            f"attempt {attempt} of {care.restarts + 1} failed after {ending.elapsed_s:.1f} s: {ending.reason}; "
            f"starting again in {pause_s:.0f} s"
        )
        time.sleep(pause_s)
        place = _where(place)
    return ending.status


@frozen
class _Place:
    """Where an attempt runs: how many ranks, the nodes to start them on (none for all), and the variables there."""

    ranks: int
    nodes: list[str]
    environ: dict[str, str]


def _attempt(launcher: Launcher, place: _Place, program: list[str], care: Care, start_max_s: float) -> Ending:
    """Start the job once and wait for its end; with `start_max_s`, for no longer than that until a rank is there."""
    environ = place.environ
    arguments, env = launcher.command(place.ranks, program, environ, survive=care.survive, nodes=place.nodes)
    instead, chatty = launcher.instead(), launcher.kind == "Open MPI"
    if not care.watches:
        return Attempt(instead=instead, chatty=chatty).run(arguments, env)
    with contextlib.ExitStack() as stack:
        path = _pulse_path()
        mapped, _ = open_map(path, place.ranks)
        stack.callback(_remove, path)
        attempt = Attempt(care.stall_s, care.survive, instead, chatty, care.heartbeat_s + AGREE_S, _say, start_max_s)
        listener = Listener(attempt.take, launcher.other_nodes(environ))
        stack.callback(listener.close)
        env |= {
            PULSE_VARIABLE: path,
            HEARTBEAT_VARIABLE: str(care.heartbeat_s),
            SUPERVISOR_VARIABLE: listener.address,
        }
        if care.survive:
            env[SURVIVE_VARIABLE] = "1"
        return attempt.run(arguments, env, Guard(mapped, care.heartbeat_s, attempt.take), listener.start)


def _where(before: _Place) -> _Place:
    """Where to start again: on fewer nodes, with as many ranks on each, if some of the allocation are gone."""
    if "SLURM_JOB_ID" not in before.environ:
        return before
    # A step that lost a node ends only when Slurm notices: the launcher's next one must not wait for its cores.
    environ = {**before.environ, "SLURM_OVERLAP": "1"}
    left, gone = hosts.nodes_left(environ)
    had = before.nodes or left + gone
    if not left or len(left) == len(had):
        return replace(before, environ=environ)
    ranks = hosts.share(before.ranks, len(left), len(had) - len(left))
    changed = hosts.give_back(environ, left, ranks)
    _say(f"{', '.join(gone)}: gone; {ranks} rank{'s' * (ranks > 1)} on {', '.join(left)}")
    if not changed:
        _say("Slurm does not take lost nodes out of this job: it will queue the whole job again when it notices")
    return _Place(ranks, left, {**environ, **changed})


def _pulse_path() -> str:
    """A name for the file of slots, free on this node; other nodes use the same one. Those of the dead are removed."""
    folder = next((f for f in ("/dev/shm", tempfile.gettempdir()) if os.access(f, os.W_OK)), ".")
    prefix = f"hpckit-pulse-{socket.gethostname()}-"
    for old in Path(folder).glob(f"{prefix}*"):
        owner = old.name[len(prefix) :].partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(OSError):
                old.unlink()
    handle, path = tempfile.mkstemp(prefix=f"{prefix}{os.getpid()}-", dir=folder)
    os.close(handle)
    return path


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()


def _say(text: str) -> None:
    print(f"hpckit run: {text}", file=sys.stderr, flush=True)

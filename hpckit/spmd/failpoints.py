"""Named places at which a test can have a rank die or stop: HPCKIT_FAIL_AT="name:rank:count[:signal],…".

The process of that rank (as the launcher numbered it) gets the signal (KILL if none is given) when it comes to the
named place for the count-th time. Where the variable is not set, a fail point is a call that returns; a job that
`hpckit run` starts again runs without.
"""

from __future__ import annotations

import os
import signal

from hpckit.errors import UserError
from hpckit.spmd.launch import ATTEMPT_VARIABLE, launcher_rank

VARIABLE = "HPCKIT_FAIL_AT"
SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP, "TERM": signal.SIGTERM, "USR1": signal.SIGUSR1}

_armed: dict[str, list[tuple[int, signal.Signals]]] = {}  # of this rank: name -> (calls left, signal)


def fail_point(name: str) -> None:
    """Where HPCKIT_FAIL_AT says so, the end of this process; else nothing. Local."""
    if _armed:
        _pass(name)


def parse(text: str) -> list[tuple[str, int, int, signal.Signals]]:
    """(name, rank, count, signal) of each entry; UserError if it cannot be read."""
    entries = []
    for entry in filter(None, text.split(",")):
        name, rank, count, kind = (*entry.split(":"), "KILL")[:4] if entry.count(":") in (2, 3) else ("", "", "", "")
        if not (name and rank.isdigit() and count.isdigit() and kind in SIGNALS):
            raise UserError(
                f"{VARIABLE}, {entry!r}: expected name:rank:count[:signal] with a signal of {', '.join(SIGNALS)}, "
                "e.g. exchange.before:1:2:STOP"
            )
        entries.append((name, int(rank), int(count), SIGNALS[kind]))
    return entries


def arm(text: str, rank: int) -> None:
    """From now on this process, as `rank`, fails where `text` says so."""
    _armed.clear()
    for name, victim, count, number in parse(text):
        if victim == rank:
            _armed.setdefault(name, []).append((count, number))


def arm_from_environment() -> None:
    """As HPCKIT_FAIL_AT says, in the first attempt of a job. Local."""
    if VARIABLE in os.environ and os.environ.get(ATTEMPT_VARIABLE, "1") == "1":
        arm(os.environ[VARIABLE], launcher_rank())


def _pass(name: str) -> None:
    waiting = [(calls - 1, number) for calls, number in _armed.get(name, [])]
    _armed[name] = [entry for entry in waiting if entry[0] > 0]
    for calls, number in waiting:
        if calls == 0:
            os.kill(os.getpid(), number)

"""Named places at which a test can have a rank die or stop: HPCKIT_FAIL_AT="name:rank:count[:signal],…".

The process of that rank (as the launcher numbered it) gets the signal (KILL if none is given) when it comes to the
named place for the count-th time. Where the variable is not set, a fail point is a call that returns.
"""

from __future__ import annotations

import os
import signal

from hpckit.errors import UserError
from hpckit.spmd.launch import launcher_rank

VARIABLE = "HPCKIT_FAIL_AT"
SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP, "TERM": signal.SIGTERM, "USR1": signal.SIGUSR1}

_armed: dict[str, list[tuple[int, signal.Signals]]] = {}  # of this rank: name -> (calls left, signal)


def fail_point(name: str) -> None:
    """Where HPCKIT_FAIL_AT says so, the end of this process; else nothing. Local."""
    if _armed:
        _pass(name)


def arm(text: str, rank: int) -> None:
    """Take in what HPCKIT_FAIL_AT says for `rank`; UserError if it cannot be read."""
    _armed.clear()
    for entry in filter(None, text.split(",")):
        name, _, rest = entry.partition(":")
        fields = rest.split(":")
        if len(fields) not in (2, 3) or not all(f.isdigit() for f in fields[:2]):
            raise UserError(f"{VARIABLE}={text!r}: expected name:rank:count[:signal], e.g. exchange.before:1:2:STOP")
        kind = fields[2] if len(fields) == 3 else "KILL"
        if kind not in SIGNALS:
            raise UserError(f"{VARIABLE}={text!r}: signal {kind!r}: expected one of {', '.join(SIGNALS)}")
        if int(fields[0]) == rank:
            _armed.setdefault(name, []).append((int(fields[1]), SIGNALS[kind]))


def _pass(name: str) -> None:
    waiting = [(calls - 1, number) for calls, number in _armed.get(name, [])]
    _armed[name] = [entry for entry in waiting if entry[0] > 0]
    for calls, number in waiting:
        if calls == 0:
            os.kill(os.getpid(), number)


if os.environ.get(VARIABLE):
    arm(os.environ[VARIABLE], launcher_rank())

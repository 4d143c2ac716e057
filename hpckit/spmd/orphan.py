"""A rank that loses its launcher ends itself: after a node's death ranks were seen computing on for an hour.

Two ways, since neither is enough: the kernel sends SIGTERM when the direct parent dies, and a thread waits for the end
of the launcher's process wherever it is among the ancestors, gives the program time to save, and then ends it, whatever
it is doing.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

GRACE_S = 20.0  # between being told to end and the end
POLL_S = 1.0
PR_SET_PDEATHSIG = 1  # prctl(2)
LAUNCHERS = ("prterun", "prted", "mpirun", "mpiexec", "orted", "hydra_pmi_proxy", "hydra_bstrap_proxy", "slurmstepd")


def follow_launcher() -> None:
    """From now on this process ends when its launcher does. Local; nothing where no launcher is found."""
    if not sys.platform.startswith("linux"):
        return
    launcher = find_launcher()
    if launcher is None:
        return
    if os.getppid() == launcher:  # the kernel goes by the thread that forked: these launchers have one for it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    threading.Thread(target=_follow, args=(launcher,), daemon=True, name="launcher").start()


def find_launcher(pid: int | None = None) -> int | None:
    """The nearest ancestor that is an MPI launcher or its daemon; None if there is none."""
    pid = os.getppid() if pid is None else pid
    while pid > 1:
        try:
            name, fields = _stat(pid)
        except OSError:
            return None
        if name in LAUNCHERS:
            return pid
        pid = int(fields[1])
    return None


def _stat(pid: int) -> tuple[str, list[str]]:
    """(name, the fields behind it) of /proc/PID/stat, see proc(5)."""
    head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    return head.partition("(")[2], tail.split()


def _follow(launcher: int) -> None:
    _wait_for_end(launcher)
    os.kill(os.getpid(), signal.SIGTERM)  # a program that saves its work on SIGTERM may do so
    time.sleep(GRACE_S)
    os._exit(128 + signal.SIGTERM)


def _wait_for_end(pid: int) -> None:
    try:
        waiting = os.pidfd_open(pid)
    except (AttributeError, OSError):  # an old kernel; or it has ended already
        while _is_running(pid):
            time.sleep(POLL_S)
        return
    select.select([waiting], [], [])


def _is_running(pid: int) -> bool:
    try:
        return _stat(pid)[1][0] not in "ZX"
    except OSError:
        return False

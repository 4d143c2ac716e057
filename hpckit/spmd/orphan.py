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

from hpckit.spmd.pulse import stat

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
        die_with_parent()
    threading.Thread(target=_follow, args=(launcher,), daemon=True, name="launcher").start()


def die_with_parent() -> None:
    """From now on this process gets SIGTERM when its parent dies, even by SIGKILL. Local; nothing but on Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def find_launcher(pid: int | None = None) -> int | None:
    """The nearest ancestor that is an MPI launcher or its daemon; None if there is none."""
    pid = os.getppid() if pid is None else pid
    while pid > 1:
        try:
            name, fields = stat(pid)
        except OSError:
            return None
        if name in LAUNCHERS:
            return pid
        pid = int(fields[1])
    return None


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
        return stat(pid)[1][0] not in "ZX"
    except OSError:
        return False

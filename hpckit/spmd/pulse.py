"""The pulse of a job: per node one small mapped file in which every rank counts what it gets done, for those who watch.

`hpckit run` names the file (HPCKIT_PULSE) where somebody watches. A slot per rank holds its process, when that process
started (numbers of processes are used again), how often it got something done, and how far it is. See guard.py for the
reader.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from pathlib import Path

from hpckit.frozen import frozen
from hpckit.spmd.launch import launcher_rank, launcher_size

PULSE_VARIABLE = "HPCKIT_PULSE"  # path of the file, the same on every node
HEARTBEAT_VARIABLE = "HPCKIT_HEARTBEAT"  # seconds after which a rank that stands still is killed; 0 = never
SLOT = struct.Struct("=qqqq")  # process, its start in clock ticks, beats, state
SLOT_BYTES = 64  # a cache line each: ranks do not slow each other down
BEATS_AT, STATE_AT = 16, 24
STARTING, UP, ENDED, AGREEING = range(4)  # until MPI and the context are there; at work; ends in order; see settle()
PULSE = struct.Struct("=q")


@frozen
class Slot:
    """What a rank has told: its process, when that started, how much it got done, and its state."""

    pid: int
    start_ticks: int
    beats: int
    state: int


class Pulse:
    """This process's slot."""

    def __init__(self, path: str, rank: int, ranks: int) -> None:
        self._map, created = open_map(path, ranks)
        self._at, self._beats = rank * SLOT_BYTES, 0
        SLOT.pack_into(self._map, self._at, os.getpid(), start_ticks(os.getpid()) or 0, 0, 0)
        if created:
            _start_guard(path)

    def beat(self) -> None:
        """Something got done."""
        self._beats += 1
        PULSE.pack_into(self._map, self._at + BEATS_AT, self._beats)

    def reach(self, state: int) -> None:
        """This process is so far."""
        PULSE.pack_into(self._map, self._at + STATE_AT, state)


_pulse: Pulse | None = None


def join() -> None:
    """Take this rank's slot, if somebody watches this job. Local."""
    global _pulse
    path = os.environ.get(PULSE_VARIABLE)
    if path and _pulse is None:
        try:
            _pulse = Pulse(path, launcher_rank(), launcher_size())
        except OSError:  # a node without room for it goes unwatched; the job is worth more
            os.environ.pop(PULSE_VARIABLE)


def beat() -> None:
    """Something got done: no stuck job. Local; nothing where nobody watches."""
    if _pulse is not None:
        _pulse.beat()


def reach(state: int) -> None:
    """This process is so far: UP, ENDED, AGREEING. Local."""
    if _pulse is not None:
        _pulse.reach(state)


def open_map(path: str, ranks: int) -> tuple[mmap.mmap, bool]:
    """(the file of `ranks` slots mapped, whether this call made it)."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        file, created = os.open(path, flags | os.O_EXCL, 0o600), True
    except FileExistsError:
        file, created = os.open(path, flags, 0o600), False
    try:
        os.ftruncate(file, ranks * SLOT_BYTES)
        return mmap.mmap(file, ranks * SLOT_BYTES), created
    finally:
        os.close(file)


def read_slots(mapped: mmap.mmap) -> dict[int, Slot]:
    """The slots in use, by rank."""
    slots = {}
    for rank in range(len(mapped) // SLOT_BYTES):
        pid, start, beats, state = SLOT.unpack_from(mapped, rank * SLOT_BYTES)
        if pid:
            slots[rank] = Slot(pid, start, beats, state)
    return slots


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is no such process (Linux; elsewhere 0)."""
    return _stat_field(pid, 19)


def cpu_ticks(pid: int) -> int | None:
    """How much a process has computed, in clock ticks; None if there is no such process (Linux; elsewhere 0)."""
    user, system = _stat_field(pid, 11), _stat_field(pid, 12)
    return None if user is None or system is None else user + system


def stat(pid: int) -> tuple[str, list[str]]:
    """(name, the fields behind it) of /proc/PID/stat, see proc(5). OSError if there is no such process."""
    head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    return head.partition("(")[2], tail.split()


def _stat_field(pid: int, index: int) -> int | None:
    """A number of /proc/PID/stat, counted behind the name; a zombie is no process any more."""
    if not Path("/proc/self/stat").exists():
        return 0
    try:
        _, fields = stat(pid)
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[index])


def _start_guard(path: str) -> None:
    """Watch the ranks of this node, from a process that goes on when a rank is stopped or killed."""
    import subprocess

    subprocess.Popen(
        [sys.executable, "-m", "hpckit.spmd.guard", path, os.environ.get(HEARTBEAT_VARIABLE, "0")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a launcher waits until nobody holds the ranks' output any more
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

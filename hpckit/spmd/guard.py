"""Watches the ranks of one node: kills those that stand still, and tells the supervisor how much gets done.

A peer that is stopped, not dead, would be waited for without end: the agreement after a loss, too, needs everybody's
answer. A rank stands still when it neither counted any work nor used its processor for the time of a heartbeat; one
that computes for long between two messages does not.

`python -m hpckit.spmd.guard PATH HEARTBEAT_S` runs on nodes other than the supervisor's, which has its own Guard.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from hpckit.spmd.pulse import AGREEING, ENDED, STARTING, Slot, cpu_ticks, read_slots, start_ticks
from hpckit.spmd.telling import tell

STEP_S = 0.25
STEP_MAX_S = 1.0  # a step that comes later was itself stopped, and what stood still meanwhile is not to blame for more
TELL_S = 1.0
START_S = 3.0  # so long after a death a rank may still be starting, if it does not need the dead for it
EMPTY_S = 5.0  # so long without any live rank, a guard of its own ends


class Guard:
    """Looks at the slots of a node in steps. `tell` gets what the supervisor should know."""

    def __init__(self, mapped: mmap.mmap, heartbeat_s: float, tell: Callable[[dict[str, Any]], object]) -> None:
        self._map, self._heartbeat_s, self._tell = mapped, heartbeat_s, tell
        self._moved: dict[
            int, tuple[tuple[int, int, int], float]
        ] = {}  # rank: (process, beats, ticks), still for so long
        self._starting = False  # whether any rank is
        self._dead: dict[int, float] = {}  # rank: since when
        self._agreeing_s = 0.0  # how long all that live have been waiting for each other's agreement
        self._early = False  # whether it has been told that a rank died too early
        self._last_s = self._told_s = self._alive_s = time.monotonic()

    def step(self, now_s: float) -> bool:
        """Look once; False once no rank has been alive for long."""
        step_s = min(now_s - self._last_s, STEP_MAX_S)
        self._last_s = now_s
        slots = read_slots(self._map)
        self._starting = any(slot.state == STARTING and _lives(slot) for slot in slots.values())
        for rank, slot in slots.items():
            self._look_at(rank, slot, now_s, step_s)
        states = {slot.state for slot in slots.values() if _lives(slot)}
        self._agreeing_s = self._agreeing_s + step_s if states == {AGREEING} else 0.0
        if now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            beats = sum(slot.beats for slot in slots.values())
            self._tell(
                {"node": socket.gethostname(), "beats": beats, "agreeing_s": self._agreeing_s if states else None}
            )
        return now_s - self._alive_s < EMPTY_S

    def _look_at(self, rank: int, slot: Slot, now_s: float, step_s: float) -> None:
        ticks = cpu_ticks(slot.pid)
        if ticks is None or start_ticks(slot.pid) != slot.start_ticks:  # gone, or another process under its number
            if slot.state != ENDED:
                self._dead.setdefault(rank, now_s)
                self._dead_at_start(rank, slot, now_s)
            return
        self._alive_s = now_s
        pulse = (slot.pid, slot.beats, ticks)
        if rank not in self._moved or self._moved[rank][0] != pulse:
            self._moved[rank] = (pulse, 0.0)
            return
        still_s = self._moved[rank][1] + step_s
        self._moved[rank] = (pulse, still_s)
        if self._heartbeat_s and still_s > self._heartbeat_s and slot.state != ENDED:
            with contextlib.suppress(ProcessLookupError):
                os.kill(slot.pid, signal.SIGKILL)
            self._tell({"killed": rank, "node": socket.gethostname(), "still_s": round(still_s, 1)})
            del self._moved[rank]

    def _dead_at_start(self, rank: int, slot: Slot, now_s: float) -> None:
        """Tell of a rank that died while this or another one was starting: MPI cannot start without it."""
        waited_for = slot.state == STARTING or (self._starting and now_s - self._dead[rank] > START_S)
        if waited_for and not self._early:
            self._early = True
            self._tell({"early": rank, "node": socket.gethostname()})

    def met_ranks(self) -> bool:
        """Whether any rank of this node ever took its slot."""
        return bool(read_slots(self._map))

    def kill_all(self) -> None:
        """End every rank of this node that is still alive."""
        for slot in read_slots(self._map).values():
            if _lives(slot):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.pid, signal.SIGKILL)


def _lives(slot: Slot) -> bool:
    return start_ticks(slot.pid) == slot.start_ticks


def main(path: str, heartbeat_s: float) -> None:
    """Watch until no rank is left, then take the file away."""
    file = os.open(path, os.O_RDWR)
    guard = Guard(mmap.mmap(file, 0), heartbeat_s, tell)
    os.close(file)
    try:
        while guard.step(time.monotonic()):
            time.sleep(STEP_S)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

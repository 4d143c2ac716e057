"""One start of a job under `hpckit run`: its launcher, signals handed on, its ranks watched, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

from hpckit.errors import EXIT_INTERNAL, EXIT_OK, EXIT_REQUEUE, EXIT_USER, LaunchError
from hpckit.frozen import frozen
from hpckit.spmd.chatter import Relay
from hpckit.spmd.guard import STEP_S, Guard
from hpckit.spmd.orphan import die_with_parent

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 60.0  # between asking the job to save its work and end, and killing it
RELAY_S = 2.0  # how long the last words of the ranks may take
ABORT_S = 3.0  # how long a launcher may go on after a rank has ended the job
FRESH_S = 5.0  # how old the last word of a node may be to count
ENDED_S = 10.0  # how long a launcher may go on after the job has said that it ended well


@frozen
class Ending:
    """How an attempt ended: its exit status (128 + signal for a killed launcher), why, and how long it took."""

    status: int
    reason: str
    elapsed_s: float
    asked: bool = False  # somebody told the job to end
    met: bool = False  # a rank was seen


class Attempt:
    """A launched job, watched until it ends.

    A job in which nothing gets done for `stall_s` seconds is killed (0 = never). With `confirmed`, an exit status of 0
    counts only if a rank has said that it ended (a program that never used hpckit's world cannot say so). `instead`
    maps signals to those that the launcher gets for them. `chatty`: the launcher says things that nobody should read.
    `agree_max_s`: how long all ranks together may wait for an agreement, which takes milliseconds once all have come.
    `start_max_s`: how long the launcher may take until a rank is there (0 = for ever: not every program says so).
    """

    def __init__(
        self,
        stall_s: float = 0.0,
        confirmed: bool = False,
        instead: dict[int, int] | None = None,
        chatty: bool = False,
        agree_max_s: float = 60.0,
        say: Callable[[str], None] = lambda text: None,
        start_max_s: float = 0.0,
    ) -> None:
        self._start_max_s, self._met = start_max_s, False
        self._stall_s, self._confirmed = stall_s, confirmed
        self._guard: Guard | None = None
        self._instead, self._chatty, self._say = instead or {}, chatty, say
        self._agree_max_s = agree_max_s
        self._lock = threading.Lock()
        self._beats: dict[str, int] = {}  # by node
        self._agreeing: dict[str, tuple[float, float]] = {}  # by node: told when, for how long all its ranks have been
        self._progress_s = self._start_s = time.monotonic()
        self._said_end = False
        self._told: int | None = None  # the exit status that a rank has told
        self._speaker: int | None = None  # the rank that says why the job fails
        self._early = ""
        self._asked_s = self._ended_s = self._abort_s = 0.0
        self._asked_signal = 0

    def take(self, message: dict[str, Any]) -> bool:
        """A message from a rank or a guard, in any thread; False to a rank that should leave the word to another."""
        with self._lock:
            if "speaks" in message:
                self._speaker = message["speaks"] if self._speaker is None else self._speaker
                return bool(self._speaker == message["speaks"])
            self._met = self._met or bool(message.get("beats"))
            if "beats" in message and self._beats.get(str(message.get("node"))) != message["beats"]:
                self._beats[str(message.get("node"))] = message["beats"]
                self._progress_s = time.monotonic()
            if message.get("agreeing_s") is not None:
                self._agreeing[str(message.get("node"))] = (time.monotonic(), message["agreeing_s"])
            if "ended" in message and self._told is None:
                self._said_end, self._told = True, message["status"]
                self._ended_s = time.monotonic() if self._told == EXIT_OK else 0.0
            if "abort" in message:
                self._abort_s = self._abort_s or time.monotonic()
        if "killed" in message:
            self._say(f"rank {message['killed']} on {message['node']} stood still for {message['still_s']} s: killed")
        if "early" in message and self._confirmed:
            self._early = f"rank {message['early']} on {message['node']} died before the job had started up"
        if "lost" in message:
            self._say(message["lost"])
        return True

    def run(
        self,
        arguments: list[str],
        environ: dict[str, str],
        guard: Guard | None = None,
        started: Callable[[], None] = lambda: None,
    ) -> Ending:
        """Start the launcher in a process group of its own and wait for it. `guard` looks after this node's ranks;
        `started` is called once no process will be forked any more: threads may start."""
        self._guard = guard
        self._progress_s = self._start_s = time.monotonic()
        try:
            child = subprocess.Popen(
                arguments,
                env=environ,
                # In its own group the launcher is not the terminal's foreground any more: reading it would stop it.
                stdin=subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None,
                stderr=subprocess.PIPE if self._chatty else None,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has one thread so far
            )
        except OSError as error:
            raise LaunchError(f"{arguments[0]} cannot be started: {error.strerror}") from error
        started()
        relay = Relay(child.stderr.fileno(), sys.stderr.fileno()) if child.stderr is not None else None
        with self._handing_on(child):
            try:
                reason = self._watch(child)
            finally:
                self._end(child)
        if relay is not None:
            relay.join(RELAY_S)
        lost = relay.chosen.lost if relay is not None else []
        return replace(self._ending(child.wait(), reason, lost), met=self._has_met())

    @contextlib.contextmanager
    def _handing_on(self, child: subprocess.Popen[bytes]) -> Iterator[None]:
        """Signals to this process go to the launcher, which hands them to the ranks."""

        def forward(number: int, frame: FrameType | None) -> None:
            del frame
            if number in TO_END and not self._asked_s:
                self._asked_s, self._asked_signal = time.monotonic(), number
            child.send_signal(self._instead.get(number, number))

        old = {number: signal.signal(number, forward) for number in FORWARDED}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _watch(self, child: subprocess.Popen[bytes]) -> str:
        """Until the launcher ends or has to be ended; why, "" if it ended by itself."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=STEP_S)
                return ""
            now_s = time.monotonic()
            if self._guard is not None:
                self._guard.step(now_s)
            if self._early:
                return self._early
            if self._asked_s and now_s - self._asked_s > GRACE_S:
                return f"did not end within {GRACE_S:.0f} s of being asked to"
            if self._abort_s and self._guard is not None:
                self._guard.kill_all()  # the launcher then ends by itself, with all that was printed
                if now_s - self._abort_s > ABORT_S:
                    return "ranks went on after one had ended the job"
            if self._ended_s and now_s - self._ended_s > ENDED_S:
                return "the launcher went on after the job's end"
            if self._never_agree(now_s):
                return "the ranks that are left wait for an agreement that does not come"
            if self._start_max_s and now_s - self._start_s > self._start_max_s and not self._has_met():
                return f"no rank was there after {self._start_max_s:.0f} s"
            with self._lock:
                still_s = now_s - self._progress_s
            if self._stall_s and still_s > self._stall_s and not self._ended_s:
                return f"stuck: no rank got anything done for {still_s:.0f} s"

    def _has_met(self) -> bool:
        """Whether a rank of any node has been there."""
        return self._met or (self._guard is not None and self._guard.met_ranks())

    def _never_agree(self, now_s: float) -> bool:
        """Whether all ranks of all nodes have been in an agreement for so long that MPI must have lost track of it."""
        with self._lock:
            waits = [wait_s for told_s, wait_s in self._agreeing.values() if now_s - told_s < FRESH_S]
        return bool(waits) and min(waits) > self._agree_max_s

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """Kill what is left of the launcher's process group and of the ranks; nothing is what one hopes for."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        if self._guard is not None:
            self._guard.kill_all()

    def _ending(self, code: int, reason: str, lost: list[str]) -> Ending:
        elapsed_s, asked = time.monotonic() - self._start_s, bool(self._asked_s)
        status = 128 - code if code < 0 else code
        if self._told is not None:  # what happened to ranks or launcher after that changes nothing
            return Ending(self._told, _in_words(self._told), elapsed_s, asked)
        if lost:
            reason = f"{', '.join(lost)}: lost, and Open MPI's launcher cannot go on without"
        unsaid = self._confirmed and not self._said_end and (self._guard is None or self._guard.met_ranks())
        if status == EXIT_OK and unsaid:
            reason = reason or "no rank was left to end the job"
        if reason:
            status = EXIT_INTERNAL
        if asked and status not in (EXIT_OK, EXIT_USER, EXIT_REQUEUE):
            status = 128 + self._asked_signal
        return Ending(status, reason or _in_words(code), elapsed_s, asked)


def _in_words(code: int) -> str:
    number = -code if code < 0 else code - 128
    if code < 0 or code > 128:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
    return f"exit status {code}"

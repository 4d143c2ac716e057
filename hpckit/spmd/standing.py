"""How far a running job is, in small files for those who look at it from outside: `hpckit status` of a batch job.

PATH            JSON, by rank 0: what is done and in all, since when, on how many ranks, what was saved last
PATH.d/NODE     64 bytes for each rank of a node: what it has done of its own share

HPCKIT_STANDING names PATH, which lies beside the job's record. No messages: each rank writes alone, at most every 2 s
and all of them together at most 500 times a second, into a file that no other node writes (nodes that write one page or
stripe take it from each other). What cannot be written is left out.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

from hpckit.frozen import frozen
from hpckit.spmd.launch import ATTEMPT_VARIABLE, launcher_local_rank, launcher_rank

STANDING_VARIABLE = "HPCKIT_STANDING"
SLOT = struct.Struct("=qqqqqd")  # run, rank, bytes done, bytes of this rank, lines, when
SLOT_BYTES = 64
INTERVAL_S = 2.0
WRITES_PER_S_MAX = 500
AGAIN_S = 60.0  # before the next try where writing failed
NODES_MAX = 1000  # looked at by a reader

_scans = 0  # begun by this process; ranks begin the same ones
_saved_s = 0.0  # when this rank saved last


def saved() -> None:
    """This rank has saved its work. Local."""
    global _saved_s
    _saved_s = time.time()


def run_number() -> int:
    """Tells apart what is written in a life of the job, an attempt in it, and a scan of that."""
    life, attempt = (os.environ.get(name, "0") for name in ("SLURM_RESTART_COUNT", ATTEMPT_VARIABLE))
    number = 0
    for part in (life, attempt):
        number = number * 1000 + (int(part) % 1000 if part.isdigit() else 0)
    return number * 1000 + _scans % 1000


class Writer:
    """What one rank tells of one scan. Local, and without a sound if it cannot."""

    def __init__(self, path: str, rank: int, ranks: int, label: str, bytes_total: int, bytes_own: int) -> None:
        global _scans
        _scans += 1
        self._path, self._rank = path, rank
        self._run, self._start_s = run_number(), time.time()
        self._own = bytes_own
        self._head = {"label": label, "run": self._run, "start_s": self._start_s, "ranks": ranks, "bytes": bytes_total}
        self._interval_s = max(INTERVAL_S, ranks / WRITES_PER_S_MAX)
        self._next_s = time.monotonic() + (0.0 if rank == 0 else self._interval_s * (rank % 64) / 64)

    def update(self, bytes_done: int, lines: int) -> None:
        """This rank has done so much of its share."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._interval_s
        try:
            self._write_slot(bytes_done, lines)
            if self._rank == 0:
                self._write_head(bytes_done, lines)
        except OSError:
            self._next_s = now_s + AGAIN_S

    def _write_slot(self, bytes_done: int, lines: int) -> None:
        folder = f"{self._path}.d"
        node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        data = SLOT.pack(self._run, launcher_rank(), bytes_done, self._own, lines, time.time()).ljust(SLOT_BYTES, b"\0")
        try:
            file = os.open(f"{folder}/{node}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            file = os.open(f"{folder}/{node}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:  # closed at once: network file systems show others what was written when a file is closed
            os.pwrite(file, data, launcher_local_rank() * SLOT_BYTES)
        finally:
            os.close(file)

    def _write_head(self, bytes_done: int, lines: int) -> None:
        values = {
            **self._head, "now_s": time.time(), "saved_s": _saved_s, "bytes_own": self._own, "bytes_done": bytes_done,
            "lines": lines,
        }  # fmt: skip
        part = f"{self._path}.part"
        with open(part, "w", encoding="utf-8") as stream:
            json.dump(values, stream)
        os.replace(part, self._path)


def writer(rank: int, ranks: int, label: str, bytes_total: int, bytes_own: int) -> Writer | None:
    """A writer for this rank, if anybody wants to know. Local."""
    path = os.environ.get(STANDING_VARIABLE)
    return Writer(path, rank, ranks, label, bytes_total, bytes_own) if path else None


@frozen
class Share:
    """What one rank had done of its share when it last wrote."""

    node: str
    rank: int
    bytes_done: int
    bytes_own: int
    lines: int
    now_s: float


@frozen
class Standing:
    """How far a scan is. `shares` are those of the ranks that have written; lines and bytes count all ranks, estimated
    from those where some have not."""

    label: str
    ranks: int
    start_s: float
    now_s: float
    saved_s: float
    bytes_total: int
    bytes_done: int
    lines: int
    shares: list[Share]

    @property
    def left_s(self) -> float | None:
        """Seconds that the slowest rank needs at its pace; None if it is not known."""
        waits = [
            (share.bytes_own - share.bytes_done) * (share.now_s - self.start_s) / share.bytes_done
            for share in self.shares
            if share.bytes_done
        ]
        return max(waits) if waits and len(waits) == len(self.shares) else None

    @property
    def skew(self) -> float | None:
        """The most bytes done by a rank over the mean; None with fewer than two ranks."""
        total = sum(share.bytes_done for share in self.shares)
        most = max((share.bytes_done for share in self.shares), default=0)
        return most * len(self.shares) / total if total and len(self.shares) > 1 else None


def read(path: Path) -> Standing | None:
    """What the job has written; None if it has not, or not in a form that can be understood."""
    try:
        head: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        run, ranks, total = int(head["run"]), int(head["ranks"]), int(head["bytes"])
        times = float(head["start_s"]), float(head["now_s"]), float(head["saved_s"])
        first = Share("", 0, int(head["bytes_done"]), int(head["bytes_own"]), int(head["lines"]), times[1])
        label = str(head["label"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    shares = _shares(Path(f"{path}.d"), run)
    seen = shares or [first]
    known = sum(share.bytes_own for share in seen)
    scale = total / known if known else 0.0
    done = round(sum(share.bytes_done for share in seen) * scale)
    lines = round(sum(share.lines for share in seen) * scale)
    return Standing(label, ranks, *times, total, done, lines, shares)


def _shares(folder: Path, run: int) -> list[Share]:
    """The shares of this run by rank. Files that a lost node has left are of another one."""
    found = []
    try:
        nodes = sorted(os.listdir(folder))[:NODES_MAX]
    except OSError:
        return []
    for node in nodes:
        try:
            data = (folder / node).read_bytes()
        except OSError:
            continue
        for at in range(0, len(data) - SLOT.size + 1, SLOT_BYTES):
            of_run, rank, done, own, lines, now_s = SLOT.unpack_from(data, at)
            if of_run == run and 0 <= done <= own:
                found.append(Share(node, rank, done, own, lines, now_s))
    return sorted(found, key=lambda share: share.rank)

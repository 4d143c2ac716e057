"""How far a long scan is: a bar on rank 0's terminal, or one flushed line now and then where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from hpckit.spmd import standing
from hpckit.spmd.launch import on_terminal

LINE_INTERVAL_S = 30.0
BAR_INTERVAL_S = 0.2
BAR_DELAY_S = 0.6  # what is over sooner needs no bar
BAR_WIDTH = 24


class Progress:
    """Progress of reading `bytes_total` on all ranks, of which this rank reads `bytes_own`. Local: no messages.

    Splits are dealt out by size, so rank 0's own share stands for all ranks' and figures are scaled up from it;
    that is why they carry a "~". Only rank 0 shows anything; in a batch job each rank writes down its own
    (standing.py). `with Progress(...) as progress: progress.update(...)`.
    """

    def __init__(
        self,
        rank: int,
        label: str,
        bytes_total: int,
        bytes_own: int,
        *,
        ranks: int = 1,
        stream: TextIO | None = None,
        line_interval_s: float = LINE_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = on_terminal(self._stream)
        self._label, self._clock = label, clock
        self._bytes_total, self._bytes_own = bytes_total, bytes_own
        self._scale = bytes_total / bytes_own if bytes_own else 0.0
        self._interval_s = BAR_INTERVAL_S if self._terminal else line_interval_s
        self._bytes = self._lines = self._width = 0
        self._start_s = clock()
        self._next_s = self._start_s + (BAR_DELAY_S if self._terminal else line_interval_s)
        self._shown = rank == 0 and bytes_own > 0
        self._standing = standing.writer(rank, ranks, label, bytes_total, bytes_own)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def update(self, bytes: int, lines: int) -> None:
        """This rank has read so many bytes and lines more."""
        self._bytes += bytes
        self._lines += lines
        if self._standing is not None:
            self._standing.update(self._bytes, self._lines)
        if not self._shown:
            return
        now_s = self._clock()
        if now_s >= self._next_s:
            self._next_s = now_s + self._interval_s
            self._show(now_s - self._start_s)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def text(self, elapsed_s: float) -> str:
        """ "scan: 45 %, ~1.2 of 2.7 GB, ~3,100,000 lines/s, 12 s left"."""
        done = min(1.0, self._bytes / self._bytes_own)
        left = f"{_duration((1 - done) / done * elapsed_s)} left" if done > 0 else "time left unknown"
        unit, name = _unit(self._bytes_total)
        lines_per_s = self._lines * self._scale / elapsed_s if elapsed_s > 0 else 0.0
        return (
            f"{self._label}: {100 * done:.0f} %, ~{done * self._bytes_total / unit:.1f} of "
            f"{self._bytes_total / unit:.1f} {name}, ~{lines_per_s:,.0f} lines/s, {left}"
        )

    def _show(self, elapsed_s: float) -> None:
        text = self.text(elapsed_s)
        if not self._terminal:
            self._write(f"hpckit: {text}\n")
            return
        filled = int(BAR_WIDTH * min(1.0, self._bytes / self._bytes_own))
        line = f"[{'=' * filled}{' ' * (BAR_WIDTH - filled)}] {text}"
        self._write("\r" + line.ljust(self._width))
        self._width = max(self._width, len(line))

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _unit(size_bytes: int) -> tuple[float, str]:
    return (1e9, "GB") if size_bytes >= 1e9 else (1e6, "MB")


def _duration(seconds: float) -> str:
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

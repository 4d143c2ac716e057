"""What can be generated: each kind's defaults, and a Generator that makes blocks of text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hpckit.generate.tables import WeekClock

MASK = (1 << 64) - 1
BLOCK_ROWS = 65_536  # as in generate_text.h; each block has a random stream of its own


@dataclass(frozen=True)
class Kind:
    """Defaults of a kind: `start` in UTC, the mean load, the mean length of a line, whether the load is even."""

    name: str
    summary: str
    start: str
    rows_per_second: float
    line_bytes: int
    even: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        Kind("access", "web server access log, Apache combined format", "2025-03-03 00:00:00", 50, 212),
        Kind("bgl", "RAS events of a BlueGene/L", "2005-06-03 00:00:00", 0.5, 154, even=True),
        Kind("syslog", "system messages of a cluster, RFC 3164", "2025-03-03 00:00:00", 5, 94),
        Kind("sensors", "sensor readings, CSV with a header", "2025-03-03 00:00:00", 102.4, 47, even=True),
    )
}
BINARY_KINDS = {"records": Kind("records", "records of 100 bytes, 10-byte keys", "2025-03-03 00:00:00", 1e6, 100, True)}


class Generator:
    """Text of one kind: a function of (kind, seed, start, malformed) and the row numbers only. Local."""

    def __init__(self, kind: Kind, seed: int, start_us: int, malformed: float = 0.0) -> None:
        from hpckit._kernels import generate as kernels

        assert kernels.BLOCK_ROWS == BLOCK_ROWS
        self.kind = kind
        self.header = b""
        self._seed_key = _mixed(seed, sum(ord(c) << (8 * i) for i, c in enumerate(kind.name[:7])))
        self._start_us = start_us
        self._broken = round(malformed / 100 * 2**32)
        self._clock = _clock(kind, start_us)
        self._kernel = None if kind.name in BINARY_KINDS else self._make_kernel(kernels)
        # Sized for the longest lines; memory pages that no line reaches are never touched.
        self._buffer = np.empty(kernels.BUFFER_BYTES, np.uint8)

    def _make_kernel(self, kernels: Any) -> Any:
        if self.kind.name == "access":
            from hpckit.generate import access

            return kernels.AccessKernel(access.catalogue())
        if self.kind.name == "sensors":
            from hpckit.generate import sensors

            self.header = sensors.HEADER
            return kernels.SensorKernel(sensors.catalogue())
        from hpckit.generate import bgl, syslog

        catalogue = {"bgl": bgl, "syslog": syslog}[self.kind.name].catalogue()
        return kernels.EventKernel(catalogue, self.kind.name)

    def text(self, block: int, skip: int, rows: int) -> memoryview:
        """Lines skip .. rows-1 of a block; valid until the next call."""
        key = _mixed(self._seed_key, block)
        first = block * BLOCK_ROWS
        if self._kernel is None:
            from hpckit.generate import records

            begin, end = records.fill(self._buffer, self._seed_key, first + skip, rows - skip)
            return memoryview(self._buffer)[begin:end]  # type: ignore[arg-type]
        if self.kind.name == "sensors":
            begin, end = self._kernel.fill(
                self._buffer, key, self._seed_key, self._start_us, first, rows, skip, self._broken
            )
        else:
            t0, t1 = self._clock.time_us(first), self._clock.time_us(first + BLOCK_ROWS)
            begin, end = self._kernel.fill(self._buffer, key, t0, t1, rows, skip, self._broken)
        return memoryview(self._buffer)[begin:end]  # type: ignore[arg-type]


def end_us(kind: Kind, start_us: int, rows: int) -> int:
    """A time that none of the first `rows` lines exceeds: the end of their last block, microseconds since 1970."""
    blocks = -(-rows // BLOCK_ROWS)
    return _clock(kind, start_us).time_us(blocks * BLOCK_ROWS)


@lru_cache(maxsize=4)
def _clock(kind: Kind, start_us: int) -> WeekClock:
    return WeekClock(start_us, kind.rows_per_second, kind.even)


def _mixed(a: int, b: int) -> int:
    """A 64-bit key from two numbers (the splitmix64 mixer)."""
    z = (a * 0x9E3779B97F4A7C15 + b + 0x632BE59BD9B4E019) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)

"""When it is time to save: every so often, and seldom enough that saving stays cheap."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

COST_SHARE = 0.05  # of the time goes into saving at the most: what has grown large is saved less often


class Pace:
    """The clock of one rank."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._next_s = 0.0

    def start(self) -> None:
        """Saving is due `every_s` seconds from now. Local."""
        self._next_s = time.monotonic() + self.every_s

    def due(self) -> bool:
        """Whether it is time to save. Local: ranks may differ."""
        return time.monotonic() >= self._next_s

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around a save: how long it takes decides when the next one is due. Local."""
        begin_s = time.monotonic()
        yield
        now_s = time.monotonic()
        self._next_s = now_s + max(self.every_s, (now_s - begin_s) / COST_SHARE)

"""SIGTERM and SIGUSR1 while a checkpoint is active: not the end, but the wish to save and leave with status 75.

Python runs a handler between two steps of its main thread, so the flag is set as soon as a call into MPI or a kernel
returns; loops ask `stop_requested` between batches.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

_received: int | None = None
_active = 0


def stop_requested() -> bool:
    """Whether this process was asked to save and leave since the outermost `watch` began. Local: ranks may differ."""
    return _received is not None


def signal_name() -> str:
    """The signal that asked, "" if none did. Local."""
    return "" if _received is None else signal.Signals(_received).name


@contextmanager
def watch() -> Iterator[None]:
    """While this lasts SIGTERM and SIGUSR1 set the flag and do nothing else. Local; may be nested.

    Outside the main thread, which Python gives no signals, it does nothing.
    """
    global _active, _received
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _active:
        _received = None
    before = {number: signal.signal(number, _note) for number in SIGNALS}
    _active += 1
    try:
        yield
    finally:
        _active -= 1
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _note(number: int, frame: Any) -> None:
    global _received
    del frame
    _received = number

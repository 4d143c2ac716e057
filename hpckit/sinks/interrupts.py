"""Temporary files and signals: what a job leaves in a shared folder is removed even while it waits inside MPI."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def removed_on_signal(remove: Callable[[], None], signals: tuple[signal.Signals, ...] = SIGNALS) -> Iterator[None]:
    """Within this block `signals` call `remove` and end the process with status 128 + the signal. Local.

    Python runs signal handlers between its own instructions, never while a rank waits in MPI or in a read. So a thread
    waits for the byte that Python's C handler writes, removes, and ends the process. Outside the main thread, and where
    the program has a handler of its own for a signal, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    ours = [n for n in signals if signal.getsignal(n) in (signal.SIG_DFL, signal.default_int_handler)]
    before = {number: signal.signal(number, _nothing) for number in ours}
    old_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(reader, frozenset(ours), remove), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)  # the thread reads the end and leaves
        thread.join()
        os.close(reader)


def _nothing(number: int, frame: object) -> None:
    """The thread does the work."""


def _watch(reader: int, numbers: frozenset[int], remove: Callable[[], None]) -> None:
    while received := os.read(reader, 1):
        if received[0] in numbers:
            with contextlib.suppress(Exception):
                remove()
            os._exit(128 + received[0])

"""The local level: parts go to a disk or memory of this node first, and to the shared folder in the background."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hpckit.checkpoint import content, files, names
from hpckit.checkpoint.content import DamagedError
from hpckit.checkpoint.names import Entry

if TYPE_CHECKING:
    from hpckit.checkpoint.folder import Found
    from hpckit.spmd.context import Context

T = TypeVar("T")


class Background:
    """One thread that handles the newest of what it is given: what waits when something newer comes is passed over."""

    def __init__(self, handle: Callable[[T], None]) -> None:
        self._handle = handle
        self._changed = threading.Condition()
        self._next: list[object] = []
        self._running = False
        self._error: Exception | None = None

    def put(self, item: object) -> None:
        """Handle `item` soon. Raises what an earlier one ended with."""
        with self._changed:
            self._raise()
            self._next = [item]
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="checkpoint", daemon=True).start()

    def wait(self, drop: bool = False) -> None:
        """Return when nothing is left to do; `drop`: what has not begun is not done. Raises what one ended with."""
        with self._changed:
            if drop:
                self._next = []
            while self._running:
                self._changed.wait()
            if drop:
                self._error = None
            self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._next:
                    self._running = False
                    self._changed.notify_all()
                    return
                item = self._next.pop()
            try:
                self._handle(item)  # type: ignore[arg-type]
            except Exception as error:  # told to whoever comes next
                with self._changed:
                    self._error = error


def entries(folder: str, identity: str) -> list[Entry]:
    """The parts of this job that lie in a node's own folder. Local."""
    found = [entry for entry in map(names.parse, files.names(folder)) if entry is not None]
    return [entry for entry in found if entry.kind == "part" and entry.identity == identity]


def bring_up(ctx: Context, folder: str, shared: str, identity: str, found: Found) -> list[Entry]:
    """Copy what a killed job had only on its nodes' own disks to the shared folder. Collective; returns what came.

    Of several ranks that see a file the first one copies it. A file that is not whole is left where it is.
    """
    known = {entry.name for entry in (*found.parts, *found.others)}
    completed = max((entry.life for entry in found.others if entry.kind == "complete"), default=0)
    own = [e for e in entries(folder, identity) if e.name not in known and e.life > completed]
    seen: set[str] = set()
    for theirs in ctx.allgather([entry.name for entry in own])[: ctx.rank]:
        seen.update(theirs)
    came = []
    with ctx.agreed(f"copying parts from {folder} to {shared}"):
        for entry in own:
            if entry.name not in seen:
                with contextlib.suppress(DamagedError):
                    content.copy(folder, shared, entry)
                    came.append(entry)
    return [entry for theirs in ctx.allgather(came) for entry in theirs]


def remove_other_lives(folder: str, identity: str, life: int) -> None:
    """Remove this job's parts of earlier lives from a node's own folder. Local."""
    for entry in entries(folder, identity):
        if entry.life < life:
            with contextlib.suppress(OSError):
                files.remove(os.path.join(folder, entry.name))

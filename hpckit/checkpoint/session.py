"""`hk.checkpoint`: saving and restoring the state of a user's own loop, on any number of ranks."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit.checkpoint import identity, signals, values
from hpckit.checkpoint.store import Store
from hpckit.errors import Interrupted, UserError
from hpckit.spmd import world

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

PHASE = "save"


def checkpoint(
    path: str | os.PathLike[str],
    every_s: float | None = 60.0,
    *,
    job: Any = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    keep: int = 2,
    compression: str | None = None,
    context: Context | None = None,
) -> Checkpoint:
    """A folder in which a loop saves its state: `with hk.checkpoint("ck/", every_s=60) as ck:`. Collective.

    every_s      seconds between saves; None: only ck.save(force=True) and the system's signals save
    job          what must be the same for saved state to be used: parameters, JSON values (default: the program's name)
    inputs       files the state depends on: saved state is refused once they change
    keep         generations that stay on disk
    compression  None, "gzip" or "lzf"
    """
    ctx = context or world()
    if every_s is not None and not every_s >= 0:
        raise UserError(f"checkpoint: every_s={every_s!r}: expected seconds >= 0, or None")
    plan = job if isinstance(job, str) else values.as_json(job, "job") if job is not None else _program()
    described = ctx.on_root(lambda: identity.of_job(plan, inputs, kind="loop"))
    store = Store(path, described, compression=compression, keep=keep)
    return Checkpoint(ctx, store, every_s)


def _program() -> str:
    return os.path.basename(sys.argv[0]) if sys.argv else ""


class Checkpoint:
    """What `hk.checkpoint` gives. While its block lasts, SIGTERM and SIGUSR1 do not end the process: the next `save`
    saves and raises Interrupted, with which the program ends with status 75.

    Values that are saved are arrays of hpckit.arrays (each rank its block), `ck.parts(table)` (each rank its rows), and
    what is the same on every rank: NumPy arrays and scalars, Arrow tables, bytes, and JSON values (tuples come back as
    lists).
    """

    def __init__(self, ctx: Context, store: Store, every_s: float | None) -> None:
        self._ctx, self._store, self._every_s = ctx, store, every_s
        self._saved_s = time.monotonic()
        self._stack = ExitStack()
        self._is_open = False

    def __enter__(self) -> Checkpoint:
        self._stack.enter_context(signals.watch())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @staticmethod
    def parts(table: Any) -> values.Parts:
        """Says that each rank has its own rows of this Arrow table; they come back in order, in equal shares. Local."""
        return values.Parts(table)

    def restore(self) -> dict[str, Any] | None:
        """The values that were saved last and whole, by name; None if there are none. Collective; call it first.

        Distributed arrays come back in canonical blocks. UserError if the folder holds the state of another program, or
        its `job` or `inputs` differ.
        """
        restored = self._store.restore(self._ctx)
        self._is_open = True
        self._saved_s = time.monotonic()
        if self._ctx.is_root:
            restored.show_warnings()
        if not restored.phase:
            return None
        return values.unpack(self._ctx, restored.parts)

    def save(self, force: bool = False, **state: Any) -> bool:
        """Save these values if it is time to (root's clock decides), or if `force`; returns whether. Collective.

        After SIGTERM or SIGUSR1 on any rank it saves and raises Interrupted on all. OutputError if it cannot be
        written; what was saved before is as it was.
        """
        due, stop = self._asked(force)
        if not (due or stop):
            return False
        if not self._is_open:
            self.restore()
        self._store.commit_phase(self._ctx, PHASE, values.pack(self._ctx, state))
        self._saved_s = time.monotonic()
        if stop:
            raise self._interrupted()
        return True

    def due(self) -> bool:
        """Whether `save` would save now: for work that has to be done first, such as syncing a file. Collective."""
        return any(self._asked(False))

    def _asked(self, force: bool) -> tuple[bool, bool]:
        """(whether it is time, or `force`; whether any rank was asked to stop). Collective."""
        is_due = force or (
            self._ctx.is_root and self._every_s is not None and time.monotonic() - self._saved_s >= self._every_s
        )
        due, stop = self._ctx.allreduce(np.array([is_due, signals.stop_requested()], np.int64), "max").tolist()
        return bool(due), bool(stop)

    def _interrupted(self) -> Interrupted:
        name = next((n for n in self._ctx.allgather(signals.signal_name()) if n), "a signal")
        error = Interrupted(f"{name} came: state is saved in {self._store.path}; start the same command again to go on")
        error.hpckit_agreed = True  # type: ignore[attr-defined]
        return error

    def finish(self) -> None:
        """The results are written: what was saved is removed, and the next run begins anew. Collective."""
        if not self._is_open:
            self.restore()
        self._store.finish(self._ctx)
        self._is_open = False

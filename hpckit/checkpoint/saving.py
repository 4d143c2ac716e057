"""What the checkpoints of all jobs have in common: telling of a restore, when to save, how a job is stopped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hpckit.checkpoint import signals
from hpckit.checkpoint.pace import Pace
from hpckit.checkpoint.store import Restored, Store
from hpckit.errors import Interrupted
from hpckit.spmd import standing
from hpckit.spmd.failpoints import fail_point

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


class Saving:
    """The saved state of one job in a folder, made of units that are dealt out to ranks. A rank saves alone.

    A kind of job says what was `done` to its units ("read"), and has `_save`.
    """

    done = ""

    def __init__(self, ctx: Context, store: Store, every_s: float) -> None:
        """Local."""
        self._ctx, self._store, self.folder = ctx, store, store.path
        self._pace = Pace(every_s)
        self._opened = False

    def _open(self, units: int) -> Restored | None:
        """What earlier starts of this job have saved, this rank's share, at the first call; later calls give None.
        `units` are all there are. Collective."""
        if self._opened:
            return None
        self._opened = True
        restored = self._store.restore(self._ctx)
        if self._ctx.is_root:
            restored.show_warnings()
            if restored.covered:
                where = f"{len(restored.covered):,} of {units:,} pieces of the input are done"
                print(f"hpckit: going on from {self.folder}: {where}", file=sys.stderr, flush=True)
        self._pace.start()
        return restored

    def after_unit(self) -> None:
        """Save if it is time to. Local. Interrupted, with everything saved, if this process was asked to stop."""
        self._save_if_due(signals.stop_requested())

    def between_phases(self) -> None:
        """Save if it is time to; if any rank was asked to stop, save and raise Interrupted on all. Collective."""
        stop = bool(self._ctx.allreduce(int(signals.stop_requested()), "max"))
        with self._ctx.agreed("saving a checkpoint"):
            self._save_if_due(stop)

    def _save_if_due(self, stop: bool) -> None:
        if stop or self._pace.due():
            self.commit()
        if stop:
            self.flush()
            raise Interrupted(
                f"{signals.signal_name() or 'a signal to another rank'}: what was {self.done} is saved in "
                f"{self.folder}; the same command goes on from there"
            )

    def commit(self) -> None:
        """Save what this rank has done, if that is more than before. Local. OutputError."""
        with self._pace.saving():
            if self._save():
                standing.saved()
                fail_point("saved")

    def _save(self) -> bool:
        """Write it, after fail_point("save"); False if there was nothing new. Local."""
        raise NotImplementedError

    def flush(self) -> None:
        """Return when all that this rank has saved is in the shared folder: before the process leaves. Local."""
        self._store.flush()

    def close(self) -> None:
        """The results are committed: remove what was saved. Collective."""
        self._store.finish(self._ctx)

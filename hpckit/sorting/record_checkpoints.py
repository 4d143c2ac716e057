"""Checkpoints of a sort of records: runs are written into the checkpoint's folder, once, and stay there until the end.

Nothing is copied: the file that a restart goes on from is the one that the merge reads. Until it is time to save, runs
have temporary names and are not synced, so a sort that is done before costs no more than one by way of scratch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from hpckit.checkpoint import identity
from hpckit.checkpoint.image import InFile, Stream
from hpckit.checkpoint.saving import Saving
from hpckit.checkpoint.store import Part, Restored, Store
from hpckit.errors import InternalError
from hpckit.sorting.record_files import RecordFiles, Shape
from hpckit.sorting.record_runs import Run, Sorting, Units
from hpckit.spmd.failpoints import fail_point

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

RUN_UNITS_MAX = 16  # so much a kill costs a rank, beside what --checkpoint-every allows


class RecordCheckpoints(Saving):
    """The saved runs of one sort of records."""

    done = "sorted"

    def __init__(
        self, ctx: Context, folder: str, every_s: float, source: RecordFiles, shape: Shape, units: Units
    ) -> None:
        """Collective: root looks at the inputs."""
        super().__init__(ctx, Store(folder, ctx.on_root(_identity, source, shape, units)), every_s)
        self._units, self._record = units, shape.record

    def open(self) -> list[Run]:
        """The runs that earlier starts have saved, dealt out, at the first call; later calls give none. Collective."""
        restored = self._open(self._units.count)
        return [] if restored is None else self._taken(restored)

    def take_over(self, held: Iterable[int]) -> list[Run]:
        """After ranks were lost: the runs that they had saved, dealt out; `held` are the units of this rank's own.
        Collective over the survivors."""
        return self._taken(self._store.restore(self._ctx, held)) if self._opened else []

    def _taken(self, restored: Restored) -> list[Run]:
        fail_point("restored")
        with self._ctx.agreed(f"taking in the checkpoint {self.folder}"):
            return [_run_of(part) for part in restored.parts]

    def write(self, sorting: Sorting, units: range, first_row: int, stride: int) -> Run:
        """What is sorted becomes a run of the checkpoint. Local. OutputError."""
        records = Stream((sorting.rows, self._record), np.dtype(np.uint8), sorting.chunks())
        keys = sorting.keys(stride)
        meta = {"first_row": first_row, "stride": stride, "checksum": sorting.checksum}
        fd = self._store.add_run(Part(covers=units, meta=meta, arrays={"keys": keys, "records": records}))
        file = SavedRun(fd, records.offset, self.folder)
        return Run(file, units, first_row, sorting.rows, stride, keys, sorting.checksum)

    def _save(self) -> bool:
        """All runs of this rank count from now on."""
        fail_point("save")
        self._store.commit_runs()
        return True


class SavedRun:
    """The records of a run in a file of a checkpoint."""

    def __init__(self, fd: int, offset: int, folder: str) -> None:
        """`fd` is closed with this object; the records begin `offset` bytes from the start of the file."""
        self._fd, self._offset, self._folder = fd, offset, folder

    def read(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset`."""
        buffer = np.empty(size, np.uint8)
        self.read_into(buffer, offset)
        return buffer.tobytes()

    def read_into(self, buffer: np.ndarray, offset: int) -> None:
        """Fill `buffer` (uint8) with the bytes at `offset`."""
        view, offset = memoryview(buffer), self._offset + offset  # type: ignore[arg-type]
        while view:
            size = os.preadv(self._fd, [view], offset)
            if size == 0:
                raise InternalError(f"{self._folder}: a saved run ends {len(view):,} bytes early")
            view, offset = view[size:], offset + size

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self._fd)


def _run_of(part: Part) -> Run:
    """The run that a restored part holds. Local."""
    records: InFile = part.arrays["records"]
    file = SavedRun(os.open(records.path, os.O_RDONLY), records.offset, os.path.dirname(records.path))
    units, keys, meta = range(min(part.covers), max(part.covers) + 1), part.arrays["keys"].read(), part.meta
    return Run(file, units, meta["first_row"], records.shape[0], meta["stride"], keys, meta["checksum"])


def _identity(source: RecordFiles, shape: Shape, units: Units) -> dict:
    """What a checkpoint must have been made for to be of use to this sort. Local."""
    plan = f"sort records of {shape.record} bytes by their first {shape.key}"
    return identity.of_job(plan, source.paths, unit_rows=units.unit_rows)

"""A sort of records from its input to its output, again from its runs where ranks are lost."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpckit.errors import InternalError, RankLost
from hpckit.partition import block_range
from hpckit.sinks.interrupts import removed_on_signal
from hpckit.sorting import records as in_memory
from hpckit.sorting.record_files import RecordFiles, Shape
from hpckit.sorting.record_output import Output
from hpckit.sorting.record_runs import Units

if TYPE_CHECKING:
    from hpckit.sorting.record_checkpoints import RecordCheckpoints
    from hpckit.sorting.records_external import ExternalSort
    from hpckit.spmd.context import Context
    from hpckit.spmd.progress import Progress


@dataclass
class Job:
    """A sort under way: in memory if there is room, else, and where work is to be saved, by way of runs."""

    ctx: Context
    source: RecordFiles
    shape: Shape
    units: Units
    target: str
    overwrite: bool
    budget_bytes: int
    scratch: Path | str | None
    saving: RecordCheckpoints | None
    show_progress: bool = False
    external: ExternalSort | None = None
    again: bool = False  # whether there was an attempt before this one

    def run(self) -> int:
        """Sort, check and commit the output; returns the bytes of all runs. Collective; may be repeated."""
        if self.saving is None:
            return self._run()
        from hpckit.checkpoint.signals import watch

        with watch():
            return self._run()

    def _run(self) -> int:
        ctx, source = self.ctx, self.source
        external = self._runs() if self._is_external() else None
        if external is not None:
            external.open()
        overwrite, resumable = self.overwrite or self.again, self.saving is not None or self.again
        output = Output(ctx, self.target, source.rows * source.record, overwrite, resumable)
        with output, removed_on_signal(output.discard):
            if self.show_progress:
                output.progress = _progress(ctx, source)
            if external is not None:
                checksums = external.run(output)
            else:
                checksums = in_memory.sort_in_memory(ctx, source, self.shape, output)
            if output.progress is not None:
                output.progress.close()
            with ctx.phase("verify"):
                _check(ctx, source.rows, *checksums)
            with ctx.phase("sync"):
                output.commit()
        return ctx.allreduce(self.external.spilled_bytes if self.external else 0, "sum")

    def _is_external(self) -> bool:
        """Whether to go by way of runs: one answer, also where a rank of a smaller job has runs already. Collective."""
        begun = self.external is not None or self.saving is not None
        fits = not begun and in_memory.fits_in_memory(self.ctx, self.source.rows, self.shape, self.budget_bytes)
        return not self.ctx.allreduce(int(fits), "min")

    def _runs(self) -> ExternalSort:
        if self.external is None:
            from hpckit.sorting.records_external import ExternalSort

            self.external = ExternalSort(
                self.ctx, self.source, self.shape, self.units, self.budget_bytes, self.scratch, self.saving
            )
        return self.external

    def take_over(self) -> None:
        """After a loss. Collective over the survivors."""
        self.again = True
        if self.external is not None:
            self.external.take_over()

    def close(self) -> None:
        """The output is committed: what was saved may go. Collective."""
        if self.external is not None:
            self.external.close()
        if self.saving is not None:
            with suppress(RankLost):  # nobody is needed any more
                self.saving.close()


def _progress(ctx: Context, source: RecordFiles) -> Progress:
    """Each record is read once and written once. Local."""
    begin, end = block_range(source.rows, ctx.size, ctx.rank)
    return ctx.progress("sort", 2 * source.rows * source.record, 2 * (end - begin) * source.record)


def _check(ctx: Context, rows: int, read_hash: int, written_hash: int, written: int) -> None:
    """Every record that was read was written, once and unchanged: counts and sums of hashes agree. Collective."""
    sums = ctx.allreduce(np.array([read_hash, written_hash, written], np.uint64), "sum").tolist()
    if sums[0] != sums[1] or sums[2] != rows:
        raise InternalError(
            f"{rows:,} records read, {sums[2]:,} written; sums of their hashes {sums[0]:016x} and {sums[1]:016x}"
        )

"""Records beyond the memory budget: each rank reads its share in groups of units that fit, sorts each, and writes it as
a run on scratch or into a checkpoint; `record_merge` makes the output of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpckit.errors import Interrupted, MemoryBudgetError
from hpckit.sinks.scratch import scratch_folder
from hpckit.sorting.record_checkpoints import RUN_UNITS_MAX, RecordCheckpoints
from hpckit.sorting.record_files import RecordFiles, Shape
from hpckit.sorting.record_merge import REFERENCE_BYTES, merge_rounds, plan_merge, room_bytes
from hpckit.sorting.record_output import Output
from hpckit.sorting.record_runs import HASH_MASK, Run, Sorting, Units, stride_of
from hpckit.sorting.scratch import RunStore, check_room
from hpckit.spmd.failpoints import fail_point
from hpckit.spmd.memory import format_size

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


class ExternalSort:
    """A sort by way of runs. They stay until `close`, so that what comes after them can be done again."""

    def __init__(
        self,
        ctx: Context,
        source: RecordFiles,
        shape: Shape,
        units: Units,
        budget_bytes: int,
        scratch: Path | str | None,
        saving: RecordCheckpoints | None,
    ) -> None:
        """Local. Without `saving` runs go to `scratch`."""
        self._ctx, self._source, self._shape, self._budget_bytes = ctx, source, shape, budget_bytes
        self._saving, self._scratch = saving, scratch_folder(scratch)
        self._store = RunStore(self._scratch, "the sorted records")
        self.runs: list[Run] = []
        self.units = units
        self.again = False  # whether there was an attempt before this one

    @property
    def held(self) -> set[int]:
        """The units of this rank's runs."""
        return set().union(*(run.units for run in self.runs))

    @property
    def spilled_bytes(self) -> int:
        """Bytes of this rank's runs."""
        return sum(run.rows for run in self.runs) * self._shape.record

    def close(self) -> None:
        """Give the disk back."""
        self.runs.clear()
        self._store.close()

    def open(self) -> None:
        """Take in what earlier starts have saved, at the first call. Collective."""
        if self._saving is not None:
            self.runs += self._saving.open()

    def take_over(self) -> None:
        """After a loss: take in what the lost ranks had saved; the rest is sorted again. Collective (survivors)."""
        self.again = True
        if self._saving is not None:
            self.runs += self._saving.take_over(self.held)

    def run(self, output: Output) -> tuple[int, int, int]:
        """Sort what nobody has sorted yet, then merge it all into `output`; (hashes read, hashes written, rows written)
        of this rank. Collective; may be repeated."""
        ctx, saving = self._ctx, self._saving
        with ctx.phase("runs"):
            output.moved(self.spilled_bytes, sum(run.rows for run in self.runs))
            self._make_runs(output)
        if saving is not None:
            saving.between_phases()
        with ctx.phase("split"):
            plan = plan_merge(ctx, self.runs, self._shape, self._budget_bytes, self._source.rows)
        with ctx.phase("merge"):
            first_row, rows = plan.own(ctx.rank)
            writer = output.at(first_row * self._shape.record, self._shape.record)
            try:
                written_hash = merge_rounds(ctx, self.runs, plan, self._shape, writer, saving)
            finally:
                writer.abandon()
            ctx.count(bytes=rows * self._shape.record, rows=rows)
        return sum(run.checksum for run in self.runs) & HASH_MASK, written_hash, rows

    def _rows_max(self) -> int:
        """Records of a run at most. Local; MemoryBudgetError."""
        rows = room_bytes(self._budget_bytes, self._shape) // (self._shape.record + REFERENCE_BYTES)
        return min(rows, RUN_UNITS_MAX * self.units.unit_rows) if self._saving else rows

    def _make_runs(self, output: Output) -> None:
        """Runs of the units that no rank has. Collective."""
        ctx = self._ctx
        missing = self._missing()
        try:
            with ctx.agreed("writing sorted runs"):
                rows_max = self._rows_max()
                groups = self.units.groups(missing, ctx.size, ctx.rank, rows_max)
                sizes = [stop - first for first, stop in map(self.units.span, groups)]
                self._check_room(len(missing), sum(sizes))
                rows_max = min(rows_max, max(sizes, default=0))
                sorting = Sorting(self._source, self._shape, rows_max, output.moved)
                for group in groups:
                    self.runs += self._runs_of(sorting, group, rows_max)
                    fail_point("run")
                    ctx.check()
                    if self._saving is not None:
                        self._saving.after_unit()
        except Interrupted:
            assert self._saving is not None
            self._saving.commit()  # ranks that were ahead have something to save as well
            raise

    def _runs_of(self, sorting: Sorting, group: range, rows_max: int) -> list[Run]:
        """The rows of some neighbouring units in order: one run, several if they do not fit into memory at once."""
        runs = []
        first, end = self.units.span(group)
        if self._saving is not None and end - first > rows_max:
            raise self._too_small(end - first)
        for begin in range(first, end, rows_max):
            sorting.read(begin, min(end, begin + rows_max))
            stride = stride_of(rows_max)
            if self._saving is None:
                runs.append(self._spilled(sorting, group, begin, stride))
            else:
                runs.append(self._saving.write(sorting, group, begin, stride))
            self._ctx.count(bytes=sorting.rows * self._shape.record, rows=sorting.rows)
        return runs

    def _spilled(self, sorting: Sorting, group: range, first_row: int, stride: int) -> Run:
        file = self._store.new(f"records-{first_row}-{sorting.rows}")
        keys = sorting.keys(stride)
        for chunk in sorting.chunks():
            file.append(memoryview(chunk))  # type: ignore[arg-type]
        file.seal()
        return Run(file, group, first_row, sorting.rows, stride, keys, sorting.checksum)

    def _too_small(self, rows: int) -> MemoryBudgetError:
        size = format_size(rows * (self._shape.record + REFERENCE_BYTES))
        return MemoryBudgetError(
            f"--memory leaves no {size} to sort a unit of the input in, which is what is saved at a time; give more "
            "--memory or a smaller --split-size"
        )

    def _missing(self) -> list[int]:
        """The units that no rank holds, ascending. Collective."""
        if self._saving is None and not self.again:
            return list(range(self.units.count))
        held = set().union(*self._ctx.allgather(self.held))
        return [unit for unit in range(self.units.count) if unit not in held]

    def _check_room(self, missing: int, own_rows: int) -> None:
        """OutputError if what is to be written does not fit. Local."""
        if self._saving is None:
            size = own_rows * self._shape.record * self._ctx.node_size
            check_room(self._scratch, size, "the sorted records")
        elif self._ctx.is_root:
            size = missing * self.units.unit_rows * self._shape.record
            check_room(Path(self._saving.folder), size, "the sorted runs", "make room or name another --checkpoint")

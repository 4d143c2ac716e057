"""Sorting more rows than memory holds: sorted runs on scratch disk, merged while they are exchanged in bounded rounds.

Rows arrive in pieces; beyond the budget they are sorted and written as a run. Samples of the runs give the bounds of
ranks × rounds equal parts (hpckit.sorting.bounds). In round k every rank reads the k-th part of each rank's range from
its runs and sends it there; what arrives is sorted and handed on. After Knuth's sorting with tapes (volume 3, 5.4) and
the distributed external sorts of the Sort Benchmark: two passes over the disk, whatever the number of runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit._kernels.strsort import Rows
from hpckit.errors import MemoryBudgetError
from hpckit.sorting.bounds import find_bounds
from hpckit.sorting.columns import ORIGIN, Key, Ordering
from hpckit.sorting.runs import Runs, order_of
from hpckit.sorting.scratch import resident_bytes
from hpckit.sorting.tables import taken

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

# What work costs, in bytes, measured on the peak resident size of sorts
ROW_BYTES = 56  # a row while it is sorted: words, places, order
COPIES_RUN = 2  # of a table while it becomes a run
COPIES_WHOLE = 6  # of a table that is exchanged and sorted in memory
COPIES_MERGED = 4  # of what a round brings
COPIES_SENT = 4  # of what a round takes
CHUNK_BYTES = 8 << 20  # handed on at a time
RESERVE = 4  # at least this part of the budget is worked with, however much the process takes already


class TableSorter:
    """Rows in any number of pieces, then all of them in order: in memory, or by way of runs beyond the budget.

    Tables have the column ORIGIN (int64, unique over all ranks); ties of the keys go by it.
    """

    def __init__(self, schema: pa.Schema, keys: list[Key], budget_bytes: int, scratch: Path | str | None) -> None:
        """Local. `budget_bytes` is what the process may hold in all; without `scratch` nothing is spilled."""
        self.schema, self.scratch = schema, scratch
        self.budget_bytes = budget_bytes
        self.work_bytes = max(budget_bytes // RESERVE, budget_bytes - resident_bytes())
        self._ordering = Ordering(tuple(keys), (False,) * len(keys), ORIGIN)
        self._runs: Runs | None = None
        self._held: list[pa.Table] = []
        self._held_bytes = self._held_rows = self._bytes = self._rows = 0

    def add(self, table: pa.Table) -> None:
        """Take rows. Local. OutputError when the scratch disk is full, MemoryBudgetError without scratch."""
        if table.num_rows == 0:
            return
        self._ordering = self._ordering.seen(table)
        self._held.append(table)
        self._held_bytes += table.nbytes
        self._held_rows += table.num_rows
        if self._is_full():
            self._spill()

    def fits(self, ctx: Context) -> bool:
        """Whether the rows of all ranks can be sorted in memory. Collective."""
        needed = COPIES_WHOLE * self._held_bytes + ROW_BYTES * self._held_rows
        return not ctx.allreduce(int(self._runs is not None or needed > self.work_bytes), "max")

    def table(self, keep: bool = False) -> pa.Table:
        """The rows of this rank as they came, if they are all in memory. Local. Unless `keep`, the sorter lets go."""
        held = self._held
        if not keep:
            self._held = []
        return pa.concat_tables([self.schema.empty_table(), *held])

    @property
    def spilled_bytes(self) -> int:
        """Bytes of runs on scratch disk."""
        return self._runs.store.size_bytes if self._runs is not None else 0

    def everything(self) -> Iterator[pa.Table]:
        """All rows of this rank, those of the runs mapped from disk. Local."""
        for run in self._runs.runs if self._runs is not None else []:
            yield from run.mapped()
        yield from self._held

    def merged(self, ctx: Context, keep: bool = False) -> Iterator[Iterator[pa.Table]]:
        """All rows in order, rank r's part being the r-th: in each round an iterator over some. Collective.

        All ranks have equally many rounds. The iterators are Local, and to be used before the next round. With `keep`
        the rows stay on disk, to be merged again.
        """
        with ctx.agreed("writing sorted runs"):
            before_bytes = self.spilled_bytes
            if self._held_rows:
                self._spill()
            ctx.count(spilled_bytes=self.spilled_bytes - before_bytes)
            runs = self._runs or Runs(self.schema, self.scratch or "")
        ordering = self._ordering.agree(ctx)
        rounds = self._rounds(ctx)
        with ctx.phase("partition"):
            bounds = _part_bounds(ctx, runs, ordering, rounds * ctx.size)
        for number in range(rounds):
            table = self._round(ctx, runs, ordering, bounds, number, rounds)
            with ctx.phase("merge"), ctx.agreed("merging sorted runs"):
                table = table.combine_chunks()
                order = order_of(table, ordering) if table.num_rows else np.zeros(0, np.int64)
            yield taken(table, order, max(1, CHUNK_BYTES * table.num_rows // max(1, table.nbytes)))
            del table, order
            pa.default_memory_pool().release_unused()
        if not keep:
            self.close()

    def close(self) -> None:
        """Give memory and disk back. May be called twice."""
        self._held.clear()
        if self._runs is not None:
            self._runs.close()
            self._runs = None

    def _is_full(self) -> bool:
        """Whether what is held should become a run: by its own cost, or because the process as a whole is near its end
        (readers and what the allocator keeps count too), once a run is worth it."""
        sorting = (COPIES_RUN - 1) * self._held_bytes + ROW_BYTES * self._held_rows
        if self._held_bytes + sorting > self.work_bytes * 3 // 5:
            return True
        return self._held_bytes + sorting > self.work_bytes // 8 and resident_bytes() + sorting > self.budget_bytes

    def _spill(self) -> None:
        """Write what is held as a run."""
        if self.scratch is None:
            raise MemoryBudgetError(
                f"{self._held_bytes:,} bytes of rows to sort on this rank pass its budget; give more --memory or a "
                "folder to spill to with --scratch"
            )
        if self._runs is None:
            self._runs = Runs(self.schema, self.scratch)
        self._bytes += self._held_bytes
        self._rows += self._held_rows
        table = self.table().combine_chunks()
        self._held_bytes = self._held_rows = 0
        self._runs.write(table, self._ordering)
        del table
        pa.default_memory_pool().release_unused()

    def _rounds(self, ctx: Context) -> int:
        """Rounds that keep what a rank receives in one within half of its memory. Collective."""
        total_bytes, total_rows = ctx.allreduce(np.array([self._bytes, self._rows], np.int64), "sum").tolist()
        share = (COPIES_MERGED * total_bytes + ROW_BYTES * total_rows) // ctx.size
        return ctx.allreduce(1 + share // max(1, self.work_bytes // 2), "max")

    def _round(
        self, ctx: Context, runs: Runs, ordering: Ordering, bounds: list[Rows], number: int, rounds: int
    ) -> pa.Table:
        """What all ranks have of part `number` of this rank's range, unsorted. Collective."""
        leaving = _leaving(runs, ordering, bounds, number, rounds, ctx.size)
        budget = self.work_bytes // (4 * COPIES_SENT)
        arrived = []
        with ctx.phase("exchange"):
            while True:
                with ctx.agreed("reading sorted runs"):
                    table, destinations = _gathered(leaving, budget, self.schema)
                more = ctx.allreduce(table.num_rows, "max")
                if not more:
                    break
                arrived.append(ctx.exchange(table, destinations))
        return pa.concat_tables([self.schema.empty_table(), *arrived])


def _part_bounds(ctx: Context, runs: Runs, ordering: Ordering, parts: int) -> list[Rows]:
    """The bounds between `parts` equal parts of all ranks' rows. Collective."""
    step = ctx.allreduce(max(runs.step, 1), "max")
    with ctx.agreed("sampling sorted runs"):
        runs.thin(step)
        sample = runs.samples(ordering)
    total = ctx.allreduce(sample.num_rows, "sum")
    found = find_bounds(ctx, sample, ordering, np.arange(1, parts) * total // parts)
    return [ordering.bounds(found.slice(k, 1)) for k in range(found.num_rows)]


def _leaving(
    runs: Runs, ordering: Ordering, bounds: list[Rows], number: int, rounds: int, size: int
) -> Iterator[tuple[pa.Table, int]]:
    """(rows, rank they belong to) of round `number`, a block at a time."""
    if not runs.runs:
        return
    for rank in range(size):
        part = rank * rounds + number
        low = bounds[part - 1] if part else None
        high = bounds[part] if part < len(bounds) else None
        for run in runs.runs:
            for table in run.between(ordering, low, high):
                yield table, rank


def _gathered(
    leaving: Iterator[tuple[pa.Table, int]], budget_bytes: int, schema: pa.Schema
) -> tuple[pa.Table, np.ndarray]:
    """The next rows of `leaving`, about `budget_bytes`, and their destinations (int32). Local."""
    tables, targets, held = [schema.empty_table()], [np.zeros(0, np.int32)], 0
    for table, rank in leaving:
        tables.append(table)
        targets.append(np.full(table.num_rows, rank, np.int32))
        held += table.nbytes
        if held >= budget_bytes:
            break
    return pa.concat_tables(tables), np.concatenate(targets)

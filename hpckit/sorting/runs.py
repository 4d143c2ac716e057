"""Sorted runs of a table on scratch disk: written block by block, read back between two bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from hpckit._kernels.strsort import Rows
from hpckit.sorting.columns import Ordering
from hpckit.sorting.scratch import RunFile, RunStore
from hpckit.sorting.tables import taken

BLOCK_BYTES = 128 << 10  # read back at a time
SAMPLES_PER_RUN = 1 << 12
SAMPLES_MAX = 1 << 17  # on a rank


class Run:
    """One sorted run. In memory: its first row of every block (`index`), and one row of every `step` (`sample`)."""

    def __init__(self, file: RunFile, schema: pa.Schema) -> None:
        self.file = file
        self.schema = schema
        self.rows = 0
        self.blocks: list[tuple[int, int]] = []  # (offset, size) in the file
        self.index: pa.Table | None = None
        self.sample: pa.Table | None = None
        self.step = 1

    def read(self, block: int) -> pa.RecordBatch:
        """The rows of one block."""
        offset, size = self.blocks[block]
        return pa.ipc.read_record_batch(pa.py_buffer(self.file.read(offset, size)), self.schema)

    def mapped(self) -> Iterator[pa.Table]:
        """All rows, a block at a time, as pages of the file."""
        data = pa.py_buffer(self.file.mapped())
        for offset, size in self.blocks:
            yield pa.Table.from_batches([pa.ipc.read_record_batch(data.slice(offset, size), self.schema)])

    def between(self, ordering: Ordering, low: Rows | None, high: Rows | None) -> Iterator[pa.Table]:
        """The rows not before `low` (one bound; None: from the start) and before `high`, a block at a time."""
        assert self.index is not None
        heads = ordering.bounds(self.index)
        first = max(int(heads.places(low)[0]) - 1, 0) if low is not None else 0
        stop = int(heads.places(high)[0]) if high is not None else len(self.blocks)
        for block in range(first, stop):
            table = pa.Table.from_batches([self.read(block)])
            begin, end = 0, table.num_rows
            if block == first and low is not None:
                begin = int(ordering.bounds(table).places(low)[0])
            if block == stop - 1 and high is not None:
                end = int(ordering.bounds(table).places(high)[0])
            if end > begin:
                yield table.slice(begin, end - begin)

    def thin(self, step: int) -> None:
        """Keep one row of every `step` (a multiple of the present step) as sample."""
        assert self.sample is not None
        if step > self.step:
            self.sample = self.sample.take(pa.array(np.arange(0, self.sample.num_rows, step // self.step)))
            self.step = step


class Runs:
    """The runs of one rank. They are sorted by keys, then by the ordering's origin."""

    def __init__(self, schema: pa.Schema, scratch: Path | str) -> None:
        """Local. Nothing is written yet."""
        self.schema = schema
        self.store = RunStore(scratch, "the rows to sort")
        self.runs: list[Run] = []
        self.step = 0

    @property
    def rows(self) -> int:
        return sum(run.rows for run in self.runs)

    def write(self, table: pa.Table, ordering: Ordering) -> None:
        """Sort `table` and write it as one more run. Local. OutputError when the disk is full."""
        order = order_of(table, ordering)
        run = Run(self.store.new(f"run{len(self.runs)}"), self.schema)
        run.rows, keys = table.num_rows, [*ordering.names, ordering.origin]
        if not self.step:
            self.step = 1 << max((table.num_rows // SAMPLES_PER_RUN).bit_length() - 1, 0)
        run.step = self.step
        block_rows = max(1, BLOCK_BYTES * table.num_rows // max(1, table.nbytes))
        run.index = pa.concat_tables(taken(table.select(keys), order[::block_rows], table.num_rows))
        run.sample = pa.concat_tables(taken(table.select(keys), order[:: self.step], table.num_rows))
        for piece in taken(table, order, block_rows):
            message = piece.to_batches()[0].serialize()
            run.blocks.append((run.file.append(memoryview(message)), message.size))
        run.file.seal()
        self.runs.append(run)
        if sum(run.sample.num_rows for run in self.runs if run.sample is not None) > SAMPLES_MAX:
            self.thin(2 * self.step)

    def thin(self, step: int) -> None:
        """Keep one row of every `step` as sample. Local."""
        self.step = step
        for run in self.runs:
            run.thin(step)

    def samples(self, ordering: Ordering) -> pa.Table:
        """One row of every `step` of each run: keys and origin, sorted. Local."""
        fields = [self.schema.field(name) for name in [*ordering.names, ordering.origin]]
        pieces = [run.sample for run in self.runs if run.sample is not None]
        sample = pa.concat_tables([pa.schema(fields).empty_table(), *pieces]).combine_chunks()
        return sample.take(pa.array(ordering.bounds(sample).order()))

    def close(self) -> None:
        """Give the disk back. May be called twice."""
        self.store.close()
        self.runs.clear()


def order_of(table: pa.Table, ordering: Ordering) -> np.ndarray:
    """int64: the order of `table` by keys, ties by origin. Local."""
    origin = table.column(ordering.origin).combine_chunks().to_numpy()
    if (origin[1:] > origin[:-1]).all():
        return ordering.order(table)  # stable, and cheaper
    return ordering.bounds(table).order()

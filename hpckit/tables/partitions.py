"""Rows on scratch disk by a hash of some columns: written in pieces, read back a partition at a time.

What Grace hash joins do (Kitsuregawa, Tanaka and Moto-oka, 1983): rows of equal keys lie in one partition, whichever
piece and rank they come from, and a partition that is too large is split by further bits of the same hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from hpckit.sinks.scratch import ScratchFile
from hpckit.spmd import route, wire

BITS = 6  # of the hash a level
COUNT = 1 << BITS
LEVELS = 4  # ranks are named by the upper half of the hash, partitions by the lower one
PIECE_BYTES = 4 << 20  # read back at a time, about

ROW_BYTES = 40  # of a row in memory beside its values: its place in the tables of a state

Entry = tuple[int, int, int, int]  # partition, size of the piece in the file, bytes of its rows in memory, offset


class Partitions:
    """Rows of one schema, by bits `level` of a hash of the columns `by`; no columns: all in one partition."""

    def __init__(self, scratch: Path, purpose: str, by: Sequence[str], level: int = 0) -> None:
        """Local. OutputError if `scratch` cannot hold a file."""
        self.scratch, self.purpose, self.by, self.level = scratch, purpose, list(by), level
        self._file = ScratchFile(scratch, purpose)
        self._pieces: list[Entry] = []

    def add(self, table: pa.Table) -> None:
        """Write rows; coded columns stay coded, each piece with what it needs of their dictionaries. Local.

        OutputError when the disk is full.
        """
        if not table.num_rows:
            return
        schema = table.schema
        table = wire.wide(table)
        hashes = route.hash_rows(table, self.by) >> np.uint64(BITS * self.level)
        order, counts = route.scatter((hashes & np.uint64(COUNT - 1)).astype(np.int32), COUNT)
        del hashes
        step = max(1, PIECE_BYTES // max(1, wire.row_bytes(table)))
        start = 0
        for part, count in enumerate(counts.tolist()):
            for begin in range(start, start + count, step):
                rows = order[begin : min(begin + step, start + count)]
                self._write(part, wire.take(table, rows, schema))
            start += count

    def _write(self, part: int, batch: pa.RecordBatch) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        message = sink.getvalue()
        held = batch.nbytes + ROW_BYTES * batch.num_rows
        self._pieces.append((part, message.size, held, self._file.append(memoryview(message))))

    def sizes(self) -> np.ndarray:
        """int64 (COUNT,): bytes of the rows of each partition in memory. Local."""
        sizes = np.zeros(COUNT, np.int64)
        for part, _, held, _ in self._pieces:
            sizes[part] += held
        return sizes

    @property
    def spilled_bytes(self) -> int:
        """Bytes on scratch disk."""
        return self._file.size_bytes

    def read(self, parts: Iterable[int]) -> Iterator[pa.Table]:
        """The rows of these partitions, a piece at a time. Local; may be read many times."""
        wanted = set(parts)
        for part, size, _, offset in self._pieces:
            if part in wanted:
                data = self._file.read(offset, size)
                yield pa.ipc.open_stream(pa.py_buffer(data)).read_all()

    def deeper(self, part: int) -> Partitions:
        """The rows of one partition, split by the next bits of the hash. Local."""
        made = Partitions(self.scratch, self.purpose, self.by, self.level + 1)
        made.fill(self.read([part]))
        return made

    def fill(self, tables: Iterable[pa.Table]) -> None:
        """Write all rows of `tables`, small ones together. Local. OutputError when the disk is full."""
        held: list[pa.Table] = []
        held_bytes = 0
        for table in tables:
            held.append(table)
            held_bytes += table.nbytes
            if held_bytes >= PIECE_BYTES:
                self.add(pa.concat_tables(held))
                held, held_bytes = [], 0
        if held:
            self.add(pa.concat_tables(held))

    def saved(self) -> pa.Table:
        """Everything as rows (partition, held, content), the content mapped from disk. Local."""
        pieces = np.array([(part, held, offset) for part, _, held, offset in self._pieces], np.int64).reshape(-1, 3)
        offsets = np.append(pieces[:, 2], self._file.size_bytes)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._file.mapped())]
        content = pa.Array.from_buffers(pa.large_binary(), len(pieces), buffers)
        return pa.table({"partition": pieces[:, 0].copy(), "held": pieces[:, 1].copy(), "content": content})

    def restore(self, table: pa.Table) -> None:
        """Add what `saved` gave, here or on another rank. Local. OutputError when the disk is full."""
        for batch in table.to_batches():
            for part, held, content in zip(*batch.columns, strict=True):
                message = content.as_buffer()
                self._pieces.append((part.as_py(), message.size, held.as_py(), self._file.append(memoryview(message))))

    def close(self) -> None:
        """Give the disk back. May be called twice."""
        self._pieces.clear()
        self._file.close()

"""The rows of a result on one rank, as chunks in canonical order, in memory and beyond that on scratch disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from hpckit.errors import InternalError, MemoryBudgetError
from hpckit.sinks.canonical import conform, fixed_width_bytes, storage_schema, string_bytes
from hpckit.sinks.scratch import ScratchFile

BATCH_BYTES_MAX = 8 << 20
BATCH_ROWS_MAX = 1 << 16
PENDING_TABLES_MAX = 256


class _Spilled:
    """Where a record batch lies in the scratch file."""

    __slots__ = ("offset", "size")

    def __init__(self, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size


class Spool:
    """Chunks of rows by ordinal. Ordinals are unique over all ranks and ascend in the canonical order of the result.

    `schema` is stored with storage types (integers as int64, dictionaries as strings …). In memory up to
    `budget_bytes`; beyond, everything held so far moves to a file without a name in `scratch`.
    Statistics per ordinal (rows, NULLs and string bytes by column) are kept, because every sink starts from them.
    """

    def __init__(self, schema: pa.Schema, scratch: Path | None, budget_bytes: int) -> None:
        self.schema = storage_schema(schema)
        self.scratch = scratch
        self.budget_bytes = budget_bytes
        self.total_rows = 0
        self._chunks: dict[int, list[pa.RecordBatch | _Spilled]] = {}
        self._stats: dict[int, np.ndarray] = {}
        self._pending: list[pa.Table] = []
        self._pending_ordinal = -1
        self._pending_rows = self._pending_bytes = 0
        self._memory_bytes = 0
        self._file: ScratchFile | None = None
        self._closed = False
        self._fixed_bytes = fixed_width_bytes(self.schema)

    def append(self, ordinal: int, table: pa.Table) -> None:
        """Local. Add rows at the end of chunk `ordinal`; OutputError (disk full) or MemoryBudgetError (no scratch)."""
        if self._closed:
            raise InternalError("rows were appended to a spool that is closed")
        stats = self._stats.get(ordinal)
        if stats is None:
            stats = self._stats[ordinal] = np.zeros(1 + 2 * len(self.schema), np.int64)
            self._chunks[ordinal] = []
        if table.num_rows == 0:
            return
        table = conform(table, self.schema)
        added = _statistics(table)
        stats += added
        self.total_rows += table.num_rows
        if self._pending_ordinal != ordinal:
            self._flush()
            self._pending_ordinal = ordinal
        self._pending.append(table)
        self._pending_rows += table.num_rows
        self._pending_bytes += table.num_rows * self._fixed_bytes + int(added[2::2].sum())
        full = self._pending_rows >= BATCH_ROWS_MAX or self._pending_bytes >= BATCH_BYTES_MAX
        if full or len(self._pending) >= PENDING_TABLES_MAX:
            self._flush()

    def ordinals(self) -> list[int]:
        """The ordinals of this rank, ascending."""
        return sorted(self._chunks)

    def rows(self, ordinal: int) -> int:
        """How many rows chunk `ordinal` has."""
        return int(self._stats[ordinal][0])

    def statistics(self) -> np.ndarray:
        """int64, shape (ordinals, 2 + 2 × columns): ordinal, rows, then NULLs and string bytes of each column."""
        width = 2 + 2 * len(self.schema)
        rows = [np.concatenate(([o], self._stats[o])) for o in self.ordinals()]
        return np.array(rows, np.int64).reshape(len(rows), width)

    @property
    def nbytes(self) -> int:
        """Size of the raw data: values, string offsets and string bytes; the same however the rows are cut."""
        strings = sum(int(s[2::2].sum()) for s in self._stats.values())
        return self.total_rows * self._fixed_bytes + strings

    @property
    def spilled_bytes(self) -> int:
        """Bytes on scratch disk."""
        return self._file.size_bytes if self._file else 0

    def read(self, ordinal: int) -> Iterator[pa.RecordBatch]:
        """The rows of chunk `ordinal` in order, in batches of at most 65,536 rows. May be read many times."""
        self._flush()
        for chunk in self._chunks[ordinal]:
            batch = self._load(chunk) if isinstance(chunk, _Spilled) else chunk
            for start in range(0, batch.num_rows, BATCH_ROWS_MAX):
                yield batch.slice(start, BATCH_ROWS_MAX)

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(ordinal, rows) of everything, in order; what was spilled stays on disk and is mapped. Local."""
        self._flush()
        data = pa.py_buffer(self._file.mapped()) if self._file is not None else None
        for ordinal in self.ordinals():
            for chunk in self._chunks[ordinal]:
                if isinstance(chunk, _Spilled):
                    assert data is not None
                    chunk = pa.ipc.read_record_batch(data.slice(chunk.offset, chunk.size), self.schema)
                yield ordinal, chunk

    def close(self) -> None:
        """Give memory and disk back. May be called twice."""
        self._closed = True
        self._chunks.clear()
        self._stats.clear()
        self._pending.clear()
        self._memory_bytes = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        """Turn the pending tables into record batches, and spill when the budget is passed."""
        if not self._pending:
            return
        table = pa.concat_tables(self._pending)
        held_bytes = table.get_total_buffer_size()
        # Small pieces are joined, and a slice that would keep a much larger buffer alive is copied.
        if len(self._pending) > 1:
            table = table.combine_chunks()
        elif held_bytes > 2 * table.nbytes + (1 << 16):
            table = table.take(pa.array(np.arange(table.num_rows)))
        self._pending = []
        self._pending_rows = self._pending_bytes = 0
        batches = [b for b in table.to_batches() if b.num_rows]
        self._chunks[self._pending_ordinal].extend(batches)
        self._memory_bytes += sum(b.nbytes for b in batches)
        if self._memory_bytes > self.budget_bytes:
            self._spill()

    def _spill(self) -> None:
        """Move every batch in memory to the scratch file."""
        if self._file is None:
            if self.scratch is None:
                raise MemoryBudgetError(
                    f"the result has {self._memory_bytes:,} bytes on this rank, its budget is {self.budget_bytes:,}; "
                    "give more --memory or a folder to spill to with --scratch"
                )
            self._file = ScratchFile(self.scratch, "the rows of the result")
        for chunks in self._chunks.values():
            spilled: list[pa.RecordBatch | _Spilled] = []
            for chunk in chunks:
                spilled.extend([chunk] if isinstance(chunk, _Spilled) else self._store(chunk))
            chunks[:] = spilled
        self._memory_bytes = 0

    def _store(self, batch: pa.RecordBatch) -> list[_Spilled]:
        """Write a batch in pieces of at most 65,536 rows and about 8 MiB, so that reading back stays small."""
        assert self._file is not None
        places = []
        rows = max(1, min(BATCH_ROWS_MAX, BATCH_BYTES_MAX * batch.num_rows // max(1, batch.nbytes)))
        for start in range(0, batch.num_rows, rows):
            message = batch.slice(start, rows).serialize()
            places.append(_Spilled(self._file.append(memoryview(message)), message.size))
        return places

    def _load(self, place: _Spilled) -> pa.RecordBatch:
        if self._file is None:
            raise InternalError("a spool was read after it was closed")
        return pa.ipc.read_record_batch(pa.py_buffer(self._file.read(place.offset, place.size)), self.schema)


def _statistics(table: pa.Table) -> np.ndarray:
    """Rows, then NULLs and string bytes of each column."""
    values = [table.num_rows]
    for column in table.columns:
        is_string = pa.types.is_string(column.type)
        values.append(column.null_count)
        values.append(sum(string_bytes(chunk) for chunk in column.chunks) if is_string else 0)
    return np.array(values, np.int64)

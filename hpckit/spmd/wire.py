"""Arrow rows to bytes and back: one record-batch message of the Arrow IPC format, checked by a content hash."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hpckit._kernels import route

ALIGNMENT = 64  # so that the receiver can use the buffers where they lie
LARGE_BYTES = 1 << 30  # columns from this size on are handled with 64-bit offsets


def plain(table: pa.Table) -> pa.Table:
    """The table without dictionaries: a record batch then travels without anything that came before it."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            decoded = table.column(i).cast(field.type.value_type)
            table = table.set_column(i, pa.field(field.name, field.type.value_type), decoded)
    return table


def wide(table: pa.Table) -> pa.Table:
    """The table in one chunk a column; string columns that would overflow 32-bit offsets get 64-bit ones."""
    larger = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    for i, field in enumerate(table.schema):
        if field.type in larger and table.column(i).nbytes >= LARGE_BYTES:
            kind = larger[field.type]
            table = table.set_column(i, pa.field(field.name, kind), table.column(i).cast(kind))
    return table.combine_chunks()


def take(table: pa.Table, rows: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    """These rows of a one-chunk table as one record batch of `schema` (undoing `wide`)."""
    taken = table.take(pa.array(rows))
    columns = []
    for i, field in enumerate(schema):
        column = taken.column(i)
        if column.type != field.type:
            column = column.cast(field.type)
        columns.append(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
    return pa.record_batch(columns, schema=schema)


def pack(batches: list[pa.RecordBatch]) -> tuple[np.ndarray, np.ndarray]:
    """(bytes, sizes): the messages of all batches one after another; a batch without rows takes no bytes."""
    sizes = np.array([_padded(pa.ipc.get_record_batch_size(b)) if b.num_rows else 0 for b in batches], np.int64)
    out = np.empty(int(sizes.sum()), np.uint8)
    start = 0
    for batch, size in zip(batches, sizes.tolist(), strict=True):
        if size:
            message = batch.serialize()
            stop = start + message.size
            out[start:stop] = np.frombuffer(message, np.uint8)
            out[stop : start + size] = 0
        start += size
    return out, sizes


def unpack(message: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in `message`, without a copy."""
    return pa.ipc.read_record_batch(pa.py_buffer(message), schema)


def content_hash(message: np.ndarray) -> int:
    """64-bit hash of a message as sent (or as received)."""
    return int(route.hash_bytes(message))


def empty(schema: pa.Schema) -> pa.Table:
    """A table of no rows."""
    return schema.empty_table()


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT

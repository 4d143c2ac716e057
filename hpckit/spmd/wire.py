"""Arrow rows to bytes and back: one stream of the Arrow IPC format a message, checked by a content hash."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from hpckit._kernels import route
from hpckit.errors import InternalError
from hpckit.spmd import coded
from hpckit.spmd.texts import has_offsets, take_text

ALIGNMENT = 64  # so that the receiver can use the buffers where they lie
LARGE_BYTES = 1 << 30  # columns from this size on are handled with 64-bit offsets


def plain(table: pa.Table, keep_coded: bool = False) -> pa.Table:
    """The table without dictionaries; with `keep_coded` columns of type coded.KIND stay."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and not (keep_coded and coded.is_coded(field.type)):
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
    if not table.num_columns:
        return table.take(pa.array(rows)).to_batches()[0]
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        taken = _taken(column, rows)
        if taken is None:
            found = column.take(pa.array(rows))
            taken = found.chunk(0) if found.num_chunks == 1 else found.combine_chunks()
        columns.append(taken if taken.type == field.type else taken.cast(field.type))
    return pa.record_batch(columns, schema=schema)


def _taken(column: pa.ChunkedArray, rows: np.ndarray) -> pa.Array | None:
    """Rows of a coded column, of strings, or of numbers without NULLs, faster than Arrow's; None for others."""
    if column.num_chunks != 1:
        return None
    array = column.chunk(0)
    if coded.is_coded(array.type):
        return coded.take(array, rows)
    kind = array.type
    if has_offsets(kind):
        return take_text(array, rows)
    is_fixed = pa.types.is_primitive(kind) and not pa.types.is_boolean(kind)
    if not is_fixed or array.null_count or not len(array):
        return None
    width = kind.bit_width // 8
    values = np.frombuffer(
        array.buffers()[1], f"V{width}" if width > 8 else f"u{width}", len(array), array.offset * width
    )
    return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(values[rows])])


def row_bytes(table: pa.Table) -> int:
    """Bytes that a row takes in a message, about: a coded one may bring its entry along. Local."""
    if not table.num_rows:
        return 0
    total = 0.0
    for column in table.columns:
        if coded.is_coded(column.type):
            total += max(4.0 + chunk.dictionary.nbytes / max(1, len(chunk.dictionary)) for chunk in column.chunks)
        else:
            total += column.nbytes / table.num_rows
    return math.ceil(total)


def pack(batches: list[pa.RecordBatch | None]) -> tuple[np.ndarray, np.ndarray]:
    """(bytes, sizes): the messages of all batches one after another; None takes no bytes."""
    sizes = np.array([0 if batch is None else _padded(_stream_size(batch)) for batch in batches], np.int64)
    out = np.empty(int(sizes.sum()), np.uint8)
    start = 0
    for batch, size in zip(batches, sizes.tolist(), strict=True):
        if batch is not None:
            place = pa.FixedSizeBufferWriter(pa.py_buffer(out[start : start + size]))
            _write(batch, place)
            out[start + place.tell() : start + size] = 0
        start += size
    return out, sizes


def _stream_size(batch: pa.RecordBatch) -> int:
    counter = pa.MockOutputStream()
    _write(batch, counter)
    return int(counter.size())


def _write(batch: pa.RecordBatch, sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


def unpack(message: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in `message`, without a copy."""
    batch = pa.ipc.open_stream(pa.py_buffer(message)).read_next_batch()
    if batch.schema != schema:
        raise InternalError(f"a message holds rows of schema {batch.schema}, expected {schema}")
    return batch


def content_hash(message: np.ndarray) -> int:
    """64-bit hash of a message as sent (or as received)."""
    return int(route.hash_bytes(message))


def empty(schema: pa.Schema) -> pa.Table:
    """A table of no rows."""
    return schema.empty_table()


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT

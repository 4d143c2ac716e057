"""One spelling of every column, so that the same rows give the same bytes however they were cut and computed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import OutputError

TIMESTAMP = pa.timestamp("us")
DURATION = pa.duration("us")


def storage_type(name: str, kind: pa.DataType) -> pa.DataType:
    """The type in which a column of type `kind` is stored and written; OutputError if there is none."""
    types = pa.types
    if types.is_dictionary(kind):
        return storage_type(name, kind.value_type)
    if types.is_integer(kind):
        return pa.int64()
    if types.is_floating(kind):
        return pa.float64()
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_timestamp(kind):
        return TIMESTAMP
    if types.is_duration(kind):
        return DURATION
    if types.is_date(kind):
        return pa.date32()
    if types.is_boolean(kind) or types.is_null(kind):
        return kind
    raise OutputError(
        f"column {name!r} has type {kind}, which no output can hold; convert it, for example CAST({name} AS VARCHAR)"
    )


def storage_schema(schema: pa.Schema) -> pa.Schema:
    """`schema` with storage types and without metadata; OutputError for a type that cannot be written."""
    return pa.schema([pa.field(f.name, storage_type(f.name, f.type)) for f in schema])


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns and (storage) types of `schema`, by name. No copy where types agree already."""
    if table.schema.equals(schema):
        return table
    if sorted(table.column_names) != sorted(schema.names):
        raise OutputError(f"columns {table.column_names} were given where {schema.names} are expected")
    if table.column_names != schema.names:
        table = table.select(schema.names)
    columns = []
    for field, column in zip(schema, table.columns, strict=True):
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except pa.ArrowException as error:
                raise OutputError(f"column {field.name!r}: {column.type} does not fit {field.type}: {error}") from error
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def validity_bytes(array: pa.Array) -> np.ndarray:
    """uint8 array of shape (len(array),): 1 where there is a value, 0 where NULL."""
    if array.null_count == 0:
        return np.ones(len(array), np.uint8)
    return pc.is_valid(array).cast(pa.uint8()).to_numpy(zero_copy_only=False)


def values_array(array: pa.Array) -> np.ndarray:
    """The values of a fixed-width column (bool as uint8, times as int64/int32), 0 in the place of NULL."""
    kind = array.type
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.int64)
    if pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif pa.types.is_date32(kind):
        array = array.view(pa.int32())
    elif not pa.types.is_floating(kind):
        array = array.view(pa.int64())
    if array.null_count:
        array = array.fill_null(0)
    return array.to_numpy(zero_copy_only=False)


def string_parts(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Of a string column: int64 offsets (len + 1, from 0) and uint8 bytes; a NULL takes no bytes."""
    if len(array) == 0:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    if array.null_count:
        array = array.fill_null("")
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32, len(array) + 1, array.offset * 4)
    if data_buffer is None:
        return np.zeros(len(array) + 1, np.int64), np.zeros(0, np.uint8)
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return offsets.astype(np.int64) - int(offsets[0]), data


def string_bytes(array: pa.Array) -> int:
    """How many bytes the strings of `array` take, without NULLs."""
    if len(array) == 0:
        return 0
    if array.null_count:
        return pc.sum(pc.binary_length(array)).as_py() or 0
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * 4)
    return int(offsets[-1]) - int(offsets[0])


def canonical_array(array: pa.Array) -> pa.Array:
    """The same values in buffers that depend on nothing else: offset 0, zeros under NULL, no bitmap when not needed."""
    if pa.types.is_null(array.type):
        return pa.nulls(len(array))
    bitmap = None
    if array.null_count:
        bitmap = pa.py_buffer(np.packbits(validity_bytes(array), bitorder="little"))
    if pa.types.is_string(array.type):
        offsets, data = string_parts(array)
        buffers = [bitmap, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))]
    elif pa.types.is_boolean(array.type):
        buffers = [bitmap, pa.py_buffer(np.packbits(values_array(array), bitorder="little"))]
    else:
        buffers = [bitmap, pa.py_buffer(np.ascontiguousarray(values_array(array)))]
    return pa.Array.from_buffers(array.type, len(array), buffers, array.null_count)


def canonical_batch(table: pa.Table) -> pa.RecordBatch:
    """`table` as one record batch of canonical arrays (the strings of a column must stay below 2 GiB)."""
    columns = []
    for column in table.columns:
        whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if isinstance(whole, pa.ChunkedArray):
            if whole.num_chunks > 1:
                raise OutputError("the strings of one block take more than 2 GiB; select fewer or shorter columns")
            whole = whole.chunk(0) if whole.num_chunks else pa.array([], whole.type)
        columns.append(canonical_array(whole))
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def fixed_width_bytes(schema: pa.Schema) -> int:
    """Bytes a row takes outside of strings: the width of the values, 4 for a string's offset, 1 for a bool."""
    widths = {"string": 4, "date32[day]": 4, "bool": 1, "null": 1}
    return sum(widths.get(str(field.type), 8) for field in schema)

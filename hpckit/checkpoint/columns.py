"""Arrow tables as datasets and back, exactly: types, NULLs, bits of floats, dictionaries, schema metadata.

A table is a group with an attribute `rows`, the dataset `schema` (an Arrow IPC schema message) and a group for each
column, named as the column is (`/`, `%` and NUL as %2F, %25, %00; a name that occurs twice gets %2, %3, … behind it):

    numbers, times     values   (n) of the type's width; decimals, intervals and fixed-size binary (n, width) of uint8
    bool               values   (n) uint8
    string, binary     offsets  (n + 1) int32, int64 for the large types; bytes (uint8): row i is
                                bytes[offsets[i]:offsets[i + 1]]
    dictionary         codes    (n) of the index type, and a group `dictionary`, a column like these
    null               nothing
    anything else      arrow    uint8, an Arrow IPC stream of this one column

and `valid` (n) uint8 beside them where the column has NULLs: 1 where there is a value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from hpckit.checkpoint.image import Image, Reader

FLOATS = {pa.float16(): "f2", pa.float32(): "f4", pa.float64(): "f8"}
OFFSETS = {pa.string(): "i4", pa.binary(): "i4", pa.large_string(): "i8", pa.large_binary(): "i8"}


def add_table(image: Image, group: Any, table: pa.Table) -> None:
    """Put `table` into an empty group of the image. Its buffers must live until the image is written."""
    group.attrs["rows"] = np.int64(table.num_rows)
    schema = np.frombuffer(table.schema.serialize(), np.uint8)
    image.add(group, "schema", [schema])
    for name, column in zip(group_names(table.column_names), table.columns, strict=True):
        _add_column(image, group.create_group(name), column.type, column.chunks)


def read_table(reader: Reader, group: Any) -> pa.Table:
    """The table in a group that `add_table` made; its buffers are those of the reader where they can be."""
    schema = pa.ipc.read_schema(pa.py_buffer(reader.get(group["schema"])))
    rows = int(group.attrs["rows"])
    names = group_names(schema.names)
    arrays = [_read_column(reader, group[name], field.type, rows) for name, field in zip(names, schema, strict=True)]
    if not arrays:  # a table without columns keeps its number of rows only if it is cut from one that has some
        table = pa.table({"": pa.nulls(rows)}).select([])
        return table.replace_schema_metadata(schema.metadata) if schema.metadata else table
    return pa.Table.from_arrays(arrays, schema=schema)


def group_names(columns: list[str]) -> list[str]:
    """The name of each column's group: what HDF5 would misread is written %XX, and all names differ."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for column in columns:
        name = column.replace("%", "%25").replace("/", "%2F").replace("\0", "%00") or "%"
        if name in (".", "..", "schema"):
            name = "%" + name
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}%{seen[name]}")
    return names


def _dtype(kind: pa.DataType) -> np.dtype | None:
    """The dtype of a type's values if they have one of their own width."""
    if pa.types.is_integer(kind):
        return np.dtype(str(kind))
    if kind in FLOATS:
        return np.dtype(FLOATS[kind])
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return np.dtype(f"i{kind.bit_width // 8}")
    return None


def _width(kind: pa.DataType) -> int:
    """Bytes of a value of a fixed-width type whose values are kept as bytes; 0 for other types."""
    is_bytes = pa.types.is_decimal(kind) or pa.types.is_interval(kind) or pa.types.is_fixed_size_binary(kind)
    return kind.bit_width // 8 if is_bytes else 0


def _add_column(image: Image, group: Any, kind: pa.DataType, chunks: list[pa.Array]) -> None:
    chunks = [chunk for chunk in chunks if len(chunk)]
    if pa.types.is_null(kind):
        return
    if pa.types.is_dictionary(kind):
        if len(chunks) > 1:
            try:
                chunks = pa.chunked_array(chunks, kind).unify_dictionaries().chunks
            except pa.ArrowException:  # Arrow cannot do it for some types, nor with NULLs in a dictionary
                _add_stream(image, group, kind, chunks)
                return
        _add_values(image, group, "codes", kind.index_type, [chunk.indices for chunk in chunks])
        words = [chunks[0].dictionary] if chunks else []
        inner = group.create_group("dictionary")
        inner.attrs["rows"] = np.int64(sum(len(part) for part in words))
        _add_column(image, inner, kind.value_type, words)
        chunks = [chunk.indices for chunk in chunks]
    elif _dtype(kind) or _width(kind) or pa.types.is_boolean(kind):
        _add_values(image, group, "values", kind, chunks)
    elif kind in OFFSETS:
        _add_strings(image, group, kind, chunks)
    else:
        _add_stream(image, group, kind, chunks)
        return  # the stream has the NULLs
    if any(chunk.null_count for chunk in chunks):
        image.add(group, "valid", [_valid(chunk) for chunk in chunks])


def _add_values(image: Image, group: Any, name: str, kind: pa.DataType, chunks: list[pa.Array]) -> None:
    dtype, width = _dtype(kind), _width(kind)
    if pa.types.is_boolean(kind):
        parts = [np.asarray(chunk.fill_null(False).cast(pa.uint8())) for chunk in chunks]
        image.add(group, name, parts or [np.zeros(0, np.uint8)])
        return
    if dtype is None:
        image.add(
            group, name, [_slots(chunk, np.dtype("u1"), width) for chunk in chunks] or [np.zeros((0, width), "u1")]
        )
    else:
        image.add(group, name, [_slots(chunk, dtype, 0) for chunk in chunks] or [np.zeros(0, dtype)])


def _slots(array: pa.Array, dtype: np.dtype, width: int) -> np.ndarray:
    """The values of a fixed-width array, whatever lies where it is NULL; (n, width) if `width` is given."""
    per_row = width or 1
    data = array.buffers()[1]
    values = np.frombuffer(data, dtype, len(array) * per_row, array.offset * per_row * dtype.itemsize)
    return values.reshape(-1, width) if width else values


def _add_strings(image: Image, group: Any, kind: pa.DataType, chunks: list[pa.Array]) -> None:
    offset_dtype = np.dtype(OFFSETS[kind])
    offsets, data, end = [np.zeros(1, offset_dtype)], [], 0
    for chunk in chunks:
        _, places, text = chunk.buffers()
        place = np.frombuffer(places, offset_dtype, len(chunk) + 1, chunk.offset * offset_dtype.itemsize)
        start, stop = int(place[0]), int(place[-1])
        if end + stop - start > np.iinfo(offset_dtype).max:
            raise OverflowError(f"a column of {kind} holds more than 2 GiB; make it {pa.large_string()}")
        offsets.append(place[1:] if start == end else place[1:] + offset_dtype.type(end - start))
        if stop > start:
            data.append(np.frombuffer(text, np.uint8, stop - start, start))
        end += stop - start
    image.add(group, "offsets", offsets)
    image.add(group, "bytes", data or [np.zeros(0, np.uint8)])


def _add_stream(image: Image, group: Any, kind: pa.DataType, chunks: list[pa.Array]) -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"column": pa.chunked_array(chunks, kind)})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    image.add(group, "arrow", [np.frombuffer(sink.getvalue(), np.uint8)])


def _valid(array: pa.Array) -> np.ndarray:
    return np.asarray(array.is_valid().cast(pa.uint8()))


def _read_column(reader: Reader, group: Any, kind: pa.DataType, rows: int) -> pa.Array | pa.ChunkedArray:
    if pa.types.is_null(kind):
        return pa.nulls(rows)
    if "arrow" in group:
        return pa.ipc.open_stream(pa.py_buffer(reader.get(group["arrow"]))).read_all().column(0)
    missing, valid = 0, None
    if "valid" in group:
        present = reader.get(group["valid"])
        missing = rows - int(np.count_nonzero(present))
        valid = pa.py_buffer(np.packbits(present, bitorder="little"))
    if pa.types.is_dictionary(kind):
        codes = _array(kind.index_type, rows, [valid, reader.get(group["codes"])], missing)
        inner = group["dictionary"]
        words = _read_column(reader, inner, kind.value_type, int(inner.attrs["rows"]))
        if isinstance(words, pa.ChunkedArray):
            words = words.combine_chunks()
        return pa.DictionaryArray.from_arrays(codes, words, ordered=kind.ordered)
    if kind in OFFSETS:
        return _array(kind, rows, [valid, reader.get(group["offsets"]), reader.get(group["bytes"])], missing)
    values = reader.get(group["values"])
    if pa.types.is_boolean(kind):
        values = np.packbits(values, bitorder="little")
    return _array(kind, rows, [valid, values], missing)


def _array(kind: pa.DataType, rows: int, buffers: list[Any], missing: int) -> pa.Array:
    """An array over these buffers: the validity bitmap or None, then the values as arrays."""
    parts = [pa.py_buffer(np.ascontiguousarray(part).reshape(-1).view(np.uint8)) for part in buffers[1:]]
    return pa.Array.from_buffers(kind, rows, [buffers[0], *parts], missing)

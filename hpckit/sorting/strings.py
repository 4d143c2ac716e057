"""Arrow strings and binaries for sorting: their buffers, and taking rows of them in a new order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit._kernels import strsort

OFFSET_MAX = (1 << 31) - 1
NOTHING = np.zeros(0, np.uint8)
LARGE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type compare as bytes."""
    types = pa.types
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or kind in VIEWS
    )


def one_text_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column of strings or binaries as one array with 32-bit offsets, or 64-bit ones if it takes more than 2 GiB."""
    if column.type in VIEWS:
        column = column.cast(VIEWS[column.type])
    elif pa.types.is_fixed_size_binary(column.type):
        column = column.cast(pa.binary())
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.type in LARGE and column.nbytes > OFFSET_MAX:
        column = column.cast(LARGE[column.type])
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def is_large(kind: pa.DataType) -> bool:
    """Whether an array of this type has 64-bit offsets."""
    return pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)


def parts_of(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets, bytes) of an array of strings, the offsets int32 or int64 and one more than rows. A NULL is empty."""
    if array.null_count:
        array = array.fill_null("" if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) else b"")
    dtype = np.dtype(np.int64 if is_large(array.type) else np.int32)
    if len(array) == 0:
        return np.zeros(1, dtype), NOTHING
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets, dtype, len(array) + 1, array.offset * dtype.itemsize)
    return places, NOTHING if data is None or data.size == 0 else np.frombuffer(data, np.uint8)


def take_text(array: pa.Array, rows: np.ndarray, room: Callable[[int], np.ndarray] | None = None) -> pa.Array:
    """array.take(rows) for strings and binaries (without views), the strings fetched ahead, into bytes that `room`
    gives.

    OverflowError if the bytes do not fit the array's offsets.
    """
    bitmap = None
    nulls = 0
    if array.null_count:
        valid = pc.is_valid(array).to_numpy(zero_copy_only=False)[rows]
        nulls = len(valid) - int(np.count_nonzero(valid))
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little")) if nulls else None
    offsets, data = strsort.take_strings(*parts_of(array), np.ascontiguousarray(rows, np.int64), room)
    return pa.Array.from_buffers(array.type, len(rows), [bitmap, pa.py_buffer(offsets), pa.py_buffer(data)], nulls)


def string_ranks(array: pa.Array) -> np.ndarray:
    """uint64: the rank of each string among the distinct strings in bytewise order; 0 in the place of NULL."""
    if len(array) == 0:
        return np.zeros(0, np.uint64)
    encoded = array.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ranks = np.empty(len(order) + 1, np.uint64)
    ranks[order] = np.arange(len(order), dtype=np.uint64)
    ranks[len(order)] = 0
    codes = encoded.indices.fill_null(len(order)) if encoded.null_count else encoded.indices
    return ranks[codes.to_numpy(zero_copy_only=False)]

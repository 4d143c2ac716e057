"""Arrow strings and binaries: their buffers, and rows of them taken in a new order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hpckit._kernels import strsort

NOTHING = np.zeros(0, np.uint8)


def has_offsets(kind: pa.DataType) -> bool:
    """Whether an array of this type has offsets into bytes."""
    return pa.types.is_string(kind) or pa.types.is_binary(kind) or is_large(kind)


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


def take_text(array: pa.Array, rows: np.ndarray) -> pa.Array:
    """array.take(rows) for strings and binaries (without views), the strings fetched ahead.

    OverflowError if the bytes do not fit the array's offsets.
    """
    bitmap = None
    nulls = 0
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)[rows]
        nulls = len(valid) - int(np.count_nonzero(valid))
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little")) if nulls else None
    offsets, data = strsort.take_strings(*parts_of(array), np.ascontiguousarray(rows, np.int64))
    return pa.Array.from_buffers(array.type, len(rows), [bitmap, pa.py_buffer(offsets), pa.py_buffer(data)], nulls)

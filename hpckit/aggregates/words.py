"""Values as int64 words of the same order, and back: what the kernels compare, hash and store."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hpckit._kernels import reduce as kernel
from hpckit.aggregates.spec import BOOL, DATE, FLOAT


def validity(array: pa.Array) -> np.ndarray | None:
    """uint8 flags, 1 where the array has a value; None if there is no NULL."""
    if array.null_count == 0:
        return None
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.uint8)
    flags = np.empty(len(array), np.uint8)
    kernel.expand_bits(np.frombuffer(array.buffers()[0], np.uint8), array.offset, flags)
    return flags


def fixed_values(array: pa.Array, dtype: type) -> np.ndarray:
    """The values of a fixed-width Arrow array, without a copy; what stands at NULLs is arbitrary."""
    data = array.buffers()[1]
    if len(array) == 0 or data is None:
        return np.zeros(len(array), dtype)
    width = np.dtype(dtype).itemsize
    return np.frombuffer(data, dtype, len(array), array.offset * width)


def encode(array: pa.Array, equal_zeros: bool = False) -> np.ndarray:
    """int64 words, ordered as the values (false < true; NaN greatest and one), arbitrary at NULLs.

    -0.0 lies below 0.0, or with `equal_zeros` is the same.
    """
    kind = array.type
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.int64)
    if kind == FLOAT:
        words = np.empty(len(array), np.int64)
        kernel.order_doubles(fixed_values(array, np.int64), words, equal_zeros)
        return words
    if kind == DATE:
        return fixed_values(array, np.int32).astype(np.int64)
    if kind == BOOL:
        flags = np.empty(len(array), np.uint8)
        if len(array):
            kernel.expand_bits(np.frombuffer(array.buffers()[1], np.uint8), array.offset, flags)
        return flags.astype(np.int64)
    return fixed_values(array, np.int64)


def doubles(words: np.ndarray) -> np.ndarray:
    """The float64 values of words that `encode` made from float64."""
    bits = np.where(words < 0, words ^ np.int64(0x7FFFFFFFFFFFFFFF), words)
    return bits.view(np.float64)


def decode(words: np.ndarray, kind: pa.DataType, missing: np.ndarray | None = None) -> pa.Array:
    """The Arrow array of type `kind` that `encode` would give `words` for; NULL where `missing`."""
    values: np.ndarray
    if kind == FLOAT:
        values = doubles(words)
    elif kind == DATE:
        values = words.astype(np.int32)
        return pa.array(values, pa.int32(), mask=missing).view(kind)
    elif kind == BOOL:
        values = words != 0
    else:
        return pa.array(np.ascontiguousarray(words), pa.int64(), mask=missing).view(kind)
    return pa.array(values, kind, mask=missing)


def grown(array: np.ndarray, rows: int, fill: int) -> np.ndarray:
    """`array` with at least `rows` rows; it at least doubles when it grows, new rows are `fill`."""
    if len(array) >= rows:
        return array
    larger = np.full((max(rows, 2 * len(array), 16), *array.shape[1:]), fill, array.dtype)
    larger[: len(array)] = array
    return larger


def binary_rows(offsets: np.ndarray, data: np.ndarray) -> pa.Array:
    """A large_binary array of (offsets int64, bytes)."""
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def from_binary(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64, bytes uint8) of a large_binary array without NULLs."""
    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return np.zeros(len(array) + 1, np.int64), np.zeros(0, np.uint8)
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8), content

"""Arrow arrays seen as NumPy values plus validity, and back, without copies where the layout allows it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from hpckit.tables.types import BOOL, DATE, FLOAT

Datum: TypeAlias = pa.Array | pa.Scalar
Values: TypeAlias = Any  # an ndarray of an array's values or the Python number of a scalar: operators take either


def _dtype(kind: pa.DataType) -> type:
    if kind == FLOAT:
        return np.float64
    return np.int32 if kind == DATE else np.int64


def _bits(buffer: pa.Buffer, offset: int, length: int) -> np.ndarray:
    """`length` bits from bit `offset` on, as bool."""
    first = offset // 8
    raw = np.frombuffer(buffer, np.uint8)[first : (offset + length + 7) // 8]
    bits = np.unpackbits(raw, bitorder="little")[offset - first * 8 : offset - first * 8 + length]
    return bits.view(np.bool_)


def values(array: pa.Array) -> np.ndarray:
    """The values (bool, int64, float64; dates int32) of a fixed-width array; anything where it is NULL."""
    data = array.buffers()[1]
    if array.type == BOOL:
        return np.zeros(0, np.bool_) if data is None else _bits(data, array.offset, len(array))
    dtype = _dtype(array.type)
    if data is None:
        return np.zeros(len(array), dtype)
    return np.frombuffer(data, dtype)[array.offset : array.offset + len(array)]


def validity(array: pa.Array) -> np.ndarray | None:
    """True where not NULL; None if there is no NULL."""
    if array.null_count == 0:
        return None
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.bool_)
    return _bits(array.buffers()[0], array.offset, len(array))


def build(data: np.ndarray, valid: np.ndarray | None, kind: pa.DataType) -> pa.Array:
    """An array of `kind` from values and validity (None: no NULL)."""
    length = len(data)
    bitmap, nulls = None, 0
    if valid is not None:
        nulls = length - int(np.count_nonzero(valid))
        if nulls:
            bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    if kind == BOOL:
        payload = np.packbits(np.ascontiguousarray(data, np.bool_), bitorder="little")
    else:
        payload = np.ascontiguousarray(data, _dtype(kind))
    return pa.Array.from_buffers(kind, length, [bitmap, pa.py_buffer(payload)], nulls)


def both(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """Validity where both are valid."""
    if first is None:
        return second
    return first if second is None else first & second


def split(datum: Datum) -> tuple[Values, np.ndarray | None]:
    """(values, validity) of an array; (Python number, None) of a scalar that is not NULL."""
    if isinstance(datum, pa.Scalar):
        if pa.types.is_temporal(datum.type):
            return datum.cast(pa.int32() if datum.type == DATE else pa.int64()).as_py(), None
        return datum.as_py(), None
    return values(datum), validity(datum)


def as_array(datum: Datum, length: int) -> pa.Array:
    """The datum as an array of `length` (scalars repeated)."""
    return pa.repeat(datum, length) if isinstance(datum, pa.Scalar) else datum

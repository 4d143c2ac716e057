"""Which rank a row belongs to: stable hashes of key columns (over the kernel `route`) and their destinations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hpckit._kernels import route
from hpckit.errors import InternalError
from hpckit.spmd.coded import codes_of
from hpckit.spmd.texts import NOTHING, has_offsets, is_large

SEED = 0x2545F4914F6CDD1D


def hash_rows(table: pa.Table, by: Sequence[str]) -> np.ndarray:
    """64-bit hash (uint64) of columns `by` for each row, the same on every rank and run. Local.

    Equal keys hash equally: −0.0 as 0.0, every NaN alike, NULL as a value of its own, strings by their bytes,
    integers by value whatever their width.
    """
    state = np.full(table.num_rows, SEED, np.uint64)
    for name in by:
        start = 0
        for chunk in table.column(name).chunks:
            _fold(chunk, state[start : start + len(chunk)])
            start += len(chunk)
    return state


def destinations(hashes: np.ndarray, size: int) -> np.ndarray:
    """The owner (int32, 0..size-1) of each hash, evenly spread. Local."""
    return route.destinations(np.ascontiguousarray(hashes, np.uint64), size)


def scatter(targets: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(row numbers sorted stably by target, rows per target), both int64. Local."""
    targets = np.ascontiguousarray(targets, np.int32)
    order, counts, bad = route.scatter(targets, size)
    if bad >= 0:
        raise InternalError(f"row {bad} is sent to rank {targets[bad]}: expected 0 <= rank < {size}")
    return order, counts


def _fold(array: pa.Array, state: np.ndarray) -> None:
    """Fold one Arrow array into the row hashes `state`."""
    if len(array) == 0:
        return
    kind = array.type
    if pa.types.is_dictionary(kind):
        if has_offsets(kind.value_type) and not array.dictionary.null_count:
            _fold_codes(array, state)
            return
        array = array.dictionary_decode()
        kind = array.type
    if pa.types.is_null(kind):
        array = pa.nulls(len(array), pa.int64())
    elif pa.types.is_boolean(kind):
        array = array.cast(pa.uint8()).cast(pa.int64())
    elif pa.types.is_floating(kind):
        array = array.cast(pa.float64())
    elif pa.types.is_uint64(kind):
        array = array.view(pa.int64())
    elif pa.types.is_integer(kind):
        array = array.cast(pa.int64())
    elif pa.types.is_date32(kind) or pa.types.is_time32(kind):
        array = array.view(pa.int32()).cast(pa.int64())
    elif pa.types.is_temporal(kind):
        array = array.view(pa.int64())
    elif not has_offsets(kind) and not _is_list(kind):
        array = array.cast(pa.string())
    kind = array.type
    if pa.types.is_int64(kind):
        route.fold_int64(_values(array, np.int64), *_validity(array), state)
    elif pa.types.is_float64(kind):
        route.fold_float64(_values(array, np.float64), *_validity(array), state)
    elif has_offsets(kind):
        data = array.buffers()[2]
        route.fold_bytes(_offsets(array), _as_bytes(data), *_validity(array), state)
    else:
        elements = np.full(len(array.values), SEED, np.uint64)
        _fold(array.values, elements)
        route.fold_lists(_offsets(array), elements, *_validity(array), state)


def _fold_codes(array: pa.DictionaryArray, state: np.ndarray) -> None:
    """As `_fold`, each entry of the dictionary hashed once."""
    entries = array.dictionary
    hashes = np.empty(len(entries) + 1, np.uint64)
    route.entry_hashes(_offsets(entries), _as_bytes(entries.buffers()[2]), hashes)
    codes = codes_of(array)
    bad = route.fold_codes(codes, hashes, state)
    if bad >= 0:
        raise InternalError(f"row {bad} has code {codes[bad]}, expected less than {len(entries)} (entries)")


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _as_bytes(buffer: pa.Buffer | None) -> np.ndarray:
    return NOTHING if buffer is None or buffer.size == 0 else np.frombuffer(buffer, np.uint8)


def _validity(array: pa.Array) -> tuple[np.ndarray, int]:
    """(bitmap, bit of row 0); an empty bitmap when there is no NULL."""
    bitmap = array.buffers()[0] if array.null_count else None
    return _as_bytes(bitmap), array.offset


def _values(array: pa.Array, dtype: type) -> np.ndarray:
    return np.frombuffer(array.buffers()[1], dtype, count=len(array), offset=array.offset * np.dtype(dtype).itemsize)


def _offsets(array: pa.Array) -> np.ndarray:
    dtype = np.int64 if is_large(array.type) or pa.types.is_large_list(array.type) else np.int32
    return np.frombuffer(
        array.buffers()[1], dtype, count=len(array) + 1, offset=array.offset * np.dtype(dtype).itemsize
    )

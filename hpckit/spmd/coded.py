"""String columns as codes with a dictionary (Arrow dictionaries), the form in which they are hashed and sent.

A key that many rows share is then hashed, copied and looked up once for each message, not once for each row.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hpckit._kernels import route

KIND = pa.dictionary(pa.int32(), pa.large_string())  # the type of a column that `exchange` keeps coded


def is_coded(kind: pa.DataType) -> bool:
    """Whether a column is of the one dictionary type that stays what it is between ranks."""
    return kind == KIND


def codes_of(array: pa.DictionaryArray) -> np.ndarray:
    """The codes (int32) of the rows, -1 for NULL. Local."""
    indices = array.indices
    if indices.type != pa.int32():
        indices = indices.cast(pa.int32())
    if indices.null_count:
        indices = indices.fill_null(-1)
    if not len(indices):
        return np.zeros(0, np.int32)
    return np.frombuffer(indices.buffers()[1], np.int32, len(indices), indices.offset * 4)


def coded(codes: np.ndarray, dictionary: pa.Array) -> pa.DictionaryArray:
    """The column of these codes (int32, -1 for NULL) into `dictionary` (large_string, no NULL). Local."""
    missing = codes < 0
    indices = pa.array(codes, mask=missing) if missing.any() else pa.array(codes)
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def take(array: pa.DictionaryArray, rows: np.ndarray) -> pa.DictionaryArray:
    """These rows, with a dictionary of no more entries than they need. Local."""
    codes, used = route.compact(codes_of(array)[rows], len(array.dictionary))
    return coded(codes, array.dictionary.take(pa.array(used)))

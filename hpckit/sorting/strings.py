"""Arrow strings and binaries for sorting: of one form, or as ranks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

OFFSET_MAX = (1 << 31) - 1
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

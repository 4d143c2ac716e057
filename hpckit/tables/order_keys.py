"""ORDER BY keys as integers: every key column becomes int64 words whose order is the order asked for.

The order is DuckDB's: strings by their bytes, NaN above every number and equal to itself, −0 equal to 0, NULL where it
is asked to be. Words with a small range are packed into one, so that most sorts are one sort of integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import OutputError, QueryError
from hpckit.sinks.canonical import storage_type

WORD_BITS = 64
NAN_BITS = 0x7FF8000000000000


@dataclass(frozen=True, slots=True)
class Key:
    """A column to sort by."""

    name: str
    descending: bool = False
    nulls_first: bool = False


def as_keys(keys: list[Key] | list[tuple[str, bool, bool]], schema: pa.Schema) -> list[Key]:
    """`keys` as Key objects; QueryError for a column that `schema` has not."""
    result = [key if isinstance(key, Key) else Key(*key) for key in keys]
    for key in result:
        if schema.get_field_index(key.name) < 0:
            raise QueryError(f"ORDER BY {key.name}: expected one of the columns {', '.join(schema.names)}")
        try:
            storage_type(key.name, schema.field(key.name).type)
        except OutputError as error:
            raise QueryError(f"ORDER BY {key.name}: rows cannot be ordered by it: {error}") from error
    return result


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """`column` as one array of its storage type."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # strings beyond 2 GiB
            column = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in column.chunks])
    kind = storage_type("ORDER BY", column.type)
    if column.type == kind or (pa.types.is_large_string(column.type) and pa.types.is_string(kind)):
        return column
    return column.cast(kind)


def number_words(array: pa.Array) -> np.ndarray:
    """int64 words of a column of numbers, times or booleans that order as its values; 0 in the place of NULL."""
    kind = array.type
    if pa.types.is_floating(kind):
        filled = array.fill_null(0.0) if array.null_count else array
        values = filled.to_numpy(zero_copy_only=False) + 0.0  # −0 becomes 0
        bits = values.view(np.int64)
        words = bits ^ ((bits >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))
        words[np.isnan(values)] = NAN_BITS
        return words
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.int64)
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int64())
    elif pa.types.is_date32(kind):
        array = array.view(pa.int32()).cast(pa.int64())
    else:
        array = array.view(pa.int64())
    return (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type compare as bytes."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def string_ranks(array: pa.Array) -> np.ndarray:
    """int64: the rank of each string among the distinct strings in bytewise order; 0 in the place of NULL."""
    if len(array) == 0:
        return np.zeros(0, np.int64)
    encoded = array.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ranks = np.empty(len(order) + 1, np.int64)
    ranks[order] = np.arange(len(order))
    ranks[len(order)] = 0
    codes = encoded.indices.fill_null(len(order)) if encoded.null_count else encoded.indices
    return ranks[codes.to_numpy(zero_copy_only=False)]


def null_class(array: pa.Array, nulls_first: bool) -> np.ndarray:
    """int64 0 or 1 for each row, such that NULLs come first or last."""
    is_null = array.is_null().to_numpy(zero_copy_only=False)
    return (is_null != nulls_first).astype(np.int64)


def key_words(table: pa.Table, keys: list[Key]) -> list[np.ndarray]:
    """int64 arrays of table.num_rows, most significant first, that order as the keys do."""
    words = []
    for key in keys:
        array = one_array(table.column(key.name))
        if array.null_count:
            words.append(null_class(array, key.nulls_first))
        values = string_ranks(array) if is_text(array.type) else number_words(array)
        if key.descending:
            values = ~values
            if array.null_count:
                values[array.is_null().to_numpy(zero_copy_only=False)] = 0
        words.append(values)
    return words


def packed_words(words: list[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """The same order in as few uint64 words as the ranges of the values allow, and the bits each uses."""
    packed: list[np.ndarray] = []
    bits: list[int] = []
    for word in words:
        low, high = int(word.min()), int(word.max())
        width = (high - low).bit_length()
        if width == 0:
            continue
        shifted = word.view(np.uint64) - np.uint64(low % (1 << WORD_BITS))
        if packed and bits[-1] + width <= WORD_BITS:
            packed[-1] = (packed[-1] << np.uint64(width)) | shifted
            bits[-1] += width
        else:
            packed.append(shifted)
            bits.append(width)
    return packed, bits


def permutation(words: list[np.ndarray], rows: int) -> np.ndarray:
    """int64: the stable order of `rows` rows by `words` (int64, most significant first)."""
    if rows < 2 or not words:
        return np.arange(rows)
    packed, bits = packed_words(words)
    if not packed:
        return np.arange(rows)
    row_bits = (rows - 1).bit_length()
    if len(packed) == 1 and bits[0] + row_bits <= WORD_BITS:
        # Key and row number in one word: an unstable sort of distinct words is stable, and the fastest there is.
        combined = (packed[0] << np.uint64(row_bits)) | np.arange(rows, dtype=np.uint64)
        combined.sort()
        return (combined & np.uint64((1 << row_bits) - 1)).astype(np.int64)
    order = np.argsort(packed[0])  # several times as fast as a stable sort, and as good where no two words are equal
    first = packed[0][order]
    if (first[1:] != first[:-1]).all():
        return order
    return np.lexsort(packed[::-1])


def candidates(words: list[np.ndarray], count: int) -> np.ndarray:
    """int64, ascending: the rows that can be among the first `count` (> 0) by `words`, ties included."""
    packed, _ = packed_words(words)
    if not packed or count >= len(packed[0]):
        return np.arange(len(words[0]))
    bound = np.partition(packed[0], count - 1)[count - 1]
    return np.flatnonzero(packed[0] <= bound)


def smallest(words: list[np.ndarray], rows: int, count: int) -> np.ndarray:
    """int64: the first `count` rows of the stable order by `words`, without sorting all."""
    if count <= 0:
        return np.arange(0)
    if count * 4 < rows and words:
        kept = candidates(words, count)
        return kept[permutation([word[kept] for word in words], len(kept))[:count]]
    return permutation(words, rows)[:count]

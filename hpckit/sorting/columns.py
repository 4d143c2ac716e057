"""Arrow columns as sort keys: numbers as order-preserving words, strings as they are, NULLs as a class of their own.

The order is DuckDB's: strings by their bytes, NaN above every number and equal to itself, −0 equal to 0, NULL where it
is asked to be. A key may ask for floats by their bits instead: −0 before +0, NaNs apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit._kernels.strsort import Rows
from hpckit.errors import QueryError
from hpckit.sorting import keys as words_of
from hpckit.sorting.strings import is_text, one_text_array, string_ranks
from hpckit.sorting.words import packed_order, packed_words
from hpckit.spmd.texts import parts_of

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

ORIGIN = "\x1fposition"  # hidden column of tables that know their rows' places in the input
PLACE = "\x1fplace"  # hidden column for the places of rows that are known by rank and number
SIGN = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True)
class Key:
    """A column to sort by. `by_bits`: floats by their bits, so that no two different ones tie."""

    name: str
    descending: bool = False
    nulls_first: bool = False
    by_bits: bool = False


def as_keys(keys: Sequence[Key | tuple[str, bool, bool]], schema: pa.Schema) -> list[Key]:
    """`keys` as Key objects; QueryError for a column that `schema` has not or that has no order."""
    result = [key if isinstance(key, Key) else Key(*key) for key in keys]
    for key in result:
        if schema.get_field_index(key.name) < 0:
            raise QueryError(f"ORDER BY {key.name}: expected one of the columns {', '.join(schema.names)}")
        kind = schema.field(key.name).type
        if not is_sortable(kind):
            raise QueryError(
                f"ORDER BY {key.name}: rows cannot be ordered by it: values of type {kind} have no order; order by a "
                "number, a time, a boolean or a string made of them"
            )
    return result


def is_sortable(kind: pa.DataType) -> bool:
    """Whether columns of this type can be sort keys."""
    types = pa.types
    if types.is_dictionary(kind):
        return is_sortable(kind.value_type)
    return (
        is_text(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
        or (types.is_temporal(kind) and not types.is_interval(kind))
    )


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """`column` as one array, without a dictionary; strings beyond 2 GiB get 64-bit offsets."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if is_text(column.type):
        return one_text_array(column)
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], kind)])
    return column


def number_words(array: pa.Array, by_bits: bool = False) -> np.ndarray:
    """uint64 words of a column of numbers, times or booleans that order as its values; 0 or any in place of NULL."""
    words, is_signed = plain_words(array, by_bits)
    return words ^ SIGN if is_signed else words


def plain_words(array: pa.Array, by_bits: bool = False) -> tuple[np.ndarray, bool]:
    """(words, whether they order as signed numbers): as number_words, but 64-bit integers and times are not copied."""
    kind = array.type
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.uint64), False
    if pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif pa.types.is_temporal(kind):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    values = values_of(array)
    if values.dtype.kind == "f" and not by_bits:
        values = values.astype(np.float64) + 0.0  # −0 becomes 0
        values[np.isnan(values)] = np.nan
    elif values.dtype == np.int64:
        return values.view(np.uint64), True
    return words_of.encode(values), False


def values_of(array: pa.Array) -> np.ndarray:
    """The values of a fixed-width array as they lie in memory, whatever lies under NULLs; no copy."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    if len(array) == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def nulls_of(array: pa.Array) -> np.ndarray:
    """bool: where `array` is NULL."""
    return array.is_null().to_numpy(zero_copy_only=False)


@dataclass(frozen=True, slots=True)
class Ordering:
    """Sort keys, and which of their columns have NULLs on any rank: what makes rows of two tables comparable.

    origin   the column (int64, 0 or more, unique over all ranks) of samples and runs by which ties go
    """

    keys: tuple[Key, ...]
    nullable: tuple[bool, ...]
    origin: str = PLACE

    @classmethod
    def of(cls, table: pa.Table, keys: Sequence[Key]) -> Ordering:
        """For the rows of `table` alone. Local."""
        return cls(tuple(keys), tuple(table.column(key.name).null_count > 0 for key in keys))

    def agree(self, ctx: Context) -> Ordering:
        """For the rows of all ranks. Collective."""
        flags = ctx.allreduce(np.array([*self.nullable, False], np.int64), "max")
        return replace(self, nullable=tuple(bool(flag) for flag in flags[:-1]))

    def seen(self, table: pa.Table) -> Ordering:
        """For these rows as well. Local."""
        pairs = zip(self.keys, self.nullable, strict=True)
        return replace(self, nullable=tuple(n or table.column(key.name).null_count > 0 for key, n in pairs))

    @property
    def names(self) -> list[str]:
        """The columns of the keys, each once."""
        return list(dict.fromkeys(key.name for key in self.keys))

    def rows(self, table: pa.Table, first: int | None = None) -> Rows:
        """The keys of `table` for the kernel; with `first`, ties go by the row's number, the first row having that."""
        rows = Rows(table.num_rows)
        self._add_keys(rows, table)
        if first is not None:
            rows.add_numbers(first)
        return rows

    def bounds(self, table: pa.Table) -> Rows:
        """The same of a table whose rows have their places in the column `origin`, by which ties go."""
        rows = Rows(table.num_rows)
        self._add_keys(rows, table)
        rows.add_words(values_of(one_array(table.column(self.origin))).view(np.uint64))
        return rows

    def order(self, table: pa.Table, room: Callable[[int], np.ndarray] | None = None) -> np.ndarray:
        """int64: the row numbers of `table` in stable order. Local. `room` gives so many bytes of scratch (uint8)."""
        if not self.keys or table.num_rows < 2:
            return np.arange(table.num_rows)
        if self.has_text(table):
            rows = self.rows(table)
            return rows.order(None if room is None else room(rows.scratch_bytes))
        packed, bits = packed_words(self.words(table))
        order = packed_order(packed, bits, table.num_rows)
        if order is not None:
            return order
        rows = Rows(table.num_rows)
        for word in packed:
            rows.add_words(word)
        return rows.order()

    def has_text(self, table: pa.Table) -> bool:
        """Whether strings or binaries are among the keys of `table`."""
        return any(is_text(value_type(table.schema.field(name).type)) for name in self.names)

    def words(self, table: pa.Table) -> list[np.ndarray]:
        """uint64 arrays of table.num_rows, most significant first, that order as the keys; strings by rank. Local."""
        words = []
        for key, nullable in zip(self.keys, self.nullable, strict=True):
            array = one_array(table.column(key.name))
            missing = nulls_of(array) if nullable else None
            if missing is not None:
                words.append(null_class(missing, key.nulls_first))
            values = string_ranks(array) if is_text(array.type) else number_words(array, key.by_bits)
            if key.descending:
                values = ~values
            if missing is not None and array.null_count:
                values = np.where(missing, np.uint64(0), values)
            words.append(values)
        return words

    def _add_keys(self, rows: Rows, table: pa.Table) -> None:
        for key, nullable in zip(self.keys, self.nullable, strict=True):
            array = one_array(table.column(key.name))
            if nullable:
                rows.add_words(null_class(nulls_of(array), key.nulls_first))
            if is_text(array.type):
                rows.add_strings(*parts_of(array), key.descending)
            else:
                values, is_signed = plain_words(array, key.by_bits)
                if array.null_count:  # where NULLs tie, what lies under them must tie as well
                    values = np.where(nulls_of(array), np.uint64(0), values)
                rows.add_words(values, key.descending, is_signed)


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values, which for a dictionary is that of its entries."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def null_class(missing: np.ndarray, nulls_first: bool) -> np.ndarray:
    """uint64 0 or 1 for each row, such that NULLs come first or last."""
    return (missing != nulls_first).astype(np.uint64)

"""Strings as codes of an operator's own dictionary, whatever dictionaries the batches come with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit._kernels import reduce as kernel
from hpckit._kernels import route
from hpckit._kernels.group import gather_ids, unknown_codes
from hpckit._kernels.intern import Interner
from hpckit.spmd.coded import coded, codes_of

if TYPE_CHECKING:
    from hpckit.tables.columns import Column

UNKNOWN = -2
_DICTIONARIES_REMEMBERED = 4
_STRING_BYTES_MAX = (1 << 31) - 1


def strings_of(dictionary: Interner, codes: np.ndarray) -> pa.Array:
    """Entries `codes` (int32, all >= 0) as a large_string array; costs what these entries cost, not the dictionary."""
    starts = np.empty(len(codes) + 1, np.int64)
    offsets, data = dictionary.offsets(), dictionary.data()
    kernel.take_strings(offsets, data, codes, starts, np.empty(0, np.uint8))
    taken = np.empty(int(starts[-1]), np.uint8)
    if len(taken):
        kernel.take_strings(offsets, data, codes, starts, taken)
    return pa.Array.from_buffers(pa.large_string(), len(codes), [None, pa.py_buffer(starts), pa.py_buffer(taken)])


def narrow(strings: pa.Array) -> pa.Array | pa.ChunkedArray:
    """A large_string array as string; in chunks if it is too long for 32-bit offsets."""
    if strings.nbytes < _STRING_BYTES_MAX or len(strings) < 2:
        return strings.cast(pa.string())
    half = len(strings) // 2
    parts: list[pa.Array] = []
    for part in (narrow(strings.slice(0, half)), narrow(strings.slice(half))):
        parts.extend(part.chunks if isinstance(part, pa.ChunkedArray) else [part])
    return pa.chunked_array(parts, pa.string())


def one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column in one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


class TranslationCache:
    """For each source dictionary seen of late, an int32 value per code (UNKNOWN at first) in a growing array.

    The dictionary is held as long as its array, so that its identity cannot pass to another one.
    """

    def __init__(self, null: int) -> None:
        self._null = null
        self._known: dict[int, tuple[Interner, np.ndarray]] = {}

    def array(self, dictionary: Interner) -> np.ndarray:
        """Entry code + 1 is the value of `code`; entry 0 that of NULL."""
        known = self._known.pop(id(dictionary), None)
        table = known[1] if known else np.array([self._null], np.int32)
        if len(table) < len(dictionary) + 1:
            larger = np.full(max(len(dictionary) + 1, 2 * len(table)), UNKNOWN, np.int32)
            larger[: len(table)] = table
            table = larger
        self._known[id(dictionary)] = (dictionary, table)  # newest last
        if len(self._known) > _DICTIONARIES_REMEMBERED:
            del self._known[next(iter(self._known))]
        return table


class OwnCodes:
    """A growing dictionary of the strings seen, and the translation of other dictionaries' codes into its own."""

    def __init__(self) -> None:
        self.strings = Interner()
        self._cache = TranslationCache(null=-1)

    def __len__(self) -> int:
        return len(self.strings)

    @property
    def nbytes(self) -> int:
        """Memory held by the dictionary, bytes."""
        return self.strings.nbytes

    def codes(self, column: Column) -> np.ndarray:
        """int32 codes of a string column here, -1 for NULL."""
        if isinstance(column, pa.DictionaryArray):
            return self._arrow_codes(column)
        if isinstance(column, pa.Array | pa.ChunkedArray):
            return self.strings.intern(column)
        return self.coded(column.codes, column.dictionary)

    def _arrow_codes(self, column: pa.DictionaryArray) -> np.ndarray:
        # Only what occurs becomes an entry here.
        entries = column.dictionary
        codes, used = route.compact(codes_of(column), len(entries))
        if len(used) < len(entries) or (used != np.arange(len(used))).any():
            entries = entries.take(pa.array(used))
        if len(entries) > len(self):
            self.strings.reserve(len(entries))
        known = np.full(len(used) + 1, -1, np.int32)
        known[1:] = self.strings.intern(entries)
        gather_ids(codes, known, codes)
        return codes

    def coded(self, codes: np.ndarray, dictionary: Interner) -> np.ndarray:
        """int32 codes here of codes of another dictionary; only what occurs is copied."""
        table = self._cache.array(dictionary)
        out = np.empty(len(codes), np.int32)
        if gather_ids(codes, table, out):
            fresh = unknown_codes(codes, table)
            table[fresh + 1] = self.strings.intern_entries(dictionary, np.ascontiguousarray(fresh, np.int32))
            gather_ids(codes, table, out)
        return out

    def column(self, codes: np.ndarray) -> pa.DictionaryArray:
        """These codes with a copy of the whole dictionary: the form in which strings are sent."""
        offsets, data = (pa.py_buffer(np.array(part)) for part in (self.strings.offsets(), self.strings.data()))
        entries = pa.Array.from_buffers(pa.large_string(), len(self), [None, offsets, data])
        return coded(np.ascontiguousarray(codes, np.int32), entries)

    def take(self, codes: np.ndarray) -> pa.Array | pa.ChunkedArray:
        """The strings of `codes`, NULL for -1."""
        valid = codes >= 0
        if valid.all():
            return narrow(strings_of(self.strings, np.ascontiguousarray(codes, np.int32)))
        present = strings_of(self.strings, np.ascontiguousarray(codes[valid], np.int32))
        where = pa.array(np.cumsum(valid) - 1, mask=~valid)
        return narrow(present.take(where))

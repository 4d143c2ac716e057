"""Strings as codes of an operator's own dictionary, whatever dictionaries the batches come with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit._kernels.group import gather_ids
from hpckit._kernels.intern import Interner

if TYPE_CHECKING:
    from hpckit.tables.columns import Coded, Column

_DICTIONARIES_REMEMBERED = 4


class TranslationCache:
    """For each source dictionary seen of late, an int32 array over its codes (entry 0: NULL), extended as it grows.

    The dictionary is held as long as its array, so that its identity cannot pass to another one.
    """

    def __init__(self, null: int) -> None:
        self._null = null
        self._known: dict[int, tuple[Interner, np.ndarray]] = {}

    def array(self, dictionary: Interner) -> tuple[np.ndarray, int]:
        """(array with room for every code, number of codes it covered before)."""
        known = self._known.pop(id(dictionary), None)
        table = known[1] if known else np.array([self._null], np.int32)
        before = len(table) - 1
        if before < len(dictionary):
            larger = np.full(len(dictionary) + 1, -2, np.int32)
            larger[: before + 1] = table
            table = larger
        self._known[id(dictionary)] = (dictionary, table)  # newest last
        if len(self._known) > _DICTIONARIES_REMEMBERED:
            del self._known[next(iter(self._known))]
        return table, before


class OwnCodes:
    """A growing dictionary of strings and the translation of other dictionaries' codes into its own."""

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
        if isinstance(column, pa.Array | pa.ChunkedArray):
            return self.strings.intern(column)
        return self.coded(column)

    def coded(self, column: Coded) -> np.ndarray:
        """int32 codes of a Coded column here, -1 for NULL."""
        table, before = self._cache.array(column.dictionary)
        if before + 1 < len(table):
            table[before + 1 :] = self.strings.intern_coded(column.dictionary, before, len(table) - 1)
        out = np.empty(len(column.codes), np.int32)
        gather_ids(column.codes, table, out)
        return out

    def take(self, codes: np.ndarray) -> pa.Array:
        """The strings of `codes`, NULL for -1."""
        if len(self.strings) == 0:
            return pa.nulls(len(codes), pa.string())
        taken = self.strings.arrow().take(pa.array(codes, pa.int32(), mask=codes < 0))
        return taken

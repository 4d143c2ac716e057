"""Key columns of any type to dense group ids, and back in key order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit._kernels.group import GroupTable, gather_ids, unknown_codes
from hpckit.aggregates.codes import UNKNOWN, OwnCodes, TranslationCache
from hpckit.aggregates.spec import DURATION, INT, STRING, TIMESTAMP
from hpckit.aggregates.words import decode, encode, validity

if TYPE_CHECKING:
    from hpckit.tables.columns import Coded, Column

NULL_WORD = np.iinfo(np.int64).min
_FULL_RANGE = (INT, TIMESTAMP, DURATION)  # types in which NULL_WORD is also a value


class KeyTable:
    """Groups by a tuple of key columns, numbered in order of first sight. NULL = NULL, -0.0 = 0.0, NaN = NaN.

    A key is a row of words: codes of an own dictionary for strings, order-preserving integers for the rest, NULL_WORD
    for NULL. Where NULL_WORD occurs as a value, one more word is added to every row that tells the two apart.
    """

    def __init__(self, types: list[pa.DataType]) -> None:
        self.types = list(types)
        self._strings: list[Any] = [OwnCodes() if t == STRING else None for t in types]
        self._table: Any = GroupTable(len(types)) if types else None
        self._escaping = False
        self._zeros = np.zeros(0, np.int32)
        self._direct = TranslationCache(null=UNKNOWN)  # source code -> group id, for a single string key

    def __len__(self) -> int:
        return 1 if self._table is None else len(self._table)

    @property
    def nbytes(self) -> int:
        """Memory held, bytes."""
        return sum(s.nbytes for s in self._strings if s) + (self._table.nbytes if self._table else 0)

    def ids(self, columns: list[Column], length: int) -> np.ndarray:
        """int32 group ids of `length` rows; without key columns all are group 0."""
        if self._table is None:
            if len(self._zeros) < length:
                self._zeros = np.zeros(length, np.int32)
            return self._zeros[:length]
        if self.types == [STRING] and not isinstance(columns[0], pa.Array):
            return self._coded_ids(columns[0])
        words = [self._encode(j, column) for j, column in enumerate(columns)]
        escapes = self._escapes(columns, words)
        if self._escaping:
            words.append(np.zeros(length, np.int64) if escapes is None else escapes)
        return self._table.ids(words)

    def _coded_ids(self, column: Coded) -> np.ndarray:
        """Group ids of a single Coded key: one look-up a row once its entry has been seen."""
        known = self._direct.array(column.dictionary)
        ids = np.empty(len(column.codes), np.int32)
        if gather_ids(column.codes, known, ids):
            fresh = unknown_codes(column.codes, known)
            own = self._strings[0].coded(fresh, column.dictionary)
            known[fresh + 1] = self._table.ids([own.astype(np.int64)])
            gather_ids(column.codes, known, ids)
        return ids

    def _encode(self, j: int, column: Column) -> np.ndarray:
        strings = self._strings[j]
        if strings is not None:
            return strings.codes(column).astype(np.int64)
        words = encode(column, equal_zeros=True)
        valid = validity(column)
        return words if valid is None else np.where(valid.view(bool), words, NULL_WORD)

    def _escapes(self, columns: list[Column], words: list[np.ndarray]) -> np.ndarray | None:
        """Bit j set where key j holds NULL_WORD as a value; None if it does so nowhere."""
        escapes = None
        for j, (kind, column) in enumerate(zip(self.types, columns, strict=True)):
            if kind not in _FULL_RANGE or not len(words[j]) or words[j].min() != NULL_WORD:
                continue
            valid = validity(column)
            real = words[j] == NULL_WORD if valid is None else (words[j] == NULL_WORD) & valid.view(bool)
            if real.any():
                escapes = np.zeros(len(words[j]), np.int64) if escapes is None else escapes
                escapes |= real.astype(np.int64) << j
        if escapes is not None and not self._escaping:
            self._start_escaping()
        return escapes

    def _start_escaping(self) -> None:
        """Rebuilds the table with the escape word; ids stay, for groups go in by their order."""
        old = self._table.keys()
        self._table = GroupTable(len(self.types) + 1)
        self._table.ids([*old, np.zeros(len(old[0]), np.int64)])
        self._escaping = True

    def _words(self, ids: np.ndarray | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per key column: (words, flags of NULL) of all groups, or of these."""
        if self._table is None:
            return []
        words = self._table.keys(None if ids is None else np.ascontiguousarray(ids, np.int64))
        escapes = words.pop() if self._escaping else None
        result = []
        for j, column in enumerate(words):
            missing = column == (-1 if self._strings[j] else NULL_WORD)
            if escapes is not None:
                missing &= (escapes >> j) & 1 == 0
            result.append((column, missing))
        return result

    def reserve(self, groups: int) -> None:
        """Makes room for so many groups in all."""
        if self._table is not None:
            self._table.reserve(groups)

    def columns(self, order: np.ndarray | None = None, coded: bool = False) -> list[pa.Array]:
        """The key columns, one row a group, by group id or in the given order of ids; `coded`: strings as codes."""
        result = []
        for kind, strings, (words, missing) in zip(self.types, self._strings, self._words(order), strict=False):
            if strings is not None:
                codes = words.astype(np.int32)
                result.append(strings.column(codes) if coded else strings.take(codes))
            else:
                result.append(decode(words, kind, missing if missing.any() else None))
        return result

    def order(self) -> np.ndarray:
        """Group ids ascending by the keys: strings bytewise, NaN greatest, NULL last."""
        sort_keys: list[np.ndarray] = []
        for strings, (words, missing) in zip(self._strings, self._words(), strict=False):
            if strings is not None:
                rank = np.append(strings.strings.rank(), len(strings)).astype(np.int64)
                sort_keys.append(rank[words])  # -1 (NULL) reads the last one
                continue
            if missing.any():
                sort_keys.append(missing)
            sort_keys.append(words)
        if not sort_keys:
            return np.zeros(1, np.int64)
        return np.lexsort(sort_keys[::-1])

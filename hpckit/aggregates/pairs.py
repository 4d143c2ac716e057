"""Sets of (group, value): count(DISTINCT x)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit._kernels import reduce as kernel
from hpckit._kernels.group import GroupTable
from hpckit.aggregates.codes import OwnCodes
from hpckit.aggregates.spec import STRING
from hpckit.aggregates.words import decode, encode, fixed_values, grown
from hpckit.errors import InternalError

if TYPE_CHECKING:
    from hpckit.aggregates.views import ArgView

_BITMAP_BYTES_MAX = 32 << 20


class PairTable:
    """Distinct (group id, int64 word) pairs, numbered in order of first sight.

    As long as all words are int32, a pair is one word of a GroupTable; then two.
    """

    def __init__(self) -> None:
        self._table = GroupTable(1)
        self._packed = True

    def __len__(self) -> int:
        return len(self._table)

    @property
    def nbytes(self) -> int:
        return self._table.nbytes

    def add(self, ids: np.ndarray, words: np.ndarray, use: np.ndarray | None) -> np.ndarray:
        """int32 numbers of the pairs (ids[i], words[i]) of the rows in use, in row order."""
        if self._packed:
            packed = np.empty(len(ids), np.int64)
            count = kernel.pack_pairs(ids, words, use, packed)
            if count >= 0:
                return self._table.ids([packed[:count]])
            self._unpack()
        if use is not None:
            chosen = np.flatnonzero(use)
            ids, words = ids[chosen], words[chosen]
        return self._table.ids([ids.astype(np.int64), np.ascontiguousarray(words)])

    def _unpack(self) -> None:
        """To two words a pair; numbers stay, for pairs go in by their order."""
        ids, words = self.columns()
        self._table = GroupTable(2)
        self._table.ids([ids, words])
        self._packed = False

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """(group ids, words), int64, by pair number."""
        if not self._packed:
            ids, words = self._table.keys()
            return ids, words
        (packed,) = self._table.keys()
        return packed >> 32, packed.astype(np.int32).astype(np.int64)


class Bitmap:
    """Distinct (group id, code) pairs as one row of bits a group."""

    def __init__(self) -> None:
        self._bits = np.zeros((0, 0), np.uint8)

    @property
    def nbytes(self) -> int:
        return self._bits.nbytes

    def reserve(self, groups: int, codes: int) -> bool:
        """Makes room for `codes` bits in each of `groups` rows; False if that takes too much memory."""
        rows, width = self._bits.shape
        if groups <= rows and codes <= 8 * width:
            return True
        rows = rows if groups <= rows else max(groups, 2 * rows, 16)
        width = width if codes <= 8 * width else max(codes // 8 + 1, 2 * width, 64)
        if rows * width > _BITMAP_BYTES_MAX:
            return False
        larger = np.zeros((rows, width), np.uint8)
        larger[: self._bits.shape[0], : self._bits.shape[1]] = self._bits
        self._bits = larger
        return True

    def add(self, ids: np.ndarray, codes: np.ndarray) -> None:
        kernel.mark_pairs(ids, codes, self._bits.reshape(-1), self._bits.shape[1])

    def counts(self, groups: int) -> np.ndarray:
        """int64: bits set in each row."""
        result = np.zeros(groups, np.int64)
        for group in range(min(groups, len(self._bits))):
            result[group] = int.from_bytes(self._bits[group].tobytes(), "little").bit_count()
        return result

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """(group ids, codes), int64, in ascending order."""
        found = [np.zeros((0, 2), np.int64)]
        for group in np.flatnonzero(self._bits.any(axis=1)):
            codes = np.flatnonzero(np.unpackbits(self._bits[group], bitorder="little"))
            found.append(np.column_stack([np.full(len(codes), group), codes]))
        pairs = np.concatenate(found)
        return pairs[:, 0].copy(), pairs[:, 1].copy()


class Distinct:
    """The set of values of each group: count(DISTINCT x), exact.

    Strings are codes of an own dictionary. Without keys that dictionary is the set; with keys the set is a bitmap, and
    a PairTable once that would take too much room. Other types go into a PairTable at once.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind
        self._strings: Any = OwnCodes() if kind == STRING else None
        self._bitmap = Bitmap() if kind == STRING else None
        self._pairs = PairTable()
        self._counted = np.zeros(0, np.int64)  # values counted elsewhere, after an exchange
        self._complete = False
        self._sole = 0  # entries of the dictionary that are the set of group 0, while that is the only group
        self._groups = 0

    def resize(self, groups: int) -> None:
        self._counted = grown(self._counted, groups, 0)
        self._groups = groups

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        if self._strings is None:
            self._pairs.add(ids, view.equality_words, view.use)
        elif view.mask is None:
            self._add_codes(ids, self._strings.codes(view.column))
        else:
            rows = np.flatnonzero(view.mask)
            self._add_codes(ids[rows], self._strings.codes(view.taken(rows)))

    def _add_codes(self, ids: np.ndarray, codes: np.ndarray) -> None:
        if self._groups == 1:
            self._sole = len(self._strings)
            return
        if self._sole:
            old, self._sole = np.arange(self._sole, dtype=np.int32), 0
            self._store(np.zeros(len(old), np.int32), old)
        self._store(ids, codes)

    def _store(self, ids: np.ndarray, codes: np.ndarray) -> None:
        if self._bitmap is not None:
            if self._bitmap.reserve(self._groups, len(self._strings)):
                self._bitmap.add(ids, codes)
                return
            old_ids, old_codes = self._bitmap.columns()
            self._bitmap = None
            self._pairs.add(old_ids.astype(np.int32), old_codes, None)
        self._pairs.add(ids, codes.astype(np.int64), (codes >= 0).view(np.uint8))

    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        """(group ids, words or codes) of all pairs."""
        if self._sole:
            return np.zeros(self._sole, np.int64), np.arange(self._sole, dtype=np.int64)
        return self._pairs.columns() if self._bitmap is None else self._bitmap.columns()

    @property
    def values(self) -> np.ndarray:
        """int64: number of different values of each group."""
        if self._complete:
            return self._counted[: self._groups]
        if self._sole:
            result = np.zeros(self._groups, np.int64)
            result[0] = self._sole
            return result
        if self._bitmap is not None:
            return self._bitmap.counts(self._groups)
        return np.bincount(self._pairs.columns()[0], minlength=self._groups)

    def columns(self) -> dict[str, pa.Array]:
        return {}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        """Nothing: all of the state is in its pairs."""

    def pairs(self) -> tuple[np.ndarray, dict[str, pa.Array]]:
        """(group id of each row, {"value"}): every value of every group once."""
        if self._complete:
            raise InternalError("distinct values were counted in an exchange; take the state before it")
        ids, words = self._columns()
        if self._strings is not None:
            return ids, {"value": self._strings.column(words.astype(np.int32))}
        return ids, {"value": decode(words, self.kind)}

    def absorb_pairs(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        """Adds values[i] to the set of group ids[i]."""
        if self._strings is not None:
            self._add_codes(ids, self._strings.codes(columns["value"]))
        else:
            self._pairs.add(ids, encode(columns["value"], equal_zeros=True), None)

    def absorb_counts(self, ids: np.ndarray, counts: pa.Array) -> None:
        """Takes numbers of values that no other rank counts; from then on the state is only good for its result."""
        self._complete = True
        kernel.add_counts(ids, fixed_values(counts, np.int64), self._counted)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self._strings, self._bitmap, self._pairs) if part is not None)

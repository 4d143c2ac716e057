"""Functions of one coded column: computed once for each dictionary entry, then looked up by code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from hpckit._kernels.intern import Interner
from hpckit.errors import QueryError
from hpckit.tables.columns import Coded, Column
from hpckit.tables.evaluate_vectors import build, validity, values
from hpckit.tables.types import STRING

_SPARSE = 4  # more new entries than this many times the batch's rows: the batch's own strings are fewer
_OWN_ENTRIES_MAX = 1 << 20
_OWN_BYTES_MAX = 64 << 20


class EntryTable:
    """Results of one expression for every entry of one dictionary, and for NULL (kept in the last place, code -1)."""

    def __init__(self, dictionary: Interner, compute: Callable[[pa.Array], pa.Array]) -> None:
        self.dictionary = dictionary
        self._compute = compute
        self._done = 0
        self._failed = False
        self._type: pa.DataType | None = None  # known, like the arrays below, once the first batch has come
        self._data = np.zeros(0, np.int32)
        self._valid = np.zeros(0, np.bool_)
        self._own: Interner | None = None
        self._entries_null = False  # whether an entry's result, apart from NULL's own, is NULL

    def stale(self, dictionary: Interner) -> bool:
        """Whether another dictionary has come, or the results' own one has become too large to keep."""
        own = self._own
        too_large = own is not None and (len(own) > _OWN_ENTRIES_MAX or own.nbytes > _OWN_BYTES_MAX)
        return self.dictionary is not dictionary or too_large

    def extend(self, rows: int) -> bool:
        """Compute what the dictionary has gained; False if that costs more than the batch of `rows` itself."""
        total = len(self.dictionary)
        fresh = total - self._done
        if self._failed or fresh > max(_SPARSE * rows, 64):
            return False
        if self._type is None:
            self._start()
        if fresh:
            try:
                result = self._compute(self.dictionary.arrow(self._done, total))
            except QueryError:  # an entry that this batch may not contain cannot be computed
                self._failed = True
                return False
            self._store(result, self._done)
            self._done = total
        return True

    def _start(self) -> None:
        null = self._compute(pa.nulls(1, STRING))
        self._type = null.type
        if self._type == STRING:
            self._own = Interner()
        self._data = np.zeros(64, np.int32 if self._own is not None else values(null).dtype)
        self._valid = np.ones(64, np.bool_)
        self._put(null, 63)

    def _store(self, result: pa.Array, start: int) -> None:
        """Results of entries `start` and following; the last place stays NULL's."""
        stop = start + len(result)
        size = len(self._data)
        if stop >= size:
            grown = np.zeros(max(2 * size, stop + 1), self._data.dtype)
            grown_valid = np.ones(len(grown), np.bool_)
            grown[:start], grown_valid[:start] = self._data[:start], self._valid[:start]
            grown[-1], grown_valid[-1] = self._data[-1], self._valid[-1]
            self._data, self._valid = grown, grown_valid
        if self._put(result, start):
            self._entries_null = True

    def _put(self, result: pa.Array, start: int) -> bool:
        """Write results from place `start` on; whether some of them may be NULL."""
        stop = start + len(result)
        if self._own is not None:
            self._data[start:stop] = self._own.intern(result)
            return False
        self._data[start:stop] = values(result)
        valid = validity(result)
        self._valid[start:stop] = True if valid is None else valid
        return valid is not None

    def take(self, codes: np.ndarray) -> Column:
        """The results for these codes."""
        data = self._data[codes]
        if self._own is not None:
            return Coded(data, self._own)
        if self._entries_null:
            return build(data, self._valid[codes], self._type)
        return build(data, None if self._valid[-1] else codes >= 0, self._type)


def by_distinct(column: Coded, compute: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The results for one batch, each of its distinct strings computed once and nothing kept."""
    codes, places = np.unique(column.codes, return_inverse=True)
    indices = pa.array(codes, mask=codes < 0)
    return compute(column.dictionary.arrow().take(indices)).take(pa.array(places))

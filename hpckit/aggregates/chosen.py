"""States that keep one value of any type a group: first and last by position, smallest and largest string."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit._kernels import reduce as kernel
from hpckit._kernels.intern import string_buffers
from hpckit.aggregates.codes import OwnCodes, strings_of
from hpckit.aggregates.spec import STRING
from hpckit.aggregates.words import decode, encode, fixed_values, grown, validity

if TYPE_CHECKING:
    from hpckit.aggregates.views import ArgView

_INT64 = np.iinfo(np.int64)
_SLACK = 4096  # strings no group holds any more that are put up with


class HeldStrings:
    """One string (or none: -1) a group. Strings given up are dropped now and then."""

    def __init__(self) -> None:
        self.pool = OwnCodes()
        self._codes = np.zeros(0, np.int32)
        self._groups = 0

    def resize(self, groups: int) -> None:
        self._codes = grown(self._codes, groups, -1)
        self._groups = groups

    @property
    def codes(self) -> np.ndarray:
        """int32 code in `pool` of each group's string."""
        return self._codes[: self._groups]

    def tidy(self) -> None:
        """Starts a new pool if most of the old one is held by no group."""
        if len(self.pool) > 2 * self._groups + _SLACK:
            pool = OwnCodes()
            held = self._codes >= 0
            self._codes[held] = pool.strings.intern(strings_of(self.pool.strings, self._codes[held]))
            self.pool = pool

    def strings(self) -> pa.Array:
        return self.pool.take(self.codes)

    @property
    def nbytes(self) -> int:
        return self.pool.nbytes + self._codes.nbytes


class StringExtremes:
    """Bytewise smallest (largest) string of a group."""

    def __init__(self, largest: bool) -> None:
        self._largest = largest
        self._held = HeldStrings()

    def resize(self, groups: int) -> None:
        self._held.resize(groups)

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        """First the best of the batch per group, then these few against the groups' own."""
        best = np.full(len(self._held.codes), -1, np.int32)
        if view.coded is not None:
            source = view.coded.dictionary
            offsets, data = source.offsets(), source.data()
            kernel.keep_extreme_strings(ids, view.coded.codes, view.use, offsets, data, best, self._largest)
            groups = np.flatnonzero(best >= 0)
            codes = self._held.pool.strings.intern(strings_of(source, best[groups]))
        else:
            if pa.types.is_null(view.column.type):
                return
            offsets, data, _ = string_buffers(view.column)
            rows = np.arange(len(ids), dtype=np.int32)
            kernel.keep_extreme_strings(ids, rows, view.use, offsets, data, best, self._largest)
            groups = np.flatnonzero(best >= 0)
            codes = self._held.pool.codes(view.column.take(pa.array(best[groups])))
        self._keep(groups.astype(np.int32), codes)

    def _keep(self, groups: np.ndarray, codes: np.ndarray) -> None:
        pool = self._held.pool.strings
        kernel.keep_extreme_strings(groups, codes, None, pool.offsets(), pool.data(), self._held.codes, self._largest)
        self._held.tidy()

    def strings(self) -> pa.Array:
        """The string of each group, NULL where there is none."""
        return self._held.strings()

    def columns(self) -> dict[str, pa.Array]:
        return {"best": self.strings()}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        self._keep(ids, self._held.pool.codes(columns["best"]))

    @property
    def nbytes(self) -> int:
        return self._held.nbytes


class Edges:
    """Value (NULL included, as in DuckDB) of the row with the smallest (largest) position of a group."""

    def __init__(self, kind: pa.DataType, last: bool) -> None:
        self._kind = kind
        self._last = last
        self._none = _INT64.min if last else _INT64.max
        self._positions = np.zeros(0, np.int64)
        self._words = np.zeros(0, np.int64)
        self._missing = np.zeros(0, np.uint8)
        self._held = HeldStrings() if kind == STRING else None
        self._groups = 0

    def resize(self, groups: int) -> None:
        self._positions = grown(self._positions, groups, self._none)
        self._words = grown(self._words, groups, 0)
        self._missing = grown(self._missing, groups, 1)
        if self._held is not None:
            self._held.resize(groups)
        self._groups = groups

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        groups, rows = self._winners(ids, positions, view.mask)
        if len(groups):
            self._take(groups, view.taken(rows))

    def _winners(self, ids: np.ndarray, positions: np.ndarray, use: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """(groups that get another row, that row)."""
        rows = np.full(self._groups, -1, np.int64)
        kernel.keep_edges(ids, positions, use, self._positions[: self._groups], rows, self._last)
        groups = np.flatnonzero(rows >= 0)
        return groups, rows[groups]

    def _take(self, groups: np.ndarray, column: pa.Array) -> None:
        if self._held is not None:
            self._held.codes[groups] = self._held.pool.codes(column)
            self._held.tidy()
            return
        valid = validity(column)
        self._words[groups] = encode(column)
        self._missing[groups] = 0 if valid is None else 1 - valid

    def values(self) -> pa.Array:
        """The value of each group."""
        if self._held is not None:
            return self._held.strings()
        return decode(self._words[: self._groups], self._kind, self._missing[: self._groups].view(bool))

    def columns(self) -> dict[str, pa.Array]:
        return {"position": pa.array(self._positions[: self._groups]), "value": self.values()}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        groups, rows = self._winners(ids, fixed_values(columns["position"], np.int64), None)
        if len(groups):
            self._take(groups, columns["value"].take(pa.array(rows)))

    @property
    def nbytes(self) -> int:
        fixed = self._positions.nbytes + self._words.nbytes + self._missing.nbytes
        return fixed + (self._held.nbytes if self._held is not None else 0)

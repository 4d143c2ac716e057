"""Mergeable states of fixed width per group: counts, sums, extremes.

Every state has `resize(groups)`, `update(ids, view, positions)`, `columns()` (one row a group, exact), `absorb(ids,
columns)` (adds such rows to the groups `ids`) and `nbytes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit._kernels import reduce as kernel
from hpckit._kernels.exactsum import ExactSums
from hpckit.aggregates.words import binary_rows, fixed_values, from_binary, grown

if TYPE_CHECKING:
    from hpckit.aggregates.views import ArgView

_INT64 = np.iinfo(np.int64)


class Counts:
    """Rows of a group that pass the filter and, if there is an argument, have a value."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.int64)
        self._groups = 0

    def resize(self, groups: int) -> None:
        self._counts = grown(self._counts, groups, 0)
        self._groups = groups

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        kernel.count_rows(ids, view.use, self.values)

    @property
    def values(self) -> np.ndarray:
        """int64 count of each group."""
        return self._counts[: self._groups]

    def columns(self) -> dict[str, pa.Array]:
        return {"count": pa.array(self.values)}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        kernel.add_counts(ids, fixed_values(columns["count"], np.int64), self.values)

    @property
    def nbytes(self) -> int:
        return self._counts.nbytes


class IntegerSums:
    """Sums of int64 as 128-bit integers: exact for 2^63 rows."""

    def __init__(self) -> None:
        self._sums = np.zeros((0, 2), np.uint64)
        self._groups = 0

    def resize(self, groups: int) -> None:
        self._sums = grown(self._sums, groups, 0)
        self._groups = groups

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        kernel.sum_integers(ids, view.words, view.use, self.values)

    @property
    def values(self) -> np.ndarray:
        """uint64 (groups, 2): low and high word, two's complement."""
        return self._sums[: self._groups]

    def columns(self) -> dict[str, pa.Array]:
        low, high = np.ascontiguousarray(self.values.T).view(np.int64)
        return {"low": pa.array(low), "high": pa.array(high)}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        low, high = (fixed_values(columns[name], np.uint64) for name in ("low", "high"))
        kernel.add_sums(ids, low, high, self.values)

    @property
    def nbytes(self) -> int:
        return self._sums.nbytes


class FloatSums:
    """Exact sums of float64, or of their squares."""

    def __init__(self, square: bool) -> None:
        self.sums = ExactSums(square)

    def resize(self, groups: int) -> None:
        self.sums.resize(groups)

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        self.sums.add(ids, view.doubles, view.use)

    def columns(self) -> dict[str, pa.Array]:
        return {"exact": binary_rows(*self.sums.to_bytes())}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        self.sums.add_bytes(ids, *from_binary(columns["exact"]))

    @property
    def nbytes(self) -> int:
        return self.sums.nbytes


class Extremes:
    """Smallest (largest) word of a group. Whether there is one is the business of the Counts beside it."""

    def __init__(self, largest: bool) -> None:
        self._largest = largest
        self._none = _INT64.min if largest else _INT64.max
        self._best = np.zeros(0, np.int64)
        self._groups = 0

    def resize(self, groups: int) -> None:
        self._best = grown(self._best, groups, self._none)
        self._groups = groups

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        kernel.keep_extremes(ids, view.words, view.use, self.values, self._largest)

    @property
    def values(self) -> np.ndarray:
        """int64 word of each group, arbitrary where no row took part."""
        return self._best[: self._groups]

    def columns(self) -> dict[str, pa.Array]:
        return {"best": pa.array(self.values)}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        # a group without rows holds the neutral element, so that it needs no flag
        kernel.keep_extremes(ids, fixed_values(columns["best"], np.int64), None, self.values, self._largest)

    @property
    def nbytes(self) -> int:
        return self._best.nbytes

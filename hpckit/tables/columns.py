"""Columns in flight: Arrow arrays, or strings as codes into a growing dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from hpckit._kernels.intern import Interner


@dataclass(frozen=True, slots=True)
class Coded:
    """A string column as int32 codes into a dictionary shared by many batches; -1 is NULL.

    The dictionary only grows; entries never change. A full dictionary is replaced by a new object, so the identity
    of `dictionary` says whether two batches speak the same codes.
    """

    codes: np.ndarray
    dictionary: Interner

    type = pa.string()

    def __len__(self) -> int:
        return len(self.codes)

    def to_arrow(self) -> pa.Array:
        """The strings themselves, shape (len(self),)."""
        if len(self.codes) == 0:
            return pa.array([], pa.string())
        indices = pa.array(self.codes, mask=self.codes < 0)
        return self.dictionary.arrow().take(indices)

    def filter(self, mask: np.ndarray) -> Coded:
        return Coded(self.codes[mask], self.dictionary)

    def take(self, indices: np.ndarray) -> Coded:
        return Coded(self.codes[indices], self.dictionary)


Column: TypeAlias = pa.Array | Coded


def to_arrow(column: Column) -> pa.Array:
    """The column as one Arrow array."""
    return column.to_arrow() if isinstance(column, Coded) else column


@dataclass(slots=True)
class Batch:
    """Rows on their way through a pipeline, all columns equally long.

    `positions` (int64) is the place of each row in the canonical order of its source: ascending, unique over all
    ranks, the same at any number of ranks.
    """

    columns: dict[str, Column]
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def filter(self, mask: np.ndarray) -> Batch:
        """The rows where `mask` (bool) is true."""
        if mask.all():
            return self
        arrow_mask = pa.array(mask)
        columns = {k: c.filter(mask if isinstance(c, Coded) else arrow_mask) for k, c in self.columns.items()}
        return Batch(columns, self.positions[mask])

    def slice(self, start: int, stop: int) -> Batch:
        """Rows start..stop, without a copy."""
        columns = {
            k: Coded(c.codes[start:stop], c.dictionary) if isinstance(c, Coded) else c.slice(start, stop - start)
            for k, c in self.columns.items()
        }
        return Batch(columns, self.positions[start:stop])

    def to_arrow(self) -> pa.Table:
        """The batch as an Arrow table (strings materialised)."""
        return pa.table({k: to_arrow(c) for k, c in self.columns.items()})

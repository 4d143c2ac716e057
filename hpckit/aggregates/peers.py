"""What a state needs of the other ranks to be shuffled; the executor gives it, this room does not know MPI."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa


class Peers(Protocol):
    """All ranks that hold a part of the same GROUP BY. Every method but `hashes` is collective."""

    def exchange(self, table: pa.Table, by: list[str]) -> pa.Table:
        """Every row goes to the rank that a hash of the columns `by` names (no columns: to the owner of the global
        group); returns the rows that came. Coded columns may stay coded."""

    def everyone(self, table: pa.Table) -> pa.Table:
        """The rows of all ranks in rank order, on every rank; for small tables."""

    def reduce(self, values: np.ndarray, operation: str) -> np.ndarray:
        """Element-wise "sum", "min" or "max" of int64 arrays of one shape over the ranks."""

    def hashes(self, table: pa.Table, by: list[str]) -> np.ndarray:
        """uint64 hash of the columns `by` of each row, the same on every rank. Local."""

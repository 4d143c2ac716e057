"""One argument of one batch, in the forms the states ask for; each form is computed once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit.aggregates.spec import FLOAT
from hpckit.aggregates.words import encode, fixed_values, validity

if TYPE_CHECKING:
    from hpckit.tables.columns import Coded, Column


class ArgView:
    """The argument `column` (None for count(*)) of the rows that pass `mask` (bool, None: all)."""

    def __init__(self, kind: pa.DataType | None, column: Column | None, mask: np.ndarray | None) -> None:
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        self.kind = kind
        self.column: Any = column
        self.mask = None if mask is None else np.ascontiguousarray(mask).view(np.uint8)

    @property
    def coded(self) -> Coded | None:
        """The column as codes with a dictionary, None if it is anything else."""
        return None if self.column is None or isinstance(self.column, pa.Array) else self.column

    @cached_property
    def valid(self) -> np.ndarray | None:
        """uint8: the row has a value; None: all have."""
        if self.column is None:
            return None
        if self.coded is not None:
            codes = self.coded.codes
            if len(codes) == 0 or codes.min() >= 0:
                return None
            return (codes >= 0).view(np.uint8)
        return validity(self.column)

    @cached_property
    def use(self) -> np.ndarray | None:
        """uint8: the row passes the filter and has a value; None: all do."""
        if self.valid is None:
            return self.mask
        return self.valid if self.mask is None else self.valid & self.mask

    @cached_property
    def words(self) -> np.ndarray:
        """int64 words in the order of the values (not for strings); -0.0 below 0.0."""
        return encode(self.column)

    @cached_property
    def equality_words(self) -> np.ndarray:
        """int64 words equal where the values are equal: as `words`, but -0.0 = 0.0."""
        return encode(self.column, equal_zeros=True) if self.kind == FLOAT else self.words

    @cached_property
    def integers(self) -> np.ndarray:
        """int64 values of integers, booleans (0, 1), timestamps (µs), days of dates."""
        return self.words

    @cached_property
    def doubles(self) -> np.ndarray:
        """float64 values of a number column (integers are converted)."""
        if pa.types.is_null(self.column.type):
            return np.zeros(len(self.column), np.float64)
        if self.kind == FLOAT:
            return fixed_values(self.column, np.float64)
        return self.words.astype(np.float64)

    def taken(self, rows: np.ndarray) -> Column:
        """The column's entries at `rows`."""
        return self.column.take(rows if self.coded is not None else pa.array(rows))

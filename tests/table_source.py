"""An Arrow table as a source of the executor, in small splits, strings as codes and as text in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from hpckit._kernels.intern import Interner
from hpckit.sources.base import ReadOptions, Terms
from hpckit.sources.counts import LineCounts
from hpckit.sources.program import WantedColumn
from hpckit.sources.splits import Split
from hpckit.tables.columns import Batch, Coded, Column


class TableReader:
    """Reads splits of the table; a fresh dictionary for every other split, as when dictionaries fill up."""

    def __init__(self, table: pa.Table, columns: Sequence[WantedColumn]) -> None:
        self.table, self.columns = table, columns
        self.counts = LineCounts()
        self.rejects: list[tuple[int, pa.RecordBatch]] = []
        self._dictionaries: dict[str, Interner] = {}

    def read(self, split: Split) -> Iterator[Batch]:
        for begin in range(split.begin, split.end, 11):
            end = min(begin + 11, split.end)
            piece = self.table.slice(begin, end - begin)
            columns: dict[str, Column] = {}
            for column in self.columns:
                array = piece.column(column.name).combine_chunks()
                if pa.types.is_string(array.type) and column.coded:
                    if split.ordinal % 2 == 0 or column.name not in self._dictionaries:
                        self._dictionaries[column.name] = Interner()
                    dictionary = self._dictionaries[column.name]
                    columns[column.name] = Coded(dictionary.intern(array), dictionary)
                else:
                    columns[column.name] = array
            self.counts.lines += end - begin
            self.counts.parsed += end - begin
            yield Batch(columns, np.arange(begin, end, dtype=np.int64))


class TableSource:
    """`rows_per_split` rows to a split; nothing is pushed down."""

    def __init__(self, table: pa.Table, rows_per_split: int = 17) -> None:
        self.table, self.schema = table, table.schema
        starts = range(0, table.num_rows, rows_per_split)
        self.splits = [
            Split(i, 0, start, min(start + rows_per_split, table.num_rows), rows_per_split)
            for i, start in enumerate(starts)
        ]
        self.coded = frozenset(f.name for f in table.schema if pa.types.is_string(f.type))

    def atom_kind(self, column: str) -> str:
        return ""

    def reader(self, columns: Sequence[WantedColumn], terms: Terms, options: ReadOptions) -> TableReader:
        return TableReader(self.table, columns)

"""From record batches of a columnar file to batches of the engine: types, predicates, positions, dictionary codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hpckit._kernels.intern import Interner
from hpckit.sources.arrow_atoms import wanted_rows
from hpckit.sources.arrow_types import to_engine
from hpckit.sources.base import Terms
from hpckit.sources.files import InputFile
from hpckit.sources.program import WantedColumn
from hpckit.sources.splits import POSITION_BITS
from hpckit.tables.columns import Batch, Coded, Column

DICTIONARY_ENTRIES = 1 << 19
DICTIONARY_BYTES = 32 << 20
HIDDEN_NAMES = ("_file", "_offset", "_raw")


class RowMaker:
    """Makes the wanted columns of the rows that satisfy `terms`; `names` are the file's columns it needs for that.

    `coded`: text columns wanted as dictionary codes.
    """

    def __init__(
        self, files: Sequence[InputFile], schema: pa.Schema, columns: Sequence[WantedColumn], terms: Terms
    ) -> None:
        self.files, self.schema, self.columns, self.terms = files, schema, columns, terms
        hidden = [n for n in HIDDEN_NAMES if n not in schema.names]
        wanted = [c.name for c in columns if c.name not in hidden]
        self._tested = list(dict.fromkeys(atom.column for term in terms for atom in term))
        self.names = list(dict.fromkeys(wanted + self._tested))
        texts = {f.name for f in schema if f.type == pa.string()}
        self.coded = [c.name for c in columns if c.coded and c.name in wanted and c.name in texts]
        self._hidden = frozenset(hidden)
        self._dictionaries: dict[str, Interner] = {}
        self._file_names = Interner()
        self._file_codes = self._file_names.intern(pa.array([f.path for f in files], pa.string()))

    def batch(self, rows: pa.RecordBatch, file: int, first_row: int) -> Batch:
        """The wanted rows of a record batch whose first row is number `first_row` of its file. Local."""
        arrays: dict[str, pa.Array] = {name: rows.column(name) for name in rows.schema.names}
        numbers = np.arange(first_row, first_row + rows.num_rows)
        for name in self._tested:
            arrays[name] = to_engine(arrays[name], self._place(file, name))
        keep = wanted_rows(arrays, self.terms, rows.num_rows)
        if keep is not None:
            numbers = numbers[keep]
            mask = pa.array(keep)
            arrays = {name: array.filter(mask) for name, array in arrays.items()}
        columns: dict[str, Column] = {}
        for column in self.columns:
            columns[column.name] = (
                self._hidden_column(column.name, file, numbers)
                if column.name in self._hidden
                else self._column(column.name, arrays[column.name], file)
            )
        return Batch(columns, numbers + (file << POSITION_BITS))

    def _hidden_column(self, name: str, file: int, numbers: np.ndarray) -> Column:
        if name == "_file":
            return Coded(np.full(len(numbers), self._file_codes[file], np.int32), self._file_names)
        return pa.array(numbers) if name == "_offset" else pa.nulls(len(numbers), pa.string())

    def _column(self, name: str, array: pa.Array, file: int) -> Column:
        place = self._place(file, name)
        if name not in self.coded:
            return to_engine(array, place)
        if not pa.types.is_dictionary(array.type):
            return self._codes(name, to_engine(array, place))
        entries = self._codes(name, to_engine(array.dictionary, place))
        indices = np.asarray(array.indices.cast(pa.int64()).fill_null(-1))
        return Coded(np.append(entries.codes, np.int32(-1))[indices], entries.dictionary)

    def _codes(self, name: str, texts: pa.Array) -> Coded:
        """Codes in the column's dictionary; a full one is replaced, and one batch may go beyond the limits."""
        for grow in (False, False, True):
            dictionary = self._dictionaries.get(name)
            if dictionary is None or grow:
                dictionary = self._dictionaries[name] = Interner(DICTIONARY_ENTRIES, DICTIONARY_BYTES, grow=grow)
            try:
                codes = dictionary.intern(texts)
            except MemoryError:
                if grow:
                    raise
                del self._dictionaries[name]
                continue
            if dictionary.grow:
                del self._dictionaries[name]
            return Coded(codes, dictionary)
        raise AssertionError("unreachable: the last try grows")

    def _place(self, file: int, name: str) -> str:
        return f"{self.files[file].path}, column {name!r}"

"""HDF5 files as a source: a group of equally long 1-D datasets, a compound dataset, or one array is a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from hpckit.errors import InputError, QueryError
from hpckit.sources.arrow_atoms import atom_kind
from hpckit.sources.arrow_rows import RowMaker
from hpckit.sources.base import ReadOptions, RejectStore, Terms
from hpckit.sources.columnar import check_schema
from hpckit.sources.counts import LineCounts
from hpckit.sources.files import InputFile, list_files
from hpckit.sources.hdf5_columns import ColumnPlace, find_columns, read_rows
from hpckit.sources.program import WantedColumn
from hpckit.sources.splits import Split
from hpckit.tables.columns import Batch
from hpckit.tables.plan import Source

SPLIT_ROWS = 1 << 20
BATCH_ROWS = 1 << 16
CHUNK_CACHE_BYTES = 32 << 20  # a compressed chunk that spans several batches is decompressed once


@dataclass(slots=True)
class Hdf5Source:
    """Files with the same columns; a split's `begin` and `end` are row numbers.

    A row's position is the number of its file and its row number; `_offset` is the row number, `_raw` is NULL.
    """

    files: list[InputFile]
    splits: list[Split]
    schema: pa.Schema
    columns: list[dict[str, ColumnPlace]]
    coded: frozenset[str] = field(default_factory=frozenset)

    def atom_kind(self, column: str) -> str:
        index = self.schema.get_field_index(column)
        return atom_kind(self.schema.field(index).type) if index >= 0 else ""

    def reader(self, columns: Sequence[WantedColumn], terms: Terms, options: ReadOptions) -> Hdf5Reader:
        return Hdf5Reader(self, columns, terms)


def open_hdf5(source: Source, options: ReadOptions) -> Hdf5Source:
    """Find the table `dataset` (an option; default: the root group) in the files of `source`. Local."""
    given = dict(source.options)
    dataset = given.pop("dataset", "")
    if given or not isinstance(dataset, str):
        wrong = next(iter(given), "dataset")
        raise QueryError(f"read_hdf5: option {wrong!r} is not known or no text; there is dataset = '/group'")
    files = list_files(source.paths)
    splits: list[Split] = []
    tables: list[dict[str, ColumnPlace]] = []
    schema: pa.Schema | None = None
    for number, file in enumerate(files):
        with open_file(file.path) as opened:
            columns, rows = find_columns(opened, file.path, dataset)
        own = pa.schema([(c.name, c.type) for c in columns])
        schema = schema or own
        check_schema(own, schema, file.path, files[0].path)
        tables.append({c.name: c for c in columns})
        for begin in range(0, rows, SPLIT_ROWS):
            end = min(begin + SPLIT_ROWS, rows)
            splits.append(Split(len(splits), number, begin, end, end - begin))
    assert schema is not None
    return Hdf5Source(files, splits, schema, tables)


def open_file(path: str) -> Any:
    """The HDF5 file `path`, for reading."""
    import h5py

    try:
        return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES)
    except OSError as error:
        raise InputError(f"{path}: is not a readable HDF5 file: {error}") from None


class Hdf5Reader:
    """Reads row ranges; keeps the file of the last split open."""

    def __init__(self, source: Hdf5Source, columns: Sequence[WantedColumn], terms: Terms) -> None:
        self.source = source
        self.counts = LineCounts()
        self.rejects: RejectStore = []
        self._maker = RowMaker(source.files, source.schema, columns, terms)
        self._file: Any = None
        self._number = -1

    def read(self, split: Split) -> Iterator[Batch]:
        """The rows of a split in order. Local."""
        path = self.source.files[split.file].path
        if self._number != split.file:
            if self._file is not None:
                self._file.close()
            self._file, self._number = open_file(path), split.file
        rows = split.end - split.begin
        self.counts.lines += rows
        self.counts.parsed += rows
        self.counts.bytes += rows
        for start in range(split.begin, split.end, BATCH_ROWS):
            stop = min(start + BATCH_ROWS, split.end)
            try:
                batch = self._batch(self.source.columns[split.file], start, stop)
            except (OSError, KeyError, pa.ArrowException) as error:
                raise InputError(f"{path}, rows {start} to {stop}: cannot be read: {error}") from None
            made = self._maker.batch(batch, split.file, start)
            if len(made):
                yield made

    def _batch(self, columns: dict[str, ColumnPlace], start: int, stop: int) -> pa.RecordBatch:
        pieces: dict[str, np.ndarray] = {}

        def cut(dataset: Any, start: int, stop: int) -> np.ndarray:
            if dataset.name not in pieces:
                pieces[dataset.name] = dataset[start:stop]
            return pieces[dataset.name]

        names = self._maker.names
        if not names:
            return pa.record_batch([pa.nulls(stop - start)], names=[""])
        arrays = [read_rows(self._file, columns[name], start, stop, cut) for name in names]
        return pa.record_batch(arrays, names=names)

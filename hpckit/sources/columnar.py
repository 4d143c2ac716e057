"""Parquet and Arrow files as a source: splits are row groups and record batches, only the wanted columns are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from hpckit.errors import InputError, QueryError
from hpckit.sources.arrow_atoms import atom_kind, ruled_out
from hpckit.sources.arrow_rows import RowMaker
from hpckit.sources.arrow_types import engine_type
from hpckit.sources.base import ReadOptions, RejectStore, Terms
from hpckit.sources.columnar_files import BATCH_ROWS, ArrowPieces, ParquetPieces, Pieces
from hpckit.sources.counts import LineCounts
from hpckit.sources.files import InputFile, list_files
from hpckit.sources.program import WantedColumn
from hpckit.sources.splits import Split
from hpckit.tables.columns import Batch
from hpckit.tables.plan import Source

PIECES: dict[str, Any] = {"parquet": ParquetPieces, "arrow": ArrowPieces}


@dataclass(slots=True)
class ColumnarSource:
    """Files of one schema; a split's `begin` and `end` are row numbers, `pieces` names its row group or batch.

    A row's position is the number of its file and its row number; `_offset` is the row number, `_raw` is NULL.
    """

    kind: str
    files: list[InputFile]
    splits: list[Split]
    schema: pa.Schema
    pieces: list[int]
    coded: frozenset[str] = field(default_factory=frozenset)

    def atom_kind(self, column: str) -> str:
        index = self.schema.get_field_index(column)
        return atom_kind(self.schema.field(index).type) if index >= 0 else ""

    def reader(self, columns: Sequence[WantedColumn], terms: Terms, options: ReadOptions) -> ColumnarReader:
        return ColumnarReader(self, columns, terms)


def open_columnar(source: Source, options: ReadOptions) -> ColumnarSource:
    """Read the footers of the files of `source` (kind parquet or arrow). Local."""
    if source.options:
        raise QueryError(f"read_{source.kind}: option {source.options[0][0]!r} is not known; it takes paths only")
    files = list_files(source.paths)
    schema: pa.Schema | None = None
    splits: list[Split] = []
    pieces: list[int] = []
    coded: frozenset[str] = frozenset()
    for number, file in enumerate(files):
        with PIECES[source.kind](file.path) as opened:
            own = engine_schema(opened.schema, file.path)
            if schema is None:
                schema, coded = own, opened.coded()
            check_schema(own, schema, file.path, files[0].path)
            row = 0
            for piece, (rows, weight) in enumerate(opened.sizes()):
                if rows:
                    splits.append(Split(len(splits), number, row, row + rows, max(1, weight)))
                    pieces.append(piece)
                row += rows
    assert schema is not None
    coded = frozenset(n for n in coded if schema.field(n).type == pa.string())
    return ColumnarSource(source.kind, files, splits, schema, pieces, coded)


def engine_schema(schema: pa.Schema, path: str) -> pa.Schema:
    """`schema` in the engine's types; columns of one name are an error."""
    for name in schema.names:
        if schema.names.count(name) > 1:
            raise InputError(f"{path}: two columns are called {name!r}; rename one")
    return pa.schema([(f.name, engine_type(f.type, f"{path}, column {f.name!r}")) for f in schema])


def check_schema(own: pa.Schema, schema: pa.Schema, path: str, model: str) -> None:
    """Raise InputError naming file and column if `own` has other columns or types than `schema`; order may differ."""
    for f in schema:
        if f.name not in own.names:
            raise InputError(f"{path}: no column {f.name!r}, which {model} has; files read together have the same")
        if own.field(f.name).type != f.type:
            raise InputError(f"{path}: column {f.name!r} is {own.field(f.name).type}, in {model} it is {f.type}")
    extra = [name for name in own.names if name not in schema.names]
    if extra:
        raise InputError(f"{path}: column {extra[0]!r} is not in {model}; files read together have the same columns")


class ColumnarReader:
    """Reads splits of a ColumnarSource; keeps the file of the last one open."""

    def __init__(self, source: ColumnarSource, columns: Sequence[WantedColumn], terms: Terms) -> None:
        self.source, self.terms = source, terms
        self.counts = LineCounts()
        self.rejects: RejectStore = []
        self._maker = RowMaker(source.files, source.schema, columns, terms)
        self._opened: Pieces | None = None
        self._number = -1

    def read(self, split: Split) -> Iterator[Batch]:
        """The rows of a split in order. Local."""
        path = self.source.files[split.file].path
        opened = self._file(split.file)
        piece = self.source.pieces[split.ordinal]
        rows = split.end - split.begin
        self.counts.lines += rows
        self.counts.parsed += rows
        self.counts.bytes += rows
        if ruled_out(self.terms, lambda name: opened.bounds(piece, name)):
            return
        row = split.begin
        try:
            for batch in opened.read(piece, self._maker.names):
                for start in range(0, max(1, batch.num_rows), BATCH_ROWS):
                    part = batch.slice(start, BATCH_ROWS)
                    made = self._maker.batch(part, split.file, row + start)
                    if len(made):
                        yield made
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}, rows {split.begin} to {split.end}: cannot be read: {error}") from None
        if row != split.end:
            raise InputError(f"{path}: {row - split.begin} rows where the footer said {rows}; the file is damaged")

    def _file(self, number: int) -> Pieces:
        if self._opened is not None and self._number == number:
            return self._opened
        if self._opened is not None:
            self._opened.close()
        opened: Pieces = PIECES[self.source.kind](self.source.files[number].path, self._maker.coded)
        self._opened, self._number = opened, number
        return opened

"""Text files in one format as a source: what can be asked of them, and what must be known to read their times."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import pyarrow as pa

from hpckit.formats.model import FieldType, Format
from hpckit.sources.base import ReadOptions, Terms
from hpckit.sources.files import InputFile
from hpckit.sources.program import WantedColumn
from hpckit.sources.scan import TextReader
from hpckit.sources.splits import Split
from hpckit.sources.zones import zone_table

ATOM_KINDS = {
    FieldType.INT: "int",
    FieldType.FLOAT: "float",
    FieldType.TIME: "time",
    FieldType.STRING: "string",
    FieldType.QUOTED: "string",
}


@dataclass(slots=True)
class TextSource:
    """Files of lines in one format; `quote_parity` names the CSV splits that begin inside a quoted field."""

    format: Format
    files: list[InputFile]
    splits: list[Split]
    schema: pa.Schema = field(init=False)
    coded: frozenset[str] = field(init=False)
    quote_parity: dict[int, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.schema = self.format.schema()
        self.coded = frozenset(f.name for f in self.format.columns() if pa.types.is_string(f.arrow_type) and not f.text)

    def atom_kind(self, column: str) -> str:
        index = self.format.index(column)
        return ATOM_KINDS.get(self.format.fields[index].type, "") if index >= 0 else "string" if column == "_raw" else ""

    def reader(self, columns: Sequence[WantedColumn], terms: Terms, options: ReadOptions) -> TextReader:
        zone = zone_table(self.format.time_zone or options.time_zone)
        not_after = [latest_instant_us(file, options.year) for file in self.files]
        return TextReader(self.format, self.files, columns, terms, zone, not_after, options, self.quote_parity)


def latest_instant_us(file: InputFile, year: int | None) -> int:
    """The instant (UTC microseconds) that times without a year do not lie after: the end of `year`, or when the file was
    last written; a gzip file's header says when its content was.
    """
    if year is not None:
        return int(datetime(year, 12, 31, 23, 59, 59, tzinfo=timezone.utc).timestamp()) * 1_000_000 + 999_999
    if file.compression == "gzip":
        with open(file.path, "rb") as stream:
            head = stream.read(8)
        if len(head) == 8 and (stamp := struct.unpack("<I", head[4:8])[0]):
            return stamp * 1_000_000
    return file.mtime_ns // 1000

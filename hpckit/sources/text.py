"""Text files in one format as a source: what can be asked of them, and what must be known to read their times."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hpckit.formats.model import FieldType, Format, Mode
from hpckit.sources.base import ReadOptions, Terms
from hpckit.sources.files import InputFile
from hpckit.sources.program import WantedColumn
from hpckit.sources.quotes import quote_parity
from hpckit.sources.scan import TextReader
from hpckit.sources.splits import Split
from hpckit.sources.zones import zone_table

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

ATOM_KINDS = {
    FieldType.INT: "int",
    FieldType.FLOAT: "float",
    FieldType.TIME: "time",
    FieldType.STRING: "string",
    FieldType.QUOTED: "string",
}


@dataclass(slots=True)
class TextSource:
    """Files of lines in one format.

    quote_parity   CSV: whether a split that does not begin its file begins inside a quoted field; filled by `prepare`
    header_ends    the byte of each file behind its header; empty: no file has one
    own            fields of ReadOptions that hold for this source, whatever the others are read with
    """

    format: Format
    files: list[InputFile]
    splits: list[Split]
    schema: pa.Schema = field(init=False)
    coded: frozenset[str] = field(init=False)
    quote_parity: dict[int, bool] = field(default_factory=dict)
    header_ends: tuple[int, ...] = ()
    own: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.schema = self.format.schema()
        self.coded = frozenset(f.name for f in self.format.columns() if pa.types.is_string(f.arrow_type) and not f.text)

    def atom_kind(self, column: str) -> str:
        if self.own.get("validate_all"):
            return ""  # a line that a predicate drops would not be checked
        index = self.format.index(column)
        if index < 0:
            return "string" if column == "_raw" else ""
        return ATOM_KINDS.get(self.format.fields[index].type, "")

    def reader(self, columns: Sequence[WantedColumn], terms: Terms, options: ReadOptions) -> TextReader:
        options = replace(options, **self.own)
        zone = zone_table(self.format.time_zone or options.time_zone)
        not_after = [latest_instant_us(file, options.year) for file in self.files]
        return TextReader(
            self.format, self.files, columns, terms, zone, not_after, options, self.quote_parity, self.header_ends
        )

    def prepare(self, ctx: Context) -> None:
        """What has to be known of all splits before one is read: where CSV splits begin inside quotes. Collective."""
        if self.format.mode is Mode.CSV and self.format.quoting and not self.quote_parity:
            self.quote_parity.update(quote_parity(ctx, self.files, self.splits))


def latest_instant_us(file: InputFile, year: int | None) -> int:
    """The instant (UTC microseconds) that times without a year do not lie after: the end of `year`, or when the file
    was last written; a gzip file's header says when its content was.
    """
    if year is not None:
        return int(datetime(year, 12, 31, 23, 59, 59, tzinfo=timezone.utc).timestamp()) * 1_000_000 + 999_999
    if file.compression == "gzip":
        with open(file.path, "rb") as stream:
            head = stream.read(8)
        if len(head) == 8 and (stamp := struct.unpack("<I", head[4:8])[0]):
            return stamp * 1_000_000
    return file.mtime_ns // 1000

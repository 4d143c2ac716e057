"""What every opened source offers the executor: columns, splits, and readers of splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from hpckit.frozen import frozen
from hpckit.sources.counts import LineCounts
from hpckit.sources.program import WantedColumn
from hpckit.sources.splits import DEFAULT_SPLIT_BYTES, Split
from hpckit.tables.columns import Batch

HIDDEN = pa.schema([("_file", pa.string()), ("_offset", pa.int64()), ("_raw", pa.string())])


@frozen
class ReadOptions:
    """How text is read, from the command line or the Python API.

    time_zone      zone of times that carry none (IANA name)
    year           year of times without one; None: the latest that is not after the file's last change
    format_file    TOML with a format of the user's own
    max_rejects    give up when this rank alone has more rejected lines
    """

    split_bytes: int = DEFAULT_SPLIT_BYTES
    max_line_bytes: int = 16 << 20
    validate_all: bool = False
    keep_rejects: bool = False
    max_rejects: int | None = None
    time_zone: str = ""
    year: int | None = None
    format_file: str = ""


@frozen
class Atom:
    """A comparison that a source can make before it converts a row.

    kind   in (value: list of bytes), prefix, suffix, contains (value: list of one), int, float, time (op and value;
           times as UTC microseconds), null (IS NULL); `negate` turns it round. NULL never satisfies any but `null`.
    """

    column: str
    kind: str
    op: str | None
    value: object
    negate: bool = False


Terms = Sequence[Sequence[Atom]]


class RejectStore(Protocol):
    """Takes rejected records in the order of the input; a list will do."""

    def append(self, rows: tuple[int, pa.RecordBatch], /) -> None:
        """(ordinal of the split, rows of REJECT_SCHEMA)."""
        ...


class SplitReader(Protocol):
    """Reads splits of one source for all statements that share it. Local."""

    counts: LineCounts
    rejects: RejectStore

    def read(self, split: Split) -> Iterator[Batch]:
        """The rows of a split in order, with the wanted columns and their positions."""
        ...


class OpenSource(Protocol):
    """A source whose files are known and whose columns are typed; equal on all ranks, picklable.

    schema   the visible columns; `_file`, `_offset` and `_raw` can be asked for too
    splits   all pieces of the input
    kinds    the kind of predicate atoms the source understands for a column ("" none): "string", "int", "float", "time"
    coded    names of the string columns that are better read as dictionary codes
    """

    schema: pa.Schema
    splits: list[Split]
    coded: frozenset[str]

    def atom_kind(self, column: str) -> str:
        """Which atoms can be pushed down for `column`: "string", "int", "float", "time" or "" for none."""
        ...

    def reader(self, columns: Sequence[WantedColumn], terms: Terms, options: ReadOptions) -> SplitReader:
        """A reader of the rows that satisfy any of `terms` (all atoms of it); no terms: all rows. Local."""
        ...

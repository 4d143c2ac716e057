"""Reading splits of text with the scan kernel: batches of the wanted columns, line counts, rejected records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from hpckit._kernels import scan
from hpckit._kernels.intern import Interner
from hpckit.errors import InternalError, TooManyRejectsError
from hpckit.formats.model import Format, Mode
from hpckit.sources.base import Atom, ReadOptions, RejectStore, Terms
from hpckit.sources.counts import REJECT_SCHEMA, LineCounts
from hpckit.sources.files import InputFile
from hpckit.sources.program import TimeRules, WantedColumn, column_spec, programs, used_fields
from hpckit.sources.reader import BlockReader
from hpckit.sources.splits import POSITION_BITS, Split
from hpckit.tables.columns import Batch, Coded, Column

ROWS_PER_BATCH = 131_072  # each batch costs some 1 ms of Python for four statements
BATCH_BYTES = 64 << 20  # of text that a batch is made of, which bounds its memory however wide the rows are
DICTIONARY_ENTRIES = 1 << 19
DICTIONARY_BYTES = 32 << 20
REJECT_TEXT_BYTES = 500  # how much of a rejected record is kept
BOM = b"\xef\xbb\xbf"
WINDOW_BYTES = 1 << 14  # how far a line's start is looked for at a time
DAY_US = 86_400_000_000
QUOTE = ord('"')

REASON_TEXTS = {
    "literal": "does not fit the format",
    "field_end": "does not fit the format",
    "int": "not an integer",
    "float": "not a number",
    "time": "not a timestamp of the format",
    "bool": "not a boolean",
    "utf8": "invalid UTF-8",
    "json": "not a JSON object",
    "too_few": "too few fields",
    "too_many": "too many fields",
    "quote": "unbalanced quotes",
    "too_long": "longer than --max-line",
    "orphan": "continuation line without a record",
    "escape": "malformed escape",
    "trailing": "something behind the last field",
}


class TextReader:
    """Reads splits of text files in one format for all statements that share the scan.

    `columns` are filled by the kernel except `_offset` and `_file`; `terms` are the rows wanted (any term of which all
    atoms hold; none: all rows); `not_after` has an instant for each file, see TimeParser.set_not_after; `header_ends`
    has the byte of each file behind its header, which holds no record and is not counted.
    """

    def __init__(
        self,
        fmt: Format,
        files: Sequence[InputFile],
        columns: Sequence[WantedColumn],
        terms: Terms,
        zone: tuple[np.ndarray, np.ndarray] | None,
        not_after: Sequence[int],
        options: ReadOptions,
        quote_parity: dict[int, bool],
        header_ends: Sequence[int] = (),
    ) -> None:
        self.format, self.files, self.columns, self.terms = fmt, files, columns, terms
        self.zone, self.not_after, self.options, self.quote_parity = zone, not_after, options, quote_parity
        self.header_ends = header_ends
        self.counts = LineCounts()
        self.rejects: RejectStore = []
        self._kernel_columns = [c for c in columns if c.name not in ("_file", "_offset")]
        if options.validate_all:  # every value is converted, wanted or not
            wanted = {c.name for c in columns}
            self._kernel_columns += [WantedColumn(f.name) for f in fmt.columns() if f.name not in wanted]
        self._scanner = self._make_scanner()
        self._reader = BlockReader()
        self._file_names = Interner()
        self._file_codes = self._file_names.intern(pa.array([f.path for f in files], pa.string()))
        self._rejected = 0
        self._held: tuple[int, pa.RecordBatch] | None = None

    def _make_scanner(self) -> scan.Scanner:
        fmt, times = self.format, TimeRules(self.zone)
        specs = [column_spec(fmt, column, times) for column in self._kernel_columns]
        terms = [[self._kernel_atom(atom, times) for atom in term] for term in self.terms]
        names = [c.name for c in self.columns] + [atom.column for term in self.terms for atom in term]
        used = used_fields(fmt, names)
        whole = self.options.validate_all or not used  # count(*) counts the lines that are of the format
        scanner = scan.Scanner(
            mode=int(fmt.mode),
            field_count=sum(not f.derived_from for f in fmt.fields) if fmt.mode is Mode.CSV else len(fmt.fields),
            programs=programs(fmt, used, whole),
            columns=specs,
            terms=terms,
            keys=[(f.key or f.name).encode() for f in fmt.fields] if fmt.mode in (Mode.JSON, Mode.LOGFMT) else (),
            nested=fmt.mode is Mode.JSON and any("." in (f.key or f.name) for f in fmt.fields),
            delimiter=(fmt.delimiter or ",").encode(),
            quoting=fmt.mode is Mode.CSV and fmt.quoting,
            record_start=fmt.record_start,
            row_capacity=ROWS_PER_BATCH,
            max_record=self.options.max_line_bytes,
        )
        for i, spec in enumerate(specs):
            if spec["kind"] == "coded":
                scanner.set_dictionary(i, _dictionary())
        return scanner

    def _kernel_atom(self, atom: Atom, times: TimeRules) -> tuple:
        spec = column_spec(self.format, WantedColumn(atom.column, coded=True), times)
        return (atom.kind, atom.op, atom.negate, spec, atom.value)

    def read(self, split: Split) -> Iterator[Batch]:
        """The rows of a split, in order. Local."""
        file, scanner, reader = self.files[split.file], self._scanner, self._reader
        scanner.set_not_after(self.not_after[split.file])
        whole_file = bool(file.compression)
        begin = split.begin - 1 if split.begin else 0  # the byte before tells whether a line starts at split.begin
        reader.open(file, begin)
        try:
            reader.refill(0)
            stop = 1 << 62 if whole_file else split.end
            if split.begin == 0 and bytes(reader.buffer[: len(BOM)]) == BOM:
                stop = max(stop, len(BOM) + 1)  # the record behind the mark is the first split's, however short that is
            if self._start(split, stop):
                yield from self._scan(split, stop)
        finally:
            reader.close()
            self._hand_over()
            self.counts.bytes += split.end - split.begin
            self._count()

    def _start(self, split: Split, stop: int) -> bool:
        """Move to the first record that starts in the split; False if there is none."""
        reader, multi_line = self._reader, bool(self.format.record_start)
        header_end = self.header_ends[split.file] if self.header_ends else 0
        if split.begin == 0:
            at = len(BOM) if bytes(reader.buffer[: len(BOM)]) == BOM else 0
            self._scanner.start_split(max(at, header_end), False, False)
            return True
        at = self._first_line(split)
        if 0 <= at < header_end - reader.base:
            at = header_end - reader.base
        if at < 0 or reader.base + at >= stop:
            return False
        self._scanner.start_split(at, multi_line, not multi_line)
        return True

    def _first_line(self, split: Split) -> int:
        """Where in the buffer the first line that starts in the split begins; -1: none."""
        reader = self._reader
        inside = False
        if self._has_quotes():
            if split.ordinal not in self.quote_parity:
                raise InternalError(f"CSV split {split.ordinal} is read before TextSource.prepare has counted quotes")
            inside = self.quote_parity[split.ordinal]
        # The byte before the split may end a line, but a quote there is counted in the parity already.
        at = 1 if inside or (self._has_quotes() and reader.buffer[0] == QUOTE) else 0
        while True:
            while at < reader.limit:
                window = reader.buffer[at : min(at + WINDOW_BYTES, reader.limit)].tobytes()
                if self._has_quotes():
                    found, inside = _newline_outside_quotes(window, inside)
                else:
                    found = window.find(b"\n")
                if found >= 0:
                    return at + found + 1
                at += len(window)
            if reader.final or reader.base + reader.limit > split.end:
                return -1
            reader.refill(reader.limit)
            at = 0

    def _has_quotes(self) -> bool:
        return self.format.mode is Mode.CSV and self.format.quoting

    def _scan(self, split: Split, stop: int) -> Iterator[Batch]:
        scanner, reader = self._scanner, self._reader
        begin = reader.base
        while True:
            final = reader.final and not reader.damage
            status = scanner.scan(reader.buffer, reader.limit, stop - reader.base, reader.base, final)
            if status == scan.NEED_DATA:
                if reader.final:
                    self._reject_damaged_tail(split)
                    break
                self._take_rejects(split)
                if reader.base + scanner.position - begin > BATCH_BYTES and scanner.rows:
                    yield self._take_batch(split)
                    begin = reader.base + scanner.position
                reader.refill(scanner.position)
                scanner.position = 0
                continue
            if status == scan.REJECTS_FULL:
                self._take_rejects(split)
                continue
            if status == scan.TEXT_FULL and not scanner.rows:
                scanner.grow_text(scanner.full_column)
            if scanner.rows or status == scan.TEXT_FULL:
                batch = self._take_batch(split)
                begin = reader.base + scanner.position
                if len(batch):
                    yield batch
            if status == scan.DICTIONARY_FULL:
                scanner.set_dictionary(scanner.full_column, _dictionary())
            if status == scan.DONE:
                break
        self._take_rejects(split)
        if scanner.rows:
            yield self._take_batch(split)

    def _take_batch(self, split: Split) -> Batch:
        scanner = self._scanner
        dictionaries = list(scanner.dictionaries)
        offsets, arrays = scanner.take()
        made: dict[str, Column] = {}
        asked = {column.name for column in self.columns}
        for column, values, dictionary in zip(self._kernel_columns, arrays, dictionaries, strict=True):
            if column.name in asked:
                made[column.name] = self._column(column, values, dictionary)
        positions = offsets + (split.file << POSITION_BITS)
        columns: dict[str, Column] = {}
        for column in self.columns:
            if column.name == "_offset":
                columns["_offset"] = pa.array(offsets.copy())
            elif column.name == "_file":
                codes = np.full(len(offsets), self._file_codes[split.file], np.int32)
                columns["_file"] = Coded(codes, self._file_names)
            else:
                columns[column.name] = made[column.name]
        return Batch(columns, positions)

    def _column(self, column: WantedColumn, arrays: tuple, dictionary: Interner | None) -> Column:
        values, valid, text = arrays
        if dictionary is not None:
            return Coded(values, dictionary)
        rows = len(values)
        bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
        if text is not None:
            buffers = [bitmap, pa.py_buffer(values), pa.py_buffer(text)]
            return pa.Array.from_buffers(pa.string(), len(values) - 1, buffers)
        kind = pa.string() if column.name == "_raw" else self.format.fields[self.format.index(column.name)].arrow_type
        if pa.types.is_date32(kind):
            values = (values // DAY_US).astype(np.int32)
        elif pa.types.is_boolean(kind):
            values = np.packbits(values.astype(bool), bitorder="little")
        # The buffers are those that the kernel filled: nothing is copied.
        return pa.Array.from_buffers(kind, rows, [bitmap, pa.py_buffer(values)])

    def _take_rejects(self, split: Split) -> None:
        if not self._scanner.has_rejects:
            return
        late_lines = self._scanner.take_late_lines()
        if late_lines:
            self._add_late_lines(late_lines)
        rejects = self._scanner.take_rejects()
        if not len(rejects):
            return
        for reason, count in zip(*np.unique(rejects["reason"], return_counts=True), strict=True):
            text = REASON_TEXTS[scan.REASONS[reason]]
            self.counts.reasons[text] = self.counts.reasons.get(text, 0) + int(count)
        self._rejected += int(rejects["lines"].sum())
        self._check_limit(split)
        if self.options.keep_rejects:
            self._hand_over()
            self._held = (split.ordinal, self._reject_rows(split, rejects))

    def _add_late_lines(self, lines: int) -> None:
        """A record that is too long went on over the reader's blocks: its lines belong to the reject told before."""
        self._rejected += lines
        if self._held is not None:
            ordinal, rows = self._held
            told = rows.column("lines").to_numpy().copy()
            told[-1] += lines
            self._held = ordinal, rows.set_column(rows.schema.get_field_index("lines"), "lines", pa.array(told))

    def _hand_over(self) -> None:
        """The last rejected records are complete."""
        if self._held is not None:
            self.rejects.append(self._held)
            self._held = None

    def _check_limit(self, split: Split) -> None:
        limit = self.options.max_rejects
        if limit is not None and self._rejected > limit:
            raise TooManyRejectsError(
                f"{self.files[split.file].path}: more than {limit} lines rejected (--max-rejects {limit}): "
                + ", ".join(f"{count} {reason}" for reason, count in sorted(self.counts.reasons.items()))
                + "; --rejects FILE lists them"
            )

    def _reject_rows(self, split: Split, rejects: np.ndarray) -> pa.RecordBatch:
        base, view = self._reader.base, self._reader.buffer.data
        texts, reasons = [], []
        known: dict[tuple[int, int, int], str] = {}
        starts = (rejects["offset"] - base).tolist()
        lengths = np.minimum(rejects["length"], REJECT_TEXT_BYTES).tolist()
        causes = zip(rejects["reason"].tolist(), rejects["field"].tolist(), rejects["at"].tolist(), strict=True)
        for start, length, cause in zip(starts, lengths, causes, strict=True):
            texts.append(str(view[start : start + length], "utf-8", "backslashreplace"))
            if cause not in known:
                known[cause] = self._reason(*cause)
            reasons.append(known[cause])
        path = pa.repeat(pa.scalar(self.files[split.file].path, pa.string()), len(rejects))
        columns = [path, *(pa.array(rejects[name].copy()) for name in ("offset", "lines")), reasons, texts]
        arrays = [c if isinstance(c, pa.Array) else pa.array(c, pa.string()) for c in columns]
        return pa.record_batch(arrays, schema=REJECT_SCHEMA)

    def _reason(self, reason: int, number: int, at: int) -> str:
        """The reason in words: which field, at which byte of the record."""
        name = scan.REASONS[reason]
        text = REASON_TEXTS[name]
        if name in ("too_few", "too_many"):
            found = f"{number}{'+' if name == 'too_many' else ''}"
            return f"{found} fields, format {self.format.name!r} has {len(self.format.fields)}"
        if name not in ("literal", "too_long", "orphan") and 0 <= number < len(self.format.fields):
            text = f"{self.format.fields[number].name or 'a field'}: {text}"
        return f"{text}, at byte {at} of the record" if at else text

    def _reject_damaged_tail(self, split: Split) -> None:
        """A compressed file broke off: what is left of its last line, if anything, is rejected, and the reason told."""
        scanner, reader = self._scanner, self._reader
        self._take_rejects(split)
        tail = bytes(reader.buffer[scanner.position : reader.limit])
        lines = tail.count(b"\n") + (tail[-1:] not in (b"\n", b""))
        self.counts.lines += lines
        self.counts.rejected += lines
        self.counts.reasons["compressed data damaged"] = self.counts.reasons.get("compressed data damaged", 0) + 1
        self._rejected += max(lines, 1)
        if self.options.keep_rejects:
            text = tail[:REJECT_TEXT_BYTES].decode("utf-8", "backslashreplace")
            row = [self.files[split.file].path, reader.base + scanner.position, lines, reader.damage, text]
            arrays = [pa.array([v], f.type) for v, f in zip(row, REJECT_SCHEMA, strict=True)]
            self._hand_over()
            self._held = (split.ordinal, pa.record_batch(arrays, schema=REJECT_SCHEMA))

    def _count(self) -> None:
        lines, parsed, continuation, rejected, blank = self._scanner.take_counts()
        counts = self.counts
        counts.lines += lines
        counts.parsed += parsed
        counts.continuation += continuation
        counts.rejected += rejected
        counts.blank += blank


def _dictionary() -> Interner:
    return Interner(DICTIONARY_ENTRIES, DICTIONARY_BYTES, grow=False)


def _newline_outside_quotes(window: bytes, inside: bool) -> tuple[int, bool]:
    """First newline that is not inside quotes, and whether the window ends inside quotes; -1: none."""
    at = 0
    while True:
        quote = window.find(b'"', at)
        if not inside:
            newline = window.find(b"\n", at, quote if quote >= 0 else len(window))
            if newline >= 0:
                return newline, False
        if quote < 0:
            return -1, inside
        inside, at = not inside, quote + 1

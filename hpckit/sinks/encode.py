"""Record batches to CSV, TSV and JSON lines bytes, spelled as DuckDB's COPY spells them.

CSV and TSV: a header, `\\n` after each row, quotes only where they are needed (the delimiter, a quote, CR, LF or `#`
in the text, or an empty string, which is `""`; NULL is nothing at all). Floats are the shortest text that reads back
as the same number (`1.0`, `1e-05`, `nan`, `inf`), timestamps `2005-06-03 15:42:50.675872` in UTC with a fraction only
where there is one, dates `2005-06-03`, intervals `26:03:04.5`, booleans `true` and `false`.

JSON lines: an object for each row with every column, NULL as `null`; timestamps as ISO 8601 strings without a zone
(`2005-06-03T15:42:50.675872`, always UTC), dates and intervals as strings. JSON has no NaN and no infinity: they are
the strings `"nan"`, `"inf"` and `"-inf"`, which both DuckDB and Python's float() read, and which are not lost as null.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from hpckit._kernels.textout import write_text
from hpckit.sinks.canonical import storage_type

PIECE_BYTES = 1 << 20
POWER_MIN, POWER_MAX = -292, 324


@functools.cache
def power_table() -> np.ndarray:
    """uint64, shape (617, 2): 10^k for k = -292 … 324 as 128-bit integers rounded up, see kernels/decimal.h."""
    rows = []
    for k in range(POWER_MIN, POWER_MAX + 1):
        if k >= 0:
            power = 10**k
            shift = power.bit_length() - 128
            g = power << -shift if shift <= 0 else -(-power >> shift)
        else:
            power = 10**-k
            shift = power.bit_length() + 127
            g = -(-(1 << shift) // power)
        rows.append((g >> 64, g & (2**64 - 1)))
    return np.array(rows, np.uint64)


class TextEncoder:
    """Spells batches of one schema; `kind` is "csv", "tsv" or "jsonl". Keeps one output buffer that it reuses."""

    def __init__(self, schema: pa.Schema, kind: str) -> None:
        self.schema = schema
        self.json = kind == "jsonl"
        self.delimiter = "\t" if kind == "tsv" else ","
        self._kinds = [_kernel_kind(field) for field in schema]
        labels = [json.dumps(name, ensure_ascii=False).encode() + b":" for name in schema.names] if self.json else []
        self._labels = np.frombuffer(b"".join(labels) + b"\0", np.uint8)
        ends = np.cumsum([0] + [len(label) for label in labels]) if self.json else np.zeros(len(schema) + 1)
        self._label_ends = np.ascontiguousarray(ends, np.int64)
        self._out = np.empty(PIECE_BYTES, np.uint8)

    def header(self) -> bytes:
        """The first line (CSV and TSV), or nothing."""
        if self.json:
            return b""
        return (self.delimiter.join(self._quoted(name) for name in self.schema.names) + "\n").encode()

    def encode(self, batch: pa.RecordBatch) -> Iterator[memoryview]:
        """The text of `batch` in pieces of about 1 MiB. A piece is valid until the next one is asked for."""
        if len(self.schema) == 0:
            if batch.num_rows and self.json:
                yield memoryview(b"{}\n" * batch.num_rows)
            return
        columns = np.array([_describe(kind, c) for kind, c in zip(self._kinds, batch.columns, strict=True)], np.int64)
        row = 0
        while row < batch.num_rows:
            row, used, wanted = write_text(
                columns, self._labels, self._label_ends, power_table(), ord(self.delimiter), self.json,
                row, batch.num_rows, self._out,
            )  # fmt: skip
            if used:
                yield self._out[:used].data
            elif wanted > len(self._out):
                self._out = np.empty(wanted, np.uint8)

    def _quoted(self, name: str) -> str:
        if name and not any(c in name for c in (self.delimiter, '"', "\n", "\r", "#")):
            return name
        return '"' + name.replace('"', '""') + '"'


def _kernel_kind(field: pa.Field) -> int:
    """The number of a column's type in kernels/textout.h."""
    kind = storage_type(field.name, field.type)
    names = {"null": 0, "int64": 1, "double": 2, "bool": 3, "string": 4, "timestamp[us]": 5, "date32[day]": 6}
    return names.get(str(kind), 7)


def _describe(kind: int, array: pa.Array) -> tuple[int, int, int, int, int]:
    """One column for the kernel: kind and addresses of values, validity and offsets, and the Arrow offset."""
    buffers = array.buffers()
    valid = buffers[0].address if buffers[0] is not None and array.null_count else 0
    if kind == 0:
        return kind, 0, 0, 0, array.offset
    if kind == 4:
        data = buffers[2].address if buffers[2] is not None else 0
        return kind, data, valid, buffers[1].address, array.offset
    return kind, buffers[1].address, valid, 0, array.offset

"""The first records of the input, for guessing what its columns are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hpckit._kernels import scan
from hpckit.sources.files import InputFile
from hpckit.sources.reader import BlockReader

SAMPLE_BYTES = 8 << 20
HEAD_BYTES = 64 << 10
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Head:
    """The first bytes of file `file` behind its byte order mark (`skipped` bytes): whole lines unless `complete`."""

    file: int
    data: bytes
    skipped: int
    complete: bool


def read_sample(files: Sequence[InputFile], records: int) -> list[Head]:
    """Heads of the first files, until they hold `records` lines or 8 MiB; files without a line are left out. Local."""
    heads: list[Head] = []
    lines, left = 0, SAMPLE_BYTES
    reader = BlockReader()
    for number, file in enumerate(files):
        if lines > records or left <= 0:
            break
        head = read_head(reader, number, file, records + 1 - lines, left)
        if head.data:
            heads.append(head)
            lines += head.data.count(b"\n")
            left -= len(head.data)
    return heads


def read_head(reader: BlockReader, number: int, file: InputFile, lines: int, bytes_max: int) -> Head:
    """The first `lines` lines of a file, at most about `bytes_max` bytes of them."""
    reader.open(file, 0)
    try:
        found = 0
        while found < lines and reader.limit < bytes_max and not reader.final:
            before = reader.limit
            reader.refill(0)
            found += scan.count_byte(reader.buffer[before : reader.limit], ord("\n"))
        data = reader.buffer[: reader.limit].tobytes()
        complete = reader.final and not reader.damage
    finally:
        reader.close()
    skipped = len(BOM) if data.startswith(BOM) else 0
    data = data[skipped:]
    return Head(number, data if complete else data[: data.rfind(b"\n") + 1], skipped, complete)


def first_line(data: bytes, quoting: bool) -> tuple[int, int, int]:
    """(begin, end, place behind) of the first line that is not blank, else (0, 0, 0); quotes may hold newlines."""
    at = 0
    while at < len(data):
        stop = _line_end(data, at, quoting)
        end = stop - 1 if stop > at and data[stop - 1 : stop] == b"\r" else stop
        if end > at:
            return at, end, min(stop + 1, len(data))
        at = stop + 1
    return 0, 0, 0


def _line_end(data: bytes, at: int, quoting: bool) -> int:
    stop = at
    while True:
        stop = data.find(b"\n", stop)
        if stop < 0:
            return len(data)
        if not quoting or data.count(b'"', at, stop) % 2 == 0:
            return stop
        stop += 1


def cut_columns(
    heads: Sequence[Head], starts: Sequence[int], count: int, delimiter: str, quoting: bool, null: tuple[bytes, ...],
    records: int,
) -> list[pa.Array]:  # fmt: skip
    """The first `records` CSV records of the heads, from byte `starts[i]` of head i on, as one string array a column.

    It is the scan kernel that cuts them, so that guesses are made on what will be read; records that do not fit are
    left out.
    """
    pieces: list[list[pa.Array]] = [[] for _ in range(count)]
    left = records
    for head, start in zip(heads, starts, strict=True):
        if left <= 0:
            break
        columns = [{"field": i, "kind": "text", "null": (b"", *null)} for i in range(count)]
        scanner = scan.Scanner(
            mode=2, field_count=count, columns=columns, delimiter=delimiter.encode(), quoting=quoting,
            row_capacity=left, text_capacity=len(head.data) + 64,
        )  # fmt: skip
        buffer = np.frombuffer(head.data + bytes(scan.PADDING), np.uint8)
        scanner.start_split(start, False, False)
        while scanner.scan(buffer, len(head.data), 1 << 62, 0, head.complete) == scan.REJECTS_FULL:
            scanner.take_rejects()
        left -= scanner.rows
        for piece, (offsets, valid, text) in zip(pieces, scanner.take()[1], strict=True):
            mask = None if valid is None else pa.py_buffer(np.packbits(valid != 0, bitorder="little"))
            buffers = [mask, pa.py_buffer(offsets), pa.py_buffer(text)]
            piece.append(pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers))
    return [pa.concat_arrays(piece) if piece else pa.array([], pa.string()) for piece in pieces]


def lines_of(heads: Sequence[Head], records: int) -> Iterator[bytes]:
    """The first `records` lines that are not blank, without their ends."""
    left = records
    for head in heads:
        for line in head.data.split(b"\n"):
            line = line[:-1] if line.endswith(b"\r") else line
            if line:
                if not left:
                    return
                left -= 1
                yield line

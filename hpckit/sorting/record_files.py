"""Files of fixed-length records: what a record is, and several files read as one sequence."""

from __future__ import annotations

import glob
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpckit.errors import InputError, UserError

RECORD_BYTES_MAX = 1 << 24


@dataclass(frozen=True, slots=True)
class Shape:
    """Records of `record` bytes that begin with a key of `key` bytes."""

    record: int
    key: int

    def __post_init__(self) -> None:
        if not 1 <= self.record <= RECORD_BYTES_MAX:
            raise UserError(f"record length {self.record:,}: expected 1 to {RECORD_BYTES_MAX:,} bytes")
        if not 1 <= self.key <= self.record:
            raise UserError(
                f"key length {self.key:,}: expected 1 to {self.record:,} bytes, the length of a record; the key is its "
                "first bytes"
            )


@dataclass(frozen=True)
class RecordFiles:
    """One or more files read as one sequence of records. `ends`: records up to the end of each file."""

    paths: tuple[str, ...]
    ends: tuple[int, ...]
    record: int

    @property
    def rows(self) -> int:
        return self.ends[-1] if self.ends else 0

    def read_into(self, buffer: np.ndarray, first_row: int) -> None:
        """Fill `buffer` (uint8, whole records) with the records from `first_row` on. Local.

        InputError if a file cannot be read or has become shorter.
        """
        done = 0
        while done < len(buffer):
            row = first_row + done // self.record
            file = bisect_right(self.ends, row)
            before = self.ends[file - 1] if file else 0
            size = min(len(buffer) - done, (self.ends[file] - row) * self.record)
            _read_exactly(self.paths[file], memoryview(buffer)[done : done + size], (row - before) * self.record)  # type: ignore[arg-type]
            done += size


def open_records(paths: Sequence[str], shape: Shape) -> RecordFiles:
    """The files that `paths` (names or globs) name, in this order. Local; InputError if they do not hold records."""
    names = [name for path in paths for name in _expand(path)]
    ends, rows = [], 0
    for name in names:
        try:
            if os.path.isdir(name):
                raise InputError(f"{name}: is a folder; name the files in it, e.g. '{name.rstrip('/')}/*'")
            size = os.stat(name).st_size
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror}") from None
        if size % shape.record:
            raise InputError(
                f"{name}: {size:,} bytes are {size // shape.record:,} records of {shape.record:,} bytes and "
                f"{size % shape.record:,} bytes more; is the record length right, or was the file cut off?"
            )
        rows += size // shape.record
        ends.append(rows)
    return RecordFiles(tuple(names), tuple(ends), shape.record)


def _expand(path: str) -> list[str]:
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise InputError(f"{path}: no file has such a name")
    return found


def _read_exactly(path: str, view: memoryview, offset: int) -> None:
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            while view:
                size = os.preadv(fd, [view], offset)
                if size == 0:
                    raise InputError(f"{path}: ends at byte {offset:,}, earlier than when it was opened")
                view, offset = view[size:], offset + size
        finally:
            os.close(fd)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error

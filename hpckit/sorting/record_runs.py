"""Sorted runs of records: units of the input that depend on nothing else, and runs that hold some of them in order.

A run lies in a scratch file, or in a file of a checkpoint; it knows enough of its keys to be cut anywhere with a few
small reads.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hpckit._kernels import records as kernel
from hpckit.errors import InternalError
from hpckit.partition import block_range
from hpckit.sorting.record_files import RecordFiles, Shape

SPILL_BYTES = 8 << 20  # one write to a run
UNIT_BYTES_MIN = 1 << 20
UNITS = 1024  # about so many, as long as that makes them neither small nor larger than a split
HASH_MASK = (1 << 64) - 1


class RunBytes(Protocol):
    """Where the records of a run lie."""

    def read(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset`."""

    def read_into(self, buffer: np.ndarray, offset: int) -> None:
        """Fill `buffer` (uint8) with the bytes at `offset`."""


@dataclass(frozen=True)
class Units:
    """Rows 0 … rows-1 in units of `unit_rows` rows, the last one shorter."""

    rows: int
    unit_rows: int

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-self.rows // self.unit_rows)

    def at_least(self, count: int) -> Units:
        """As many units or more, as far as there are rows."""
        return Units(self.rows, max(1, min(self.unit_rows, self.rows // count)))

    def span(self, units: range) -> tuple[int, int]:
        """(first row, end) of neighbouring units."""
        return units.start * self.unit_rows, min(self.rows, units.stop * self.unit_rows)

    def groups(self, missing: list[int], size: int, rank: int, rows_max: int) -> list[range]:
        """The share of the `missing` units (ascending) that rank `rank` of `size` sorts: neighbours, at most `rows_max`
        rows in each group, but one unit at least."""
        begin, end = block_range(len(missing), size, rank)
        most = max(1, rows_max // self.unit_rows)
        groups: list[range] = []
        for unit in missing[begin:end]:
            if groups and groups[-1].stop == unit and len(groups[-1]) < most:
                groups[-1] = range(groups[-1].start, unit + 1)
            else:
                groups.append(range(unit, unit + 1))
        return groups


def units_of(rows: int, record: int, split_bytes: int) -> Units:
    """The units of an input of so many records: a function of the input and the option alone."""
    unit_bytes = min(split_bytes, max(UNIT_BYTES_MIN, rows * record // UNITS))
    return Units(rows, max(1, unit_bytes // record))


@dataclass(frozen=True)
class Run:
    """A sorted run: the units it holds, the global row of its first record in the input, the keys of every `stride`-th
    record, the sum of the records' hashes."""

    file: RunBytes
    units: range
    first_row: int
    rows: int
    stride: int
    keys: np.ndarray
    checksum: int

    def cut(self, key: bytes, row: int, record: int) -> int:
        """How many records of the run come before the splitter (key, row)."""
        if self.first_row <= row < self.first_row + self.rows:
            return row - self.first_row
        after_equals = row >= self.first_row
        keys = _Keys(self.keys)
        at = bisect_right(keys, key) if after_equals else bisect_left(keys, key)
        low, high = max(0, (at - 1) * self.stride + 1), min(self.rows, at * self.stride)
        while low < high:
            middle = (low + high) // 2
            found = self.file.read(middle * record, len(key))
            if found < key or (after_equals and found == key):
                low = middle + 1
            else:
                high = middle
        return low


class _Keys:
    """Keys (n, key) as the sequence of bytes that bisect wants."""

    def __init__(self, keys: np.ndarray) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, at: int) -> bytes:
        return self._keys[at].tobytes()


class Sorting:
    """Buffers in which groups of records are sorted one after another; what is sorted is used before the next."""

    def __init__(self, source: RecordFiles, shape: Shape, rows_max: int, moved: Callable[[int, int], None]) -> None:
        """`moved` is told of bytes and records as they are written."""
        self._source, self._shape, self._moved = source, shape, moved
        self._data = np.empty(rows_max * shape.record, np.uint8)
        self._sorter = kernel.Sorter(shape.record, shape.key, rows_max)
        self._step = max(1, SPILL_BYTES // shape.record)
        self._out = np.empty(min(self._step, max(1, rows_max)) * shape.record, np.uint8)
        self.checksum = 0  # of the records that were read last

    def read(self, first: int, stop: int) -> None:
        """Read rows first … stop-1 and sort them. Local."""
        part = self._data[: (stop - first) * self._shape.record]
        self._source.read_into(part, first)
        self.checksum = kernel.checksum(part, self._shape.record)
        self._sorter.sort([part])

    @property
    def rows(self) -> int:
        return self._sorter.rows

    def keys(self, stride: int) -> np.ndarray:
        """uint8 (n, key): the keys of every `stride`-th record in order. Local."""
        record = np.empty(self._shape.record, np.uint8)
        found = np.empty((-(-self.rows // stride), self._shape.key), np.uint8)
        for number, row in enumerate(range(0, self.rows, stride)):
            self._sorter.gather(row, row + 1, record)
            found[number] = record[: self._shape.key]
        return found

    def chunks(self) -> Iterator[np.ndarray]:
        """The records in order, some at a time (uint8), each to be used before the next. InternalError at the end if
        they are not those that were read."""
        total = 0
        for start in range(0, self.rows, self._step):
            stop = min(self.rows, start + self._step)
            total += self._sorter.gather(start, stop, self._out)
            yield self._out[: (stop - start) * self._shape.record]
            self._moved((stop - start) * self._shape.record, stop - start)
        if total & HASH_MASK != self.checksum:
            raise InternalError(f"{self.rows:,} records were read, others have been sorted")


def stride_of(rows_max: int) -> int:
    """Records between two whose keys are kept in memory."""
    return max(1, min(rows_max // 256, 4096))

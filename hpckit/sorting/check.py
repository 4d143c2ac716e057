"""Whether a file of records is the sorted form of others, as valsort does: order, count and the sum of row hashes.

In bounded memory, in parallel: each rank reads a block of the input and a block of the output. The sum of the hashes of
all records is the same in any order, so equal sums (and counts) say that the records are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import records as kernel
from hpckit.errors import InputError
from hpckit.partition import block_range
from hpckit.sorting.record_files import RecordFiles, Shape, open_records

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

PIECE_BYTES = 4 << 20
NO_ROW = (1 << 63) - 1


@dataclass(frozen=True)
class Checked:
    """What was found right: rows, and the sum modulo 2**64 of the hashes of all rows."""

    rows: int
    checksum: int


def check_records(ctx: Context, paths: Sequence[str], target: str, record_bytes: int, key_bytes: int) -> Checked:
    """Check that `target` holds the records of `paths` (names or globs) in ascending order. Collective.

    Raises InputError, on all ranks, that names the first row out of order, or the counts or checksums that differ. The
    order of equal keys is not looked at: two records with one key may be told apart by nothing but their place.
    """
    shape = Shape(record_bytes, key_bytes)
    source: RecordFiles = ctx.on_root(open_records, list(paths), shape)
    result: RecordFiles = ctx.on_root(open_records, [target], shape)
    with ctx.phase("check input"), ctx.agreed("reading the input"):
        begin, end = block_range(source.rows, ctx.size, ctx.rank)
        expected = _Sum(ctx)
        for _, data in _pieces(source, shape, begin, end):
            expected.add(data, shape)
    with ctx.phase("check output"), ctx.agreed("reading the output"):
        begin, end = block_range(result.rows, ctx.size, ctx.rank)
        found, descent = _Sum(ctx), NO_ROW
        before = np.empty(0, np.uint8)  # the last record before the block
        if 0 < begin < end:
            before = np.empty(shape.record, np.uint8)
            result.read_into(before, begin - 1)
        for row, data in _pieces(result, shape, begin, end):
            found.add(data, shape)
            joined = np.concatenate([before, data[: shape.record]])
            if descent == NO_ROW and kernel.first_descent(joined, shape.record, shape.key) > 0:
                descent = row
            within = kernel.first_descent(data, shape.record, shape.key) if descent == NO_ROW else -1
            if within >= 0:
                descent = row + within
            before = data[-shape.record :].copy()
    first_bad = ctx.allreduce(descent, "min")
    sums = ctx.allreduce(np.array([expected.total, found.total], np.uint64), "sum").tolist()
    ctx.on_root(_judge, source, result, shape, first_bad, sums)
    return Checked(result.rows, sums[1])


class _Sum:
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.total = 0

    def add(self, data: np.ndarray, shape: Shape) -> None:
        self.total = (self.total + kernel.checksum(data, shape.record)) & ((1 << 64) - 1)
        self._ctx.count(bytes=len(data), rows=len(data) // shape.record)


def _pieces(source: RecordFiles, shape: Shape, begin: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
    """(row, records from there on), through one buffer. Local."""
    step = max(1, PIECE_BYTES // shape.record)
    buffer = np.empty(min(step, end - begin) * shape.record, np.uint8)
    for row in range(begin, end, step):
        data = buffer[: min(step, end - row) * shape.record]
        source.read_into(data, row)
        yield row, data


def _judge(source: RecordFiles, result: RecordFiles, shape: Shape, first_bad: int, sums: list[int]) -> None:
    """Raise InputError for the first thing that is wrong. Local, on root."""
    path = result.paths[0]
    if first_bad != NO_ROW:
        keys = np.empty(2 * shape.record, np.uint8)
        result.read_into(keys, first_bad - 1)
        below, key = (bytes(keys[at : at + shape.key]) for at in (shape.record, 0))
        raise InputError(
            f"{path}: not sorted: row {first_bad:,} (from 0; byte {first_bad * shape.record:,}) has the key "
            f"{below.hex()}, below {key.hex()} of the row before it"
        )
    if source.rows != result.rows:
        raise InputError(f"{path}: {result.rows:,} records, the input has {source.rows:,}")
    if sums[0] != sums[1]:
        raise InputError(
            f"{path}: as many records as the input and in order, but not the same ones: checksum {sums[1]:016x}, "
            f"expected {sums[0]:016x}"
        )

"""Whether a table in a file is the sorted form of a source: order, row count and the sum of row hashes.

In bounded memory, in parallel: each rank reads some of the splits of both, batch by batch. The sum of the hashes of all
rows is the same in any order, so equal sums (and counts) say that the rows are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.errors import InputError
from hpckit.partition import block_range
from hpckit.sinks.canonical import conform, storage_schema
from hpckit.sorting.check import NO_ROW, Checked
from hpckit.sorting.columns import Key, Ordering, as_keys
from hpckit.sources.base import OpenSource, ReadOptions
from hpckit.sources.open import open_source
from hpckit.sources.program import WantedColumn
from hpckit.tables.plan import Source

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

TYPE_NAMES = {
    "int64": "BIGINT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "timestamp[us]": "TIMESTAMP",
    "date32[day]": "DATE",
}


def check_source(
    ctx: Context, source: Source, result: Source, keys: Sequence[tuple[str, bool, bool]], read: ReadOptions, name: str
) -> Checked:
    """Check that `result`, called `name` in errors, holds the rows of `source` in the order of `keys`. Collective.

    keys    (column, descending, nulls first)

    Raises InputError, on all ranks, that names the first row out of order or what differs; QueryError for a column that
    is not there. Text is read with the column types of `source`. The order of equal keys is not looked at.
    """
    opened = ctx.on_root(open_source, source, read)
    schema = ctx.on_root(storage_schema, opened.schema)
    wanted = ctx.on_root(as_keys, list(keys), schema)
    typed = ctx.on_root(_typed, result, schema)
    found = ctx.on_root(open_source, typed, replace(read, max_rejects=None))
    ctx.on_root(_check_columns, schema, found.schema, name)
    with ctx.phase("check input"), ctx.agreed("reading the input"):
        expected = _Facts(ctx)
        for table in _tables(ctx, opened, schema, read):
            expected.add(table)
    with ctx.phase("check output"), ctx.agreed("reading the output"):
        facts = _Facts(ctx, [replace(key, by_bits=True) for key in wanted])
        for table in _tables(ctx, found, schema, read):
            facts.add(table)
    first_bad = facts.first_descent()
    rows = ctx.allreduce(np.array([expected.rows, facts.rows], np.int64), "sum").tolist()
    sums = ctx.allreduce(np.array([expected.total, facts.total], np.uint64), "sum").tolist()
    ctx.on_root(_judge, name, first_bad, rows, sums)
    return Checked(rows[1], sums[1])


def _typed(result: Source, schema: pa.Schema) -> Source:
    """Text says no types: rows in another order could make others of its first lines. Local."""
    if result.kind not in ("csv", "json"):
        return result
    types = {field.name: TYPE_NAMES[str(field.type)] for field in schema if str(field.type) in TYPE_NAMES}
    return replace(result, options=(*result.options, ("types", tuple(types.items()))))


def _check_columns(expected: pa.Schema, found: pa.Schema, name: str) -> None:
    if expected.names != found.names:
        raise InputError(f"{name}: has the columns {', '.join(found.names)}; the input has {', '.join(expected.names)}")


def _tables(ctx: Context, opened: OpenSource, schema: pa.Schema, read: ReadOptions) -> Iterator[pa.Table]:
    """The rows of this rank's part of the splits, which lie one after another, in order. Local."""
    begin, end = block_range(len(opened.splits), ctx.size, ctx.rank)
    reader = opened.reader([WantedColumn(column) for column in schema.names], [], read)
    for split in opened.splits[begin:end]:
        for batch in reader.read(split):
            if len(batch):
                yield conform(batch.to_arrow(), schema)


@dataclass
class _Facts:
    """Rows, sum of hashes, and with keys the first row (of this rank's) that should come before its predecessor."""

    ctx: Context
    keys: Sequence[Key] = ()
    rows: int = 0
    total: int = 0
    descent: int = NO_ROW
    first: pa.Table | None = None
    last: pa.Table | None = None

    def add(self, table: pa.Table) -> None:
        """Local."""
        hashes = self.ctx.hash_rows(table, table.column_names)
        self.total = (self.total + int(hashes.sum(dtype=np.uint64))) & ((1 << 64) - 1)
        self.ctx.count(bytes=table.nbytes, rows=table.num_rows)
        if self.keys:
            names = list(dict.fromkeys(key.name for key in self.keys))
            keyed = table.select(names)
            joined = keyed if self.last is None else pa.concat_tables([self.last, keyed])
            if self.descent == NO_ROW and (at := _descent(joined, self.keys)) is not None:
                self.descent = self.rows + at - (joined.num_rows - keyed.num_rows)
            self.first = keyed.slice(0, 1) if self.first is None else self.first
            self.last = keyed.slice(keyed.num_rows - 1)
        self.rows += table.num_rows

    def first_descent(self) -> int:
        """The first row of all ranks that should come before the row before it, NO_ROW if they ascend. Collective."""
        start = self.ctx.exscan_sum(self.rows)
        descent = NO_ROW if self.descent == NO_ROW else start + self.descent
        ends = self.ctx.allgather((start, self.first, self.last))
        with self.ctx.agreed("comparing neighbours"):
            before = None
            for row, first, last in ends:
                if first is None:
                    continue
                if before is not None and _descent(pa.concat_tables([before, first]), self.keys) is not None:
                    descent = min(descent, row)
                before = last
        return self.ctx.allreduce(descent, "min")


def _descent(table: pa.Table, keys: Sequence[Key]) -> int | None:
    """The first row that a stable sort would move before its predecessor, or None. Local."""

    def ascends(rows: int) -> bool:
        part = table.slice(0, rows)
        return bool(np.array_equal(Ordering.of(part, keys).order(part), np.arange(rows)))

    if ascends(table.num_rows):
        return None
    low, high = 1, table.num_rows  # `low` rows ascend, `high` rows do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if ascends(middle) else (low, middle)
    return high - 1


def _judge(name: str, first_bad: int, rows: list[int], sums: list[int]) -> None:
    """Raise InputError for the first thing that is wrong. Local, on root."""
    if first_bad != NO_ROW:
        raise InputError(f"{name}: not sorted: row {first_bad:,} (from 0) belongs before the row in front of it")
    if rows[0] != rows[1]:
        raise InputError(f"{name}: {rows[1]:,} rows, the input has {rows[0]:,}")
    if sums[0] != sums[1]:
        raise InputError(
            f"{name}: as many rows as the input and in order, but not the same ones: checksum {sums[1]:016x}, "
            f"expected {sums[0]:016x}"
        )

"""Regrouping: the rows of all ranks as blocks of a fixed number of rows of the canonical order, one after the other.

What is compressed or encoded by blocks (Parquet, Arrow, gzip) has the same bytes at any number of ranks this way,
because a block depends on the rows alone and not on who computed them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.errors import InternalError
from hpckit.sinks.canonical import fixed_width_bytes
from hpckit.sinks.layout import Layout

if TYPE_CHECKING:
    from hpckit.spmd.context import Context
    from hpckit.tables.spool import Spool

BLOCK_ROWS_MAX = 1 << 20
BLOCK_BYTES_MAX = 128 << 20
SENT_BLOCKS_MAX = 2  # a rank sends at most this many blocks' worth of rows in a round


def block_rows(total_rows: int, total_bytes: int, rows_max: int | None = None) -> int:
    """Rows in a block: `rows_max` (2^20), halved while a block of average rows exceeds 128 MiB. The same at any rank
    count, because the sizes are those of the raw data."""
    rows = rows_max or BLOCK_ROWS_MAX
    while rows > 1 and total_rows and rows * (total_bytes / total_rows) > BLOCK_BYTES_MAX:
        rows //= 2
    return rows


class Regrouping:
    """Iterate, on all ranks together, over rounds of an exchange that brings each block to its owner.

    Every round gives this rank (block number, table) or None; a rank's own blocks come in ascending order. No rank
    holds more than one block it receives and about two that it sends.
    """

    def __init__(self, ctx: Context, spool: Spool, owner: Callable[[int], int], rows_max: int | None = None) -> None:
        """Collective. `owner(block)` is the rank that gets a block; see block_rows() for the rows a block has."""
        self.ctx = ctx
        self.spool = spool
        self.owner = owner
        statistics = spool.statistics()
        statistics = statistics[statistics[:, 1] > 0]
        sizes = np.column_stack([statistics[:, 1], statistics[:, 3::2].sum(axis=1)])
        self.layout = Layout(ctx, statistics[:, 0], sizes)
        self.total_rows = int(self.layout.totals[0])
        total_bytes = self.total_rows * fixed_width_bytes(spool.schema) + int(self.layout.totals[1])
        self.rows = block_rows(self.total_rows, total_bytes, rows_max)
        self.blocks = -(-self.total_rows // self.rows)

    def __iter__(self) -> Iterator[tuple[int, pa.Table] | None]:
        """Collective at every step. All ranks make the same number of steps."""
        reader = _Rows(self.spool)
        for round_blocks in self._rounds():
            yield self._exchange(round_blocks, reader)  # kept by whoever asked, and by nobody else: blocks are large

    def _exchange(
        self, round_blocks: list[tuple[int, np.ndarray, np.ndarray]], reader: _Rows
    ) -> tuple[int, pa.Table] | None:
        """Send the rows of some blocks to the blocks' owners; this rank's block, if it owns one. Collective."""
        with self.ctx.agreed("regrouping the rows of the result"):
            tables, destinations, mine = [self.spool.schema.empty_table()], [], None
            for block, owners, counts in round_blocks:
                count = int(counts[owners == self.ctx.rank].sum())
                tables.append(reader.take(count))
                destinations.append(np.full(count, self.owner(block), np.int32))
                if self.owner(block) == self.ctx.rank:
                    mine = (block, owners, counts)
            sent = pa.concat_tables(tables)
            del tables
        received = self.ctx.exchange(sent, np.concatenate(destinations))
        return (mine[0], _in_order(received, mine[1], mine[2])) if mine is not None else None

    def _runs(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """The pieces of a block in canonical order: owners and row counts; neighbours of one owner are joined."""
        begin, end = block * self.rows, min((block + 1) * self.rows, self.total_rows)
        starts = self.layout.starts[:, 0]
        first = int(np.searchsorted(starts, begin, "right")) - 1
        last = int(np.searchsorted(starts, end, "left"))
        run_starts = np.maximum(starts[first:last], begin)
        owners = self.layout.owners[first:last]
        changes = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1])))
        return owners[changes], np.diff(np.append(run_starts[changes], end))

    def _rounds(self) -> Iterator[list[tuple[int, np.ndarray, np.ndarray]]]:
        """Consecutive blocks with different owners, as many as the limit on what a rank sends allows. The same on
        all ranks, without a message."""
        current: list[tuple[int, np.ndarray, np.ndarray]] = []
        receivers: set[int] = set()
        sent: dict[int, int] = {}
        for block in range(self.blocks):
            owners, counts = self._runs(block)
            share: dict[int, int] = {}
            for rank, count in zip(owners.tolist(), counts.tolist(), strict=True):
                share[rank] = share.get(rank, 0) + count
            too_much = any(sent.get(rank, 0) + count > SENT_BLOCKS_MAX * self.rows for rank, count in share.items())
            if current and (too_much or self.owner(block) in receivers):
                yield current
                current, receivers, sent = [], set(), {}
            current.append((block, owners, counts))
            receivers.add(self.owner(block))
            for rank, count in share.items():
                sent[rank] = sent.get(rank, 0) + count
        if current:
            yield current


class _Rows:
    """The rows of this rank's spool in canonical order, taken a number at a time."""

    def __init__(self, spool: Spool) -> None:
        self.schema = spool.schema
        self._batches = (batch for ordinal in spool.ordinals() for batch in spool.read(ordinal))
        self._rest: pa.RecordBatch | None = None

    def take(self, count: int) -> pa.Table:
        """The next `count` rows."""
        taken = []
        while count > 0:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                raise InternalError(f"a result ended {count} rows before its own row count")
            self._rest = batch.slice(count) if batch.num_rows > count else None
            taken.append(batch.slice(0, count))
            count -= taken[-1].num_rows
        return pa.Table.from_batches(taken, self.schema)


def _in_order(received: pa.Table, owners: np.ndarray, counts: np.ndarray) -> pa.Table:
    """Rows that came sorted by source rank, in the canonical order given by the runs (owners, counts) of the block."""
    if received.num_rows != int(counts.sum()):
        raise InternalError(f"a block of {counts.sum()} rows arrived with {received.num_rows}")
    order = np.argsort(owners, kind="stable")
    if (order == np.arange(len(order))).all():
        return received
    starts = np.empty(len(counts), np.int64)  # of each run among the received rows
    starts[order] = np.cumsum(counts[order]) - counts[order]
    shifts = np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return received.take(pa.array(shifts + np.arange(received.num_rows)))

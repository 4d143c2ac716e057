"""Groups that were spilled, merged over all ranks: partition after partition is read, exchanged and finished.

Partitions are the same on every rank, so a group is whole once its partition has been exchanged. Which partitions make
one round depends on the memory; the rows do not, and what follows puts them into their canonical order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from hpckit.aggregates.arriving import merged
from hpckit.aggregates.groupby import GroupBy
from hpckit.errors import MemoryBudgetError
from hpckit.tables.group_spill import GroupLimit, SpilledGroups
from hpckit.tables.partitions import COUNT, LEVELS, Partitions
from hpckit.tables.rows import Peers

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

ROUND_SHARE = 5  # of the memory: what a rank receives of a round; tables double, and what is received lies beside them
SENT_SHARE = 16  # of the memory: what a rank sends at a time
GROUPS_BYTES_MIN = 64 << 20  # no --memory is so small that groups of this size are too many

Spilled = SpilledGroups | Partitions


def merged_groups(ctx: Context, state: GroupBy, spilled: SpilledGroups, limit: GroupLimit) -> Iterator[GroupBy]:
    """Complete groups of all ranks' `spilled`, of each its owner's, some in each round. Collective, and so are rounds.

    `state` is an empty one with the same keys and aggregates.
    """
    budget_bytes = ctx.allreduce(limit.work_bytes, "min")
    schemas = {name: table.schema for name, table in state.tables()}
    spilled.bounding = state.whole_tables
    for part_of, parts in rounds(ctx, spilled, budget_bytes * ctx.size // ROUND_SHARE):
        assert isinstance(part_of, SpilledGroups)
        yield merged(state.key_types, state.aggs, Round(ctx, part_of, parts, schemas, limit, budget_bytes))


def rounds(ctx: Context, spilled: Spilled, limit_bytes: int) -> Iterator[tuple[Spilled, list[int]]]:
    """(where, partitions) of at most `limit_bytes` on all ranks together; larger ones are split. Collective.

    What cannot be split (equal keys) comes as it is. Without columns to split by there is one round.
    """
    sizes = ctx.allreduce(spilled.sizes(), "sum")
    total, parts, held = int(sizes.sum()), list[int](), 0
    for part, size in enumerate(sizes.tolist() if spilled.by else []):
        level = spilled.level
        if size > limit_bytes and level + 1 < LEVELS and (level == 0 or size < total):
            with ctx.agreed("splitting spilled groups"):
                below = spilled.deeper(part)
                ctx.count(spilled_bytes=below.spilled_bytes)
            try:
                yield from rounds(ctx, below, limit_bytes)
            finally:
                below.close()
            continue
        if parts and held + size > limit_bytes:
            yield spilled, parts
            parts, held = [], 0
        parts.append(part)
        held += size
    if parts or not spilled.by:
        yield spilled, parts if spilled.by else list(range(COUNT))


class Round:
    """Some partitions of all ranks' spilled groups (aggregates/arriving.Pieces)."""

    def __init__(
        self,
        ctx: Context,
        spilled: SpilledGroups,
        parts: list[int],
        schemas: dict[str, pa.Schema],
        limit: GroupLimit,
        budget_bytes: int,
    ) -> None:
        self._ctx, self._peers = ctx, Peers(ctx)
        self._spilled, self._parts, self._schemas = spilled, parts, schemas
        self._held_bytes_max = max(limit.budget_bytes, GROUPS_BYTES_MIN)
        self._limit, self._budget_bytes = limit, budget_bytes

    def by_key(self, name: str) -> Iterator[pa.Table]:
        """Collective."""
        return self._exchanged(self._read(name), self._schemas[name], self._spilled.by)

    def by_value(self, name: str) -> Iterator[Iterator[pa.Table]]:
        """Collective."""
        by, limit_bytes = [*self._spilled.by, "value"], self._budget_bytes * self._ctx.size // ROUND_SHARE
        held = self._spilled.tables.get(name)
        here = int(held.sizes()[self._parts].sum()) if held else 0
        if self._ctx.allreduce(here, "sum") <= limit_bytes:
            yield self._exchanged(self._read(name), self._schemas[name], by)
            return
        with self._ctx.agreed("splitting spilled values"):
            values = Partitions(self._spilled.scratch, "the values of a query", by)
            values.fill(self._read(name))
            self._ctx.count(spilled_bytes=values.spilled_bytes)
        try:
            for some, parts in rounds(self._ctx, values, limit_bytes):
                assert isinstance(some, Partitions)
                yield self._exchanged(some.read(parts), self._schemas[name], by)
        finally:
            values.close()

    def exchange(self, table: pa.Table) -> pa.Table:
        """Collective."""
        return self._peers.exchange(table, self._spilled.by)

    def check(self, state: GroupBy) -> None:
        """Collective."""
        with self._ctx.agreed("merging groups"):
            if state.nbytes > self._held_bytes_max:
                raise MemoryBudgetError(
                    f"the values of a single group hold {state.nbytes >> 20:,} MiB on one rank, --memory grants "
                    f"{self._limit.budget_bytes >> 20:,} MiB; raise --memory, group by more, or use approx_quantile"
                )

    def _read(self, name: str) -> Iterator[pa.Table]:
        held = self._spilled.tables.get(name)
        return held.read(self._parts) if held else iter(())

    def _exchanged(self, tables: Iterator[pa.Table], schema: pa.Schema, by: list[str]) -> Iterator[pa.Table]:
        """`tables` of all ranks on the ranks that a hash of `by` names, a bounded amount at a time. Collective."""
        while True:
            with self._ctx.phase("exchange"):
                with self._ctx.agreed("reading spilled groups"):
                    table = _some(tables, schema, self._budget_bytes // SENT_SHARE)
                if not self._ctx.allreduce(table.num_rows, "max"):
                    return
                arrived = self._peers.exchange(table, by)
                del table
            with self._ctx.phase("merge"):
                yield arrived


def _some(tables: Iterator[pa.Table], schema: pa.Schema, bytes_max: int) -> pa.Table:
    """The next of `tables`, about `bytes_max`. Local."""
    taken, held = [schema.empty_table()], 0
    for table in tables:
        taken.append(table)
        held += table.nbytes
        if held >= bytes_max:
            break
    return pa.concat_tables(taken)

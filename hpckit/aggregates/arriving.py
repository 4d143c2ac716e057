"""Groups whose states come in pieces, because they did not fit into memory: merged exactly as they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

from hpckit.aggregates.groupby import GroupBy
from hpckit.aggregates.pairs import Distinct
from hpckit.aggregates.spec import AggSpec


class Pieces(Protocol):
    """States of all ranks, some of their groups complete. Both methods are collective, and so is their iteration."""

    def by_key(self, name: str) -> Iterator[pa.Table]:
        """The rows of table `name` (GroupBy.tables), each on the rank that owns its key."""

    def by_value(self, name: str) -> Iterator[Iterator[pa.Table]]:
        """The rows of "pairs<i>", each on the rank that owns its (key, value); equal ones in one of the iterators."""

    def exchange(self, table: pa.Table) -> pa.Table:
        """Rows to the owners of their keys."""

    def check(self, state: GroupBy) -> None:
        """Collective. MemoryBudgetError if what has come in so far is too much for any rank."""


def merged(key_types: list[pa.DataType], aggs: list[AggSpec], pieces: Pieces) -> GroupBy:
    """The groups of `pieces` that this rank owns, complete. Collective."""
    owned = GroupBy(key_types, aggs)
    for table in pieces.by_key("groups"):
        owned.merge_groups(table)
        pieces.check(owned)
    for i in owned.pair_states:
        if isinstance(owned.states[i], Distinct):
            _count_values(owned, i, pieces)
            continue
        for table in pieces.by_key(f"pairs{i}"):
            owned.merge_pairs(i, table)
            pieces.check(owned)
    return owned


def _count_values(owned: GroupBy, i: int, pieces: Pieces) -> None:
    """Values meet before their counts do, so that one group may have more of them than fit on any rank. Collective."""
    kind = owned.states[i].kind
    for tables in pieces.by_value(f"pairs{i}"):
        local = GroupBy(owned.key_types, [AggSpec("count_distinct", (kind,))])
        for table in tables:
            local.merge_pairs(0, table)
            pieces.check(local)
        owned.merge_counts(i, pieces.exchange(local.value_counts()))

"""Groups that do not fit into memory: the states of a GROUP BY on scratch disk, by a hash of their keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from hpckit.aggregates.groupby import GroupBy
from hpckit.sorting.scratch import resident_bytes
from hpckit.tables.partitions import COUNT, Partitions

STATE_SHARE = 4  # a state takes this part of the memory at most: its tables double, and it is copied to be written
NEAR_SHARE = 8  # a state from this part of that on is worth writing when the process as a whole is near its end
RESERVE = 4  # at least this part of the budget is worked with, however much the process takes already
WORK_BYTES_MIN = 16 << 20  # and this much: with less, pieces on disk become too many and too small
SPILLED = "spilled."  # names of tables in a checkpoint begin with it


class GroupLimit:
    """When the state of a GROUP BY goes to disk, and where."""

    def __init__(self, budget_bytes: int, scratch: Path) -> None:
        """Local. `budget_bytes` is what the process may hold in all."""
        self.budget_bytes, self.scratch = budget_bytes, scratch
        self.work_bytes = max(budget_bytes // RESERVE, budget_bytes - resident_bytes(), WORK_BYTES_MIN)
        self.state_bytes = self.work_bytes // STATE_SHARE

    def reached(self, held_bytes: int) -> bool:
        """Whether a state of `held_bytes` has to go. Local."""
        if held_bytes > self.state_bytes:
            return True
        return held_bytes * NEAR_SHARE > self.state_bytes and resident_bytes() + 2 * held_bytes > self.budget_bytes


class SpilledGroups:
    """Mergeable states of one GROUP BY on disk: "groups" and "pairs<i>" as GroupBy.tables has them, by key."""

    def __init__(self, scratch: Path, by: list[str], level: int = 0) -> None:
        """Local. `by` are the names of the keys. Nothing is written yet."""
        self.scratch, self.by, self.level = scratch, by, level
        self.tables: dict[str, Partitions] = {}
        self.bounding = ["groups"]  # the tables that have to fit into memory, a partition at a time

    def add(self, state: GroupBy) -> None:
        """Write what `state` holds. Local. OutputError when the disk is full."""
        for name, table in state.tables():
            self.table(name).add(table)

    def table(self, name: str) -> Partitions:
        """The rows of table `name`."""
        if name not in self.tables:
            self.tables[name] = Partitions(self.scratch, "the groups of a query", self.by)
        return self.tables[name]

    def sizes(self) -> np.ndarray:
        """int64 (COUNT,): bytes of the `bounding` tables in memory, by partition. Local."""
        held = (table.sizes() for name, table in self.tables.items() if name in self.bounding)
        return sum(held, np.zeros(COUNT, np.int64))

    @property
    def spilled_bytes(self) -> int:
        """Bytes on scratch disk."""
        return sum(table.spilled_bytes for table in self.tables.values())

    def deeper(self, part: int) -> SpilledGroups:
        """One partition, split by the next bits of the hash. Local."""
        made = SpilledGroups(self.scratch, self.by, self.level + 1)
        made.bounding = self.bounding
        made.tables = {name: table.deeper(part) for name, table in self.tables.items()}
        return made

    def saved(self) -> dict[str, pa.Table]:
        """Everything, for a checkpoint. Local."""
        return {SPILLED + name: table.saved() for name, table in self.tables.items()}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Add what `saved` gave; other tables are passed over. Local. OutputError when the disk is full."""
        for name, table in tables.items():
            if name.startswith(SPILLED):
                self.table(name.removeprefix(SPILLED)).restore(table)

    def close(self) -> None:
        """Give the disk back. May be called twice."""
        for table in self.tables.values():
            table.close()
        self.tables.clear()

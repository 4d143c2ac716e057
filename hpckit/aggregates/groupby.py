"""The mergeable state of one GROUP BY: a key table and one set of states, shared by the aggregates that can."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit.aggregates.keys import KeyTable
from hpckit.aggregates.registry import parts_of, result_of
from hpckit.aggregates.spec import AggSpec
from hpckit.aggregates.views import ArgView
from hpckit.errors import InternalError

if TYPE_CHECKING:
    from hpckit.tables.columns import Column

Exchange = Callable[[pa.Table, list[str]], pa.Table]


class GroupBy:
    """GROUP BY `key_types` (none: one global group) with `aggs`. All methods but `shuffle` are local.

    However rows are dealt out over calls of `update` and over objects merged later, `finish` gives the same bytes.
    """

    def __init__(self, key_types: list[pa.DataType], aggs: list[AggSpec]) -> None:
        self.key_types = list(key_types)
        self.aggs = list(aggs)
        self._keys = KeyTable(key_types)
        self._states: list[Any] = []  # each distinct state once
        self._argument: list[int] = []  # the aggregate whose argument and filter a state reads
        self._parts: list[list[Any]] = []  # the states an aggregate is computed from
        self._touched = False  # whether any row or state has come in
        self._build()
        self._resize()

    def _build(self) -> None:
        """States in an order that depends on the aggregates alone, so that it is the same on every rank."""
        known: dict[object, Any] = {}
        readers: dict[object, int] = {}
        for number, spec in enumerate(self.aggs):
            source = number if spec.source is None else ("shared", spec.source, spec.arg_types)
            reader = readers.setdefault(source, number)
            states = []
            for name, make in parts_of(spec):
                if (name, source) not in known:
                    known[name, source] = make()
                    self._states.append(known[name, source])
                    self._argument.append(reader)
                states.append(known[name, source])
            self._parts.append(states)

    def __len__(self) -> int:
        """Number of groups; 1 without keys."""
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """Memory held, bytes."""
        return self._keys.nbytes + sum(state.nbytes for state in self._states)

    def _resize(self) -> None:
        for state in self._states:
            state.resize(len(self._keys))

    def update(
        self,
        keys: list[Column],
        args: list[list[Column]],
        masks: list[np.ndarray | None],
        positions: np.ndarray,
        length: int,
    ) -> None:
        """Takes in `length` rows: key columns, and per aggregate its arguments and its filter (bool, None: all rows).

        `positions` (int64) are the places of the rows in the input, unique over all ranks.
        """
        if length == 0:
            return
        self._touched = True
        ids = self._keys.ids(keys, length)
        self._resize()
        views: dict[int, ArgView] = {}
        for state, number in zip(self._states, self._argument, strict=True):
            view = views.get(number)
            if view is None:
                column = args[number][0] if args[number] else None
                view = views[number] = ArgView(self.aggs[number].arg_type, column, masks[number])
            state.update(ids, view, positions)

    @property
    def _key_names(self) -> list[str]:
        return [f"k{j}" for j in range(len(self.key_types))]

    def to_tables(self) -> dict[str, pa.Table]:
        """The whole state as tables: "groups" (keys and one row a group), "pairs<i>" (keys, value, count)."""
        keys = dict(zip(self._key_names, self._keys.columns(), strict=True))
        columns = dict(keys)
        tables = {}
        for i, state in enumerate(self._states):
            columns.update({f"s{i}_{name}": column for name, column in state.columns().items()})
            if hasattr(state, "pairs"):
                ids, pairs = state.pairs()
                by_row = dict(zip(self._key_names, self._keys.columns(ids), strict=True))
                tables[f"pairs{i}"] = pa.table({**by_row, **pairs})
        if not columns:
            raise InternalError("a GROUP BY without keys and aggregates")
        return {"groups": pa.table(columns), **tables}

    @classmethod
    def from_tables(cls, key_types: list[pa.DataType], aggs: list[AggSpec], tables: dict[str, pa.Table]) -> GroupBy:
        """The state that `to_tables` described: nothing is lost, and it can be updated and merged further."""
        state = cls(key_types, aggs)
        state.merge_tables(tables)
        return state

    def merge(self, other: GroupBy) -> None:
        """Takes in everything `other` (same keys and aggregates, disjoint rows) has seen."""
        if other._touched:
            self.merge_tables(other.to_tables())

    def merge_tables(self, tables: dict[str, pa.Table]) -> None:
        """Takes in a state written by `to_tables`."""
        self._merge_groups(tables["groups"])
        for i, state in enumerate(self._states):
            if hasattr(state, "pairs"):
                table = tables[f"pairs{i}"]
                state.absorb_pairs(self._table_ids(table), _arrays(table))

    def _table_ids(self, table: pa.Table) -> np.ndarray:
        """Group ids of a table's key columns."""
        ids = self._keys.ids([_flat(table.column(name)) for name in self._key_names], table.num_rows)
        self._resize()
        return ids

    def _merge_groups(self, table: pa.Table) -> None:
        if table.num_rows == 0:
            return
        self._touched = True
        ids = self._table_ids(table)
        columns = _arrays(table)
        for i, state in enumerate(self._states):
            prefix = f"s{i}_"
            state.absorb(ids, {n[len(prefix) :]: c for n, c in columns.items() if n.startswith(prefix)})

    def finish(self, emit_empty_global: bool = True) -> pa.Table:
        """Key columns k0, k1, … then a0, a1, …, ascending by the keys: strings bytewise, NaN greatest, NULL last.

        Without keys: one row; but if nothing ever came in, only with `emit_empty_global` (of several ranks, the one
        that owns the global group passes True).
        """
        order = self._keys.order()
        if not self.key_types and not self._touched and not emit_empty_global:
            order = order[:0]
        names = [*self._key_names, *(f"a{i}" for i in range(len(self.aggs)))]
        columns = self._keys.columns(order)
        for spec, states in zip(self.aggs, self._parts, strict=True):
            columns.append(result_of(spec, states).take(pa.array(order)))
        return pa.table(columns, names=names)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _arrays(table: pa.Table) -> dict[str, pa.Array]:
    return {name: _flat(table.column(name)) for name in table.column_names}

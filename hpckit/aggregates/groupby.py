"""The mergeable state of one GROUP BY: a key table and one set of states, shared by the aggregates that can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit.aggregates import selection
from hpckit.aggregates.codes import one_array
from hpckit.aggregates.keys import KeyTable
from hpckit.aggregates.pairs import Distinct
from hpckit.aggregates.quantiles import wanted_ranks
from hpckit.aggregates.registry import parts_of, result_of
from hpckit.aggregates.spec import AggSpec
from hpckit.aggregates.states import Counts
from hpckit.aggregates.values import ChosenValues, ValueCounts
from hpckit.aggregates.views import ArgView

if TYPE_CHECKING:
    from hpckit.aggregates.peers import Peers
    from hpckit.tables.columns import Column

WEIGHT_END = 1 << 47  # sums of up to 65,536 ranks stay within int64


class GroupBy:
    """GROUP BY `key_types` (none: one global group) with `aggs`. All methods but `shuffle` are local.

    However rows are dealt out over calls of `update` and over objects merged later, `finish` gives the same bytes.
    """

    def __init__(self, key_types: list[pa.DataType], aggs: list[AggSpec]) -> None:
        self.key_types = list(key_types)
        self.aggs = list(aggs)
        self._keys = KeyTable(key_types)
        self.states: list[Any] = []  # each distinct state once
        self._argument: list[int] = []  # the aggregate whose argument and filter a state reads
        self._parts: list[list[Any]] = []  # the states an aggregate is computed from
        self.touched = False  # whether any row or state has come in
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
                    self.states.append(known[name, source])
                    self._argument.append(reader)
                states.append(known[name, source])
            self._parts.append(states)

    def __len__(self) -> int:
        """Number of groups; 1 without keys."""
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """Memory held, bytes."""
        return self._keys.nbytes + sum(state.nbytes for state in self.states)

    @property
    def pair_states(self) -> list[int]:
        """Numbers of the states that keep a table of (group, value)."""
        return [i for i, state in enumerate(self.states) if isinstance(state, Distinct | ValueCounts)]

    @property
    def whole_tables(self) -> list[str]:
        """Names of the tables (see `tables`) whose rows of one group all have to be on one rank for its results."""
        pairs = [i for i in self.pair_states if not isinstance(self.states[i], Distinct)]
        return ["groups", *(f"pairs{i}" for i in pairs)]

    def _resize(self) -> None:
        for state in self.states:
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
        self.touched = True
        ids = self._keys.ids(keys, length)
        self._resize()
        views: dict[int, ArgView] = {}
        for state, number in zip(self.states, self._argument, strict=True):
            view = views.get(number)
            if view is None:
                column = args[number][0] if args[number] else None
                view = views[number] = ArgView(self.aggs[number].arg_type, column, masks[number])
            state.update(ids, view, positions)

    @property
    def key_names(self) -> list[str]:
        """Names of the key columns in tables of the state."""
        return [f"k{j}" for j in range(len(self.key_types))]

    def key_table(self, ids: np.ndarray | None = None) -> pa.Table:
        """The keys of all groups by their ids, or of these groups; strings are coded columns (spmd/coded.py)."""
        return pa.table(self._key_columns(ids))

    def _key_columns(self, ids: np.ndarray | None) -> dict[str, pa.Array]:
        return dict(zip(self.key_names, self._keys.columns(ids, coded=True), strict=True))

    def weights(self, number: int) -> np.ndarray | None:
        """int64: aggregate `number`, a count or a sum of integers, of each group, NULL as 0; None if one is negative or
        so large that the sum over all ranks might overflow."""
        state = self._parts[number][-1]
        if isinstance(state, Counts):
            return state.values
        low, high = state.values.T
        return low.astype(np.int64) if not high.any() and (low < WEIGHT_END).all() else None

    def to_tables(self, without_pairs: Sequence[int] = (), only: np.ndarray | None = None) -> dict[str, pa.Table]:
        """The whole state as tables: "groups" (keys and one row a group), "pairs<i>" (keys, value, count).

        Strings that many rows may share are coded columns (spmd/coded.py). `without_pairs`: states to leave out;
        `only`: ids of the groups to describe.
        """
        return dict(self.tables(without_pairs, only))

    def tables(
        self, without_pairs: Sequence[int] = (), only: np.ndarray | None = None
    ) -> Iterator[tuple[str, pa.Table]]:
        """As `to_tables`, one (name, table) after another, "groups" first."""
        columns = self._key_columns(only)
        rows = None if only is None else pa.array(only)
        for i, state in enumerate(self.states):
            for name, column in state.columns().items():
                columns[f"s{i}_{name}"] = column if rows is None else column.take(rows)
        if not self.key_types:
            columns["global"] = pa.array([True])  # a table without columns could not have the row
        yield "groups", pa.table(columns)
        del columns
        for i in self.pair_states:
            if i in without_pairs:
                continue
            ids, pairs = self.states[i].pairs()
            if only is not None:
                chosen = np.flatnonzero(np.isin(ids, only))
                ids, pairs = ids[chosen], {name: column.take(pa.array(chosen)) for name, column in pairs.items()}
            yield f"pairs{i}", pa.table({**self._key_columns(ids), **pairs})

    @classmethod
    def from_tables(cls, key_types: list[pa.DataType], aggs: list[AggSpec], tables: dict[str, pa.Table]) -> GroupBy:
        """The state that `to_tables` described: nothing is lost, and it can be updated and merged further."""
        state = cls(key_types, aggs)
        state.merge_tables(tables)
        return state

    def merge(self, other: GroupBy) -> None:
        """Takes in everything `other` (same keys and aggregates, disjoint rows) has seen."""
        if other.touched:
            self.merge_tables(other.to_tables())

    def merge_tables(self, tables: dict[str, pa.Table]) -> None:
        """Takes in a state written by `to_tables`."""
        self.merge_groups(tables["groups"])
        for i in self.pair_states:
            self.merge_pairs(i, tables[f"pairs{i}"])

    def _batches(self, table: pa.Table) -> Iterator[tuple[np.ndarray, dict[str, pa.Array]]]:
        """(group ids, the columns that are no keys) of each chunk."""
        names = [name for name in table.column_names if name not in self.key_names]
        for batch in table.to_batches():
            if batch.num_rows:
                self.touched = True
                ids = self._keys.ids([batch.column(name) for name in self.key_names], batch.num_rows)
                self._resize()
                yield ids, {name: batch.column(name) for name in names}

    def merge_groups(self, table: pa.Table) -> None:
        """Takes in a table "groups"."""
        # The ranks' groups may be the same or all different: room for those of the largest part spares most rehashing.
        self._keys.reserve(max((len(chunk) for chunk in table.column(0).chunks), default=0))
        for ids, columns in self._batches(table):
            for i, state in enumerate(self.states):
                prefix = f"s{i}_"
                state.absorb(ids, {n[len(prefix) :]: c for n, c in columns.items() if n.startswith(prefix)})

    def merge_pairs(self, i: int, table: pa.Table) -> None:
        """Takes in a table "pairs<i>"."""
        for ids, columns in self._batches(table):
            self.states[i].absorb_pairs(ids, columns)

    def merge_counts(self, i: int, table: pa.Table) -> None:
        """Takes in keys and numbers of values that nobody else counts, for count_distinct state number i."""
        for ids, columns in self._batches(table):
            self.states[i].absorb_counts(ids, columns["count"])

    def shuffle(self, peers: Peers, only: np.ndarray | None = None) -> GroupBy:
        """The groups that this rank owns, complete. Collective; this object stays as it was.

        `only`: ids of the groups wanted, on all ranks those of the same groups or on all ranks None. What is exchanged,
        and how often, depends on the aggregates and on sums over all ranks alone.
        """
        owned = GroupBy(self.key_types, self.aggs)
        searched = self._searched(peers) if only is None else []
        tables = self.to_tables(searched, only)
        keys = self.key_names
        owned.merge_groups(peers.exchange(tables.pop("groups"), keys))
        if searched:
            self._search(peers, searched, owned)
        for i in self.pair_states:
            if i in searched:
                continue
            state, table = self.states[i], tables.pop(f"pairs{i}")
            if isinstance(state, Distinct):
                # values meet first, so that many values of one group do not land on one rank
                table = self._distinct_counts(state, peers.exchange(table, [*keys, "value"]))
                owned.merge_counts(i, peers.exchange(table, keys))
            else:
                owned.merge_pairs(i, peers.exchange(table, keys))
        return owned

    def _searched(self, peers: Peers) -> list[int]:
        """The states whose wanted values all ranks search for together. Collective."""
        numbers = [i for i in self.pair_states if getattr(self.states[i], "selectable", False)]
        if not numbers:
            return []
        sizes = np.array([len(self), *(len(self.states[i]) for i in numbers)], np.int64)
        groups, *pairs = peers.reduce(sizes, "sum").tolist()
        return [i for i, held in zip(numbers, pairs, strict=True) if selection.pays(held, groups)]

    def _search(self, peers: Peers, searched: list[int], owned: GroupBy) -> None:
        """Gives `owned` the order statistics of its groups. Collective."""
        everyone = KeyTable(self.key_types)
        if self.key_types:
            mine = dict(zip(self.key_names, self._keys.columns(), strict=True))
            for batch in peers.everyone(pa.table(mine)).to_batches():
                everyone.ids(batch.columns, batch.num_rows)
        groups = len(everyone)
        numbers, theirs = (
            everyone.ids([one_array(column) for column in table.columns()], len(table))
            for table in (self._keys, owned._keys)
        )
        for i in searched:
            segments = [selection.Segments(run, numbers, groups) for run in self.states[i].runs()]
            totals = selection.totals(peers, segments, groups)
            ranks = np.column_stack([column for spec in self._readers(i) for column in wanted_ranks(spec, totals)])
            words = selection.select(peers, segments, ranks)
            owned.states[i].choose(ChosenValues(totals[theirs], ranks[theirs], words[theirs]))

    def _readers(self, i: int) -> list[AggSpec]:
        """The aggregates that are computed from state number i."""
        return [spec for spec, states in zip(self.aggs, self._parts, strict=True) if self.states[i] in states]

    def _distinct_counts(self, state: Distinct, pairs: pa.Table) -> pa.Table:
        """Keys and the number of different values among these (keys, value) rows."""
        local = GroupBy(self.key_types, [AggSpec("count_distinct", (state.kind,))])
        local.merge_pairs(0, pairs)
        return local.value_counts()

    def value_counts(self) -> pa.Table:
        """Keys and the number of values, of a state that has no other aggregate than one count_distinct."""
        return pa.table({**self._key_columns(None), "count": self.states[0].values})

    def finish(self, emit_empty_global: bool = True, ordered: bool = True) -> pa.Table:
        """Key columns k0, k1, … then a0, a1, …, ascending by the keys: strings bytewise, NaN greatest, NULL last.

        Not `ordered`: rows in any order, for a caller that sorts them anyway. Without keys: one row; but if nothing
        ever came in, only with `emit_empty_global` (of several ranks, the one that owns the global group passes True).
        """
        names = [*self.key_names, *(f"a{i}" for i in range(len(self.aggs)))]
        order = self._keys.order() if ordered else None
        columns = self._keys.columns(order)
        for spec, states in zip(self.aggs, self._parts, strict=True):
            result = result_of(spec, states)
            columns.append(result if order is None else result.take(pa.array(order)))
        table = pa.table(columns, names=names)
        absent = not self.key_types and not self.touched and not emit_empty_global
        return table.slice(0, 0) if absent else table

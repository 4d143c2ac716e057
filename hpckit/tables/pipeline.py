"""The streaming part of a statement: filters and projections on batches, into the operator that has to see all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from hpckit.aggregates.groupby import GroupBy
from hpckit.aggregates.leading import applies
from hpckit.aggregates.spec import AggSpec
from hpckit.errors import InternalError
from hpckit.frozen import frozen
from hpckit.sinks.canonical import conform, storage_schema
from hpckit.sorting.columns import ORIGIN, Key, as_keys
from hpckit.sorting.external import TableSorter
from hpckit.tables.columns import Batch, Column
from hpckit.tables.evaluate import Evaluator, mask
from hpckit.tables.expr import Column as ColumnRef
from hpckit.tables.expr import Expr
from hpckit.tables.group_spill import GroupLimit, SpilledGroups
from hpckit.tables.order import TopK
from hpckit.tables.plan import Aggregate, Filter, Limit, Operator, Project, Sort, SortKey
from hpckit.tables.spool import Spool

INTERNAL = "\x1f"  # names of hidden columns begin with a byte that no file's column does
POSITION = ORIGIN  # hidden column: a row's place in the canonical order
TEXT_ROWS = 1 << 15  # at a time where strings of rows are made: those of one Arrow array end at 2 GiB
TOP_K_MAX = 1 << 20  # ORDER BY … LIMIT up to here keeps only the best rows while it streams

OrderKey = tuple[str, bool, bool]


@frozen
class Budget:
    """What one statement may hold in memory, and where the rest goes."""

    bytes: int
    scratch: Path | None
    process_bytes: int = 1 << 62  # for ORDER BY and GROUP BY: what the process may take in all


class FilterStage:
    """Rows for which the predicate is true."""

    def __init__(self, predicate: Expr, schema: pa.Schema) -> None:
        self._evaluator = Evaluator([predicate], schema)
        self.makes_text = self._evaluator.makes_text
        self.schema = schema

    def run(self, batch: Batch) -> Batch:
        return batch.filter(mask(self._evaluator.evaluate(batch)[0]))


class ProjectStage:
    """Exactly these columns; hidden columns that order the rows travel along."""

    def __init__(self, columns: Sequence[tuple[str, Expr]], schema: pa.Schema, hidden: Sequence[str] = ()) -> None:
        self._names = [name for name, _ in columns] + list(hidden)
        self._evaluator = Evaluator([expr for _, expr in columns] + [ColumnRef(name) for name in hidden], schema)
        self.makes_text = self._evaluator.makes_text
        self.schema = pa.schema(list(zip(self._names, self._evaluator.types, strict=True)))

    def run(self, batch: Batch) -> Batch:
        values = self._evaluator.evaluate(batch)
        return Batch(dict(zip(self._names, values, strict=True)), batch.positions)


Stage = FilterStage | ProjectStage


def compile_stages(
    operators: Sequence[Operator], schema: pa.Schema, hidden: Sequence[str] = ()
) -> tuple[list[Stage], pa.Schema]:
    """Filters and projections as stages, and the schema behind them."""
    stages: list[Stage] = []
    for operator in operators:
        if isinstance(operator, Filter):
            stages.append(FilterStage(operator.predicate, schema))
        elif isinstance(operator, Project):
            stages.append(ProjectStage(operator.columns, schema, hidden))
            schema = stages[-1].schema
        else:
            raise TypeError(f"{type(operator).__name__} does not stream")
    return stages, schema


def segment(operators: Sequence[Operator]) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
    """(streaming operators at the front, the rest)."""
    for i, operator in enumerate(operators):
        if not isinstance(operator, Filter | Project):
            return tuple(operators[:i]), tuple(operators[i:])
    return tuple(operators), ()


def batch_table(batch: Batch, schema: pa.Schema, position: bool) -> pa.Table:
    """The batch as an Arrow table of `schema`, with its positions as a hidden column if asked."""
    table = batch.to_arrow().cast(schema) if len(schema) else pa.table({})
    return table.append_column(POSITION, pa.array(batch.positions)) if position else table


class AggregateSink:
    """Groups rows: keys and arguments are evaluated on each batch and merged into one mergeable state.

    Beyond the budget the state moves to scratch and starts empty again: what was seen is `state` and `spilled`.
    """

    def __init__(self, operator: Aggregate, schema: pa.Schema, budget: Budget | None = None) -> None:
        self.operator = operator
        calls = [call for _, call in operator.aggregates]
        exprs = [expr for _, expr in operator.keys]
        self._key_count = len(exprs)
        self._places: list[list[int]] = []
        self._filters: list[int] = []
        for call in calls:
            self._places.append([_place(exprs, arg) for arg in call.args])
            self._filters.append(_place(exprs, call.filter) if call.filter is not None else -1)
        self._evaluator = Evaluator(exprs, schema)
        self.makes_text = self._evaluator.makes_text
        types = self._evaluator.types
        specs = [
            AggSpec(call.name, tuple(types[i] for i in places), call.fraction, source=repr((call.args, call.filter)))
            for call, places in zip(calls, self._places, strict=True)
        ]
        self.key_types = list(types[: self._key_count])
        self.state = GroupBy(self.key_types, specs)
        scratch = budget.scratch if budget else None
        self.limit = GroupLimit(budget.process_bytes, scratch) if budget and scratch else None
        self.spilled = SpilledGroups(scratch, self.state.key_names) if scratch else None

    @property
    def touched(self) -> bool:
        """Whether any row or state has come in."""
        return self.state.touched or self.has_spilled

    @property
    def has_spilled(self) -> bool:
        """Whether a part of the state is on disk."""
        return self.spilled is not None and bool(self.spilled.tables)

    def update(self, batch: Batch) -> None:
        """Take a batch into account."""
        values = self._evaluator.evaluate(batch) if self._evaluator.types else []
        keys = values[: self._key_count]
        args: list[list[Column]] = [[values[i] for i in places] for places in self._places]
        masks: list[np.ndarray | None] = [mask(values[i]) if i >= 0 else None for i in self._filters]
        self.state.update(keys, args, masks, batch.positions, len(batch))
        self.bound()

    def bound(self) -> None:
        """Move the state to disk if it has grown too large. Local. OutputError when the disk is full."""
        if self.limit is not None and self.limit.reached(self.state.nbytes):
            self.spill()

    def spill(self) -> None:
        """Move the state to disk and start with an empty one. Local. OutputError when the disk is full."""
        if self.spilled is None:
            raise InternalError("groups are to be spilled, but there is no scratch folder")
        if self.state.touched:
            self.spilled.add(self.state)
            self.state = GroupBy(self.key_types, self.state.aggs)
            pa.default_memory_pool().release_unused()

    def leading(self, then: Sequence[Operator]) -> tuple[int, int] | None:
        """(number of the aggregate, rows) if the next operators keep the first rows by it, the largest first."""
        if len(then) < 2 or not isinstance(then[0], Sort) or not isinstance(then[1], Limit) or not self.key_types:
            return None
        key, limit = then[0].keys[0], then[1]
        names = [name for name, _ in self.operator.aggregates]
        if not isinstance(key.expr, ColumnRef) or key.expr.name not in names or not key.descending or key.nulls_first:
            return None
        number = names.index(key.expr.name)
        if limit.count is None or limit.count + limit.offset == 0 or not applies(self.state.aggs, number):
            return None
        return number, limit.count + limit.offset

    def rename(self, table: pa.Table) -> pa.Table:
        """Columns of GroupBy.finish under the names of the plan."""
        return table.rename_columns([name for name, _ in (*self.operator.keys, *self.operator.aggregates)])


def _place(exprs: list[Expr], expr: Expr) -> int:
    """Index of `expr` among `exprs`, appended if it is not there: equal expressions are computed once."""
    known = [repr(e) for e in exprs]  # repr tells 0.0 from -0.0, which are equal
    if repr(expr) not in known:
        exprs.append(expr)
        return len(exprs) - 1
    return known.index(repr(expr))


@dataclass(slots=True)
class SortColumns:
    """ORDER BY as columns: expressions that are not plain columns get hidden ones."""

    projection: tuple[tuple[str, Expr], ...]
    keys: list[OrderKey]
    hidden: list[str] = field(default_factory=list)


def sort_columns(keys: Sequence[SortKey], schema: pa.Schema, carried: Sequence[str]) -> SortColumns:
    """How rows of `schema` (with hidden columns `carried`) are projected before they are sorted by `keys`."""
    projection: list[tuple[str, Expr]] = [(name, ColumnRef(name)) for name in schema.names if name not in carried]
    made = SortColumns((), [])
    for i, key in enumerate(keys):
        if isinstance(key.expr, ColumnRef):
            name = key.expr.name
        else:
            name = f"{INTERNAL}sort{i}"
            projection.append((name, key.expr))
            made.hidden.append(name)
        made.keys.append((name, key.descending, key.nulls_first))
    made.projection = tuple(projection)
    return made


class TopKSink:
    """ORDER BY … LIMIT with a small limit: only the best rows are kept. Ties go by the columns `carried`, if any."""

    def __init__(self, sort: Sort, count: int, schema: pa.Schema, carried: Sequence[str] = ()) -> None:
        self.columns = sort_columns(sort.keys, schema, carried)
        self._stage = ProjectStage(self.columns.projection, schema, carried)
        self.schema = self._stage.schema.append(pa.field(POSITION, pa.int64()))
        self.columns.hidden.extend(carried)
        self.keys = [*self.columns.keys, *((name, False, False) for name in carried), (POSITION, False, False)]
        self.state = TopK(self.schema, self.keys, count)

    def update(self, batch: Batch) -> None:
        """Take a batch into account."""
        self.state.update(batch_table(self._stage.run(batch), self._stage.schema, position=True))


class SortSink:
    """ORDER BY without a limit: all rows with their sort keys, as sorted runs on disk beyond the budget.

    Ties go by the columns `carried`, if any.
    """

    def __init__(self, sort: Sort, schema: pa.Schema, budget: Budget, carried: Sequence[str] = ()) -> None:
        self.columns = sort_columns(sort.keys, schema, carried)
        self._stage = ProjectStage(self.columns.projection, schema, carried)
        self.schema = self._stage.schema.append(pa.field(POSITION, pa.int64()))
        self.columns.hidden.extend(carried)
        keys = [Key(*key, by_bits=sort.by_bits) for key in self.columns.keys] + [Key(name) for name in carried]
        self.keys = as_keys(keys, self._stage.schema)
        self._stored = storage_schema(self.schema)
        self.sorter = TableSorter(self._stored, self.keys, budget.process_bytes, budget.scratch)

    def update(self, batch: Batch) -> None:
        """Take a batch into account."""
        table = batch_table(self._stage.run(batch), self._stage.schema, position=True)
        self.sorter.add(conform(table, self._stored))


class SpoolSink:
    """Rows as they come, by split; spilled to disk beyond the budget."""

    def __init__(self, schema: pa.Schema, budget: Budget) -> None:
        self._schema = schema
        self.spool = Spool(schema, budget.scratch, budget.bytes)

    def update(self, batch: Batch, ordinal: int) -> None:
        """Append a batch to the rows of split `ordinal`."""
        self.spool.append(ordinal, batch_table(batch, self._schema, position=False))


class LimitSink:
    """LIMIT without ORDER BY: of each split, no more rows than the limit asks for."""

    def __init__(self, limit: Limit, schema: pa.Schema, budget: Budget) -> None:
        self.wanted = (limit.count or 0) + limit.offset
        self.rows: dict[int, int] = {}
        self.inner = SpoolSink(schema, budget)

    def update(self, batch: Batch, ordinal: int) -> None:
        """Append what of the batch can still be in the result."""
        have = self.rows.get(ordinal, 0)
        keep = min(len(batch), self.wanted - have)
        self.rows[ordinal] = have + keep
        if keep > 0:
            self.inner.update(batch.slice(0, keep), ordinal)


Sink = AggregateSink | TopKSink | SortSink | SpoolSink | LimitSink


class Pipeline:
    """One statement while its source is scanned: stages, then the sink; `rest` are the operators still to run.

    Of rows that come in another order than the canonical one, the columns `carried` tell it: they are hidden, and no
    two rows are alike in them.
    """

    def __init__(
        self, operators: Sequence[Operator], schema: pa.Schema, budget: Budget, carried: Sequence[str] = ()
    ) -> None:
        front, rest = segment(operators)
        self.stages, self.schema = compile_stages(front, schema, carried)
        self.rest = (Sort(()), *rest) if carried and _goes_by_order(rest) else rest
        self.sink: Sink = self._make_sink(budget, carried)
        keeps_rows = not isinstance(self.sink, AggregateSink) or self.sink.makes_text
        self._piece_rows = TEXT_ROWS if keeps_rows or any(stage.makes_text for stage in self.stages) else 1 << 62

    def _make_sink(self, budget: Budget, carried: Sequence[str]) -> Sink:
        head = self.rest[0] if self.rest else None
        follows = self.rest[1] if len(self.rest) > 1 else None
        if isinstance(head, Aggregate):
            return AggregateSink(head, self.schema, budget)
        if isinstance(head, Sort) and isinstance(follows, Limit) and follows.count is not None:
            count = follows.count + follows.offset
            if count <= TOP_K_MAX:
                return TopKSink(head, count, self.schema, carried)
        if isinstance(head, Sort):
            return SortSink(head, self.schema, budget, carried)
        if isinstance(head, Limit) and head.count is not None:
            return LimitSink(head, self.schema, budget)
        return SpoolSink(self.schema, budget)

    @property
    def spilled_bytes(self) -> int:
        """Bytes that the sink has on scratch disk."""
        sink = self.sink
        if isinstance(sink, AggregateSink):
            return sink.spilled.spilled_bytes if sink.spilled is not None else 0
        if isinstance(sink, SortSink):
            return sink.sorter.spilled_bytes
        if isinstance(sink, TopKSink):
            return 0
        return (sink.inner if isinstance(sink, LimitSink) else sink).spool.spilled_bytes

    def update(self, batch: Batch, ordinal: int) -> None:
        """Run a batch of split `ordinal` through. Local."""
        if len(batch) <= self._piece_rows:
            self._update(batch, ordinal)
            return
        for start in range(0, len(batch), self._piece_rows):
            self._update(batch.slice(start, start + self._piece_rows), ordinal)

    def _update(self, batch: Batch, ordinal: int) -> None:
        for stage in self.stages:
            batch = stage.run(batch)
            if not len(batch):
                return
        if isinstance(self.sink, SpoolSink | LimitSink):
            self.sink.update(batch, ordinal)
        else:
            self.sink.update(batch)


def _goes_by_order(operators: Sequence[Operator]) -> bool:
    """Whether rows have to be put into their canonical order for `operators`."""
    head = operators[0] if operators else None
    if isinstance(head, Aggregate):
        return any(call.name in ("first", "last") for _, call in head.aggregates)
    return not isinstance(head, Sort)

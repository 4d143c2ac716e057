"""Expressions computed on batches: shared parts once, functions of one coded column once per dictionary entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import QueryError
from hpckit.tables.columns import Batch, Coded, Column, to_arrow
from hpckit.tables.evaluate_casts import can_fail, cast
from hpckit.tables.evaluate_coded import EntryTable, by_distinct
from hpckit.tables.evaluate_types import infer_type, typed
from hpckit.tables.evaluate_vectors import Datum, as_array, build, split, validity, values
from hpckit.tables.expr import Call, Cast, Expr, Literal
from hpckit.tables.expr import Column as ColumnRef
from hpckit.tables.functions import FUNCTIONS
from hpckit.tables.render import to_text
from hpckit.tables.types import BOOL, FLOAT, STRING, normal_type

__all__ = ["Evaluator", "infer_type", "mask"]


def mask(column: Column | pa.ChunkedArray) -> np.ndarray:
    """A BOOLEAN column as NumPy bool: NULL counts as false. Shape (len(column),)."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    valid = validity(column)
    return values(column) if valid is None else values(column) & valid


class Node:
    """One distinct sub-expression. `columns` are the input columns below it; `raises` says if values can be errors."""

    __slots__ = ("args", "columns", "expr", "index", "raises", "type")

    def __init__(self, expr: Expr, args: tuple[Node, ...], index: int, kind: pa.DataType) -> None:
        self.expr = expr
        self.args = args
        self.index = index
        self.type = kind
        own = {expr.name} if isinstance(expr, ColumnRef) else set()
        self.columns: frozenset[str] = frozenset(own.union(*(arg.columns for arg in args)))
        self.raises: bool = any(arg.raises for arg in args) or _raises(expr, args)


def _raises(expr: Expr, args: tuple[Node, ...]) -> bool:
    if isinstance(expr, Cast):
        return not expr.lenient and can_fail(args[0].type, expr.type)
    if isinstance(expr, Call) and FUNCTIONS[expr.name].raises:
        return not (args and all(arg.type == FLOAT for arg in args))
    return False


class Frame:
    """Rows under evaluation: their columns, and the results already computed for them."""

    def __init__(self, columns: dict[str, Column], length: int) -> None:
        self.columns = columns
        self.length = length
        self.results: dict[int, Datum | Coded] = {}

    def subset(self, rows: np.ndarray, names: frozenset[str]) -> Frame:
        """The rows where `rows` (bool) is true, with the columns `names`."""
        arrow_rows = pa.array(rows)
        chosen = {}
        for name in names:
            column = self.columns[name]
            chosen[name] = column.filter(rows) if isinstance(column, Coded) else column.filter(arrow_rows)
        return Frame(chosen, int(np.count_nonzero(rows)))


class Evaluator:
    """Expressions over columns of `schema`, computed batch by batch. Local; not shared between threads.

    With `bound`, the expressions are already typed (as those of a bound plan are) and taken as they stand.
    """

    def __init__(self, exprs: Sequence[Expr], schema: pa.Schema, *, bound: bool = False) -> None:
        self._schema = schema
        self._nodes: dict[str, Node] = {}
        self._entries: dict[int, EntryTable] = {}
        self.expressions: list[Expr] = list(exprs) if bound else [typed(expr, schema)[0] for expr in exprs]
        self._roots = [self._compile(expr) for expr in self.expressions]
        self.types: list[pa.DataType] = [node.type for node in self._roots]

    @property
    def makes_text(self) -> bool:
        """Whether any expression, or part of one, makes strings: how long they are cannot be told from the input."""
        made = [node.type for node in self._nodes.values() if isinstance(node.expr, Call | Cast)]
        return any(kind == STRING or pa.types.is_nested(kind) for kind in made)

    def _compile(self, expr: Expr) -> Node:
        key = repr(expr)  # tells 0.0 from -0.0, which are equal
        node = self._nodes.get(key)
        if node is None:
            args = tuple(self._compile(child) for child in expr.children)
            node = Node(expr, args, len(self._nodes), self._type_of(expr, args))
            self._nodes[key] = node
        return node

    def _type_of(self, expr: Expr, args: tuple[Node, ...]) -> pa.DataType:
        if isinstance(expr, ColumnRef):
            return infer_type(expr, self._schema)
        if isinstance(expr, (Literal, Cast)):
            return expr.type
        if not isinstance(expr, Call):
            raise QueryError(f"{to_text(expr)} cannot be computed row by row")
        return FUNCTIONS[expr.name].bind(expr.name, [(arg.expr, arg.type) for arg in args])[1]

    def evaluate(self, batch: Batch) -> list[Column]:
        """One column of len(batch) for each expression. QueryError names the expression that failed."""
        frame = Frame(batch.columns, len(batch))
        results: list[Column] = []
        for node in self._roots:
            value = self.value(node, frame)
            results.append(value if isinstance(value, Coded) else as_array(value, frame.length))
        return results

    def value(self, node: Node, frame: Frame) -> Datum | Coded:
        """The node's column over the frame, as it comes: array, scalar or coded."""
        result = frame.results.get(node.index)
        if result is None:
            result = self._compute(node, frame)
            frame.results[node.index] = result
        return result

    def _compute(self, node: Node, frame: Frame) -> Datum | Coded:
        expr = node.expr
        if isinstance(expr, ColumnRef):
            return _input(frame.columns[expr.name], node.type)
        if isinstance(expr, Literal):
            return pa.scalar(expr.value, expr.type)
        if len(node.columns) == 1:
            (name,) = node.columns
            column = frame.columns[name]
            if isinstance(column, Coded):
                return self._by_entry(node, name, column)
        if frame.length == 0:
            return pa.array([], node.type)
        if isinstance(expr, Call) and expr.name in _LAZY:
            return _LAZY[expr.name](self, node, frame)
        args = [self.datum(arg, frame) for arg in node.args]
        if not any(isinstance(arg, pa.Array) for arg in args) and args:
            place = FUNCTIONS[expr.name].rows if isinstance(expr, Call) else 0
            args[place] = pa.repeat(args[place], frame.length)
        return self._run(node, args, frame.length)

    def _run(self, node: Node, args: list[Datum], length: int) -> Datum:
        expr = node.expr
        try:
            if isinstance(expr, Cast):
                return cast(args[0], expr.type, expr.lenient)
            compute = self._function_of(expr)
            if not args:
                return compute()[0]
            result = compute(*args)
        except pa.ArrowInvalid as error:
            raise QueryError(f"{to_text(expr)}: {_plain(str(error))}") from None
        except QueryError as error:
            raise type(error)(f"{error} (in {to_text(expr)})") from None
        return result.combine_chunks() if isinstance(result, pa.ChunkedArray) else result

    @staticmethod
    def _function_of(expr: Expr) -> Callable[..., pa.Array]:
        compute = FUNCTIONS[expr.name].run if isinstance(expr, Call) else None
        if compute is None:
            raise QueryError(f"{to_text(expr)} cannot be computed row by row")
        return compute

    def datum(self, node: Node, frame: Frame) -> Datum:
        """The node's column as an Arrow array or scalar."""
        value = self.value(node, frame)
        return value.to_arrow() if isinstance(value, Coded) else value

    def array(self, node: Node, frame: Frame) -> pa.Array:
        """The node's column as an Arrow array."""
        return as_array(self.datum(node, frame), frame.length)

    def _by_entry(self, node: Node, name: str, column: Coded) -> Column:
        table = self._entries.get(node.index)
        if table is None or table.stale(column.dictionary):
            table = EntryTable(column.dictionary, lambda entries: self._on_entries(node, name, entries))
            self._entries[node.index] = table
        if table.extend(len(column)):
            return table.take(column.codes)
        return by_distinct(column, lambda entries: self._on_entries(node, name, entries))

    def _on_entries(self, node: Node, name: str, entries: pa.Array) -> pa.Array:
        frame = Frame({name: entries}, len(entries))
        return as_array(to_arrow(self._compute(node, frame)), len(entries))


def _plain(message: str) -> str:
    if message == "overflow":
        return "integer overflow; CAST an operand to DOUBLE for a wider range"
    return message


def _input(column: Column, kind: pa.DataType) -> Column:
    """An input column in the type expressions use."""
    if isinstance(column, Coded):
        return column
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column if column.type == kind or normal_type(column.type) != kind else column.cast(kind)


def _truth(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(is true, is false) of a BOOLEAN array."""
    data, valid = values(array), validity(array)
    return (data, ~data) if valid is None else (data & valid, ~data & valid)


def _on_rows(evaluator: Evaluator, node: Node, frame: Frame, rows: np.ndarray) -> tuple[np.ndarray | None, pa.Array]:
    """The node where `rows` is true: (None, on all rows) if that is all of them, else (rows, on those rows)."""
    if rows.all():
        return None, evaluator.array(node, frame)
    return rows, evaluator.array(node, frame.subset(rows, node.columns))


def _logical(evaluator: Evaluator, node: Node, frame: Frame) -> pa.Array:
    """AND and OR in three-valued logic; operands that can fail see only the rows that are still open."""
    is_and = isinstance(node.expr, Call) and node.expr.name == "and"
    settled = np.zeros(frame.length, np.bool_)  # false for AND, true for OR
    unknown = np.zeros(frame.length, np.bool_)
    for position, arg in enumerate(node.args):
        rows = None
        if position and arg.raises and settled.any():
            if settled.all():
                break
            rows, array = _on_rows(evaluator, arg, frame, ~settled)
        else:
            array = evaluator.array(arg, frame)
        true, false = _truth(array)
        decides = false if is_and else true
        if rows is None:
            settled |= decides
            unknown |= ~(true | false)
        else:
            settled[rows] |= decides
            unknown[rows] |= ~(true | false)
    result = ~settled if is_and else settled
    return build(result, settled | ~unknown, BOOL)


def _case(evaluator: Evaluator, node: Node, frame: Frame) -> Datum:
    """The value of the first condition that holds; conditions and values see only the rows that get to them."""
    open_rows = np.ones(frame.length, np.bool_)
    branches: Branches = []
    for condition, value in zip(node.args[:-1:2], node.args[1:-1:2], strict=True):
        if condition.raises:
            rows, array = _on_rows(evaluator, condition, frame, open_rows)
            holds = np.zeros(frame.length, np.bool_)
            holds[slice(None) if rows is None else rows] = _truth(array)[0]
        else:
            holds = _truth(evaluator.array(condition, frame))[0] & open_rows
        branches.append((value, holds))
        open_rows = open_rows & ~holds
        if not open_rows.any():
            break
    branches.append((node.args[-1], open_rows))
    for value, rows in branches:
        if rows.all():
            return evaluator.datum(value, frame)
    if node.type != STRING and not any(value.raises for value, _ in branches):
        return _choose_numbers(evaluator, node, frame, branches)
    return _choose(evaluator, frame, branches)


Branches = list[tuple[Node, np.ndarray]]


def _choose_numbers(evaluator: Evaluator, node: Node, frame: Frame, branches: Branches) -> pa.Array:
    """Values of fixed width that cannot fail: computed for all rows, then picked."""
    data, valid = None, np.ones(frame.length, np.bool_)
    for value, rows in branches:
        datum = evaluator.datum(value, frame)
        if isinstance(datum, pa.Scalar) and not datum.is_valid:
            valid &= ~rows
            continue
        numbers, own = split(datum)
        if own is not None:
            valid &= own | ~rows
        data = np.broadcast_to(numbers, frame.length) if data is None else np.where(rows, numbers, data)
    if data is None:
        return pa.nulls(frame.length, node.type)
    return build(data, valid, node.type)


def _choose(evaluator: Evaluator, frame: Frame, branches: Branches) -> pa.Array:
    """Values computed on their own rows only, then put in place."""
    choice = np.zeros(frame.length, np.int64)
    pieces: list[pa.Array] = []
    start = 0
    for value, rows in branches:
        count = int(np.count_nonzero(rows))
        if count == 0:
            continue
        if isinstance(value.expr, Literal):
            pieces.append(pa.repeat(pa.scalar(value.expr.value, value.type), 1))
            choice[rows] = start
            start += 1
        else:
            pieces.append(evaluator.array(value, frame.subset(rows, value.columns)))
            choice[rows] = np.arange(start, start + count)
            start += count
    return pa.concat_arrays(pieces).take(pa.array(choice))


def _coalesce(evaluator: Evaluator, node: Node, frame: Frame) -> Datum:
    """The first value that is not NULL; later ones are computed where the earlier are NULL."""
    result = evaluator.datum(node.args[0], frame)
    for arg in node.args[1:]:
        if isinstance(result, pa.Scalar):
            if result.is_valid:
                return result
            result = evaluator.datum(arg, frame)
            continue
        if result.null_count == 0:
            return result
        if isinstance(arg.expr, Literal):
            result = pc.coalesce(result, pa.scalar(arg.expr.value, arg.type))
            continue
        missing = ~np.asarray(result.is_valid())
        rows, other = _on_rows(evaluator, arg, frame, missing)
        if rows is None:
            result = other
        else:
            result = pc.replace_with_mask(result, pa.array(missing), other)
    return result


_LAZY = {"and": _logical, "or": _logical, "case": _case, "coalesce": _coalesce}

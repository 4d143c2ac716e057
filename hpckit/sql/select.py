"""One SELECT over one relation: select list, WHERE, DISTINCT, ORDER BY, LIMIT as a chain of operators."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from sqlglot import exp

from hpckit.errors import QueryError, UnsupportedError
from hpckit.sql.grouping import Grouping, has_aggregate
from hpckit.sql.scalar import Names, bind_scalar
from hpckit.sql.scope import Relation, unique_names
from hpckit.sql.star import Item, expand
from hpckit.tables.evaluate_types import typed, typed_condition
from hpckit.tables.expr import Column, Expr, Literal
from hpckit.tables.plan import Aggregate, Filter, Limit, Operator, Project, Sort, SortKey


class Select:
    """Binds the clauses of one SELECT; `relation()` is the result."""

    def __init__(self, node: exp.Select, source: Relation) -> None:
        self._node = node
        self._source = source
        items = expand(node.expressions, source)
        if not items:
            raise QueryError("SELECT: there is nothing in the select list")
        self._items = items
        self._aliases: dict[str, exp.Expression] = {}
        for item in items:
            if item.alias is not None:
                self._aliases.setdefault(item.alias.lower(), item.node)
        self._resolving: list[str] = []

    # names: each clause sees columns and aliases in its own order, as in DuckDB

    def _column_first(self, node: exp.Column) -> Expr:
        column = self._source.column(node)
        if column is not None:
            return column
        expr = self._alias(node)
        if expr is None:
            raise self._source.missing(node, [i.alias for i in self._items if i.alias])
        return expr

    def _alias_first(self, node: exp.Column) -> Expr:
        expr = self._alias(node)
        return self._column_first(node) if expr is None else expr

    def _alias(self, node: exp.Column) -> Expr | None:
        """What the select item named like the column computes."""
        name = node.name.lower()
        if node.args.get("table") is not None or name not in self._aliases or name in self._resolving:
            return None
        self._resolving.append(name)
        try:
            return bind_scalar(self._aliases[name], self._column_first)
        finally:
            self._resolving.pop()

    def _expr(self, node: exp.Expression, names: Names | None = None, *, no_aggregates: str = "") -> Expr:
        expr = bind_scalar(node, names or self._column_first, inner=self._column_first, aggregates=no_aggregates)
        if no_aggregates and has_aggregate(expr):
            raise QueryError(f"{no_aggregates} cannot contain aggregates: {node.sql('duckdb')}")
        return expr

    def relation(self) -> Relation:
        """The SELECT's rows as a relation of its own."""
        node, source = self._node, self._source
        operators: list[Operator] = list(source.operators)
        schema = source.full_schema
        where = node.args.get("where")
        if where is not None:
            predicate = self._expr(where.this, no_aggregates="WHERE")
            operators.append(Filter(typed_condition(predicate, schema, "WHERE")))
        outputs = [self._output(item) for item in self._items]
        order = self._order_keys(outputs)
        grouping = self._grouping(outputs, schema)
        names = unique_names([item.name for item in self._items])
        if grouping is not None:
            added, schema, outputs, order = grouping.apply(names, outputs, order)
            operators += added
        self._project(operators, schema, names, outputs, order)
        result = pa.schema([(n, typed(e, schema)[1]) for n, e in zip(names, outputs, strict=True)])
        return Relation(source.source, tuple(operators), result, pa.schema([]), None)

    def _output(self, item: Item) -> Expr:
        if item.column is not None:
            return item.column
        if item.alias is not None:  # its own name may not stand for itself: SELECT a + 1 AS a reads the column a
            self._resolving.append(item.alias.lower())
        try:
            return self._expr(item.node)
        finally:
            if item.alias is not None:
                self._resolving.pop()

    def _grouping(self, outputs: Sequence[Expr], schema: pa.Schema) -> Grouping | None:
        group, having = self._node.args.get("group"), self._node.args.get("having")
        if group is None and having is None and not any(has_aggregate(e) for e in outputs):
            return None
        keys: list[Expr] = []
        if group is not None:
            _check_group(group)
            if group.args.get("all"):
                keys = [e for e in outputs if not has_aggregate(e)]
            keys += [self._group_key(part, outputs) for part in group.expressions]

        def grouped_first(node: exp.Column) -> Expr:
            """An alias hides a column that is not grouped."""
            column = self._source.column(node)
            return column if column is not None and column in keys else self._alias_first(node)

        condition = None if having is None else self._expr(having.this, grouped_first)
        varying = [k for k in dict.fromkeys(keys) if not isinstance(k, Literal)]
        return Grouping(schema, varying or keys[:1], condition)  # one constant key: of no rows it makes no group

    def _group_key(self, node: exp.Expression, outputs: Sequence[Expr]) -> Expr:
        expr = outputs[position] if (position := _ordinal(node, len(outputs), "GROUP BY")) is not None else None
        if expr is None:
            expr = self._expr(node, no_aggregates="GROUP BY")
        if has_aggregate(expr):
            raise QueryError(f"GROUP BY cannot contain aggregates: {node.sql('duckdb')}")
        return expr

    def _order_keys(self, outputs: Sequence[Expr]) -> list[SortKey]:
        order = self._node.args.get("order")
        keys: list[SortKey] = []
        for part in order.expressions if order is not None else ():
            descending, nulls_first = bool(part.args.get("desc")), bool(part.args.get("nulls_first"))
            if part.args.get("with_fill") is not None:
                raise UnsupportedError("ORDER BY … WITH FILL is not offered")
            if isinstance(part.this, (exp.Var, exp.Column)) and part.this.name.upper() == "ALL":
                keys += [SortKey(expr, descending, nulls_first) for expr in outputs]
                continue
            position = _ordinal(part.this, len(outputs), "ORDER BY")
            names = self._alias_first if isinstance(part.this, exp.Column) else self._column_first  # as DuckDB
            expr = outputs[position] if position is not None else self._expr(part.this, names)
            if not isinstance(expr, Literal):
                keys.append(SortKey(expr, descending, nulls_first))
        return keys

    def _project(
        self, operators: list[Operator], schema: pa.Schema, names: list[str], outputs: list[Expr], order: list[SortKey]
    ) -> None:
        """Append projection, DISTINCT, sort and limit. Sort keys that are not selected travel as hidden columns."""
        columns = [(name, typed(expr, schema)[0]) for name, expr in zip(names, outputs, strict=True)]
        distinct = _is_distinct(self._node)
        sort_keys, hidden = _sort_columns(names, outputs, order)
        if distinct and hidden:
            raise QueryError("SELECT DISTINCT: ORDER BY may only use what is in the select list")
        hidden_columns = [(name, typed(expr, schema)[0]) for name, expr in hidden]
        full = tuple(columns + hidden_columns)
        if not (operators and isinstance(operators[-1], Aggregate) and _is_identity(full, schema)):
            operators.append(Project(full))
        if distinct:
            operators.append(Aggregate(tuple((name, Column(name)) for name in names), ()))
        if sort_keys:
            operators.append(Sort(tuple(sort_keys)))
        limit = limit_of(self._node)
        if limit is not None:
            operators.append(limit)
        if hidden:
            operators.append(Project(tuple((name, Column(name)) for name in names)))


def _sort_columns(
    names: list[str], outputs: list[Expr], order: list[SortKey]
) -> tuple[list[SortKey], list[tuple[str, Expr]]]:
    """(keys as columns of the projection, columns to add to it)."""
    known: dict[Expr, str] = {}
    for name, expr in zip(names, outputs, strict=True):
        known.setdefault(expr, name)
    hidden: list[tuple[str, Expr]] = []
    keys: dict[str, SortKey] = {}
    for key in order:
        if key.expr not in known:
            name = unique_names([*names, *(h for h, _ in hidden), "__order"])[-1]
            known[key.expr] = name
            hidden.append((name, key.expr))
        name = known[key.expr]
        keys.setdefault(name, SortKey(Column(name), key.descending, key.nulls_first))
    return list(keys.values()), hidden


def _is_identity(columns: Sequence[tuple[str, Expr]], schema: pa.Schema) -> bool:
    same = all(isinstance(expr, Column) and expr.name == name for name, expr in columns)
    return same and [name for name, _ in columns] == schema.names


def _ordinal(node: exp.Expression, count: int, clause: str) -> int | None:
    """The select item (from 0) that a whole number names, None for other expressions."""
    if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
        return None
    position = int(node.name)
    if not 1 <= position <= count:
        raise QueryError(f"{clause} {position}: the select list has {count} columns")
    return position - 1


def _check_group(group: exp.Group) -> None:
    for key in ("rollup", "cube", "grouping_sets", "totals"):
        if group.args.get(key):
            raise UnsupportedError(f"GROUP BY {key.replace('_', ' ').upper()} is not offered; run one query for each")
    for part in group.expressions:
        if isinstance(part, (exp.Rollup, exp.Cube, exp.GroupingSets)):
            name = "GROUPING SETS" if isinstance(part, exp.GroupingSets) else part.key.upper()
            raise UnsupportedError(f"GROUP BY {name} is not offered; run one query for each")


def _is_distinct(node: exp.Select) -> bool:
    distinct = node.args.get("distinct")
    if distinct is None:
        return False
    if distinct.args.get("on") is not None:
        raise UnsupportedError("SELECT DISTINCT ON is not offered; GROUP BY the keys and take first(x)")
    return True


def limit_of(node: exp.Expression) -> Limit | None:
    """LIMIT and OFFSET of a query, also of one in parentheses."""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if limit is None and offset is None:
        return None
    if isinstance(limit, exp.Fetch):
        raise UnsupportedError("FETCH FIRST is not offered; use LIMIT")
    if limit is not None and (limit.args.get("limit_options") or limit.args.get("expressions")):
        raise UnsupportedError(f"{limit.sql('duckdb').strip()} is not offered; LIMIT takes a number of rows")
    count = None if limit is None else _whole(limit.expression, "LIMIT")
    start = None if offset is None else _whole(offset.expression, "OFFSET")
    return None if count is None and not start else Limit(count, start or 0)


def _whole(node: exp.Expression, clause: str) -> int | None:
    if isinstance(node, exp.Null) or (isinstance(node, (exp.Var, exp.Column)) and node.name.upper() == "ALL"):
        return None
    if isinstance(node, (exp.Column, exp.Subquery)):
        raise UnsupportedError(f"{clause} {node.sql('duckdb')}: a constant number is needed")

    def no_columns(column: exp.Column) -> Expr:
        raise UnsupportedError(f"{clause} {column.sql('duckdb')}: a constant number is needed")

    expr, _ = typed(bind_scalar(node, no_columns, aggregates=clause), pa.schema([]))
    value = expr.value if isinstance(expr, Literal) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise QueryError(f"{clause} {node.sql('duckdb')}: a whole number, 0 or more, is needed")
    return value

"""Statements to plans: FROM and WITH resolved into one chain from the source to the result."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from sqlglot import exp

from hpckit.errors import QueryError, UnsupportedError
from hpckit.sql.parse import Statement
from hpckit.sql.scope import HIDDEN, Relation, unique_names
from hpckit.sql.select import Select, limit_of
from hpckit.sql.source import source_of_function, source_of_name
from hpckit.tables.evaluate_types import typed
from hpckit.tables.expr import Column
from hpckit.tables.optimize import optimize
from hpckit.tables.plan import Plan, Project, Source
from hpckit.tables.types import normal_type

SchemaOf = Callable[[Source], pa.Schema]

_CLAUSES = {"with", "from", "expressions", "where", "group", "having", "order", "limit", "offset", "distinct", "hint"}
_CLAUSE_NAMES = {
    "joins": "JOIN",
    "laterals": "LATERAL",
    "windows": "WINDOW",
    "qualify": "QUALIFY",
    "sample": "SAMPLE",
    "pivots": "PIVOT",
    "locks": "FOR UPDATE",
    "into": "SELECT INTO",
    "match": "MATCH_RECOGNIZE",
    "kind": "SELECT AS STRUCT",
    "connect": "CONNECT BY",
    "prewhere": "PREWHERE",
}
_DEPTH_MAX = 100


def bind(statement: Statement, schema_of: SchemaOf) -> Plan:
    """The plan of a statement; see `hpckit.sql.bind`."""
    relation = _Binder(schema_of).query(statement.query, {})
    operators = optimize(relation.operators, relation.full_schema)
    return Plan(relation.source, operators, relation.schema, statement.output, statement.kind == "explain")


class _Cte:
    """A WITH entry: its query, the entries it may use itself, and its column names."""

    def __init__(self, node: exp.CTE, visible: dict[str, _Cte]) -> None:
        self.query = node.this
        self.visible = visible
        alias = node.args.get("alias")
        self.columns = [c.name for c in (alias.args.get("columns") or [])] if alias is not None else []


class _Binder:
    def __init__(self, schema_of: SchemaOf) -> None:
        self._schema_of = schema_of
        self._depth = 0

    def query(self, node: exp.Expression, ctes: dict[str, _Cte]) -> Relation:
        """A SELECT, possibly in parentheses."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise UnsupportedError(f"queries nested more than {_DEPTH_MAX} deep are not offered")
        try:
            if isinstance(node, exp.Subquery):
                return self._parenthesised(node, ctes)
            if isinstance(node, exp.Select):
                return self._select(node, ctes)
        finally:
            self._depth -= 1
        if isinstance(node, (exp.Union, exp.Intersect, exp.Except)):
            raise UnsupportedError(f"{node.key.upper()} is not offered; run the parts as two statements")
        raise UnsupportedError(f"{node.key.upper()} is not offered: {node.sql('duckdb')[:80]}")

    def _parenthesised(self, node: exp.Subquery, ctes: dict[str, _Cte]) -> Relation:
        allowed = {"this", "alias", "limit", "offset", "with"}
        _check_clauses(node, allowed)
        relation = self.query(node.this, self._with(node, ctes))
        limit = limit_of(node)
        if limit is None:
            return relation
        return Relation(relation.source, (*relation.operators, limit), relation.schema, relation.hidden, relation.name)

    def _select(self, node: exp.Select, ctes: dict[str, _Cte]) -> Relation:
        _check_clauses(node, _CLAUSES)
        source = _clause(node, "from")
        if source is None:
            raise UnsupportedError(f"SELECT without FROM is not offered: {node.sql('duckdb')[:80]}")
        return Select(node, self._from(source.this, self._with(node, ctes))).relation()

    def _with(self, node: exp.Expression, ctes: dict[str, _Cte]) -> dict[str, _Cte]:
        clause = _clause(node, "with")
        if clause is None:
            return ctes
        if clause.args.get("recursive"):
            raise UnsupportedError("WITH RECURSIVE is not offered")
        visible = dict(ctes)
        for entry in clause.expressions:
            visible = {**visible, entry.alias.lower(): _Cte(entry, visible)}
        return visible

    def _from(self, node: exp.Expression, ctes: dict[str, _Cte]) -> Relation:
        if isinstance(node, exp.Subquery):
            _check_clauses(node, {"this", "alias", "limit", "offset", "with"})
            inner = node.this
            is_query = isinstance(inner, (exp.Query, exp.Subquery)) and not isinstance(inner, exp.Table)
            relation = self._parenthesised(node, ctes) if is_query else self._from(inner, ctes)
            return self._aliased(relation, node, None)
        if not isinstance(node, exp.Table):
            raise UnsupportedError(f"{node.key.upper()} in FROM is not offered: {node.sql('duckdb')[:80]}")
        _check_clauses(node, {"this", "alias", "db", "catalog", "only"})
        if isinstance(node.this, exp.Anonymous):
            return self._aliased(self._scan(source_of_function(node.this)), node, str(node.this.this))
        if not isinstance(node.this, exp.Identifier):
            raise UnsupportedError(f"FROM {node.this.sql('duckdb')[:80]} is not offered")
        if node.args.get("db") is not None:
            shown = node.sql("duckdb")
            raise UnsupportedError(f"FROM {shown}: there are no schemas; write a file in quotes, '{shown}'")
        cte = ctes.get(node.name.lower())
        if cte is not None:
            relation = self.query(cte.query, cte.visible)
            relation = _renamed(relation, cte.columns, node.name)
            return self._aliased(relation, node, node.name)
        return self._aliased(self._scan(source_of_name(node.name)), node, _stem(node.name))

    def _scan(self, source: Source) -> Relation:
        try:
            schema = self._schema_of(source)
        except KeyError:
            raise QueryError(
                f"table {', '.join(source.paths)} does not exist; read a file with FROM 'path.parquet' or "
                f"read_logs('path', 'format')"
            ) from None
        visible = list(schema)  # a file's own column _file is one like any other
        names = unique_names([field.name for field in visible])
        if names != [field.name for field in visible] and len(set(f.name for f in visible)) < len(visible):
            raise QueryError(f"{', '.join(source.paths)}: two columns have the same name; name them with columns =")
        fields = [(field.name, normal_type(field.type)) for field in visible]
        hidden = pa.schema([field for field in HIDDEN if field.name not in schema.names])
        return Relation(source, (), pa.schema(fields), hidden, None)

    def _aliased(self, relation: Relation, node: exp.Expression, name: str | None) -> Relation:
        """The relation under the alias of its FROM item, its columns renamed if the alias lists them."""
        alias = node.args.get("alias")
        columns: list[str] = []
        if alias is not None:
            name = alias.name or name
            columns = [column.name for column in alias.args.get("columns") or []]
        relation = _renamed(relation, columns, name or "")
        return Relation(relation.source, relation.operators, relation.schema, relation.hidden, name)


def _stem(name: str) -> str:
    """The name by which a quoted file can qualify its columns: 'data/x.csv' is x."""
    return name.replace("\\", "/").rsplit("/", 1)[-1].split(".", 1)[0]


def _renamed(relation: Relation, columns: list[str], name: str) -> Relation:
    """The first columns renamed, as in t(a, b)."""
    if not columns:
        return relation
    old = relation.schema.names
    if len(columns) > len(old):
        raise QueryError(f"{name}({', '.join(columns)}): {len(columns)} names for {len(old)} columns")
    names = unique_names([*columns, *old[len(columns) :]])
    project = Project(tuple((new, Column(was)) for new, was in zip(names, old, strict=True)))
    schema = pa.schema([(new, typed(Column(was), relation.schema)[1]) for new, was in zip(names, old, strict=True)])
    return Relation(relation.source, (*relation.operators, project), schema, pa.schema([]), relation.name)


def _clause(node: exp.Expression, name: str) -> exp.Expression | None:
    """A clause by its name in either spelling that sqlglot's versions use."""
    return node.args.get(f"{name}_") or node.args.get(name)


def _check_clauses(node: exp.Expression, known: set[str]) -> None:
    """UnsupportedError naming the first clause that is not in `known`."""
    for key, value in node.args.items():
        plain = key.rstrip("_")
        if value and plain not in known:
            first = value[0] if isinstance(value, list) else value
            shown = first.sql("duckdb").strip() if isinstance(first, exp.Expression) else ""
            name = _CLAUSE_NAMES.get(plain, plain.replace("_", " ").upper())
            raise UnsupportedError(f"{name} is not offered: {shown[:80]}" if shown else f"{name} is not offered")

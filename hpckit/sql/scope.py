"""What a SELECT reads from: the plan so far, its columns, and how names find them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from hpckit.errors import QueryError, UnsupportedError
from hpckit.sql.vocabulary import UNSUPPORTED
from hpckit.tables.expr import Column
from hpckit.tables.nearest import nearest
from hpckit.tables.plan import Operator, Source
from hpckit.tables.types import INT, STRING

HIDDEN = pa.schema([("_file", STRING), ("_offset", INT), ("_raw", STRING)])


@dataclass(frozen=True)
class Relation:
    """Rows that a plan has produced so far.

    `schema` holds the columns that * stands for; `hidden` those that must be named; `name` qualifies them (t.x).
    """

    source: Source
    operators: tuple[Operator, ...]
    schema: pa.Schema
    hidden: pa.Schema
    name: str | None

    @property
    def full_schema(self) -> pa.Schema:
        """All columns that expressions may read."""
        return pa.schema([*self.schema, *self.hidden])

    def find(self, name: str) -> str | None:
        """The column's own spelling of `name` (case does not matter; an exact match comes first), or None."""
        names = self.full_schema.names
        if name in names:
            return name
        lowered = name.lower()
        return next((candidate for candidate in names if candidate.lower() == lowered), None)

    def check_qualifier(self, node: exp.Column) -> None:
        """QueryError unless t of t.x names this relation."""
        table = node.args.get("table")
        if node.args.get("db") is not None or node.args.get("catalog") is not None:
            raise UnsupportedError(f"{node.sql('duckdb')}: names have at most two parts, table.column")
        if table is not None and (self.name is None or table.name.lower() != self.name.lower()):
            known = f"here it is {self.name}" if self.name else "give the FROM item an alias"
            raise QueryError(f"table {table.name} of {node.sql('duckdb')} does not exist; {known}")

    def column(self, node: exp.Column) -> Column | None:
        """The column that the node names, None if there is none."""
        self.check_qualifier(node)
        found = self.find(node.name)
        return None if found is None else Column(found)

    def missing(self, node: exp.Column, aliases: list[str]) -> QueryError:
        """The error for a name that is neither column nor alias."""
        if node.name.lower() in UNSUPPORTED and node.args.get("table") is None:
            return UnsupportedError(f"{node.name} is not offered; {UNSUPPORTED[node.name.lower()]}")
        quoted = node.this.args.get("quoted") and '"' not in node.name
        hint = f" (text is written in single quotes: '{node.name}')" if quoted else ""
        known = [*self.schema.names, *aliases, *self.hidden.names]
        return QueryError(f"column {node.name} does not exist; {nearest(node.name, known)}{hint}")


def unique_names(names: list[str]) -> list[str]:
    """The names with repeated ones numbered: a, a_1, a_2; case does not tell names apart."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 0
        while candidate.lower() in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.lower())
        result.append(candidate)
    return result

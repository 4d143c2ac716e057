"""The select list with * written out: EXCLUDE, REPLACE, RENAME, t.*."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from hpckit.errors import QueryError, UnsupportedError
from hpckit.frozen import frozen
from hpckit.sql.naming import column_name
from hpckit.sql.scope import Relation
from hpckit.tables.expr import Column
from hpckit.tables.nearest import nearest


@frozen
class Item:
    """One column of the result: a column of the source that * stands for, or an expression."""

    name: str
    node: exp.Expression | None = None
    column: Column | None = None
    alias: str | None = None


def expand(expressions: Sequence[exp.Expression], source: Relation) -> list[Item]:
    """The select list, one Item for each column of the result."""
    items: list[Item] = []
    for node in expressions:
        star = _star_of(node, source)
        if star is not None:
            items += _expanded(star, source)
        elif isinstance(node, exp.Alias):
            items.append(Item(node.alias, node.this, alias=node.alias))
        elif isinstance(node, exp.Aliases):
            raise UnsupportedError(f"{node.sql('duckdb')}: several names for one expression are not offered")
        else:
            items.append(Item(_spelled(node, source), node))
    return items


def _spelled(node: exp.Expression, source: Relation) -> str:
    """A column keeps the source's spelling of its name."""
    name = column_name(node)
    inner = node.unnest()
    return (source.find(name) or name) if isinstance(inner, exp.Column) else name


def _star_of(node: exp.Expression, source: Relation) -> exp.Star | None:
    if isinstance(node, exp.Star):
        return node
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
        source.check_qualifier(node)
        return node.this
    return None


def _identifier(node: exp.Expression, source: Relation, clause: str) -> str:
    found = source.find(node.name)
    if found is None or found not in source.schema.names:
        raise QueryError(f"* {clause} ({node.name}): no such column; {nearest(node.name, source.schema.names)}")
    return found


def _modifiers(star: exp.Star, *keys: str) -> list[exp.Expression]:
    for key in keys:
        value = star.args.get(key)
        if value:
            return value if isinstance(value, list) else [value]
    return []


def _expanded(star: exp.Star, source: Relation) -> list[Item]:
    excluded = {_identifier(node, source, "EXCLUDE") for node in _modifiers(star, "except_", "except")}
    replaced: dict[str, exp.Expression] = {}
    for node in _modifiers(star, "replace"):
        replaced[_identifier(exp.to_identifier(node.alias), source, "REPLACE")] = node.this
    renamed = {_identifier(n.this, source, "RENAME"): n.alias for n in _modifiers(star, "rename")}
    both = excluded & (set(replaced) | set(renamed))
    if both:
        raise QueryError(f"* EXCLUDE ({', '.join(sorted(both))}): the column is replaced or renamed as well")
    items: list[Item] = []
    for name in source.schema.names:
        if name in excluded:
            continue
        if name in replaced:
            items.append(Item(renamed.get(name, name), replaced[name]))
        else:
            items.append(Item(renamed.get(name, name), column=Column(name)))
    return items

"""SQL (DuckDB's dialect) to plans. `parse_script` and `bind`; importing this package is cheap, using it is not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from hpckit.sql.parse import Statement
    from hpckit.tables.plan import Plan, Source
    from hpckit.tables.table import Table

__all__ = ["bind", "parse_script"]


def parse_script(text: str) -> list[Statement]:
    """The statements of a script, in order. QueryError with line and column if it is not SQL."""
    from hpckit.sql.parse import parse_script as parse

    return parse(text)


def bind(statement: Statement, schema_of: Callable[[Source], pa.Schema]) -> Plan:
    """The plan of one statement: names resolved, types checked, filters pushed to the source.

    `schema_of` gives the columns of a source (without `_file`, `_offset`, `_raw`). It may be called more than once.
    Local: every rank that binds the same statement over the same schemas gets an equal plan.
    """
    from hpckit.sql.binder import bind as bind_statement

    return bind_statement(statement, schema_of)


class _Package(ModuleType):
    """`hk.sql(…)` is a function also after this package, which has the same name, was imported."""

    def __call__(self, text: str, **options: Any) -> Table:
        from hpckit.sql.run import sql

        return sql(text, **options)


sys.modules[__name__].__class__ = _Package

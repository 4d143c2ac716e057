"""The executor on all ranks: every statement as DuckDB answers it, and the same bytes at any number of ranks."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from duckdb_oracle import answer, connect, differences, plain
from sql_cases import ORDERED, UNORDERED
from sql_data import table
from table_source import TableSource

from hpckit.aggregates import leading
from hpckit.sql import bind, parse_script
from hpckit.tables.execute import RunOptions, run_plans
from hpckit.tables.table import Bound, Table, collect_all

pytestmark = pytest.mark.mpi

TABLE = table()


@pytest.fixture(scope="module")
def oracle():
    connection = connect(TABLE)
    yield connection
    connection.close()


def collect(context, statement: str, source: TableSource, scratch: Path) -> pa.Table:
    plan = bind(parse_script(statement)[0], lambda _: TABLE.schema)
    bound = Bound(context, plan.source, source, RunOptions(scratch=scratch))
    return collect_all([Table(bound, plan.operators, plan.schema)], to="root")[0]


def serialised(result: pa.Table) -> bytes:
    return repr((result.schema.to_string(), [plain(c) for c in result.columns])).encode()


@pytest.mark.parametrize("statement", [*ORDERED, *UNORDERED])
def test_statement(context, shared_path, oracle, record, statement: str) -> None:
    result = collect(context, statement, TableSource(TABLE), shared_path)
    if context.is_root:
        record(serialised(result))
        theirs = answer(oracle, statement)
        a = list(zip(*(plain(c) for c in result.columns), strict=True))
        b = list(zip(*(plain(c) for c in theirs.columns), strict=True))
        if statement in UNORDERED:
            a, b = sorted(a, key=repr), sorted(b, key=repr)
        for i in range(theirs.num_columns):
            wrong = differences([r[i] for r in a], [r[i] for r in b], tolerance=1e-12)
            assert not wrong, f"{statement}\ncolumn {i}: (row, ours, DuckDB) {wrong[:5]}"
        assert result.column_names == theirs.column_names


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT s, j, count(*) AS n FROM t GROUP BY s, j ORDER BY n DESC, s, j LIMIT 5",
        "SELECT s, count(*) AS n, count(DISTINCT j), median(j) FROM t GROUP BY s ORDER BY n DESC, s LIMIT 3 OFFSET 2",
        "SELECT id % 60 AS k, sum(id) AS n, first(s), max(f) FROM t GROUP BY k ORDER BY n DESC, k LIMIT 4",
        "SELECT t, count(s) AS n, stddev(j) FROM t WHERE id > 20 GROUP BY t ORDER BY n DESC, t LIMIT 2",
        "SELECT upper(k), n FROM (SELECT s k, count(*) n FROM t GROUP BY s ORDER BY n DESC, k LIMIT 6) ORDER BY 1",
        "SELECT s, sum(j) AS n FROM t GROUP BY s ORDER BY n DESC NULLS LAST, s LIMIT 5",
    ],
)
def test_first_groups(context, shared_path, oracle, record, monkeypatch, statement: str) -> None:
    """As test_statement, where groups that cannot be among the first are not exchanged."""
    monkeypatch.setattr(leading, "GROUPS_MIN", 1)
    monkeypatch.setattr(leading, "K_SHARE", 1)
    test_statement(context, shared_path, oracle, record, statement)


def test_no_rows_at_all(context, shared_path, record) -> None:
    """Sources without splits: every operator copes with nothing on every rank."""
    empty = TableSource(TABLE.slice(0, 0))
    connection = connect(TABLE.slice(0, 0))
    for statement in ORDERED:
        result = collect(context, statement, empty, shared_path)
        if context.is_root:
            theirs = answer(connection, statement)
            assert [plain(c) for c in result.columns] == [plain(c) for c in theirs.columns], statement
            record(serialised(result))
    connection.close()


def test_shared_scan_equals_single_scans(context, shared_path) -> None:
    """Statements over one scan give what each gives alone, whatever the others filter."""
    statements = [s for s in ORDERED if "LIMIT" not in s][:40]
    plans = [bind(parse_script(s)[0], lambda _: TABLE.schema) for s in statements]
    by_source: dict = {}
    for plan, statement in zip(plans, statements, strict=True):
        by_source.setdefault(plan.source, []).append((plan, statement))
    for source, members in by_source.items():
        opened = TableSource(TABLE)
        bound = Bound(context, source, opened, RunOptions(scratch=shared_path))
        together = collect_all([Table(bound, p.operators, p.schema) for p, _ in members])
        for (_, statement), result in zip(members, together, strict=True):
            alone = collect(context, statement, TableSource(TABLE), shared_path)
            if context.is_root:
                assert serialised(alone) == serialised(result), statement


def test_counts_cover_all_rows(context, shared_path) -> None:
    plan = bind(parse_script("SELECT lv, count(*) FROM t GROUP BY lv")[0], lambda _: TABLE.schema)
    outcome = run_plans(context, [plan], {plan.source: TableSource(TABLE)}, RunOptions(scratch=shared_path))
    assert outcome.counts.parsed == outcome.counts.lines == TABLE.num_rows

"""Whole statements: bound by us and run by a slow reference executor, against DuckDB on the same table."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest
from duckdb_oracle import answer, connect, differences, plain
from reference_executor import run
from sql_cases import ORDERED, UNORDERED
from sql_data import table

from hpckit.sql import bind, parse_script
from hpckit.tables.explain import explain

TABLE = table()


@pytest.fixture(scope="module")
def oracle():
    connection = connect(TABLE)
    yield connection
    connection.close()


def ours(statement: str) -> pa.Table:
    plan = bind(parse_script(statement)[0], lambda source: TABLE.schema)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert explain(plan).endswith(tuple("abcdefghijklmnopqrstuvwxyz0123456789"))
    return run(plan, TABLE)


def rows(result: pa.Table) -> list[tuple]:
    return list(zip(*(plain(result.column(i)) for i in range(result.num_columns)), strict=True))


def compare(statement: str, oracle, *, ordered: bool) -> None:
    mine, theirs = ours(statement), answer(oracle, statement)
    assert mine.num_columns == theirs.num_columns
    a, b = rows(mine), rows(theirs)
    if not ordered:
        a, b = sorted(a, key=repr), sorted(b, key=repr)
    for column in range(mine.num_columns):
        wrong = differences([r[column] for r in a], [r[column] for r in b], tolerance=1e-12)
        assert not wrong, f"{statement}\ncolumn {column}: (row, ours, DuckDB) {wrong[:5]}"
    assert mine.column_names == theirs.column_names


@pytest.mark.parametrize("statement", ORDERED)
def test_ordered_statement_equals_duckdb(oracle, statement: str) -> None:
    compare(statement, oracle, ordered=True)


@pytest.mark.parametrize("statement", UNORDERED)
def test_unordered_statement_equals_duckdb(oracle, statement: str) -> None:
    compare(statement, oracle, ordered=False)


def test_approx_quantile_of_integers_is_an_integer() -> None:
    """As in DuckDB; large ones are no exact DOUBLE."""
    found = ours("SELECT approx_quantile(i, 1.0) AS high, approx_quantile(i, 0.0) AS low FROM t ORDER BY high")
    assert found.schema.types == [pa.int64(), pa.int64()]
    assert found.column("high")[0].as_py() > 0.99 * 2**63
    assert found.column("low")[0].as_py() < -0.99 * 2**63

"""Generated expressions: our answers equal DuckDB's, on plain and on dictionary-coded columns."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from duckdb_oracle import answer, connect, differences, plain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_data import table
from test_evaluate_duckdb import batch

from hpckit.errors import QueryError
from hpckit.sql import bind, parse_script
from hpckit.tables.columns import to_arrow
from hpckit.tables.evaluate import Evaluator

TABLE = table().slice(0, 80)
ROWS = {coded: batch(coded).slice(0, 80) for coded in (False, True)}


def _call(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda values: template.format(*values))


_REGEXES = ["'([a-z]+)'", "'([0-9])(.)?'"]
_PATTERNS = ["'a%'", "'%b%'", "'_'", "t"]
numbers = st.deferred(lambda: integers | floats)
integers: st.SearchStrategy[str] = st.deferred(
    lambda: (
        st.sampled_from(["j", "id", "j", "length(s)", "NULL::bigint"])
        | st.integers(-20, 20).map(str)
        | _call("({} {} {})", integers, st.sampled_from(["+", "-", "*", "//", "%"]), integers)
        | _call("(-{})", integers)
        | _call("abs({})", integers)
        | _call("strpos({}, {})", texts, texts)
        | _call("extract({} FROM {})", st.sampled_from(["year", "dow", "hour", "week", "doy"]), times)
        | _call("CASE WHEN {} THEN {} ELSE {} END", conditions, integers, integers)
        | _call("coalesce({}, {})", integers, integers)
        | _call("nullif({}, {})", integers, integers)
        | _call("greatest({}, {})", integers, integers)
    )
)
floats: st.SearchStrategy[str] = st.deferred(
    lambda: (
        st.sampled_from(["f", "g", "j::double"])
        | _call("({} {} {})", floats, st.sampled_from(["+", "-", "*", "/", "%"]), numbers)
        | _call("({} / {})", integers, integers)
        | _call("{}({})", st.sampled_from(["abs", "floor", "ceil", "round", "trunc"]), floats)
        | _call("round({}, {})", floats, st.integers(-3, 3).map(str))
        | _call("CASE WHEN {} THEN {} ELSE {} END", conditions, floats, numbers)
        | _call("least({}, {})", floats, floats)
        | _call("epoch({})", times)
    )
)
texts: st.SearchStrategy[str] = st.deferred(
    lambda: (
        st.sampled_from(["s", "t", "lv", "s", "'a'", "''", "'/'", "NULL::varchar"])
        | _call("{}({})", st.sampled_from(["lower", "upper", "trim", "ltrim", "rtrim"]), texts)
        | _call("substr({}, {}, {})", texts, st.integers(-4, 4).map(str), st.integers(-3, 4).map(str))
        | _call("{}({}, {})", st.sampled_from(["left", "right"]), texts, st.integers(-4, 4).map(str))
        | _call("({} || {})", texts, texts)
        | _call("concat({}, {})", texts, integers)
        | _call(
            "split_part({}, {}, {})", texts, st.sampled_from(["'/'", "'a'", "''", "t"]), st.integers(-3, 3).map(str)
        )
        | _call("replace({}, {}, 'Z')", texts, st.sampled_from(["'a'", "'bc'", "t"]))
        | _call("regexp_extract({}, {}, {})", texts, st.sampled_from(_REGEXES), st.sampled_from("01"))
        | _call("CASE {} WHEN {} THEN {} ELSE {} END", texts, texts, texts, texts)
        | _call("coalesce({}, {})", texts, texts)
    )
)
conditions: st.SearchStrategy[str] = st.deferred(
    lambda: (
        st.sampled_from(["p", "true", "false", "NULL::boolean"])
        | _call("({} {} {})", numbers, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), numbers)
        | _call("({} {} {})", texts, st.sampled_from(["=", "<>", "<", ">="]), texts)
        | _call("({} {} {})", times, st.sampled_from(["=", "<", ">="]), times)
        | _call("({} {} {})", conditions, st.sampled_from(["AND", "OR"]), conditions)
        | _call("(NOT {})", conditions)
        | _call("({} IS {}NULL)", texts, st.sampled_from(["", "NOT "]))
        | _call("({} IS {}DISTINCT FROM {})", floats, st.sampled_from(["", "NOT "]), floats)
        | _call("({} IN ({}, {}))", integers, integers, integers)
        | _call("({} IN ({}, 'a', {}))", texts, texts, st.sampled_from(["NULL", "'abc'"]))
        | _call("({} BETWEEN {} AND {})", floats, floats, floats)
        | _call("({} {} {})", texts, st.sampled_from(["LIKE", "ILIKE", "NOT LIKE"]), st.sampled_from(_PATTERNS))
        | _call("contains({}, {})", texts, texts)
    )
)
times: st.SearchStrategy[str] = st.deferred(
    lambda: (
        st.sampled_from(["ts", "ts2", "d::timestamp", "TIMESTAMP '2005-06-03 15:42:50'"])
        | _call("date_trunc('{}', {})", st.sampled_from(["hour", "week", "month", "quarter", "year"]), times)
        | _call("time_bucket(INTERVAL '{}', {})", st.sampled_from(["5 minutes", "1 week", "3 months"]), times)
        | _call("({} + INTERVAL '{}')", times, st.sampled_from(["1 day", "-90 seconds", "1 month"]))
    )
)


@pytest.fixture(scope="module")
def oracle():
    connection = connect(TABLE)
    connection.execute("SET ieee_floating_point_ops = false")
    yield connection
    connection.close()


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(expression=conditions | integers | floats | texts | times)
def test_generated_expression_equals_duckdb(oracle, expression: str) -> None:
    try:
        theirs = plain(answer(oracle, f"SELECT {expression} FROM t").column(0))
    except duckdb.Error:
        return  # an overflow, or a conversion that fails; our own errors have tests of their own
    try:
        plan = bind(parse_script(f"SELECT {expression} AS x FROM t")[0], lambda source: TABLE.schema)
        expr = plan.operators[-1].columns[0][1]
        results = [to_arrow(Evaluator([expr], TABLE.schema).evaluate(rows)[0]) for rows in ROWS.values()]
    except QueryError as error:
        pytest.fail(f"{expression}: DuckDB answers, we raise {error}")
    for result in results:
        assert pa.types.is_null(result.type) or result.type == plan.schema.field(0).type
        wrong = differences(plain(result), theirs, 1e-14)
        assert not wrong, f"{expression}: (row, ours, DuckDB) {wrong[:3]}"

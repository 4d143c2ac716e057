"""The shape of plans: filters at the source, unused columns gone, sources from table functions and file names."""

from __future__ import annotations

import pyarrow as pa
import pytest
from sql_data import table

from hpckit.sql import bind, parse_script
from hpckit.tables.explain import columns_read, describe, explain
from hpckit.tables.plan import Aggregate, Filter, Limit, Plan, Project, Sort, Source
from hpckit.tables.render import to_text

SCHEMA = table(1).schema


def plan(text: str) -> Plan:
    return bind(parse_script(text)[0], lambda source: SCHEMA)


def shape(text: str) -> list[str]:
    return [type(operator).__name__ for operator in plan(text).operators]


def test_filter_sinks_through_projection_and_cte() -> None:
    text = "WITH a AS (SELECT id, upper(lv) AS u, j FROM t) SELECT u FROM a WHERE u = 'FATAL' AND id > 3"
    operators = plan(text).operators
    assert [type(o) for o in operators] == [Filter, Project]
    assert to_text(operators[0].predicate) == "((upper(lv) = 'FATAL') AND (id > 3))"
    assert columns_read(plan(text)) == ["id", "lv"]


def test_key_conditions_sink_through_aggregates_and_others_stay() -> None:
    text = "SELECT * FROM (SELECT lv AS k, count(*) AS c FROM t WHERE p GROUP BY lv) WHERE k = 'FATAL' AND c > 3"
    below, aggregate, above = plan(text).operators
    assert to_text(below.predicate) == "(p AND (lv = 'FATAL'))"
    assert isinstance(aggregate, Aggregate)
    assert to_text(above.predicate) == "(c > 3)"


def test_filters_do_not_pass_limits_nor_global_aggregates() -> None:
    assert shape("SELECT id FROM (SELECT * FROM t LIMIT 5) WHERE id > 2") == ["Project", "Limit", "Filter"]
    assert shape("SELECT count(*) AS c FROM t HAVING c > 2") == ["Aggregate", "Filter"]


def test_unused_columns_and_aggregates_are_dropped() -> None:
    inner = plan("SELECT k FROM (SELECT lv AS k, count(*) AS c, sum(j) FROM t GROUP BY lv)").operators[0]
    assert isinstance(inner, Aggregate)
    assert inner.aggregates == ()
    limited = plan("SELECT id FROM (SELECT id, s, upper(t) AS u FROM t LIMIT 5)")
    assert columns_read(limited) == ["id"]
    assert columns_read(plan("SELECT count(*) FROM (SELECT * FROM t)")) == []


def test_sort_below_aggregate_is_dropped_unless_order_matters() -> None:
    assert shape("SELECT count(*) FROM (SELECT * FROM t ORDER BY id)") == ["Aggregate"]
    assert shape("SELECT last(j) FROM (SELECT * FROM t ORDER BY id)") == ["Project", "Sort", "Aggregate"]


def test_main_question_is_filter_aggregate_sort_limit() -> None:
    text = (
        "SELECT lv, date_trunc('hour', ts) AS hour, count(*) AS errors FROM t WHERE lv IN ('FATAL', 'ERROR') "
        "GROUP BY lv, hour ORDER BY errors DESC, lv, hour LIMIT 20"
    )
    assert shape(text) == ["Filter", "Aggregate", "Sort", "Limit"]


def test_hidden_sort_column_is_projected_away() -> None:
    bound = plan("SELECT s FROM t ORDER BY id DESC LIMIT 3")
    assert [type(o) for o in bound.operators] == [Project, Sort, Limit, Project]
    assert bound.schema.names == ["s"]


def test_always_true_filter_disappears_and_constants_fold() -> None:
    assert shape("SELECT id FROM t WHERE 1 = 1") == ["Project"]
    predicate = plan("SELECT id FROM t WHERE ts >= '2005-06-03' AND j > 2 * 3 AND true").operators[0].predicate
    assert to_text(predicate) == "((ts >= TIMESTAMP '2005-06-03 00:00:00') AND (j > 6))"


def test_hidden_columns_are_there_but_not_in_star() -> None:
    assert "_file" not in plan("SELECT * FROM t").schema.names
    bound = plan("SELECT _file, _offset, _raw FROM t WHERE _offset > 10")
    assert [str(kind) for kind in bound.schema.types] == ["string", "int64", "string"]


SOURCES = [
    ("read_logs('a.log', 'bgl')", Source("logs", ("a.log",), (("format", "bgl"),))),
    ("read_logs(['a.log', 'b.log'], '{x} {y}', timezone := 'Europe/Berlin', year := 2005)",
     Source("logs", ("a.log", "b.log"), (("format", "{x} {y}"), ("timezone", "Europe/Berlin"), ("year", 2005)))),
    ("read_csv('a.csv', delim = '|', header = true, columns = {'a': 'BIGINT', 'b': 'VARCHAR'})",
     Source("csv", ("a.csv",), (("columns", (("a", "BIGINT"), ("b", "VARCHAR"))), ("delim", "|"), ("header", True)))),
    ("read_csv('a.csv', sep := ';')", Source("csv", ("a.csv",), (("delim", ";"),))),
    ("read_json('a.jsonl')", Source("json", ("a.jsonl",))),
    ("read_parquet(['a.parquet'])", Source("parquet", ("a.parquet",))),
    ("read_hdf5('a.h5', '/energy')", Source("hdf5", ("a.h5",), (("dataset", "/energy"),))),
    ("'a.parquet'", Source("parquet", ("a.parquet",))),
    ("'d/a.csv.gz'", Source("csv", ("d/a.csv.gz",))),
    ("'a.tsv'", Source("csv", ("a.tsv",), (("delim", "\t"),))),
    ("'a.ndjson'", Source("json", ("a.ndjson",))),
    ("'a.h5'", Source("hdf5", ("a.h5",))),
    ("'a.arrow'", Source("arrow", ("a.arrow",))),
    ("events", Source("table", ("events",))),
]  # fmt: skip


@pytest.mark.parametrize(("item", "source"), SOURCES)
def test_sources(item: str, source: Source) -> None:
    bound = plan(f"SELECT count(*) FROM {item}")
    assert bound.source == source
    assert hash(bound.source) == hash(source)


def test_statement_kinds_and_output() -> None:
    script = """
        -- two questions
        SELECT id FROM t;
        COPY (SELECT s FROM t) TO 'out.parquet' (FORMAT PARQUET);
        EXPLAIN SELECT count(*) FROM t;
        DESCRIBE t; DESCRIBE read_logs('x', 'bgl', year := 2005); DESCRIBE SELECT j + 1.5 AS x, ts FROM t;
    """
    statements = parse_script(script)
    assert [s.kind for s in statements] == ["select", "select", "explain", "describe", "describe", "describe"]
    assert statements[0].text == "SELECT id FROM t"
    plans = [bind(s, lambda source: SCHEMA) for s in statements]
    assert [p.output for p in plans] == [None, "out.parquet", None, None, None, None]
    assert [p.explain for p in plans] == [False, False, True, False, False, False]
    assert describe(plans[5]).to_pydict() == {"column_name": ["x", "ts"], "column_type": ["DOUBLE", "TIMESTAMP"]}


def test_explain_reads_from_result_to_source() -> None:
    text = "SELECT lv, sum(j) AS s FROM t WHERE p GROUP BY lv HAVING s > 1 ORDER BY s DESC LIMIT 3 OFFSET 1"
    assert explain(plan(text)).splitlines() == [
        "Result lv VARCHAR, s BIGINT",
        "  Limit 3 after 1",
        "    Sort by s DESC",
        "      Filter (s > 1)",
        "        Aggregate by lv: s := sum(j)",
        "          Filter p",
        "            Scan table t; reads j, lv, p",
    ]


def test_equal_statements_bind_to_equal_plans() -> None:
    text = "SELECT lv, count(*) FROM t WHERE ts > '2005-01-01' GROUP BY lv ORDER BY 2"
    assert plan(text) == plan(text.replace("SELECT", "select  ").replace("WHERE", "/* here */ where"))


def test_schema_types_are_normalised() -> None:
    schema = pa.schema([("a", pa.int32()), ("b", pa.large_string()), ("c", pa.timestamp("ns")), ("_file", pa.string())])
    bound = bind(parse_script("SELECT * FROM t")[0], lambda source: schema)
    normal = [("a", pa.int64()), ("b", pa.string()), ("c", pa.timestamp("us")), ("_file", pa.string())]
    assert bound.schema == pa.schema(normal)  # a file's own column _file is shown like any other


def test_long_chains_do_not_exhaust_the_stack() -> None:
    text = " OR ".join(f"id = {k}" for k in range(900))
    assert len(plan(f"SELECT s FROM t WHERE {text}").operators[0].predicate.args) == 900

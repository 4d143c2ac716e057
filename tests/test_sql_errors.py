"""What is wrong or not offered is an error that names it, never an answer."""

from __future__ import annotations

import pyarrow as pa
import pytest
from sql_data import table

from hpckit.errors import QueryError, UnsupportedError
from hpckit.sql import bind, parse_script

SCHEMA = table(1).schema


def plan(text: str):
    return bind(parse_script(text)[0], lambda source: SCHEMA)


UNSUPPORTED = [
    ("SELECT a FROM t JOIN u USING (a)", "JOIN"),
    ("SELECT a FROM t, u", "JOIN"),
    ("SELECT a FROM t NATURAL JOIN u", "JOIN"),
    ("SELECT row_number() OVER (ORDER BY id) FROM t", "window functions"),
    ("SELECT sum(j) OVER () FROM t", "window functions"),
    ("SELECT id FROM t UNION SELECT id FROM t", "UNION"),
    ("SELECT id FROM t UNION ALL SELECT id FROM t", "UNION"),
    ("SELECT id FROM t EXCEPT SELECT id FROM t", "EXCEPT"),
    ("SELECT id FROM (SELECT id FROM t INTERSECT SELECT id FROM t)", "INTERSECT"),
    ("SELECT (SELECT 1) FROM t", "subquery"),
    ("SELECT id FROM t WHERE id = (SELECT max(id) FROM t)", "subquery"),
    ("SELECT id FROM t WHERE id IN (SELECT id FROM t)", "IN (subquery)"),
    ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t)", "EXISTS"),
    ("SELECT id FROM t QUALIFY row_number() OVER () = 1", "QUALIFY"),
    ("SELECT id FROM t USING SAMPLE 10", "SAMPLE"),
    ("SELECT id FROM t TABLESAMPLE 10%", "SAMPLE"),
    ("PIVOT t ON lv USING sum(j)", "PIVOT"),
    ("SELECT * FROM t PIVOT (sum(j) FOR lv IN ('a'))", "PIVOT"),
    ("SELECT id FROM t, LATERAL (SELECT 1)", "JOIN"),
    ("SELECT DISTINCT ON (lv) lv, j FROM t", "DISTINCT ON"),
    ("SELECT lv, count(*) FROM t GROUP BY ROLLUP (lv)", "ROLLUP"),
    ("SELECT lv, count(*) FROM t GROUP BY CUBE (lv)", "CUBE"),
    ("SELECT lv, count(*) FROM t GROUP BY GROUPING SETS ((lv), ())", "GROUPING SETS"),
    ("SELECT COLUMNS('a.*') FROM t", "COLUMNS"),
    ("WITH RECURSIVE a AS (SELECT 1 FROM t) SELECT * FROM a", "RECURSIVE"),
    ("SELECT 1", "SELECT without FROM"),
    ("SELECT a FROM (VALUES (1)) v(a)", "VALUES"),
    ("SELECT * FROM range(10)", "range"),
    ("SELECT id FROM t LIMIT 10%", "LIMIT"),
    ("SELECT s SIMILAR TO 'a' FROM t", "SIMILAR TO"),
    ("SELECT s ~ 'a' FROM t", "operator ~"),
    ("SELECT 3 || 2 | 1 FROM t", "parentheses"),
    ("SELECT s COLLATE nocase FROM t", "COLLATE"),
    ("SELECT s[1:2] FROM t", "[ ]"),
    ("SELECT [1, 2] FROM t", "list"),
    ("SELECT {'a': 1} FROM t", "struct"),
    ("SELECT s -> 'x' FROM t", "->"),
    ("SELECT (id, j) = (1, 2) FROM t", "row value"),
    ("SELECT now() FROM t", "now"),
    ("SELECT current_timestamp FROM t", "current_timestamp"),
    ("SELECT current_date FROM t", "current_date"),
    ("SELECT random() FROM t", "random"),
    ("SELECT md5(s) FROM t", "md5"),
    ("SELECT hash(s) FROM t", "hash"),
    ("SELECT mode(s) FROM t", "mode"),
    ("SELECT string_agg(s, ',') FROM t", "string_agg"),
    ("SELECT list(s) FROM t", "list"),
    ("SELECT arg_max(s, j) FROM t", "arg_max"),
    ("SELECT sum(DISTINCT j) FROM t", "sum(DISTINCT"),
    ("SELECT count(DISTINCT (id, j)) FROM t", "row value"),
    ("SELECT count(DISTINCT id, j) FROM t", "DISTINCT a, b"),
    ("SELECT first(s ORDER BY j) FROM t", "ORDER BY"),
    ("SELECT quantile_cont(j, [0.1, 0.5]) FROM t", "list"),
    ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY j) FROM t", "WITHIN GROUP"),
    ("SELECT j::decimal(10, 2) FROM t", "DECIMAL"),
    ("SELECT j::hugeint FROM t", "HUGEINT"),
    ("SELECT f::real FROM t", "type"),
    ("SELECT ts::timestamptz FROM t", "type"),
    ("SELECT ts AT TIME ZONE 'UTC' FROM t", "AT TIME ZONE"),
    ("SELECT date_diff('week', ts, ts2) FROM t", "week"),
    ("INSERT INTO t VALUES (1)", "INSERT"),
    ("CREATE TABLE x AS SELECT 1", "CREATE"),
    ("SUMMARIZE t", "SUMMARIZE"),
    ("SET threads = 1", "SET"),
    ("EXPLAIN ANALYZE SELECT id FROM t", "ANALYZE"),
    ("COPY t TO 'x.csv'", "COPY"),
    ("COPY (SELECT id FROM t) TO 'x.csv' (FORMAT PARQUET)", "FORMAT PARQUET"),
    ("COPY (SELECT id FROM t) TO 'x.csv' (DELIMITER '|')", "DELIMITER"),
    ("SELECT id FROM t FETCH FIRST 3 ROWS ONLY", "FETCH"),
    ("SELECT id FROM t FOR UPDATE", "FOR UPDATE"),
    ("SELECT id FROM a.b", "schemas"),
]


@pytest.mark.parametrize(("text", "named"), UNSUPPORTED)
def test_unsupported_is_named(text: str, named: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        plan(text)
    assert named.lower() in str(caught.value).lower()


WRONG = [
    ("SELECT idd FROM t", "nearest: id"),
    ("SELECT x.id FROM t", "table x"),
    ("SELECT id FROM t WHERE levl = 1", "levl"),
    ("SELECT nosuch(id) FROM t", "function nosuch"),
    ("SELECT lowr(s) FROM t", "nearest: lower"),
    ("SELECT lower(j) FROM t", "CAST(j AS VARCHAR)"),
    ("SELECT lower(s, s) FROM t", "2 arguments"),
    ("SELECT s + 1 FROM t", "operator +"),
    ("SELECT -s FROM t", "neg"),
    ("SELECT j + p FROM t", "operator +"),
    ("SELECT ts + ts2 FROM t", "operator +"),
    ("SELECT CASE WHEN p THEN s ELSE j END FROM t", "cannot mix BIGINT and VARCHAR"),
    ("SELECT coalesce(s, j) FROM t", "cannot mix"),
    ("SELECT j = 'abc' FROM t", "'abc'"),
    ("SELECT ts > 'yesterday' FROM t", "'yesterday'"),
    ("SELECT d IN (1, 2) FROM t", "cannot mix"),
    ("SELECT 'abc'::int FROM t", "TRY_CAST"),
    ("SELECT 9223372036854775808 FROM t", "BIGINT"),
    ("SELECT 0x1F FROM t", "0x1F"),
    ("SELECT date_trunc('fortnight', ts) FROM t", "fortnight"),
    ("SELECT date_trunc(s, ts) FROM t", "constant"),
    ("SELECT sum(s) FROM t", "sum(CAST(s AS DOUBLE))"),
    ("SELECT avg(ts) FROM t", "epoch"),
    ("SELECT approx_quantile(ts, 0.5) FROM t", "epoch"),
    ("SELECT quantile_cont(s, 0.5) FROM t", "quantile_disc"),
    ("SELECT quantile_cont(j, 1.5) FROM t", "0 to 1"),
    ("SELECT quantile_cont(j) FROM t", "takes 2"),
    ("SELECT sum(count(*)) FROM t", "cannot contain aggregates"),
    ("SELECT id FROM t WHERE sum(j) > 1", "WHERE cannot contain aggregates"),
    ("SELECT id FROM t GROUP BY sum(j)", "GROUP BY cannot contain aggregates"),
    ("SELECT lv, j FROM t GROUP BY lv", "any_value(j)"),
    ("SELECT lv FROM t GROUP BY lv ORDER BY j", "any_value(j)"),
    ("SELECT j, count(*) FROM t", "grouped by nothing"),
    ("SELECT lv FROM t GROUP BY 2", "1 columns"),
    ("SELECT lv FROM t ORDER BY 0", "1 columns"),
    ("SELECT DISTINCT lv FROM t ORDER BY j", "DISTINCT"),
    ("SELECT id FROM t LIMIT -1", "whole number"),
    ("SELECT id FROM t LIMIT 1.5", "whole number"),
    ("SELECT * EXCLUDE (nix) FROM t", "nix"),
    ("SELECT * + 1 FROM t", "alone"),
    ("SELECT lower(*) FROM t", "alone"),
    ("SELECT lower(s) FILTER (WHERE p) FROM t", "no aggregate"),
    ("SELECT id FROM read_logs('x.log')", "takes (path, format)"),
    ("SELECT id FROM read_logs('x.log', 'bgl', tz := 'UTC')", "no option tz"),
    ("SELECT id FROM read_logs('x.log', 'bgl', year := 'now')", "whole number"),
    ("SELECT id FROM read_logs(3, 'bgl')", "path"),
    ("SELECT id FROM read_cvs('x')", "nearest: read_csv"),
    ("SELECT id FROM 'x.log'", "read_logs"),
    ("SELECT id FRM t", "line 1"),
    ("SELECT\n id,\n (1 FROM t", "line 3"),
    ("SELECT 'abc FROM t", "SQL"),
    ('SELECT "FATAL" FROM t', "single quotes"),
    ("", "no statement"),
    (";;", "no statement"),
    ("selekt id from t", "SQL"),
    ("SELECT time_bucket(INTERVAL '0 minutes', ts) FROM t", "positive"),
    ("SELECT INTERVAL '5 parsecs' + ts FROM t", "parsecs"),
    ("SELECT count(DISTINCT *) FROM t", "DISTINCT"),
]


@pytest.mark.parametrize(("text", "named"), WRONG)
def test_mistake_is_explained(text: str, named: str) -> None:
    with pytest.raises(QueryError) as caught:
        plan(text)
    assert named.lower() in str(caught.value).lower()


def test_schema_of_unknown_table() -> None:
    def nothing(source: object) -> pa.Schema:
        raise KeyError(source)

    with pytest.raises(QueryError, match="table nix does not exist"):
        bind(parse_script("SELECT * FROM nix")[0], nothing)

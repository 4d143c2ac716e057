"""Whole statements over the table t of sql_data, as data. Each is compared with DuckDB.

`ORDERED` fix the order of the result; the rows of `UNORDERED` are compared as a set. Results must not depend on how
ties are broken, nor on the order of rows inside a group.
"""

from __future__ import annotations


def _statements(block: str) -> list[str]:
    """One statement a line; indented lines continue the one before."""
    return block.strip().replace("\n  ", " ").splitlines()


ORDERED = _statements("""
SELECT id, s FROM t ORDER BY id
SELECT * FROM t ORDER BY id LIMIT 5
SELECT * EXCLUDE (s, t, n) FROM t ORDER BY id LIMIT 3
SELECT * EXCLUDE i REPLACE (j + 1 AS j, upper(s) AS s) FROM t ORDER BY id DESC LIMIT 3
SELECT t.* FROM t ORDER BY t.id LIMIT 2
SELECT id, j * 2 AS k, k + 1 AS m FROM t ORDER BY m DESC, id LIMIT 10
SELECT id, -j AS j FROM t ORDER BY j, id
SELECT id, -j AS j FROM t ORDER BY j + 0, id
SELECT id, -j AS j FROM t ORDER BY abs(j - 1), id
SELECT lv, sum(j) AS s FROM t GROUP BY lv HAVING s > 1 ORDER BY s DESC
SELECT lv, -sum(j) AS j FROM t GROUP BY lv ORDER BY sum(j), lv
SELECT lv, max(s) AS s FROM t GROUP BY lv ORDER BY max(s) DESC, lv
SELECT j AS lv, count(*) FROM t GROUP BY lv, j ORDER BY lv, j, 2
SELECT id AS x, -j AS j FROM t ORDER BY j NULLS FIRST, x DESC
SELECT id FROM t ORDER BY s, f DESC, id
SELECT id FROM t ORDER BY s DESC NULLS FIRST, id
SELECT id FROM t ORDER BY lower(s), length(s) DESC, id LIMIT 20 OFFSET 7
SELECT id, f FROM t ORDER BY f, id
SELECT id, f FROM t ORDER BY f DESC, id
SELECT id, f FROM t ORDER BY f ASC NULLS FIRST, id DESC
SELECT ts, id FROM t ORDER BY 1 DESC, 2
SELECT p, id FROM t ORDER BY ALL
SELECT p, id FROM t ORDER BY ALL DESC
SELECT id FROM t WHERE j > 0 ORDER BY id OFFSET 3
SELECT id FROM t ORDER BY id LIMIT 0
SELECT id FROM t ORDER BY id LIMIT ALL
SELECT id FROM t ORDER BY id LIMIT 2 + 1
SELECT id FROM t WHERE s LIKE 'a%' AND j > 0 ORDER BY id
SELECT id FROM t WHERE lv IN ('FATAL', 'ERROR') AND ts >= '1970-01-01' ORDER BY id
SELECT id FROM t WHERE NOT (j > 0 OR p) ORDER BY id
SELECT id, j + 1 AS k FROM t WHERE k > 2 ORDER BY id
SELECT id FROM t WHERE j ORDER BY id
SELECT id FROM t WHERE s <> '' AND TRY_CAST(s AS INT) IS NOT NULL ORDER BY id
SELECT lv, count(*) FROM t GROUP BY lv ORDER BY lv
SELECT lv, count(*) AS n FROM t GROUP BY lv ORDER BY n DESC, lv
SELECT lv, count(*) FROM t GROUP BY 1 ORDER BY 2 DESC, 1
SELECT lv AS level, p, count(*) AS c, sum(j) AS total FROM t GROUP BY level, p ORDER BY level, p
SELECT lv, p, count(*) FROM t GROUP BY ALL ORDER BY ALL
SELECT date_trunc('year', ts) AS year, count(*) AS c FROM t GROUP BY year ORDER BY year
SELECT upper(lv) || '!' AS u, max(j) - min(j) AS span FROM t GROUP BY upper(lv) ORDER BY span DESC, u
SELECT upper(lv) AS u, length(upper(lv)) AS l FROM t GROUP BY upper(lv) ORDER BY 1
SELECT lv FROM t GROUP BY lv ORDER BY count(*) DESC, lv
SELECT lv, sum(j) FROM t GROUP BY lv HAVING sum(j) > 0 ORDER BY lv
SELECT lv, count(*) AS c FROM t GROUP BY lv HAVING c > 40 AND lv <> 'INFO' ORDER BY lv
SELECT lv FROM t GROUP BY lv HAVING lv > 'F' ORDER BY lv
SELECT count(*), count(s), count(n), sum(j), min(j), max(j), avg(j) FROM t
SELECT count(*) FROM t WHERE false
SELECT sum(j), min(s), avg(f), count(s), bool_and(p), stddev(j) FROM t WHERE id < 0
SELECT count(*) FROM t HAVING count(*) > 1000
SELECT 1 AS one FROM t HAVING count(*) > 1
SELECT min(s), max(s), min(f), max(f), min(ts), max(ts), min(d), max(d), min(p), max(p) FROM t
SELECT lv, avg(j), stddev(j), stddev_pop(j), variance(j), var_pop(j), var_samp(j), stddev_samp(j) FROM t GROUP BY lv
  ORDER BY lv
SELECT lv, count(DISTINCT s), count(DISTINCT j), count(DISTINCT f), count(DISTINCT ts) FROM t GROUP BY lv ORDER BY lv
SELECT lv, quantile_cont(j, 0.25), quantile_disc(j, 0.25), median(j), quantile_cont(id, 0.9), median(ts),
  quantile_disc(s, 0.5) FROM t GROUP BY lv ORDER BY lv
SELECT median(d), median(s), quantile_disc(d, 0.3), quantile(j, 0.5) FROM t
SELECT lv, bool_and(p), bool_or(p), count_if(j > 0), countif(p), sum(p) FROM t GROUP BY lv ORDER BY lv
SELECT lv, count(*) FILTER (WHERE p), sum(j) FILTER (WHERE j > 0), count(DISTINCT s) FILTER (WHERE s <> '') FROM t
  GROUP BY lv ORDER BY lv
SELECT lv, sum(j) * 2 + count(*) AS x, round(avg(j), 2) FROM t GROUP BY lv ORDER BY x, lv
SELECT j % 3 AS r, count(*) FROM t GROUP BY r ORDER BY r
SELECT j > 0, s IS NULL, count(*) FROM t GROUP BY 1, 2 ORDER BY 1, 2
SELECT f, count(*) FROM t WHERE f <> 0 OR f IS NULL GROUP BY f ORDER BY f
SELECT CASE WHEN j > 0 THEN 'pos' ELSE 'other' END AS sign, count(*) FROM t GROUP BY sign ORDER BY sign
SELECT max(id) FROM t GROUP BY p ORDER BY max(id)
SELECT DISTINCT lv FROM t ORDER BY lv
SELECT DISTINCT lv, p FROM t ORDER BY p DESC, lv LIMIT 5
SELECT DISTINCT upper(lv) AS u FROM t ORDER BY u DESC
SELECT DISTINCT count(*) > 10 AS many FROM t GROUP BY s ORDER BY many
SELECT a.id FROM (SELECT id, j FROM t WHERE j > 0) AS a WHERE a.j < 4 ORDER BY a.id
SELECT k, c FROM (SELECT lv AS k, count(*) AS c FROM t GROUP BY lv) WHERE c > 10 AND k IS NOT NULL ORDER BY k
SELECT avg(c) FROM (SELECT s, count(*) AS c FROM t GROUP BY s) AS x
SELECT id FROM (SELECT * FROM t ORDER BY id DESC LIMIT 10) ORDER BY id LIMIT 3
SELECT count(*) FROM (SELECT * FROM t ORDER BY id LIMIT 10) WHERE id > 5
SELECT count(*) FROM (SELECT id FROM t ORDER BY id LIMIT 10 OFFSET 4) WHERE id >= 10
WITH a AS (SELECT lv, j FROM t WHERE j IS NOT NULL), b AS (SELECT lv, sum(j) AS s FROM a GROUP BY lv) SELECT * FROM b
  WHERE s > 0 ORDER BY lv
WITH a(x, y) AS (SELECT id, j FROM t) SELECT x, y FROM a WHERE y = 1 ORDER BY x
WITH a AS (WITH b AS (SELECT id, j * 2 AS k FROM t) SELECT id, k + 1 AS k FROM b) SELECT id, k FROM a WHERE k > 5
  ORDER BY id
WITH t AS (SELECT id + 1000 AS id FROM t) SELECT min(id), max(id) FROM t
WITH a AS MATERIALIZED (SELECT id FROM t WHERE p) SELECT count(*) FROM a
SELECT x.k FROM (SELECT j AS k, id FROM t) AS x (k, id) WHERE x.k IS NOT NULL ORDER BY x.id LIMIT 4
SELECT u, max(c) FROM (SELECT upper(lv) AS u, p, count(*) AS c FROM t GROUP BY u, p) GROUP BY u ORDER BY u
SELECT u FROM (SELECT lv AS u, count(*) AS c FROM t GROUP BY lv) WHERE u = 'FATAL' AND c > 0
SELECT k FROM (SELECT DISTINCT lv AS k FROM t) WHERE k > 'E' ORDER BY k
FROM t SELECT id WHERE id < 3 ORDER BY id
FROM (FROM t WHERE id < 3) ORDER BY id
(SELECT id FROM t ORDER BY id) LIMIT 3
SELECT ID, J AS "Mixed Case" FROM T WHERE Id < 3 ORDER BY iD
SELECT id, "Mixed Case" FROM (SELECT id, j AS "Mixed Case" FROM t) WHERE "mixed case" > 0 ORDER BY id
SELECT year(ts) AS y, month(ts) AS m, count(*) FROM t GROUP BY y, m ORDER BY y, m
SELECT time_bucket(INTERVAL '10 years', ts) AS b, count(*) FROM t GROUP BY b ORDER BY b
SELECT split_part(s, '/', 1) AS head, count(*), sum(length(s)) FROM t GROUP BY head ORDER BY head
SELECT regexp_extract(s, '[a-z]+') AS w, count(DISTINCT id) FROM t GROUP BY w ORDER BY w
SELECT lower(s) AS k, count(*) FROM t WHERE s IS NOT NULL GROUP BY k HAVING count(*) > 3 ORDER BY 2 DESC, 1 LIMIT 7
SELECT sum(CASE WHEN lv = 'FATAL' THEN 1 ELSE 0 END) AS fatal, count(*) FILTER (lv = 'FATAL') AS fatal2 FROM t
SELECT lv, sum(j)::double / count(*) AS mean FROM t GROUP BY lv ORDER BY mean DESC NULLS LAST, lv
SELECT max(length(s)) AS longest, min(ts)::date AS first_day, max(epoch(ts)) FROM t
SELECT 'x' AS k, count(*) FROM t GROUP BY k
SELECT lv, 'const' AS c, count(*) FROM t GROUP BY ALL ORDER BY lv
SELECT mean(j), any_value(1), count(1), sum(1), max('a') FROM t
SELECT count(*) + 1 AS n FROM t ORDER BY n
SELECT j, count(*) FROM t GROUP BY j ORDER BY abs(j), j
SELECT j + 1, count(*) FROM t GROUP BY j ORDER BY j
SELECT j FROM t GROUP BY j, lv ORDER BY j, lv
SELECT sum(id) FROM t GROUP BY p HAVING bool_or(j > 0) ORDER BY p
SELECT id FROM t WHERE ts - ts2 > INTERVAL '1 day' ORDER BY ts - ts2, id
SELECT extract(hour FROM ts) AS h, quantile_cont(f, 0.5) FROM t WHERE isfinite(f) AND f <> 0 GROUP BY h ORDER BY h
SELECT lv, max(j) AS m FROM t WHERE p GROUP BY lv ORDER BY lv LIMIT 2 OFFSET 1
SELECT count(*) FROM t WHERE s LIKE '%/%' OR s ILIKE 'ABC%'
SELECT count(*) AS c, c * 2 AS d FROM t
SELECT lv, count(*) AS c, c / 2 AS half FROM t GROUP BY lv ORDER BY half, lv
SELECT -x AS x FROM (SELECT id AS x FROM t WHERE id < 5) ORDER BY x
SELECT id % 4 AS id, count(*) AS c FROM t GROUP BY id % 4 ORDER BY 1
SELECT count(*) FROM (SELECT 1 FROM t)
SELECT min(c) FROM (SELECT count(*) AS c, count(DISTINCT s) AS unused FROM t GROUP BY lv)
""")

UNORDERED = _statements("""
SELECT lv, p, count(*) FROM t GROUP BY lv, p
SELECT DISTINCT j, p FROM t
SELECT DISTINCT * FROM (SELECT lv, p FROM t)
SELECT id FROM t WHERE j BETWEEN 1 AND 3
SELECT s, t, s || t FROM t WHERE s IS NOT NULL
SELECT lv FROM t GROUP BY lv
SELECT f, g FROM t WHERE f > g
SELECT sum(j) FROM t GROUP BY s
SELECT s, min(ts), max(ts), count(*) FROM t GROUP BY s
""")

"""Lazy tables and the SQL that means the same: every verb and expression method of the Python API at least once."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pyarrow as pa

import hpckit as hk

ROWS = 700
NAN = float("nan")


def data(seed: int = 3) -> pa.Table:
    """Awkward values: NULL and empty keys, NaN and -0.0, times before 1970, ties everywhere."""
    rng = random.Random(seed)

    def pick(values: list, nulls: float = 0.15) -> object:
        return None if rng.random() < nulls else rng.choice(values)

    moments = [
        datetime(1969, 12, 31, 23, 59, 59, 999999),
        datetime(1970, 1, 1),
        datetime(1901, 2, 3, 4, 5, 6),
        datetime(2024, 2, 29, 23),
    ]
    rows = [
        {
            "i": i,
            "k": pick(["", "a", "b", "Ä", "node-1", "node-10", "node-2"]),
            "n": pick([0, 1, -1, 7, 2**40, -(2**40)]),
            "f": pick([0.0, -0.0, NAN, 1.5, -2.25, 1e300, float("inf"), 0.1]),
            "x": rng.choice([0.1, 0.2, 0.3, 1e15, -1e15, 1e-9]),
            "ts": pick([m + timedelta(minutes=rng.randrange(300)) for m in moments]),
            "b": pick([True, False]),
            "s": pick([" FATAL error: x=1 ", "info y=22", "", "Größe €5", "a,b,c"], 0.05),
            "d": pick([date(1969, 12, 31), date(2024, 2, 29)]),
        }
        for i in range(ROWS)
    ]
    types = {"i": pa.int64(), "k": pa.string(), "n": pa.int64(), "f": pa.float64(), "x": pa.float64(), "ts": pa.timestamp("us"),
             "b": pa.bool_(), "s": pa.string(), "d": pa.date32()}  # fmt: skip
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()})


c = hk.col
Verb = Callable[[hk.Table], hk.Table]

# name -> (table made by verbs, the same in DuckDB's SQL over t); both in order
CASES: dict[str, tuple[Verb, str]] = {
    "filter": (lambda t: t.filter(c("n") > 0, c("k").is_not_null()), "SELECT * FROM t WHERE n > 0 AND k IS NOT NULL ORDER BY i"),
    "filter or not": (
        lambda t: t.filter(~(c("k") == "a") | c("b") & (c("n") <= 1)).select("i"),
        "SELECT i FROM t WHERE NOT k = 'a' OR (b AND n <= 1) ORDER BY i",
    ),
    "select": (
        lambda t: t.select("k", c("n").alias("m"), twice=c("n") * 2, one=1, nothing=hk.lit(None), text=hk.lit("x")),
        "SELECT k, n AS m, n * 2 AS twice, 1::BIGINT AS one, NULL AS nothing, 'x' AS text FROM t ORDER BY i",
    ),
    "with_columns": (
        lambda t: t.with_columns(c("i").alias("j"), n=c("n") + 1).select("i", "j", "n"),
        "SELECT i, i AS j, n + 1 AS n FROM t ORDER BY i",
    ),
    "drop and rename": (
        lambda t: t.drop("f", "x", "ts", "b", "s", "d").rename({"k": "n", "n": "k"}),
        "SELECT i, k AS n, n AS k FROM t ORDER BY i",
    ),
    "head": (lambda t: t.select("i").head(7), "SELECT i FROM t ORDER BY i LIMIT 7"),
    "limit": (lambda t: t.filter(c("n") == 7).select("i").limit(4), "SELECT i FROM t WHERE n = 7 ORDER BY i LIMIT 4"),
    "slice": (lambda t: t.select("i").slice(100, 5), "SELECT i FROM t ORDER BY i LIMIT 5 OFFSET 100"),
    "slice to the end": (lambda t: t.select("i").slice(ROWS - 3), f"SELECT i FROM t ORDER BY i OFFSET {ROWS - 3}"),
    "slice beyond the end": (lambda t: t.select("i").slice(ROWS + 3, 5), "SELECT i FROM t WHERE false"),
    "head 0": (lambda t: t.head(0), "SELECT * FROM t WHERE false"),
    "sort": (
        lambda t: t.sort("k", c("n") % 2, descending=[True, False]).select("i"),
        "SELECT i FROM t ORDER BY k DESC NULLS LAST, n % 2 NULLS LAST, i",
    ),
    "sort nulls first": (
        lambda t: t.sort("f", nulls_last=False).select("i", "n"),
        "SELECT i, n FROM t ORDER BY f NULLS FIRST, i",
    ),
    "sort, offset": (lambda t: t.sort("n").slice(10, 20).select("i"), "SELECT i FROM t ORDER BY n NULLS LAST, i LIMIT 20 OFFSET 10"),
    "top_k": (lambda t: t.top_k(9, "ts").select("i", "ts"), "SELECT i, ts FROM t ORDER BY ts DESC NULLS LAST, i LIMIT 9"),
    "head then filter": (lambda t: t.head(50).filter(c("n") > 0).select("i"), "SELECT i FROM t WHERE i < 50 AND n > 0 ORDER BY i"),
    "filter, sort, head, filter": (
        lambda t: t.sort("n", descending=True).head(100).filter(c("i") % 2 == 0).select("i"),
        "SELECT i FROM (SELECT * FROM t ORDER BY n DESC NULLS LAST, i LIMIT 100) WHERE i % 2 = 0 ORDER BY n DESC NULLS LAST, i",
    ),
    "unique": (lambda t: t.select("k", "b").unique(), "SELECT DISTINCT k, b FROM t ORDER BY k NULLS LAST, b NULLS LAST"),
    "unique subset": (lambda t: t.unique("d"), "SELECT DISTINCT d FROM t ORDER BY d NULLS LAST"),
    "group_by len": (lambda t: t.group_by("k").len(), "SELECT k, count(*) AS len FROM t GROUP BY k ORDER BY k NULLS LAST"),
    "group_by expression": (
        lambda t: t.group_by("b", hour=c("ts").dt.truncate("1h")).agg(n=hk.len()),
        "SELECT b, date_trunc('hour', ts) AS hour, count(*) AS n FROM t GROUP BY ALL ORDER BY b NULLS LAST, hour NULLS LAST",
    ),
    "group_by time, day": (
        lambda t: t.group_by("d", "ts").agg(n=hk.len()),
        "SELECT d, ts, count(*) AS n FROM t GROUP BY ALL ORDER BY d NULLS LAST, ts NULLS LAST",
    ),
    "aggregates": (
        lambda t: t.group_by("k").agg(
            c("n").count().alias("c"), c("n").sum().alias("s"), c("n").min().alias("lo"), c("n").max().alias("hi"),
            c("n").mean().alias("m"), c("n").n_unique().alias("u"), c("f").min().alias("fl"), c("f").max().alias("fh"),
            c("ts").min().alias("al"), c("ts").max().alias("ah"), c("s").min().alias("sl"), c("s").max().alias("sh"),
            c("d").max().alias("dh"), c("s").n_unique().alias("su"), c("b").min().alias("bl"),
        ),
        "SELECT k, count(n) c, sum(n)::BIGINT s, min(n) lo, max(n) hi, avg(n) m, count(DISTINCT n) u, min(f) fl, max(f) fh, "
        "min(ts) al, max(ts) ah, min(s) sl, max(s) sh, max(d) dh, count(DISTINCT s) su, min(b) bl "
        "FROM t GROUP BY k ORDER BY k NULLS LAST",
    ),
    "first and last": (
        lambda t: t.group_by("k").agg(c("i").first().alias("a"), c("i").last().alias("z"), c("s").last().alias("s")),
        "SELECT k, first(i ORDER BY i) a, last(i ORDER BY i) z, last(s ORDER BY i) s FROM t GROUP BY k ORDER BY k NULLS LAST",
    ),
    "where": (
        lambda t: t.group_by("b").agg(
            a=hk.len().where(c("n") > 0), s=c("n").sum().where(c("k") == "a"), l=c("i").last().where(c("n").is_null())
        ),
        "SELECT b, count(*) FILTER (n > 0) a, sum(n) FILTER (k = 'a')::BIGINT s, last(i ORDER BY i) FILTER (n IS NULL) l "
        "FROM t GROUP BY b ORDER BY b NULLS LAST",
    ),
    "quantiles": (
        lambda t: t.group_by("b").agg(
            c("i").median().alias("m"), c("i").quantile(0.9).alias("q"), c("n").quantile(0.25, "lower").alias("l")
        ),
        "SELECT b, median(i) m, quantile_cont(i, 0.9) q, quantile_disc(n, 0.25) l FROM t GROUP BY b ORDER BY b NULLS LAST",
    ),
    "global aggregate": (
        lambda t: t.select(hk.len().alias("rows"), c("n").sum().alias("s"), (c("i").max() - c("i").min()).alias("span")),
        "SELECT count(*) AS rows, sum(n)::BIGINT s, max(i) - min(i) AS span FROM t",
    ),
    "aggregate of no rows": (
        lambda t: t.filter(c("i") < 0).select(hk.len(), c("n").sum().alias("s"), c("f").mean().alias("m"), c("k").first().alias("k")),
        "SELECT count(*) AS len, sum(n)::BIGINT s, avg(f) m, first(k) k FROM t WHERE i < 0",
    ),
    "groups of no rows": (
        lambda t: t.filter(c("i") < 0).group_by("k").agg(c("n").sum().alias("s")),
        "SELECT k, sum(n)::BIGINT s FROM t WHERE i < 0 GROUP BY k",
    ),
    "computing on aggregates": (
        lambda t: t.group_by("k").agg(r=c("n").sum() / hk.len(), key=c("k").str.to_uppercase()),
        "SELECT k, sum(n) / count(*) AS r, upper(k) AS key FROM t GROUP BY k ORDER BY k NULLS LAST",
    ),
    "filter groups": (
        lambda t: t.group_by("k", "n").len().filter(c("len") > 10).sort("len", "k", descending=[True, False]),
        "SELECT k, n, count(*) AS len FROM t GROUP BY k, n HAVING count(*) > 10 ORDER BY len DESC, k NULLS LAST, n NULLS LAST",
    ),
    "groups of groups": (
        lambda t: t.group_by("k", "n").len().group_by("len").agg(m=hk.len(), first=c("k").first(), last=c("k").last()),
        "WITH g AS (SELECT k, n, count(*) AS len FROM t GROUP BY k, n) SELECT len, count(*) AS m, "
        "first(k ORDER BY k NULLS LAST, n NULLS LAST) AS first, last(k ORDER BY k NULLS LAST, n NULLS LAST) AS last "
        "FROM g GROUP BY len ORDER BY len",
    ),
    "head of groups, then rows": (
        lambda t: t.group_by("k", "ts").len().sort("ts").head(30).with_columns(z=c("len") * 2).slice(5, 10).select("k", "z"),
        "SELECT k, len * 2 AS z FROM (SELECT k, ts, count(*) AS len FROM t GROUP BY k, ts ORDER BY ts NULLS LAST, k NULLS LAST "
        "LIMIT 30) ORDER BY ts NULLS LAST, k NULLS LAST LIMIT 10 OFFSET 5",
    ),
    "arithmetic": (
        lambda t: t.select(
            a=c("i") + 1, b=1 - c("i"), d=c("i") / 7, e=7 / (c("i") + 1), g=c("i") // 7, h=1000 // (c("i") + 1), j=c("i") % 7,
            k=100 % (c("i") + 1), m=-c("i"), o=2 * c("x"), p=(c("i") - 350).abs(), q=1 + c("x"),
        ),
        "SELECT i + 1 a, 1 - i b, i / 7 d, 7 / (i + 1) e, i // 7 g, 1000 // (i + 1) h, i % 7 j, 100 % (i + 1) k, -i m, 2 * x o, "
        "abs(i - 350) p, 1 + x q FROM t ORDER BY i",
    ),
    "rounding": (
        lambda t: t.select(r=(c("i") / 7).round(2), z=(c("i") / 7).round(), f=(c("i") / 7).floor(), g=(c("i") / 7).ceil()),
        "SELECT round(i / 7, 2) r, round(i / 7) z, floor(i / 7) f, ceil(i / 7) g FROM t ORDER BY i",
    ),
    "comparisons": (
        lambda t: t.select(
            a=c("n") == 1, b=c("n") != 1, d=c("n") < 1, e=c("n") <= 1, g=c("n") > 1, h=c("n") >= 1, j=c("n").is_between(0, 7),
            l=c("k").is_in(["a", ""]), m=c("k").is_null(), o=c("f") == 0.0, p=c("f") > 1e9, q=c("ts") < datetime(1970, 1, 1),
            r=c("d") == date(2024, 2, 29), v=c("k").is_in([]),
        ),
        "SELECT n = 1 a, n <> 1 b, n < 1 d, n <= 1 e, n > 1 g, n >= 1 h, n BETWEEN 0 AND 7 j, k IN ('a', '') l, k IS NULL m, "
        "f = 0.0 o, f > 1e9 p, ts < TIMESTAMP '1970-01-01' q, d = DATE '2024-02-29' r, false v FROM t ORDER BY i",
    ),
    "null, cast, when": (
        lambda t: t.select(
            a=c("k").fill_null("?"), b=c("n").cast(float), d=c("i").cast(str), e=c("k").cast(int, strict=False), g=c("ts").cast(date),
            h=c("b").cast(pa.int64()), w=hk.when(c("n") > 0).then("pos").when(c("n") < 0).then("neg").otherwise(None),
        ),
        "SELECT coalesce(k, '?') a, n::DOUBLE b, i::VARCHAR d, TRY_CAST(k AS BIGINT) e, ts::DATE g, b::BIGINT h, "
        "CASE WHEN n > 0 THEN 'pos' WHEN n < 0 THEN 'neg' END w FROM t ORDER BY i",
    ),
    "text": (
        lambda t: t.select(
            a=c("s").str.contains(r"x=\d"), b=c("s").str.contains("a,b", literal=True), d=c("s").str.starts_with("info"),
            e=c("s").str.ends_with("c"), g=c("s").str.to_lowercase(), h=c("s").str.to_uppercase(), j=c("s").str.strip_chars(),
            k=c("s").str.len_chars(), l=c("s").str.slice(2, 3), m=c("s").str.slice(-2), o=c("s").str.split_part(",", 1),
            p=c("s").str.replace_all("r", "RR"), q=c("s").str.extract(r"=(\d+)"), r=c("s").str.split_part(",", -1),
        ),
        "SELECT regexp_matches(s, 'x=\\d') a, contains(s, 'a,b') b, starts_with(s, 'info') d, ends_with(s, 'c') e, lower(s) g, "
        "upper(s) h, trim(s) j, length(s) k, substring(s, 3, 3) l, substring(s, -2) m, split_part(s, ',', 2) o, "
        "replace(s, 'r', 'RR') p, regexp_extract(s, '=(\\d+)', 1) q, split_part(s, ',', -1) r FROM t ORDER BY i",
    ),
    "times": (
        lambda t: t.select(
            a=c("ts").dt.truncate("1d"), b=c("ts").dt.truncate("15m"), d=c("ts").dt.truncate("1mo"), e=c("ts").dt.truncate("1w"),
            g=c("ts").dt.year(), h=c("ts").dt.month(), j=c("ts").dt.day(), k=c("ts").dt.hour(), l=c("ts").dt.minute(),
            m=c("ts").dt.weekday(), o=c("ts").dt.epoch_s(), p=c("ts") + timedelta(hours=1), q=c("ts").dt.truncate("6h"),
        ),
        "SELECT date_trunc('day', ts) a, time_bucket(INTERVAL 15 MINUTE, ts) b, date_trunc('month', ts) d, date_trunc('week', ts) e, "
        "year(ts) g, month(ts) h, day(ts) j, hour(ts) k, minute(ts) l, isodow(ts) m, epoch(ts) o, ts + INTERVAL 1 HOUR p, "
        "time_bucket(INTERVAL 6 HOUR, ts) q FROM t ORDER BY i",
    ),
}  # fmt: skip
# Answers that another summation order would change in the last digits: compared with a tolerance.
NEARLY: dict[str, tuple[Verb, str]] = {
    "spread": (
        lambda t: t.group_by("b").agg(
            c("i").std().alias("s"), c("i").var(ddof=0).alias("v"), c("i").std(ddof=0).alias("p"), c("x").var().alias("x"),
            c("x").mean().alias("m"),
        ),
        "SELECT b, stddev(i) s, var_pop(i) v, stddev_pop(i) p, variance(x) x, avg(x) m FROM t GROUP BY b ORDER BY b NULLS LAST",
    ),
    "float sums": (lambda t: t.select(c("i").sum().alias("i"), (c("i") * 0.1).sum().alias("s")), "SELECT sum(i)::BIGINT i, fsum(i * 0.1) s FROM t"),
}  # fmt: skip

"""The Python API on one process: what verbs refuse, what tables look like, and who takes their results."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hpckit as hk
from hpckit.errors import MemoryBudgetError, OutputError, QueryError, UserError

FORMAT = "{ts:%Y-%m-%d %H:%M:%S} {k} {n:int}"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("api") / "t.log"
    file.write_text("2024-07-01 12:00:00 a 1\n2024-07-01 13:00:00 b 2\n2024-07-01 13:30:00 a 3\n")
    return file


@pytest.fixture(scope="module")
def access_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hpckit.cli.main import main

    file = tmp_path_factory.mktemp("api") / "access.log"
    assert main(["generate", "access", str(file), "--rows", "5000", "--seed", "3"]) == 0
    return file


@pytest.fixture
def t(path: Path) -> hk.Table:
    return hk.scan_logs(path, FORMAT)


WRONG: list[tuple[Callable[[hk.Table], object], str]] = [
    (lambda t: t.filter(hk.col("nope") == 1), "column nope does not exist; known: ts, k, n"),
    (lambda t: t.select("nope"), "nope does not exist"),
    (lambda t: t.drop("nope"), "nope does not exist"),
    (lambda t: t.drop("_offset"), "_offset does not exist"),
    (lambda t: t.rename({"_raw": "text"}), "_raw does not exist"),
    (lambda t: t.select("k").filter(hk.col("n") > 1), "n does not exist"),
    (lambda t: t.with_columns(f=hk.col("_file")).select("_file"), "_file does not exist"),
    (lambda t: t.rename({"k": "n"}), "column 'n' is made twice"),
    (lambda t: t.select("k", hk.col("n").alias("k")), "column 'k' is made twice"),
    (lambda t: t.group_by("k").agg(hk.col("k").max()), "column 'k' is made twice"),
    (lambda t: t.group_by("k").agg(hk.col("n").sum(), hk.col("n").max()), "column 'n' is made twice"),
    (lambda t: t.select(hk.col("n") + 1), r"\(n \+ 1\): give the column a name"),
    (lambda t: t.select("n", hk.col("n").sum().alias("s")), "neither a key of the group_by nor inside an aggregate"),
    (lambda t: t.filter(hk.col("n").sum() > 1), "cannot be computed row by row"),
    (lambda t: t.with_columns(s=hk.len()), "cannot be computed row by row"),
    (lambda t: t.select(s=hk.col("n").sum().max()), "sum"),
    (lambda t: t.filter(hk.col("k") > 1).collect(), "convert"),
    (lambda t: t.filter("k"), "k"),
    (lambda t: t.select(3), "expected a column name or an expression"),
    (lambda t: t.select(x=[1]), "cannot stand in an expression"),
    (lambda t: t.select(x=2**63), "64 bits"),
    (lambda t: t.head(-1), "0 or more"),
    (lambda t: t.slice(-1), "0 or more"),
    (lambda t: t.sort("k", descending=[True, False]), "2 entries for 1 keys"),
    (lambda t: t.select(x=hk.col("n").where(hk.col("k") == "a")), "restricts an aggregate"),
    (lambda t: t.select(x=hk.col("n").quantile(1.5)), "fraction 1.5"),
    (lambda t: t.select(x=hk.col("n").quantile(0.5, "nearest")), "interpolation 'nearest'"),
    (lambda t: t.select(x=hk.col("n").cast("number")), "cast to 'number'"),
    (lambda t: t.select(x=hk.col("ts").dt.truncate("1 fortnight")), "truncate"),
    (lambda t: t.select(x=hk.col("ts").dt.truncate("2mo")), "only one month"),
    (lambda t: t.select(x=hk.col("k").str.contains("(")).collect(), "missing"),
    (lambda t: t.filter((hk.col("n") > 1) and (hk.col("n") < 3)), "no truth value"),
    (lambda t: t.collect(to="nowhere"), "expected one of all, root, local"),
    (lambda t: t.select(x=hk.col("n") * 2**62).collect(), "overflow"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_mistakes_are_named(t: hk.Table, number: int) -> None:
    make, message = WRONG[number]
    with pytest.raises(QueryError, match=message):
        make(t)


def test_scans_check_what_they_are_given(path: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="empty list"):
        hk.scan_logs([], FORMAT)
    with pytest.raises(QueryError, match=r"'zone'.*time_zone"):
        hk.scan_logs(path, FORMAT, zone="UTC")
    with pytest.raises(UserError, match="no such file"):
        hk.scan_logs(path.with_name("none.log"), FORMAT)
    with pytest.raises(UserError, match="nope"):
        hk.scan_logs(path, "nope")
    with pytest.raises(UserError, match="size 'much'"):
        hk.scan_logs(path, FORMAT, memory="much")
    with pytest.raises(UserError, match="Mars"):
        hk.scan_logs(path, FORMAT, time_zone="Mars/Olympus").collect()
    with pytest.raises(UserError, match="fits none of 3 lines"):
        hk.scan_logs(path, "{a:int} {b:int}").collect()
    with pytest.raises(MemoryBudgetError, match="collect"):
        hk.scan_logs(path, FORMAT, memory="10B", scratch=tmp_path).collect()
    with pytest.raises(UserError, match="one SELECT"):
        hk.sql(f"SELECT k FROM read_logs('{path}', '{FORMAT}');" * 2)


def test_python_values_in_expressions(t: hk.Table) -> None:
    count = lambda *p: t.filter(*p).collect().num_rows  # noqa: E731
    assert count(hk.col("ts") > datetime(2024, 7, 1, 12, 30)) == 2
    assert count(hk.col("ts") > datetime(2024, 7, 1, 12, 30, tzinfo=timezone.utc)) == 2
    assert count(hk.col("ts") > "2024-07-01 12:30:00") == 2
    assert count(hk.col("n") == np.int64(2), hk.col("k") == np.str_("b")) == 1
    assert count(hk.col("n").is_in(np.array([1, 2]))) == 2
    assert count(hk.col("n").is_in([1, None])) == 1
    assert count(hk.col("n").is_in([])) == 0
    assert count(~hk.col("n").is_in([])) == 3
    assert count(hk.col("n") == None) == 0  # noqa: E711
    assert count() == 3


def test_hidden_columns(t: hk.Table, path: Path) -> None:
    assert t.columns == ["ts", "k", "n"]
    rows = (
        t.filter(hk.col("_offset") > 0)
        .sort("_offset", descending=True)
        .select("n", "_offset", "_file", "_raw")
        .collect()
    )
    assert rows.to_pylist() == [
        {"n": 3, "_offset": 48, "_file": str(path), "_raw": "2024-07-01 13:30:00 a 3"},
        {"n": 2, "_offset": 24, "_file": str(path), "_raw": "2024-07-01 13:00:00 b 2"},
    ]
    assert (
        t.filter(hk.col("_offset") > 0).head(1).filter(hk.col("_raw").str.ends_with("2")).collect().column_names
        == t.columns
    )


def test_laziness_and_looks(t: hk.Table) -> None:
    made = t.filter(hk.col("n") > 1).group_by("k").agg(hk.len())
    assert "not computed yet" in repr(made) and "k: string" in repr(made)
    assert "(n > 1)" in made.explain()
    assert made.plan().schema.names == made.columns == ["k", "len"]
    assert hk.collect_all([]) == []


def test_others_take_the_result(t: hk.Table) -> None:
    """What collect() gives exports __arrow_c_stream__: polars and DuckDB read it without a copy through Python."""
    import duckdb
    import polars

    result = t.collect()  # DuckDB finds it by name
    assert polars.from_arrow(result).get_column("n").to_list() == [1, 2, 3]
    assert polars.DataFrame(result).shape == (3, 3)
    assert duckdb.sql("SELECT sum(n) FROM result").fetchall() == [(6,)]


def test_write_refuses_before_it_reads(t: hk.Table, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        t.write(tmp_path / "x.csv")
    with pytest.raises(OutputError, match="does not exist"):
        t.write(tmp_path / "no" / "x.csv")
    with pytest.raises(OutputError, match="ending"):
        t.write(tmp_path / "x.docx")
    assert (tmp_path / "x.csv").read_text() == "mine"


def test_the_readme_way(path: Path, tmp_path: Path) -> None:
    """A script without hk.program: an error ends it with one line and status 2, answers with 0."""
    script = tmp_path / "s.py"
    script.write_text(
        "import hpckit as hk\n"
        f"t = hk.scan_logs({str(path)!r}, {FORMAT!r})\n"
        "print(t.group_by('k').agg(hk.col('n').sum()).collect().to_pydict())\n"
        "t.filter(hk.col('m') == 1)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "{'k': ['a', 'b'], 'n': [4, 2]}\n"
    assert done.returncode == 2
    assert done.stderr.startswith("hpckit: error: column m does not exist") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("first", ["import hpckit.sql", "from hpckit.sql import bind", "hk.sql", "pass"])
def test_sql_is_a_function_whatever_was_imported_before(path: Path, first: str) -> None:
    text = f"SELECT max(n) AS n FROM read_logs('{path}', '{FORMAT}')"
    script = f"import hpckit as hk\n{first}\nfor _ in range(2): print(hk.sql({text!r}).collect().to_pydict())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "{'n': [3]}\n" * 2, done.stderr


def test_columns_may_have_any_name(tmp_path: Path) -> None:
    """No name that the engine uses for itself, or for the hidden columns, gets in the way of a column of the data."""
    names = ["__position", "__key0", "__sort0", "__order", "__row", "len", 'we"ird', "", "ö €", "_file", "_offset"]
    rows = pa.table({name: [i + k for k in (2, 0, 1)] for i, name in enumerate(names)})
    pq.write_table(rows, tmp_path / "x.parquet")
    t = hk.scan_parquet(tmp_path / "x.parquet")
    assert t.collect().equals(rows)
    assert hk.sql(f"SELECT * FROM '{tmp_path}/x.parquet'").collect().equals(rows)
    for i, name in enumerate(names):
        ordered = t.sort(-hk.col(name), "__position").collect()
        assert ordered.column("__key0").to_pylist() == [3, 2, 1]
        assert t.sort(name).head(2).collect().column(name).to_pylist() == [i, i + 1]
        grouped = t.group_by(name).agg(n=hk.len()).sort("n", name).collect()
        assert grouped.column(name).to_pylist() == [i, i + 1, i + 2]
        quoted = '"' + name.replace('"', '""') + '"'
        if name:
            text = f"SELECT {quoted}, count(*) AS c FROM '{tmp_path}/x.parquet' GROUP BY 1 ORDER BY c, {quoted} DESC"
            assert hk.sql(text).collect().column(0).to_pylist() == [i + 2, i + 1, i]


STATEMENTS = (
    "SELECT status, count(*) AS n, sum(bytes) AS s, avg(bytes) AS m, quantile_cont(bytes, 0.95) AS q FROM t "
    "GROUP BY status ORDER BY ALL",
    "SELECT path, count(DISTINCT host) AS h, first(host) AS f, last(bytes) AS l, max(time) AS x FROM t "
    "GROUP BY path ORDER BY ALL",
    "SELECT count(DISTINCT host) AS h, approx_count_distinct(host) AS a, median(bytes) AS m, stddev(bytes) AS s FROM t",
    "SELECT * FROM t WHERE bytes > 50000 AND path LIKE '%s%' ORDER BY bytes DESC, time, host, path LIMIT 50",
    "SELECT DISTINCT upper(method) AS m, bytes % 7 AS b FROM t ORDER BY ALL",
    "SELECT host, bytes FROM t LIMIT 100 OFFSET 33",
)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_results_do_not_depend_on_the_size_of_batches(
    access_log: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpckit.sources import scan
    from hpckit.tables import pipeline

    whole = f"WITH t AS (SELECT * FROM read_logs('{access_log}', 'combined')) {sql}"
    expected = hk.sql(whole).collect()
    assert expected.num_rows
    for module, name, value in ((scan, "ROWS_PER_BATCH", 7), (scan, "BATCH_BYTES", 1), (pipeline, "TEXT_ROWS", 300)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert hk.sql(whole).collect().equals(expected), name


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT max(length(lpad(path, 3000, '.'))) AS n FROM t",
        "SELECT count(*) AS n FROM t WHERE repeat(path, 1500) <> ''",
        "SELECT lpad(path, 3000, '.') AS n FROM t",
        "SELECT repeat(path, 1500) AS p FROM t ORDER BY p LIMIT 1",
    ],
)
def test_text_is_made_of_few_rows_at_a_time(access_log: Path, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Arrow array of strings ends at 2 GiB, here at 4 MiB: 5,000 rows make more, 20 do not."""
    from hpckit.tables import functions_text, pipeline

    whole = f"WITH t AS (SELECT path FROM read_logs('{access_log}', 'combined')) {sql}"
    expected = hk.sql(whole).collect()
    monkeypatch.setattr(functions_text, "_MAX_TEXT_BYTES", 4 << 20)
    with pytest.raises(QueryError, match="of text"):
        hk.sql(whole).collect()
    monkeypatch.setattr(pipeline, "TEXT_ROWS", 20)
    assert hk.sql(whole).collect().equals(expected)


def test_batches_of_wide_rows_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows a batch may have, it ends when so much text was read; a compressed file is one split."""
    from hpckit.sources import reader, scan
    from hpckit.tables import pipeline

    path = tmp_path / "wide.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("a,b\n" + "".join(f"{i},{'x' * 900}\n" for i in range(3000)))
    monkeypatch.setattr(reader, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(scan, "BATCH_BYTES", 100_000)
    seen: list[int] = []
    update = pipeline.Pipeline.update
    monkeypatch.setattr(
        pipeline.Pipeline,
        "update",
        lambda self, batch, ordinal: (seen.append(len(batch)), update(self, batch, ordinal)),
    )
    found = hk.sql(f"SELECT count(*) AS n, sum(a) AS s FROM '{path}'").collect()
    assert found.to_pylist() == [{"n": 3000, "s": 3000 * 2999 // 2}]
    assert sum(seen) == 3000
    assert max(seen) <= 130

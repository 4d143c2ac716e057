"""The Python API on all ranks: DuckDB's answers, the same at any rank count, awkward tables over real splits."""

from __future__ import annotations

import math
import random
import sys
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from api_cases import CASES, NEARLY, data
from duckdb_oracle import answer, connect, differences, plain

import hpckit as hk
from hpckit.errors import MemoryBudgetError, QueryError

pytestmark = pytest.mark.mpi

DATA = data()
LOG = "{ts:%Y-%m-%d %H:%M:%S} {k} {n:int} {m:rest}"


@pytest.fixture(scope="module")
def folder(context, tmp_path_factory) -> Path:
    """The data as Parquet of small row groups, as two CSV files, and a log of many lines."""
    path = Path(context.bcast(str(tmp_path_factory.mktemp("api"))))
    if context.is_root:
        pq.write_table(DATA, path / "t.parquet", row_group_size=37)
        rng = random.Random(11)
        lines = [
            f"2024-01-{1 + i // 1000:02} 00:{i // 60 % 60:02}:{i % 60:02} k{rng.randrange(50)} {i} text {i % 13}"
            for i in range(5000)
        ]
        (path / "a.log.1").write_text("\n".join(lines[:2000]) + "\n")
        (path / "a.log").write_text("\n".join(lines[2000:]))
    context.bcast(None)  # the files are there
    return path


@pytest.fixture(scope="module")
def oracle():
    connection = connect(DATA)
    yield connection
    connection.close()


def same_rows(result: pa.Table, theirs: pa.Table, tolerance: float = 0.0) -> None:
    assert result.column_names == theirs.column_names
    for i, name in enumerate(theirs.column_names):
        wrong = differences(plain(result.column(i)), plain(theirs.column(i)), tolerance)
        assert not wrong, f"column {name}: (row, ours, DuckDB) {wrong[:5]}"


def serialised(result: pa.Table) -> bytes:
    return repr((result.schema.to_string(), [plain(column) for column in result.columns])).encode()


@pytest.mark.parametrize("name", [*CASES, *NEARLY])
def test_verb(context, folder, oracle, record, name: str) -> None:
    make, statement = {**CASES, **NEARLY}[name]
    result = make(hk.scan_parquet(folder / "t.parquet", context=context)).collect()
    same_rows(result, answer(oracle, statement), 1e-12 if name in NEARLY else 0.0)
    record(serialised(result))


def test_all_verbs_in_one_scan(context, folder, record) -> None:
    """Forty statements over one reading of the input: what each gives alone."""
    table = hk.scan_parquet(folder / "t.parquet", context=context)
    makes = [make for make, _ in (*CASES.values(), *NEARLY.values())]
    together = hk.collect_all([make(table) for make in makes])
    for name, make, result in zip((*CASES, *NEARLY), makes, together, strict=True):
        assert serialised(make(table).collect()) == serialised(result), name
        record(serialised(result))


def test_float_sums_are_correctly_rounded(context, folder, record) -> None:
    t = hk.scan_parquet(folder / "t.parquet", context=context)
    got = t.group_by("b").agg(s=hk.col("x").sum(), m=hk.col("x").mean()).collect()
    rows = DATA.to_pylist()
    for b, total, mean in zip(*(c.to_pylist() for c in got.columns), strict=True):
        values = [Fraction(row["x"]) for row in rows if row["b"] is b]
        assert total == float(sum(values)) == math.fsum(values)
        assert mean == float(sum(values) / len(values))
    record(serialised(got))


def test_nan_and_zeros_as_keys(context, folder, oracle, record) -> None:
    """Every NaN is one key; DuckDB takes 0.0 and -0.0 as one key, which is shown as 0.0."""
    got = hk.scan_parquet(folder / "t.parquet", context=context).group_by("f").agg(n=hk.len()).collect()
    theirs = answer(oracle, "SELECT abs(f) * sign(f) AS f, count(*) AS n FROM t GROUP BY f ORDER BY f NULLS LAST")
    ours = [
        (None if f is None else repr(f + 0.0), n) for f, n in zip(*(c.to_pylist() for c in got.columns), strict=True)
    ]
    expected = [
        (None if f is None else repr(f + 0.0), n) for f, n in zip(*(c.to_pylist() for c in theirs.columns), strict=True)
    ]
    assert ours == expected
    record(serialised(got))


def test_where_rows_are_collected(context, folder) -> None:
    t = hk.scan_logs(str(folder / "a.log*"), LOG, split_bytes=7000, context=context)
    numbers = t.select("n")
    everywhere, root, local = numbers.collect(), numbers.collect(to="root"), numbers.collect(to="local")
    assert everywhere.column("n").to_pylist() == list(range(5000))
    assert root.num_rows == (5000 if context.is_root else 0)
    assert sum(context.allgather(local.num_rows)) == 5000
    mine = numbers.sort("n", descending=True).collect(to="local").column("n").to_pylist()
    assert [n for part in context.allgather(mine) for n in part] == list(range(4999, -1, -1))


@pytest.mark.parametrize("split_bytes", [211, 5000, 1 << 20])
def test_lines_over_splits_and_files(context, folder, record, split_bytes: int) -> None:
    """Rotated files oldest first, no line lost or doubled, the first rows for LIMIT, at any split size."""
    t = hk.scan_logs(str(folder / "a.log*"), LOG, split_bytes=split_bytes, context=context)
    results = hk.collect_all(
        [
            t.select("n", "_file", "_offset", "_raw"),
            t.group_by("_file").agg(hk.len(), hk.col("n").first().alias("first"), hk.col("n").last().alias("last")),
            t.group_by("k").agg(hk.col("n").sum().alias("s"), hk.col("m").last().alias("m")),
            t.filter(hk.col("_offset") >= 1000, hk.col("_raw").str.contains("k7 ", literal=True)).select("n"),
            t.sort("k").select("k", "n"),
        ]
    )
    rows = results[0].to_pylist()
    assert [row["n"] for row in rows] == list(range(5000))
    assert [row["_file"].endswith(".1") for row in rows] == [n < 2000 for n in range(5000)]
    for at in (0, 1999, 2000, 4999):
        data = Path(rows[at]["_file"]).read_bytes()[rows[at]["_offset"] :]
        assert data.split(b"\n")[0].decode() == rows[at]["_raw"]
    files = [(row["len"], row["first"], row["last"]) for row in results[1].to_pylist()]
    assert files == [(3000, 2000, 4999), (2000, 0, 1999)]
    assert sum(results[2].column("s").to_pylist()) == 5000 * 4999 // 2
    wanted = [r["n"] for r in rows if r["_offset"] >= 1000 and "k7 " in r["_raw"]]
    assert results[3].column("n").to_pylist() == wanted
    expected = sorted((r["_raw"].split()[2], r["n"]) for r in rows)
    assert [(r["k"], r["n"]) for r in results[4].to_pylist()] == expected
    for table in (*results[2:], t.select("n").slice(1995, 10).collect(), t.select("n").slice(4998, 10).collect()):
        record(serialised(table))
    assert t.select("n").head(3).collect().column("n").to_pylist() == [0, 1, 2]
    assert t.select("n").slice(1998, 4).collect().column("n").to_pylist() == [1998, 1999, 2000, 2001]
    assert t.select("n").slice(4998, 4).collect().column("n").to_pylist() == [4998, 4999]
    assert t.filter(hk.col("n") % 1000 == 999).head(3).select("n").collect().column("n").to_pylist() == [
        999,
        1999,
        2999,
    ]


def test_full_dictionaries_lose_no_group(context, folder, record, monkeypatch) -> None:
    from hpckit.sources import scan

    monkeypatch.setattr(scan, "DICTIONARY_ENTRIES", 64)
    t = hk.scan_logs(str(folder / "a.log*"), "{day} {clock} {k} {n} {m:rest}", context=context)
    got, other = hk.collect_all(
        [
            t.group_by("n").agg(c=hk.len(), k=hk.col("k").min()),
            t.select(u=hk.col("n").n_unique(), s=hk.col("m").n_unique()),
        ]
    )
    assert got.num_rows == 5000 and set(got.column("c").to_pylist()) == {1}
    assert other.to_pylist() == [{"u": 5000, "s": 13}]
    record(serialised(got))


def test_sql_as_a_table(context, folder) -> None:
    groups = f"SELECT k, count(*) AS c, max(n) AS hi FROM read_logs('{folder}/a.log*', '{LOG}') GROUP BY k"
    script = f"WITH g AS ({groups}) SELECT * FROM g WHERE c > 80"
    t = hk.sql(script, context=context)
    assert t.columns == ["k", "c", "hi"]
    got = t.filter(hk.col("hi") < 4990).sort("c", "k", descending=[True, False]).head(4).collect()
    rows = [line.split(" ", 4) for name in ("a.log.1", "a.log") for line in (folder / name).read_text().splitlines()]
    groups: dict[str, list[int]] = {}
    for row in rows:
        groups.setdefault(row[2], []).append(int(row[3]))
    expected = sorted((-len(v), k, max(v)) for k, v in groups.items() if len(v) > 80 and max(v) < 4990)[:4]
    assert [tuple(r.values()) for r in got.to_pylist()] == [(k, -c, hi) for c, k, hi in expected]


def test_written_files_are_read_back(context, folder, shared_path, record) -> None:
    t = hk.scan_parquet(folder / "t.parquet", context=context)
    rows = t.filter(hk.col("n").is_not_null()).with_columns(file=hk.lit("x"))
    expected = rows.collect()
    for verb, name in {
        "write_parquet": "o.parquet",
        "write_arrow": "o.arrow",
        "write_hdf5": "o.h5",
        "write_csv": "o.csv",
        "write_jsonl": "o.jsonl",
    }.items():
        assert getattr(rows, verb)(shared_path / name) == expected.num_rows
        record((shared_path / name).read_bytes())
        with pytest.raises(hk.UserError, match="exists already"):
            rows.write(shared_path / name)
        assert rows.head(1).write(shared_path / name, overwrite=True) == 1
    for name, scan in {"b.parquet": hk.scan_parquet, "b.arrow": hk.scan_arrow, "b.h5": hk.scan_hdf5}.items():
        rows.write(shared_path / name)
        again = scan(shared_path / name, context=context)
        assert serialised(again.select(*expected.column_names).collect()) == serialised(expected), name
        assert again.select(hk.len()).collect().to_pylist() == [{"len": expected.num_rows}]


def test_errors_are_the_same_on_all_ranks(context, folder) -> None:
    t = hk.scan_parquet(folder / "t.parquet", context=context)
    with pytest.raises(QueryError, match="overflow"):
        t.select((hk.col("i") * 0 + 2**62).sum().alias("s")).collect()
    with pytest.raises(QueryError, match="convert"):
        t.select(hk.col("k").cast(int).alias("z")).collect()
    with pytest.raises(MemoryBudgetError, match=r"--memory|budget"):
        hk.scan_parquet(folder / "t.parquet", context=context, memory=2000).collect()
    small = hk.scan_parquet(folder / "t.parquet", context=context, memory=2000).group_by("i", "s").len()
    with pytest.raises(MemoryBudgetError, match="collect"):
        small.collect()
    groups = t.group_by("i", "s").len().select(hk.len()).collect()
    assert small.select(hk.len()).collect().to_pylist() == groups.to_pylist()
    with pytest.raises(hk.UserError, match="no such file"):
        hk.scan_parquet(folder / "none.parquet", context=context)
    assert t.select(hk.len()).collect().to_pylist() == [{"len": DATA.num_rows}]  # the context is still in step


def test_two_zones_at_once(context, folder) -> None:
    """Tables that read the same file in two ways share no scan."""
    path = folder / "a.log.1"
    first = [
        hk.scan_logs(path, LOG, context=context, time_zone=zone).select("ts").head(1)
        for zone in ("", "Europe/Berlin", "")
    ]
    times = [result.column("ts").to_pylist()[0] for result in hk.collect_all(first)]
    assert times == [datetime(2024, 1, 1), datetime(2023, 12, 31, 23), datetime(2024, 1, 1)]


def test_batches_of_more_rows_than_one_holds(context, folder, shared_path, record) -> None:
    """100,000 lines in one split and in many: groups of coded columns whose dictionary grows, NULL beside them."""
    path = shared_path / "many.log"
    rows = [(f"k{i * 7919 % 30_011}" if i % 10 else "-", i) for i in range(100_000)]
    if context.is_root:
        path.write_text("".join(f"{k} {n}\n" for k, n in rows))
        (shared_path / "f.toml").write_text('name = "f"\npattern = "{k} {n:int}"\n[fields.k]\nnull = ["-"]\n')
    context.bcast(None)
    groups: dict[str, list[int]] = {}
    for k, n in rows:
        groups.setdefault(k.upper(), []).append(n)
    expected = sorted((k, len(v), v[0], sum(v)) for k, v in groups.items() if k != "-")
    expected.append((None, len(groups["-"]), groups["-"][0], sum(groups["-"])))
    for split_bytes in (1 << 26, 99_991):
        t = hk.scan_logs(path, "f", format_file=str(shared_path / "f.toml"), split_bytes=split_bytes, context=context)
        upper, null = t.group_by(k=hk.col("k").str.to_uppercase()), hk.col("k").is_null()
        made = [
            upper.agg(c=hk.len(), first=hk.col("n").first(), s=hk.col("n").sum()),
            t.select(nulls=hk.len().where(null), ones=hk.len().where(hk.col("k").str.starts_with("k1"))),
            t.select("n").slice(32_760, 40_000),
        ]
        grouped, counted, sliced = hk.collect_all(made)
        assert [tuple(row.values()) for row in grouped.to_pylist()] == expected
        ones = sum(k.startswith("k1") for k, _ in rows)
        assert counted.to_pylist() == [{"nulls": 10_000, "ones": ones}]
        assert sliced.column("n").to_pylist() == list(range(32_760, 72_760))
        record(serialised(grouped))

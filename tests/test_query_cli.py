"""`hpckit query` end to end: same bytes at any rank count, DuckDB's answers, hostile input, one error a mistake."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import RANKS, _contents, launch, run

QUERY = [sys.executable, "-m", "hpckit.cli.main", "query"]
PLAIN = "{k} {n:int} {m:rest}"
COUNTS = re.compile(
    r"([\d,]+) lines read = ([\d,]+) parsed \+ ([\d,]+) continuation \+ ([\d,]+) rejected \+ ([\d,]+) blank"
)
MAIN = """SELECT node, date_trunc('hour', time) AS hour, count(*) AS errors
FROM read_logs('{log}', 'bgl') WHERE level IN ('FATAL', 'SEVERE', 'ERROR', 'FAILURE')
GROUP BY node, hour ORDER BY errors DESC, node, hour LIMIT 20"""


def counts_of(stderr: str) -> tuple[int, ...]:
    """(lines, parsed, continuation, rejected, blank) of the printed summary, which must add up."""
    found = COUNTS.search(stderr)
    assert found, stderr
    lines, *kinds = (int(number.replace(",", "")) for number in found.groups())
    assert lines == sum(kinds), stderr
    return (lines, *kinds)


def query(*argv: object, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """hpckit query on one process."""
    return run([*QUERY, *(str(word) for word in argv)], timeout)


def good(*argv: object) -> str:
    done = query(*argv, "-q")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def bgl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 lines of which 1 % are broken, in two files."""
    path = tmp_path_factory.mktemp("bgl")
    argv = [sys.executable, "-m", "hpckit.cli.main", "generate", "bgl", str(path / "all.log"), "--rows", "20000"]
    assert run([*argv, "--seed", "5", "--malformed", "1%"], 60).returncode == 0
    data = (path / "all.log").read_bytes()
    cut = data.index(b"\n", len(data) // 3) + 1
    (path / "r.log.1").write_bytes(data[:cut])
    (path / "r.log").write_bytes(data[cut:].removesuffix(b"\n"))
    return path


SCRIPT = """
COPY ({main}) TO '{out}/top.csv';
COPY ({main}) TO '{out}/top.jsonl';
COPY ({main}) TO '{out}/top.parquet';
COPY ({main}) TO '{out}/top.arrow';
COPY ({main}) TO '{out}/top.h5';
SELECT label, node, time, level, _offset FROM read_logs('{log}', 'bgl') WHERE label <> '-' -- in input order
;
SELECT level, count(*) AS n, count(DISTINCT node) AS nodes, min(time) AS first, max(time) AS last,
       quantile_cont(epoch, 0.9) AS q FROM read_logs('{log}', 'bgl') GROUP BY level;
SELECT * FROM read_logs('{log}', 'bgl') ORDER BY level DESC, component LIMIT 500 OFFSET 100;
COPY (SELECT component, first(message) AS a, last(message) AS z FROM read_logs('{log}', 'bgl') GROUP BY component)
      TO '{out}/c.jsonl';
COPY (SELECT n, count(*) AS groups FROM (SELECT node, count(*) AS n FROM read_logs('{log}', 'bgl') GROUP BY node)
      GROUP BY n HAVING n > 1 ORDER BY groups DESC, n) TO '{out}/n.csv';
EXPLAIN SELECT count(*) FROM read_logs('{log}', 'bgl');
"""


def test_one_script_gives_the_same_bytes_at_any_rank_count(bgl: Path, tmp_path: Path) -> None:
    """All kinds of output, rejects, counts, COPY and a folder, over one scan of rotated files in tiny splits."""
    found = {}
    for ranks in RANKS:
        out = tmp_path / f"at{ranks}"
        out.mkdir()
        log = f"{bgl}/r.log*"
        (tmp_path / "q.sql").write_text(SCRIPT.format(main=MAIN.format(log=log), out=out, log=log))
        argv = ["hpckit", "query", "-f", tmp_path / "q.sql", "--output", f"{out}/", "--rejects", out / "rejects.jsonl"]
        done = launch(ranks, [*argv, "--split-size", "50000"])
        assert done.returncode == 0, done.stderr
        found[ranks] = (_contents(out), counts_of(done.stderr))
        assert found[ranks] == found[1], f"{ranks} ranks"
    out = tmp_path / "at1"
    lines, parsed, _, rejected, _ = found[1][1]
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert lines == 20_000 and parsed == 20_000 - rejected
    assert rejected == sum(row["lines"] for row in rejects) > 100
    for row in rejects[:: len(rejects) // 10]:
        there = Path(row["file"]).read_bytes()[row["offset"] :][: len(row["text"])].decode("utf-8", "backslashreplace")
        assert row["text"] == there[: len(row["text"])]
    assert {p.name for p in out.iterdir()} == {
        "top.csv", "top.jsonl", "top.parquet", "top.arrow", "top.h5", "6.parquet", "7.parquet", "8.parquet", "c.jsonl",
        "n.csv", "11.parquet", "rejects.jsonl",
    }  # fmt: skip
    assert pq.read_table(out / "7.parquet").column("n").to_pylist() and "Scan" in str(pq.read_table(out / "11.parquet"))
    labelled = pq.read_table(out / "6.parquet")
    assert labelled.column("_offset").to_pylist() != sorted(
        labelled.column("_offset").to_pylist()
    )  # the older file first


def test_the_main_query_is_duckdbs(bgl: Path, tmp_path: Path) -> None:
    out = tmp_path / "top.parquet"
    done = query(MAIN.format(log=bgl / "all.log"), "--output", out, "--split-size", "77777")
    assert done.returncode == 0, done.stderr
    lines = pa.table({"line": (bgl / "all.log").read_bytes().decode("utf-8", "replace").split("\n")[:-1]})  # noqa: F841
    field = r"([^ ]*)"
    theirs = duckdb.sql(
        rf"""
        WITH cut AS (SELECT regexp_extract(line, '^{field} (\d+) {field} {field} '
                                                 '(\d{{4}}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d{{6}}) '
                                                 '{field} {field} {field} {field}( .*)?$',
                       ['label', 'epoch', 'date', 'node', 'time', 'repeat', 'type', 'component', 'level', 'rest']) AS f
                     FROM lines)
        SELECT f.node AS node, date_trunc('hour', strptime(f.time, '%Y-%m-%d-%H.%M.%S.%f')) AS hour, count(*) AS errors
        FROM cut WHERE f.level IN ('FATAL', 'SEVERE', 'ERROR', 'FAILURE')
        GROUP BY ALL ORDER BY errors DESC, node, hour LIMIT 20
        """
    ).to_arrow_table()
    ours = pq.read_table(out)
    assert ours.num_rows == 20
    assert [tuple(r.values()) for r in ours.to_pylist()] == [tuple(r.values()) for r in theirs.to_pylist()]


def test_limit_gives_the_first_rows_and_reads_little(bgl: Path) -> None:
    statement = f"SELECT _offset FROM read_logs('{bgl}/all.log', 'bgl') WHERE level = 'FATAL' LIMIT 7"
    found = []
    for ranks in (1, 3):
        done = launch(ranks, ["hpckit", "query", statement, "--split-size", "9000"])
        assert done.returncode == 0, done.stderr
        found.append((done.stdout, counts_of(done.stderr)))
    assert found[0] == found[1]
    everything = good(statement.replace("LIMIT 7", "ORDER BY _offset"))
    assert found[0][0].splitlines() == everything.splitlines()[:8]
    assert found[0][1][0] < 20_000


def mistakes(folder: Path) -> dict[str, tuple[list[str], str]]:
    """name -> (arguments, what the message says)."""
    source = f"read_logs('{folder}/x.log', '{PLAIN}')"
    count = f"SELECT count(*) FROM {source}"
    return {
        "no SQL": ([], "give the SQL"),
        "bad SQL": ([f"SELECT k k k FROM {source}"], "SQL, line 1"),
        "unknown column": ([f"SELECT level FROM {source}"], "column level does not exist; known: k, n, m"),
        "unknown function": ([f"SELECT frobnicate(k) FROM {source}"], "function frobnicate does not exist"),
        "not offered": ([f"SELECT k FROM {source} a JOIN {source} b ON a.k = b.k"], "JOIN"),
        "unknown format": ([count.replace(PLAIN, "bgll")], "format 'bgll' is not known; did you mean bgl"),
        "bad pattern": ([count.replace(PLAIN, "{k}{n:int}")], "k"),
        "missing file": ([count.replace("x.log", "none.log")], "none.log: no such file"),
        "no match": ([count.replace("x.log", "*.txt")], "no file matches"),
        "empty folder": ([count.replace("x.log", "nothing")], "holds no files"),
        "fits nothing": ([f"SELECT n FROM read_logs('{folder}/x.log', '{{a:int}} {{n:int}}')"], "fits none of 3 lines"),
        "fits nothing, count": (
            [f"SELECT count(*) FROM read_logs('{folder}/x.log', 'bgl')"],
            "'bgl' fits none of 3 lines",
        ),
        "output exists": ([count, "-o", f"{folder}/mine.csv"], "exists already"),
        "output nowhere": ([count, "-o", f"{folder}/no/x.csv"], "does not exist"),
        "output of no kind": ([count, "-o", f"{folder}/x.docx"], "ending"),
        "two outputs, one name": ([count, "-o", f"{folder}/y.csv", "--rejects", f"{folder}/y.csv"], "two outputs"),
        "too many rejects": ([f"SELECT n FROM {source}", "--max-rejects", "0"], "--max-rejects"),
        "too large a share": ([f"SELECT n FROM {source}", "--max-rejects", "33%"], "too many rejects"),
        "bad size": ([count, "--split-size", "many"], "size 'many'"),
        "no size": ([count, "--split-size", "0"], "at least 1 byte"),
        "bad limit": ([count, "--max-rejects", "1.5"], "limit '1.5'"),
        "bad zone": ([count, "--timezone", "Mars/Base"], "time zone 'Mars/Base'"),
        "bad option": ([count, "--outptu", "x"], "did you mean --output?"),
        "overflow": ([f"SELECT sum(n + 9223372036854775800) FROM {source} WHERE n < 3"], "overflow"),
        "overflow of a sum": ([f"SELECT sum(9223372036854775807) FROM {source} WHERE n < 3"], "overflow"),
        "bad cast": ([f"SELECT CAST(k AS INTEGER) FROM {source}"], "convert"),
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "x.log").write_text("a 1 x\nb 2 y\nc drei z\n")
    (folder / "mine.csv").write_text("mine")
    (folder / "nothing").mkdir()
    return folder


def test_more_groups_than_memory_are_counted(small: Path) -> None:
    source = f"read_logs('{small}/x.log', '{{k}} {{n}} {{m}}')"
    done = query(f"SELECT m, count(*) FROM {source} GROUP BY m", "--memory", "1K")
    assert (done.returncode, done.stdout) == (0, "m,count_star()\nx,1\ny,1\nz,1\n"), done.stderr


@pytest.mark.parametrize("name", mistakes(Path("/")))
def test_a_mistake_is_one_message_and_status_2(small: Path, name: str) -> None:
    argv, message = mistakes(small)[name]
    done = query(*argv)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1 and done.stdout == ""
    assert (small / "mine.csv").read_text() == "mine"
    assert sorted(p.name for p in small.iterdir()) == ["mine.csv", "nothing", "x.log"]


@pytest.mark.parametrize(
    "name", ["bad SQL", "missing file", "fits nothing", "too large a share", "overflow", "bad size"]
)
def test_a_mistake_is_one_message_on_three_ranks(small: Path, name: str) -> None:
    argv, message = mistakes(small)[name]
    done = launch(3, ["hpckit", "query", *argv, *(["--split-size", "8"] if name != "bad size" else [])])
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and done.stderr.count("error:") == 1 and done.stdout == ""


def test_what_is_no_mistake(small: Path) -> None:
    source = f"read_logs('{small}/x.log', '{PLAIN}')"
    assert good(f"SELECT n FROM {source} LIMIT 0") == "n\n"
    assert good(f"SELECT n FROM {source} WHERE n > 5") == "n\n"
    assert good(f"SELECT n FROM {source} LIMIT 5 OFFSET 9") == "n\n"
    assert good(f"SELECT count(*) AS c, sum(n) AS s FROM {source} WHERE n > 5") == "c,s\n0,\n"
    assert good(f"SELECT n, n FROM {source}", "--max-rejects", "34%") == "n,n_1\n1,1\n2,2\n"
    assert good(f'SELECT k AS "a ""b", n AS "ö ä" FROM {source} LIMIT 1') == '"a ""b",ö ä\na,1\n'
    assert good(f"SELECT count(*) AS c FROM {source}; SELECT m FROM {source} WHERE k = 'b'") == "c\n3\n\nm\ny\n\n"
    assert good(f"DESCRIBE {source}") == "column_name,column_type\nk,VARCHAR\nn,BIGINT\nm,VARCHAR\n"
    assert good(f"SELECT count(*) AS c FROM {source}", "--output", small / "mine.csv", "--overwrite") == ""
    assert (small / "mine.csv").read_text() == "c\n3\n"
    (small / "mine.csv").write_text("mine")
    assert counts_of(query(f"SELECT count(*) FROM {source}").stderr) == (3, 3, 0, 0, 0)
    assert counts_of(query(f"SELECT count(*) FROM {source}", "--validate", "all").stderr) == (3, 2, 0, 1, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file and writes every folder")
def test_unreadable_and_unwritable(small: Path, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("a 1 x\n")
    (tmp_path / "x.log").chmod(0)
    done = query(f"SELECT k FROM read_logs('{tmp_path}/x.log', '{PLAIN}')")
    assert done.returncode == 2 and "Permission denied" in done.stderr
    tmp_path.chmod(0o500)
    done = query(f"SELECT k FROM read_logs('{small}/x.log', '{PLAIN}')", "-o", tmp_path / "y.csv")
    tmp_path.chmod(0o700)
    assert done.returncode == 2 and "cannot be written" in done.stderr


@pytest.mark.parametrize("ending", ["csv", "parquet", "h5"])
def test_a_full_disk_leaves_nothing(bgl: Path, tmp_path: Path, ending: str) -> None:
    """The largest file that this process may write stands for the disk."""
    argv = [*QUERY, f"SELECT * FROM read_logs('{bgl}/all.log', 'bgl')", "-o", str(tmp_path / f"x.{ending}")]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error:") == 1 and "nothing was left there" in done.stderr
    assert list(tmp_path.iterdir()) == []


HOSTILE = (
    b"\xef\xbb\xbfa 1 bom\nb 2 nul\x00x\nc 3 \xff\xfe\r\nd 4 lone\rcr\n\n\r\ne 5 crlf\r\nbad\nf 6 "
    + b"z" * 3000
    + b"\n \ng 7 last"
)


def test_hostile_lines_are_counted(tmp_path: Path) -> None:
    (tmp_path / "h.log").write_bytes(HOSTILE)
    (tmp_path / "z.log").write_bytes(b"")
    statement = f"SELECT k, n, m, _offset FROM read_logs('{tmp_path}/*.log', '{PLAIN}')"
    seen = set()
    for ranks, split in ((1, "64M"), (1, "7"), (3, "5")):
        rejects = tmp_path / f"rejects{ranks}{split}.csv"
        argv = ["hpckit", "query", statement, "--max-line", "2000", "--split-size", split, "--rejects", rejects]
        done = launch(ranks, [*argv, "--output", tmp_path / f"o{ranks}{split}.jsonl"])
        assert done.returncode == 0, done.stderr
        assert counts_of(done.stderr) == (11, 5, 0, 4, 2)
        seen.add(((tmp_path / f"o{ranks}{split}.jsonl").read_bytes(), rejects.read_bytes()))
    assert len(seen) == 1
    rows = [json.loads(line) for line in next(iter(seen))[0].splitlines()]
    assert [(r["k"], r["n"], r["m"]) for r in rows] == [
        ("a", 1, "bom"), ("b", 2, "nul\x00x"), ("d", 4, "lone\rcr"), ("e", 5, "crlf"), ("g", 7, "last"),
    ]  # fmt: skip
    for row in rows:
        assert HOSTILE[row["_offset"] :].startswith(f"{row['k']} {row['n']} {row['m']}".encode())


def test_a_gzip_that_breaks_off_keeps_what_precedes_the_damage(tmp_path: Path) -> None:
    rng = random.Random(2)
    data = b"".join(b"k%d %d %x\n" % (i % 50, i, rng.getrandbits(100)) for i in range(20_000))
    packed = gzip.compress(data[:200_000]) + gzip.compress(data[200_000:])
    (tmp_path / "a.log.gz").write_bytes(packed[: len(packed) * 3 // 4])
    (tmp_path / "b.log.gz").write_bytes(packed)
    (tmp_path / "c.log.gz").write_bytes(b"")
    statement = (
        f"SELECT _file, count(*) AS c, max(n) + 1 AS n FROM read_logs('{tmp_path}/*.log.gz', '{PLAIN}') GROUP BY _file"
    )
    done = launch(2, ["hpckit", "query", statement])
    assert done.returncode == 0, done.stderr
    first, second = (line.split(",") for line in done.stdout.splitlines()[1:])
    assert first[1] == first[2] and 10_000 < int(first[1]) < 20_000
    assert second[1:] == ["20000", "20000"]
    assert counts_of(done.stderr)[3] == 1 and "compressed data damaged" in done.stderr


def test_a_gzip_that_breaks_off_behind_a_whole_line_rejects_no_line(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    lines = b"".join(b"k %d x\n" % i for i in range(1000))
    (tmp_path / "a.log.gz").write_bytes(packer.compress(lines) + packer.flush(zlib.Z_SYNC_FLUSH))
    sql = f"SELECT count(*) AS c FROM read_logs('{tmp_path}/a.log.gz', '{PLAIN}')"
    rejects = tmp_path / "bad.jsonl"
    done = query(sql, "--rejects", rejects)
    assert (done.returncode, done.stdout) == (0, "c\n1000\n")
    assert counts_of(done.stderr) == (1000, 1000, 0, 0, 0)
    assert "1 compressed data damaged" in done.stderr
    (row,) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert (row["offset"], row["lines"], row["text"]) == (len(lines), 0, "")
    done = query(sql, "--max-rejects", "0")
    assert done.returncode == 2 and "too many rejects" in done.stderr


def test_options_of_one_call_hold_for_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("Mar 04 10:00:00 1 a\nMar 04 11:00:00 two b\nMar 04 12:00:00 3 " + "c" * 3000 + "\n")
    pattern = "{time:%b %d %H:%M:%S} {n:int} {m:rest}"

    def answer(options: str, columns: str = "time, n") -> list[str]:
        done = query(f"SELECT {columns} FROM read_logs('{path}', '{pattern}'{options})", "--year", "2001")
        assert done.returncode == 0, done.stderr
        return [*done.stdout.replace(":00:00", "").splitlines()[1:], " ".join(map(str, counts_of(done.stderr)))]

    assert answer("") == ["2001-03-04 10,1", "2001-03-04 12,3", "3 2 0 1 0"]
    assert answer(", year := 2024, timezone := 'Europe/Berlin'")[0] == "2024-03-04 09,1"
    assert answer(", max_line := '1KiB'") == ["2001-03-04 10,1", "3 1 0 2 0"]
    assert answer(", max_line := 1024, split_size := 7") == answer(", max_line := '1KiB'")
    whole = answer("", "length(m) AS l")
    assert whole == ["1", "1", "3000", "3 3 0 0 0"]
    assert answer(", validate := 'all'", "length(m) AS l") == ["1", "3000", "3 2 0 1 0"]
    # a predicate that drops the line of the wrong number does not hide it
    done = query(f"SELECT m FROM read_logs('{path}', '{pattern}', validate := 'all') WHERE m = 'a'")
    assert counts_of(done.stderr)[3] == 1
    both = (
        f"COPY (SELECT min(time) AS t FROM read_logs('{path}', '{pattern}', year := 2010)) TO '{tmp_path}/a.csv';"
        f"COPY (SELECT min(time) AS t FROM read_logs('{path}', '{pattern}', year := 2011)) TO '{tmp_path}/b.csv'"
    )
    good(both)
    assert [(tmp_path / f"{name}.csv").read_text()[2:6] for name in "ab"] == ["2010", "2011"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("timezone := 'Mars/Base'", "time zone 'Mars/Base' is unknown"),
        ("year := 0", "expected a year from 1 to 9999"),
        ("max_line := 'wide'", "size 'wide'"),
        ("max_line := 0", "expected a number of bytes of at least 1"),
        ("split_size := -5", "expected a number of bytes of at least 1"),
        ("validate := 'some'", "expected 'all' or 'used'"),
        ("header := true", "no option header"),
    ],
)
def test_wrong_options_of_a_call_are_named(tmp_path: Path, options: str, message: str) -> None:
    (tmp_path / "x.log").write_text("k 1 x\n")
    done = query(f"SELECT * FROM read_logs('{tmp_path}/x.log', '{PLAIN}', {options})")
    assert done.returncode == 2
    assert message in done.stderr


def test_a_format_file_that_is_not_there_is_an_error_whatever_is_asked(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("k 1 x\n")
    (tmp_path / "x.csv").write_text("a\n1\n")
    for source in (f"read_logs('{tmp_path}/x.log', '{PLAIN}')", f"'{tmp_path}/x.csv'"):
        done = query(f"SELECT * FROM {source}", "--format-file", tmp_path / "none.toml")
        assert done.returncode == 2
        assert "none.toml: No such file" in done.stderr


def peak_mb(argv: list[str], profile: Path) -> tuple[str, str, float]:
    """(stdout, stderr, peak resident MB) of a command that ends well.

    The command tells its peak itself: what the kernel tells of a child includes this process, from which it was forked.
    """
    done = subprocess.run([*argv, "--profile", str(profile)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr, max(json.loads(profile.read_text())["memory_peak_bytes"]) / 1e6


def test_memory_stays_small_whatever_the_input(tmp_path: Path) -> None:
    """A line of 200 MB, a stack trace of 20 MB, and 600,000 rejected lines that are all to be written down."""
    profile = tmp_path / "profile.json"
    with (tmp_path / "long.log").open("wb") as file:
        file.write(b"a 1 before\n" + b"x" * (1 << 20))
        for _ in range(199):
            file.write(b"x" * (1 << 20))
        file.write(b"\nb 2 after\n")
    out, err, peak = peak_mb([*QUERY, f"SELECT _raw FROM read_logs('{tmp_path}/long.log', '{PLAIN}')"], profile)
    assert out == "_raw\na 1 before\nb 2 after\n" and counts_of(err) == (3, 2, 0, 1, 0) and peak < 500

    trace = b"".join(b"\tat frame %d of a trace that never ends\n" % i for i in range(500_000))
    (tmp_path / "trace.log").write_bytes(
        b"2024-01-01 00:00:00,000 INFO a: x\n" * 2 + trace + b"2024-01-01 00:00:01,000 INFO b: y\n\tz\n"
    )
    rejects = tmp_path / "r.jsonl"
    argv = [*QUERY, f"SELECT component FROM read_logs('{tmp_path}/trace.log', 'log4j')", "--rejects", str(rejects)]
    out, err, peak = peak_mb([*argv, "--max-line", "1M"], profile)
    assert out == "component\na\nb\n" and counts_of(err) == (500_004, 2, 1, 500_001, 0) and peak < 500
    assert [json.loads(line)["lines"] for line in rejects.read_text().splitlines()] == [500_001]

    (tmp_path / "junk.log").write_bytes(b"a 1 x\n" + b"".join(b"junk %064d\n" % i for i in range(600_000)))
    argv = [
        *QUERY,
        f"SELECT k, n FROM read_logs('{tmp_path}/junk.log', '{PLAIN}')",
        "--rejects",
        str(rejects),
        "--overwrite",
    ]
    out, err, peak = peak_mb(argv, profile)
    assert out == "k,n\na,1\n" and counts_of(err) == (600_001, 1, 0, 600_000, 0) and peak < 500
    assert rejects.read_bytes().count(b"\n") == 600_000


def test_stack_traces_stay_with_their_first_line(tmp_path: Path) -> None:
    """Records of many lines over splits much smaller than they are, and a file that begins inside one."""
    rng = random.Random(4)
    records = []
    for i in range(300):
        level = rng.choice(["INFO", "ERROR"])
        head = f"2024-01-02 {i // 60:02}:{i % 60:02}:00,{i:03} {level} [main] app.C{i % 7} - message {i}"
        records.append("\n".join([head, *(f"\tat x.y({i}.{k})" for k in range(rng.choice([0, 0, 1, 3, 40])))]))
    (tmp_path / "app.log").write_text("\tlost of an older file\n" + "\n".join(records) + "\n")
    statement = f"SELECT message, _raw FROM read_logs('{tmp_path}/app.log', 'log4j')"
    seen = set()
    for ranks, split in ((1, "64M"), (3, "100"), (2, "1111")):
        out = tmp_path / f"{ranks}.jsonl"
        done = launch(ranks, ["hpckit", "query", statement, "--split-size", split, "--output", out])
        assert done.returncode == 0, done.stderr
        lines = sum(record.count("\n") for record in records)
        assert counts_of(done.stderr) == (301 + lines, 300, lines, 1, 0)
        seen.add(out.read_bytes())
    assert len(seen) == 1
    rows = [json.loads(line) for line in seen.pop().splitlines()]
    assert [row["_raw"] for row in rows] == records
    assert [row["message"].split("\n")[0] for row in rows] == [f"message {i}" for i in range(300)]

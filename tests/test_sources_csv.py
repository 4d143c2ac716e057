"""CSV and its like as a source: what is guessed, what is read at any split size, what hostile files do."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import date, datetime

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_rows import Read

from hpckit.errors import InputError, InternalError, QueryError, UnsupportedError
from hpckit.sources.base import ReadOptions
from hpckit.sources.open import open_source
from hpckit.sources.program import WantedColumn
from hpckit.tables.plan import Source


def read(tmp_path, data, options=(), name="x.csv", **how):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return Read("csv", path, options, **how)


TYPED = """id,name,load,when,day,ok,free,mixed,big,zip
1,ann,0.5,2024-01-02 03:04:05,2024-01-02,true,,1,9223372036854775807,007
2,"bob, jr",1e3,2024-01-02 03:04:05.25,2024-02-29,FALSE,,x,-9223372036854775808,012
-3,,nan,2024-12-31 23:59:60,1970-01-01,,,2,,000
"""


def test_types_are_guessed(tmp_path):
    got = read(tmp_path, TYPED)
    assert got.types == {
        "id": "int64", "name": "string", "load": "double", "when": "timestamp[us]", "day": "date32[day]", "ok": "bool",
        "free": "string", "mixed": "string", "big": "int64", "zip": "string",
    }  # fmt: skip
    first, second, third = got.rows
    assert first["when"] == datetime(2024, 1, 2, 3, 4, 5)
    assert second["when"] == datetime(2024, 1, 2, 3, 4, 5, 250_000)
    assert third["when"] == datetime(2025, 1, 1)
    assert second["name"] == "bob, jr"
    assert second["day"] == date(2024, 2, 29)
    assert [row["ok"] for row in got.rows] == [True, False, None]
    assert third["name"] is None
    assert third["load"] != third["load"]
    assert second["big"] == -(2**63)


def test_agrees_with_duckdb(tmp_path):
    data = TYPED.replace("nan", "2.5").replace("23:59:60", "23:59:59")
    got = read(tmp_path, data)
    wanted = duckdb.sql(f"SELECT * FROM read_csv('{tmp_path}/x.csv')")
    assert got.rows == wanted.to_arrow_table().to_pylist()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5"], "double"), (["9007199254740993", "0.5"], "string"), (["9223372036854775808"], "string"),
        (["-9007199254740993", "0.5"], "string"), (["123456789012345678901234567890"], "string"),
        (["1", "true"], "string"),
        (["2024-02-30"], "string"), (["2024-01-01", "2024-01-01 10:00:00"], "string"), (["10:00:00"], "string"),
        (["2024-01-01T10:00:00Z", "2024-01-01T10:00:00.5+02:00"], "timestamp[us]"), (["nan", "inf"], "string"),
        (["nan", "1"], "double"), ([" 7", "8 "], "int64"), (["+7"], "int64"), (["1_0"], "string"), (["0x1"], "string"),
        (["true", "t"], "string"), (["0", "-0"], "int64"), (["00"], "string"), (["0.5", "00.5"], "double"),
        (['""', "5"], "int64"), (['"5"', '"6"'], "int64"), (["--"], "string"),
    ],
)  # fmt: skip
def test_type_of_a_column(tmp_path, values, kind):
    got = read(tmp_path, "name,col\n" + "".join(f"n,{v}\n" for v in values), [("header", True)])
    assert got.types["col"] == kind
    assert len(got.rows) == len(values)


def test_zones_become_utc(tmp_path):
    got = read(tmp_path, "a,t\n1,2024-07-01T10:00:00+02:00\n2,2024-07-01T10:00:00Z\n", time_zone="Asia/Tokyo")
    assert [row["t"].hour for row in got.rows] == [8, 10]
    local = read(tmp_path, "a,t,d\n1,2024-07-01 10:00:00,2024-07-01\n", time_zone="Asia/Tokyo")
    assert local.rows == [{"a": 1, "t": datetime(2024, 7, 1, 1), "d": date(2024, 7, 1)}]


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("a,b\n1,2\n", ["a", "b"]), ("1,2\n3,4\n", ["column0", "column1"]), ("a,b\nx,y\n", ["a", "b"]),
        ("a,b", ["a", "b"]),
        ("1,x\n2,y\n", ["column0", "column1"]), ("a,a,A,\n1,2,3,4\n", ["a", "a_1", "A_2", "column3"]),
        ("2023,2024\nx,y\n", ["2023", "2024"]), ("_file,_raw\n1,2\n", ["_file_1", "_raw_1"]),
        ("#a,b\n1,2\n", ["a", "b"]),
        ("\r\n\r\na;b\r\n1;2\r\n", ["a", "b"]), ("\ufeffa|b\n1|2\n", ["a", "b"]), ("a\tb\n1\t2\n", ["a", "b"]),
        ('"a\nb",c\n1,2\n', ["a\nb", "c"]), (" a , b\n1,2\n", ["a", "b"]),
    ],
)  # fmt: skip
def test_header_and_delimiter(tmp_path, data, names):
    assert read(tmp_path, data).source.schema.names == names


def test_options(tmp_path):
    data = "a;b;c\n1;x;NULL\n2;'y;-\n"
    got = read(
        tmp_path, data, [("sep", ";"), ("nullstr", ("NULL", "-")), ("types", (("a", "DOUBLE"), ("c", "BIGINT")))]
    )
    assert got.rows == [{"a": 1.0, "b": "x", "c": None}, {"a": 2.0, "b": "'y", "c": None}]
    got = read(tmp_path, "1,2024\n", [("columns", {"x": "VARCHAR", "y": "INTEGER"}), ("header", False)])
    assert got.rows == [{"x": "1", "y": 2024}]
    got = read(tmp_path, "a,b\n1,02/01/2024\n", [("dateformat", "%d/%m/%Y")])
    assert got.rows == [{"a": 1, "b": date(2024, 1, 2)}]
    got = read(tmp_path, 'a,b\n1,"x\n', [("quote", "")])
    assert got.rows == [{"a": 1, "b": '"x'}]
    assert read(tmp_path, "a\n1\n", [("all_varchar", True)]).rows == [{"a": "1"}]
    tsv = read(tmp_path, "a,x\tb\n1,1\t2\n", name="x.tsv")
    assert tsv.source.schema.names == ["a,x", "b"]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ([("delim", "::")], QueryError, "one byte"), ([("banana", 1)], UnsupportedError, "banana"),
        ([("types", {"zz": "INT"})], QueryError, "zz"), ([("types", {"a": "BLOB"})], UnsupportedError, "BLOB"),
        ([("names", ("only",))], QueryError, "1 names for 2"), ([("header", "maybe")], QueryError, "header"),
        ([("quote", "'")], UnsupportedError, "quote"),
    ],
)  # fmt: skip
def test_wrong_options(tmp_path, options, error, text):
    with pytest.raises(error, match=text):
        read(tmp_path, "a,b\n1,2\n", options)


CELLS = st.sampled_from(
    ["", "1", "22", "a", 'say "hi"', "two\nlines", "\n", ",", '"', "é€", "x" * 70, "a\r\nb", "\n\n", '""']
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=12), st.integers(1, 90), st.booleans(), st.booleans())
def test_any_split_as_python_reads_it(tmp_path_factory, rows, split_bytes, header, quote_all):
    text = io.StringIO()
    style = {"quoting": csv.QUOTE_ALL} if quote_all else {"quoting": csv.QUOTE_MINIMAL}
    writer = csv.writer(text, lineterminator="\n", **style)
    if header:
        writer.writerow(["first", "sec\nond", "third"])
    writer.writerows(rows)
    options = [("header", header), ("names", ("x", "y", "z")), ("delim", ","), ("all_varchar", True)]
    folder = tmp_path_factory.mktemp("csv")
    got = read(folder, text.getvalue(), options, split_bytes=split_bytes)
    wanted = list(csv.reader(io.StringIO(text.getvalue(), newline="")))[header:]
    assert [[v or "" for v in row.values()] for row in got.rows] == wanted
    assert got.counts.parsed == len(wanted)
    lines = text.getvalue().count("\n") - (2 if header else 0)
    assert got.counts.lines == lines


def test_every_split_size(tmp_path):
    data = "id,text\n" + "".join(f'{i},"line {i}\nsecond, ""quoted""\n{"z" * (i % 11)}"\n' for i in range(12))
    whole = read(tmp_path, data, hidden=True)
    assert len(whole.rows) == 12
    for split_bytes in range(1, len(data) + 1):
        assert read(tmp_path, data, hidden=True, split_bytes=split_bytes).rows == whole.rows, split_bytes


def test_reading_before_quotes_are_counted_is_an_error(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,"x\ny"\n')
    options = ReadOptions(split_bytes=8)
    source = open_source(Source("csv", (str(path),)), options)
    reader = source.reader([WantedColumn("a")], [], options)
    with pytest.raises(InternalError, match="prepare"):
        list(reader.read(source.splits[-1]))


def test_hostile_lines_are_counted(tmp_path):
    lines = [
        b"id,name",
        b"1,a",
        b"2",
        b"3,b,c",
        b"x,y",
        b"",
        b"4,bad\xff",
        b"5,nul\0",
        b"6,lone\rcr",
        b"7,crlf\r",
        b'8,"a"b',
        b"\r",
        b'9,"open',
    ]
    got = read(tmp_path, b"\n".join(lines), [("types", {"id": "BIGINT"}), ("header", True)])
    assert [row["id"] for row in got.rows] == [1, 5, 6, 7]
    assert [row["name"] for row in got.rows] == ["a", "nul\0", "lone\rcr", "crlf"]
    counts = got.counts
    assert (counts.lines, counts.parsed, counts.rejected, counts.blank) == (12, 4, 6, 2)
    assert {row["offset"] for row in got.rejects} == {
        b"\n".join(lines).index(t) for t in (b"2\n", b"3,b", b"x,y", b"4,b", b'8,"', b'9,"')
    }
    assert all(row["reason"] for row in got.rejects)


def test_misfits_behind_the_sample_are_rejects(tmp_path):
    data = "id,x\n" + "".join(f"{i},{i}\n" for i in range(20_480)) + "late,1\n7,1.5\n8,8\n"
    got = read(tmp_path, data)
    assert got.types == {"id": "int64", "x": "int64"}
    assert got.counts.rejected == 2
    assert got.rows[-1] == {"id": 8, "x": 8}


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_nothing_to_find_columns_in(tmp_path, data):
    with pytest.raises(InputError, match=r"is empty: expected a line with the names of the columns"):
        read(tmp_path, data)
    named = read(tmp_path, data, [("columns", {"a": "BIGINT", "b": "DATE"})])
    assert named.types == {"a": "int64", "b": "date32[day]"}
    assert named.rows == []


@pytest.mark.parametrize(
    ("magic", "kind"), [(b"PAR1\x15", "Parquet"), (b"ARROW1\0", "Arrow"), (b"\x89HDF\r\n", "HDF5")]
)
@pytest.mark.parametrize("name", ["a", "z"], ids=["first", "later"])
def test_a_file_of_another_kind(tmp_path, magic, kind, name):
    (tmp_path / "m.csv").write_text("a,b\n1,x\n")
    (tmp_path / f"{name}.csv").write_bytes(magic + b"\0\1\2\n" * 9)
    with pytest.raises(InputError, match=rf"{name}\.csv: is an? {kind} file, not CSV"):
        Read("csv", tmp_path / "*.csv")


def test_header_only(tmp_path):
    got = read(tmp_path, "a,b\n")
    assert got.rows == []
    assert got.counts.lines == 0
    assert got.types == {"a": "string", "b": "string"}


def test_several_files(tmp_path):
    for i, text in enumerate(["a,b\n1,x\n", "", "a,b\n", "\ufeffa,b\n2,y\n"]):
        (tmp_path / f"{i}.csv").write_text(text)
    got = Read("csv", tmp_path / "*.csv", hidden=True)
    assert [(row["a"], row["b"], row["_offset"]) for row in got.rows] == [(1, "x", 4), (2, "y", 7)]
    (tmp_path / "4.csv").write_text("a,c\n3,z\n")
    with pytest.raises(InputError, match=r"4\.csv: column 2 is 'c', in .*0\.csv it is 'b'"):
        Read("csv", tmp_path / "*.csv")
    (tmp_path / "4.csv").write_text("a\n3\n")
    with pytest.raises(InputError, match=r"4\.csv: 1 columns"):
        Read("csv", tmp_path / "*.csv")


def test_compressed_and_cut_off(tmp_path):
    data = ("a,b\n" + "".join(f'{i},"q{i}\n"\n' for i in range(30_000))).encode()
    packed = gzip.compress(data)
    (tmp_path / "x.csv.gz").write_bytes(packed)
    assert len(Read("csv", tmp_path / "x.csv.gz").rows) == 30_000
    (tmp_path / "x.csv.gz").write_bytes(packed[: len(packed) // 2])
    got = Read("csv", tmp_path / "x.csv.gz")
    assert 0 < len(got.rows) < 30_000
    assert "compressed data damaged" in got.counts.reasons


def test_quoted_field_across_blocks(tmp_path):
    """A record larger than a block and splits in the middle of it."""
    data = 'a,b\n1,"' + "line\n" * 1_000_000 + '"\n2,end\n'
    for split_bytes in (1 << 20, 64 << 20):
        got = read(tmp_path, data, split_bytes=split_bytes)
        assert [(row["a"], len(row["b"])) for row in got.rows] == [(1, 5_000_000), (2, 3)]
        assert got.counts.lines == 1_000_002


SACCT = """JobID|JobName|State|Submit|Start|AllocCPUS|Comment
4_0|say "hi|CANCELLED by 0|2024-01-02T03:04:05|Unknown|16|
4_0.batch|batch|RUNNING|||1|7
"""


def test_sacct(tmp_path):
    path = tmp_path / "jobs.txt"
    path.write_text(SACCT)
    got = Read("logs", path, [("format", "sacct")])
    submit = datetime(2024, 1, 2, 3, 4, 5)
    assert got.rows == [
        {"JobID": "4_0", "JobName": 'say "hi', "State": "CANCELLED by 0", "Submit": submit, "Start": None,
         "AllocCPUS": 16,
         "Comment": None, "time": submit},
        {"JobID": "4_0.batch", "JobName": "batch", "State": "RUNNING", "Submit": None, "Start": None, "AllocCPUS": 1,
         "Comment": 7, "time": None},
    ]  # fmt: skip


def test_ldms(tmp_path):
    path = tmp_path / "meminfo.csv"
    path.write_text(
        "#Time,Time_usec,ProducerName,MemFree\n1498502340.002069,2069,nid1,125330280\n1498502341.5,5,nid2,\n"
    )
    got = Read("logs", path, [("format", "ldms_csv")])
    assert got.source.schema.names == ["time", "Time_usec", "ProducerName", "MemFree"]
    assert [row["MemFree"] for row in got.rows] == [125330280, None]
    assert got.rows[0]["time"] == datetime(2017, 6, 26, 18, 39, 0, 2069)

"""Parquet, Arrow and HDF5 as sources: types, predicates against DuckDB, row groups left out, files that do not fit."""

from __future__ import annotations

import decimal
from datetime import date, datetime, timedelta, timezone

import duckdb
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_rows import Read

from hpckit import spmd
from hpckit.errors import InputError, QueryError, UnsupportedError
from hpckit.sinks import hdf5 as hdf5_sink
from hpckit.sinks.target import target_of
from hpckit.sources.base import Atom
from hpckit.tables.spool import Spool

ROWS = 1000
BERLIN = pa.timestamp("ns", tz="Europe/Berlin")


def sample(rows=ROWS):
    """A table of every type, with NULLs, NaN and values that test rounding and order."""
    i = np.arange(rows)
    floats = np.where(i % 10 == 3, np.nan, (i - rows / 2) / 4)
    mask = i % 7 == 2
    return pa.table(
        {
            "i": pa.array(i, pa.int32(), mask=mask),
            "u": pa.array(i, pa.uint64()),
            "f": pa.array(floats, pa.float64(), mask=mask),
            "f32": pa.array(floats.astype("f4")),
            "s": pa.array([None if m else f"k{n % 5}" for n, m in zip(i, mask, strict=True)]),
            "d": pa.array([f"v{n % 3}" for n in i]).dictionary_encode(),
            "t": pa.array(i * 1_000_000_123 - 500_000_000_001, BERLIN, mask=mask),
            "day": pa.array([date(2024, 1, 1) + timedelta(int(n)) for n in i]),
            "b": pa.array(i % 2 == 0),
            "dec": pa.array([decimal.Decimal("1.25")] * rows),
            "bin": pa.array([b"abc"] * rows),
            "big": pa.array(["large"] * rows, pa.large_string()),
            "list": pa.array([[1, 2]] * rows),
            "struct": pa.array([{"a": 1, "b": "x"}] * rows),
            "nothing": pa.nulls(rows),
            "ms": pa.array(i, pa.timestamp("ms")),
            "span": pa.array(i, pa.duration("s")),
        }
    )


TYPES = {
    "i": "int64", "u": "int64", "f": "double", "f32": "double", "s": "string", "d": "string", "t": "timestamp[us]",
    "day": "date32[day]", "b": "bool", "dec": "double", "bin": "string", "big": "string", "list": "string",
    "struct": "string", "nothing": "string", "ms": "timestamp[us]", "span": "duration[us]",
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columnar")
    table = sample()
    pq.write_table(table, folder / "x.parquet", row_group_size=300)
    with pa.OSFile(str(folder / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    with pa.OSFile(str(folder / "x.arrows"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    return folder


ALL = pytest.mark.parametrize(("kind", "name"), [("parquet", "x.parquet"), ("arrow", "x.arrow"), ("arrow", "x.arrows")])


@ALL
def test_types_and_values(files, kind, name):
    got = Read(kind, files / name, hidden=True)
    assert got.types == TYPES
    assert got.counts.lines == got.counts.parsed == ROWS
    assert got.positions == list(range(ROWS))
    row = got.rows[4]
    assert (row["_offset"], row["_raw"], row["_file"]) == (4, None, str(files / name))
    assert (row["i"], row["u"], row["s"], row["d"], row["dec"], row["bin"], row["big"]) == (
        4,
        4,
        "k4",
        "v1",
        1.25,
        "abc",
        "large",
    )
    assert (row["list"], row["struct"], row["nothing"]) == ("[1,2]", '{"a":1,"b":"x"}', None)
    assert row["ms"] == datetime(1970, 1, 1) + timedelta(milliseconds=4)
    assert row["span"] == timedelta(seconds=4)
    # nanoseconds before 1970 are cut off downwards, like those after
    nanoseconds = 4 * 1_000_000_123 - 500_000_000_001
    assert row["t"] == (datetime(1970, 1, 1) + timedelta(microseconds=nanoseconds // 1000))
    assert got.rows[2]["t"] is None
    assert [row["f32"] for row in got.rows[4:6]] == [-124.0, -123.75]


TERMS = {
    "i >= 700 AND i < 900": [[Atom("i", "int", ">=", 700), Atom("i", "int", "<", 900)]],
    "i = 5 OR u = 999": [[Atom("i", "int", "=", 5)], [Atom("u", "int", "=", 999)]],
    "i <> 5": [[Atom("i", "int", "!=", 5)]],
    "f > 100": [[Atom("f", "float", ">", 100.0)]],
    "f >= 'nan'::DOUBLE": [[Atom("f", "float", ">=", float("nan"))]],
    "f < -100": [[Atom("f", "float", "<", -100.0)]],
    "f = 'nan'::DOUBLE": [[Atom("f", "float", "=", float("nan"))]],
    "f <> 1.0": [[Atom("f", "float", "!=", 1.0)]],
    "s IN ('k1', 'nope')": [[Atom("s", "in", None, [b"k1", b"nope"])]],
    "NOT s IN ('k1')": [[Atom("s", "in", None, [b"k1"], True)]],
    "s LIKE 'k%'": [[Atom("s", "prefix", None, [b"k"])]],
    "s LIKE 'z%'": [[Atom("s", "prefix", None, [b"z"])]],
    "d LIKE '%2'": [[Atom("d", "suffix", None, [b"2"])]],
    "contains(big, 'arg')": [[Atom("big", "contains", None, [b"arg"])]],
    "s IS NULL": [[Atom("s", "null", None, None)]],
    "s IS NOT NULL AND u > 990": [[Atom("s", "null", None, None, True), Atom("u", "int", ">", 990)]],
    "big IS NULL": [[Atom("big", "null", None, None)]],
    "ms < TIMESTAMP '1970-01-01 00:00:00.5'": [[Atom("ms", "time", "<", 500_000)]],
    "t IS NOT NULL AND u::BIGINT * 1000000123 - 500000000001 >= 490000000000": [[Atom("t", "time", ">=", 490_000_000)]],
}


@ALL
@pytest.mark.parametrize("predicate", TERMS)
def test_terms_mean_what_sql_means(files, kind, name, predicate):
    got = Read(kind, files / name, terms=TERMS[predicate], columns=["u"])
    with duckdb.connect() as oracle:
        oracle.register("rows", sample())  # not the file: DuckDB loses NaN where statistics rule a row group out
        wanted = oracle.execute(f"SELECT u::BIGINT FROM rows WHERE {predicate}").fetchall()
    assert [(row["u"],) for row in got.rows] == wanted
    assert got.counts.lines == got.counts.parsed == ROWS
    assert all(got.source.atom_kind(atom.column) for term in TERMS[predicate] for atom in term)


def test_row_groups_are_left_out(files, monkeypatch):
    from hpckit.sources.columnar_files import ParquetPieces

    read, real = [], ParquetPieces.read
    monkeypatch.setattr(
        ParquetPieces, "read", lambda self, piece, names: (read.append(piece), real(self, piece, names))[1]
    )
    Read("parquet", files / "x.parquet", terms=TERMS["i >= 700 AND i < 900"], columns=["u"])
    assert read == [2]
    Read("parquet", files / "x.parquet", terms=TERMS["s LIKE 'z%'"], columns=["u"])
    assert read == [2]


@ALL
def test_no_columns_and_coded_columns(files, kind, name):
    assert len(Read(kind, files / name, columns=[]).positions) == ROWS
    got = Read(kind, files / name, columns=["d"])
    assert "d" in got.source.coded
    assert [row["d"] for row in got.rows] == [f"v{i % 3}" for i in range(ROWS)]


def test_full_dictionaries_are_replaced(files, monkeypatch):
    from hpckit.sources import arrow_rows

    monkeypatch.setattr(arrow_rows, "DICTIONARY_ENTRIES", 2)
    got = Read("parquet", files / "x.parquet", columns=["s", "d"])
    assert [row["d"] for row in got.rows] == [f"v{i % 3}" for i in range(ROWS)]
    assert got.rows[2]["s"] is None


def test_several_files(tmp_path):
    a, b = pa.table({"x": [1, 2], "y": ["p", "q"]}), pa.table({"y": ["r"], "x": pa.array([3], pa.int16())})
    pq.write_table(a, tmp_path / "1.parquet")
    pq.write_table(b, tmp_path / "2.parquet")
    got = Read("parquet", tmp_path / "*.parquet", hidden=True)
    assert [(row["x"], row["y"], row["_offset"]) for row in got.rows] == [(1, "p", 0), (2, "q", 1), (3, "r", 0)]
    assert got.positions == [0, 1, 1 << 44]
    for other, text in [({"x": [1]}, "3.parquet: no column 'y'"),
                        ({"x": ["1"], "y": ["p"]}, "3.parquet: column 'x' is string"),
                        ({"x": [1], "y": ["p"], "z": [1]}, "3.parquet: column 'z'")]:  # fmt: skip
        pq.write_table(pa.table(other), tmp_path / "3.parquet")
        with pytest.raises(InputError, match=text):
            Read("parquet", tmp_path / "*.parquet")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no such thing")
    (tmp_path / "x.arrow").write_bytes(b"ARROW1 no such thing")
    (tmp_path / "x.h5").write_bytes(b"no such thing")
    for kind, name in (("parquet", "x.parquet"), ("arrow", "x.arrow"), ("hdf5", "x.h5")):
        with pytest.raises(InputError, match=name):
            Read(kind, tmp_path / name)
    pq.write_table(
        pa.table({"x": pa.array([2**63], pa.uint64()), "y": [1], "z": pa.array([b"\xff"])}), tmp_path / "y.parquet"
    )
    assert Read("parquet", tmp_path / "y.parquet", columns=["y"]).rows == [{"y": 1}]
    for column in "xz":
        with pytest.raises(InputError, match=f"column '{column}'"):
            Read("parquet", tmp_path / "y.parquet", columns=[column])
    with pytest.raises(InputError, match=r"'z': bytes \(type binary\) that are no UTF-8 text"):
        Read("parquet", tmp_path / "y.parquet", columns=["z"])
    with pytest.raises(QueryError, match="banana"):
        Read("parquet", tmp_path / "y.parquet", [("banana", 1)])


def test_no_rows(tmp_path):
    pq.write_table(sample().slice(0, 0), tmp_path / "x.parquet")
    got = Read("parquet", tmp_path / "x.parquet")
    assert got.types == TYPES
    assert got.rows == []


# ---- HDF5


@pytest.fixture
def h5(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["g/x"] = np.arange(5, dtype="i4")
        file["g/y"] = np.linspace(0, 1, 5, dtype="f4")
        file["g/s"] = np.array([b"a", b"bb", b"", b"c", "é".encode()])
        file["g/v"] = ["u", "ü", "", "x", "y"]
        file["g/ok"] = np.array([1, 0, 1, 0, 1], bool)
        file["g/deeper/z"] = 1
        file["table"] = np.array(
            [(1, 2.5, b"x", (1, 2))] * 3, [("i", "i8"), ("f", "f4"), ("s", "S3"), ("arr", "i4", (2,))]
        )
        file["matrix"] = np.arange(6.0).reshape(3, 2)
        file["big"] = np.array([2**63], "u8")
        file["cube"] = np.zeros((2, 2, 2))
        file["complex"] = np.zeros(3, "c16")
        file["odd/a"], file["odd/b"] = np.zeros(3), np.zeros(4)
        file["bytes"] = np.array([b"\xff"])
    return path


def test_hdf5_tables(h5):
    group = Read("hdf5", h5, [("dataset", "/g")])
    assert group.types == {"ok": "bool", "s": "string", "v": "string", "x": "int64", "y": "double"}
    assert group.rows[4] == {"ok": True, "s": "é", "v": "y", "x": 4, "y": 1.0}
    assert Read("hdf5", h5, [("dataset", "table")]).rows[0] == {"i": 1, "f": 2.5, "s": "x", "arr_0": 1, "arr_1": 2}
    assert Read("hdf5", h5, [("dataset", "matrix")]).rows == [{"c0": 2.0 * i, "c1": 2.0 * i + 1} for i in range(3)]
    assert Read("hdf5", h5, [("dataset", "g/x")], terms=[[Atom("value", "int", ">", 2)]]).rows == [
        {"value": 3},
        {"value": 4},
    ]


@pytest.mark.parametrize(
    ("dataset", "error", "text"),
    [
        ("nope", InputError, "there are .*/g/x"), ("cube", InputError, r"shape \(2, 2, 2\)"),
        ("big", InputError, "64 bits"),
        ("complex", UnsupportedError, "complex128"), ("odd", InputError, "'b' has 4 rows"),
        ("bytes", InputError, "UTF-8"),
        ("g/deeper/z", InputError, "shape"),
    ],
)  # fmt: skip
def test_hdf5_that_is_no_table(h5, dataset, error, text):
    with pytest.raises(error, match=text):
        Read("hdf5", h5, [("dataset", dataset)])


def test_hdf5_splits_and_chunks(tmp_path, monkeypatch):
    from hpckit.sources import hdf5

    monkeypatch.setattr(hdf5, "SPLIT_ROWS", 1000)
    monkeypatch.setattr(hdf5, "BATCH_ROWS", 300)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("v", data=np.arange(3456), chunks=(700,), compression="gzip")
    got = Read("hdf5", tmp_path / "x.h5", hidden=True)
    assert len(got.source.splits) == 4
    assert [row["value"] for row in got.rows] == list(range(3456)) == got.positions


def test_hdf5_reads_what_hpckit_writes(tmp_path):
    utc = datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=timezone.utc).replace(tzinfo=None)
    table = pa.table(
        {
            "i": pa.array([1, None, -3]), "f": pa.array([0.5, float("nan"), None]), "b": pa.array([True, None, False]),
            "s": pa.array(["é", None, ""]), "t": pa.array([utc, None, utc], pa.timestamp("us")),
            "d": pa.array([date(2024, 2, 29), None, date(1969, 12, 31)]), "a/b.valid": pa.array(["x", "y", "z"]),
            "span": pa.array([timedelta(seconds=1), None, timedelta(0)], pa.duration("us")), "n": pa.nulls(3),
        }
    )  # fmt: skip
    path = str(tmp_path / "x.h5")
    spool = Spool(table.schema, tmp_path, 1 << 20)
    spool.append(0, table)
    hdf5_sink.write(spmd.world(), {"": spool}, target_of(path), path)
    got = Read("hdf5", path)
    assert got.table.column_names == table.column_names
    assert str(got.rows) == str(table.to_pylist())

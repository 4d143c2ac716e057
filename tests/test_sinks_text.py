"""CSV and JSON lines: spelling against DuckDB and Python, and the kernel's numbers against repr()."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sink_tables import DOUBLES, TEXTS, wild_table

from hpckit.errors import OutputError
from hpckit.sinks.encode import TextEncoder, power_table

EPOCH = datetime.datetime(1970, 1, 1)


def spelled(table: pa.Table, kind: str) -> bytes:
    encoder = TextEncoder(table.schema, kind)
    pieces = [bytes(piece) for batch in table.to_batches() for piece in encoder.encode(batch)]
    return encoder.header() + b"".join(pieces)


def duckdb_copy(table: pa.Table, path: Path, delimiter: str) -> bytes:
    con = duckdb.connect()
    con.register("rows_in", table)
    con.execute(f"COPY (SELECT * FROM rows_in) TO '{path}' (FORMAT csv, HEADER, DELIM '{delimiter}')")
    return path.read_bytes()


@pytest.mark.parametrize("kind,delimiter", [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_text_is_byte_for_byte_what_duckdb_copies(tmp_path: Path, kind: str, delimiter: str, rows: int) -> None:
    table = wild_table(rows)
    assert spelled(table, kind) == duckdb_copy(table, tmp_path / "twin.csv", delimiter)


def test_offsets_of_slices_are_honoured() -> None:
    table = wild_table(1000)
    parts = [table.slice(a, n) for a, n in [(0, 3), (3, 1), (4, 0), (4, 700), (704, 296)]]
    assert spelled(pa.concat_tables(parts), "csv") == spelled(table.combine_chunks(), "csv")


def test_csv_reads_back_with_python(tmp_path: Path) -> None:
    table = pa.table({"t": pa.array(TEXTS), "n": pa.array(range(len(TEXTS)))})
    rows = list(csv.reader(io.StringIO(spelled(table, "csv").decode(), newline="")))
    assert rows == [["t", "n"], *[[text, str(i)] for i, text in enumerate(TEXTS)]]


def slow_json(value: object) -> object:
    """A value as the JSON lines docstring promises it."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


def moment_of(text: str) -> datetime.datetime:
    """Python 3.10 reads fractions of three or six digits only."""
    return datetime.datetime.fromisoformat(text.ljust(26, "0") if "." in text else text)


def test_json_lines_read_back_with_python() -> None:
    rng = np.random.default_rng(2)
    table = wild_table(3000).select(["text", "whole", 'real, "quoted"', "yes", "é/%.valid"])
    moments = rng.integers(-(10**15), 10**16, 3000)
    table = table.append_column("time", pa.array(moments).cast(pa.timestamp("us")))
    table = table.append_column("day", pa.array(np.arange(3000, dtype=np.int32) * 7 - 9000).cast(pa.date32()))
    lines = spelled(table, "jsonl").decode().split("\n")
    assert lines.pop() == ""
    expected = table.drop_columns(["time", "day"]).to_pylist()
    assert len(lines) == len(expected)
    for i, (line, row) in enumerate(zip(lines, expected, strict=True)):
        found = json.loads(line)
        assert list(found) == table.column_names
        moment = moment_of(found.pop("time"))
        assert moment == EPOCH + datetime.timedelta(microseconds=int(moments[i]))
        assert datetime.date.fromisoformat(found.pop("day")) == EPOCH.date() + datetime.timedelta(days=7 * i - 9000)
        assert {k: repr(v) for k, v in found.items()} == {k: repr(slow_json(v)) for k, v in row.items()}


def test_json_lines_are_read_by_duckdb(tmp_path: Path) -> None:
    table = wild_table(500).select(["text", "whole", "yes"])
    path = tmp_path / "x.jsonl"
    path.write_bytes(spelled(table, "jsonl"))
    types = "{text: 'VARCHAR', whole: 'BIGINT', yes: 'BOOLEAN'}"
    rows = duckdb.sql(f"SELECT * FROM read_json('{path}', format='newline_delimited', columns={types})").fetchall()
    assert rows == [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_null_column_and_no_columns(kind: str) -> None:
    table = pa.table({"a": pa.nulls(2), "b": [1, 2]})
    assert spelled(table, kind) == (b"a,b\n,1\n,2\n" if kind == "csv" else b'{"a":null,"b":1}\n{"a":null,"b":2}\n')
    empty = TextEncoder(pa.schema([]), kind)
    assert list(empty.encode(pa.record_batch([], pa.schema([])))) == []


def test_a_cell_larger_than_the_buffer() -> None:
    long = "x" * 3_000_000 + '"'
    table = pa.table({"a": ["s", long, "t"]})
    assert spelled(table, "csv").decode() == 'a\ns\n"' + "x" * 3_000_000 + '"""\nt\n'


def test_type_without_spelling_is_refused() -> None:
    with pytest.raises(OutputError, match="column 'l' has type list"):
        TextEncoder(pa.schema([("l", pa.list_(pa.int64()))]), "csv")


def doubles_as_text(values: np.ndarray) -> list[str]:
    return spelled(pa.table({"x": values}), "csv").decode().split("\n")[1:-1]


def test_doubles_are_the_shortest_text_that_reads_back() -> None:
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**64, 60_000, dtype=np.uint64).view(np.float64)
    short = np.round(rng.normal(size=20_000) * 1000, 3)
    shifted = rng.integers(1, 10**17, 20_000) / 10.0 ** rng.integers(0, 25, 20_000)
    tiny = rng.integers(0, 2**52, 5_000, dtype=np.uint64).view(np.float64)
    twos = np.array([2.0**k for k in range(-1074, 1024)])
    tens = np.array([float(f"1e{k}") for k in range(-323, 309)])
    near = np.concatenate([np.nextafter(a, b) for a in (twos[:-1], tens) for b in (np.inf, 0.0)])
    values = np.concatenate([bits, short, shifted, tiny, twos, tens, near, np.array(DOUBLES)])
    assert doubles_as_text(values) == [repr(float(v)) for v in values]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=50))
def test_any_double_as_python_spells_it(values: list[float]) -> None:
    assert doubles_as_text(np.array(values)) == [repr(v) for v in values]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(alphabet=st.characters(codec="utf-8"), max_size=20)), min_size=1))
def test_any_text_survives_csv_and_json(texts: list[str | None]) -> None:
    table = pa.table({"t": pa.array(texts, pa.string()), "end": [1] * len(texts)})
    objects = [json.loads(line)["t"] for line in spelled(table, "jsonl").decode().split("\n")[:-1]]
    assert objects == texts
    rows = list(csv.reader(io.StringIO(spelled(table, "csv").decode(), newline="")))[1:]
    assert [row[0] for row in rows] == [text or "" for text in texts]
    nulls = spelled(table, "csv").startswith(b"t,end\n,1\n")
    assert nulls == (texts[0] is None)


def test_powers_are_128_bits_rounded_up() -> None:
    table = power_table()
    assert table.shape == (617, 2)
    assert (table[:, 0] >> 63 == 1).all()
    assert (int(table[292][0]), int(table[292][1])) == (1 << 63, 0)  # 10^0
    third = (int(table[291][0]) << 64) | int(table[291][1])  # 10^-1 = third / 2^131
    assert 0 < third * 10 - 2**131 < 10

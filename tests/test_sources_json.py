"""JSON lines and logfmt as a source: which columns are found, what values become, what damaged lines do."""

from __future__ import annotations

import gzip
import json
from datetime import datetime

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_rows import Read

from hpckit.errors import InputError, UnsupportedError
from hpckit.formats import Mode, load, names
from hpckit.sources.base import Atom


def read(tmp_path, lines, options=(), kind="json", **how):
    path = tmp_path / "x.jsonl"
    data = (
        lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
    )
    path.write_bytes(data)
    return Read(kind, path, options, **how)


RECORDS = [
    '{"id": 1, "name": "ann", "load": 0.5, "ok": true, "when": "2024-01-02T03:04:05Z", '
    '"at": {"host": "n1", "pos": {"x": 1}}}',
    '{"name": "b\\u00f6b", "id": -9223372036854775808, "load": 1e3, "new": [1, {"a": 2}], '
    '"when": "2024-01-02T03:04:05.25Z"}',
    '{"id": null, "at": null, "load": -0.0, "ok": false}',
    "{}",
]


def test_columns_in_order_of_first_sight(tmp_path):
    got = read(tmp_path, RECORDS)
    assert got.types == {
        "id": "int64", "name": "string", "load": "double", "ok": "bool", "when": "timestamp[us]", "at.host": "string",
        "at.pos.x": "int64", "new": "string",
    }  # fmt: skip
    first, second, third, fourth = got.rows
    assert first["when"] == datetime(2024, 1, 2, 3, 4, 5)
    assert (first["at.host"], first["at.pos.x"]) == ("n1", 1)
    assert second["name"] == "böb"
    assert second["id"] == -(2**63)
    assert second["new"] == '[1, {"a": 2}]'
    assert set(third.values()) == {None, -0.0, False}
    assert set(fourth.values()) == {None}


def test_agrees_with_duckdb(tmp_path):
    lines = [
        json.dumps({"i": i, "f": i / 7, "s": f"text {i}\t€", "b": i % 2 == 0, "n": None if i % 3 else i})
        for i in range(50)
    ]
    got = read(tmp_path, lines)
    assert got.rows == duckdb.sql(f"SELECT * FROM read_json('{tmp_path}/x.jsonl')").to_arrow_table().to_pylist()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "2.5"], "double", [1.0, 2.5]), (["9007199254740993", "0.5"], "string", ["9007199254740993", "0.5"]),
        (["9223372036854775808"], "string", ["9223372036854775808"]), (["1", '"x"'], "string", ["1", "x"]),
        (["9007199254740993"], "int64", [9007199254740993]), (["true", "1"], "string", ["true", "1"]),
        (["null"], "string", [None]), (["[1, 2]", "null"], "string", ["[1, 2]", None]), (["{}"], "string", ["{}"]),
        (['{"a": 1}', "7"], "string", ['{"a": 1}', "7"]), (['"2024-01-02"'], "date32[day]", None),
        (['"12"', '"7"'], "string", ["12", "7"]), (['""'], "string", [""]), (["NaN", "-Infinity"], "double", None),
        (['"2024-01-02 03:04:05"', '""'], "string", None), (['"\\ud83d\\ude00 \\ud83d"'], "string", ["😀 \ufffd"]),
        (["-0"], "int64", [0]), (["1E400"], "double", [float("inf")]),
    ],
)  # fmt: skip
def test_type_of_a_key(tmp_path, values, kind, expected):
    got = read(tmp_path, [f'{{"k": {value}}}' for value in values])
    assert got.types == {"k": kind}
    assert got.counts.rejected == 0
    if expected is not None:
        assert [row["k"] for row in got.rows] == expected


def test_equal_keys_the_last_counts(tmp_path):
    got = read(tmp_path, ['{"a": 1, "a": 2}', '{"a": 3, "a": null}', '{"\\u0061": 4}'])
    assert [row["a"] for row in got.rows] == [2, None, 4]


def test_names_of_columns_differ(tmp_path):
    got = read(tmp_path, ['{"a": 1, "A": 2, "_raw": 3, "b.c": 4, "": 5}'])  # an empty key is no column
    assert got.rows == [{"a": 1, "A_1": 2, "_raw_1": 3, "b.c": 4}]


def test_large_objects_stay_text(tmp_path):
    wide = json.dumps({f"k{i}": i for i in range(500)})
    deep = '{"x":' * 300 + "1" + "}" * 300
    got = read(tmp_path, [f'{{"map": {wide}, "deep": {deep}, "long": {{"{"k" * 600}": 1}}}}'])
    assert got.rows[0]["map"] == wide
    assert len(got.source.schema.names) == 3
    assert json.loads(got.rows[0][got.source.schema.names[1]])
    assert got.rows[0]["long"].startswith('{"kkk')


def test_options(tmp_path):
    lines = ['{"a": 1, "t": "01.02.2024 10:00:00", "c": "x"}']
    got = read(
        tmp_path, lines, [("types", {"a": "DOUBLE", "later": "BIGINT"}), ("timestampformat", "%d.%m.%Y %H:%M:%S")]
    )
    assert got.rows == [{"a": 1.0, "t": datetime(2024, 2, 1, 10), "c": "x", "later": None}]
    assert read(tmp_path, lines, [("columns", {"c": "VARCHAR", "a": "BIGINT"})]).rows == [{"c": "x", "a": 1}]
    with pytest.raises(UnsupportedError, match="delim"):
        read(tmp_path, lines, [("delim", ",")])
    with pytest.raises(UnsupportedError, match="array"):
        read(tmp_path, lines, [("format", "array")])


HOSTILE = [b'{"a":1}', b"", b'{"a":1', b'{"a":[1}', b"\r", b'{"a":"x"}', b'{"a":9223372036854775808}', b'{"a":2}\r',
           b"null",
           b'{"a":3,"z":"\xff"}', b'{"a":4}\0', b"\0", b'{"a":5,"b":"\\q"}', b'{"a":6}{"a":7}', b'{"a": 8 } ',
           b'{"a":[[[[',
           b'{"a":"unfinished']  # fmt: skip


@pytest.mark.parametrize("split_bytes", [1, 7, 50, 1 << 20])
def test_hostile_lines_are_counted(tmp_path, split_bytes):
    got = read(tmp_path, b"\n".join(HOSTILE), [("types", {"a": "BIGINT"})], columns=["a"], split_bytes=split_bytes)
    assert [row["a"] for row in got.rows] == [1, 2, 3, 5, 8]
    counts = got.counts
    assert (counts.lines, counts.parsed, counts.rejected, counts.blank) == (17, 5, 10, 2)


def test_misfit_behind_the_sample(tmp_path):
    lines = ['{"o": {"a": 1}, "i": 1}'] * 20_480 + ['{"o": 7}', '{"i": "x"}', '{"o": null, "new": 1}']
    got = read(tmp_path, lines)
    assert got.counts.rejected == 2
    assert got.rows[-1] == {"o.a": None, "i": None}


@pytest.mark.parametrize("text", ['[{"a": 1},\n{"a": 2}]\n', '{\n"a": 1\n}\n', "no json\n"])
def test_not_json_lines(tmp_path, text):
    with pytest.raises(InputError, match="JSON object"):
        read(tmp_path, text.encode())


def test_nothing_to_find_columns_in(tmp_path):
    with pytest.raises(InputError, match="columns"):
        read(tmp_path, b"")
    assert read(tmp_path, b"", [("columns", {"a": "BIGINT"})]).types == {"a": "int64"}


def test_cut_off_gzip(tmp_path):
    lines = "".join(f'{{"i": {i}, "t": "{i * 7919 % 10007}"}}\n' for i in range(50_000)).encode()
    packed = gzip.compress(lines)
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    got = Read("json", path)
    assert 0 < len(got.rows) < 50_000
    assert [row["i"] for row in got.rows] == list(range(len(got.rows)))
    assert "compressed data damaged" in got.counts.reasons


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=5,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["p", "q", "r"]), VALUES, max_size=3), min_size=1, max_size=8),
       st.integers(1, 80))  # fmt: skip
def test_no_value_is_lost(tmp_path_factory, records, split_bytes):
    """Whatever was sampled is read: no rejects, and every value can be told from its columns."""
    lines = [json.dumps(record) for record in records]
    if not any(records):
        return
    got = read(tmp_path_factory.mktemp("json"), lines, split_bytes=split_bytes)
    assert got.counts.rejected == 0
    assert got.counts.parsed == len(records)
    for row, record in zip(got.rows, records, strict=True):
        for key, value in record.items():
            same(row, key, value)


def same(row, key, value):
    got = row.get(key)
    if value is None:
        assert got is None
    elif isinstance(value, dict) and key not in row:
        for name, inner in value.items():
            same(row, f"{key}.{name}", inner)
    elif isinstance(value, str):
        assert got == value or isinstance(got, datetime)
    elif isinstance(got, str):
        assert json.loads(got) == value
    else:
        assert got == value


def test_terms_on_raw_bytes(tmp_path):
    lines = [f'{{"i": {i}, "s": "k{i % 3}", "f": {i}.5}}' for i in range(20)]
    terms = [[Atom("i", "int", ">=", 15), Atom("s", "in", None, [b"k1"])], [Atom("f", "float", "<", 2.0)]]
    got = read(tmp_path, lines, terms=terms)
    assert [row["i"] for row in got.rows] == [0, 1, 16, 19]
    assert got.counts.parsed == 20


def test_journald(tmp_path):
    lines = ['{"__REALTIME_TIMESTAMP":"1704164645123456","_PID":"42","MESSAGE":[72,105],"EXTRA":"x","PRIORITY":"3"}',
             '{"MESSAGE":"plain","_HOSTNAME":"n1"}']  # fmt: skip
    got = read(tmp_path, lines, [("format", "journald_json")], kind="logs")
    first, second = got.rows
    assert first["time"] == datetime(2024, 1, 2, 3, 4, 5, 123456)
    assert (first["pid"], first["message"], first["EXTRA"], first["priority"]) == (42, "Hi", "x", 3)
    assert (second["message"], second["host"], second["time"]) == ("plain", "n1", None)


def test_logfmt(tmp_path):
    lines = ['time=2024-01-02T03:04:05Z level=info msg="say \\"hi\\"" n=1 took=0.5 dry=true gone',
             'time=2024-01-02T03:04:06.5Z level=warn msg=x n= took=2 path=/a b=1', 'no pairs here',
             'msg="open']  # fmt: skip
    got = read(tmp_path, lines, [("format", "logfmt")], kind="logs")
    assert got.counts.rejected == 1
    first, second, third = got.rows
    assert first["msg"] == 'say "hi"'
    assert (first["n"], first["took"], first["dry"]) == (1, 0.5, True)
    assert (second["n"], second["took"], second["path"], second["b"]) == (None, 2.0, "/a", 1)
    assert second["time"] == datetime(2024, 1, 2, 3, 4, 6, 500_000)
    assert set(third.values()) == {None}


RECORD_FORMATS = [name for name in names() if load(name).mode is not Mode.PATTERN]
EXAMPLES = [(name, i) for name in RECORD_FORMATS for i in range(len(load(name).examples))]


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
def test_examples_of_the_formats_without_a_pattern(tmp_path, name, number):
    text, wanted = load(name).examples[number]
    row = read(tmp_path, [text.lstrip("\n")], [("format", name)], kind="logs").rows[0]
    for column, value in wanted.items():
        got = row[column]
        assert got == (datetime.fromisoformat(value) if isinstance(got, datetime) else value), column

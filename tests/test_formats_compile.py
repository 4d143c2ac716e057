"""The pattern language: what it compiles to, what it cuts, and where it points when a pattern is wrong."""

from __future__ import annotations

import pytest

from hpckit.errors import FormatError, InputError
from hpckit.formats import FieldType, StepKind, compile_pattern, load, load_file
from hpckit.formats.reference import cut_any, matches_start, parse, parse_line
from hpckit.formats.values import Misfit


def cut(pattern, line):
    fmt = compile_pattern(pattern)
    return {f.name: raw for f, raw in zip(fmt.fields, cut_any(fmt, line), strict=True)}


def test_steps_are_flat_and_optional_groups_count_theirs():
    fmt = compile_pattern("{component}(?[{pid:int}]): {message:rest}")
    assert [(s.kind.name, s.literal, s.field, s.skip) for s in fmt.steps] == [
        ("FIELD", b"", 0, 0),
        ("OPTIONAL", b"[", -1, 3),
        ("LITERAL", b"[", -1, 0),
        ("FIELD", b"", 1, 0),
        ("LITERAL", b"]", -1, 0),
        ("LITERAL", b": ", -1, 0),
        ("REST", b"", 2, 0),
    ]
    assert [(f.name, f.type, f.text) for f in fmt.fields] == [
        ("component", FieldType.STRING, False),
        ("pid", FieldType.INT, False),
        ("message", FieldType.STRING, True),
    ]


def test_nested_groups_count_inner_steps_and_captured_literals_hold_their_field():
    fmt = compile_pattern('"{m:quoted}(? {p:quoted}(? {v:quoted}))" (?{level=error}: ){text}')
    optional = [s for s in fmt.steps if s.kind is StepKind.OPTIONAL]
    assert [(s.literal, s.skip) for s in optional] == [(b" ", 5), (b" ", 2), (b"error: ", 2)]
    captured = [s for s in fmt.steps if s.kind is StepKind.LITERAL and s.field >= 0]
    assert [(s.literal, fmt.fields[s.field].name) for s in captured] == [(b"error", "level")]


@pytest.mark.parametrize(
    ("pattern", "line", "wanted"),
    [
        ("{a} {b}", b"x y z", {"a": b"x", "b": b"y z"}),
        ("{a}{>}{b}", b"x    y", {"a": b"x", "b": b"y"}),
        ("{a}{>}{b}", b"x", {"a": b"x", "b": b""}),
        ("{a}(? ({b}{)})", b"x", {"a": b"x", "b": None}),
        ("{a}(? ({b}{)})", b"x (y)", {"a": b"x", "b": b"y"}),
        ("{a} ({b})", b"x (y)", {"a": b"x", "b": b"y"}),
        ("{{{a}}} ((?{b}", b"{x} (?y", {"a": b"x", "b": b"y"}),
        ("{a}{\\t}{b}", b"x\ty", {"a": b"x", "b": b"y"}),
        ("{a}||{b}", b"x|y||z", {"a": b"x|y", "b": b"z"}),
        ("{a}" + 30 * "=" + "{b}", b"x" + 30 * b"=" + b"y", {"a": b"x", "b": b"y"}),
        ("(?" + 30 * "=" + "{a} ){b}", 30 * b"=" + b"x y", {"a": b"x", "b": b"y"}),
        ("{_:int} {b}", b"1 y", {"": b"1", "b": b"y"}),
        ("{t:%Y%m%d}{b}", b"20240102y", {"t": b"20240102", "b": b"y"}),
        ("{t:%e %b %Y} {b}", b" 4 Jun 2024 y", {"t": b" 4 Jun 2024", "b": b"y"}),
        ("{t:%H:%M:%S}-{b}", b"03:04:05-y", {"t": b"03:04:05", "b": b"y"}),
        ('"{q:quoted}" {b}', rb'"a \" \\" y', {"q": rb'a " ' + b"\\", "b": b"y"}),
        ('"{q:quoted}(? {r:quoted})" {b}', b'"GET" y z', {"q": b"GET", "r": None, "b": b"y z"}),
        ("{a} {b:rest}", b"x y\n\tat z", {"a": b"x", "b": b"y\n\tat z"}),
        (["{a}={b}", "{b}"], b"x", {"a": None, "b": b"x"}),
        (["{a}={b}", "{b}"], b"x=y", {"a": b"x", "b": b"y"}),
        ("(?{k=one} )(?{k=two} ){b}", b"two z", {"k": b"two", "b": b"z"}),
        ("", b"", None),
    ],
)
def test_cut(pattern, line, wanted):
    if wanted is None:
        with pytest.raises(FormatError, match="empty"):
            compile_pattern(pattern)
    else:
        assert cut(pattern, line) == wanted


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("{a} {b}", b"x"),
        ("{a} {b}.", b"x y"),
        ("[{a}] {b}", b"x y"),
        ("{t:%H:%M:%S} {b}", b"03:04 y"),
        ('"{q:quoted}" {b}', rb'"a \" y'),
        ('"{q:quoted} {r:quoted}" {b}', b'"a" b c'),  # the words of a quoted list lie inside the quotes
        ("{a}[{b}] {c}", b"x\n[y] z"),  # only the last field goes beyond the first line
        ("{a}({b})", b"x(y)z"),
    ],
)
def test_misfit(pattern, line):
    with pytest.raises(Misfit):
        cut(pattern, line)


@pytest.mark.parametrize(
    ("pattern", "place", "message"),
    [
        ("{a:whole} {b}", 1, "unknown type 'whole'"),
        ("{a} {b", 4, "'{' without '}'"),
        ("{a} b}", 5, "'}' without '{'"),
        ("{a}{b}", 0, "nothing tells where this field ends"),
        ("{a}(? {b}){c}", 0, "nothing tells where this field ends"),
        ("{t:%e}{b}", 0, "nothing tells where this field ends"),
        ("{a} (?{b}) {c}", 6, "must begin with a literal"),
        ("{a}(? {b}", 9, "is not closed"),
        ("{a} {a}", 5, "occurs twice"),
        ("{a} {A}", 5, "upper and lower case"),
        ("{a:rest} {b}", 0, "must be the last"),
        ("{a:%Y-%q} {b}", 1, "unknown directive '%q'"),
        ("{1st} {b}", 1, "not a field name"),
        ("{_raw} {b}", 1, "every table has"),
        ("{a|nul=-} {b}", 1, "known: type, time_format, null"),
        ("{a}{>} {b}", 6, "can never match"),
        ("{a:quoted} {b}", 0, "must be followed by"),
        ("{a}(?b{b})(?c{c})(?d{d})(?e{e}) {f}", 0, "5 ways to end"),
        ("{a|null=" + 25 * "x" + "} {b}", 1, "at most 24 bytes"),
        ("(?{a=" + 25 * "x" + "}) {b}", 3, "longer than 24 bytes"),
        ("{a:" + 13 * "%H:%M:" + "} {b}", 1, "at most 48"),
        ("(?x{a:int})(? {a:float})", 15, "another type"),
        ("{n:int} (?{n=5})", 11, "occurs twice"),
        ("(? {n:int})(?{n=5})", 14, "must be a string"),
    ],
)
def test_errors_point_at_the_place(pattern, place, message):
    with pytest.raises(FormatError) as caught:
        compile_pattern(pattern)
    first, shown, caret = str(caught.value).split("\n")
    assert message in first
    assert first.startswith("format 'inline': ")
    assert shown == "    " + pattern
    assert caret == "    " + " " * place + "^"


def test_values_by_type():
    fmt = compile_pattern("{i:int|null=-|null=na} {f:float} {b:bool} {t:epoch_ms} {d:date} {j:json}")
    wanted = {"i": -7, "f": 0.5, "b": True, "t": 1_500_000, "d": 19_782, "j": '{"a": 1}'}
    assert parse_line(fmt, b'-7 5e-1 TRUE 1500 2024-02-29 {"a": 1}') == wanted
    assert parse_line(fmt, b"na .5 no -1 1970-01-01 null")["i"] is None
    for bad in (b"9223372036854775808 1 1 1 1970-01-01 x", b"1_0 1 1 1 1970-01-01 x", b"1 0x1 1 1 1970-01-01 x",
                b"1 1 maybe 1 1970-01-01 x", b"1 1 1 1.5 1970-01-01 x", b"1 1 1 1 2023-02-29 x",
                b"1 1 1 1 1970-01-01 \xff"):  # fmt: skip
        with pytest.raises(Misfit):
            parse_line(fmt, bad)
    assert parse_line(fmt, b"9223372036854775807 inf 0 0 1970-01-01 x")["i"] == 2**63 - 1


@pytest.mark.parametrize(
    ("mask", "line", "wanted"),
    [
        ("dd:a", b"12:xyz", True), ("dd:a", b"1a:xyz", False), ("dd:a", b"12:", False), (r"\d.d", b"d-7", True),
        (r"\d.d", b"1-7", False), ("", b"", True), ("[dd", b"[12", True),
    ],
)  # fmt: skip
def test_record_start_mask(mask, line, wanted):
    assert matches_start(mask, line) is wanted


def test_continuation_lines_stay_with_their_record_and_count():
    fmt = load("spark")
    text = b"orphan\r\n17/06/09 20:10:40 INFO a.B: one\r\n\tat x\r\n\r\n\tat y\r\n17/06/09 20:10:41 INFO a.B: two"
    found = list(parse(fmt, text.split(b"\n")))
    assert [(r.lines, r.values and r.values["message"]) for r in found] == [
        (1, None),
        (3, "one\n\tat x\n\tat y"),
        (1, "two"),
    ]


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_own_format_file(tmp_path):
    text = "pattern = '{day} {clock} {n} {text}'\nrecord_start = 'dd'\ntime_zone = 'Asia/Tokyo'\n"
    text += "[fields.n]\ntype = 'int'\nnull = '-'\n[fields.time]\nderived_from = ['day', 'clock']\n"
    fmt = load_file(write(tmp_path, text + "time_format = '%d.%m.%y %T'\n"))
    assert (fmt.name, fmt.record_start, fmt.time_zone) == ("mine", "dd", "Asia/Tokyo")
    values = parse_line(fmt, b"02.01.24 03:04:05 - x")
    assert values == {
        "day": "02.01.24",
        "clock": "03:04:05",
        "n": None,
        "text": "x",
        "time": 1704132245000000,
    }  # 03:04:05 in Tokyo
    assert fmt.fields[fmt.index("time")].time_format == "%d.%m.%y %H:%M:%S"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pattern = '{a'", "without"),
        ("pattern = 7", "wrong type"),
        ("pattern = ['{a}', '{a}', '{a}', '{a}', '{a}', '{a}', '{a}', '{a}', '{a}']", "9 patterns, at most 8"),
        ("name = 'x'", "needs either pattern or mode"),
        ("mode = 'xml'", "not one of csv, json, logfmt"),
        ("mode = 'csv'\ndelimiter = 'ab'", "one byte"),
        ("mode = 'csv'\nheader = 3", "header = 3"),
        ("pattern = '{a}'\npatern = 'x'", "unknown key 'patern'"),
        ("pattern = '{a}'\n[fields.b]\ntype = 'int'", "not in the pattern"),
        ("pattern = '{a}'\n[fields.b]\nderived_from = ['c']\ntime_format = '%s'", "derived_from"),
        ("pattern = '{a}'\n[fields.b]\nderived_from = ['a']", "needs time_format"),
        ("pattern = '{a}'\nrecord_start = 'd\\'", "backslash"),
        ("pattern = ", "not TOML"),
        ("pattern = '{a}'\ntime_zone = 'Mars/Base'", "Mars/Base"),
    ],
)
def test_own_format_file_that_is_wrong(tmp_path, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        load_file(write(tmp_path, text))
    assert "mine.toml" in str(caught.value)


def test_missing_file_and_unknown_name(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        load_file(tmp_path / "none.toml")
    with pytest.raises(FormatError, match="did you mean combined"):
        load("combind")

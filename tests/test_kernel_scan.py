"""The scan kernel against slow Python twins at every SIMD level: CSV, JSON, logfmt, patterns, numbers, UTF-8, times."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpckit._kernels import scan
from hpckit.formats.times import Clock, parse_time

LEVELS = range(3)
EXAMPLES = settings(max_examples=120, deadline=None)


def run(mode, data, fields, **options):
    """([row of texts], {offset: reason}, counts) of all records of `data`, the same at every SIMD level."""
    found = []
    for level in LEVELS:
        try:
            found.append(_run(level, mode, data, fields, **options))
        except ValueError as error:
            if "not available" not in str(error):
                raise
    assert found
    assert all(one == found[0] for one in found)
    return found[0]


def _run(level, mode, data, fields, null=(b"",), **options):
    columns = [{"field": i, "kind": "text", "null": null} for i in range(fields)]
    scanner = scan.Scanner(mode=mode, field_count=fields, columns=columns, row_capacity=7, reject_capacity=5,
                           level=level, text_capacity=1 << 16, **options)  # fmt: skip
    buffer = np.frombuffer(data + bytes(scan.PADDING), np.uint8)
    scanner.start_split(0, False, False)
    rows, rejects = [], {}
    while True:
        status = scanner.scan(buffer, len(data), 1 << 62, 0, True)
        rejects.update((int(r["offset"]), scan.REASONS[r["reason"]]) for r in scanner.take_rejects())
        offsets, arrays = scanner.take()
        texts = [[_cell(array, i) for i in range(len(offsets))] for array in arrays]
        rows += [(int(offsets[i]), *(column[i] for column in texts)) for i in range(len(offsets))]
        if status == scan.DONE:
            return rows, rejects, scanner.take_counts()


def _cell(array, i):
    offsets, valid, text = array
    if valid is not None and not valid[i]:
        return None
    return text[offsets[i] : offsets[i + 1]].tobytes()


def account(data, counts):
    """Every line is in exactly one count."""
    lines, parsed, continuation, rejected, blank = counts
    assert lines == parsed + continuation + rejected + blank
    assert lines == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


# ---- CSV

CSV_PARTS = [b"a", b"1", b",", b",", b'"', b'"', b'""', b"\n", b"\n", b"\r\n", b"\r", b" ", b"x" * 31, b"y" * 64, b"\0",
             "é€".encode(), b"\xff"]  # fmt: skip


def csv_twin(data, fields, quoting):
    """Records by a state machine, one byte after the other."""
    rows, rejects, blank = [], {}, 0
    at = 0
    while at < len(data):
        stop, quotes = at, 0
        while stop < len(data) and (data[stop : stop + 1] != b"\n" or (quoting and quotes % 2)):
            quotes += data[stop : stop + 1] == b'"'
            stop += 1
        line = data[at:stop].removesuffix(b"\r")
        cells, reason = csv_cells(line, quoting, fields)
        if line == b"":
            blank += 1
        elif reason is None and len(cells) == fields and all(_utf8(cell) for cell in cells):
            rows.append((at, *cells))
        else:
            few = reason is None and len(cells) < fields
            many = len(cells) > fields
            rejects[at] = "too_many" if many else reason or ("too_few" if few else "utf8")
        at = stop + 1
    return rows, rejects, blank


def csv_cells(line, quoting, fields):
    cells, at = [], 0
    while True:
        if quoting and line[at : at + 1] == b'"':
            match = re.compile(rb'"((?:[^"]|"")*)"(?=,|$)', re.DOTALL).match(line, at)
            if not match and len(cells) >= fields:
                return [*cells, None], None  # there is no such field: whether it is well-formed does not matter
            if not match or (match.end() < len(line) and line[match.end() : match.end() + 1] != b","):
                return cells, "quote"
            cells.append(match[1].replace(b'""', b'"'))
            at = match.end()
        else:
            stop = line.find(b",", at)
            stop = len(line) if stop < 0 else stop
            cells.append(line[at:stop] or None)
            at = stop
        if at >= len(line):
            return cells, None
        at += 1


def _utf8(text):
    try:
        return text is None or text.decode() is not None
    except UnicodeDecodeError:
        return False


@EXAMPLES
@given(st.lists(st.sampled_from(CSV_PARTS), max_size=60).map(b"".join), st.integers(1, 4), st.booleans())
def test_csv(data, fields, quoting):
    rows, rejects, counts = run(2, data, fields, quoting=quoting)
    wanted_rows, wanted_rejects, blank = csv_twin(data, fields, quoting)
    assert rows == wanted_rows
    assert rejects == wanted_rejects
    assert counts[1] == len(rows)
    assert counts[4] == blank
    account(data, counts)


def test_csv_quoted_nothing_is_text_but_no_number():
    columns = [{"field": 0, "kind": "text", "null": (b"",)}, {"field": 1, "kind": "int", "null": (b"",)}]
    data = b'"",""\n,\n"x"," 7 "\n'
    scanner = scan.Scanner(mode=2, field_count=2, columns=columns)
    scanner.start_split(0, False, False)
    assert scanner.scan(np.frombuffer(data + bytes(128), np.uint8), len(data), 1 << 62, 0, True) == scan.DONE
    (_, valid, _), (numbers, int_valid, _) = scanner.take()[1]
    assert valid.tolist() == [1, 0, 1]
    assert int_valid.tolist() == [0, 0, 1]
    assert numbers[2] == 7


# ---- JSON

JSON_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=12),
                         st.text(max_size=8).map(lambda t: t * 12))  # fmt: skip
JSON_VALUES = st.recursive(
    JSON_SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "c", 'é"\\', ""]), inner, max_size=3)
    ),
    max_leaves=8,
)
JSON_KEYS = ["a", "b", "c", "o.a", "o.b", 'é"\\', ""]


class Raw(str):
    """The text of a number."""

    __slots__ = ()


def json_twin(line):
    """{dotted key: value} of a line, None if it is no JSON object; numbers as their text."""
    try:
        value = json.loads(line, strict=False, parse_int=Raw, parse_float=Raw, parse_constant=Raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    inner = value.get("o")
    if not isinstance(inner, dict) and inner is not None:
        return None  # members of `o` are columns: another value would be lost
    return value | {f"o.{k}": v for k, v in (inner or {}).items()}


def check_json(line):
    rows, rejects, counts = run(
        3, line + b"\n", len(JSON_KEYS), null=(), keys=[k.encode() for k in JSON_KEYS], nested=True
    )
    account(line + b"\n", counts)
    wanted = json_twin(line)
    if wanted is None:
        # escapes and UTF-8 are looked at in the columns that are read, not in the rest of the record
        assert rejects or b"\\" in line or not _utf8(line) or line.strip() == b""
        return
    assert not rejects, line
    for key, got in zip(JSON_KEYS, rows[0][1:], strict=True):
        same_json(got, wanted.get(key))


def same_json(got, wanted):
    if wanted is None:
        assert got is None
    elif isinstance(wanted, bool):
        assert got == (b"true" if wanted else b"false")
    elif isinstance(wanted, str):
        assert got == re.sub("[\ud800-\udfff]", "�", wanted).encode()
    else:
        assert json.loads(got, strict=False, parse_int=Raw, parse_float=Raw, parse_constant=Raw) == wanted


@EXAMPLES
@given(
    st.dictionaries(st.sampled_from(["a", "b", 'é"\\', "", "z"]), JSON_VALUES, max_size=5),
    st.one_of(st.none(), st.dictionaries(st.sampled_from(["a", "b", "q"]), JSON_VALUES, max_size=3)),
    st.booleans(),
    st.sampled_from([None, (",", ":"), (" ,\t", " : ")]),
)
def test_json(record, inner, ascii_only, separators):
    if inner is not None:
        record["o"] = inner
    text = json.dumps(record, ensure_ascii=ascii_only, separators=separators)
    check_json(text.encode("utf-8", "surrogatepass").replace(b"\n", b" "))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "z"]), JSON_VALUES, min_size=1, max_size=3), st.data())
def test_damaged_json(record, data):
    line = bytearray(json.dumps(record).encode())
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 1))] = data.draw(
            st.sampled_from(list(b'{}[]",:01-+.eEnt ')).map(lambda c: bytes([c]))
        )
    check_json(bytes(line))


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        (b'{"a":1,"a":2}', True), (b'{"a":[1}', False), (b'{"a":[1}}', False), (b'{"a":{"b":]}', False),
        (b'{"a":01}', False), (b'{"a":1.}', False), (b'{"a":.5}', False), (b'{"a":-}', False), (b'{"a":+1}', False),
        (b'{"a":1e}', False), (b'{"a":1E+5}', True), (b'{"a":NaN,"b":-Infinity}', True), (b'{"a":nan}', False),
        (b'{"a":tru}', False), (b'{"a":1,}', False), (b'{"a" 1}', False), (b'{"a":1}x', False), (b'[1]', False),
        (b'{"a":"\\ud83d\\ude00"}', True), (b'{"a":"\\ud83d"}', True), (b'{"a":"\\u12"}', False),
        (b'{"a":"\\q"}', False),
        (b'{"\\u0061":5}', True), (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", True),
        (b'{"a":' + b"[" * 600 + b"]" * 600 + b"}", False), (b'{"a":' + b"[" * 100_000 + b"}", False),
        (b'{"o":1}', False), (b'{"o":null}', True), (b'{"o":{"a":7}}', True), (b"{}", True), (b"null", False),
    ],
)  # fmt: skip
def test_json_cases(line, fits):
    rows, rejects, _ = run(3, line, len(JSON_KEYS), null=(), keys=[k.encode() for k in JSON_KEYS], nested=True)
    assert bool(rows) == fits
    assert bool(rejects) != fits
    if fits and b"[[" not in line:
        check_json(line)


# ---- logfmt

LOGFMT_PARTS = [b"a", b"b", b"=", b"=", b" ", b" ", b"\t", b'"', b'"', b"\\", b"x" * 33, b"1", "é".encode(), b"\xff"]
LOGFMT_PAIR = re.compile(rb'([^= \t"]+)(?:=(?:"((?:[^"\\]|\\.)*)"(?=[ \t]|$)|(?!")([^ ]*)))?', re.DOTALL)


def logfmt_twin(line, keys):
    """Values of `keys`, None if the line is not logfmt: one key=value after the other."""
    found, at = {}, 0
    while True:
        while line[at : at + 1] in (b" ", b"\t"):
            at += 1
        if at >= len(line):
            return [found.get(key) for key in keys]
        match = LOGFMT_PAIR.match(line, at)
        if not match or (match.end() < len(line) and line[match.end() : match.end() + 1] not in (b" ", b"\t")):
            return None
        key, quoted, bare = match.groups()
        found[key] = re.sub(rb'\\([\\"])', rb"\1", quoted) if quoted is not None else bare
        at = match.end()


@EXAMPLES
@given(st.lists(st.sampled_from(LOGFMT_PARTS), max_size=40).map(b"".join))
def test_logfmt(line):
    keys = [b"a", b"b", b"ab"]
    rows, rejects, counts = run(4, line + b"\n", 3, null=(), keys=keys)
    account(line + b"\n", counts)
    wanted = logfmt_twin(line, keys)
    if line and (wanted is None or not all(_utf8(v) for v in wanted)):
        assert rejects
    elif line:
        assert wanted is not None
        got = rows[0][1:]
        if not any(v and b"\\" in v for v in (*got, *wanted)):
            assert list(got) == wanted


# ---- patterns

PATTERN = [
    ("field", 0, 0, 0, 0, False, False, (b" ",)),
    ("literal", -1, 0, 0, 0, False, False, (b" [",)),
    ("field", 1, 0, 0, 0, False, False, (b"] ",)),
    ("literal", -1, 0, 0, 0, False, False, (b"] ",)),
    ("spaces", -1, 0, 0, 0, False, False, ()),
    ("field", 2, 0, 0, 3, False, False, ()),
    ("literal", -1, 0, 0, 0, False, False, (b":",)),
    ("rest", 3, 0, 0, 0, False, False, ()),
    ("end", -1, 0, 0, 0, False, False, ()),
]
PATTERN_TWIN = re.compile(rb"([^ ]*) \[((?:(?!\] ).)*)\]  *(?! )(...):(.*)", re.DOTALL)
PATTERN_PARTS = [b"a", b" ", b" [", b"] ", b"]", b"[", b"abc:", b":", b"  ", b"z" * 70, b"host [q] abc:rest"]


@EXAMPLES
@given(st.lists(st.sampled_from(PATTERN_PARTS), max_size=12).map(b"".join))
def test_pattern(line):
    rows, rejects, counts = run(1, line + b"\n", 4, null=(), programs=[(PATTERN, [])])
    account(line + b"\n", counts)
    match = PATTERN_TWIN.fullmatch(line)
    assert [row[1:] for row in rows] == ([match.groups()] if match else [])
    assert bool(rejects) == (not match and line != b"")


# ---- predicates

WORDS = st.one_of(st.text("ab\0", max_size=10), st.text("FATLERO", max_size=8)).map(str.encode)


@EXAMPLES
@given(st.lists(WORDS, max_size=90), st.sets(WORDS, max_size=20), st.booleans(), st.booleans())
def test_one_of_some_constants(words, constants, negate, twice):
    """Constants of at most 8 bytes have slots, longer ones do not; some are others with NULs behind them."""
    words = [word for word in words if word]
    atom = ("in", None, negate, {"field": 0, "kind": "text", "null": ()}, sorted(constants))
    terms = [[atom], [atom]] if twice else [[atom]]
    program = [("rest", 0, 0, 0, 0, False, False, ()), ("end", -1, 0, 0, 0, False, False, ())]
    rows, rejects, _ = run(1, b"\n".join(words), 1, null=(), programs=[(program, [])], terms=terms)
    assert not rejects and [row[1] for row in rows] == [word for word in words if (word in constants) != negate]


def test_more_constants_than_slots():
    words = [b"w%d" % i for i in range(3000)]
    atom = ("in", None, False, {"field": 0, "kind": "text", "null": ()}, words[::3])
    program = [("rest", 0, 0, 0, 0, False, False, ()), ("end", -1, 0, 0, 0, False, False, ())]
    rows, _, _ = run(1, b"\n".join(words), 1, null=(), programs=[(program, [])], terms=[[atom]])
    assert [row[1] for row in rows] == words[::3]


# ---- values

INTEGERS = st.one_of(st.integers(-(2**65), 2**65).map(str), st.text("0123456789+- .", max_size=24))
FLOATS = st.one_of(
    st.floats().map(repr),
    st.text("0123456789.eE+-", max_size=30),
    st.from_regex(r"[+-]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        ["nan", "-NaN", "INF", "-infinity", "", "+", ".", "e5", "1e", "0x10", "1_0", "9" * 400, "0." + "0" * 400 + "1"]
    ),
)


@given(INTEGERS)
def test_integers(text):
    value = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None
    wanted = value if value is not None and -(2**63) <= value < 2**63 else None
    assert scan.parse_int(text.encode()) == wanted


@settings(max_examples=400)
@given(FLOATS)
def test_floats(text):
    shape = r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf|infinity)"
    got = scan.parse_float(text.encode())
    if not re.fullmatch(shape, text, re.IGNORECASE):
        assert got is None
        return
    wanted = float(text)
    assert got is not None
    assert got == wanted or (math.isnan(got) and math.isnan(wanted))
    assert math.copysign(1, got) == math.copysign(1, wanted) or math.isnan(got)


UTF8_EDGES = b"\x00A\x80\x8f\x90\x9f\xa0\xbf\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff"


@settings(max_examples=400)
@given(
    st.one_of(
        st.binary(max_size=12),
        st.text(max_size=9).map(lambda t: t.encode("utf-8", "surrogatepass")),
        st.lists(st.sampled_from(UTF8_EDGES), max_size=9).map(bytes),
    )
)
def test_utf8(raw):
    assert scan.utf8_valid(raw) == _utf8(raw)


TIME_PATTERNS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f", "%d/%b/%Y:%H:%M:%S %z", "%s", "%Q",
                 "%b %e %H:%M:%S", "%Y-%m-%d-%H.%M.%S.%f", "%m/%d/%y %I:%M:%S %p", "%Y.%j %H:%M"]  # fmt: skip
TIMES = st.tuples(
    st.integers(1970, 2037), st.integers(0, 13), st.integers(0, 32), st.integers(0, 24), st.integers(0, 60),
    st.integers(0, 61), st.sampled_from(["", ".5", ",25", ".123456", ".123456789", "."]),
    st.sampled_from(["Z", "+01:00", "-0530", "+02", "", "+24:00"]),
)  # fmt: skip
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def spell(pattern, parts):
    year, month, day, hour, minute, second, fraction, zone = parts
    values = {
        "%Y": f"{year:04d}", "%y": f"{year % 100:02d}", "%m": f"{month:02d}", "%d": f"{day:02d}", "%e": f"{day:2d}",
        "%b": MONTHS[month % 12], "%H": f"{hour:02d}", "%I": f"{hour % 14:02d}", "%p": "pm" if minute % 2 else "AM",
        "%M": f"{minute:02d}", "%S": f"{second:02d}", "%.f": fraction, "%f": fraction[1:] or "7", "%z": zone,
        "%s": f"{year}{minute}{fraction}", "%Q": f"{year}{second}000", "%j": f"{day * 12:03d}",
    }  # fmt: skip
    return re.sub(r"%\.?[A-Za-z]", lambda match: values[match[0]], pattern)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TIME_PATTERNS), st.lists(TIMES, min_size=1, max_size=4))
def test_times(pattern, several):
    """One parser reads several times in turn, so that what it remembers of the last one is tried too."""
    newest = 1_700_000_000_000_000
    parser = scan.TimeParser(pattern, None, newest)
    for parts in several:
        text = spell(pattern, parts)
        try:
            wanted = parse_time(text, pattern, Clock(newest_us=newest))
        except (ValueError, OverflowError):
            wanted = None
        assert parser.parse(text.encode()) == wanted, text

"""Records are taken in chunks: what fills up inside one, or leaves the usual path, changes no row and no count."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpckit._kernels import scan
from hpckit._kernels.intern import Interner

EXAMPLES = settings(max_examples=80, deadline=None)
STEPS = [
    ("run", 0, 2, 0, 0, False, False, (b" ",), b""),
    ("literal", -1, 0, 0, 0, False, False, (b'"',), b""),
    ("quoted", 2, 0, 0, 0, False, False, (), b'"'),
    ("optional", -1, 1, 0, 0, False, False, (b" #",), b" #"),
    ("field", 3, 0, 0, 0, True, False, (b" ",), b""),
    ("spaces", -1, 0, 0, 0, False, False, (), b""),
    ("end", -1, 0, 0, 0, False, False, (), b""),
]
PROGRAM = (STEPS, [3])
FIELDS = 4
WORDS = ["a", "bb", "a" * 70, "7", "-12", "123456789012", "é", 'q\\"q', "back\\\\slash", ""]
LINE = st.tuples(*[st.sampled_from(WORDS)] * 3, st.sampled_from(["", " #1", " #22", " #x", " 5", "\r"])).map(
    lambda t: f'{t[0]} {t[1]} "{t[2]}"{t[3]}'
)
BROKEN = st.sampled_from(["", "", "\r", "no quote", 'a b "open', 'a 1 "\udcff"', 'a 1 "\\'])
TEXTS = st.lists(st.one_of(LINE, LINE, LINE, BROKEN), max_size=300)


def columns(kind):
    """A word (`kind`), an integer that may be missing, an unescaped text (`kind`) and an integer at the end."""
    return [
        {"field": 0, "kind": kind, "null": (b"-",)},
        {"field": 1, "kind": "int", "null": (b"", b"7")},
        {"field": 2, "kind": kind},
        {"field": 3, "kind": "int"},
    ]


def take(data, kind, *, entries, rows, rejects, text, terms=(), level=None):
    """All rows, rejects and counts of `data`, with room for so many dictionary entries, rows and rejects at a time."""
    scanner = scan.Scanner(mode=1, field_count=FIELDS, programs=[PROGRAM], columns=columns(kind), terms=terms,
                           row_capacity=rows, reject_capacity=rejects, text_capacity=text, level=level)  # fmt: skip
    fresh = [Interner(entries, 1 << 20, grow=False) for _ in range(FIELDS)]
    for i in (0, 2):
        if kind == "coded":
            scanner.set_dictionary(i, fresh[i])
    buffer = np.frombuffer(data + bytes(scan.PADDING), np.uint8)
    scanner.start_split(0, False, False)
    found, bad = [], []
    while True:
        status = scanner.scan(buffer, len(data), 1 << 62, 0, True)
        bad += [(int(r["offset"]), scan.REASONS[r["reason"]], int(r["lines"])) for r in scanner.take_rejects()]
        dictionaries = list(scanner.dictionaries)
        if status == scan.TEXT_FULL and not scanner.rows:
            scanner.grow_text(scanner.full_column)
        full = scanner.full_column
        offsets, arrays = scanner.take()
        cells = [_cells(arrays[i], dictionaries[i], len(offsets), kind) for i in range(FIELDS)]
        found += list(zip(offsets.tolist(), *cells, strict=True))
        if status == scan.DICTIONARY_FULL:
            scanner.set_dictionary(full, Interner(entries, 1 << 20, grow=False))
        if status == scan.DONE:
            return found, bad, scanner.take_counts()


def _cells(array, dictionary, rows, kind):
    values, valid, text = array
    if dictionary is not None:
        entries = dictionary.arrow().to_pylist()
        return [None if code < 0 else entries[code] for code in values.tolist()]
    known = [True] * rows if valid is None else valid.astype(bool).tolist()
    if text is not None:
        cut = [text[values[i] : values[i + 1]].tobytes().decode() for i in range(rows)]
        return [cut[i] if known[i] else None for i in range(rows)]
    return [int(values[i]) if known[i] else None for i in range(rows)]


@EXAMPLES
@given(TEXTS, st.sampled_from([1, 2, 5]), st.sampled_from([1, 7, 64, 65, 1000]), st.sampled_from([2, 9, 500]))
def test_room_for_little_gives_the_same(texts, entries, rows, rejects):
    data = "\n".join(texts).encode("utf-8", "surrogateescape")
    whole = take(data, "coded", entries=1 << 16, rows=4096, rejects=4096, text=1 << 20)
    assert take(data, "coded", entries=entries, rows=rows, rejects=rejects, text=1 << 20) == whole
    assert take(data, "text", entries=1, rows=rows, rejects=rejects, text=80) == whole
    lines, parsed, continuation, rejected, blank = whole[2]
    assert (
        lines
        == parsed + continuation + rejected + blank
        == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    )


@EXAMPLES
@given(TEXTS)
def test_instruction_sets_agree_and_a_slow_twin_finds_the_same(texts):
    data = "\n".join(texts).encode("utf-8", "surrogateescape")
    whole = take(data, "coded", entries=1 << 16, rows=4096, rejects=4096, text=1 << 20)
    for level in range(2):
        assert take(data, "coded", entries=1 << 16, rows=50, rejects=4096, text=1 << 20, level=level) == whole
    rows, at = [], 0
    for line in data.split(b"\n"):
        row = _slow(line.removesuffix(b"\r"))
        rows += [] if row is None else [(at, *row)]
        at += len(line) + 1
    assert whole[0] == rows


SLOW = re.compile(rb'([^ ]*) ([^ ]*) "((?:[^"\\]|\\.)*)"(?: #([^ ]*))? *')


def _slow(line):
    """The row of a line by a regular expression, or None."""
    match = SLOW.fullmatch(line)
    if not match:
        return None
    try:
        word, text = match[1].decode(), re.sub(rb'\\(["\\])', rb"\1", match[3]).decode()
        number = None if match[2] in (b"", b"7") else int(match[2])
        return word, number, text, None if match[4] is None else int(match[4])
    except ValueError:  # also of UTF-8
        return None


@pytest.mark.parametrize("fields", [5, 63, 64, 65, 130, 700])
@pytest.mark.parametrize("asked", ["first", "last", "some", "none"])
def test_runs_of_many_fields(fields, asked):
    wanted = {"first": [0], "last": [fields - 1], "some": sorted({1, fields // 2, fields - 2}), "none": []}[asked]
    lines = [[f"{row * 7 + f}"[-1 - (row + f) % 3 :] for f in range(fields)] for row in range(150)]
    lines[40] = lines[40][:-1]  # one field too few
    data = "".join("|".join(line) + "|\n" for line in lines).encode()
    scanner = scan.Scanner(mode=1, field_count=fields, columns=[{"field": f, "kind": "int"} for f in wanted],
                           programs=[([("run", 0, fields, 0, 0, False, False, (b"|",), b"")], [])])  # fmt: skip
    scanner.start_split(0, False, False)
    assert scanner.scan(np.frombuffer(data + bytes(scan.PADDING), np.uint8), len(data), 1 << 62, 0, True) == scan.DONE
    _, arrays = scanner.take()
    good = [line for i, line in enumerate(lines) if i != 40]
    assert [values.tolist() for values, _, _ in arrays] == [[int(line[f]) for line in good] for f in wanted]
    assert scanner.take_counts() == (150, 149, 0, 1, 0)


@pytest.mark.parametrize("wide", [1, 2, 4])
def test_a_field_of_a_least_width_may_hold_what_ends_it(wide):
    """As a run, and as steps of their own."""
    lines = [
        "aa 12:00 30 bb cc dd",
        "a 1 2 3 4 5 6 7 8",
        "a b",
        "x" * 70 + " y z w v u " + "t" * 70 + " s",
        "a b c d e ",
    ]
    data = "\n".join(lines).encode()
    least = 8
    run = [("run", 0, 4, least, wide, False, False, (b" ",), b"")]
    single = [
        ("field", f, 0, least if f + 1 == wide else 0, 0, False, False, (b" ",), b" ") for f in range(4)
    ]  # fmt: skip
    found = []
    for steps in (run, single):
        for level in range(3):
            try:
                scanner = scan.Scanner(mode=1, field_count=4, columns=[{"field": f, "kind": "text"} for f in range(4)],
                                       programs=[(steps, [])], level=level)  # fmt: skip
            except ValueError as error:
                assert "not available" in str(error)
                continue
            scanner.start_split(0, False, False)
            scanner.scan(np.frombuffer(data + bytes(scan.PADDING), np.uint8), len(data), 1 << 62, 0, True)
            offsets, arrays = scanner.take()
            rows = [[t[o[i] : o[i + 1]].tobytes() for o, _, t in arrays] for i in range(len(offsets))]
            found.append((offsets.tolist(), rows, scanner.take_rejects()["offset"].tolist(), scanner.take_counts()))
    assert all(one == found[0] for one in found)
    assert found[0][0], "no line fits"

"""Every example line of every format file parses to the values written beside it; every reject is rejected."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone

import pytest

from hpckit.formats import FieldType, Mode, load, names
from hpckit.formats.reference import parse
from hpckit.formats.times import Clock

EXAMPLE_CLOCK = Clock(zone="UTC", year=2024)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
CASES = [(name, i) for name in names() for i in range(len(load(name).examples))]
REJECTS = [(name, i) for name in names() for i in range(len(load(name).rejects))]


def utc_us(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    return (moment - EPOCH) // timedelta(microseconds=1)


def lines_of(text: str) -> list[bytes]:
    return text.lstrip("\n").encode().splitlines(keepends=True)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_example_parses_to_its_values(name, number):
    fmt = load(name)
    text, expected = fmt.examples[number]
    record = next(parse(fmt, lines_of(text), EXAMPLE_CLOCK))
    assert record.values is not None, record.reason
    times = {f.name for f in fmt.fields if f.type is FieldType.TIME}
    wanted = dict.fromkeys(record.values)  # a column that an example does not name is NULL
    wanted |= {k: utc_us(v) if k in times else v for k, v in expected.items()}
    assert record.values == wanted


@pytest.mark.parametrize(("name", "number"), REJECTS)
def test_reject_is_rejected(name, number):
    fmt = load(name)
    records = list(parse(fmt, lines_of(fmt.rejects[number]), EXAMPLE_CLOCK))
    assert records
    assert records[-1].values is None


@pytest.mark.parametrize("name", names())
def test_format_file_is_complete(name):
    fmt = load(name)
    assert fmt.name == name
    assert fmt.description
    assert fmt.examples
    assert pickle.loads(pickle.dumps(fmt)) == fmt
    if fmt.mode is Mode.PATTERN:
        assert fmt.rejects
        covered = set().union(*(values for _, values in fmt.examples))
        never_null = {f.name for f in fmt.columns()} - covered
        assert not never_null - {"ident"}, "every column should have a value in some example"

"""The scan kernel against the reference matcher: every example of every format, and thousands of damaged ones."""

from __future__ import annotations

import os
import random
from datetime import date, datetime, timedelta

import pyarrow as pa
import pytest

import hpckit as hk
from hpckit.formats import Mode, load, names
from hpckit.formats.reference import parse
from hpckit.formats.times import Clock

NEWEST_S = 1_735_689_599  # the file's time: the end of 2024, so that times without a year are of 2024
PATTERN_FORMATS = [name for name in names() if load(name).mode is Mode.PATTERN]


def by_kernel(path, name):
    table = hk.scan_logs(str(path), name).collect()
    assert isinstance(table, pa.Table)
    return [{k: plain(v) for k, v in row.items()} for row in table.to_pylist()]


def plain(value):
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    return (value - date(1970, 1, 1)).days if isinstance(value, date) else value


def by_reference(name, content):
    clock = Clock(newest_us=NEWEST_S * 1_000_000)
    found = parse(load(name), [line + b"\n" for line in content.split(b"\n")], clock)
    return [record.values for record in found if record.values is not None]


def write(tmp_path, content):
    path = tmp_path / "x.log"
    path.write_bytes(content)
    os.utime(path, (NEWEST_S, NEWEST_S))
    return path


@pytest.mark.parametrize("name", names())
def test_examples(name, tmp_path):
    for text, _ in load(name).examples:
        content = text.lstrip("\n").encode()
        wanted = by_reference(name, content)
        assert wanted
        assert by_kernel(write(tmp_path, content), name) == wanted


@pytest.mark.parametrize("name", ["apache_error", "syslog", "sacct", "jsonl"])
def test_carriage_returns_before_line_ends_and_blank_lines_do_not_count(name, tmp_path):
    text = "\n\n".join(text.strip("\n") for text, _ in load(name).examples[:1]) + "\n"
    content = text.replace("\n", "\r\n").encode() + b"\r\n\r\n"
    assert by_kernel(write(tmp_path, content), name) == by_reference(name, content) == by_reference(name, text.encode())


def damage(line: bytes, chance: random.Random) -> bytes:
    """The line with one to three bytes removed, doubled, swapped or replaced, or cut off."""
    out = bytearray(line)
    for _ in range(chance.randint(1, 3)):
        if not out:
            break
        at = chance.randrange(len(out))
        action = chance.randrange(6)
        if action == 0:
            del out[at]
        elif action == 1:
            out.insert(at, out[at])
        elif action == 2:
            out[at] = chance.choice(b' "\\[]:-<>()|=0129aZ.,\t\xc3')
        elif action == 3:
            other = chance.randrange(len(out))
            out[at], out[other] = out[other], out[at]
        elif action == 4:
            out.insert(at, chance.choice(b' "\\[]:-0'))
        elif chance.random() < 0.2:
            del out[at:]
    return bytes(out).replace(b"\n", b" ")


@pytest.mark.parametrize("name", PATTERN_FORMATS)
def test_damaged_lines(name, tmp_path):
    chance = random.Random(name)
    lines = [line for text, _ in load(name).examples for line in text.strip("\n").encode().split(b"\n")]
    damaged = [damage(chance.choice(lines), chance) for _ in range(300)]
    content = b"\n".join(lines + [line for line in damaged if line.strip(b"\r")])
    wanted = by_reference(name, content)
    assert len(wanted) > 20
    assert by_kernel(write(tmp_path, content), name) == wanted

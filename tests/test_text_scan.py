"""Scans of text: every line accounted for, the same rows however the file is cut, as a slow reading has them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpckit.errors import FormatError, InputError, TooManyRejectsError
from hpckit.formats import compile_pattern
from hpckit.formats.model import Format
from hpckit.formats.reference import parse_line
from hpckit.formats.values import Misfit
from hpckit.partition import deal_by_weight
from hpckit.sources import reader as reader_module
from hpckit.sources.base import ReadOptions
from hpckit.sources.counts import LineCounts
from hpckit.sources.files import list_files
from hpckit.sources.program import WantedColumn
from hpckit.sources.splits import make_splits
from hpckit.sources.text import TextSource

PLAIN = compile_pattern("{a} {n:int} {rest:rest}", name="plain")
MULTI = compile_pattern("{day:int}-{level} {message:rest}", name="multi", record_start="dd-")


def scan(path: Path, fmt: Format, **options: object) -> tuple[list[dict], LineCounts, list[dict]]:
    """Rows, counts and rejects of a whole file, split by split."""
    how = ReadOptions(keep_rejects=True, **options)  # type: ignore[arg-type]
    files = list_files([str(path)])
    source = TextSource(fmt, files, make_splits(files, how.split_bytes))
    wanted = [WantedColumn(n, n in source.coded) for n in source.schema.names] + [
        WantedColumn("_offset"),
        WantedColumn("_raw"),
    ]
    text = source.reader(wanted, (), how)
    rows: list[dict] = []
    for split in source.splits:
        for batch in text.read(split):
            rows += batch.to_arrow().to_pylist()
    rejects = [row for _, batch in text.rejects for row in batch.to_pylist()]
    return rows, text.counts, rejects


def slow(data: bytes, fmt: Format) -> tuple[list[dict], dict[str, int], list[int]]:
    """What a scan should give: rows, counts, offsets of rejected records. Written from DECISIONS, line by line."""
    counts = dict.fromkeys(("lines", "parsed", "continuation", "rejected", "blank"), 0)
    rows: list[dict] = []
    rejected: list[int] = []
    records: list[tuple[int, bytes, int]] = []  # offset, text, continuation lines
    offset = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    while offset < len(data):
        stop = data.find(b"\n", offset)
        line = data[offset:] if stop < 0 else data[offset:stop]
        text = line[:-1] if line.endswith(b"\r") else line
        counts["lines"] += 1
        starts = not fmt.record_start or (len(text) > 2 and text[:2].isdigit() and text[2:3] == b"-")
        if not text:
            counts["blank"] += 1
        elif starts:
            records.append((offset, text, 0))
        elif records:
            begin, _, continued = records[-1]
            records[-1] = (begin, data[begin : offset + len(text)], continued + 1)
        else:
            counts["rejected"] += 1
            rejected.append(offset)
        offset = len(data) if stop < 0 else stop + 1
    for begin, text, continued in records:
        try:
            text.decode()  # _raw is one of the columns
            joined = b"\n".join(line.removesuffix(b"\r") for line in text.split(b"\n") if line.removesuffix(b"\r"))
            values = parse_line(fmt, joined)
        except (Misfit, UnicodeDecodeError):
            counts["rejected"] += 1 + continued
            rejected.append(begin)
            continue
        counts["parsed"] += 1
        counts["continuation"] += continued
        rows.append({**values, "_offset": begin, "_raw": text.decode()})
    return rows, counts, sorted(rejected)


def check(path: Path, data: bytes, fmt: Format, split_bytes: int) -> None:
    path.write_bytes(data)
    rows, counts, rejects = scan(path, fmt, split_bytes=split_bytes)
    expected, numbers, rejected = slow(data, fmt)
    assert rows == expected
    assert {name: getattr(counts, name) for name in numbers} == numbers
    assert sorted(row["offset"] for row in rejects) == rejected
    assert counts.lines == counts.parsed + counts.continuation + counts.rejected + counts.blank


LINES = st.sampled_from(
    [
        b"x 1 first", b"yy -22 second one", b"x 9223372036854775807 max", b"x 9223372036854775808 too big", b"",
        b"no fields", b"\r", b"x 5 with\rlone cr", b"x 5 nul\x00here", b"bad\xff 1 utf8", b"x 1 caf\xc3\xa9", b"a b c",
        b"x 07 ", b" lead 1 x", b"x 1 ends with cr\r", b"x  1 two blanks", b"12-INFO started", b"13-WARN odd\r",
        b"  at frame.one", b"Caused by: x", b"99-BAD", b"1", b"14-", b"07-ERROR \xff", b"\xc3",
        b"15-E \xe2\x82\xac euro",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=30), st.integers(1, 120), st.booleans(), st.booleans(), st.booleans())
def test_any_lines_any_split(tmp_path_factory, lines, split_bytes, multi, newline, bom):
    data = (b"\xef\xbb\xbf" if bom else b"") + b"\n".join(lines) + (b"\n" if newline and lines else b"")
    path = tmp_path_factory.mktemp("scan") / "x.log"
    check(path, data, MULTI if multi else PLAIN, split_bytes)


def test_small_blocks_change_nothing(tmp_path, monkeypatch):
    """Records that cross the reader's blocks, of every length around a block."""
    monkeypatch.setattr(reader_module, "BLOCK_BYTES", 256)
    rng = random.Random(7)
    lines = [b"k%d %d %s" % (i, i, b"v" * rng.randrange(400)) for i in range(200)]
    check(tmp_path / "x.log", b"\n".join(lines), PLAIN, 1000)
    traces = [
        b"%02d-E %s\n%s" % (i % 100, b"m" * rng.randrange(300), b"  at x\n" * rng.randrange(40)) for i in range(100)
    ]
    check(tmp_path / "y.log", b"".join(traces), MULTI, 777)


@pytest.mark.parametrize("fmt", [PLAIN, MULTI])
def test_more_rows_than_a_batch(tmp_path, fmt, monkeypatch):
    from hpckit.sources import scan as scan_module

    monkeypatch.setattr(scan_module, "ROWS_PER_BATCH", 1000)
    line = b"12-INFO 7 x\n" if fmt is MULTI else b"k 7 x\n"
    path = tmp_path / "x.log"
    path.write_bytes(line * 100_000)
    rows, counts, _ = scan(path, fmt, split_bytes=100_001)
    assert len(rows) == counts.parsed == 100_000
    assert [row["_offset"] for row in rows] == list(range(0, 100_000 * len(line), len(line)))


def test_long_records_are_rejected_without_being_kept(tmp_path):
    path = tmp_path / "x.log"
    with path.open("wb") as file:
        file.write(b"a 1 before\n")
        for _ in range(200):
            file.write(b"x" * (1 << 20))
        file.write(b"\nb 2 after\n")
    rows, counts, rejects = scan(path, PLAIN, max_line_bytes=1 << 20)
    assert [row["a"] for row in rows] == ["a", "b"]
    assert (counts.lines, counts.parsed, counts.rejected) == (3, 2, 1)
    assert rejects[0]["offset"] == 11 and "max-line" in rejects[0]["reason"]


def test_long_multi_line_record_takes_all_its_lines_along(tmp_path):
    data = b"01-A x\n" + b"02-B y\n" + b"  frame\n" * 5000 + b"03-C z\n"
    path = tmp_path / "x.log"
    path.write_bytes(data)
    for split_bytes in (1 << 20, 999):
        rows, counts, rejects = scan(path, MULTI, max_line_bytes=10_000, split_bytes=split_bytes)
        assert [row["day"] for row in rows] == [1, 3]
        assert (counts.lines, counts.parsed, counts.rejected) == (5003, 2, 5001)
        assert [row["offset"] for row in rejects] == [7]


@pytest.mark.parametrize("module,ending", [(gzip, ".gz"), (bz2, ".bz2"), (lzma, ".xz")])
def test_compressed_files_read_as_plain_ones(tmp_path, module, ending):
    data = b"".join(b"k%d %d v\n" % (i % 50, i) for i in range(20_000))
    plain, packed = tmp_path / "x.log", tmp_path / f"x.log{ending}"
    plain.write_bytes(data)
    half = data.find(b"\n", len(data) // 2) - 3
    packed.write_bytes(module.compress(data[:half]) + module.compress(data[half:]))  # two members, cut inside a line
    assert scan(packed, PLAIN)[0] == scan(plain, PLAIN)[0]


def test_zstd(tmp_path):
    data = b"".join(b"k%d %d v\n" % (i % 50, i) for i in range(20_000))
    path = tmp_path / "x.log.zst"
    codec = pa.Codec("zstd")
    path.write_bytes(codec.compress(data[:1000], asbytes=True) + codec.compress(data[1000:], asbytes=True))
    assert len(scan(path, PLAIN)[0]) == 20_000


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_truncated_compression_keeps_what_there_is_and_says_so(tmp_path, ending):
    rng = random.Random(1)
    data = b"".join(b"k%d %d %x\n" % (i % 50, i, rng.getrandbits(128)) for i in range(30_000))
    packed = {
        ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
        ".zst": lambda d: pa.Codec("zstd").compress(d, asbytes=True),
    }[ending](data)  # fmt: skip
    path = tmp_path / f"x.log{ending}"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    rows, counts, rejects = scan(path, PLAIN)
    assert counts.reasons == {"compressed data damaged": 1} and counts.lines == counts.parsed + counts.rejected
    assert "damaged or ends early" in rejects[-1]["reason"]
    assert [row["n"] for row in rows] == list(range(len(rows)))


def test_full_dictionaries_are_replaced(tmp_path, monkeypatch):
    from hpckit.sources import scan as scan_module

    monkeypatch.setattr(scan_module, "DICTIONARY_ENTRIES", 100)
    data = b"".join(b"key%d %d v%d\n" % (i, i, i) for i in range(5000))
    path = tmp_path / "x.log"
    path.write_bytes(data)
    rows, _, _ = scan(path, PLAIN)
    assert [row["a"] for row in rows] == [f"key{i}" for i in range(5000)]


def test_batches_stay_as_they_were(tmp_path):
    """Buffers are pooled: a batch that somebody still holds must not be written over."""
    path = tmp_path / "x.log"
    path.write_bytes(b"".join(b"k%d %d text %d\n" % (i % 9, i, i) for i in range(200_000)))
    files = list_files([str(path)])
    source = TextSource(PLAIN, files, make_splits(files))
    text = source.reader([WantedColumn("a", True), WantedColumn("n"), WantedColumn("rest")], (), ReadOptions())
    batches = [batch for split in source.splits for batch in text.read(split)]
    table = pa.concat_tables(batch.to_arrow() for batch in batches)
    assert table.column("n").to_pylist() == list(range(200_000))
    assert table.column("rest").to_pylist() == [f"text {i}" for i in range(200_000)]


def test_validate_all_checks_fields_that_nobody_asks_for(tmp_path):
    path = tmp_path / "x.log"
    path.write_bytes(b"a 1 fine\nb x not an int\nc 2 \xff\nd\n")
    files = list_files([str(path)])
    source = TextSource(PLAIN, files, make_splits(files))
    counts = {}
    for everything in (False, True):
        text = source.reader([WantedColumn("a", True)], (), ReadOptions(validate_all=everything))
        rows = [row for split in source.splits for batch in text.read(split) for row in batch.to_arrow().to_pylist()]
        counts[everything] = (len(rows), text.counts.rejected)
        assert all(set(row) == {"a"} for row in rows)
    assert counts == {False: (3, 1), True: (1, 3)}


def test_limit_of_rejects(tmp_path):
    path = tmp_path / "x.log"
    path.write_bytes(b"bad\n" * 50)
    with pytest.raises(TooManyRejectsError, match="more than 10 lines"):
        scan(path, PLAIN, max_rejects=10)


def test_missing_inputs(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list_files([str(tmp_path / "no.log")])
    with pytest.raises(InputError, match="no file matches"):
        list_files([str(tmp_path / "*.log")])
    with pytest.raises(InputError, match="holds no files"):
        list_files([str(tmp_path)])
    assert make_splits(list_files([str(_empty(tmp_path))])) == []


def _empty(folder: Path) -> Path:
    path = folder / "empty.log"
    path.touch()
    return path


def test_rotations_oldest_first(tmp_path):
    for name in (
        "b.log",
        "a.log",
        "a.log.1",
        "a.log.2.gz",
        "a.log.10.gz",
        "c.log-20240102",
        "c.log-20231231.gz",
        "c.log",
    ):
        (tmp_path / name).write_bytes(b"x")
    names = [Path(f.path).name for f in list_files([str(tmp_path)])]
    assert names == [
        "a.log.10.gz", "a.log.2.gz", "a.log.1", "a.log", "b.log", "c.log-20231231.gz", "c.log-20240102", "c.log",
    ]  # fmt: skip


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(1, 7))
def test_deal_gives_each_piece_to_one_rank_evenly(weights, size):
    shares = deal_by_weight(weights, size)
    assert sorted(i for share in shares for i in share) == list(range(len(weights)))
    loads = [sum(weights[i] for i in share) for share in shares]
    assert max(loads) - min(loads) <= max(weights, default=0)


@pytest.mark.parametrize(
    "zone,local,utc",
    [
        ("Europe/Berlin", "2024-07-01 12:00:00", "2024-07-01T10:00:00"),
        ("Europe/Berlin", "2024-01-01 12:00:00", "2024-01-01T11:00:00"),
        ("Europe/Berlin", "2024-10-27 02:30:00", "2024-10-27T00:30:00"),  # occurs twice: the first
        ("Europe/Berlin", "2024-03-31 02:30:00", "2024-03-31T01:30:00"),  # does not occur: behind the gap
        ("America/New_York", "1999-12-31 23:59:59", "2000-01-01T04:59:59"),
        ("UTC", "2016-12-31 23:59:60", "2017-01-01T00:00:00"),  # leap second
    ],
)
def test_local_times(tmp_path, zone, local, utc):
    fmt = compile_pattern("{time:%Y-%m-%d %H:%M:%S} {m:rest}")
    path = tmp_path / "x.log"
    path.write_bytes(f"{local} x\n".encode())
    rows, _, _ = scan(path, fmt, time_zone=zone)
    assert rows[0]["time"].isoformat() == utc


@pytest.mark.parametrize("name,utc_hour", [("UTC", 12), ("gmt", 12), ("Z", 12), ("CET", 11), ("XYZ", 11)])
def test_zone_names(tmp_path, name, utc_hour):
    """Only the names of UTC can be relied on; all others mean the zone that the user gives."""
    fmt = compile_pattern("{time:%Y-%m-%d %H:%M:%S %Z} {m:rest}")
    path = tmp_path / "x.log"
    path.write_bytes(f"2024-01-01 12:00:00 {name} x\n2024-01-01 12:00:01 CET y\n".encode())
    rows, _, _ = scan(path, fmt, time_zone="Europe/Berlin")
    assert [row["time"].hour for row in rows] == [utc_hour, 11]


def test_unknown_zone(tmp_path):
    path = tmp_path / "x.log"
    path.write_bytes(b"x 1 y\n")
    with pytest.raises(FormatError, match="Mars"):
        scan(path, PLAIN, time_zone="Mars/Olympus")


def test_years_that_are_not_written(tmp_path):
    """Each line gets the latest year that is not after the file's last change; --year says otherwise."""
    import os
    from datetime import datetime, timezone

    fmt = compile_pattern("{time:%b %e %H:%M:%S} {m:rest}")
    path = tmp_path / "x.log"
    path.write_bytes(b"Dec 31 23:59:59 a\nJan  1 00:00:01 b\nFeb 29 12:00:00 c\nMar 10 00:00:00 d\nMar 10 00:00:01 e\n")
    changed = datetime(2025, 3, 10, tzinfo=timezone.utc).timestamp()
    os.utime(path, (changed, changed))
    rows, _, _ = scan(path, fmt)
    assert [row["time"].year for row in rows] == [2024, 2025, 2024, 2025, 2024]
    rows, _, _ = scan(path, fmt, year=2012)
    assert [row["time"].year for row in rows] == [2012] * 5

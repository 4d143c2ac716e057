"""`hpckit formats [NAME] [--try FILE]`: the known log formats, what one offers, and which one fits a file."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpckit.cli.options import Parser
from hpckit.errors import InputError

if TYPE_CHECKING:
    from hpckit.formats.model import Field, Format

TRY_LINES = 1000
TRY_LINE_BYTES = 64 << 10
SHOWN_GUESSES = 5
SHOWN_WIDTH = 110
EXAMPLES = [
    ("hpckit formats", "all formats that come with hpckit"),
    ("hpckit formats combined", "its columns and types, the pattern, an example line taken apart"),
    ("hpckit formats --try /var/log/messages", "guess the format of a file from its first 1000 lines (.gz too)"),
    ("hpckit formats --format-file my.toml", "check a format of your own against its example lines"),
]


def parser() -> Parser:
    """The command's options."""
    command = Parser("formats", "List the known log formats, show one, or guess that of a file.", examples=EXAMPLES)
    command.add_argument("name", metavar="NAME", nargs="?", help="show this format: columns, types, pattern, example")
    command.add_argument("--try", metavar="FILE", dest="try_file", help="rank the formats (or try NAME) on this file")
    command.add_argument("--format-file", metavar="F", help="a TOML file with a format of your own: run its examples")
    return command


def main(argv: list[str]) -> int:
    """Run the command and return its exit status. Local: prints on the first rank only."""
    from hpckit.spmd.launch import launcher_rank

    given = parser().parse_args(argv)
    if launcher_rank() not in (None, 0):
        return 0
    from hpckit import formats

    fmt = None
    if given.format_file:
        fmt = formats.load_file(given.format_file)
    elif given.name:
        fmt = formats.load(given.name)
    if given.try_file:
        return _try(given.try_file, fmt)
    if fmt is None:
        return _print(_listing())
    text, good = _describe(fmt)
    _print(text)
    return 0 if good else 2


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _listing() -> str:
    from hpckit import formats

    width = max(len(name) for name in formats.names())
    rows = "".join(f"  {name:<{width}}  {formats.load(name).description}\n" for name in formats.names())
    return f"{rows}\nhpckit formats NAME shows one, hpckit formats --try FILE guesses; docs/formats.md tells more.\n"


def type_name(field: Field) -> str:
    """The SQL type of a field's column."""
    from hpckit.formats import FieldType

    names = {FieldType.INT: "BIGINT", FieldType.FLOAT: "DOUBLE", FieldType.TIME: "TIMESTAMP", FieldType.DATE: "DATE",
             FieldType.BOOL: "BOOLEAN"}  # fmt: skip
    return names.get(field.type, "VARCHAR")


def _note(fmt: Format, field: Field) -> str:
    notes = []
    if field.derived_from:
        notes.append("from " + " ".join(fmt.fields[k].name for k in field.derived_from))
    if field.key:
        notes.append(f"key {field.key}")
    if field.time_format:
        notes.append(field.time_format)
    if field.null:
        notes.append("NULL if " + " or ".join(repr(v.decode(errors="replace")) for v in field.null))
    return ", ".join(notes)


def _describe(fmt: Format) -> tuple[str, bool]:
    """A format on some lines of text, and whether its own examples parse as they should."""
    out = [f"{fmt.name}: {fmt.description}", ""]
    width = max([len(f.name) for f in fmt.columns()], default=0)
    out += [f"  {f.name:<{width}}  {type_name(f):<9}  {_note(fmt, f)}".rstrip() for f in fmt.columns()]
    if not fmt.columns():
        out.append("  columns and their types come from the file")
    out.append("")
    for number, pattern in enumerate(fmt.pattern):
        out.append(f"{'pattern' if not number else '  or   '}  {pattern}")
    if fmt.record_start:
        out.append(f"records begin with  {fmt.record_start}  (d: digit, a: letter); other lines continue it")
    good = True
    for text, expected in fmt.examples:
        lines, failure = _example(fmt, text, expected)
        out += ["", *lines]
        good = good and not failure
    for line in fmt.rejects:
        if _first(fmt, line).values is not None:
            out += ["", f"reject      {_short(line)}", "            WRONG: it parses"]
            good = False
    return "\n".join(out) + "\n", good


def _first(fmt: Format, text: str) -> Any:
    from hpckit.formats.reference import Record, parse
    from hpckit.formats.times import Clock

    lines = text.lstrip("\n").encode().splitlines(keepends=True)
    return next(parse(fmt, lines, Clock(year=2024)), Record(b"", 0, None, "no record"))


def _example(fmt: Format, text: str, expected: dict) -> tuple[list[str], bool]:
    """An example line taken apart; values that differ from those in the file are marked."""
    record = _first(fmt, text)
    out = ["example     " + "\n            ".join(_short(line) for line in text.strip("\n").split("\n"))]
    if record.values is None:
        return [*out, f"            WRONG: {record.reason}"], True
    failed = False
    shown = _shown(fmt, record.values)
    for name, value in shown.items():
        wanted = expected.get(name)
        wrong = wanted is not None and not _same(value, wanted)
        failed = failed or wrong
        if value is not None or wrong:
            text = value if isinstance(value, str) else repr(value)
            out.append(f"  {name:<12}{_short(text)}{f'   WRONG: the file says {wanted!r}' if wrong else ''}")
    for name in expected.keys() - shown.keys():
        failed = True
        out.append(f"  {name:<12}WRONG: no such column")
    return out, failed


def _same(value: Any, wanted: Any) -> bool:
    """Whether a shown value is the expected one; of times, trailing zeros of the fraction do not count."""
    if isinstance(value, str) and isinstance(wanted, str) and "T" in wanted and "." in wanted:
        return value == wanted or value == wanted.rstrip("0").rstrip(".") or value.rstrip("0") == wanted.rstrip("0")
    return value == wanted


def _shown(fmt: Format, values: dict[str, Any]) -> dict[str, Any]:
    """Values for people: times as ISO text."""
    from datetime import datetime, timedelta

    from hpckit.formats import FieldType

    epoch = datetime(1970, 1, 1)
    out = dict(values)
    for field in fmt.columns():
        value = values.get(field.name)
        if value is not None and field.type is FieldType.TIME:
            out[field.name] = (epoch + timedelta(microseconds=value)).isoformat()
        elif value is not None and field.type is FieldType.DATE:
            out[field.name] = (epoch + timedelta(days=value)).date().isoformat()
    return out


def _short(text: str) -> str:
    text = text.replace("\n", "\\n").replace("\t", "\\t")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= SHOWN_WIDTH else text[: SHOWN_WIDTH - 1] + "…"


def read_lines(path: str) -> list[bytes]:
    """The first 1000 lines of a text file, .gz .bz2 .xz .zst decompressed; longer lines are cut at 64 KiB.

    A last line that is cut off counts. Raises InputError.
    """
    try:
        with _open(path) as stream:
            lines = []
            for line in islice(iter(lambda: stream.readline(TRY_LINE_BYTES), b""), TRY_LINES):
                lines.append(line)
    except Exception as error:  # each library that unpacks has errors of its own
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if lines and lines[0].startswith(b"\xef\xbb\xbf"):
        lines[0] = lines[0][3:]
    return lines


def _open(path: str) -> Any:
    ending = Path(path).suffix
    if ending == ".gz":
        import gzip

        return gzip.open(path, "rb")
    if ending == ".bz2":
        import bz2

        return bz2.open(path, "rb")
    if ending == ".xz":
        import lzma

        return lzma.open(path, "rb")
    if ending == ".zst":
        import io

        import zstandard

        return io.BufferedReader(zstandard.open(path, "rb"))
    return open(path, "rb")


def _try(path: str, only: Format | None) -> int:
    """Rank the formats on a file's first lines (or try one) and show a record taken apart."""
    import os

    from hpckit import formats
    from hpckit.formats.guessing import Guess
    from hpckit.formats.reference import parse
    from hpckit.formats.times import Clock

    lines = read_lines(path)
    if not any(line.strip() for line in lines):
        raise InputError(f"{path}: no lines to try; give a text file with at least one line")
    clock = Clock(newest_us=os.stat(path).st_mtime_ns // 1000)
    if only is None:
        ranked = formats.guess(lines, clock)
    else:
        done = list(parse(only, lines, clock))
        good = sum(r.values is not None for r in done)
        reason = next((r.reason for r in done if r.values is None), "")
        ranked = [Guess(only.name, good / len(done), len(done), good, reason)]
    if not ranked:
        first = next(line for line in lines if line.strip()).decode(errors="replace").rstrip("\r\n")
        _print(
            f"{path}: none of the {len(formats.names())} formats fits the first {len(lines)} lines, such as\n"
            f"  {_short(first)}\nDescribe it by a pattern, e.g. read_logs('{path}', "
            "'{time:%Y-%m-%d %H:%M:%S} {message}'); see docs/formats.md\n"
        )
        return 2
    _print(f"{path}: first {len(lines)} lines\n\n")
    for found in ranked[:SHOWN_GUESSES]:
        note = f"   first misfit: {_short(found.reason)}" if found.reason else ""
        _print(f"  {found.name:<16}{found.fit:>7.1%}  {found.parsed} of {found.records} records{note}\n")
    fmt = only or formats.load(ranked[0].name)
    return _sample(path, fmt, next((r for r in parse(fmt, lines, clock) if r.values is not None), None))


def _sample(path: str, fmt: Format, record: Any) -> int:
    if record is None:
        return 2
    _print(f"\nas {fmt.name}: {_short(record.raw.decode(errors='replace'))}\n")
    for name, value in _shown(fmt, record.values).items():
        _print(f"  {name:<14}{'NULL' if value is None else _short(str(value))}\n")
    reader = {"csv": "read_csv('{}')", "jsonl": "read_json('{}')"}.get(fmt.name, "read_logs('{}', '" + fmt.name + "')")
    _print(f'\nhpckit query "SELECT * FROM {reader.format(path)} LIMIT 10"\n')
    return 0

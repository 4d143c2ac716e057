"""Cut records by a format's steps in plain Python: for guessing, for showing samples, and as the tests' oracle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpckit.formats.delimited import csv_names, cut_csv, cut_json, cut_logfmt, plain_value
from hpckit.formats.model import Field, FieldType, Format, Mode, Step, StepKind
from hpckit.formats.steps import Stops, field_stops
from hpckit.formats.times import UTC_CLOCK, Clock
from hpckit.formats.values import Misfit, to_value, unescape


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its bytes, and either its values by column or the reason why the format does not fit."""

    raw: bytes
    lines: int
    values: dict[str, Any] | None
    reason: str = ""


def _quoted_end(stops: Stops, record: bytes, start: int, end: int) -> int:
    """Where a quoted field ends: at a '"' or another stop that no backslash escapes; -1 if there is none."""
    at = start
    while at < end:
        if record[at] == 0x5C:
            at += 2
            continue
        if record[at] == 0x22 or (stops.blank and record[at] == 0x20):
            return at
        if any(record.startswith(s, at) and at + len(s) <= end for s in stops.literals):
            return at
        at += 1
    return end if stops.line_end else -1


def _field_end(field: Field, stops: Stops, record: bytes, start: int, end: int) -> int:
    """Where the field that starts at `start` ends (see Stops), or -1."""
    if stops.fixed:
        return start + stops.fixed if start + stops.fixed <= end else -1
    if start + stops.skip > end:
        return -1
    if field.type is FieldType.QUOTED:
        return _quoted_end(stops, record, start, end)
    found = [record.find(literal, start + stops.skip, end) for literal in stops.literals]
    if stops.blank:
        found.append(record.find(b" ", start + stops.skip, end))
    found = [at for at in found if at >= 0]
    return min(found) if found else end if stops.line_end else -1


def cut(fields: Sequence[Field], steps: Sequence[Step], record: bytes) -> list[bytes | None]:
    """The bytes of every field, None where it is absent; raises Misfit."""
    out: list[bytes | None] = [None] * len(fields)
    newline = record.find(b"\n")
    end = len(record) if newline < 0 else newline
    place = i = 0
    while i < len(steps):
        step = steps[i]
        i += 1
        here = place + len(step.literal) <= end and record.startswith(step.literal, place)
        if step.kind is StepKind.OPTIONAL:
            i += 0 if here else step.skip
        elif step.kind is StepKind.SPACES:
            while place < end and record[place] == 0x20:
                place += 1
        elif step.kind is StepKind.LITERAL:
            if not here:
                raise Misfit(f"no {step.literal.decode()!r} at byte {place}", place)
            if step.field >= 0:
                out[step.field] = step.literal
            place += len(step.literal)
        elif step.kind is StepKind.REST:
            out[step.field] = record[place:]
            place = len(record)
        else:
            field, stops = fields[step.field], field_stops(fields, steps, i - 1)
            stop = -1 if stops is None else _field_end(field, stops, record, place, end)
            if stop < 0:
                raise Misfit(f"field '{field.name or '_'}' that starts at byte {place} has no end", place)
            out[step.field] = unescape(record[place:stop]) if field.type is FieldType.QUOTED else record[place:stop]
            place = stop
    if place < end:
        raise Misfit(f"the pattern ends at byte {place}, the line goes on", place)
    return out


def cut_any(fmt: Format, record: bytes) -> list[bytes | None]:
    """cut() by the first of the format's patterns that fits; raises the first one's Misfit if none does."""
    first: Misfit | None = None
    for steps in (fmt.steps, *fmt.fallbacks):
        try:
            return cut(fmt.fields, steps, record)
        except Misfit as misfit:
            first = first or misfit
    raise first or Misfit("the format has no steps")


def _join(fields: Sequence[Field], parts: Sequence[bytes | None], field: Field) -> bytes | None:
    """The bytes a derived field is read from."""
    values = [parts[k] for k in field.derived_from]
    if any(v is None or v in fields[k].null for k, v in zip(field.derived_from, values, strict=True)):
        return None
    return b" ".join(v for v in values if v is not None)


def values_of(fmt: Format, parts: Sequence[bytes | None], clock: Clock) -> dict[str, Any]:
    """All columns of a record that was cut into `parts`; raises Misfit."""
    out = {}
    for number, field in enumerate(fmt.fields):
        raw = _join(fmt.fields, parts, field) if field.derived_from else parts[number]
        value = to_value(field, raw, clock)
        if field.name:
            out[field.name] = value
    return out


def _values_by_key(fmt: Format, found: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Columns of a CSV, JSON or logfmt record: the declared fields, then whatever else it holds."""
    parts: list[bytes | None] = []
    taken = set()
    missing: set[int] = set()  # CSV: columns that this file does not have, and times derived from them
    for number, field in enumerate(fmt.fields):
        key = field.key or field.name
        taken.add(key)
        here = not missing & set(field.derived_from) if field.derived_from else key in found
        if fmt.mode is Mode.CSV and not here:
            missing.add(number)
        raw = found.get(key)
        if isinstance(raw, tuple):  # JSON: the raw text and what it stands for
            raw = json_bytes(field, *raw)
        parts.append(raw)
    out = values_of(fmt, parts, clock)
    for number in missing:
        del out[fmt.fields[number].name]
    for key, raw in found.items():
        if key not in taken:
            out[key] = plain_value(raw)
    return out


def json_bytes(field: Field, raw: bytes, value: Any) -> bytes | None:
    """The bytes a declared field of a JSON record is read from."""
    if value is None:
        return None
    if isinstance(value, str) and field.type is not FieldType.JSON:
        return value.encode(errors="replace")
    if field.byte_array and isinstance(value, list) and all(isinstance(v, int) and 0 <= v < 256 for v in value):
        return bytes(value)
    return raw


def matches_start(mask: str, line: bytes) -> bool:
    """Whether a line begins a record: see Format.record_start."""
    at, i = 0, 0
    while i < len(mask):
        c, here = mask[i], line[at : at + 1]
        i += 1
        if not here:
            return False
        if c == "\\":
            fits = here == mask[i].encode()
            i += 1
        elif c == "d":
            fits = here.isdigit()
        elif c == "a":
            fits = here.isalpha()
        else:
            fits = c == "." or here == c.encode()
        if not fits:
            return False
        at += 1
    return True


def parse_line(
    fmt: Format, record: bytes, clock: Clock = UTC_CLOCK, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Values of one record by column (times: UTC microseconds); raises Misfit. Local.

    record  without its line end; continuation lines joined by newlines
    names   CSV: the names of the columns, from the file's first line
    """
    if fmt.time_zone:
        clock = replace(clock, zone=fmt.time_zone)
    if fmt.mode is Mode.PATTERN:
        return values_of(fmt, cut_any(fmt, record), clock)
    if fmt.mode is Mode.CSV:
        cells = cut_csv(record, fmt.delimiter.encode(), fmt.quoting)
        header = list(names) if names else [f.name for f in fmt.fields] or [f"column{i}" for i in range(len(cells))]
        if len(cells) != len(header):
            raise Misfit(f"{len(cells)} cells, {len(header)} columns")
        return _values_by_key(fmt, dict(zip(header, cells, strict=True)), clock)
    found = cut_json(record) if fmt.mode is Mode.JSON else cut_logfmt(record)
    return _values_by_key(fmt, found, clock)


def records(fmt: Format, lines: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Records of a file's lines and how many lines each has; blank lines belong to none.

    Carriage returns before a line end are dropped. CSV cells with newlines are joined.
    """
    held: list[bytes] = []
    for line in lines:
        line = line[:-1] if line.endswith(b"\n") else line
        line = line[:-1] if line.endswith(b"\r") else line
        if fmt.mode is Mode.CSV:
            goes_on = quoted = fmt.quoting and b"\n".join(held).count(b'"') % 2 == 1
        else:
            goes_on, quoted = bool(fmt.record_start) and not matches_start(fmt.record_start, line), False
        if held and not goes_on:
            yield b"\n".join(held), len(held)
            held = []
        if line or quoted:
            held.append(line)
    if held:
        yield b"\n".join(held), len(held)


def parse(fmt: Format, lines: Iterable[bytes], clock: Clock = UTC_CLOCK) -> Iterator[Record]:
    """All records of a file's lines, parsed or with the reason why not. Local."""
    names: list[str] | None = None
    for raw, count in records(fmt, lines):
        if fmt.mode is Mode.CSV and fmt.header and names is None:
            try:
                names = csv_names(raw, fmt)
            except Misfit as misfit:
                yield Record(raw, count, None, f"header: {misfit}")
                return
            continue
        try:
            yield Record(raw, count, parse_line(fmt, raw, clock, names))
        except Misfit as misfit:
            yield Record(raw, count, None, str(misfit))

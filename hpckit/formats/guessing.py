"""Which known format fits some lines: every format is tried on them by the reference matcher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpckit.formats.library import load, names
from hpckit.formats.model import FieldType, Format, Mode, StepKind
from hpckit.formats.reference import Record, parse
from hpckit.formats.times import Clock

PROBE_LINES = 40  # formats that fit none of these are not tried on the rest
ANY_YEAR = Clock(year=2024)  # a leap year, so that every date without a year is one
PLAIN_TYPES = (FieldType.STRING, FieldType.JSON)


@dataclass(frozen=True, slots=True)
class Guess:
    """How well a format fits: the share of the records that parse, whole, with all their values."""

    name: str
    fit: float
    records: int
    parsed: int
    reason: str  # why the first record that does not fit does not
    said: int = 0  # how much the format says about these lines: columns with values, typed ones twice, and literals


def guess(lines: Sequence[bytes], clock: Clock = ANY_YEAR) -> list[Guess]:
    """Known formats that fit at least some of `lines`, best first. Local.

    Of formats that fit equally well the one that says more about these lines comes first.
    """
    ranked = []
    for name in names():
        fmt = load(name)
        if len(lines) > 2 * PROBE_LINES and not _try(fmt, lines[:PROBE_LINES], clock).parsed:
            continue
        found = _try(fmt, lines, clock)
        if found.parsed:
            ranked.append(found)
    return sorted(ranked, key=lambda g: (-round(g.fit, 2), -g.said, g.name))


def _try(fmt: Format, lines: Sequence[bytes], clock: Clock) -> Guess:
    done = list(parse(fmt, lines, clock))
    good = [r for r in done if _means_something(fmt, r)]
    reason = next((r.reason for r in done if r.values is None), "")
    # continuation lines count: a format that takes everything for one record must not win by that
    total = sum(r.lines for r in done) if fmt.record_start and len(good) < 2 else len(done)
    return Guess(fmt.name, len(good) / total if total else 0.0, len(done), len(good), reason, _said(fmt, good))


def _means_something(fmt: Format, record: Record) -> bool:
    """Whether a record that parsed shows this format at work: CSV and logfmt would take nearly any line."""
    if record.values is None:
        return False
    if fmt.mode is Mode.CSV:
        cells = len(record.values) - (0 if fmt.header else len(fmt.fields))
        declared = [f.name for f in fmt.fields if record.values.get(f.name) is not None]
        return len(declared) >= 2 if fmt.fields else cells >= 2
    if fmt.mode is Mode.LOGFMT:
        present = [v for v in record.values.values() if v is not None]
        return len(present) >= 2 and len(present) * 2 >= len(record.values)
    if fmt.mode is Mode.JSON and fmt.fields:
        return any(record.values.get(f.name) is not None for f in fmt.fields)
    return True


def _said(fmt: Format, good: Sequence[Record]) -> int:
    """How much a format says about the records that fit: columns that have values, typed ones twice; then literals."""
    filled = {name for record in good for name, value in (record.values or {}).items() if value is not None}
    typed = sum(f.name in filled and f.type not in PLAIN_TYPES for f in fmt.columns())
    literals = 0
    optional = 0  # steps left of an optional group: they prove nothing
    for step in fmt.steps:
        if step.kind is StepKind.OPTIONAL and not optional:
            optional = step.skip
        elif optional:
            optional -= 1
        elif step.kind is StepKind.LITERAL:
            literals += len(step.literal)
    return 100 * (typed + len(filled)) + min(literals, 99)

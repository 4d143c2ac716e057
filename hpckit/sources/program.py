"""From a log format and the fields a query uses to the program that the scan kernel runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hpckit._kernels import scan
from hpckit.errors import FormatError
from hpckit.formats.model import Field, FieldType, Format, Mode, Step, StepKind
from hpckit.formats.steps import field_stops

VALUE_KINDS = {
    FieldType.INT: "int",
    FieldType.FLOAT: "float",
    FieldType.TIME: "time",
    FieldType.DATE: "time",
    FieldType.BOOL: "bool",
}

KernelStep = tuple[str, int, int, int, int, bool, bool, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class WantedColumn:
    """A column the scan is to fill; `coded` asks for a string as dictionary codes."""

    name: str
    coded: bool = False


def used_fields(fmt: Format, names: Iterable[str]) -> set[int]:
    """Indices of the fields whose bytes the columns `names` are made of."""
    used: set[int] = set()
    for name in names:
        index = fmt.index(name)
        if index >= 0:
            used.update(fmt.fields[index].derived_from or (index,))
    return used


def kernel_steps(fmt: Format, steps: Sequence[Step], used: set[int], whole: bool) -> list[KernelStep]:
    """Lower `steps`, cut off behind the last field in `used` unless `whole`, with runs of fields fused."""
    lowered = [_lower(fmt, steps, i) for i in range(len(steps))]
    stop = len(steps) if whole else _needed(steps, used)
    lowered = lowered[:stop]
    if stop == len(steps):
        lowered.append(("end", -1, 0, 0, 0, False, False, ()))
    return _fuse(lowered, _inside_groups(steps))


def _lower(fmt: Format, steps: Sequence[Step], i: int) -> KernelStep:
    step = steps[i]
    if step.kind is StepKind.LITERAL:
        return ("literal", step.field, 0, 0, 0, False, False, (step.literal,))
    if step.kind is StepKind.SPACES:
        return ("spaces", -1, 0, 0, 0, False, False, ())
    if step.kind is StepKind.OPTIONAL:
        return ("optional", -1, step.skip, 0, 0, False, False, (step.literal,))
    if step.kind is StepKind.REST:
        return ("rest", step.field, 0, 0, 0, False, False, ())
    stops = field_stops(fmt.fields, steps, i)
    if stops is None:
        raise FormatError(f"format {fmt.name!r}: nothing tells where field {fmt.fields[step.field].name!r} ends")
    if fmt.fields[step.field].type is FieldType.QUOTED:
        literals = tuple(literal for literal in stops.literals if not literal.startswith(b'"'))
        blank = (b" ",) if stops.blank else ()
        return ("quoted", step.field, 0, 0, 0, stops.line_end, False, literals + blank)
    if stops.line_end and not stops.literals and not stops.blank and not stops.fixed:
        return ("rest", step.field, 0, 0, 0, False, False, ())
    return ("field", step.field, 0, stops.skip, stops.fixed, stops.line_end, stops.blank, stops.literals)


def _inside_groups(steps: Sequence[Step]) -> set[int]:
    inside: set[int] = set()
    for i, step in enumerate(steps):
        if step.kind is StepKind.OPTIONAL:
            inside.update(range(i, i + 1 + step.skip))
    return inside


def _needed(steps: Sequence[Step], used: set[int]) -> int:
    """How many steps it takes to know all `used` fields; an optional group is taken whole, a field with its literal."""
    last = max((i for i, step in enumerate(steps) if step.field in used), default=-1)
    if last < 0:
        return 0
    for i, step in enumerate(steps):
        if step.kind is StepKind.OPTIONAL and i < last <= i + step.skip:
            last = i + step.skip
    behind = last + 1
    return behind + (behind < len(steps) and steps[behind].kind is StepKind.LITERAL)


def _fuse(steps: list[KernelStep], inside: set[int]) -> list[KernelStep]:
    """Join runs of (field ended by byte c, literal c), consecutive field numbers, into one "run" step.

    Steps inside optional groups stay as they are: the groups count them.
    """
    out: list[KernelStep] = []
    i = 0
    while i < len(steps):
        run = 0
        while i + 2 * run + 1 < len(steps) and i + 2 * run not in inside and _continues(steps, i, run, inside):
            run += 1
        if run:
            out.append(("run", steps[i][1], run, 0, 0, False, False, steps[i][7]))
            i += 2 * run
        else:
            out.append(steps[i])
            i += 1
    return out


def _continues(steps: list[KernelStep], first: int, run: int, inside: set[int]) -> bool:
    field, literal = steps[first + 2 * run], steps[first + 2 * run + 1]
    return (
        field[0] == "field"
        and field[1] == steps[first][1] + run
        and field[1] >= 0
        and field[3:7] == (0, 0, False, False)
        and len(field[7]) == 1
        and len(field[7][0]) == 1
        and field[7] == steps[first][7]
        and literal[0] == "literal"
        and literal[1] < 0
        and literal[7] == field[7]
        and first + 2 * run + 1 not in inside
    )


def may_be_absent(steps: Sequence[Step], field_count: int) -> list[int]:
    """Fields that a program does not set on every record it fits."""
    inside = _inside_groups(steps)
    always = {step.field for i, step in enumerate(steps) if i not in inside}
    return [f for f in range(field_count) if f not in always]


def programs(fmt: Format, used: set[int], whole: bool) -> list[tuple[list[KernelStep], list[int]]]:
    """All step programs of a PATTERN format for the kernel.

    With fallbacks nothing is cut off: whether the first program fits must not depend on the columns asked for.
    """
    if fmt.mode is not Mode.PATTERN:
        return []
    whole = whole or bool(fmt.fallbacks)
    count = len(fmt.fields)
    return [(kernel_steps(fmt, steps, used, whole), may_be_absent(steps, count)) for steps in (fmt.steps, *fmt.fallbacks)]


@dataclass(frozen=True, slots=True)
class TimeRules:
    """How times without a zone or a year are read: a zone's transitions and the latest instant a year may give."""

    zone: tuple[np.ndarray, np.ndarray] | None = None
    not_after_us: int = 0


def column_spec(fmt: Format, column: WantedColumn, times: TimeRules) -> dict:
    """The kernel's description of one column."""
    if column.name == "_raw":
        return {"field": -1, "kind": "coded" if column.coded else "text"}
    index = fmt.index(column.name)
    field = fmt.fields[index]
    spec: dict = {"field": index, "null": field.null, "byte_array": field.byte_array}
    spec["kind"] = VALUE_KINDS.get(field.type, "coded" if column.coded else "text")
    if field.type is FieldType.DATE:
        spec["time"] = time_parser(field, TimeRules(None, times.not_after_us))  # a day has no zone
    if field.type is FieldType.TIME:
        spec["time"] = time_parser(field, times)
        if field.derived_from:
            spec["parts"] = field.derived_from
            spec["field"] = field.derived_from[0]
            tokens = [token for i in field.derived_from for token in fmt.fields[i].null]
            spec["null"] = tuple(dict.fromkeys((*field.null, *tokens)))  # NULL if one of its parts is
    return spec


def time_parser(field: Field, times: TimeRules) -> scan.TimeParser:
    """The compiled pattern of a TIME or DATE field."""
    return scan.TimeParser(field.time_format, times.zone, times.not_after_us)

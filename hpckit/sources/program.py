"""From a log format and the fields a query uses to the program that the scan kernel runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hpckit._kernels import scan
from hpckit.errors import FormatError
from hpckit.formats.model import Field, FieldType, Format, Mode, Step, StepKind
from hpckit.formats.steps import field_stops
from hpckit.frozen import frozen

VALUE_KINDS = {
    FieldType.INT: "int",
    FieldType.FLOAT: "float",
    FieldType.TIME: "time",
    FieldType.DATE: "time",
    FieldType.BOOL: "bool",
}

RUN_WIDTH_MAX = 40  # the kernel looks this far ahead of a field, and 64 bytes on: less than its buffer's padding
RUN_FIELDS_MAX = 63  # the kernel tells the field of a least width from the others by a bit of a word

KernelStep = tuple[str, int, int, int, int, bool, bool, tuple[bytes, ...], bytes]


@dataclass(slots=True)
class Lowered:
    """A kernel step in the making.

    target   OPTIONAL: number of the first step behind the group, counted before any were joined
    run      how many fields in a row it cuts, if each ends at the same byte
    wide     which of these has a least width, from 1
    then     the literal that is passed right behind it
    """

    kind: str
    field: int = -1
    target: int = -1
    min_width: int = 0
    fixed_width: int = 0
    or_end: bool = False
    blank: bool = False
    literals: tuple[bytes, ...] = ()
    run: int = 0
    wide: int = 0
    then: bytes = b""


@frozen
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
    """Lower `steps`, cut off behind the last field in `used` unless `whole`, and join what can be done at once."""
    lowered = [_lower(fmt, steps, i) for i in range(len(steps))]
    stop = len(steps) if whole else _needed(steps, used)
    lowered = lowered[:stop]
    if stop == len(steps):
        lowered.append(Lowered("end"))
    return _join(lowered)


def _lower(fmt: Format, steps: Sequence[Step], i: int) -> Lowered:
    step = steps[i]
    if step.kind is StepKind.LITERAL:
        return Lowered("literal", step.field, literals=(step.literal,))
    if step.kind is StepKind.SPACES:
        return Lowered("spaces")
    if step.kind is StepKind.OPTIONAL:
        return Lowered("optional", target=i + 1 + step.skip, literals=(step.literal,))
    if step.kind is StepKind.REST:
        return Lowered("rest", step.field)
    stops = field_stops(fmt.fields, steps, i)
    if stops is None:
        raise FormatError(f"format {fmt.name!r}: nothing tells where field {fmt.fields[step.field].name!r} ends")
    if fmt.fields[step.field].type is FieldType.QUOTED:
        literals = tuple(literal for literal in stops.literals if not literal.startswith(b'"'))
        blank = (b" ",) if stops.blank else ()
        return Lowered("quoted", step.field, or_end=stops.line_end, literals=literals + blank)
    if stops.line_end and not stops.literals and not stops.blank and not stops.fixed:
        return Lowered("rest", step.field)
    return Lowered("field", step.field, -1, stops.skip, stops.fixed, stops.line_end, stops.blank, stops.literals)


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


def _join(steps: list[Lowered]) -> list[KernelStep]:
    """Fewer, larger steps: a field takes the literal behind it along, fields that end at the same byte become a run.

    A step that an optional group jumps to stays a step of its own.
    """
    targets = {step.target for step in steps}
    joined: list[Lowered] = []
    place: dict[int, int] = {}  # number of a step before joining -> after
    for i, step in enumerate(steps):
        before = joined[-1] if joined and i not in targets else None
        if before is not None and _passes(before, step):
            before.then = step.literals[0]
            if len(joined) > 1 and (i - 1) not in targets and _extends(joined[-2], before):
                joined[-2].run += 1
                if before.min_width:
                    joined[-2].wide, joined[-2].min_width = joined[-2].run, before.min_width
                joined.pop()
            elif _extends(before, before):
                before.run, before.wide = 1, int(before.min_width > 0)
            continue
        place[i] = len(joined)
        joined.append(step)
    place[len(steps)] = len(joined)
    return [_finished(step, number, place) for number, step in enumerate(joined)]


def _passes(before: Lowered, literal: Lowered) -> bool:
    """Whether `literal` can be passed by the step before it."""
    if literal.kind != "literal" or literal.field >= 0 or before.then or before.run:
        return False
    return before.kind in ("field", "quoted") or (before.kind == "optional" and before.literals == literal.literals)


def _extends(run: Lowered, field: Lowered) -> bool:
    """Whether `field` is one more of the fields that `run` cuts: next number, same single byte behind it."""
    simple = field.kind == "field" and not (field.fixed_width or field.or_end or field.blank)
    single = len(field.literals) == 1 and len(field.literals[0]) == 1 and field.then == field.literals[0]
    if not (simple and single and field.field >= 0):
        return False
    if run is field:
        return field.min_width <= RUN_WIDTH_MAX
    if field.min_width and (run.wide or run.run >= RUN_FIELDS_MAX or field.min_width > RUN_WIDTH_MAX):
        return False
    return run.run > 0 and field.literals == run.literals and field.field == run.field + run.run


def _finished(step: Lowered, number: int, place: dict[int, int]) -> KernelStep:
    if step.run:
        return ("run", step.field, step.run, step.min_width, step.wide, False, False, step.literals, b"")
    skip = place[step.target] - number - 1 if step.kind == "optional" else 0
    how = (step.min_width, step.fixed_width, step.or_end, step.blank, step.literals, step.then)
    return (step.kind, step.field, skip, *how)


def _inside_groups(steps: Sequence[Step]) -> set[int]:
    inside: set[int] = set()
    for i, step in enumerate(steps):
        if step.kind is StepKind.OPTIONAL:
            inside.update(range(i, i + 1 + step.skip))
    return inside


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
    return [
        (kernel_steps(fmt, steps, used, whole), may_be_absent(steps, count)) for steps in (fmt.steps, *fmt.fallbacks)
    ]


@frozen
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

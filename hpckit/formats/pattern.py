"""Compile the pattern language of log formats: `{time:%Y-%m-%d %H:%M:%S} {level} {component}: {message}`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpckit.errors import FormatError
from hpckit.formats.model import Field, FieldType, Format, Mode, Step, StepKind
from hpckit.formats.steps import field_stops
from hpckit.formats.times import expand, zone_of

ISO_8601 = "%Y-%m-%dT%H:%M:%S%.f%z"
TYPES: dict[str, tuple[FieldType, str]] = {
    "str": (FieldType.STRING, ""), "text": (FieldType.STRING, ""), "rest": (FieldType.STRING, ""),
    "int": (FieldType.INT, ""), "float": (FieldType.FLOAT, ""), "bool": (FieldType.BOOL, ""),
    "quoted": (FieldType.QUOTED, ""), "json": (FieldType.JSON, ""), "epoch": (FieldType.TIME, "%s"),
    "epoch_ms": (FieldType.TIME, "%Q"), "epoch_us": (FieldType.TIME, "%U"), "iso": (FieldType.TIME, ISO_8601),
    "date": (FieldType.DATE, "%Y-%m-%d"),
}  # fmt: skip
RESERVED = ("_file", "_offset", "_raw")
# What the scan kernel has room for.
NULLS_MAX = 4
PARTS_MAX = 6
RECORD_START_MAX = 48
LITERAL_MAX_BYTES = 24  # longer text becomes several steps; the first alone tells where a field ends
STOPS_MAX = 4
PATTERNS_MAX = 8
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"{{": "{", "}}": "}", "((?": "(?", "{)}": ")", "{\\t}": "\t"}


def compile_pattern(
    pattern: str | Sequence[str],
    name: str = "inline",
    *,
    description: str = "",
    record_start: str = "",
    time_zone: str = "",
    fields: Mapping[str, Mapping[str, Any]] | None = None,
    examples: tuple[tuple[str, dict], ...] = (),
    rejects: tuple[str, ...] = (),
) -> Format:
    """The format that `pattern` describes; of several patterns the first that fits a record cuts it. Local.

    fields  attributes by field name, as in a TOML file's [fields.NAME]: type, null, text, time_format, key,
            derived_from (such a field need not occur in the pattern)

    Raises FormatError with a caret under the place.
    """
    patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
    if not patterns or not all(patterns):
        raise FormatError(f"format '{name}': the pattern is empty; write e.g. '{{time:%Y-%m-%dT%H:%M:%S}} {{message}}'")
    if len(patterns) > PATTERNS_MAX:
        raise FormatError(f"format '{name}': {len(patterns)} patterns, at most {PATTERNS_MAX} can be tried in turn")
    check_record_start(record_start, name)
    zone_of(time_zone)
    book = FieldBook(name, fields or {})
    programs = [_Compiler(text, book).program() for text in patterns]
    return Format(
        name=name,
        description=description,
        mode=Mode.PATTERN,
        fields=book.finish(),
        steps=programs[0],
        fallbacks=tuple(programs[1:]),
        record_start=record_start,
        time_zone=time_zone,
        examples=examples,
        rejects=rejects,
        pattern=patterns,
    )


def check_record_start(mask: str, name: str) -> None:
    """Raise FormatError if `mask` is not a record_start mask."""
    bare = re.sub(r"\\(.)", r"\1", mask, flags=re.DOTALL)
    if len(bare.encode()) > RECORD_START_MAX:
        raise FormatError(f"format '{name}': record_start has {len(bare)} characters; at most {RECORD_START_MAX}")
    if not bare.isascii() or re.search(r"(?<!\\)(?:\\\\)*\\$", mask):
        raise FormatError(f"format '{name}': record_start '{mask}' must be ASCII and not end in a lone backslash")


class FieldBook:
    """The fields of a format while it is compiled, shared by its alternative patterns."""

    def __init__(self, format_name: str, attributes: Mapping[str, Mapping[str, Any]]) -> None:
        self.format_name = format_name
        self.attributes = {name: dict(given) for name, given in attributes.items()}
        self.fields: list[Field] = []

    def index(self, name: str) -> int:
        """Number of the field `name`; -1 if there is none."""
        return next((i for i, f in enumerate(self.fields) if f.name == name), -1)

    def add(self, field: Field) -> int:
        """Number of the field, new or known; raises ValueError if the name already means something else."""
        if field.name:
            known = self.index(field.name)
            field = apply_attributes(field, self.attributes.get(field.name, {}))
            if known >= 0:
                if self.fields[known] != field:
                    raise ValueError(f"field '{field.name}' already has another type or other attributes")
                return known
            if any(f.name.lower() == field.name.lower() for f in self.fields):
                raise ValueError(f"field '{field.name}' differs from another one by upper and lower case only")
        self.fields.append(field)
        return len(self.fields) - 1

    def finish(self) -> tuple[Field, ...]:
        """All fields, those that are derived from others last."""
        for name, given in self.attributes.items():
            if self.index(name) >= 0:
                continue
            if "derived_from" not in given:
                known = ", ".join(f.name for f in self.fields if f.name)
                raise FormatError(
                    f"format '{self.format_name}': [fields.{name}] is not in the pattern (it has {known}); "
                    "name a field of the pattern or give derived_from"
                )
            self._derive(name, given)
        return tuple(self.fields)

    def _derive(self, name: str, given: dict[str, Any]) -> None:
        where = f"format '{self.format_name}': [fields.{name}]"
        sources = [self.index(source) for source in given["derived_from"]]
        if -1 in sources or not 1 <= len(sources) <= PARTS_MAX:
            raise FormatError(f"{where} derived_from = {given['derived_from']}: needs 1 to {PARTS_MAX} field names")
        if "time_format" not in given:
            raise FormatError(f"{where}: a derived field is a time and needs time_format")
        rest = {k: v for k, v in given.items() if k != "derived_from"}
        try:
            field = apply_attributes(Field(name, FieldType.TIME, derived_from=tuple(sources)), rest)
        except ValueError as error:
            raise FormatError(f"{where}: {error}") from None
        self.fields.append(field)


def apply_attributes(field: Field, given: Mapping[str, Any]) -> Field:
    """The field with attributes of a [fields.NAME] table; raises ValueError naming a wrong one."""
    for key, value in given.items():
        if key == "type":
            kind, time_format = _type(value)
            text = value in ("text", "rest") or (value == "str" and field.text)
            field = replace(field, type=kind, time_format=time_format, text=text)
        elif key == "time_format":
            kind = FieldType.DATE if field.type is FieldType.DATE else FieldType.TIME
            field = replace(field, type=kind, time_format=expand(value), text=False)
        elif key == "null":
            values = [value] if isinstance(value, str) else list(value)
            if len(values) > NULLS_MAX:
                raise ValueError(f"field '{field.name}' has {len(values)} values for NULL, at most {NULLS_MAX}")
            if any(len(v.encode()) > LITERAL_MAX_BYTES for v in values):
                raise ValueError(f"field '{field.name}': a value for NULL has at most {LITERAL_MAX_BYTES} bytes")
            field = replace(field, null=tuple(v.encode() for v in values))
        elif key == "text" and isinstance(value, bool):
            field = replace(field, text=value)
        elif key == "byte_array" and isinstance(value, bool):
            field = replace(field, byte_array=value)
        elif key == "key" and isinstance(value, str):
            field = replace(field, key=value)
        else:
            raise ValueError(f"attribute {key} = {value!r}; known: type, time_format, null, text, key, byte_array")
    if field.type is FieldType.TIME and not field.time_format:
        raise ValueError(f"field '{field.name}' is a time and needs time_format")
    return field


def _type(name: str) -> tuple[FieldType, str]:
    """Type and time pattern of a type's name in a pattern or file; raises ValueError for an unknown one."""
    if "%" in name:
        return FieldType.TIME, expand(name)
    if name not in TYPES:
        raise ValueError(f"unknown type '{name}'; known: {', '.join(TYPES)}, or a time pattern such as %H:%M:%S")
    return TYPES[name]


def parse_field(content: str, known: Field | None = None) -> tuple[Field, bool]:
    """The field of `name:type|attribute…` and whether its type is `rest`; raises ValueError.

    known  what a bare `name` stands for if the format already has it
    """
    head, *attributes = content.split("|")
    name, colon, kind = head.partition(":")
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' is not a field name (letters, digits, _)")
    if name in RESERVED:
        raise ValueError(f"'{name}' is a column that every table has; choose another name")
    if known is not None and not colon and not attributes:
        return known, False
    given: dict[str, Any] = {"type": kind if colon else "str"}
    for attribute in attributes:
        key, equals, value = attribute.partition("=")
        if key == "null":
            given.setdefault("null", []).append(value)
        elif key == "text":
            given["text"] = value.lower() != "false" if equals else True
        else:
            given[key] = value
    return apply_attributes(Field("" if name == "_" else name, FieldType.STRING), given), kind == "rest"


class _Compiler:
    """One pattern on its way to steps; `at` is the place in the text."""

    def __init__(self, text: str, book: FieldBook) -> None:
        self.text = text
        self.book = book
        self.at = 0
        self.always: set[str] = set()  # fields outside of optional groups
        self.places: list[int] = []  # of each step, for messages

    def fail(self, message: str, at: int) -> FormatError:
        line = re.sub(r"[\t\r\n]", " ", self.text)
        return FormatError(f"format '{self.book.format_name}': {message}\n    {line}\n    {' ' * at}^")

    def program(self) -> tuple[Step, ...]:
        """All steps of the pattern, checked."""
        steps: list[Step] = []
        self._sequence(steps, 0)
        return self._close(steps)

    def _sequence(self, steps: list[Step], depth: int) -> None:
        literal, literal_at = "", self.at
        while self.at < len(self.text):
            place = self.at
            escape = next((e for e in _ESCAPES if self.text.startswith(e, place)), None)
            special = escape is None and (
                self.text[place] in "{}" or self.text.startswith("(?", place) or (depth > 0 and self.text[place] == ")")
            )
            if not special:
                if not literal:
                    literal_at = place
                literal += _ESCAPES[escape] if escape else self.text[place]
                self.at += len(escape) if escape else 1
                continue
            self._flush(steps, literal, literal_at)
            literal = ""
            if self.text[place] == "}":
                raise self.fail("'}' without '{'; write '}}' for the character", place)
            if self.text[place] == ")":
                return
            if self.text[place] == "(":
                self._group(steps, depth)
            else:
                self._braces(steps, depth)
        if depth:
            raise self.fail("the optional group '(?' that began before is not closed by ')'", len(self.text))
        self._flush(steps, literal, literal_at)

    def _emit(self, steps: list[Step], step: Step, at: int) -> None:
        steps.append(step)
        self.places.append(at)

    def _flush(self, steps: list[Step], literal: str, at: int) -> None:
        if not literal:
            return
        if literal.startswith(" ") and steps and steps[-1].kind is StepKind.SPACES:
            raise self.fail("'{>}' takes all blanks, so the blank behind it can never match", at)
        raw = literal.encode()
        for start in range(0, len(raw), LITERAL_MAX_BYTES):
            self._emit(steps, Step(StepKind.LITERAL, literal=raw[start : start + LITERAL_MAX_BYTES]), at)

    def _group(self, steps: list[Step], depth: int) -> None:
        place, index = self.at, len(steps)
        self.at += 2
        self._emit(steps, Step(StepKind.OPTIONAL), place)
        self._sequence(steps, depth + 1)
        self.at += 1  # the ')'
        literal = b""
        for step in steps[index + 1 :]:
            if step.kind is not StepKind.LITERAL:
                break
            literal += step.literal
        if not literal:
            raise self.fail("an optional group must begin with a literal, which tells whether it applies", place + 2)
        steps[index] = Step(StepKind.OPTIONAL, literal=literal[:LITERAL_MAX_BYTES], skip=len(steps) - index - 1)

    def _braces(self, steps: list[Step], depth: int) -> None:
        place = self.at
        end = self.text.find("}", place)
        if end < 0:
            raise self.fail("'{' without '}'; write '{{' for the character", place)
        content = self.text[place + 1 : end]
        self.at = end + 1
        if content == ">":
            self._emit(steps, Step(StepKind.SPACES), place)
            return
        captured = re.fullmatch(r"([A-Za-z_]\w*)=(.+)", content, re.DOTALL)
        try:
            if captured:
                name, value = captured.groups()
                number, rest = self._number(name, depth)[0], False
                if len(value.encode()) > LITERAL_MAX_BYTES:
                    raise ValueError(f"'{value}' is longer than {LITERAL_MAX_BYTES} bytes")
                if self.book.fields[number].type is not FieldType.STRING:
                    raise ValueError(f"field '{name}' must be a string to take the value '{value}'")
            else:
                number, rest = self._number(content, depth)
        except (ValueError, FormatError) as error:
            raise self.fail(str(error), place + 1) from None
        if captured:
            self._emit(steps, Step(StepKind.LITERAL, literal=captured[2].encode(), field=number), place)
        else:
            self._emit(steps, Step(StepKind.REST if rest else StepKind.FIELD, field=number), place)

    def _number(self, content: str, depth: int) -> tuple[int, bool]:
        """The number of the field `content` describes, and whether it takes the rest of the record."""
        name = re.split(r"[:|]", content, maxsplit=1)[0]
        known = self.book.index(name)
        field, rest = parse_field(content, self.book.fields[known] if known >= 0 else None)
        if field.name and field.name in self.always:
            raise ValueError(f"field '{field.name}' occurs twice; only optional groups may repeat a field")
        if depth == 0 and field.name:
            self.always.add(field.name)
        return (known if known >= 0 and field is self.book.fields[known] else self.book.add(field)), rest

    def _close(self, steps: list[Step]) -> tuple[Step, ...]:
        """Turn the last field into REST and check that every field has an end."""
        out = list(steps)
        for i, step in enumerate(steps):
            if step.kind is StepKind.FIELD:
                field = self.book.fields[step.field]
                stops = field_stops(self.book.fields, steps, i)
                if stops is None:
                    message = "nothing tells where this field ends: put a literal or {>} behind it"
                    raise self.fail(message, self.places[i])
                if len(stops.literals) > STOPS_MAX:
                    message = f"this field has {len(stops.literals)} ways to end, at most {STOPS_MAX} are possible"
                    raise self.fail(message, self.places[i])
                if field.type is FieldType.QUOTED and not any(s.startswith(b'"') for s in self._behind(steps, i)):
                    raise self.fail("a quoted field must be followed by '\"'", self.places[i])
                if stops.line_end and not stops.literals and not stops.blank:
                    out[i] = Step(StepKind.REST, field=step.field)
            elif step.kind is StepKind.REST:
                j = i + 1
                while j < len(steps) and steps[j].kind is StepKind.OPTIONAL:
                    j += 1 + steps[j].skip
                if j < len(steps):
                    raise self.fail("a field of type rest must be the last", self.places[i])
        return tuple(out)

    @staticmethod
    def _behind(steps: list[Step], at: int) -> list[bytes]:
        """The literals behind step `at`: one of them has to close the quotes."""
        return [s.literal for s in steps[at + 1 :] if s.kind is StepKind.LITERAL]

"""Columns of JSON lines and logfmt: the keys of the first records in order of first sight, and what their values are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from hpckit.errors import FormatError, InputError
from hpckit.formats.delimited import cut_logfmt
from hpckit.formats.model import Field, FieldType, Format, Mode
from hpckit.formats.values import Misfit
from hpckit.sources.files import InputFile
from hpckit.sources.infer_names import unique_names
from hpckit.sources.infer_options import RecordOptions
from hpckit.sources.infer_sample import Head, lines_of, read_sample
from hpckit.sources.infer_types import EXACT_IN_DOUBLE, Rules, guess_field, typed_field

DEPTH_MAX = 8  # an object nested deeper stays JSON text
MEMBERS_MAX = 100  # an object with more different keys is a map: it stays JSON text
PATH_BYTES_MAX = 500  # the kernel does not look up longer paths
COLUMNS_MAX = 4096


@dataclass(slots=True)
class _Seen:
    """What a key held: types with how often, texts, the range of its integers, and the keys of its objects."""

    types: Counter[type] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    low: int = 0
    high: int = 0
    members: dict[str, _Seen] = field(default_factory=dict)


def keyed_format(files: Sequence[InputFile], declared: Format | None, options: RecordOptions) -> Format:
    """The complete format of JSON lines (also without `declared`) or logfmt files. Local."""
    heads = read_sample(files, options.sample)
    rules = Rules(options.time_format, options.date_format, options.all_text)
    logfmt = declared is not None and declared.mode is Mode.LOGFMT
    found = _logfmt_fields(heads, options, rules) if logfmt else _json_fields(files, heads, options, rules)
    fields = list(declared.fields) if declared else []
    known = {f.key or f.name for f in fields}
    fields += [f for f in found if f.key not in known]
    for key, kind in options.types.items():
        place = next((i for i, f in enumerate(fields) if f.name == key or f.key == key), None)
        if place is None:
            fields.append(typed_field(Field(key, kind, key=key), kind, pa.array([], pa.string()), rules))
        elif fields[place].type is not kind or kind not in (FieldType.TIME, FieldType.DATE):
            fields[place] = typed_field(fields[place], kind, pa.array([], pa.string()), rules)
    if not fields:
        raise InputError(f"{files[0].path}: no record to find columns in; name them with columns = {{'a': 'BIGINT', …}}")
    fields = [replace(f, name=n) if f.name else f for f, n in zip(fields, unique_names([f.name for f in fields]), strict=True)]
    mode = declared.mode if declared else Mode.JSON
    if declared:
        return replace(declared, fields=tuple(fields))
    return Format("json", "JSON lines", mode, tuple(fields))


def _json_fields(files: Sequence[InputFile], heads: Sequence[Head], options: RecordOptions, rules: Rules) -> list[Field]:
    root = _Seen()
    records = lines = 0
    first = b""
    for line in lines_of(heads, options.sample):
        lines += 1
        first = first or line.strip()
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            _see_members(root, value, 0)
            records += 1
    if lines and not records:
        hint = "an array over the whole file: write one object a line, e.g. with jq -c '.[]'" if first[:1] == b"[" else (
            "an object over several lines: write one a line, e.g. with jq -c ." if first == b"{" else "something else"
        )  # fmt: skip
        raise InputError(f"{files[heads[0].file].path}: none of the first {lines} lines is a JSON object; it looks like {hint}")
    fields: list[Field] = []
    for key, seen in root.members.items():
        _add_fields(fields, (key,), seen, rules)
    if len(fields) > COLUMNS_MAX:
        raise FormatError(f"{files[0].path}: {len(fields)} different keys; at most {COLUMNS_MAX} can be columns")
    return fields


def _see_members(seen: _Seen, value: dict[str, Any], depth: int) -> None:
    """Note the members of an object; hot: runs for every value of the sample."""
    members = seen.members
    for key, item in value.items():
        member = members.get(key)
        if member is None:
            member = members[key] = _Seen()
        kind = type(item)
        member.types[kind] += 1
        if kind is str:
            member.texts.append(item)
        elif kind is int:
            if item < member.low:
                member.low = item
            elif item > member.high:
                member.high = item
        elif kind is dict and depth < DEPTH_MAX:
            _see_members(member, item, depth + 1)


def _add_fields(fields: list[Field], path: tuple[str, ...], seen: _Seen, rules: Rules) -> None:
    key = ".".join(path)
    if len(key.encode("utf-8", "replace")) > PATH_BYTES_MAX:
        return
    kinds = set(seen.types) - {type(None)}
    if kinds == {dict} and _is_record(seen, path):
        for name, member in seen.members.items():
            _add_fields(fields, (*path, name), member, rules)
        return
    fields.append(_column(Field(key, FieldType.STRING, key=key), kinds, seen, rules))


def _is_record(seen: _Seen, path: tuple[str, ...]) -> bool:
    """Whether an object's members become columns of their own."""
    if not 0 < len(seen.members) <= MEMBERS_MAX or len(path) > DEPTH_MAX:
        return False
    longest = max(len(name.encode("utf-8", "replace")) for name in seen.members)
    return sum(len(part.encode("utf-8", "replace")) + 1 for part in path) + longest <= PATH_BYTES_MAX


def _column(column: Field, kinds: set[type], seen: _Seen, rules: Rules) -> Field:
    """The type that holds all values exactly: numbers, truth values and times as such, mixtures as their JSON text."""
    if kinds & {list, dict}:
        return replace(column, type=FieldType.JSON, text=True)
    if kinds == {bool} and not rules.all_text:
        return replace(column, type=FieldType.BOOL)
    in_int64 = seen.low >= -(1 << 63) and seen.high < 1 << 63
    if kinds == {int} and in_int64 and not rules.all_text:
        return replace(column, type=FieldType.INT)
    exact = -EXACT_IN_DOUBLE <= seen.low and seen.high <= EXACT_IN_DOUBLE
    if kinds and kinds <= {int, float} and float in kinds and exact and not rules.all_text:
        return replace(column, type=FieldType.FLOAT)
    if kinds == {str}:
        return guess_field(column, _text_array(seen.texts), rules, numbers=False)
    return column


def _text_array(texts: list[str]) -> pa.Array:
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:  # lone surrogates: no time, whatever they are
        return pa.array([t.encode("utf-8", "replace").decode() for t in texts], pa.string())


def _logfmt_fields(heads: Sequence[Head], options: RecordOptions, rules: Rules) -> list[Field]:
    values: dict[str, list[str | None]] = {}
    for pairs in _logfmt_records(heads, options.sample):
        for key, raw in pairs.items():
            values.setdefault(key, []).append(None if not raw else raw.decode("utf-8", "replace"))
    return [_logfmt_column(key, pa.array(texts, pa.string()), rules) for key, texts in values.items()]


def _logfmt_records(heads: Sequence[Head], records: int) -> Iterator[dict[str, bytes | None]]:
    for line in lines_of(heads, records):
        try:
            yield cut_logfmt(line)
        except Misfit:
            continue


def _logfmt_column(key: str, values: pa.Array, rules: Rules) -> Field:
    column = guess_field(Field(key, FieldType.STRING, key=key), values, rules)
    return column if column.type is FieldType.STRING else replace(column, null=(b"",))

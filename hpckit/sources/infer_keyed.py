"""Columns of JSON lines and logfmt: the keys of the first records in order of first sight, and what their values are.

Equal keys in one object: the last counts. An empty key on the top level is not a column.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    """What a key held: types, texts, the range of its integers, and the keys of its objects."""

    kinds: set[type] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    low: int = 0
    high: int = 0
    members: dict[str, _Seen] = field(default_factory=dict)


def keyed_format(files: Sequence[InputFile], declared: Format | None, options: RecordOptions) -> Format:
    """The complete format of JSON lines (also without `declared`) or logfmt files. Local."""
    heads = read_sample(files, options.sample)
    rules = Rules(options.time_format, options.date_format, options.all_text)
    logfmt = declared is not None and declared.mode is Mode.LOGFMT
    fields = list(declared.fields) if declared else []
    with _no_collector():
        found = _logfmt_fields(heads, options, rules) if logfmt else _json_fields(heads, options, rules)
    if not found and not fields:
        _explain(files, heads, options)
    known = {f.key or f.name for f in fields}
    fields += [f for f in found if f.key not in known]
    if options.names and not declared:
        fields = [f for name in options.names for f in fields if name in (f.name, f.key)]
    for key, kind in options.types.items():
        place = next((i for i, f in enumerate(fields) if f.name == key or f.key == key), None)
        if place is None:
            fields.append(typed_field(Field(key, kind, key=key), kind, pa.array([], pa.string()), rules))
        elif fields[place].type is not kind or kind not in (FieldType.TIME, FieldType.DATE):
            fields[place] = typed_field(fields[place], kind, pa.array([], pa.string()), rules)
    if not fields:
        raise InputError(f"{files[0].path}: no record to find columns in; give columns = {{'a': 'BIGINT', …}}")
    names = unique_names([f.name for f in fields])
    fields = [replace(f, name=name) if f.name else f for f, name in zip(fields, names, strict=True)]
    return replace(declared or Format("json", "JSON lines", Mode.JSON, ()), fields=tuple(fields))


@contextmanager
def _no_collector() -> Iterator[None]:
    """Hundreds of thousands of new values without a cycle among them: looking for some takes as long as parsing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _explain(files: Sequence[InputFile], heads: Sequence[Head], options: RecordOptions) -> None:
    """Raise InputError if there are lines, but no objects."""
    lines = list(lines_of(heads, options.sample))
    if lines and not _parse(lines):
        start = lines[0].lstrip()
        hint = "; is it one array? jq -c '.[]' writes one object a line" if start.startswith(b"[") else (
            "; is it an object over several lines? jq -c . writes one a line" if start.startswith(b"{") else ""
        )  # fmt: skip
        raise InputError(f"{files[heads[0].file].path}: none of the first {len(lines)} lines is a JSON object{hint}")


def _json_fields(heads: Sequence[Head], options: RecordOptions, rules: Rules) -> list[Field]:
    root = _Seen()
    _see_members(root, _parse(list(lines_of(heads, options.sample))), 0)
    fields: list[Field] = []
    for key, seen in root.members.items():
        _add_fields(fields, (key,), seen, rules)
    if len(fields) > COLUMNS_MAX:
        raise FormatError(f"{len(fields)} different keys in the first records; at most {COLUMNS_MAX} can be columns")
    return fields


def _see_members(seen: _Seen, records: Sequence[dict[str, Any]], depth: int) -> None:
    """Note the members of objects: those with the same keys together, column by column, which is ten times faster than
    one by one.
    """
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in records:
        alike.setdefault(tuple(record), []).append(record)
    for keys, rows in alike.items():
        for key, column in zip(keys, zip(*[row.values() for row in rows], strict=True), strict=True):
            member = seen.members.get(key)
            if member is None:
                member = seen.members[key] = _Seen()
            kinds = set(map(type, column))
            member.kinds |= kinds
            if str in kinds:
                member.texts.extend(v for v in column if type(v) is str)
            if int in kinds:
                integers = [v for v in column if type(v) is int]
                member.low, member.high = min(member.low, *integers), max(member.high, *integers)
            if dict in kinds and depth < DEPTH_MAX:
                _see_members(member, [v for v in column if type(v) is dict], depth + 1)


def _parse(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The JSON objects among the lines."""
    try:
        values = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):  # some line is damaged: one by one
        values = []
        for line in lines:
            try:
                values.append(json.loads(line, strict=False))
            except (ValueError, RecursionError):
                continue
    return [value for value in values if type(value) is dict]


def _add_fields(fields: list[Field], path: tuple[str, ...], seen: _Seen, rules: Rules) -> None:
    key = ".".join(path)
    if len(key.encode("utf-8", "replace")) > PATH_BYTES_MAX:
        return
    kinds = seen.kinds - {type(None)}
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
    exact = seen.low >= -EXACT_IN_DOUBLE and seen.high <= EXACT_IN_DOUBLE
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

"""Cut CSV, JSON and logfmt records in plain Python (the twin of what the scan kernel does with them)."""

from __future__ import annotations

import json
import re
from typing import Any

from hpckit.formats.model import Format
from hpckit.formats.values import Misfit, unescape

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")
_PAIR = re.compile(rb'[ \t]*([^= "\t]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^ "][^ ]*)?))?(?=[ \t]|$)', re.DOTALL)


def cut_csv(record: bytes, delimiter: bytes, quoting: bool = True) -> list[bytes | None]:
    """Cells of a CSV record; an empty cell without quotes is None. Raises Misfit for quotes that do not close."""
    cells: list[bytes | None] = []
    at = 0
    while True:
        if quoting and record[at : at + 1] == b'"':
            close = at + 1
            while True:
                close = record.find(b'"', close)
                if close < 0:
                    raise Misfit(f"the quote at byte {at} is not closed", at)
                if record[close + 1 : close + 2] != b'"':
                    break
                close += 2
            cells.append(record[at + 1 : close].replace(b'""', b'"'))
            at = close + 1
            if record[at : at + 1] not in (b"", delimiter):
                raise Misfit(f"text behind the closing quote at byte {at}", at)
        else:
            stop = record.find(delimiter, at)
            stop = len(record) if stop < 0 else stop
            cells.append(record[at:stop] or None)
            at = stop
        if at >= len(record):
            return cells
        at += 1


def csv_names(line: bytes, fmt: Format) -> list[str]:
    """Column names of a header line."""
    if fmt.header == "#" and line.startswith(b"#"):
        line = line[1:].lstrip()
    cells = cut_csv(line, fmt.delimiter.encode(), fmt.quoting)
    return [(cell or b"").decode(errors="replace").strip() or f"column{i}" for i, cell in enumerate(cells)]


def cut_json(record: bytes) -> dict[str, tuple[bytes, Any]]:
    """Raw text and value by key of a JSON object, nested ones by dotted path too; the last of equal keys counts."""
    try:
        text = record.decode()
        found: dict[str, tuple[bytes, Any]] = {}
        end = _object(text, _skip(text, 0), "", found)
    except (UnicodeDecodeError, ValueError, IndexError, RecursionError) as error:
        raise Misfit(f"not a JSON object: {error}") from None
    if _skip(text, end) != len(text):
        raise Misfit(f"text behind the JSON object at character {end}", end)
    return found


def _skip(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def _object(text: str, at: int, path: str, found: dict[str, tuple[bytes, Any]]) -> int:
    """Read the object at text[at] into `found`; the place behind it."""
    if text[at] != "{":
        raise ValueError("does not begin with '{'")
    at = _skip(text, at + 1)
    if text[at] == "}":
        return at + 1
    while True:
        key, at = _DECODER.raw_decode(text, at)
        if not isinstance(key, str):
            raise ValueError(f"key {key!r} is not a string")
        at = _skip(text, at)
        if text[at] != ":":
            raise ValueError(f"no ':' at character {at}")
        start = _skip(text, at + 1)
        value, at = _DECODER.raw_decode(text, start)
        found[path + key] = (text[start:at].encode(), value)
        if isinstance(value, dict):
            _object(text, start, f"{path}{key}.", found)
        at = _skip(text, at)
        if text[at] == "}":
            return at + 1
        if text[at] != ",":
            raise ValueError(f"no ',' at character {at}")
        at = _skip(text, at + 1)


def cut_logfmt(record: bytes) -> dict[str, bytes | None]:
    """Values of key=value pairs by key; a bare key is None, a quoted value has its escapes undone."""
    found: dict[str, bytes | None] = {}
    at = 0
    record = record.rstrip(b" \t")
    while at < len(record):
        match = _PAIR.match(record, at)
        if match is None:
            raise Misfit(f"no key=value at byte {at}", at)
        key, quoted, bare = match.groups()
        has_value = match.end(1) < len(record) and record[match.end(1)] == 0x3D
        value = unescape(quoted) if quoted is not None else (bare or b"") if has_value else None
        found[key.decode(errors="replace")] = value
        at = match.end()
    return found


def plain_value(raw: Any) -> Any:
    """The value of an undeclared cell: what JSON says, or an integer, number or truth value if it reads as one."""
    if isinstance(raw, tuple):
        return json.dumps(raw[1], separators=(",", ":")) if isinstance(raw[1], (dict, list)) else raw[1]
    if not isinstance(raw, bytes):
        return raw
    if re.fullmatch(rb"[+-]?[0-9]{1,18}", raw):
        return int(raw)
    if re.fullmatch(rb"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", raw):
        return float(raw)
    if raw.lower() in (b"true", b"false"):
        return raw.lower() == b"true"
    return raw.decode(errors="replace")

"""Bytes of a field to a Python value: the slow, plain twin of the kernel's conversions."""

from __future__ import annotations

import re
from typing import Any

from hpckit.formats.model import Field, FieldType
from hpckit.formats.times import UTC_CLOCK, Clock, parse_time

_INT = re.compile(rb"[+-]?[0-9]+")
_FLOAT = re.compile(rb"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(?:([\"\\'])|([nrtbfva])|x([0-9a-fA-F]{2}))")
_CONTROLS = dict(zip(b"nrtbfva", b"\n\r\t\b\f\v\a", strict=True))
DAY_US = 86_400_000_000
TRUE_WORDS = (b"true", b"t", b"yes", b"y", b"1", b"on")
FALSE_WORDS = (b"false", b"f", b"no", b"n", b"0", b"off")


class Misfit(ValueError):
    """A record that a format does not fit: the reason and the byte of the record."""

    def __init__(self, reason: str, at: int = 0) -> None:
        super().__init__(reason)
        self.at = at


def unescape(raw: bytes) -> bytes:
    r"""Undo backslash escapes as web servers write them: \" \\ \' \n \r \t \b \f \v \a \xHH; others stay.

    \xHH above 7f stays too unless the result is valid UTF-8.
    """

    def undo(match: re.Match[bytes], ascii_only: bool = False) -> bytes:
        same, control, code = match.groups()
        if same:
            return same
        if control:
            return bytes([_CONTROLS[control[0]]])
        value = int(code, 16)
        return match[0] if ascii_only and value > 127 else bytes([value])

    out = _ESCAPE.sub(undo, raw)
    try:
        out.decode()
        return out
    except UnicodeDecodeError:
        return _ESCAPE.sub(lambda m: undo(m, True), raw)


def to_value(field: Field, raw: bytes | None, clock: Clock) -> Any:
    """The value of a field: int, float, bool, str, int UTC microseconds for a TIME, days for a DATE; None for NULL.

    Raises Misfit if the bytes are not of the field's type.
    """
    if raw is None or raw in field.null:
        return None
    if field.type in (FieldType.INT, FieldType.FLOAT) and (raw.startswith(b" ") or raw.endswith(b" ")):
        raw = raw.strip(b" \t")
    if field.type is FieldType.INT:
        value = int(raw) if _INT.fullmatch(raw) else 1 << 63
        if not -(1 << 63) <= value < 1 << 63:
            raise Misfit(f"field '{field.name}': {_show(raw)} is not an integer of 64 bits")
        return value
    if field.type is FieldType.FLOAT:
        if not _FLOAT.fullmatch(raw):
            raise Misfit(f"field '{field.name}': {_show(raw)} is not a number")
        return float(raw)
    if field.type is FieldType.BOOL:
        if raw.lower() not in TRUE_WORDS + FALSE_WORDS:
            raise Misfit(f"field '{field.name}': {_show(raw)} is not true or false")
        return raw.lower() in TRUE_WORDS
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Misfit(f"field '{field.name}': {_show(raw)} is not valid UTF-8") from None
    if field.type in (FieldType.TIME, FieldType.DATE):
        try:
            us = parse_time(text, field.time_format, clock if field.type is FieldType.TIME else UTC_CLOCK)
            return us if field.type is FieldType.TIME else us // DAY_US
        except (ValueError, OverflowError) as error:
            raise Misfit(f"field '{field.name}': {error}") from None
    return text


def _show(raw: bytes) -> str:
    text = raw[:40].decode(errors="backslashreplace")
    return repr(text if len(raw) <= 40 else text + "…")

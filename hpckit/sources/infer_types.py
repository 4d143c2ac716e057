"""What type the texts of a column have: integer, number, truth value, day, instant or just text."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from hpckit._kernels.scan import TimeParser
from hpckit.errors import FormatError
from hpckit.formats.model import Field, FieldType

EXACT_IN_DOUBLE = 1 << 53
DATE_FORMAT = "%Y-%m-%d"
TIME_FORMATS = tuple(f"%Y-%m-%d{sep}%H:%M:%S%.f{zone}" for sep in (" ", "T") for zone in ("", "%z"))

_INT = r"^ *[+-]?[0-9]+ *$"
_ZEROS = r"^ *[+-]?0[0-9]"
_FLOAT = r"^ *[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:nan|inf|infinity)) *$"
_BOOL = r"^(?i:true|false)$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
_TIMES = {
    TIME_FORMATS[i]: rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{sep}{_CLOCK}{zone}$"
    for i, (sep, zone) in enumerate((s, z) for s in (" ", "T") for z in ("", r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"))
}
_PROBE = 32  # a pattern is tried on a few values before it is tried on all
_TEXT_ROWS_MIN = 256


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user said: formats of times and days to try first, or that everything is text."""

    time_format: str = ""
    date_format: str = ""
    all_text: bool = False


def guess_field(field: Field, values: pa.Array, rules: Rules, numbers: bool = True) -> Field:
    """`field` with the type that all `values` (string array, NULL for no value) have; without `numbers` only times are
    looked for. A column without values is text.
    """
    distinct = pc.unique(values.drop_null())
    free = len(values) >= _TEXT_ROWS_MIN and len(distinct) > len(values) // 2
    text = replace(field, type=FieldType.STRING, text=free)
    if numbers:  # a quoted nothing among numbers is NULL
        distinct = distinct.filter(pc.not_equal(distinct, ""))
    if not len(distinct) or rules.all_text:
        return text
    kind = _number_type(distinct) if numbers else None
    if kind is not None:
        return text if kind is FieldType.STRING else replace(field, type=kind)
    found = _time_type(distinct, rules)
    return replace(field, type=found[0], time_format=found[1]) if found else text


def typed_field(field: Field, kind: FieldType, values: pa.Array, rules: Rules) -> Field:
    """`field` with a type that the user gave; the form of a timestamp comes from the values."""
    if kind not in (FieldType.TIME, FieldType.DATE):
        return replace(field, type=kind)
    given = rules.time_format if kind is FieldType.TIME else rules.date_format
    found = None if given else _time_type(pc.unique(values.drop_null()), rules)
    default = TIME_FORMATS[0] if kind is FieldType.TIME else DATE_FORMAT
    pattern = given or (found[1] if found and (kind is FieldType.TIME or found[1] == DATE_FORMAT) else default)
    return replace(field, type=kind, time_format=pattern)


def _number_type(distinct: pa.Array) -> FieldType | None:
    """INT, FLOAT, BOOL, or STRING for numbers that no type holds exactly; None: not numbers.

    Digits behind a leading zero are an identifier (007): text, as in DuckDB.
    """
    if _all_match(distinct, _INT):
        if pc.any(pc.match_substring_regex(distinct, _ZEROS)).as_py():
            return FieldType.STRING
        return FieldType.INT if _largest_integer(distinct) < 1 << 63 else FieldType.STRING
    if _all_match(distinct, _FLOAT):
        integers = distinct.filter(pc.match_substring_regex(distinct, _INT))
        if not pc.any(pc.match_substring_regex(distinct, "[0-9]")).as_py():
            return None
        return FieldType.FLOAT if _largest_integer(integers) < EXACT_IN_DOUBLE else FieldType.STRING
    return FieldType.BOOL if _all_match(distinct, _BOOL) else None


def _largest_integer(texts: pa.Array) -> int:
    """Largest magnitude, with −2⁶³ counted as 2⁶³ − 1; short ones are not looked at."""
    long = texts.filter(pc.greater(pc.binary_length(texts), 15)).to_pylist()
    return max((v if v >= 0 else -v - 1 for v in (_integer(text) for text in long)), default=0)


def _integer(text: str) -> int:
    digits = text.strip().lstrip("+-0")
    return 1 << 63 if len(digits) > 19 else int(text)


def _time_type(distinct: pa.Array, rules: Rules) -> tuple[FieldType, str] | None:
    for kind, pattern in ((FieldType.TIME, rules.time_format), (FieldType.DATE, rules.date_format)):
        if pattern and _all_parse(distinct, pattern):
            return kind, pattern
    if _all_match(distinct, _DATE):
        return (FieldType.DATE, DATE_FORMAT) if _all_parse(distinct, DATE_FORMAT) else None
    for pattern, shape in _TIMES.items():
        if _all_match(distinct, shape):
            return (FieldType.TIME, pattern) if _all_parse(distinct, pattern) else None
    return None


def _all_match(distinct: pa.Array, pattern: str) -> bool:
    for part in (distinct[:_PROBE], distinct):
        if not len(part) or not pc.all(pc.match_substring_regex(part, pattern)).as_py():
            return False
    return True


def _all_parse(distinct: pa.Array, pattern: str) -> bool:
    try:
        parser = TimeParser(pattern, None, 1 << 61)
    except ValueError as error:
        raise FormatError(str(error)) from None
    return all(parser.parse(text.encode()) is not None for text in distinct.to_pylist())

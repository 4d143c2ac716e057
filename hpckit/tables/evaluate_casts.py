"""CAST and TRY_CAST between the types of expressions, with DuckDB's readings of text."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import QueryError
from hpckit.tables.civil_time import DAY
from hpckit.tables.evaluate_time_text import interval_texts, parse_dates, parse_timestamps
from hpckit.tables.evaluate_vectors import both, build, validity, values
from hpckit.tables.intervals import parse_interval
from hpckit.tables.types import BOOL, DATE, FLOAT, INT, INTERVAL, STRING, TIMESTAMP, sql_name

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_FIXED_MIN, _FIXED_MAX = 1e-4, 1e16  # DuckDB writes these without an exponent
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")


def cast(array: pa.Array, target: pa.DataType, lenient: bool) -> pa.Array:
    """The array as `target`; what does not fit is NULL if lenient, else QueryError."""
    if array.type == target:
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target)
    convert = _CASTS.get((array.type, target))
    if convert is None:
        raise QueryError(f"CAST: no conversion from {sql_name(array.type)} to {sql_name(target)}")
    result, failed = convert(array)
    if failed is not None and failed.any():
        if not lenient:
            row = int(np.argmax(failed))
            shown = array[row].as_py()
            raise QueryError(
                f"cannot convert {sql_name(array.type)} {str(shown)!r} to {sql_name(target)}; "
                f"TRY_CAST gives NULL for such values"
            )
        result = build(values(result), both(validity(result), ~failed), target)
    return result


def can_cast(source: pa.DataType, target: pa.DataType) -> bool:
    return source == target or pa.types.is_null(source) or (source, target) in _CASTS


def can_fail(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether some value of `source` has no counterpart in `target`."""
    return source != target and ((source == STRING) or (source, target) in ((FLOAT, INT), (DATE, TIMESTAMP)))


_ODD = {  # texts worth a closer look than Arrow's
    INT: r"^\s*[+-]?(?:[0-9]|\.[0-9])[0-9a-fA-FxX_.+-]*\s*$",
    FLOAT: r"^\s*[+-]?(?:[0-9]|\.[0-9]|[nNiI])[0-9a-zA-Z_.+-]*\s*$",
}
Result = tuple[pa.Array, "np.ndarray | None"]


def _by_distinct(array: pa.Array, rows: np.ndarray, parse: Callable[[str], object], kind: pa.DataType) -> Result:
    """Parse the texts at `rows` (bool) in Python, once for each distinct text; `parse` returns None on failure."""
    chosen = array.filter(pa.array(rows))
    distinct = pc.unique(chosen)
    parsed = pa.array([parse(t) for t in distinct.to_pylist()], kind)
    return parsed.take(pc.index_in(chosen, value_set=distinct)), rows


def _text_to_number(array: pa.Array, target: pa.DataType, plain: str, parse: Callable[[str], object]) -> Result:
    """Arrow reads the plain numbers at once; the odd rest ('1e3', ' 7 ', '1_000') goes through `parse`."""
    try:
        return pc.cast(array, target), None
    except pa.ArrowInvalid:
        is_plain = pc.match_substring_regex(array, plain)
    simple = pc.cast(pc.if_else(is_plain, array, pa.scalar(None, STRING)), target)
    odd = pc.fill_null(pc.invert(is_plain), False)
    odd_rows = values(odd)
    readable = pc.and_(odd, pc.fill_null(pc.match_substring_regex(array, _ODD[target]), False))
    data, valid = values(simple).copy(), np.asarray(simple.is_valid())
    rows = values(readable)
    if rows.any():
        parsed, _ = _by_distinct(array, rows, parse, target)
        data[rows] = values(parsed)
        valid[rows] = np.asarray(parsed.is_valid())
    return build(data, valid, target), odd_rows & ~valid


_UNDERSCORES = re.compile(r"(?<=[0-9])_(?=[0-9])")


def _parse_integer(text: str) -> int | None:
    text = text.strip()
    sign, digits = (text[0], text[1:]) if text[:1] in "+-" and text else ("", text)
    prefix = digits[:2].lower()
    try:
        if prefix in ("0x", "0b"):
            if sign:
                return None
            number = int(digits[2:], 16 if prefix == "0x" else 2)
        else:
            number = int(Decimal(_UNDERSCORES.sub("", text)).to_integral_value(ROUND_HALF_UP))
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return number if _INT_MIN <= number <= _INT_MAX else None


def _parse_float(text: str) -> float | None:
    text = _UNDERSCORES.sub("", text.strip())
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


def _text_to_int(array: pa.Array) -> Result:
    return _text_to_number(array, INT, r"^-?[0-9]{1,18}$", _parse_integer)


def _text_to_float(array: pa.Array) -> Result:
    return _text_to_number(array, FLOAT, r"^[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,4})?$", _parse_float)


def _text_to_bool(array: pa.Array) -> Result:
    low = pc.utf8_lower(array)
    true = values(pc.is_in(low, value_set=pa.array(_TRUE)))
    false = values(pc.is_in(low, value_set=pa.array(_FALSE)))
    known, valid = true | false, validity(array)
    return build(true, both(valid, known), BOOL), ~known if valid is None else ~known & valid


def _text_to_interval(array: pa.Array) -> Result:
    def parse(text: str) -> int | None:
        try:
            months, micros = parse_interval(text)
        except QueryError:
            return None
        return None if months else micros

    rows = np.asarray(array.is_valid())
    parsed, _ = _by_distinct(array, rows, parse, INT)
    data, valid = np.zeros(len(array), np.int64), rows.copy()
    data[rows] = values(parsed)
    valid[rows] = np.asarray(parsed.is_valid())
    return build(data, valid, INTERVAL), rows & ~valid


def _float_to_int(array: pa.Array) -> Result:
    """Rounded half to even, as the C library's nearbyint."""
    data, valid = values(array), validity(array)
    with np.errstate(invalid="ignore"):
        rounded = np.rint(data)
        bad = ~((rounded >= -(2.0**63)) & (rounded < 2.0**63))
        result = np.where(bad, 0, rounded).astype(np.int64)
    return build(result, valid, INT), bad if valid is None else bad & valid


def _float_to_text(array: pa.Array) -> Result:
    """The shortest digits that read back as the same number, as 1.0, 0.1, 1e+16, nan, inf.

    Arrow writes the same but for whole numbers (no '.0') and for where it changes to exponents.
    """
    data = values(array)
    size = np.abs(data)
    text = pc.cast(array, STRING)
    fixed = ((size >= _FIXED_MIN) & (size < _FIXED_MAX)) | (data == 0)
    fixed &= ~values(pc.fill_null(pc.match_substring(text, "e"), False))
    whole = fixed & (data == np.trunc(data))
    text = pc.binary_join_element_wise(text, pc.if_else(pa.array(whole), ".0", ""), "")
    if fixed.all():
        return text, None
    odd = pa.array(~fixed)
    chosen = array.filter(odd)
    distinct = pc.unique(chosen)
    texts = pa.array([None if v is None else repr(v) for v in distinct.to_pylist()], STRING)
    return pc.replace_with_mask(text, odd, texts.take(pc.index_in(chosen, value_set=distinct))), None


def _timestamp_to_text(array: pa.Array) -> Result:
    """Seconds with as many decimals as needed."""
    return pc.replace_substring_regex(pc.cast(array, STRING), r"\.?0*$", ""), None


def _days_to_timestamp(array: pa.Array) -> Result:
    days, valid = values(array).astype(np.int64), validity(array)
    bad = np.abs(days) > _INT_MAX // DAY
    return build(np.where(bad, 0, days) * DAY, valid, TIMESTAMP), bad if valid is None else bad & valid


def _plain(target: pa.DataType) -> Callable[[pa.Array], Result]:
    return lambda array: (pc.cast(array, target, safe=False), None)


_CASTS: dict[tuple[pa.DataType, pa.DataType], Callable[[pa.Array], Result]] = {
    (STRING, INT): _text_to_int,
    (STRING, FLOAT): _text_to_float,
    (STRING, BOOL): _text_to_bool,
    (STRING, TIMESTAMP): parse_timestamps,
    (STRING, DATE): parse_dates,
    (STRING, INTERVAL): _text_to_interval,
    (INT, FLOAT): _plain(FLOAT),
    (INT, BOOL): lambda a: (pc.not_equal(a, 0), None),
    (INT, STRING): _plain(STRING),
    (FLOAT, INT): _float_to_int,
    (FLOAT, BOOL): lambda a: (build(values(a) != 0, validity(a), BOOL), None),
    (FLOAT, STRING): _float_to_text,
    (BOOL, INT): _plain(INT),
    (BOOL, FLOAT): lambda a: (a.cast(INT).cast(FLOAT), None),
    (BOOL, STRING): _plain(STRING),
    (TIMESTAMP, DATE): lambda a: (build(values(a) // DAY, validity(a), DATE), None),
    (TIMESTAMP, STRING): _timestamp_to_text,
    (DATE, TIMESTAMP): _days_to_timestamp,
    (DATE, STRING): _plain(STRING),
    (INTERVAL, STRING): lambda a: (interval_texts(a), None),
}

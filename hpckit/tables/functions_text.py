"""Text: case, trimming, slices in characters (Unicode code points), searching, joining."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import QueryError
from hpckit.tables.evaluate_vectors import Datum, as_array, build
from hpckit.tables.expr import Call, Literal
from hpckit.tables.functions import Typed, check_count, convert, function, register
from hpckit.tables.types import BOOL, CALENDAR_INTERVAL, INT, NULL, STRING

_MAX_TEXT_BYTES = 1 << 31


def length_of(args: tuple[Datum, ...]) -> int:
    return next(len(d) for d in args if isinstance(d, pa.Array))


def per_constant(compute: Callable[..., pa.Array], text: Datum, *params: Datum, kind: pa.DataType) -> pa.Array:
    """compute(text array, *Python values); parameters that are columns are taken one distinct combination at a time.

    Arrow's text functions want their patterns and positions as constants. That is how they nearly always come.
    """
    length = length_of((text, *params))
    text = as_array(text, length)
    if all(isinstance(p, pa.Scalar) for p in params):
        return compute(text, *(p.as_py() for p in params))
    pieces, rows = [], []
    for constants, chosen in _combinations([as_array(p, length) for p in params]):
        rows.append(np.asarray(chosen))
        if any(c is None for c in constants):
            pieces.append(pa.nulls(len(chosen), kind))
        else:
            pieces.append(compute(text.take(chosen), *constants))
    if not rows:
        return pa.nulls(0, kind)
    back = np.empty(length, np.int64)
    back[np.concatenate(rows)] = np.arange(length)
    return pa.concat_arrays(pieces).take(pa.array(back))


def _combinations(params: list[pa.Array]) -> Iterator[tuple[tuple, pa.Array]]:
    """(values, rows that have them) for each distinct combination of values."""
    names = [f"p{i}" for i in range(len(params))]
    table = pa.table([*params, pa.array(np.arange(len(params[0])))], [*names, "row"])
    groups = table.group_by(names).aggregate([("row", "list")])
    constants = zip(*(groups.column(name).to_pylist() for name in names), strict=True)
    for values, members in zip(constants, groups.column("row_list"), strict=True):
        yield values, members.values


def _simple(name: str, compute: Callable[[pa.Array], pa.Array], result: pa.DataType = STRING) -> None:
    @function(name, "s", result)
    def run(a: pa.Array) -> pa.Array:
        out = compute(a)
        return out if out.type == result else out.cast(result)


_simple("lower", pc.utf8_lower)
_simple("upper", pc.utf8_upper)
_simple("length", pc.utf8_length, INT)
_simple("strlen", pc.binary_length, INT)
_simple("reverse", pc.utf8_reverse)


def _trim(name: str, compute: Callable) -> None:
    @function(name, "s?s", STRING)
    def run(a: Datum, *characters: Datum) -> pa.Array:
        def strip(text: pa.Array, chars: str = " ") -> pa.Array:
            return compute(text, characters=chars) if chars else text

        return per_constant(strip, a, *characters, kind=STRING)


_trim("trim", pc.utf8_trim)
_trim("ltrim", pc.utf8_ltrim)
_trim("rtrim", pc.utf8_rtrim)


def slice_characters(text: pa.Array, start: int, stop: int | None) -> pa.Array:
    """Characters start..stop, Python's meaning of negative numbers."""
    limit = 2**31 - 1
    start = max(-limit, min(start, limit))
    stop = None if stop is None else max(-limit, min(stop, limit))
    return pc.utf8_slice_codeunits(text, start, stop)


def _substring(text: pa.Array, start: int, count: int | None = None) -> pa.Array:
    """SQL substring: counted from 1, from the end if negative; a negative count runs backwards from the start."""
    if start >= 0:
        first = start - 1
        if count is None:
            return slice_characters(text, max(first, 0), None)
        low, high = (first, first + count) if count >= 0 else (first + count, first)
        return slice_characters(text, max(low, 0), max(high, 0))
    return _substring_from_end(text, start, count)


def _substring_from_end(text: pa.Array, start: int, count: int | None) -> pa.Array:
    """A negative start: its place depends on the length, and what lies before the text is cut off."""
    if count is None:
        return slice_characters(text, start, None)
    low, high = (start, start + count) if count >= 0 else (start + count, start)
    tail = slice_characters(text, low, None)
    if high >= 0:
        return tail
    return slice_characters(tail, 0, high)


@function("substring", "si?i", STRING)
def _run_substring(text: Datum, start: Datum, *count: Datum) -> pa.Array:
    return per_constant(_substring, text, start, *count, kind=STRING)


@function("left", "si", STRING)
def _left(text: Datum, count: Datum) -> pa.Array:
    return per_constant(lambda t, n: slice_characters(t, 0, n), text, count, kind=STRING)


@function("right", "si", STRING)
def _right(text: Datum, count: Datum) -> pa.Array:
    def last(t: pa.Array, n: int) -> pa.Array:
        if n == 0:
            return slice_characters(t, 0, 0)
        return slice_characters(t, -n, None)

    return per_constant(last, text, count, kind=STRING)


def _pick(lists: pa.Array, place: int) -> pa.Array:
    """Element `place` (from 0, from the end if negative) of each list, '' where there is none, NULL for NULL lists."""
    offsets = np.asarray(lists.offsets).astype(np.int64)
    counts = np.diff(offsets)
    where = place if place >= 0 else counts + place
    inside = (where >= 0) & (where < counts)
    picked = lists.values.take(pa.array(offsets[:-1] + where, mask=~inside))
    picked = pc.fill_null(picked, "")
    return picked if lists.null_count == 0 else pc.if_else(lists.is_valid(), picked, pa.scalar(None, STRING))


def _split_part(text: pa.Array, separator: str, place: int) -> pa.Array:
    if place == 0:  # DuckDB's answer; splitting anyway keeps NULL as NULL
        return pc.if_else(text.is_valid(), "", pa.scalar(None, STRING))
    if separator == "":
        start = place - 1 if place > 0 else place
        one = slice_characters(text, start, start + 1 if start != -1 else None)
        return one if place > 0 else pc.if_else(pc.greater_equal(pc.utf8_length(text), -place), one, "")
    if place > 0:
        limit = min(place, 2**31 - 1)
        return _pick(pc.split_pattern(text, separator, max_splits=limit), place - 1)
    return _pick(pc.split_pattern(text, separator, max_splits=min(-place, 2**31 - 1), reverse=True), place)


@function("split_part", "ssi", STRING)
def _run_split_part(text: Datum, separator: Datum, place: Datum) -> pa.Array:
    return per_constant(_split_part, text, separator, place, kind=STRING)


@function("replace", "sss", STRING)
def _replace(text: Datum, old: Datum, new: Datum) -> pa.Array:
    def swap(t: pa.Array, pattern: str, by: str) -> pa.Array:
        return pc.replace_substring(t, pattern, by) if pattern else t

    return per_constant(swap, text, old, new, kind=STRING)


def _search(name: str, compute: Callable) -> None:
    @function(name, "ss", BOOL)
    def run(text: Datum, pattern: Datum) -> pa.Array:
        return per_constant(lambda t, p: compute(t, pattern=p), text, pattern, kind=BOOL)


_search("contains", pc.match_substring)
_search("starts_with", pc.starts_with)
_search("ends_with", pc.ends_with)


@function("strpos", "ss", INT)
def _strpos(text: Datum, pattern: Datum) -> pa.Array:
    """Characters before the first match plus one; 0 if there is none."""

    def find(t: pa.Array, p: str) -> pa.Array:
        bytes_before = pc.find_substring(t, pattern=p)
        if pc.all(pc.equal(pc.utf8_length(t), pc.binary_length(t))).as_py() is not False:
            return pc.add(bytes_before.cast(INT), 1)
        head = pc.list_element(pc.split_pattern(t, p, max_splits=1), 0) if p else slice_characters(t, 0, 0)
        found = pc.greater_equal(bytes_before, 0)
        return pc.if_else(found, pc.add(pc.utf8_length(head).cast(INT), 1), pa.scalar(0, INT))

    return per_constant(find, text, pattern, kind=INT)


@function("repeat", "si", STRING, raises=True)
def _repeat(text: Datum, count: Datum) -> pa.Array:
    def times(t: pa.Array, n: int) -> pa.Array:
        if (pc.sum(pc.binary_length(t)).as_py() or 0) * max(n, 0) >= _MAX_TEXT_BYTES:
            raise QueryError(f"repeat(…, {n}) of this column makes more than 2 GiB of text")
        return pc.binary_repeat(t, max(n, 0))

    return per_constant(times, text, count, kind=STRING)


def _pad(name: str, on_left: bool) -> None:
    @function(name, "sis", STRING, raises=True)
    def run(text: Datum, width: Datum, filler: Datum) -> pa.Array:
        def pad(t: pa.Array, n: int, fill: str) -> pa.Array:
            n = max(n, 0)
            if not fill and pc.any(pc.less(pc.utf8_length(t), n)).as_py():
                raise QueryError(f"{name}: the filler is empty")
            if n * len(fill.encode()) * len(t) >= _MAX_TEXT_BYTES:
                raise QueryError(f"{name}(…, {n}) of this column makes more than 2 GiB of text")
            blank = pc.binary_repeat(pa.repeat(pa.scalar(fill), len(t)), n // max(len(fill), 1) + 1)
            missing = pc.max_element_wise(pc.subtract(n, pc.utf8_length(t).cast(INT)), 0)
            filling = _prefixes(blank, missing)
            cut = slice_characters(t, 0, n)
            parts = (filling, cut) if on_left else (cut, filling)
            return pc.binary_join_element_wise(*parts, "")

        return per_constant(pad, text, width, filler, kind=STRING)


def _prefixes(text: pa.Array, counts: pa.Array) -> pa.Array:
    return per_constant(lambda t, n: slice_characters(t, 0, n), text, counts, kind=STRING)


_pad("lpad", True)
_pad("rpad", False)


def _bind_join(name: str, args: list[Typed]) -> Typed:
    """|| and concat take any type; what is not text is cast to VARCHAR."""
    check_count(name, args, 2 if name != "concat" else 1)
    for _, kind in args:
        if kind == CALENDAR_INTERVAL:
            raise QueryError(f"{name}: an INTERVAL with months cannot become text")
    if name == "||" and all(kind == NULL for _, kind in args):
        return Literal(None, STRING), STRING
    return Call(name, tuple(convert(arg, STRING) for arg in args)), STRING


@register("||", _bind_join)
def _concat_operator(*args: Datum) -> pa.Array:
    return pc.binary_join_element_wise(*args, "", null_handling="emit_null")


@register("concat", _bind_join, strict=False)
def _concat(*args: Datum) -> pa.Array:
    """NULLs count as nothing. (Arrow's own null_handling='skip' loses rows where all are NULL.)"""
    length = length_of(args)
    return pc.binary_join_element_wise(*(pc.fill_null(as_array(a, length), "") for a in args), "")


@register("concat_ws", _bind_join, strict=False)
def _concat_ws(separator: Datum, *args: Datum) -> pa.Array:
    """Each text that is not NULL after a separator; then the first separator is cut off."""
    length = length_of((separator, *args))
    between = as_array(separator, length)
    pieces = [pc.fill_null(pc.binary_join_element_wise(between, as_array(a, length), ""), "") for a in args]
    joined = pc.binary_join_element_wise(*pieces, "")
    if isinstance(separator, pa.Scalar):
        if not separator.is_valid:
            return pa.nulls(length, STRING)
        return slice_characters(joined, len(separator.as_py()), None)
    return per_constant(lambda t, n: slice_characters(t, n, None), joined, pc.utf8_length(between), kind=STRING)


@function("chr", "i", STRING, raises=True)
def _chr(code: pa.Array) -> pa.Array:
    distinct = pc.unique(code)
    try:
        texts = pa.array([None if c is None else chr(c) for c in distinct.to_pylist()], STRING)
    except (ValueError, OverflowError, UnicodeEncodeError):
        raise QueryError("chr: a number is not a Unicode code point (0 to 1114111, without surrogates)") from None
    return texts.take(pc.index_in(code, value_set=distinct))


@function("bit_count", "i", INT)
def _bit_count(number: pa.Array) -> pa.Array:
    data = np.frombuffer(number.buffers()[1], np.uint64)[number.offset : number.offset + len(number)]
    valid = None if number.null_count == 0 else np.asarray(number.is_valid())
    return build(np.bitwise_count(data).astype(np.int64), valid, INT)

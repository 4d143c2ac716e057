"""Sorted distributed arrays: `sort`, `argsort` and `sort_by`, stable, in canonical blocks whatever the input.

Order: NaN after every number and among NaNs by bits, −0 before +0, NaT last, bytes as unsigned bytes (keys.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.moving import canonical_starts, redistribute
from hpckit.errors import UserError
from hpckit.sorting import keys, numbers, pairs

Flags = bool | Sequence[bool]


@alike()
def sort(x: DistArray, axis: int = -1, *, descending: bool = False, nulls_first: bool = False) -> DistArray:
    """The values of `x` (1-D) in order, in canonical blocks. Collective.

    `nulls_first` puts NaT first; otherwise it is last, also descending. UserError for dtypes without an order.
    """
    _check_key(x, axis, "sort")
    dtype = x.dtype
    if dtype.kind == "S" or descending or nulls_first:
        local = _sort_words(x, descending, nulls_first)
    else:
        local = numbers.sort(x.context, x.local)
    return DistArray(x.context, local, canonical_starts(len(x), x.context.size))


@alike()
def argsort(x: DistArray, axis: int = -1, *, descending: bool = False, nulls_first: bool = False) -> DistArray:
    """The indices (int64) that sort `x` (1-D), ties by index, in canonical blocks. Collective. Options as of `sort`."""
    _check_key(x, axis, "argsort")
    with x.context.agreed("reading the keys of a sort"):
        words = keys.encode_all(x.local, descending, nulls_first)
    local = pairs.sort_rows(x.context, words, [], numbered=True)[0]
    return DistArray(x.context, local, canonical_starts(len(x), x.context.size))


@alike()
def sort_by(
    by: DistArray | Sequence[DistArray], *payload: DistArray, descending: Flags = False, nulls_first: Flags = False
) -> tuple[DistArray, ...]:
    """Rows sorted by one or more key columns: (the keys sorted, …, each payload array in their order, …). Collective.

    `by` is a 1-D array or several, the most significant first; `payload` arrays have as many rows, and may have more
    dimensions. descending and nulls_first hold for all keys or are given for each. Ties keep their order.

        node, time, reading = hk.arrays.sort_by([node, time], reading, descending=[False, True])
    """
    columns = [by] if isinstance(by, DistArray) else list(by)
    _check_columns(columns, payload)
    down, first = _flags(descending, len(columns), "descending"), _flags(nulls_first, len(columns), "nulls_first")
    context = columns[0].context
    aligned = [redistribute(x, like=columns[0]) for x in [*columns, *payload]]
    key = columns[0]
    plain = key.dtype.kind != "S" and key.dtype.itemsize == keys.WORD_BYTES and not down[0] and not first[0]
    with context.agreed("reading the keys of a sort"):
        if len(columns) == 1 and plain:  # encoded on the way
            words, kind = [keys.bits_of(key.local)], keys.kind_of(key.dtype)
        else:
            each = [keys.encode_all(x.local, d, f) for x, d, f in zip(aligned, down, first, strict=False)]
            words, kind = [word for words in each for word in words], keys.UNSIGNED
    if len(columns) == 1 and len(words) == 1:
        found, moved = pairs.one_word(context, words.pop(), kind, [x.local for x in aligned[1:]], want_keys=True)
        sorted_ = [keys.decode(found, key.dtype, down[0], first[0]), *moved]
    else:
        sorted_ = pairs.sort_rows(context, words, [x.local for x in aligned])
    starts = canonical_starts(len(columns[0]), context.size)
    return tuple(DistArray(context, local, starts) for local in sorted_)


def _sort_words(x: DistArray, descending: bool, nulls_first: bool) -> np.ndarray:
    """Sort by words that are made beforehand, and turn them back into values. Collective."""
    with x.context.agreed("reading the keys of a sort"):
        words = keys.encode_all(x.local, descending, nulls_first)
    if len(words) > 1:
        return pairs.sort_rows(x.context, words, [x.local])[0]
    return keys.decode(numbers.sort(x.context, words.pop()), x.dtype, descending, nulls_first)


def _check_key(x: DistArray, axis: int, what: str) -> None:
    """UserError unless `x` can be a key. The same on every rank. Local."""
    if not isinstance(x, DistArray):
        raise UserError(f"{what} of {type(x).__name__}: expected a DistArray; make one with hk.arrays.from_local(…)")
    if x.ndim != 1:
        raise UserError(f"{what} of an array of shape {x.shape}: expected one dimension; use .ravel(), or sort_by")
    if axis not in (0, -1):
        raise UserError(f"{what} along axis {axis}: an array of one dimension has axis 0 only")
    keys.check(x.dtype, "an array")


def _check_columns(columns: Sequence[DistArray], payload: Sequence[DistArray]) -> None:
    """UserError unless there are keys that have an order and all arrays have as many rows. Local."""
    if not columns:
        raise UserError("sort_by without a key: expected at least one array to sort by")
    for i, x in enumerate(columns):
        _check_key(x, 0, f"sort_by: key {i}")
    for i, x in enumerate([*columns, *payload]):
        name = f"key {i}" if i < len(columns) else f"payload {i - len(columns)}"
        if not isinstance(x, DistArray):
            raise UserError(f"sort_by: {name} is {type(x).__name__}: expected a DistArray")
        if len(x) != len(columns[0]):
            raise UserError(
                f"sort_by: {name} has {len(x)} rows, key 0 has {len(columns[0])}; expected as many rows in all arrays"
            )


def _flags(given: Flags, count: int, name: str) -> list[bool]:
    """One flag for each key. Local."""
    if isinstance(given, (bool, np.bool_)):
        return [bool(given)] * count
    flags = [bool(flag) for flag in given]
    if len(flags) != count:
        raise UserError(f"sort_by: {name} has {len(flags)} entries for {count} keys; give one for each, or one for all")
    return flags

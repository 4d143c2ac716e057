"""x[…] and x[…] = …: slices along all axes, integers, boolean masks, arrays of row numbers; take, ravel, reshape."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit.arrays import checks
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.elementwise import Aligned, called
from hpckit.arrays.moving import bcast_row, canonical_starts, fetch, gather, own_range, send_rows, to_starts
from hpckit.errors import UserError

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


@alike("x[…]")
def get(x: DistArray, key: Any) -> Any:
    """x[key]. Collective. Rows stay on their rank, so that blocks may become uneven (`redistribute` evens them).

    Along the first axis: a slice (any step), an integer (the row, on every rank), a boolean mask of its length
    (DistArray or NumPy), or row numbers (`take`). A boolean DistArray of the whole shape selects elements. Along the
    other axes: whatever NumPy takes of one array index at most.
    """
    first, rest = _split(x, key)
    if isinstance(first, slice):
        return _trailing(_rows_of_slice(x, first), rest)
    if isinstance(first, int):
        return _row(x, first, rest)
    if first.dtype.kind != "b":
        return _trailing(take(x, first, 0), rest)
    mask = _mask(x, first)
    with x.context.agreed("selecting by a mask"):
        if mask.ndim > 1 and rest:
            raise UserError(f"index {key!r}: nothing may follow a mask of {mask.ndim} dimensions")
        chosen = x.local[mask]
    return _trailing(DistArray(x.context, chosen, starts_of(x.context, len(chosen))), rest)


@alike("x[…] = …")
def put(x: DistArray, key: Any, value: Any) -> None:
    """x[key] = value in place. Collective. `value` is a scalar, a NumPy array or a DistArray that broadcasts to what
    x[key] is."""
    first, rest = _split(x, key)
    if isinstance(first, slice) and (first.step or 1) < 0:
        raise UserError(f"index {key!r}: assignment needs a positive step; reverse the value instead")
    if isinstance(first, int):
        rows: Any = _own_row(x, first)
        index = (rows, *rest)
        with x.context.agreed("assigning a row"):
            if isinstance(value, DistArray):
                raise UserError("assigning a distributed array to one row; expected a scalar or a NumPy array")
            called("assignment", x.local.__setitem__, index, value)
        return
    if isinstance(first, slice):
        rows = _local_slice(x, first)
    elif first.dtype.kind == "b":
        rows = _mask(x, first)
        rows = rows if rows.ndim > 1 else np.flatnonzero(rows)
    else:
        raise UserError("assignment by row numbers is not offered; assign by a slice or a boolean mask")
    _assign(x, rows, rest, value)


def _assign(x: DistArray, rows: Any, rest: tuple[Any, ...], value: Any) -> None:
    """x.local[rows, *rest] = this rank's part of `value`. Collective."""
    index = rows if isinstance(rows, np.ndarray) and rows.ndim > 1 else (rows, *rest)
    with x.context.agreed("assigning"):
        target = called("index", x.local.__getitem__, index)
        if not x.local.flags.writeable:
            raise UserError("the array is read-only; assign to x.copy()")
    if not np.isscalar(value):
        selected = DistArray(x.context, target, starts_of(x.context, len(target)))
        value = Aligned([value, selected], "assignment", [selected]).locals[0]
    with x.context.agreed("assigning"):
        called("assignment", x.local.__setitem__, index, value)


def starts_of(context: Context, rows: int) -> np.ndarray:
    """Offsets of blocks of so many rows. Collective."""
    counts = context.allgather(rows)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _split(x: DistArray, key: Any) -> tuple[Any, tuple[Any, ...]]:
    """(index of the first axis: slice, int or array of integers or booleans; the indices of the others). Local."""
    keys = key if isinstance(key, tuple) else (key,)
    ellipses = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(ellipses) > 1:
        raise UserError("index: more than one '...'")
    if ellipses:
        used = sum(1 for k in keys if k is not None and k is not Ellipsis)
        missing = (slice(None),) * max(0, x.ndim - used)
        keys = (*keys[: ellipses[0]], *missing, *keys[ellipses[0] + 1 :])
    keys = keys or (slice(None),)
    if keys[0] is None:
        raise UserError("index: np.newaxis before the first axis is not offered: that axis is the one distributed")
    used = sum(1 for k in keys if k is not None)
    if used > x.ndim:
        raise UserError(f"index: {used} indices for an array of {x.ndim} dimensions")
    return _first(keys[0]), _checked_rest(keys)


def _first(key: Any) -> Any:
    if isinstance(key, slice | DistArray):
        if isinstance(key, DistArray) and key.dtype.kind not in "biu":
            raise UserError(f"index: a distributed array of dtype {key.dtype}; expected integers or booleans")
        return key
    if isinstance(key, bool | np.bool_):
        raise UserError(f"index: {key} alone selects nothing in particular; expected a mask as long as the array")
    try:
        return operator.index(key)
    except TypeError:
        pass
    values = np.asarray(key)
    if values.size == 0 and values.dtype.kind == "f":
        values = values.astype(np.int64)
    if values.dtype.kind not in "biu" or values.ndim == 0:
        raise UserError(f"index: {key!r}: expected slices, integers, a boolean mask or an array of row numbers")
    return values


def _checked_rest(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """The indices behind the first: at most one array, and then no integers, which NumPy would move to the front."""
    rest = keys[1:]
    arrays = [k for k in rest if k is not None and not isinstance(k, slice | int | np.integer)]
    for k in arrays:
        if isinstance(k, DistArray):
            raise UserError("index: a distributed array selects along the first axis only; gather() a small one")
    if len(arrays) > 1 or (arrays and any(isinstance(k, int | np.integer) for k in rest)):
        raise UserError("index: more than one array or integer beside an array behind the first axis; index in steps")
    return rest


def _trailing(x: DistArray, rest: tuple[Any, ...]) -> DistArray:
    """x[:, *rest]. Collective."""
    if not rest:
        return x
    with x.context.agreed("indexing"):
        return x.with_local(called("index", x.local.__getitem__, (slice(None), *rest)))


def _row(x: DistArray, row: int, rest: tuple[Any, ...]) -> Any:
    values = bcast_row(x, _row_number(row, len(x)))
    return called("index", values.__getitem__, rest) if rest else values


def _row_number(row: int, rows: int) -> int:
    if not -rows <= row < rows:
        raise UserError(f"index {row} is out of range for a first axis of {rows} rows")
    return row % rows


def _own_row(x: DistArray, row: int) -> slice:
    """This rank's rows of that one: itself, or none."""
    at = _row_number(row, len(x)) - x.start
    return slice(at, at + 1) if 0 <= at < len(x.local) else slice(0, 0)


def _slice_of(x: DistArray, key: slice) -> tuple[int, int, int]:
    try:
        return key.indices(len(x))
    except (TypeError, ValueError) as error:
        raise UserError(f"index {key!r}: {error}") from None


def _local_slice(x: DistArray, key: slice) -> slice:
    """This rank's rows of a global slice with a positive step. Local."""
    start, stop, step = _slice_of(x, key)
    first = start if start >= x.start else start + -(-(x.start - start) // step) * step
    return slice(min(first, x.stop) - x.start, max(min(stop, x.stop), min(first, x.stop)) - x.start, step)


def _rows_of_slice(x: DistArray, key: slice) -> DistArray:
    """x[start:stop:step]: views of the blocks; a negative step sends each block to the rank at the other end."""
    start, stop, step = _slice_of(x, key)
    if step < 0:
        count = len(range(start, stop, step))
        key = slice(start + (count - 1) * step, start + 1, -step) if count else slice(0, 0)
    local = x.local[_local_slice(x, key)]
    start, stop, size = *_slice_of(x, key)[:2], abs(step)
    edges = np.clip(x.starts, start, max(start, stop))
    starts = -(-(edges - start) // size)  # rows of the slice before each edge
    if step > 0:
        return DistArray(x.context, np.ascontiguousarray(local), starts)
    counts = np.zeros(x.context.size, np.int64)
    counts[x.context.size - 1 - x.context.rank] = len(local)
    received, _ = send_rows(x.context, np.ascontiguousarray(local[::-1]), counts)
    return DistArray(x.context, received, starts[-1] - starts[::-1])


def _mask(x: DistArray, mask: Any) -> np.ndarray:
    """This rank's part of a boolean mask of the first axis, or of the whole shape. Collective for a DistArray."""
    if mask.shape not in ((len(x),), x.shape):
        raise UserError(
            f"mask of shape {mask.shape} for an array of shape {x.shape}; expected {(len(x),)}"
            + (f" or {x.shape}" if x.ndim > 1 else "")
        )
    if isinstance(mask, DistArray):
        return to_starts(mask, x.starts).local
    return mask[x.start : x.stop]


@alike()
def take(x: DistArray, indices: Any, axis: Any = None) -> Any:
    """Rows (or, along another axis, what NumPy's take gives) by their numbers; negative ones count from the end.
    Collective.

    `indices` is a DistArray of integers, whose blocks the result has, or an integer, list or NumPy array that is the
    same on every rank; then the result has canonical blocks. axis=None takes elements in row-major order.
    """
    if axis is None and x.ndim > 1:
        x = ravel(x)
    axis = 0 if axis is None else checks.axis_of(axis, x.ndim, "take")
    if axis:
        with x.context.agreed("taking"):
            if isinstance(indices, DistArray):
                raise UserError("take: distributed indices select along the first axis only; gather() a small array")
            return x.with_local(called("take", np.take, x.local, indices, axis))
    shape: tuple[int, ...] = ()
    with x.context.agreed("taking rows"):
        numbers = indices.local if isinstance(indices, DistArray) else np.asarray(indices)
        if numbers.dtype.kind not in "iu" and numbers.size:
            raise UserError(f"take: indices of dtype {numbers.dtype}: expected integers")
        shape = numbers.shape
        if isinstance(indices, DistArray):
            starts = indices.starts
        elif shape:
            starts = canonical_starts(shape[0], x.context.size)
            numbers = numbers[slice(*own_range(x.context, shape[0]))]
        flat = np.atleast_1d(numbers).reshape(-1).astype(np.int64)
        wrong = np.flatnonzero((flat < -len(x)) | (flat >= len(x)))
        if len(wrong):
            raise UserError(f"take: index {flat[wrong[0]]} is out of range for a first axis of {len(x)} rows")
    if not shape:
        return bcast_row(x, int(flat[0]) % len(x))
    rows = fetch(x, np.where(flat < 0, flat + len(x), flat))
    return DistArray(x.context, rows.reshape(*numbers.shape, *x.shape[1:]), starts)


def ravel(x: DistArray) -> DistArray:
    """The elements in row-major order as a 1-D array; shares memory. Local."""
    return x if x.ndim == 1 else DistArray(x.context, x.local.reshape(-1), x.starts * x.row_size)


@alike()
def reshape(x: DistArray, shape: Any) -> DistArray:
    """The elements in row-major order in another shape, in canonical blocks unless the first axis stays. Collective."""
    wanted = [operator.index(n) for n in (shape if isinstance(shape, tuple | list) else (shape,))]
    known = int(np.prod([n for n in wanted if n != -1], dtype=np.int64))
    if wanted.count(-1) == 1 and known and x.size % known == 0:
        wanted[wanted.index(-1)] = x.size // known
    if not wanted or min(wanted) < 0 or int(np.prod(wanted, dtype=np.int64)) != x.size:
        raise UserError(f"reshape: shape {shape} for {x.size} elements of shape {x.shape}; expected the same number")
    if wanted[0] == len(x):
        return DistArray(x.context, x.local.reshape(len(x.local), *wanted[1:]), x.starts)
    flat = ravel(x)
    rows = canonical_starts(wanted[0], x.context.size)
    flat = to_starts(flat, rows * (x.size // max(1, wanted[0])))
    own = int(rows[x.context.rank + 1] - rows[x.context.rank])
    return DistArray(x.context, flat.local.reshape(own, *wanted[1:]), rows)


@alike()
def item(x: DistArray) -> Any:
    """The value of an array of one element as a Python object. Collective."""
    if x.size != 1:
        raise UserError(f"item: an array of {x.size} elements; expected one (take x[i] of a longer one)")
    return gather(x).item()

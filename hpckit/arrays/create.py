"""New arrays: constants, ranges, functions of the index, and NumPy arrays that every rank has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit.arrays import checks
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.moving import canonical_starts
from hpckit.errors import UserError
from hpckit.spmd import world

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


def from_local(local: Any, context: Context | None = None) -> DistArray:
    """The array whose block on each rank is that rank's `local`. Collective; see DistArray.from_local."""
    return DistArray.from_local(local, context)


def distributed(values: Any, dtype: Any = None, context: Context | None = None) -> DistArray:
    """See hpckit.arrays.array. Collective."""
    if isinstance(values, DistArray):
        return values if dtype is None or values.dtype == np.dtype(dtype) else values.astype(dtype)
    context = context or world()
    with context.agreed("distributing an array"):
        whole = checks.block(values if dtype is None else np.asarray(values, dtype), "array")
        shape = whole.shape
    shapes = context.allgather((shape, whole.dtype.str))
    for rank, (theirs, kind) in enumerate(shapes):
        if (theirs, kind) != shapes[0]:
            raise UserError(
                f"array: rank {rank} passes shape {theirs} and dtype {np.dtype(kind)}, rank 0 shape {shapes[0][0]} and "
                f"{np.dtype(shapes[0][1])}; expected the same array on all ranks, or use from_local for parts"
            )
    starts = canonical_starts(shape[0], context.size)
    return DistArray(context, whole[starts[context.rank] : starts[context.rank + 1]].copy(), starts)


def full(shape: Any, fill_value: Any, dtype: Any = None, context: Context | None = None) -> DistArray:
    """An array of one value in canonical blocks. Local, but all ranks must do it alike."""
    return _filled(shape, dtype if dtype is not None else np.asarray(fill_value).dtype, context, fill_value, "full")


def zeros(shape: Any, dtype: Any = float, context: Context | None = None) -> DistArray:
    """An array of zeros in canonical blocks. Local, but all ranks must do it alike."""
    return _filled(shape, dtype, context, 0, "zeros")


def ones(shape: Any, dtype: Any = float, context: Context | None = None) -> DistArray:
    """An array of ones in canonical blocks. Local, but all ranks must do it alike."""
    return _filled(shape, dtype, context, 1, "ones")


def empty(shape: Any, dtype: Any = float, context: Context | None = None) -> DistArray:
    """An array of any values in canonical blocks. Local, but all ranks must do it alike."""
    return _filled(shape, dtype, context, None, "empty")


def _filled(shape: Any, dtype: Any, context: Context | None, value: Any, place: str) -> DistArray:
    context = context or world()
    whole = checks.shape_of(shape, place)
    kind = checks.supported(dtype, place)
    starts = canonical_starts(whole[0], context.size)
    block = (int(starts[context.rank + 1] - starts[context.rank]), *whole[1:])
    if value is None:
        local = np.empty(block, kind)
    elif isinstance(value, int) and value == 0:
        local = np.zeros(block, kind)
    else:
        local = np.full(block, value, kind)
    return DistArray(context, local, starts)


def full_like(x: DistArray, fill_value: Any, dtype: Any = None) -> DistArray:
    """One value in the shape and the blocks of `x`. Local, but all ranks must do it alike."""
    return x.with_local(np.full(x.local.shape, fill_value, checks.supported(dtype or x.dtype, "full_like")))


def zeros_like(x: DistArray, dtype: Any = None) -> DistArray:
    """Zeros in the shape and the blocks of `x`. Local, but all ranks must do it alike."""
    return x.with_local(np.zeros(x.local.shape, checks.supported(dtype or x.dtype, "zeros_like")))


def ones_like(x: DistArray, dtype: Any = None) -> DistArray:
    """Ones in the shape and the blocks of `x`. Local, but all ranks must do it alike."""
    return x.with_local(np.ones(x.local.shape, checks.supported(dtype or x.dtype, "ones_like")))


def empty_like(x: DistArray, dtype: Any = None) -> DistArray:
    """Any values in the shape and the blocks of `x`. Local, but all ranks must do it alike."""
    return x.with_local(np.empty(x.local.shape, checks.supported(dtype or x.dtype, "empty_like")))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, context: Context | None = None) -> DistArray:
    """NumPy's arange(stop), arange(start, stop[, step]) in canonical blocks; element i is start + i * step. Local, but
    all ranks must do it alike."""
    context = context or world()
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise UserError("arange: step 0: expected a step that leads from start to stop")
    limits = (np.asarray(value).dtype for value in (start, stop, step))
    kind = checks.supported(dtype if dtype is not None else np.result_type(*limits), "arange")
    if kind.kind not in "iuf":
        raise UserError(f"arange: dtype {kind}: expected integers or floats")
    if all(isinstance(value, int | np.integer) for value in (start, stop, step)):
        length = max(0, -(-(int(stop) - int(start)) // int(step)))
    else:
        length = max(0, math.ceil((stop - start) / step))
    starts = canonical_starts(length, context.size)
    index = np.arange(starts[context.rank], starts[context.rank + 1])
    if kind.kind == "f":
        # as NumPy fills it: from the first element and the difference of the first two, in the array's dtype
        first = kind.type(start)
        return DistArray(context, first + index.astype(kind) * (kind.type(start + step) - first), starts)
    return DistArray(context, (index * int(step) + int(start)).astype(kind), starts)


def linspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, dtype: Any = None, context: Context | None = None
) -> DistArray:
    """NumPy's linspace of two numbers in canonical blocks. Local, but all ranks must do it alike."""
    context = context or world()
    if num < 0:
        raise UserError(f"linspace: num {num}: expected a number >= 0")
    kind = checks.supported(dtype or float, "linspace")
    starts = canonical_starts(num, context.size)
    index = np.arange(starts[context.rank], starts[context.rank + 1], dtype=float)
    parts = num - 1 if endpoint else num
    step = (stop - start) / parts if parts > 0 else math.nan
    values = index * step if step != 0 else index / parts * (stop - start)
    values = (values if parts > 0 else index * (stop - start)) + start
    if endpoint and num > 1 and len(index) and starts[context.rank + 1] == num:
        values[-1] = stop
    if kind.kind in "iu":
        values = np.floor(values)
    return DistArray(context, values.astype(kind), starts)


@alike()
def from_function(
    function: Callable[..., Any], shape: Any, dtype: Any = None, context: Context | None = None
) -> DistArray:
    """Element [i, j, …] is function(i, j, …), in canonical blocks. Collective.

    The function is called once a rank with int64 index arrays that broadcast against each other (of shapes
    (rows, 1, …), (1, columns, …), …) and returns an array of their common shape, or one that broadcasts to it.
    """
    context = context or world()
    whole = checks.shape_of(shape, "from_function")
    starts = canonical_starts(whole[0], context.size)
    block = (int(starts[context.rank + 1] - starts[context.rank]), *whole[1:])
    with context.agreed("computing an array from its indices"):
        axes = [np.arange(starts[context.rank], starts[context.rank + 1]), *(np.arange(n) for n in whole[1:])]
        values = np.asarray(function(*np.ix_(*axes)), dtype)
        kind = checks.supported(values.dtype, "from_function")
        try:
            if values.shape == (1,) != block and len(block) == 1:
                raise ValueError  # would be the first of each block: another array at another number of ranks
            local = np.array(np.broadcast_to(values, block), kind)
        except ValueError:
            raise UserError(
                f"from_function: the function gave shape {values.shape} for a block of shape {block}; expected one "
                "value for each index (operate on whole arrays, as NumPy does)"
            ) from None
    checks.agree(context, local, "from_function")
    return DistArray(context, local, starts)

"""What an array may hold, and that all ranks agree on it: dtypes, shapes, axes and indices."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit.errors import UserError

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

KINDS = "bool, integers, float16/32/64, complex64/128, datetime64, timedelta64 and fixed-length bytes"


def supported(dtype: Any, place: str) -> np.dtype:
    """`dtype` in native byte order. Local. UserError naming `place` for what cannot be distributed."""
    try:
        dtype = np.dtype(dtype)
    except TypeError as error:
        raise UserError(f"{place}: {dtype!r} is no dtype: {error}; supported are {KINDS}") from None
    wide = dtype.kind in "fc" and dtype.itemsize > (8 if dtype.kind == "f" else 16)
    if dtype.kind not in "biufcmMS" or wide or dtype.itemsize == 0 or dtype.subdtype is not None:
        raise UserError(f"{place}: dtype {describe(dtype)} is not supported: an array holds {KINDS}; {remedy(dtype)}")
    return dtype.newbyteorder("=")


def describe(dtype: np.dtype) -> str:
    """The dtype in few words."""
    return f"structured {dtype}" if dtype.fields else str(dtype)


def remedy(dtype: np.dtype) -> str:
    """What to do with a dtype that is not supported."""
    if dtype.fields:
        return "make one array of each field"
    if dtype.kind in "fc":
        return "convert it with .astype(np.float64) or .astype(np.complex128)"
    if dtype.kind in "UT":
        return "encode text as bytes with np.char.encode(values), or use a table (hk.scan_arrow)"
    return "convert it beforehand with .astype(…)"


def block(local: Any, place: str) -> np.ndarray:
    """One rank's part as a C-contiguous native array of at least one dimension. Local; no copy if it is one."""
    try:
        values = np.asarray(local)
    except ValueError as error:
        raise UserError(f"{place}: is no rectangular array: {error}; give rows of equal length") from None
    dtype = supported(values.dtype, place)
    if values.ndim == 0:
        raise UserError(f"{place}: a scalar ({values!r}) has no first axis to distribute; give at least one dimension")
    return np.ascontiguousarray(values, dtype)


def agree(context: Context, local: np.ndarray, what: str) -> np.ndarray:
    """Offsets int64 (size + 1) of all ranks' blocks, after checking that dtypes and trailing shapes are equal.
    Collective."""
    facts = context.allgather((len(local), local.dtype.str, local.shape[1:]))
    first = facts[0]
    for rank, (_, dtype, trailing) in enumerate(facts):
        if dtype != first[1]:
            raise UserError(
                f"{what}: rank {rank} has dtype {np.dtype(dtype)}, rank 0 has {np.dtype(first[1])}; expected one dtype "
                "on all ranks (also of empty parts): convert with .astype(…)"
            )
        if trailing != first[2]:
            raise UserError(
                f"{what}: rank {rank} has rows of shape {trailing}, rank 0 of shape {first[2]}; expected one shape "
                f"behind the first axis: an empty part is np.empty((0, …)) with that shape"
            )
    return np.concatenate([[0], np.cumsum([fact[0] for fact in facts])]).astype(np.int64)


def shape_of(shape: Any, place: str) -> tuple[int, ...]:
    """A global shape of at least one dimension. Local."""
    try:
        given = tuple(operator.index(n) for n in (shape if isinstance(shape, Iterable) else (shape,)))
    except TypeError:
        raise UserError(f"{place}: shape {shape!r}: expected an integer or a tuple of integers") from None
    if not given or min(given) < 0:
        raise UserError(f"{place}: shape {given}: expected at least one dimension, and none negative")
    return given


def axis_of(axis: Any, ndim: int, place: str) -> int:
    """`axis` as 0 … ndim - 1. Local."""
    try:
        number = operator.index(axis)
    except TypeError:
        raise UserError(f"{place}: axis {axis!r}: expected an integer from {-ndim} to {ndim - 1}") from None
    if not -ndim <= number < ndim:
        raise UserError(f"{place}: axis {number} is out of range: the array has {ndim} dimensions")
    return number % ndim


def axes_of(axis: Any, ndim: int, place: str) -> tuple[int, ...]:
    """`axis` (None, an integer or a tuple) as ascending axes. Local."""
    if axis is None:
        return tuple(range(ndim))
    axes = [axis_of(a, ndim, place) for a in (axis if isinstance(axis, tuple) else (axis,))]
    if len(set(axes)) < len(axes):
        raise UserError(f"{place}: axis {axis!r} names an axis twice")
    return tuple(sorted(axes))

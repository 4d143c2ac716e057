"""Least and greatest values, where they are, and whether any or all hold: NumPy's rules, the same bits on any ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpckit.arrays import checks
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.axes import Groups, grouped
from hpckit.errors import UserError

_INT64 = np.iinfo(np.int64)


@alike()
def min(x: DistArray, axis: Any = None, keepdims: bool = False) -> Any:
    """Least value along `axis` (None: of everything); NaN if there is one, −0 before +0. Collective."""
    return _extreme(x, axis, keepdims, largest=False)


@alike()
def max(x: DistArray, axis: Any = None, keepdims: bool = False) -> Any:
    """Greatest value along `axis` (None: of everything); NaN if there is one. Collective."""
    return _extreme(x, axis, keepdims, largest=True)


@alike()
def argmin(x: DistArray, axis: Any = None, keepdims: bool = False) -> Any:
    """Index of the first least value along `axis` (None: in row-major order). Collective. int64."""
    return _place(x, axis, keepdims, largest=False)


@alike()
def argmax(x: DistArray, axis: Any = None, keepdims: bool = False) -> Any:
    """Index of the first greatest value along `axis` (None: in row-major order). Collective. int64."""
    return _place(x, axis, keepdims, largest=True)


@alike()
def any(x: DistArray, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether any value along `axis` is true (not 0). Collective."""
    return _truth(grouped(x, axis, keepdims, "any"), np.logical_or, "max")


@alike()
def all(x: DistArray, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all values along `axis` are true (not 0). Collective."""
    return _truth(grouped(x, axis, keepdims, "all"), np.logical_and, "min")


def _truth(groups: Groups, ufunc: np.ufunc, operation: str) -> Any:
    with groups.x.context.agreed("looking at truth values"):
        if groups.x.dtype.kind == "S":
            raise UserError("any, all: bytes are neither true nor false; compare them first, e.g. x != b''")
        found = ufunc.reduce(groups.block, axis=0 if groups.by_column else 1)
    if groups.shared:
        found = groups.x.context.allreduce(found.astype(np.int64), operation)
    return groups.result(found.astype(bool))


def _extreme(x: DistArray, axis: Any, keepdims: bool, largest: bool) -> Any:
    name = "max" if largest else "min"
    groups = _checked(x, grouped(x, axis, keepdims, name), name)
    with x.context.agreed(f"looking for the {name}"):
        values = _local_extremes(groups, largest)
        if not groups.shared:
            return groups.result(values)
        words = _words(values, largest) if groups.block.size else _nothing(groups.groups, largest)
    return groups.result(_values(x.context.allreduce(words, name), x.dtype, largest))


def _checked(x: DistArray, groups: Groups, name: str) -> Groups:
    if x.dtype.kind not in "biufmM":
        raise UserError(f"{name}: dtype {x.dtype} has no order here; take .real, or sort bytes with hpckit.arrays.sort")
    if groups.count == 0 and (groups.shared or x.size == 0) and groups.groups:
        raise UserError(f"{name}: no values in an array of shape {x.shape}; check len(x) first")
    return groups


def _nothing(groups: int, largest: bool) -> np.ndarray:
    return np.full(groups, _INT64.min if largest else _INT64.max, np.int64)


def _local_extremes(groups: Groups, largest: bool) -> np.ndarray:
    """This rank's least or greatest value of each group, with the sign of zeros and NaNs made definite."""
    block, axis = groups.block, 0 if groups.by_column else 1
    if block.shape[axis] == 0:
        return np.zeros(groups.groups, block.dtype)
    values = (np.maximum if largest else np.minimum).reduce(block, axis=axis)
    if block.dtype.kind == "f":
        zeros = np.flatnonzero(values == 0)
        if len(zeros):  # NumPy's choice between -0 and +0 depends on where they are
            part = block[:, zeros] if axis == 0 else block[zeros]
            wanted = np.logical_or.reduce((part == 0) & (np.signbit(part) != largest), axis=axis)
            values[zeros] = np.where(wanted != largest, -0.0, 0.0)
        values[np.isnan(values)] = np.nan
    return values


def _words(values: np.ndarray, largest: bool) -> np.ndarray:
    """int64 in the order of the values; what NumPy lets win (NaN, NaT) is beyond everything."""
    kind = values.dtype.kind
    if kind == "f":
        bits = values.astype(np.float64).view(np.int64)
        words = bits ^ ((bits >> 63) & _INT64.max)
        return np.where(np.isnan(values), _INT64.max if largest else _INT64.min, words)
    if kind in "mM":
        words = values.view(np.int64)
        return np.where(words == _INT64.min, _INT64.max, words) if largest else words
    if kind == "u":
        return values.astype(np.uint64).view(np.int64) ^ _INT64.min
    return values.astype(np.int64)


def _values(words: np.ndarray, dtype: np.dtype, largest: bool) -> np.ndarray:
    """What `_words` encoded."""
    if dtype.kind == "f":
        bits = words ^ ((words >> 63) & _INT64.max)
        missing = words == (_INT64.max if largest else _INT64.min)
        return np.where(missing, np.nan, bits.view(np.float64)).astype(dtype)
    if dtype.kind in "mM":
        return (np.where(words == _INT64.max, _INT64.min, words) if largest else words).view(dtype)
    if dtype.kind == "u":
        return (words ^ _INT64.min).view(np.uint64).astype(dtype)
    return words.astype(dtype)


def _place(x: DistArray, axis: Any, keepdims: bool, largest: bool) -> Any:
    name = "argmax" if largest else "argmin"
    if axis is not None:
        axis = checks.axis_of(axis, x.ndim, name)
    groups = _checked(x, grouped(x, axis, keepdims, name), name)
    context, block, along = x.context, groups.block, 0 if groups.by_column else 1
    with context.agreed(f"looking for the {name}"):
        here = block.shape[along] > 0
        find = np.argmax if largest else np.argmin
        index = find(block, axis=along) if here else np.zeros(groups.groups, np.int64)
        if not groups.shared:
            return groups.result(index.astype(np.int64))
        words = _nothing(groups.groups, largest)
        if here:
            best = np.take_along_axis(block, np.expand_dims(index, along), along).reshape(-1)
            words = _words(best + 0.0 if best.dtype.kind == "f" else best, largest)  # -0 equals +0
        first = x.start * (x.row_size if axis is None else 1)
    won = context.allreduce(words, name[3:])
    index = np.where((words == won) & here, index + first, _INT64.max)
    return groups.result(context.allreduce(index, "min"))

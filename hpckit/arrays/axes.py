"""A reduction's axes as one of two forms: groups in columns that all ranks share, or groups in rows of one rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpckit.arrays import checks
from hpckit.arrays.array import DistArray


@dataclass(frozen=True, slots=True)
class Groups:
    """The values of a reduction by group, in a 2-D block.

    x          the array
    block      this rank's values: (groups, values) or, with `by_column`, (values, groups)
    by_column  see block
    shared     whether the first axis is reduced, so that every rank has values of every group
    count      values in each group, over all ranks if shared
    shape      what the result of this rank has
    """

    x: DistArray
    block: np.ndarray
    by_column: bool
    shared: bool
    count: int
    shape: tuple[int, ...]

    @property
    def groups(self) -> int:
        return self.block.shape[1 if self.by_column else 0]

    def result(self, values: np.ndarray) -> Any:
        """One value a group as the result: a scalar or array on every rank, or a DistArray if not shared. Local."""
        if not self.shared:
            return DistArray(self.x.context, np.ascontiguousarray(values.reshape(self.shape)), self.x.starts)
        return values.reshape(self.shape) if self.shape else values.reshape(())[()]


def grouped(x: DistArray, axis: Any, keepdims: bool, place: str) -> Groups:
    """How `place` reduces `x` along `axis` (None: all axes). Local; copies only if axes have to be moved."""
    axes = checks.axes_of(axis, x.ndim, place)
    kept = [a for a in range(x.ndim) if a not in axes]
    count = 1
    for a in axes:
        count *= x.shape[a]
    local, shared = x.local, 0 in axes
    if not axes:
        shape: tuple[int, ...] = local.shape
    elif keepdims:
        shape = tuple(1 if a in axes else local.shape[a] for a in range(x.ndim))
    else:
        shape = tuple(local.shape[a] for a in kept)
    groups = int(np.prod([local.shape[a] for a in kept], dtype=np.int64))
    if axes and axes == tuple(range(len(axes))) and kept:
        return Groups(
            x, local.reshape(-1, groups) if local.size else _empty(local, True, groups), True, True, count, shape
        )
    moved = local if list(axes) == list(range(len(kept), x.ndim)) else local.transpose(*kept, *axes)
    block = np.ascontiguousarray(moved).reshape(groups, -1) if local.size else _empty(local, False, groups)
    return Groups(x, block, False, shared, count, shape)


def _empty(local: np.ndarray, by_column: bool, groups: int) -> np.ndarray:
    return np.empty((0, groups) if by_column else (groups, 0), local.dtype)

"""Sums, means and variances: integers exactly, floats correctly rounded, so that no order of addition shows."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from hpckit._kernels.exactsum import ExactSums, variances
from hpckit.arrays import checks, exact
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.axes import Groups, grouped
from hpckit.arrays.elementwise import astype
from hpckit.errors import UserError

_MASK = (1 << 32) - 1
_EXACT_SLICE = 1 << 16  # values whose 32-bit halves are summed at a time
_SUM_SLICE = 1 << 16  # integers added and compared at a time
_ROWS_AT_ONCE = 1 << 16  # groups that have exact sums at the same time, where they are this rank's alone


@alike()
def sum(x: DistArray, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Sum along `axis` (None: of everything). Collective.

    Integers are exact; a sum that its dtype (NumPy's choice: 64 bits) cannot hold is a UserError. Floats and complex
    are correctly rounded. A result without the first axis is a NumPy value on every rank, otherwise a DistArray.
    """
    x = of_kind(x, "biufcm", "sum")
    kind = checks.supported(dtype, "sum") if dtype is not None else sum_dtype(x.dtype)
    if x.dtype.kind == "m":
        units = DistArray(x.context, x.local.view(np.int64), x.starts)
        _refuse_nat(x, "sum")
        return _viewed(sum(units, axis, None, keepdims), x.dtype)
    if kind.kind in "iu" and x.dtype.kind in "biu":
        return _integer_sum(grouped(x, axis, keepdims, "sum"), kind)
    if kind.kind == "b":
        return x.any(axis, keepdims)
    if kind.kind in "iu":
        # float to integer: NumPy converts before it adds
        return _integer_sum(grouped(astype(x, kind), axis, keepdims, "sum"), kind)
    return _by_part(x, kind, lambda part, real: _float_sums(grouped(part, axis, keepdims, "sum"), real, 0))


@alike()
def mean(x: DistArray, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Arithmetic mean along `axis`, correctly rounded; NaN of no values. Collective. `dtype` is that of the result."""
    x = of_kind(x, "biufc", "mean")
    kind = _float_dtype(x.dtype, dtype, "mean")
    return _by_part(x, kind, lambda part, real: _means(grouped(part, axis, keepdims, "mean"), real))


@alike()
def var(x: DistArray, axis: Any = None, dtype: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Variance along `axis` with divisor n - ddof, correctly rounded from the exact sums of x and of x². Collective.

    NaN where n <= ddof. Of complex numbers: the variances of both parts added.
    """
    x = of_kind(x, "biufc", "var")
    kind = _float_dtype(x.dtype, dtype, "var")
    ddof = _ddof(ddof, "var")
    if x.dtype.kind == "c":
        real = np.empty(0, kind).real.dtype
        return var(x.real, axis, real, ddof, keepdims) + var(x.imag, axis, real, ddof, keepdims)
    return _variances(grouped(x, axis, keepdims, "var"), kind, ddof)


@alike()
def std(x: DistArray, axis: Any = None, dtype: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Standard deviation along `axis`: the square root of `var`. Collective."""
    kind = _float_dtype(of_kind(x, "biufc", "std").dtype, dtype, "std")
    real = np.empty(0, kind).real.dtype
    spread = var(x, axis, np.result_type(kind, np.float64), ddof, keepdims)
    root = np.sqrt(spread)
    return root.astype(real)


def of_kind(x: Any, kinds: str, place: str) -> DistArray:
    if not isinstance(x, DistArray):
        raise UserError(f"{place}: {type(x).__name__} is no distributed array; make it one with hpckit.arrays.array")
    if x.dtype.kind not in kinds:
        raise UserError(f"{place}: there is none of dtype {x.dtype}; convert it with .astype(…) to numbers first")
    return x


def sum_dtype(dtype: np.dtype) -> np.dtype:
    """NumPy's choice for sums and products: small integers become 64-bit ones."""
    if dtype.kind in "bi":
        return np.dtype(np.int64)
    return np.dtype(np.uint64) if dtype.kind == "u" else dtype


def _float_dtype(dtype: np.dtype, asked: Any, place: str) -> np.dtype:
    if asked is None:
        return np.dtype(np.float64) if dtype.kind in "biu" else dtype
    kind = checks.supported(asked, place)
    if kind.kind not in "fc":
        raise UserError(f"{place}: dtype {kind}: expected a float or complex dtype")
    return kind


def _ddof(ddof: Any, place: str) -> int:
    try:
        number = operator.index(int(ddof) if isinstance(ddof, float) and ddof.is_integer() else ddof)
    except TypeError:
        raise UserError(f"{place}: ddof {ddof!r}: expected an integer") from None
    if number < 0:
        raise UserError(f"{place}: ddof {ddof}: expected an integer >= 0")
    return number


def _by_part(x: DistArray, kind: np.dtype, function: Callable[[DistArray, np.dtype], Any]) -> Any:
    """function(reals, dtype), of complex numbers for both parts. Collective."""
    if kind.kind != "c" and x.dtype.kind != "c":
        return function(x, kind)
    kind = np.result_type(kind, np.complex64)
    real = np.empty(0, kind).real.dtype
    if x.dtype.kind != "c":
        return function(x, real).astype(kind)
    first, second = function(x.real, real), function(x.imag, real)
    if isinstance(first, DistArray):
        return first.with_local(_complex(first.local, second.local, kind))
    return _complex(first, second, kind)[()]


def _complex(real: Any, imag: Any, kind: np.dtype) -> np.ndarray:
    out = np.empty(np.shape(real), kind)
    out.real, out.imag = real, imag
    return out


def _viewed(result: Any, dtype: np.dtype) -> Any:
    if isinstance(result, DistArray):
        return DistArray(result.context, result.local.view(dtype), result.starts)
    return np.asarray(result).view(dtype)[()]


def _refuse_nat(x: DistArray, place: str) -> None:
    if x.context.allreduce(int(np.isnat(x.local).any()), "max"):
        raise UserError(f"{place}: the array holds NaT; leave it out with x[~np.isnat(x)]")


# Floats


def _finished(
    groups: Groups, states: Callable[[int], list[ExactSums]], finish: Callable[[list[ExactSums], slice], np.ndarray]
) -> Any:
    """The result from exact sums: merged over the ranks, or a few groups after another if they are this rank's alone.
    Collective."""
    context = groups.x.context
    if groups.shared:
        with context.agreed("adding up an array"):
            sums = states(groups.groups)
            for state in sums:
                exact.add(state, groups.block, groups.by_column)
        return groups.result(exact.merged(context, sums, finish))
    with context.agreed("adding up an array"):
        values = []
        for start in range(0, groups.groups, _ROWS_AT_ONCE):
            rows = slice(start, min(start + _ROWS_AT_ONCE, groups.groups))
            sums = states(rows.stop - start)
            for state in sums:
                exact.add(state, groups.block[rows], False)
            values.append(finish(sums, rows))
        return groups.result(np.concatenate(values) if values else finish(states(0), slice(0, 0)))


def _float_sums(groups: Groups, kind: np.dtype, divisor: int) -> Any:
    """Correctly rounded sums in `kind`, divided by `divisor` unless that is 0. Collective."""
    shorter = kind.itemsize < 8

    def finish(sums: list[ExactSums], which: slice) -> np.ndarray:
        divisors = np.full(which.stop - which.start, divisor, np.int64) if divisor else None
        return _narrowed(sums[0].means(divisors, shorter), kind)

    return _finished(groups, lambda n: [exact.new(n)], finish)


def _narrowed(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(kind)


def _means(groups: Groups, kind: np.dtype) -> Any:
    if groups.count == 0:
        return groups.result(np.full(groups.groups, math.nan, kind))
    return _float_sums(groups, kind, groups.count)


def _variances(groups: Groups, kind: np.dtype, ddof: int) -> Any:
    if groups.count <= ddof:
        return groups.result(np.full(groups.groups, math.nan, kind))
    shorter = kind.itemsize < 8

    def finish(sums: list[ExactSums], which: slice) -> np.ndarray:
        counts = np.full(which.stop - which.start, groups.count, np.int64)
        return _narrowed(variances(sums[0], sums[1], counts, ddof, shorter), kind)

    return _finished(groups, lambda n: [exact.new(n), exact.new(n, square=True)], finish)


# Integers


def _integer_sum(groups: Groups, kind: np.dtype) -> Any:
    """Exact sums in `kind`. Collective."""
    context, block = groups.x.context, groups.block
    axis = 0 if groups.by_column else 1
    with context.agreed("adding up integers"):
        sums, largest = _bounded_sums(block, axis)
    largest = max(context.allgather(largest))  # so that all ranks go the same way
    if largest * groups.count < 1 << 63:  # nothing overflowed on the way
        totals = context.allreduce(sums, "sum") if groups.shared else sums
        return groups.result(_checked(groups, totals, kind))
    with context.agreed("adding up integers"):
        limbs = limb_sums(block, axis)
    if groups.shared:
        limbs = context.allreduce(limbs, "sum")
    high, middle, low = limbs.astype(object)
    return groups.result(_checked(groups, (high << 64) + (middle << 32) + low, kind))


def _bounded_sums(block: np.ndarray, axis: int) -> tuple[np.ndarray, int]:
    """(int64 sums along the axis, modulo 2^64; an upper bound of the magnitudes), by slices that stay in cache."""
    sums, largest = np.zeros(block.shape[1 - axis], np.int64), 0
    few = block.shape[1 - axis] <= _SUM_SLICE // 64  # of many groups, slices would be too short
    step = max(1, _SUM_SLICE // max(1, block.shape[1 - axis]) if few else block.shape[axis])
    for start in range(0, block.shape[axis], step):
        part = block[start : start + step] if axis == 0 else block[:, start : start + step]
        largest = max(largest, largest_magnitude(part))
        sums += np.add.reduce(part, axis=axis, dtype=np.int64)
    return sums, largest


def largest_magnitude(block: np.ndarray) -> int:
    """An upper bound of the magnitudes in the block."""
    if block.dtype.kind == "b":
        return 1
    if block.dtype.itemsize < 8:
        return 1 << (8 * block.dtype.itemsize)
    return max(-int(block.min()), int(block.max())) if block.size else 0


def limb_sums(block: np.ndarray, axis: int) -> np.ndarray:
    """int64 (3, groups): the sums as numbers of base 2^32, high limb first and signed."""
    groups = block.shape[1 - axis]
    limbs = np.zeros((3, groups), np.int64)
    for start in range(0, block.shape[axis], _EXACT_SLICE):
        part = block[start : start + _EXACT_SLICE] if axis == 0 else block[:, start : start + _EXACT_SLICE]
        part = part if part.dtype.itemsize == 8 else part.astype(np.int64)
        limbs[2] += np.add.reduce((part & part.dtype.type(_MASK)).astype(np.int64), axis=axis)
        limbs[1] += np.add.reduce((part >> 32).astype(np.int64), axis=axis)
        limbs[1] += limbs[2] >> 32
        limbs[2] &= _MASK
        limbs[0] += limbs[1] >> 32
        limbs[1] &= _MASK
    return limbs


def _checked(groups: Groups, totals: np.ndarray, kind: np.dtype) -> np.ndarray:
    """The totals in `kind`; every rank's groups are looked at. Collective unless shared."""
    limits = np.iinfo(kind)
    bad = totals[(totals < limits.min) | (totals > limits.max)]
    worst = int(bad[0]) if len(bad) else None
    context = groups.x.context
    if not groups.shared:
        worst = next((w for w in context.allgather(worst) if w is not None), None)
    if worst is not None:
        raise UserError(
            f"sum: {worst} does not fit {kind} ({limits.min} to {limits.max}); convert it first with "
            ".astype(np.float64), or take the mean"
        )
    return totals.astype(kind)

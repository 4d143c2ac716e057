"""Products, running sums and running products over fixed blocks of 65,536 global indices, whatever the ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpckit.arrays import checks, exact
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.axes import grouped
from hpckit.arrays.elementwise import astype
from hpckit.arrays.indexing import ravel
from hpckit.arrays.moving import all_rows, canonical_starts, to_starts
from hpckit.arrays.reduce import largest_magnitude, limb_sums, of_kind, sum_dtype
from hpckit.errors import UserError

BLOCK = 65_536
_LANES = 256
_SAFE = 1e290  # products between 1 / this and this can be multiplied in any order: nothing overflows or vanishes


@alike()
def cumsum(x: DistArray, axis: Any = None, dtype: Any = None) -> DistArray:
    """Running sums along `axis` (None: of all elements in row-major order), in the blocks of `x`. Collective.

    Integers are exact, and overflow is a UserError. Floats: within a block of 65,536 indices one after another, added
    to the correctly rounded sum of all before the block.
    """
    x, axis, kind = _prepared(x, axis, dtype, "cumsum")
    if axis > 0:
        return x.with_local(np.cumsum(x.local, axis, kind))
    if kind.kind in "iu":
        return _integer_cumsum(astype(x, kind, copy=False))
    if kind.kind == "c":
        x = astype(x, kind, copy=False)
        real, imag = cumsum(x.real, 0), cumsum(x.imag, 0)
        return x.with_local(real.local + 1j * imag.local).astype(kind)
    return _float_cumsum(x, kind)


@alike()
def cumprod(x: DistArray, axis: Any = None, dtype: Any = None) -> DistArray:
    """Running products along `axis` (None: of all elements in row-major order), in the blocks of `x`. Collective.

    Integers wrap around as NumPy's do.
    """
    x, axis, kind = _prepared(x, axis, dtype, "cumprod")
    if axis > 0:
        return x.with_local(np.cumprod(x.local, axis, kind))
    if kind.kind in "iu":
        local = np.cumprod(x.local, 0, kind)
        total = local[-1:] if len(local) else np.ones((1, *x.shape[1:]), kind)
        before = np.multiply.reduce(all_rows(x.context, total)[: x.context.rank], axis=0, dtype=kind)
        return x.with_local(local * before)
    return _float_cumprod(x, kind)


@alike()
def prod(x: DistArray, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Product along `axis` (None: of everything). Collective. Integers wrap around as NumPy's do."""
    x = of_kind(x, "biufc", "prod")
    kind = checks.supported(dtype, "prod") if dtype is not None else sum_dtype(x.dtype)
    groups = grouped(x, axis, keepdims, "prod")
    block = groups.block
    if not groups.shared:
        with x.context.agreed("multiplying"), np.errstate(all="ignore"):
            return groups.result(_row_products(block, kind))
    if kind.kind in "iub":
        with x.context.agreed("multiplying"):
            local = np.multiply.reduce(block, axis=0 if groups.by_column else 1, dtype=kind)
        return groups.result(np.multiply.reduce(all_rows(x.context, local[None]), axis=0, dtype=kind))
    columns = np.ascontiguousarray(block if groups.by_column else block.T)
    starts = x.starts * (groups.count // max(1, len(x)))
    return groups.result(_float_prod(DistArray(x.context, columns, starts), kind))


def _prepared(x: Any, axis: Any, dtype: Any, place: str) -> tuple[DistArray, int, np.dtype]:
    x = of_kind(x, "biufc", place)
    kind = checks.supported(dtype, place) if dtype is not None else sum_dtype(x.dtype)
    if axis is None:
        return ravel(x), 0, kind
    return x, checks.axis_of(axis, x.ndim, place), kind


def _blocks(x: DistArray) -> tuple[DistArray, list[slice]]:
    """`x` with whole blocks on a rank, and this rank's blocks as slices of its part. Collective."""
    rows, size = len(x), x.context.size
    aligned = to_starts(x, np.minimum(canonical_starts(-(-rows // BLOCK), size) * BLOCK, rows))
    return aligned, [slice(at, at + BLOCK) for at in range(0, len(aligned.local), BLOCK)]


# Sums


def _integer_cumsum(x: DistArray) -> DistArray:
    context, local, kind = x.context, x.local, x.dtype
    columns = local.reshape(len(local), x.row_size)
    with context.agreed("adding up integers"):
        totals = exact_totals(columns)
        largest = largest_magnitude(columns)
    everyone = context.allgather((totals, largest))
    before = np.sum([t for t, _ in everyone[: context.rank]], axis=0, dtype=object) + np.zeros_like(totals)
    with context.agreed("adding up integers"):
        limits = np.iinfo(kind)
        message = f"cumsum: a running sum does not fit {kind}; convert first with .astype(np.float64)"
        if ((before < limits.min) | (before > limits.max)).any():
            raise UserError(message)
        sums = np.cumsum(columns, axis=0, dtype=kind)
        sums += before.astype(kind)
        if max(bound for _, bound in everyone) * len(x) >= limits.max and _wrapped(columns, sums, before.astype(kind)):
            raise UserError(message)
        return x.with_local(sums.reshape(local.shape))


def exact_totals(columns: np.ndarray) -> np.ndarray:
    """The sum of each column as a Python integer. Local."""
    high, middle, low = limb_sums(columns, 0).astype(object)
    return (high << 64) + (middle << 32) + low


def _wrapped(values: np.ndarray, sums: np.ndarray, before: np.ndarray) -> bool:
    """Whether any step of the running sums left its dtype's range."""
    previous = np.concatenate([before[None], sums[:-1]]) if len(sums) else sums
    if sums.dtype.kind == "u":
        return bool((sums < previous).any())
    return bool((((previous ^ sums) & (values ^ sums)) < 0).any())


def _float_cumsum(x: DistArray, kind: np.dtype) -> DistArray:
    context = x.context
    aligned, blocks = _blocks(x)
    with context.agreed("adding up an array"):
        columns = aligned.local.reshape(len(aligned.local), aligned.row_size)
        total = exact.new(aligned.row_size)
        exact.add(total, columns, True)
        packed = total.to_bytes()
    everyone = context.allgather(packed)
    with context.agreed("adding up an array"), np.errstate(all="ignore"):
        running = exact.new(aligned.row_size)
        for offsets, data in everyone[: context.rank]:
            running.add_bytes(np.arange(aligned.row_size, dtype=np.int32), offsets, data)
        out = np.empty(columns.shape, kind)
        for block in blocks:
            sums = np.cumsum(columns[block], axis=0, dtype=np.float64)
            np.add(sums, running.means(), out=out[block], casting="same_kind")
            exact.add(running, columns[block], True)
    return to_starts(aligned.with_local(out.reshape(aligned.local.shape)), x.starts)


# Products


def _wide(kind: np.dtype) -> np.dtype:
    return np.dtype(np.complex128 if kind.kind == "c" else np.float64)


def _row_products(rows: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Product of each row, one value after another. Local."""
    if kind.kind in "iub" or not rows.size:
        return np.multiply.reduce(rows, axis=1, dtype=kind)
    step = max(1, BLOCK // rows.shape[1])
    parts = [
        np.multiply.accumulate(rows[at : at + step].astype(_wide(kind)), axis=1)[:, -1]
        for at in range(0, len(rows), step)
    ]
    return np.concatenate(parts).astype(kind)


def _block_product(block: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Product of each column of one block: 256 lanes of every 256th row, then the lanes one after another."""
    padded = np.ones((BLOCK if len(block) > _LANES else _LANES, block.shape[1]), _wide(kind))
    padded[: len(block)] = block
    with np.errstate(all="ignore"):
        lanes = np.multiply.reduce(padded.reshape(-1, _LANES * block.shape[1]), axis=0)
        return _in_turn(lanes.reshape(_LANES, block.shape[1]))


def _in_turn(rows: np.ndarray) -> np.ndarray:
    """The product of the rows from the first to the last."""
    return np.multiply.accumulate(rows, axis=0)[-1] if len(rows) else np.ones(rows.shape[1:], rows.dtype)


def _is_safe(values: Any) -> bool:
    magnitudes = np.abs(np.asarray(values))
    return not magnitudes.size or bool(magnitudes.max() < _SAFE and magnitudes.min() > 1 / _SAFE)


def _float_prod(x: DistArray, kind: np.dtype) -> np.ndarray:
    """Product of each column over all ranks. Collective."""
    context = x.context
    aligned, blocks = _blocks(x)
    with context.agreed("multiplying"):
        own = [_block_product(aligned.local[block], kind) for block in blocks]
        totals = np.array(own, _wide(kind)).reshape(len(own), x.row_size)
    everyone = all_rows(context, totals)
    with np.errstate(all="ignore"):
        running = np.multiply.accumulate(everyone, axis=0)
        if _is_safe(everyone) and _is_safe(running):
            return (running[-1] if len(running) else np.ones(x.row_size)).astype(kind)
        return _from_rank_to_rank(aligned, blocks, np.ones(x.row_size, _wide(kind))).astype(kind)


def _from_rank_to_rank(
    x: DistArray, blocks: list[slice], carry: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Running products as NumPy has them (to `out`), one rank after another: for arrays that overflow or vanish on the
    way, where it matters what comes first. Collective; returns the total."""
    for rank in range(x.context.size):
        if rank == x.context.rank:
            for block in blocks:
                rows = np.concatenate([carry[None], x.local[block].reshape(-1, len(carry))])
                products = np.multiply.accumulate(rows, axis=0)
                carry = products[-1]
                if out is not None:
                    out[block] = products[1:]
        carry = x.context.bcast(carry, rank)
    return carry


def _float_cumprod(x: DistArray, kind: np.dtype) -> DistArray:
    context = x.context
    aligned, blocks = _blocks(x)
    columns = aligned.local.reshape(len(aligned.local), aligned.row_size)
    out = np.empty(columns.shape, _wide(kind))
    with context.agreed("multiplying"), np.errstate(all="ignore"):
        safe = True
        for block in blocks:
            np.multiply.accumulate(columns[block], axis=0, dtype=_wide(kind), out=out[block])
            safe = safe and _is_safe(out[block])
        ends = [min(block.stop, len(out)) - 1 for block in blocks]
        totals = out[ends].reshape(len(ends), aligned.row_size)
    everyone, first = all_rows(context, totals), context.exscan_sum(len(blocks))
    with np.errstate(all="ignore"):
        running = np.multiply.accumulate(everyone, axis=0)
        if context.allreduce(int(safe and _is_safe(running)), "min"):
            for k, block in enumerate(blocks):
                if first + k:
                    out[block] *= running[first + k - 1]
        else:
            _from_rank_to_rank(aligned, blocks, np.ones(aligned.row_size, _wide(kind)), out)
        result = out.astype(kind, copy=False)
    return to_starts(aligned.with_local(result.reshape(aligned.local.shape)), x.starts)

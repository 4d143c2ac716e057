"""Rows that cut the rows of all ranks into parts of wanted sizes, found by refining a histogram of candidates.

Histogram Sort with Sampling (Yang, Harsh and Solomonik, "Optimal round and sample-size complexity for partitioning in
parallel sorting", 2019): candidates are sampled, their global ranks counted exactly, and the next candidates taken only
from between the two nearest to each wanted rank. Rows carry their place in the input, so no two tie, and columns of one
value are cut as evenly as any other. Root sees some 32 candidates a cut and round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.sorting.columns import Ordering

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

CANDIDATES = 32  # for each cut, over all ranks
TOLERANCE = 256  # a cut may be off by this share of a part
ROUNDS_MAX = 40


def find_bounds(ctx: Context, rows: pa.Table, ordering: Ordering, wanted: np.ndarray) -> pa.Table:
    """For each global rank in `wanted` (ascending), the row of about that rank: its keys and origin. Collective.

    rows   on each rank: the key columns and the ordering's origin, sorted by them
    Fewer rows than asked for are returned only when there is no row at all.
    """
    with ctx.agreed("looking at the rows to sort"):
        held = ordering.bounds(rows)
    total = ctx.allreduce(rows.num_rows, "sum")
    if total == 0 or len(wanted) == 0:
        return rows.slice(0, 0)
    low, high = np.zeros(len(wanted), np.int64), np.full(len(wanted), rows.num_rows, np.int64)
    tolerance = total // (len(wanted) + 1) // TOLERANCE
    known: list[pa.Table] = []
    for number in range(ROUNDS_MAX):
        inside = ctx.allreduce(high - low, "sum")
        with ctx.agreed("sampling rows to sort"):
            mine = rows.take(pa.array(_candidates(ctx, low, high, inside, number)))
        candidates = _ordered_candidates(ctx, mine, ordering, known)
        if candidates.num_rows == 0:
            continue  # every rank happened to skip its few rows: the next round samples more densely
        with ctx.agreed("ranking samples"):
            places = held.places(ordering.bounds(candidates))
        ranks = ctx.allreduce(places, "sum")
        above = np.searchsorted(ranks, wanted)
        below, above = np.maximum(above - 1, 0), np.minimum(above, len(ranks) - 1)
        nearest = np.where(wanted - ranks[below] < ranks[above] - wanted, below, above)
        is_open = np.abs(ranks[nearest] - wanted) > tolerance
        if not is_open.any():
            break
        low = np.where(is_open, np.where(ranks[below] <= wanted, places[below], 0), 0)
        high = np.where(is_open, np.where(ranks[above] >= wanted, places[above], rows.num_rows), 0)
        high = np.maximum(low, high)
    return candidates.take(pa.array(nearest))


def _candidates(ctx: Context, low: np.ndarray, high: np.ndarray, inside: np.ndarray, number: int) -> np.ndarray:
    """int64: rows of this rank at regular steps between low[k] and high[k] for each cut k."""
    chosen = []
    intervals = dict.fromkeys(zip(low.tolist(), high.tolist(), inside.tolist(), strict=True))
    for begin, end, count in intervals:
        step = max(
            1, count // (CANDIDATES << number) if len(intervals) > 1 else count // (CANDIDATES * len(low) << number)
        )
        chosen.append(np.arange(begin + (ctx.rank * step // ctx.size if step > 1 else 0), end, step))
    rows = np.sort(np.concatenate(chosen))
    return rows[np.append(True, rows[1:] != rows[:-1])] if len(rows) else rows


def _ordered_candidates(ctx: Context, mine: pa.Table, ordering: Ordering, known: list[pa.Table]) -> pa.Table:
    """The candidates of all ranks and rounds in order, on every rank. Collective. `known` (root's) grows."""
    gathered = ctx.gather_table(mine, root=0)
    with ctx.agreed("sorting samples"):
        if gathered is not None:
            whole = pa.concat_tables([*known, gathered])
            whole = whole.take(pa.array(ordering.bounds(whole).order()))
            known[:] = [whole]
            gathered = whole
    return ctx.bcast_table(gathered, root=0)


def with_origin(table: pa.Table, ordering: Ordering, rows: np.ndarray, first: int) -> pa.Table:
    """The key columns of these rows of `table`, and their numbers in the input when row 0 has number `first`. Local."""
    keys = table.select(ordering.names).take(pa.array(rows))
    return keys.append_column(ordering.origin, pa.array(rows + first, pa.int64()))

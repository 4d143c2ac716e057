"""Where to cut the rows of all ranks into equal ranges: samples at regular steps, then their exact global ranks.

After Shi and Schaeffer, "Parallel sorting by regular sampling" (1992), with two changes for many ranks: the step counts
rows of all ranks together, so root sees 32 to 64 samples for each rank and not one set for each pair of ranks; and the
samples' global ranks are counted, so the ranges are as equal as the spacing of the samples allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.tables.order_keys import Key, is_text, key_words, null_class, number_words, one_array, permutation

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SAMPLES_PER_RANK = 32


def cuts(ctx: Context, table: pa.Table, keys: list[Key], total_rows: int) -> np.ndarray:
    """int64, shape (size,): where each rank's range ends in `table`, which is sorted by `keys`. Collective."""
    names = list(dict.fromkeys(key.name for key in keys))
    step = max(1, total_rows // (SAMPLES_PER_RANK * ctx.size))
    start = ctx.exscan_sum(table.num_rows)
    with ctx.agreed("sampling rows to sort"):
        samples = table.select(names).take(pa.array(np.arange(-start % step, table.num_rows, step)))
    gathered = ctx.gather_table(samples, root=0)
    with ctx.agreed("sorting samples"):
        if gathered is not None:
            gathered = gathered.take(pa.array(permutation(key_words(gathered, keys), gathered.num_rows)))
    samples = ctx.bcast_table(gathered, root=0)
    with ctx.agreed("ranking samples"):
        places = rows_before(table, samples, keys)
    ranks = ctx.allreduce(places, "sum")
    wanted = np.arange(1, ctx.size) * total_rows // ctx.size
    above = np.clip(np.searchsorted(ranks, wanted), 1, len(ranks) - 1)
    nearest = np.where(wanted - ranks[above - 1] < ranks[above] - wanted, above - 1, above)
    return np.append(places[nearest], table.num_rows)


def rows_before(table: pa.Table, bounds: pa.Table, keys: list[Key]) -> np.ndarray:
    """int64: how many rows of the sorted `table` come strictly before each row of `bounds` (sorted too)."""
    columns = [pair for key in keys for pair in _comparable(table, bounds, key)]
    low = np.zeros(bounds.num_rows, np.int64)
    high = np.full(bounds.num_rows, table.num_rows, np.int64)
    for column, wanted in columns:
        if isinstance(column, np.ndarray):
            low, high = _narrow_numbers(column, wanted, low, high)
        else:
            low, high = _narrow_strings(column, wanted, low, high)
    return low


class _Strings:
    """A column of strings to search in, with what a search needs to know of its order."""

    def __init__(self, array: pa.Array, descending: bool) -> None:
        self.array = array
        self.descending = descending

    def first(self, wanted: str, low: int, high: int, after: bool) -> int:
        """The first row of low..high that does not come before `wanted`; with `after`, that comes after it."""
        while low < high:
            middle = (low + high) // 2
            value = self.array[middle].as_py()
            is_before = value > wanted if self.descending else value < wanted
            if is_before or (after and value == wanted):
                low = middle + 1
            else:
                high = middle
        return low


def _comparable(table: pa.Table, bounds: pa.Table, key: Key) -> list[tuple]:
    """Pairs (column of the table, values to look for) for one key: the NULL class if any, then the values."""
    here, wanted = one_array(table.column(key.name)), one_array(bounds.column(key.name))
    pairs: list[tuple] = []
    if here.null_count or wanted.null_count:
        pairs.append((null_class(here, key.nulls_first), null_class(wanted, key.nulls_first)))
    if is_text(here.type):
        pairs.append((_Strings(here, key.descending), wanted.to_pylist()))
        return pairs
    words, wanted_words = number_words(here), number_words(wanted)
    if key.descending:
        words, wanted_words = ~words, ~wanted_words  # all NULLs of a range have one word, so it stays sorted
    pairs.append((words, wanted_words))
    return pairs


def _narrow_numbers(
    words: np.ndarray, wanted: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each bound, the part of low..high whose word is the wanted one (empty: where it would be)."""
    if len(low) and (low == 0).all() and (high == len(words)).all():
        return np.searchsorted(words, wanted, "left"), np.searchsorted(words, wanted, "right")
    low, high = low.copy(), high.copy()
    for i in np.flatnonzero(low < high).tolist():
        part = words[low[i] : high[i]]
        start = low[i]
        low[i] = start + np.searchsorted(part, wanted[i], "left")
        high[i] = start + np.searchsorted(part, wanted[i], "right")
    return low, high


def _narrow_strings(
    column: _Strings, wanted: list[str | None], low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same for strings. In a range of NULLs there is nothing to narrow."""
    low, high = low.copy(), high.copy()
    for i in np.flatnonzero(low < high).tolist():
        text = wanted[i]
        if text is None:
            continue
        begin, end = int(low[i]), int(high[i])
        low[i] = column.first(text, begin, end, after=False)
        high[i] = column.first(text, int(low[i]), end, after=True)
    return low, high

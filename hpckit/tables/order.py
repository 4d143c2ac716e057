"""ORDER BY: sorting a table here, its first k rows, and the rows of all ranks in one global order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.sorting.columns import Ordering, as_keys, is_text, nulls_of, number_words, one_array
from hpckit.sorting.tables import Keys, sort_everywhere, sort_here, take
from hpckit.sorting.words import candidates, smallest
from hpckit.spmd.failpoints import fail_point

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

ROOT_ROWS_MAX = 1 << 16

sort_table = sort_here


def top_k(table: pa.Table, keys: Keys, k: int) -> pa.Table:
    """The first `k` rows of sort_table(table, keys). Local."""
    keys = as_keys(keys, table.schema)
    if k > 0 and k * 4 < table.num_rows and len(keys) > 1:
        # The first key mostly settles who can be among them, and the others need not be looked at for the rest.
        rows = candidates(Ordering.of(table, keys[:1]).words(table), k)
        if len(rows) * 2 < table.num_rows:
            table = take(table, rows)
    return take(table, smallest(Ordering.of(table, keys).words(table), table.num_rows, k))


class TopK:
    """The first `k` rows by `keys` of rows that come in any number of pieces: a mergeable state of O(k) rows.

    Ties between pieces keep the order of arrival; for an answer that does not depend on it, the last key must make
    the rows differ (a position, for example).
    """

    def __init__(self, schema: pa.Schema, keys: Keys, k: int) -> None:
        self.schema = schema
        self.keys = as_keys(keys, schema)
        self.k = k
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._bound: pa.Scalar | None = None  # first key of the k-th row once k rows are known
        self._has_bound = False

    def update(self, table: pa.Table) -> None:
        """Take rows into account."""
        if self.k <= 0 or table.num_rows == 0:
            return
        if self._has_bound and self.keys:
            table = table.filter(pa.array(self._candidates(table)))
            if table.num_rows == 0:
                return
        self._held.append(table)
        self._held_rows += table.num_rows
        if self._held_rows >= max(2 * self.k, ROOT_ROWS_MAX):
            self._cut()

    def merge(self, other: TopK) -> None:
        """Take the rows of another state into account; `other` stays as it is."""
        for table in other._held:
            self.update(table)

    def finish(self) -> pa.Table:
        """The first k rows in order. More rows may follow."""
        self._cut()
        return self._held[0] if self._held else self.schema.empty_table()

    def _cut(self) -> None:
        """Reduce what is held to k rows and learn the bound that later rows have to beat."""
        if not self._held:
            return
        kept = top_k(pa.concat_tables(self._held), self.keys, self.k)
        self._held, self._held_rows = [kept], kept.num_rows
        if kept.num_rows == self.k and self.keys:
            self._bound = one_array(kept.column(self.keys[0].name).slice(self.k - 1, 1))
            self._has_bound = True

    def _candidates(self, table: pa.Table) -> np.ndarray:
        """Mask of rows whose first key does not come after that of the k-th row."""
        key = self.keys[0]
        assert self._bound is not None
        array = one_array(table.column(key.name))
        is_null = nulls_of(array)
        if self._bound.null_count:
            return is_null if key.nulls_first else np.ones(len(array), bool)
        if is_text(array.type):
            compare = pc.greater_equal if key.descending else pc.less_equal
            better = compare(array, self._bound[0]).fill_null(False).to_numpy(zero_copy_only=False)
        else:
            words, bound = number_words(array), number_words(self._bound)[0]
            better = words >= bound if key.descending else words <= bound
        return np.where(is_null, key.nulls_first, better)


def sort_distributed(
    ctx: Context,
    table: pa.Table,
    keys: Keys,
    limit: int | None = None,
    offset: int = 0,
    without: Sequence[str] = (),
) -> pa.Table:
    """The rows of all ranks in global order by `keys`, `without` these columns, then OFFSET and LIMIT: rank r gets the
    r-th range. Collective.

    The last keys must make the order total, so that it does not depend on which rank held a row. Every rank first
    cuts its rows to offset + limit. Up to 65,536 rows in total are sorted on root (the other ranks get none); more go
    by hpckit.sorting.tables.sort_everywhere, and a rank ends with about 1/size of them.
    """
    with ctx.agreed("sorting rows"):
        ordered = as_keys(keys, table.schema)
        if limit is not None:
            table = top_k(table, ordered, min(limit + offset, table.num_rows))
    fail_point("order")
    total_rows = ctx.allreduce(table.num_rows, "sum")
    if total_rows <= ROOT_ROWS_MAX or ctx.size == 1:
        gathered = ctx.gather_table(table, root=0)
        with ctx.agreed("sorting rows"):
            result = sort_table(gathered, ordered) if gathered is not None else table.slice(0, 0)
            result = result.drop_columns(list(without))
    else:
        held = [table]  # by nobody else, so that its memory is free once the rows have left
        del table
        result = sort_everywhere(ctx, held.pop(), ordered, without)
    if limit is None and offset == 0:
        return result
    before = ctx.exscan_sum(result.num_rows)
    begin = min(max(offset - before, 0), result.num_rows)
    end = result.num_rows if limit is None else min(max(offset + limit - before, begin), result.num_rows)
    return result.slice(begin, end - begin)

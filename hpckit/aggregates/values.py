"""How often each value of a group occurs: exact quantiles, and approximate ones over buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit._kernels import reduce as kernel
from hpckit._kernels.runs import PairBuffer, merge_runs
from hpckit.aggregates import buckets
from hpckit.aggregates.codes import OwnCodes
from hpckit.aggregates.pairs import PairTable
from hpckit.aggregates.spec import STRING
from hpckit.aggregates.words import decode, encode, fixed_values, grown
from hpckit.errors import InternalError

if TYPE_CHECKING:
    from hpckit.aggregates.views import ArgView

_TABLE_PAIRS_MAX = 1 << 16  # a larger table leaves the cache, and sorting becomes the faster way to count
_BUFFER_ROWS = 1 << 18  # what a sort works on stays near the second-level cache
_FRESH_MAX = 32  # so many runs are searched as fast as one, for with input in order of time most hold other groups

Run = tuple[np.ndarray, np.ndarray, np.ndarray]  # ids int32, words int64, counts int64; ascending, no pair twice


class CountedPairs:
    """Counts of (group id, word) pairs: a hash table while there are few, then sorted runs, merged in levels."""

    def __init__(self) -> None:
        self._table: Any = PairTable()  # None once there is a buffer
        self._counts = np.zeros(0, np.int64)
        self._buffer: Any = None
        self._runs: list[Run] = []  # longest first
        self._fresh: list[Run] = []  # those of one buffer each

    @property
    def nbytes(self) -> int:
        held = [self._counts, *(part for run in (*self._runs, *self._fresh) for part in run)]
        return sum(part.nbytes for part in (*held, self._table, self._buffer) if part is not None)

    def add(self, ids: np.ndarray, words: np.ndarray, use: np.ndarray | None) -> None:
        """Counts each row in use once."""
        if self._table is not None:
            kernel.count_rows(self._numbers(ids, words, use), None, self._counts)
            self._leave_table()
            return
        start = self._buffer.add(ids, words, use, 0)
        while start < len(ids):
            self._push(self._buffer.drain())
            start = self._buffer.add(ids, words, use, start)

    def add_counts(self, ids: np.ndarray, words: np.ndarray, counts: np.ndarray) -> None:
        """Counts row i `counts[i]` times."""
        if self._table is not None:
            kernel.add_counts(self._numbers(ids, words, None), counts, self._counts)
            self._leave_table()
        elif len(ids):
            self._push(_run(ids, words, counts))

    def _numbers(self, ids: np.ndarray, words: np.ndarray, use: np.ndarray | None) -> np.ndarray:
        numbers = self._table.add(ids, words, use)
        self._counts = grown(self._counts, len(self._table), 0)
        return numbers

    def _leave_table(self) -> None:
        if len(self._table) > _TABLE_PAIRS_MAX:
            self._runs = [self.run()]
            self._table, self._counts = None, self._counts[:0]
            self._buffer = PairBuffer(_BUFFER_ROWS)

    def _push(self, run: Run) -> None:
        """Adds a run. Many are merged into one, and such ones again if they are of similar length: each row is merged
        a few times, and pairs that repeat are held about twice."""
        self._fresh.append(run)
        if len(self._fresh) < _FRESH_MAX:
            return
        self._runs.append(_merged(self._fresh))
        self._fresh = []
        while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
            self._runs[-2:] = [merge_runs(*self._runs[-2:])]

    def runs(self) -> list[Run]:
        """Everything counted so far as runs, between which pairs may repeat."""
        if self._table is not None:
            return [self.run()]
        if len(self._buffer):
            self._push(self._buffer.drain())
        return [*self._runs, *self._fresh]

    def __len__(self) -> int:
        """Number of pairs held; a pair may be held several times."""
        if self._table is not None:
            return len(self._table)
        return len(self._buffer) + sum(len(run[0]) for run in (*self._runs, *self._fresh))

    def run(self) -> Run:
        """Everything counted so far as one run."""
        if self._table is not None:
            ids, words = self._table.columns()
            return _run(ids.astype(np.int32), words, self._counts[: len(self._table)])
        self._runs, self._fresh = [_merged(self.runs())], []
        return self._runs[0]


def _merged(runs: list[Run]) -> Run:
    """One run of all, merged in pairs: a row takes part in as many merges as the number of runs has bits."""
    while len(runs) > 1:
        pairs = [merge_runs(runs[i], runs[i + 1]) for i in range(0, len(runs) - 1, 2)]
        runs = [*pairs, *runs[2 * len(pairs) :]]
    return runs[0]


def _run(ids: np.ndarray, words: np.ndarray, counts: np.ndarray) -> Run:
    """A run of rows in any order."""
    order = order_pairs(ids, words)
    ids, words, counts = ids[order], words[order], counts[order]
    new = np.ones(len(ids), bool)
    new[1:] = (ids[1:] != ids[:-1]) | (words[1:] != words[:-1])
    if new.all():
        return ids, words, counts
    starts = np.flatnonzero(new)
    return ids[starts], words[starts], np.add.reduceat(counts, starts)


def order_pairs(ids: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Order by (id, word); by one packed key where both fit, which sorts several times faster."""
    if not len(ids):
        return np.zeros(0, np.int64)
    low, high = int(words.min()), int(words.max())
    width = (high - low).bit_length()
    if width + int(ids.max()).bit_length() < 63:
        return np.argsort((ids.astype(np.int64) << width) | (words - low))
    return np.lexsort((words, ids))


class ValueCounts:
    """The values of each group with their counts. With `bucketed`, values within 1.6 % of each other count as one."""

    def __init__(self, kind: pa.DataType, bucketed: bool) -> None:
        self.kind = kind
        self._bucketed = bucketed
        self._strings = OwnCodes() if kind == STRING else None
        self._pairs = CountedPairs()
        self._chosen: ChosenValues | None = None  # values found by all ranks together, after a shuffle
        self._groups = 0

    def __len__(self) -> int:
        """Number of (group, value) pairs held."""
        return len(self._pairs)

    @property
    def selectable(self) -> bool:
        """Whether its words mean the same on every rank, so that ranks can search for a value together."""
        return self._strings is None

    def resize(self, groups: int) -> None:
        self._groups = groups

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        if self._strings is not None:
            words = self._strings.codes(view.column).astype(np.int64)
        elif self._bucketed:
            words = buckets.numbers(view.doubles)
        else:
            words = view.words
        self._pairs.add(ids, words, view.use)

    def runs(self) -> list[Run]:
        """All values as runs (see CountedPairs.runs)."""
        return self._pairs.runs()

    def choose(self, chosen: ChosenValues) -> None:
        """Takes the values that all ranks have found; from then on the state is only good for its results."""
        self._chosen = chosen

    def ordered(self) -> ValueRuns | ChosenValues:
        """The values of all groups in ascending order within each group."""
        if self._chosen is not None:
            return self._chosen
        ids, words, counts = self._pairs.run()
        if self._strings is not None:  # their words are codes: in order of first sight, not of the strings
            order = order_pairs(ids, self._strings.strings.rank()[words].astype(np.int64))
            ids, words, counts = ids[order], words[order], counts[order]
        return ValueRuns(ids, words, counts, self._groups)

    def decode(self, words: np.ndarray, missing: np.ndarray) -> pa.Array:
        """Values of words of `ordered`, NULL where `missing`."""
        if self._strings is not None:
            return self._strings.take(np.where(missing, -1, words).astype(np.int32))
        return decode(words, self.kind, missing)

    def columns(self) -> dict[str, pa.Array]:
        return {}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        """Nothing: all of the state is in its pairs."""

    def pairs(self) -> tuple[np.ndarray, dict[str, pa.Array]]:
        """(group id of each row, {"value" (a bucket's number), "count"})."""
        if self._chosen is not None:
            raise InternalError("only the wanted values were taken over in a shuffle; take the state before it")
        ids, words, counts = self._pairs.run()
        if self._bucketed:
            value = pa.array(words)
        elif self._strings is not None:
            value = self._strings.column(words.astype(np.int32))
        else:
            value = decode(words, self.kind)
        return ids.astype(np.int64), {"value": value, "count": pa.array(counts)}

    def absorb_pairs(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        """Adds `count` times `value` to group ids[i]."""
        value = columns["value"]
        if self._bucketed:
            words = fixed_values(value, np.int64)
        elif self._strings is not None:
            words = self._strings.codes(value).astype(np.int64)
        else:
            words = encode(value)
        self._pairs.add_counts(ids, words, fixed_values(columns["count"], np.int64))

    @property
    def nbytes(self) -> int:
        return self._pairs.nbytes + (self._strings.nbytes if self._strings is not None else 0)


class ValueRuns:
    """Values of all groups, ascending within a group, with their counts: any order statistic is one search."""

    def __init__(self, ids: np.ndarray, words: np.ndarray, counts: np.ndarray, groups: int) -> None:
        self._words = words
        self._ends = np.cumsum(counts)
        ends = np.append(0, self._ends)[np.searchsorted(ids, np.arange(groups + 1))]
        self._starts = ends[:-1]
        self.totals = np.diff(ends)  # rows of each group

    def at(self, ranks: np.ndarray) -> np.ndarray:
        """Word number ranks[g] (from 0) of each group g; arbitrary where the group has none."""
        if not len(self._words):
            return np.zeros(len(ranks), np.int64)
        found = np.searchsorted(self._ends, self._starts + ranks, side="right")
        return self._words[np.minimum(found, len(self._words) - 1)]


class ChosenValues:
    """As ValueRuns, but only the order statistics asked for beforehand: ranks and words (groups, statistics)."""

    def __init__(self, totals: np.ndarray, ranks: np.ndarray, words: np.ndarray) -> None:
        self.totals = totals  # rows of each group
        self._ranks, self._words = ranks, words

    def at(self, ranks: np.ndarray) -> np.ndarray:
        """Word number ranks[g] (from 0) of each group g; arbitrary where the group has none."""
        found = self._ranks == ranks[:, None]
        if not found.any(axis=1).all():
            raise InternalError("an order statistic is asked for that was not searched for")
        return self._words[np.arange(len(ranks)), found.argmax(axis=1)]

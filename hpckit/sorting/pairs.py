"""Sorting rows: a key of one or more words and the columns that travel along, stably.

Each column is partitioned and sent by itself, so no rows are packed; pairs of (key, value) are put together only
within a cache-sized piece, where a radix sort orders them. Keys of several words are packed into as few as their
ranges allow and sorted word by word, the least significant first, each sort being stable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import radix
from hpckit.sorting import keys, layout
from hpckit.sorting.buckets import Buckets
from hpckit.sorting.delivery import Arrival, deliver
from hpckit.sorting.numbers import trimmed
from hpckit.sorting.splitters import WORD_MAX

if TYPE_CHECKING:
    from hpckit.spmd import Context

PIECE_BYTES = 512 << 10  # sorted at once: with its scratch half of a second-level cache
WORD = np.dtype(np.uint64)


def sort_rows(
    context: Context, words: Sequence[np.ndarray], columns: Sequence[np.ndarray], numbered: bool = False
) -> list[np.ndarray]:
    """This rank's canonical block of each column once all rows are sorted by their key. Collective.

    `words` (uint64, at least one) make the key, most significant first (keys.encode_all); ties stay in input order. All
    columns have one row for each word, along the first axis, and on all ranks the same dtypes. `numbered` adds the
    rows' numbers in the input of all ranks (int64) as a last column.
    """
    keys.agree(context, words, True, "key word")
    keys.agree(context, [words[0], *columns], False, "key and payload")
    rows = len(words[0])
    words = pack(context, words) or [np.zeros(rows, WORD)]  # all keys equal: the order is the input's
    first = context.exscan_sum(rows) if numbered else None
    carried = list(columns)
    while words:
        key = words.pop()
        carried = one_word(context, key, keys.UNSIGNED, [*words, *carried], first)[1]
        words, carried = carried[: len(words)], carried[len(words) :]
        first = None  # from now on the numbers are a column
    if numbered:
        carried[-1] = carried[-1].view(np.int64)
    return carried


def one_word(
    context: Context,
    bits: np.ndarray,
    kind: int,
    columns: Sequence[np.ndarray],
    first: int | None = None,
    want_keys: bool = False,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Sort by one key of 4 or 8 bytes (its bits and their kind): (sorted words, sorted columns). Collective.

    The words are sorted only if wanted. With `first`, row numbers from there on are a last column.
    """
    row_bytes = WORD.itemsize + sum(_row_bytes(column) for column in columns) + (0 if first is None else WORD.itemsize)
    with context.phase("partition"):
        buckets = Buckets(context, bits, kind, row_bytes, PIECE_BYTES)
        with context.agreed("partitioning rows"):
            words = buckets.scatter(bits, kind)
            moved = [buckets.scatter_rows(column) for column in columns]
            if first is not None:
                moved.append(buckets.scatter_numbers(first))
            placed = buckets.placed
            del buckets
        pieces = layout.cut(context, placed, lambda start, stop: _sort_bucket(words, moved, start, stop))
    sorter = _Sorter(context.rank, words, moved, want_keys)

    def take(arrival: Arrival) -> None:
        with context.phase("sort"):
            sorter.take(arrival)

    with context.phase("exchange"):
        deliver(context, pieces, [words, *moved], placed.rounds, take)
    return trimmed(words, placed.block_rows), [trimmed(column, placed.block_rows) for column in moved]


class _Sorter:
    """Sorts what arrives into the beginning of the buffers it came from."""

    def __init__(self, here: int, words: np.ndarray, columns: list[np.ndarray], want_keys: bool) -> None:
        self.here, self.words, self.columns, self.want_keys = here, words, columns, want_keys
        self.single = len(columns) == 1 and columns[0].ndim == 1 and columns[0].dtype.itemsize == WORD.itemsize
        self.values = columns[0].view(WORD) if self.single else np.empty(0, WORD)
        self.pairs = self.scratch = np.empty((0, 2), WORD)
        self.order = np.empty(0, WORD)
        self.at = 0

    def take(self, arrival: Arrival) -> None:
        """Sort the pieces of a round, which follow those of the round before. Local."""
        for i, (size, constant) in enumerate(zip(arrival.sizes, arrival.constant.tolist(), strict=True)):
            span = slice(self.at, self.at + size)
            starts, counts = arrival.starts[i : i + 1], arrival.counts[i : i + 1]
            if constant:
                self._copy(arrival, i, span)
            else:
                self._grow(size)
                if self.single:
                    self._sort(arrival, starts, counts, arrival.columns[1].view(WORD), self.values[span], span)
                else:
                    self._sort(arrival, starts, counts, None, self.order, span)
                    for own, came in zip(self.columns, arrival.columns[1:], strict=True):
                        rows = _gathered(own, came, self.here, starts[0], counts[0])
                        np.take(rows, self.order[:size].view(np.int64), axis=0, out=own[span], mode="clip")
            self.at += size

    def _sort(
        self,
        arrival: Arrival,
        starts: np.ndarray,
        counts: np.ndarray,
        came: np.ndarray | None,
        out: np.ndarray,
        span: slice,
    ) -> None:
        radix.sort_pieces(
            self.words,
            arrival.columns[0],
            None if came is None else self.values,
            came,
            self.here,
            starts,
            counts,
            self.pairs,
            self.scratch,
            self.words[span] if self.want_keys else None,
            out,
        )

    def _copy(self, arrival: Arrival, i: int, span: slice) -> None:
        """A piece of one key: its rows are in order as they come."""
        for own, came in zip([self.words, *self.columns], arrival.columns, strict=True):
            at = span.start
            for source, (start, count) in enumerate(
                zip(arrival.starts[i].tolist(), arrival.counts[i].tolist(), strict=True)
            ):
                own[at : at + count] = (own if source == self.here else came)[start : start + count]
                at += count

    def _grow(self, rows: int) -> None:
        if rows > len(self.pairs):
            self.pairs = self.scratch = np.empty((0, 2), WORD)  # free them before there are new ones
            room = rows + rows // 4
            self.pairs, self.scratch = np.empty((room, 2), WORD), np.empty((room, 2), WORD)
            self.order = np.empty(0 if self.single else room, WORD)


def pack(context: Context, words: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same order in as few words as the ranges of all ranks' words allow; none if all keys are equal.
    Collective."""
    if len(words) == 1:
        return list(words)
    count = len(words)
    extremes = np.full(2 * count, WORD_MAX, WORD)
    for i, word in enumerate(words):
        if len(word):
            extremes[i], extremes[count + i] = word.min(), ~word.max()
    extremes = context.allreduce(extremes, "min")
    low, high = extremes[:count], ~extremes[count:]
    packed: list[np.ndarray] = []
    free = 0  # bits left in the last of them
    for word, least, most in zip(words, low, high, strict=True):
        bits = int(most - least).bit_length() if most > least else 0
        if not bits:
            continue
        if bits <= free:
            packed[-1] = packed[-1] << WORD.type(bits) | (word - least)
            free -= bits
        else:
            packed.append(word - least)
            free = 64 - bits
    return packed


def _row_bytes(column: np.ndarray) -> int:
    return column.dtype.itemsize * int(np.prod(column.shape[1:], dtype=np.int64))


def _sort_bucket(words: np.ndarray, columns: list[np.ndarray], start: int, stop: int) -> np.ndarray:
    """Sort these rows of the buffers, stably; returns their keys."""
    order = np.argsort(words[start:stop], kind="stable")
    for column in [words, *columns]:
        column[start:stop] = column[start:stop][order]
    return words[start:stop]


def _gathered(own: np.ndarray, came: np.ndarray, here: int, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The rows of one piece of a column, in the order of sources."""
    parts = zip(starts.tolist(), counts.tolist(), strict=True)
    return np.concatenate([(own if s == here else came)[a : a + n] for s, (a, n) in enumerate(parts)])

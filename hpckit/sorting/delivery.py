"""The exchange of a sort: rounds of messages straight from the partitioned columns, into one small staging buffer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpckit.sorting.layout import GROUP, Pieces
from hpckit.sorting.pool import room
from hpckit.spmd.arrays import Exchange, Posted, exchange

if TYPE_CHECKING:
    from hpckit.spmd import Context


@dataclass
class Arrival:
    """Some of this rank's pieces: piece i has counts[i, s] rows of source s, which begin at row starts[i, s] of
    `columns`, or, if s is this rank, of its own buffers. `constant` says which pieces hold one key only."""

    columns: list[np.ndarray]
    starts: np.ndarray
    counts: np.ndarray
    constant: np.ndarray

    @property
    def sizes(self) -> list[int]:
        """Rows of each piece."""
        return self.counts.sum(axis=1).tolist()


def deliver(
    context: Context, pieces: Pieces, columns: list[np.ndarray], rounds: int, use: Callable[[Arrival], None]
) -> None:
    """Send every rank its pieces of the partitioned `columns`, and hand this rank's to `use`, round by round, in order.

    Collective: every rank takes all rounds. What `use` is given lasts until it returns; after round k the rows of all
    pieces up to that round are not needed any more. The next round is under way while one is used, so that no rank
    waits for another that has a little more to do in one round and less in the next. `use` is Local; an error of it is
    raised on all ranks at the end, so that nobody waits for messages that do not come.
    """
    plan = _Plan(context, pieces, columns, rounds)
    messages = Exchange(context)
    waiting: list[tuple[Posted, Arrival]] = []
    before: Posted | None = None
    failures: list[Exception] = []
    for k in range(rounds + 1):
        if k < rounds:
            leaving, arriving, arrival = plan.round(k)
            waiting.append((messages.post(leaving, arriving), arrival))
        if k:
            posted, arrival = waiting.pop(0)
            messages.receive(posted)
            if before:
                messages.release(before)  # what is used is sorted into the place of earlier rounds
            if not failures:
                try:
                    use(arrival)
                except Exception as error:
                    failures.append(error)
            before = posted
    if before:
        messages.release(before)
    with context.agreed("sorting what arrived"):
        if failures:
            raise failures[0]
    messages.finish()


class _Plan:
    """What goes where in which round: every rank has told every other one where its pieces begin."""

    def __init__(self, context: Context, pieces: Pieces, columns: list[np.ndarray], rounds: int) -> None:
        """Collective."""
        first = pieces.first
        table = np.stack([pieces.starts, pieces.counts], axis=1)
        self.context, self.pieces, self.columns = context, pieces, columns
        self.came = exchange(context, table, np.diff(first))[0].reshape(context.size, -1, 2)
        self.ranks = [slice(a, b) for a, b in zip(first.tolist(), first[1:].tolist(), strict=False)]
        self.edges = [np.searchsorted(pieces.round_[part], np.arange(rounds + 1)) for part in self.ranks]
        with context.agreed("making room for what arrives"):
            self.staging = self._rooms(rounds)

    def round(self, k: int) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]], Arrival]:
        """By rank what leaves and what arrives in round k, and what the latter will be. Local."""
        here, pieces, columns = self.context.rank, self.pieces, self.columns
        leaving: list[list[np.ndarray]] = [[] for _ in self.ranks]
        arriving: list[list[np.ndarray]] = [[] for _ in self.ranks]
        for r, part in enumerate(self.ranks):
            if r != here:
                span = slice(part.start + self.edges[r][k], part.start + self.edges[r][k + 1])
                leaving[r] = _slices(columns, _Messages(pieces.starts[span], pieces.counts[span]), 0)
        starts, counts, plans = self._incoming(k)
        staging = self.staging[k % 2]
        base = 0
        for s, plan in enumerate(plans):
            if s != here:
                arriving[s] = _slices(staging, plan, base - plan.begins + plan.bases)
                starts[s] = plan.places + base
                base += plan.rows
        constant = pieces.constant[self.ranks[here]][slice(*self.edges[here][k : k + 2])]
        arrival = Arrival(staging, np.ascontiguousarray(starts.T), np.ascontiguousarray(counts.T), constant)
        return leaving, arriving, arrival

    def _incoming(self, k: int) -> tuple[np.ndarray, np.ndarray, list[_Messages]]:
        """Of this rank's pieces in round k: their starts and rows at each source, and each source's messages. Local."""
        mine = slice(*self.edges[self.context.rank][k : k + 2])
        starts, counts = self.came[:, mine, 0].copy(), self.came[:, mine, 1]
        return starts, counts, [_Messages(starts[s], counts[s]) for s in range(self.context.size)]

    def _rooms(self, rounds: int) -> list[list[np.ndarray]]:
        """Columns for the rows that arrive in the largest even and in the largest odd round: rounds take turns.
        Local."""
        here, rows = self.context.rank, [0, 0]
        for k in range(rounds):
            plans = self._incoming(k)[2]
            rows[k % 2] = max(rows[k % 2], sum(plan.rows for s, plan in enumerate(plans) if s != here))
        return [[room(self.context, n, c.dtype, c.shape[1:]) for c in self.columns] for n in rows]


class _Messages:
    """What one rank sends another in one round: rows begins[i]:ends[i] of its buffer make message i, and end up at
    bases[i] if the messages are put one after another; there piece j begins at row places[j]."""

    def __init__(self, starts: np.ndarray, counts: np.ndarray) -> None:
        """Of pieces that begin at `starts`: those that lie side by side, but for a gap of alignment, go together."""
        gaps = starts[1:] - (starts + counts)[:-1]
        head = np.append(True, (gaps < 0) | (gaps >= GROUP))[: len(starts)]
        tail = np.append(head[1:], True)[: len(starts)]
        self.begins, self.ends = starts[head], (starts + counts)[tail]
        sizes = self.ends - self.begins
        self.rows = int(sizes.sum())
        self.bases = np.cumsum(sizes) - sizes
        message = np.cumsum(head) - 1
        self.places = starts - self.begins[message] + self.bases[message]


def _slices(columns: list[np.ndarray], plan: _Messages, shift: np.ndarray | int) -> list[np.ndarray]:
    """The rows of all messages of all columns, `shift` rows from where they are at the sender."""
    bounds = list(zip((plan.begins + shift).tolist(), (plan.ends + shift).tolist(), strict=True))
    return [column[a:b] for column in columns for a, b in bounds]

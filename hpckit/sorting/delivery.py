"""The exchange of a sort: rounds of messages straight from the partitioned columns, into one small staging buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpckit.sorting.layout import GROUP, Pieces
from hpckit.sorting.pool import room
from hpckit.spmd.arrays import Exchange, exchange

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


def deliver(context: Context, pieces: Pieces, columns: list[np.ndarray], rounds: int) -> Iterator[Arrival]:
    """Send every rank its pieces of the partitioned `columns`, and yield this rank's, round by round, in order.

    Collective: every rank takes all rounds. What is yielded lasts until the next round; after round k the rows of all
    pieces up to that round are not needed any more.
    """
    here, first = context.rank, pieces.first
    table = np.stack([pieces.starts, pieces.counts], axis=1)
    came = exchange(context, table, np.diff(first))[0].reshape(context.size, -1, 2)
    ranks = [slice(a, b) for a, b in zip(first.tolist(), first[1:].tolist(), strict=False)]
    edges = [np.searchsorted(pieces.round_[part], np.arange(rounds + 1)) for part in ranks]
    constant = pieces.constant[ranks[here]]
    staging = [column[:0] for column in columns]
    messages = Exchange(context)
    for k in range(rounds):
        leaving: list[list[np.ndarray]] = [[] for _ in ranks]
        arriving: list[list[np.ndarray]] = [[] for _ in ranks]
        for r, part in enumerate(ranks):
            if r != here:
                span = slice(part.start + edges[r][k], part.start + edges[r][k + 1])
                leaving[r] = _slices(columns, _Messages(pieces.starts[span], pieces.counts[span]), 0)
        mine = slice(*edges[here][k : k + 2])
        starts = came[:, mine, 0].copy()
        plans = [_Messages(came[s, mine, 0], came[s, mine, 1]) for s in range(context.size)]
        most = sum(plan.rows for s, plan in enumerate(plans) if s != here)
        if most > len(staging[0]):
            staging = [room(context, most + most // 4, column.dtype, column.shape[1:]) for column in columns]
        base = 0
        for s, plan in enumerate(plans):
            if s != here:
                arriving[s] = _slices(staging, plan, base - plan.begins + plan.bases)
                starts[s] = plan.places + base
                base += plan.rows
        messages.round(leaving, arriving)
        yield Arrival(staging, np.ascontiguousarray(starts.T), np.ascontiguousarray(came[:, mine, 1].T), constant[mine])
    messages.finish()


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

"""Where the rows of a sort lie and travel, so that every rank ends with its block of the sorted whole, almost in place.

Rows travel in rounds, each of which brings every rank the next part of its block. The buffer of partitioned rows is
laid out by round, so that the sorted block can grow from the buffer's beginning over what has been sent already: the
memory of a sort is its input, one buffer of about the same size, and one round. Buckets in which a rank's block ends
are cut into pieces exactly, ties by origin; they lie at the end of the buffer, for they travel early and late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import partition
from hpckit.partition import block_range
from hpckit.sorting import splitters
from hpckit.spmd.arrays import exscan_sums

if TYPE_CHECKING:
    from hpckit.spmd import Context

ROUND_BYTES = 16 << 20  # what a rank gets in one round, about
GROUP = partition.ROOM_BYTES // 4  # buckets begin at a multiple of this many rows, of 4-byte columns and wider ones

SortBucket = Callable[[int, int], np.ndarray]


@dataclass
class Placement:
    """Where this rank's buckets go in a buffer of `rows` rows; the sorted block takes its first `block_rows` in the
    end."""

    starts: np.ndarray  # by bucket: first row in the buffer
    counts: np.ndarray  # by bucket: rows of this rank
    everywhere: np.ndarray  # by bucket: rows of all ranks
    constant: np.ndarray  # by bucket: whether it holds one key only
    blocks: np.ndarray  # by rank: first row of its block in the sorted whole
    targets: np.ndarray  # places in the sorted whole where buckets are cut
    rounds: int
    round_rows: int
    rows: int
    block_rows: int


@dataclass
class Pieces:
    """The pieces of all ranks in sorted order. starts and counts are this rank's rows of each piece in its buffer;
    first[r]:first[r + 1] are the pieces of rank r; piece i travels in round round_[i]."""

    starts: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    round_: np.ndarray
    constant: np.ndarray


def place(context: Context, counts: np.ndarray, constant: np.ndarray, row_bytes: int) -> Placement:
    """The buffer's layout, from this rank's rows in each bucket. Collective."""
    everywhere = context.allreduce(counts)
    ends = np.cumsum(everywhere)
    total, offsets = int(ends[-1]), ends - everywhere
    blocks = np.array([block_range(total, context.size, r)[0] for r in range(context.size)], np.int64)
    round_rows = max(1, ROUND_BYTES // row_bytes)
    rounds = -(-block_range(total, context.size, 0)[1] // round_rows)
    large = np.flatnonzero(
        constant & (everywhere > round_rows)
    )  # of one key, so they may be cut anywhere: rounds stay short
    targets = np.unique(np.concatenate([blocks, *[np.arange(offsets[b], ends[b], round_rows) for b in large]]))
    bucket = np.minimum(np.searchsorted(ends, targets, "right"), len(counts) - 1)
    inside = (targets > offsets[bucket]) & (targets < ends[bucket])
    owner = np.maximum(np.searchsorted(blocks, offsets, "right") - 1, 0)
    round_ = np.minimum((offsets - blocks[owner]) // round_rows, rounds - 1)
    round_[bucket[inside]] = rounds - 1
    order = np.lexsort((owner, round_))  # stable: then by bucket
    room = -(-counts // GROUP) * GROUP
    starts = np.empty_like(room)
    starts[order] = np.cumsum(room[order]) - room[order]
    begin, end = block_range(total, context.size, context.rank)
    slack = _slack(room, round_, rounds, round_rows, offsets, ends, begin, end)
    rows = max(slack + int(room.sum()), end - begin)
    return Placement(
        starts + slack, counts, everywhere, constant, blocks, targets[inside], rounds, round_rows, rows, end - begin
    )


def _slack(
    room: np.ndarray,
    round_: np.ndarray,
    rounds: int,
    round_rows: int,
    offsets: np.ndarray,
    ends: np.ndarray,
    begin: int,
    end: int,
) -> int:
    """Free rows before the first bucket, so that the output of no round reaches rows that are still needed. Local.

    A round's own rows are read while its output is written: before round k only the rows of rounds below k are free.
    """
    if not rounds:
        return 0
    sent = np.cumsum(np.bincount(round_, room, rounds)).astype(np.int64)
    free = np.append(0, sent[:-1])  # before each round
    last = (
        np.searchsorted(offsets, begin + np.arange(1, rounds + 1) * round_rows, "left") - 1
    )  # bucket begun by its end
    written = np.clip(ends[last], begin, end) - begin
    return -(-max(0, int((written - free).max())) // GROUP) * GROUP


def cut(context: Context, placed: Placement, sort_bucket: SortBucket) -> Pieces:
    """The pieces of all blocks, once the rows are in their buckets. Collective.

    sort_bucket(first row, end) sorts a bucket of this rank in place and returns its keys.
    """
    starts, counts, constant, blocks = placed.starts, placed.counts, placed.constant, placed.blocks
    ends = np.cumsum(placed.everywhere)
    offsets, total, targets = ends - placed.everywhere, int(ends[-1]), placed.targets
    bucket = np.searchsorted(ends, targets, "right")
    cuts = _cuts(context, placed, bucket, targets - offsets[bucket], sort_bucket)
    places = np.concatenate([offsets, targets])  # of each piece in the sorted whole
    owners = np.concatenate([np.arange(len(counts)), bucket])
    begins = np.concatenate([starts, starts[bucket] + cuts])
    order = np.lexsort((owners, places))
    order = order[np.append(places[order][1:], total) > places[order]]  # without empty pieces
    places, owners, begins = places[order], owners[order], begins[order]
    is_last = np.append(owners[1:] != owners[:-1], True)[: len(owners)]  # of its bucket
    stops = np.where(is_last, starts[owners] + counts[owners], np.append(begins[1:], 0)[: len(owners)])
    rank = np.searchsorted(blocks, places, "right") - 1
    first = np.searchsorted(rank, np.arange(context.size + 1))
    return Pieces(begins, stops - begins, first, (places - blocks[rank]) // placed.round_rows, constant[owners])


def _cuts(
    context: Context, placed: Placement, bucket: np.ndarray, wanted: np.ndarray, sort_bucket: SortBucket
) -> np.ndarray:
    """For each cut, how many of this rank's rows of bucket[i] are among the first wanted[i] of all ranks'.
    Collective."""
    starts, counts = placed.starts, placed.counts
    same = placed.constant[bucket]
    mixed = np.unique(bucket[~same])
    cuts = np.clip(wanted - exscan_sums(context, counts[bucket]), 0, counts[bucket])  # right where all keys are equal
    if len(mixed):  # one search for all: buckets of ascending words, each sorted, are sorted
        with context.agreed("sorting the buckets in which blocks end"):
            keys = np.concatenate([sort_bucket(int(starts[b]), int(starts[b] + counts[b])) for b in mixed])
        which = np.searchsorted(mixed, bucket[~same])
        above = np.cumsum(placed.everywhere[mixed]) - placed.everywhere[mixed]
        mine = np.cumsum(counts[mixed]) - counts[mixed]
        cuts[~same] = splitters.find(context, keys, wanted[~same] + above[which]) - mine[which]
    return cuts

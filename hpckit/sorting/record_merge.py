"""The merge of sorted runs: cut alike by exact splitters, dealt out to ranks and rounds, merged while exchanged.

Splitters come from every k-th record of the runs (regular sampling; Shi and Schaeffer, 1992), and every run is searched
for each of them, so the counts between splitters are exact. The key ranges between them are dealt out to ranks and,
within a rank, to rounds that fit into memory: a round brings a piece of every run of every rank, and the pieces are
merged straight into the output.

The order of equal keys is (run, place in the run), which is that of the input: `row` of a splitter counts sorted
places, from the first row of its run on.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import merge
from hpckit.errors import MemoryBudgetError
from hpckit.sorting import record_splits as splits
from hpckit.sorting.record_files import Shape
from hpckit.sorting.record_output import Writer
from hpckit.sorting.record_runs import HASH_MASK, Run
from hpckit.sorting.scratch import work_bytes
from hpckit.spmd.blocks import exchange_blocks, exchange_streams
from hpckit.spmd.failpoints import fail_point

if TYPE_CHECKING:
    from hpckit.sorting.record_checkpoints import RecordCheckpoints
    from hpckit.spmd.context import Context

FIXED_BYTES = 56 << 20  # write buffers, slices on their way, and what messages cost
REFERENCE_BYTES = 32  # of the sorter, a record
LEAST_BYTES = 8 << 20  # less room for records than this is not worth the passes
BUCKETS_PER_ROUND = 8


def room_bytes(budget_bytes: int, shape: Shape) -> int:
    """What is left of the budget for records. Local; MemoryBudgetError if that is next to nothing."""
    least = max(LEAST_BYTES, 4 * (shape.record + REFERENCE_BYTES))
    return work_bytes(budget_bytes, least, FIXED_BYTES)


@dataclass(frozen=True)
class Plan:
    """cuts[run][bucket]: first record of a bucket in a run of this rank; rounds[rank]: the buckets (from, to) of each
    of its rounds; counts: records of each bucket in all runs."""

    cuts: np.ndarray
    rounds: list[list[tuple[int, int]]]
    counts: np.ndarray

    @property
    def rounds_max(self) -> int:
        return max(len(rounds) for rounds in self.rounds)

    def own(self, rank: int) -> tuple[int, int]:
        """(first row, rows) of the output that `rank` writes."""
        before = sum(self._rows(rounds) for rounds in self.rounds[:rank])
        return before, self._rows(self.rounds[rank])

    def _rows(self, rounds: list[tuple[int, int]]) -> int:
        return int(self.counts[rounds[0][0] : rounds[-1][1]].sum()) if rounds else 0

    def sizes(self, rank: int, turn: int) -> tuple[np.ndarray, np.ndarray]:
        """(first record, records) of each run of this rank that go to `rank` in round `turn`."""
        low, high = self.rounds[rank][turn] if turn < len(self.rounds[rank]) else (0, 0)
        return self.cuts[:, low], self.cuts[:, high] - self.cuts[:, low]


def plan_merge(ctx: Context, runs: list[Run], shape: Shape, budget_bytes: int, rows: int) -> Plan:
    """Splitters, exact counts, and who takes what in which round. Collective."""
    with ctx.agreed("planning the merge"):
        room = room_bytes(budget_bytes, shape)
    room = ctx.allreduce(room, "min")
    buckets = max(16 * ctx.size, BUCKETS_PER_ROUND * -(-rows * shape.record // room))
    places = [run.first_row + np.arange(len(run.keys)) * run.stride for run in runs]
    table = np.concatenate([np.empty((0, shape.key), np.uint8), *(run.keys for run in runs)])
    splitters = splits.find(ctx, table, np.concatenate([np.zeros(0, np.int64), *places]), buckets)
    with ctx.agreed("searching the runs"):
        cuts = np.zeros((len(runs), len(splitters) + 2), np.int64)
        for number, run in enumerate(runs):
            found = [
                run.cut(bytes(key), int(row), shape.record)
                for key, row in zip(splitters.keys, splitters.rows, strict=True)
            ]
            cuts[number, 1:-1] = found
            cuts[number, -1] = run.rows
    counts = ctx.allreduce(np.diff(cuts, axis=1).sum(axis=0), "sum")
    ends = splits.share(counts, ctx.size).tolist()
    rounds = [_rounds(counts, low, high, room // shape.record) for low, high in zip([0, *ends[:-1]], ends, strict=True)]
    return Plan(cuts, rounds, counts)


def _rounds(counts: np.ndarray, low: int, high: int, rows_max: int) -> list[tuple[int, int]]:
    """Buckets low … high-1 in rounds of at most `rows_max` records. MemoryBudgetError if one bucket is larger."""
    rounds: list[tuple[int, int]] = []
    begin, held = low, 0
    for bucket in range(low, high):
        rows = int(counts[bucket])
        if rows > rows_max:
            raise MemoryBudgetError(f"a merge step needs room for {rows:,} records, --memory allows {rows_max:,}")
        if held + rows > rows_max:
            rounds.append((begin, bucket))
            begin, held = bucket, 0
        held += rows
    return [*rounds, (begin, high)] if high > begin else rounds


def merge_rounds(
    ctx: Context, runs: list[Run], plan: Plan, shape: Shape, writer: Writer, saving: RecordCheckpoints | None
) -> int:
    """Exchange, merge and write round by round; returns the sum of hashes written. Collective."""
    most = max(1, ctx.allreduce(len(runs), "max"))
    order = _input_order(ctx, runs, most)
    own = [int(plan.counts[low:high].sum()) for low, high in plan.rounds[ctx.rank]]
    room = np.empty(max(own, default=0) * shape.record, np.uint8)
    total = 0
    for turn in range(plan.rounds_max):
        outgoing = np.zeros((ctx.size, most), np.int64)
        for rank in range(ctx.size):
            outgoing[rank, : len(runs)] = plan.sizes(rank, turn)[1] * shape.record
        arriving = outgoing.copy()
        exchange_blocks(ctx, list(outgoing.view(np.uint8)), list(arriving.view(np.uint8)))
        ends = np.cumsum(arriving.reshape(-1)).reshape(arriving.shape)
        incoming = [room[e[-1] - sizes.sum() : e[-1]] for e, sizes in zip(ends, arriving, strict=True)]
        streams = [_Stream(runs, *plan.sizes(rank, turn), shape.record) for rank in range(ctx.size)]

        def read(rank: int, start: int, buffer: np.ndarray, streams: list[_Stream] = streams) -> None:
            streams[rank].read(start, buffer)

        exchange_streams(ctx, [stream.size for stream in streams], read, incoming)
        with ctx.agreed("merging"):
            pieces = [room[e - n : e] for e, n in zip(ends.ravel().tolist(), arriving.ravel().tolist(), strict=True)]
            total += _merge([pieces[number] for number in order], shape, writer)
        fail_point("merge")
        if saving is not None:
            saving.between_phases()
    with ctx.agreed("writing the records"):
        writer.close()
    return total & HASH_MASK


def _input_order(ctx: Context, runs: list[Run], most: int) -> list[int]:
    """The runs of all ranks, `most` of each, in the order of the input: equal keys are merged in this order.
    Collective."""
    mine = np.full(most, np.iinfo(np.int64).max)
    mine[: len(runs)] = [run.first_row for run in runs]
    return np.argsort(np.concatenate(ctx.allgather(mine)), kind="stable").tolist()


def _merge(pieces: list[np.ndarray], shape: Shape, writer: Writer) -> int:
    merger = merge.Merger(pieces, shape.record, shape.key)
    while rows := merger.fill(writer.room()):
        writer.advance(rows * shape.record)
    return merger.checksum


class _Stream:
    """Parts of all runs of this rank as one sequence of bytes."""

    def __init__(self, runs: list[Run], first: np.ndarray, rows: np.ndarray, record: int) -> None:
        self._runs = runs
        self._offsets = (first * record).tolist()
        self._ends = np.cumsum(rows * record).tolist()
        self.size: int = self._ends[-1] if self._ends else 0

    def read(self, start: int, buffer: np.ndarray) -> None:
        """Fill `buffer` with the bytes from `start` on."""
        done = 0
        while done < len(buffer):
            number = bisect_right(self._ends, start + done)
            before = self._ends[number - 1] if number else 0
            size = min(len(buffer) - done, self._ends[number] - start - done)
            self._runs[number].file.read_into(buffer[done : done + size], self._offsets[number] + start + done - before)
            done += size

"""Records beyond the memory budget: sorted runs on scratch, cut alike by exact splitters, merged while exchanged.

Each rank reads its share in groups of units that fit, sorts each and writes it as a run. Splitters come from every k-th
record of the runs (regular sampling; Shi and Schaeffer, 1992), and every run is searched for each of them, so the
counts between splitters are exact. The key ranges between them are dealt out to ranks and, within a rank, to rounds
that fit into memory: a round brings a piece of every run of every rank, and the pieces are merged straight into the
output.

The order of equal keys is (run, place in the run), which is that of the input: `row` of a splitter counts sorted
places, from the first row of its run on.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import merge
from hpckit.errors import Interrupted, MemoryBudgetError
from hpckit.sinks.scratch import scratch_folder
from hpckit.sorting import record_splits as splits
from hpckit.sorting.record_checkpoints import RUN_UNITS_MAX, RecordCheckpoints
from hpckit.sorting.record_files import RecordFiles, Shape
from hpckit.sorting.record_output import Output, Writer
from hpckit.sorting.record_runs import HASH_MASK, Run, Sorting, Units, stride_of
from hpckit.sorting.scratch import RunStore, check_room, work_bytes
from hpckit.spmd.blocks import exchange_blocks, exchange_streams
from hpckit.spmd.failpoints import fail_point
from hpckit.spmd.memory import format_size

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

FIXED_BYTES = 56 << 20  # write buffers, slices on their way, and what messages cost
REFERENCE_BYTES = 32  # of the sorter, a record
LEAST_BYTES = 8 << 20  # less room for records than this is not worth the passes
BUCKETS_PER_ROUND = 8


class ExternalSort:
    """A sort by way of runs. They stay until `close`, so that what comes after them can be done again."""

    def __init__(
        self,
        ctx: Context,
        source: RecordFiles,
        shape: Shape,
        units: Units,
        budget_bytes: int,
        scratch: Path | str | None,
        saving: RecordCheckpoints | None,
    ) -> None:
        """Local. Without `saving` runs go to `scratch`."""
        self._ctx, self._source, self._shape, self._budget_bytes = ctx, source, shape, budget_bytes
        self._saving, self._scratch = saving, scratch_folder(scratch)
        self._store = RunStore(self._scratch, "the sorted records")
        self.runs: list[Run] = []
        self.units = units
        self.again = False  # whether there was an attempt before this one

    @property
    def held(self) -> set[int]:
        """The units of this rank's runs."""
        return set().union(*(run.units for run in self.runs))

    @property
    def spilled_bytes(self) -> int:
        """Bytes of this rank's runs."""
        return sum(run.rows for run in self.runs) * self._shape.record

    def close(self) -> None:
        """Give the disk back."""
        self.runs.clear()
        self._store.close()

    def open(self) -> None:
        """Take in what earlier starts have saved, at the first call. Collective."""
        if self._saving is not None:
            self.runs += self._saving.open()

    def take_over(self) -> None:
        """After a loss: take in what the lost ranks had saved; the rest is sorted again. Collective (survivors)."""
        self.again = True
        if self._saving is not None:
            self.runs += self._saving.take_over(self.held)

    def run(self, output: Output) -> tuple[int, int, int]:
        """Sort what nobody has sorted yet, then merge it all into `output`; (hashes read, hashes written, rows written)
        of this rank. Collective; may be repeated."""
        ctx, saving = self._ctx, self._saving
        with ctx.phase("runs"):
            output.moved(self.spilled_bytes, sum(run.rows for run in self.runs))
            self._make_runs(output)
        if saving is not None:
            saving.between_phases()
        with ctx.phase("split"):
            plan = _plan(ctx, self.runs, self._shape, self._budget_bytes, self._source.rows)
        with ctx.phase("merge"):
            first_row, rows = plan.own(ctx.rank)
            writer = output.at(first_row * self._shape.record, self._shape.record)
            try:
                written_hash = _merge_rounds(ctx, self.runs, plan, self._shape, writer, saving)
            finally:
                writer.abandon()
            ctx.count(bytes=rows * self._shape.record, rows=rows)
        return sum(run.checksum for run in self.runs) & HASH_MASK, written_hash, rows

    def _rows_max(self) -> int:
        """Records of a run at most. Local; MemoryBudgetError."""
        rows = _room_bytes(self._budget_bytes, self._shape) // (self._shape.record + REFERENCE_BYTES)
        return min(rows, RUN_UNITS_MAX * self.units.unit_rows) if self._saving else rows

    def _make_runs(self, output: Output) -> None:
        """Runs of the units that no rank has. Collective."""
        ctx = self._ctx
        missing = self._missing()
        try:
            with ctx.agreed("writing sorted runs"):
                rows_max = self._rows_max()
                groups = self.units.groups(missing, ctx.size, ctx.rank, rows_max)
                sizes = [stop - first for first, stop in map(self.units.span, groups)]
                self._check_room(len(missing), sum(sizes))
                rows_max = min(rows_max, max(sizes, default=0))
                sorting = Sorting(self._source, self._shape, rows_max, output.moved)
                for group in groups:
                    self.runs += self._runs_of(sorting, group, rows_max)
                    fail_point("run")
                    ctx.check()
                    if self._saving is not None:
                        self._saving.after_run()
        except Interrupted:
            assert self._saving is not None
            self._saving.commit()  # ranks that were ahead have something to save as well
            raise

    def _runs_of(self, sorting: Sorting, group: range, rows_max: int) -> list[Run]:
        """The rows of some neighbouring units in order: one run, several if they do not fit into memory at once."""
        runs = []
        first, end = self.units.span(group)
        if self._saving is not None and end - first > rows_max:
            raise self._too_small(end - first)
        for begin in range(first, end, rows_max):
            sorting.read(begin, min(end, begin + rows_max))
            stride = stride_of(rows_max)
            if self._saving is None:
                runs.append(self._spilled(sorting, group, begin, stride))
            else:
                runs.append(self._saving.write(sorting, group, begin, stride))
            self._ctx.count(bytes=sorting.rows * self._shape.record, rows=sorting.rows)
        return runs

    def _spilled(self, sorting: Sorting, group: range, first_row: int, stride: int) -> Run:
        file = self._store.new(f"records-{first_row}-{sorting.rows}")
        keys = sorting.keys(stride)
        for chunk in sorting.chunks():
            file.append(memoryview(chunk))  # type: ignore[arg-type]
        file.seal()
        return Run(file, group, first_row, sorting.rows, stride, keys, sorting.checksum)

    def _too_small(self, rows: int) -> MemoryBudgetError:
        size = format_size(rows * (self._shape.record + REFERENCE_BYTES))
        return MemoryBudgetError(
            f"--memory leaves no {size} to sort a unit of the input in, which is what is saved at a time; give more "
            "--memory or a smaller --split-size"
        )

    def _missing(self) -> list[int]:
        """The units that no rank holds, ascending. Collective."""
        if self._saving is None and not self.again:
            return list(range(self.units.count))
        held = set().union(*self._ctx.allgather(self.held))
        return [unit for unit in range(self.units.count) if unit not in held]

    def _check_room(self, missing: int, own_rows: int) -> None:
        """OutputError if what is to be written does not fit. Local."""
        if self._saving is None:
            size = own_rows * self._shape.record * self._ctx.node_size
            check_room(self._scratch, size, "the sorted records")
        elif self._ctx.is_root:
            size = missing * self.units.unit_rows * self._shape.record
            check_room(Path(self._saving.folder), size, "the sorted runs", "make room or name another --checkpoint")


def _room_bytes(budget_bytes: int, shape: Shape) -> int:
    """What is left of the budget for records. Local; MemoryBudgetError if that is next to nothing."""
    least = max(LEAST_BYTES, 4 * (shape.record + REFERENCE_BYTES))
    return work_bytes(budget_bytes, least, FIXED_BYTES)


@dataclass(frozen=True)
class _Plan:
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


def _plan(ctx: Context, runs: list[Run], shape: Shape, budget_bytes: int, rows: int) -> _Plan:
    """Splitters, exact counts, and who takes what in which round. Collective."""
    with ctx.agreed("planning the merge"):
        room = _room_bytes(budget_bytes, shape)
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
    return _Plan(cuts, rounds, counts)


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


def _merge_rounds(
    ctx: Context, runs: list[Run], plan: _Plan, shape: Shape, writer: Writer, saving: RecordCheckpoints | None
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

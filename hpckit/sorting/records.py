"""Sorting files of fixed-length records by their leading key bytes, stably: one sorted file from all ranks.

In memory a record moves four times: read, scattered into cache-sized buckets in the order of the ranks that will write
them, sent to its rank, and copied out when its bucket is sorted in the cache. What arrives takes the memory of what was
sent, so a rank needs little more than its share. Beyond the memory budget see records_external.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import records as kernel
from hpckit.partition import block_range
from hpckit.sorting import record_splits as splits
from hpckit.sorting.record_files import RecordFiles, Shape, open_records
from hpckit.sorting.record_output import Output, Writer, check_output
from hpckit.sorting.record_runs import units_of
from hpckit.sorting.scratch import resident_bytes
from hpckit.spmd.blocks import exchange_blocks
from hpckit.spmd.losses import in_spite_of_losses

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

ROUND_BYTES = 64 << 20  # one round of the exchange
ROUND_ROOM = 1.1  # a round brings about as much as it sends: room for both
READ_BYTES = 2 << 20  # one read, small enough that its key words are taken while it is in the cache
BUCKET_BYTES = 768 << 10  # with its output, within the second-level cache
BUCKETS_MAX = 2048  # write streams of the scatter
FIXED_BYTES = 64 << 20  # buffers and tables beside the records
UNITS_PER_RANK = 8  # that runs are made of, so that ranks have equal shares
HASH_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Summary:
    """What a sort did, over all ranks."""

    rows: int
    bytes: int
    spilled_bytes: int
    elapsed_s: float


def sort_records(
    ctx: Context,
    paths: Sequence[str],
    target: str,
    record_bytes: int,
    key_bytes: int,
    memory_bytes: int | None = None,
    scratch: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    checkpoint: str | None = None,
    checkpoint_every_s: float = 60.0,
    split_bytes: int = 64 << 20,
) -> Summary:
    """Write the records of all files of `paths` to `target`, ascending by their first `key_bytes` bytes, ties in the
    order of the input; the same bytes at any number of ranks. Collective.

    paths           names or globs of files of records of `record_bytes` bytes
    memory_bytes    peak resident size of a rank (None: 70 % of the node's memory over its ranks); records that do not
                    fit go to files in the folder `scratch` (None: $SLURM_TMPDIR, $TMPDIR or /tmp)
    progress        rank 0 shows how far the sort is
    checkpoint      a folder where sorted runs are saved now and then: the same call goes on from there, also on another
                    number of ranks. All records go by way of runs then, which lie there and not in `scratch`
    split_bytes     the input is dealt out and saved in units of at most this size

    In a job that survives losses the others sort again what a lost rank had not saved, and write the output again.

    Raises UserError (lengths), InputError, OutputError (target exists, disk full), MemoryBudgetError on all ranks; the
    target appears whole or not at all.
    """
    from hpckit.sorting.record_job import Job

    start_s = time.monotonic()
    shape = Shape(record_bytes, key_bytes)

    def plan() -> Job:
        source = ctx.on_root(open_records, list(paths), shape)
        ctx.on_root(check_output, target, overwrite, source.rows * shape.record)
        saving, units = None, units_of(source.rows, shape.record, split_bytes)
        if checkpoint is None:
            units = units.at_least(UNITS_PER_RANK * ctx.size)
        else:
            from hpckit.sorting.record_checkpoints import RecordCheckpoints

            saving = RecordCheckpoints(ctx, checkpoint, checkpoint_every_s, source, shape, units)
        return Job(ctx, source, shape, units, target, overwrite, ctx.memory_budget(memory_bytes), scratch, saving)

    job = in_spite_of_losses(ctx, plan)
    job.show_progress = progress
    spilled = in_spite_of_losses(ctx, job.run, job.take_over)
    job.close()
    return Summary(job.source.rows, job.source.rows * shape.record, spilled, time.monotonic() - start_s)


def fits_in_memory(ctx: Context, rows: int, shape: Shape, budget_bytes: int) -> bool:
    """Whether a rank's share can be sorted without scratch. Local."""
    begin, end = block_range(rows, ctx.size, 0)
    per_row = ROUND_ROOM * shape.record + 12
    return resident_bytes() + (end - begin) * per_row + 2 * ROUND_BYTES + FIXED_BYTES <= budget_bytes


def sort_in_memory(ctx: Context, source: RecordFiles, shape: Shape, output: Output) -> tuple[int, int, int]:
    """(hashes read, hashes written, rows written) of this rank. Collective."""
    begin, end = block_range(source.rows, ctx.size, ctx.rank)
    with ctx.phase("read"), ctx.agreed("reading the records"):
        blocks = _read(source, shape, begin, end, block_range(source.rows, ctx.size, 0)[1], output.moved)
        ctx.count(bytes=(end - begin) * shape.record, rows=end - begin)
    with ctx.phase("split"):
        wanted = splits.bucket_count(source.rows * shape.record, ctx.size, BUCKET_BYTES, BUCKETS_MAX)
        splitters = _splitters(ctx, blocks, shape, wanted)
        with ctx.agreed("assigning records to buckets"):
            counts = np.stack([_assign(block, shape, splitters) for block in blocks])
        everywhere = ctx.allreduce(counts.sum(axis=0), "sum")
        ends = splits.share(everywhere, ctx.size)
    pieces, read_hash = _exchange(ctx, blocks, counts, ends, shape)
    first, last = int(ends[ctx.rank - 1]) if ctx.rank else 0, int(ends[ctx.rank])
    rows = everywhere[first:last]
    with ctx.phase("write"), ctx.agreed("writing the records"):
        writer = output.at(int(everywhere[:first].sum()) * shape.record, shape.record)
        written_hash = _write_buckets(pieces, rows, shape, writer)
        ctx.count(bytes=int(rows.sum()) * shape.record, rows=int(rows.sum()))
    return read_hash, written_hash, int(rows.sum())


class _Block:
    """Some of a rank's records: what one round of the exchange sends, and then, in the same memory, what it brings."""

    __slots__ = ("first_row", "ids", "room", "rows", "words")

    def __init__(self, first_row: int, rows: int, record: int) -> None:
        self.first_row, self.rows = first_row, rows
        self.room = np.empty(int(rows * ROUND_ROOM + 1) * record, np.uint8)  # what is never used is never touched
        self.words = np.empty(rows, np.uint64)
        self.ids = np.empty(0, np.int32)


def _read(
    source: RecordFiles, shape: Shape, begin: int, end: int, rows_max: int, moved: Callable[[int, int], None]
) -> list[_Block]:
    """The records of rows begin … end-1, in as many blocks on every rank; `moved` is told of them. Local."""
    rows = max(1, ROUND_BYTES // shape.record)
    step = max(1, READ_BYTES // shape.record)
    blocks = []
    for start in range(begin, begin + max(1, rows_max), rows):
        block = _Block(start, max(0, min(end, start + rows) - start), shape.record)
        for row in range(0, block.rows, step):
            stop = min(block.rows, row + step)
            part = block.room[row * shape.record : stop * shape.record]
            source.read_into(part, start + row)
            kernel.key_words(part, shape.record, shape.key, block.words[row:stop])
            moved(len(part), stop - row)
        blocks.append(block)
    return blocks


def _splitters(ctx: Context, blocks: list[_Block], shape: Shape, buckets: int) -> splits.Splitters:
    """Splitters for about `buckets` buckets of all ranks' records. Collective."""
    with ctx.agreed("sampling"):
        wanted = -(-buckets * splits.SAMPLES_PER_BUCKET // ctx.size)
        mine = max(1, sum(block.rows for block in blocks))
        samples = [
            splits.sample(
                block.room[: block.rows * shape.record], shape, block.first_row, -(-wanted * block.rows // mine)
            )
            for block in blocks
        ]
        keys, rows = (np.concatenate(parts) for parts in zip(*samples, strict=True))
    return splits.find(ctx, keys, rows, buckets)


def _assign(block: _Block, shape: Shape, splitters: splits.Splitters) -> np.ndarray:
    """Gives each record of the block its bucket; returns the records of each bucket. Local."""
    counts = np.zeros(len(splitters) + 1, np.int64)
    block.ids = np.empty(block.rows, np.int32)
    kernel.assign(
        block.room[: block.rows * shape.record], shape.record, shape.key, block.words, block.first_row,
        splitters.words, splitters.keys.reshape(-1), splitters.rows, block.ids, counts,
    )  # fmt: skip
    block.words = block.words[:0].copy()
    return counts


@dataclass(frozen=True)
class _Piece:
    """Records that came from one rank in one round; `ends`: of each of this rank's buckets in it, bytes."""

    data: np.ndarray
    ends: list[int]

    def bucket(self, number: int) -> np.ndarray:
        return self.data[self.ends[number - 1] if number else 0 : self.ends[number]]


def _exchange(
    ctx: Context, blocks: list[_Block], counts: np.ndarray, ends: np.ndarray, shape: Shape
) -> tuple[list[_Piece], int]:
    """(what came, in the order of the input; sum of the hashes of what was sent). Collective.

    counts (blocks, buckets): records; ends: where each rank's buckets end. A block at a time is scattered by bucket,
    and what arrives takes the memory that the block had.
    """
    arriving = _arriving(ctx, counts, ends) * shape.record
    starts = np.concatenate([[0], ends[:-1]])
    grouped = np.empty(max(block.rows for block in blocks) * shape.record, np.uint8)
    pieces: list[list[_Piece]] = [[] for _ in range(ctx.size)]
    total = 0
    for number, block in enumerate(blocks):
        with ctx.phase("scatter"), ctx.agreed("scattering records"):
            filled = np.concatenate([[0], np.cumsum(counts[number])])
            sent = block.room[: block.rows * shape.record]
            total += kernel.scatter(sent, shape.record, block.ids, filled[:-1].copy(), grouped)
            bounds = (filled * shape.record).tolist()
            outgoing = [grouped[bounds[s] : bounds[e]] for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]
            sizes = arriving[:, number].sum(axis=1)
            room = block.room if int(sizes.sum()) <= len(block.room) else np.empty(int(sizes.sum()), np.uint8)
            incoming = [room[e - n : e] for e, n in zip(np.cumsum(sizes).tolist(), sizes.tolist(), strict=True)]
        with ctx.phase("exchange"):
            incoming[ctx.rank][:] = outgoing[ctx.rank]
            exchange_blocks(ctx, outgoing, incoming)
        for rank, data in enumerate(incoming):
            pieces[rank].append(_Piece(data, np.cumsum(arriving[rank, number]).tolist()))
        block.room = block.ids = np.empty(0, np.uint8)
    return [piece for of_rank in pieces for piece in of_rank], total & HASH_MASK


def _arriving(ctx: Context, counts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """int64 (ranks, blocks, own buckets): the records that come here, by source, block and bucket. Collective."""
    starts = [0, *ends[:-1].tolist()]
    parts = [np.ascontiguousarray(counts[:, s:e]) for s, e in zip(starts, ends.tolist(), strict=True)]
    arriving = np.empty((ctx.size, *parts[ctx.rank].shape), np.int64)
    arriving[ctx.rank] = parts[ctx.rank]
    outgoing = [part.reshape(-1).view(np.uint8) for part in parts]
    exchange_blocks(ctx, outgoing, [part.reshape(-1).view(np.uint8) for part in arriving])
    return arriving


def _write_buckets(pieces: list[_Piece], rows: np.ndarray, shape: Shape, writer: Writer) -> int:
    """Sort each bucket, whose parts lie in all pieces, and write it; returns the sum of hashes. Local."""
    total = 0
    try:
        sorter = kernel.Sorter(shape.record, shape.key, int(rows.max(initial=0)))
        for bucket in range(len(rows)):
            sorter.sort([piece.bucket(bucket) for piece in pieces])
            total += copy_sorted(sorter, writer)
    finally:
        writer.close()
    return total & HASH_MASK


def copy_sorted(sorter: kernel.Sorter, writer: Writer) -> int:
    """Write what the sorter holds, in order; returns the sum of hashes. Local."""
    row, total = 0, 0
    while row < sorter.rows:
        room = writer.room()
        stop = min(sorter.rows, row + len(room) // writer.record)
        total += sorter.gather(row, stop, room)
        writer.advance((stop - row) * writer.record)
        row = stop
    return total

"""All ranks write one generated log: pieces dealt out in rounds, sizes shared, each written where it belongs."""

from __future__ import annotations

import itertools
import os
import sys
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpckit.errors import InternalError, RankLost
from hpckit.generate.kinds import BLOCK_ROWS, Generator, Kind, end_us
from hpckit.generate.layout import Layout, Piece, check_target, pieces
from hpckit.sinks.target import remove
from hpckit.spmd.failpoints import fail_point
from hpckit.spmd.losses import in_spite_of_losses

if TYPE_CHECKING:
    from hpckit.checkpoint.session import Checkpoint
    from hpckit.sinks.target import Pending
    from hpckit.spmd import Context

GZIP_LEVEL = 6
GZIP_WBITS = 31  # a whole gzip member with header and checksum


@dataclass(frozen=True)
class Request:
    """What to generate: the output is a function of these fields and nothing else."""

    kind: Kind
    layout: Layout
    seed: int
    start_us: int
    malformed: float = 0.0


@dataclass(frozen=True)
class Summary:
    """What was written, over all ranks."""

    rows: int
    files: int
    bytes: int
    elapsed_s: float


def generate(
    ctx: Context,
    request: Request,
    overwrite: bool = False,
    checkpoint: str | None = None,
    checkpoint_every_s: float = 60.0,
) -> Summary:
    """Write the output of `request`; the same bytes at any number of ranks. Collective.

    It appears whole or not at all. With `checkpoint`, a folder, what was written stays under its temporary name when
    the job ends early, and the same call goes on from there. Raises OutputError (target exists, folder missing, disk
    full) on every rank. In a job that survives losses the ranks that are left begin again, or go on from what is saved.
    """
    started = time.monotonic()
    first_epoch = ctx.epoch

    def attempt() -> int:
        again = ctx.epoch > first_epoch  # what the first attempt may have named is written once more
        replace = ctx.on_root(check_target, request.layout, overwrite or again)
        if checkpoint is None:
            return _generate(ctx, request, replace, None)
        from hpckit.checkpoint.session import checkpoint as session

        with session(checkpoint, checkpoint_every_s, job=f"generate {request}", context=ctx) as saving:
            total = _generate(ctx, request, replace, saving)
            ctx.settle()
            saving.finish()
            return total

    total = in_spite_of_losses(ctx, attempt)
    return Summary(request.layout.rows, len(request.layout.names), total, time.monotonic() - started)


def _generate(ctx: Context, request: Request, replace: bool, saving: Checkpoint | None) -> int:
    """Write and name the output; returns its bytes. Collective."""
    state = (saving.restore() if saving else None) or {}
    if not ctx.on_root(os.path.exists, state.get("base", "")):
        state = {}  # never begun, or what was written is gone
    if state and ctx.is_root:
        text = f"hpckit: going on with {state['base']}: {state['rows']:,} of {request.layout.rows:,} rows are written"
        print(text, file=sys.stderr, flush=True)
    pending: Pending | None = None
    base = ""
    if ctx.is_root:
        pending = _prepare(request.layout, replace, state.get("base", ""), saving is not None)
        if saving:
            pending.leave()
    try:
        base = ctx.on_root(lambda: pending.path if pending else "")
        total = _write_pieces(ctx, request, base, saving, state)
        ctx.settle()
        ctx.on_root(_finish, pending, request)
        ctx.settle()
    except RankLost:
        if saving is None and base:
            remove(base)  # whoever made it may be gone
        raise
    finally:
        if pending:
            pending.discard()
    return total


def _prepare(layout: Layout, replace: bool, path: str, resumable: bool) -> Pending:
    """The temporary file or folder: empty, or what an earlier start left as `path`. Local, on root."""
    from hpckit.sinks.target import Pending, Target, output_errors, remove_leftovers

    target = Target(layout.path, "log", None, "")
    if resumable and not path:  # of starts that were killed before they had saved anything
        remove_leftovers(target)
    pending = Pending(target, replace, layout.is_folder, path)
    if layout.is_folder and not path:
        with output_errors(layout.path):
            for file in range(len(layout.names)):
                os.close(os.open(layout.place(pending.path, file), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return pending


def _write_pieces(ctx: Context, request: Request, base: str, saving: Checkpoint | None, state: dict[str, Any]) -> int:
    """Generate and write all pieces in rounds of one piece a rank; returns the bytes of all files. Collective.

    `state` says what an earlier start has written: how many pieces, rows, and bytes of each file.
    """
    from hpckit.spmd.progress import Progress

    with ctx.agreed("preparing the generator"):
        generator = Generator(request.kind, request.seed, request.start_us, request.malformed)
    line_bytes, rows = request.kind.line_bytes, request.layout.rows
    writer = _Writer(request.layout, base)
    sizes = list(state.get("sizes", [0] * len(request.layout.names)))
    done, rows_done = state.get("pieces", 0), state.get("rows", 0)
    queue = itertools.islice(pieces(request.layout, BLOCK_ROWS), done, None)
    # Rank 0 sees every round, so it knows of all ranks' rows, and not only of its own.
    with writer, Progress(ctx.rank, "generate", rows * line_bytes, rows * line_bytes) as progress:
        while turn := list(itertools.islice(queue, ctx.size)):
            _write_round(ctx, request, generator, writer, turn, sizes)
            fail_point("round")
            rows_round = sum(piece.rows - piece.skip for piece in turn)
            rows_done += rows_round
            done += len(turn)
            progress.update(rows_round * line_bytes, rows_round)
            if saving and saving.due():
                with ctx.agreed("syncing"):
                    writer.sync()
                saving.save(force=True, base=base, pieces=done, rows=rows_done, sizes=sizes)
    if rows_done != rows:
        raise InternalError(f"generated {rows_done} rows, {rows} were asked for")
    return sum(sizes)


def _write_round(
    ctx: Context, request: Request, generator: Generator, writer: _Writer, turn: list[Piece], sizes: list[int]
) -> None:
    """Rank r writes piece turn[r], if there is one; `sizes` of the files grow by what was written. Collective."""
    piece = turn[ctx.rank] if ctx.rank < len(turn) else None
    text: memoryview | bytes = b""
    with ctx.agreed("generating"):
        if piece:
            text = _text(generator, request, piece)
    offset = 0
    for rank, (other, size) in enumerate(zip(turn, ctx.allgather(len(text)), strict=False)):
        if rank == ctx.rank:
            offset = sizes[other.file]
        sizes[other.file] += size
    with ctx.agreed("writing"):
        if piece:
            writer.write(piece.file, offset, text)


def _text(generator: Generator, request: Request, piece: Piece) -> memoryview | bytes:
    """The bytes of a piece as they go to the file; valid until the next call."""
    text: memoryview | bytes = generator.text(piece.block, piece.skip, piece.rows)
    if piece.is_first and generator.header:
        text = generator.header + bytes(text)
    if not request.layout.gzip:
        return text
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WBITS)
    member = bytearray(packer.compress(text) + packer.flush())
    # The header's time is that of the last line: readers of logs without a year go by it.
    member[4:8] = (_modified_s(request, piece.file) & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(member)


def _modified_s(request: Request, file: int) -> int:
    """Second in which a file would have been written to last, had it been a real log."""
    return end_us(request.kind, request.start_us, request.layout.first_row(file + 1)) // 1_000_000


class _Writer:
    """Writes at offsets of the files of a layout; keeps the last file open."""

    def __init__(self, layout: Layout, base: str) -> None:
        self._layout, self._base = layout, base
        self._file, self._fd = -1, -1
        self._unsynced: set[int] = set()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def write(self, file: int, offset: int, text: memoryview | bytes) -> None:
        """All of `text` to a file at `offset`. OutputError if the disk is full."""
        from hpckit.sinks.target import output_errors

        with output_errors(self._layout.path, offset + len(text)):
            if file != self._file:
                self.close()
                self._fd = os.open(self._layout.place(self._base, file), os.O_WRONLY)
                self._file = file
                self._unsynced.add(file)
            rest = memoryview(text)
            while rest:
                written = os.pwrite(self._fd, rest, offset)
                rest, offset = rest[written:], offset + written

    def sync(self) -> None:
        """See that what was written is on disk. OutputError if the disk refuses."""
        from hpckit.sinks.target import output_errors, sync_path

        self.close()
        with output_errors(self._layout.path):
            for file in sorted(self._unsynced):
                sync_path(self._layout.place(self._base, file))
        self._unsynced.clear()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._file = self._fd = -1


def _finish(pending: Pending, request: Request) -> None:
    """Date the files, sync them and give the output its name. Local, on root."""
    from hpckit.sinks.target import output_errors, sync_path

    layout = request.layout
    with output_errors(layout.path):
        for file in range(len(layout.names)):
            path = layout.place(pending.path, file)
            modified_s = _modified_s(request, file)
            sync_path(path)
            os.utime(path, (modified_s, modified_s))
    pending.commit()

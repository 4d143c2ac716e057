"""CSV and JSON lines by all ranks: each encodes its rows, prefix sums give the offsets, all write into one file."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpckit.errors import MemoryBudgetError
from hpckit.sinks.blocks import Regrouping
from hpckit.sinks.encode import TextEncoder
from hpckit.sinks.layout import Layout
from hpckit.sinks.scratch import ScratchFile, pwrite_all
from hpckit.sinks.target import Target, output_errors

if TYPE_CHECKING:
    from hpckit.spmd.context import Context
    from hpckit.tables.spool import Spool

MEMORY_BYTES_MIN = 32 << 20
COPY_BYTES = 4 << 20
COMPRESSED_BLOCK_ROWS = 1 << 17


class EncodedChunks:
    """Encoded text by ordinal, appended in any number of pieces; beyond `budget_bytes` it lies on scratch disk."""

    def __init__(self, scratch: Path | None, budget_bytes: int) -> None:
        self.sizes: dict[int, int] = {}
        self._pieces: dict[int, list[bytes | tuple[int, int]]] = {}
        self._memory_bytes = 0
        self._budget_bytes = max(budget_bytes, MEMORY_BYTES_MIN)
        self._scratch = scratch
        self._file: ScratchFile | None = None

    def append(self, ordinal: int, piece: memoryview | bytes) -> None:
        """Add bytes to chunk `ordinal`."""
        pieces = self._pieces.setdefault(ordinal, [])
        self.sizes[ordinal] = self.sizes.get(ordinal, 0) + len(piece)
        if self._memory_bytes + len(piece) <= self._budget_bytes:
            self._memory_bytes += len(piece)
            pieces.append(bytes(piece))
            return
        if self._file is None:
            if self._scratch is None:
                raise MemoryBudgetError(
                    f"the text of the output takes more than {self._budget_bytes:,} bytes on this rank; "
                    "give more --memory or a folder to spill to with --scratch"
                )
            self._file = ScratchFile(self._scratch, "the text of the output")
        offset = self._file.append(piece)
        last = pieces[-1] if pieces else None
        if isinstance(last, tuple) and last[0] + last[1] == offset:
            pieces[-1] = (last[0], last[1] + len(piece))
        else:
            pieces.append((offset, len(piece)))

    def read(self, ordinal: int) -> Iterator[bytes]:
        """The bytes of a chunk in pieces of at most 4 MiB."""
        for piece in self._pieces[ordinal]:
            if isinstance(piece, bytes):
                yield piece
                continue
            assert self._file is not None
            offset, size = piece
            for start in range(0, size, COPY_BYTES):
                yield self._file.read(offset + start, min(COPY_BYTES, size - start))

    def close(self) -> None:
        """Give memory and disk back."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()


def write_text(ctx: Context, spool: Spool, target: Target, path: str) -> None:
    """Write the rows of all ranks to `path`, an empty file made by root. Collective."""
    encoder = TextEncoder(spool.schema, target.kind)
    chunks = EncodedChunks(spool.scratch, spool.budget_bytes // 4)
    try:
        header = encoder.header()
        if target.compression:
            header = compressor(target.compression)(header)
            _encode_compressed(ctx, spool, encoder, chunks, compressor(target.compression))
        else:
            with ctx.agreed(f"encoding {target.path}"):
                for ordinal in spool.ordinals():
                    for batch in spool.read(ordinal):
                        for piece in encoder.encode(batch):
                            chunks.append(ordinal, piece)
        _write_chunks(ctx, chunks, header, target.path, path)
    finally:
        chunks.close()


def compressor(kind: str) -> Callable[[bytes], bytes]:
    """A function from bytes to one compressed member (gzip) or frame (zstd); members may follow each other."""
    if kind == "gzip":

        def gzip(data: bytes) -> bytes:
            member = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: gzip's frame; its time stays 0
            return member.compress(data) + member.flush()

        return gzip
    import zstandard

    return zstandard.ZstdCompressor(level=3).compress


def _encode_compressed(
    ctx: Context, spool: Spool, encoder: TextEncoder, chunks: EncodedChunks, compress: Callable[[bytes], bytes]
) -> None:
    """Collective. One member for each 2^17 rows of the canonical order, so that the bytes depend on the rows alone."""
    blocks = Regrouping(ctx, spool, lambda block: block % ctx.size, COMPRESSED_BLOCK_ROWS)
    for received in blocks:
        with ctx.agreed("compressing the output"):
            if received is not None:
                block, table = received
                text = b"".join(bytes(p) for batch in table.to_batches() for p in encoder.encode(batch))
                chunks.append(block, compress(text))


def _write_chunks(ctx: Context, chunks: EncodedChunks, header: bytes, name: str, path: str) -> None:
    """Collective. All ranks write their chunks at their offsets behind `header`."""
    ordinals = np.array(sorted(chunks.sizes), np.int64)
    sizes = np.array([chunks.sizes[int(o)] for o in ordinals], np.int64).reshape(-1, 1)
    layout = Layout(ctx, ordinals, sizes)
    total_bytes = len(header) + int(layout.totals[0])
    with ctx.agreed(f"writing {name}"), output_errors(name, total_bytes):
        if ctx.is_root or len(ordinals):
            fd = os.open(path, os.O_WRONLY)
            try:
                if ctx.is_root:
                    pwrite_all(fd, header, 0)
                for ordinal in ordinals.tolist():
                    offset = len(header) + int(layout.start(ordinal)[0])
                    for piece in chunks.read(ordinal):
                        pwrite_all(fd, piece, offset)
                        offset += len(piece)
                os.fsync(fd)
            finally:
                os.close(fd)

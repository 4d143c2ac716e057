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


class PlainChunks:
    """The text of a spool by ordinal: encoded once to learn its size, kept up to `budget_bytes`, else encoded again.

    Encoding is faster than a disk, so what is not kept is not spilled either.
    """

    def __init__(self, spool: Spool, encoder: TextEncoder, budget_bytes: int) -> None:
        """Local. Encodes everything once."""
        self.sizes: dict[int, int] = {}
        self._spool = spool
        self._encoder = encoder
        self._kept: dict[int, list[bytes]] = {}
        left = max(budget_bytes, MEMORY_BYTES_MIN)
        for ordinal in spool.ordinals():
            size, kept = 0, []
            for piece in self._encoded(ordinal):
                size += len(piece)
                if size <= left:
                    kept.append(bytes(piece))
                else:
                    kept.clear()
            self.sizes[ordinal] = size
            if size <= left:
                self._kept[ordinal] = kept
                left -= size

    def read(self, ordinal: int) -> Iterator[memoryview | bytes]:
        """The bytes of a chunk in pieces; a piece is valid until the next one is asked for."""
        return iter(self._kept[ordinal]) if ordinal in self._kept else self._encoded(ordinal)

    def _encoded(self, ordinal: int) -> Iterator[memoryview]:
        for batch in self._spool.read(ordinal):
            yield from self._encoder.encode(batch)


class StoredChunks:
    """Compressed text by block number; beyond `budget_bytes` it lies on scratch disk."""

    def __init__(self, scratch: Path | None, budget_bytes: int) -> None:
        self.sizes: dict[int, int] = {}
        self._places: dict[int, bytes | int] = {}
        self._left = max(budget_bytes, MEMORY_BYTES_MIN)
        self._scratch = scratch
        self._file: ScratchFile | None = None

    def put(self, block: int, data: bytes) -> None:
        """Keep the text of a block."""
        self.sizes[block] = len(data)
        if len(data) <= self._left:
            self._left -= len(data)
            self._places[block] = data
            return
        if self._file is None:
            if self._scratch is None:
                raise MemoryBudgetError(
                    "the compressed output does not fit this rank's share of memory; "
                    "give more --memory or a folder to spill to with --scratch"
                )
            self._file = ScratchFile(self._scratch, "the compressed output")
        self._places[block] = self._file.append(data)

    def read(self, block: int) -> Iterator[memoryview | bytes]:
        """The bytes of a block in pieces of at most 4 MiB."""
        place = self._places[block]
        if isinstance(place, bytes):
            yield place
            return
        assert self._file is not None
        for start in range(0, self.sizes[block], COPY_BYTES):
            yield self._file.read(place + start, min(COPY_BYTES, self.sizes[block] - start))

    def close(self) -> None:
        """Give memory and disk back."""
        self._places.clear()
        if self._file is not None:
            self._file.close()


def write_text(ctx: Context, spool: Spool, target: Target, path: str) -> None:
    """Write the rows of all ranks to `path`, an empty file made by root. Collective."""
    encoder = TextEncoder(spool.schema, target.kind)
    header = encoder.header()
    if target.compression is None:
        with ctx.agreed(f"encoding {target.path}"):
            chunks = PlainChunks(spool, encoder, spool.budget_bytes // 4)
        _write_chunks(ctx, chunks, header, target.path, path)
        return
    compress = compressor(target.compression)
    stored = StoredChunks(spool.scratch, spool.budget_bytes // 4)
    try:
        _encode_compressed(ctx, spool, encoder, stored, compress)
        _write_chunks(ctx, stored, compress(header), target.path, path)
    finally:
        stored.close()


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
    ctx: Context, spool: Spool, encoder: TextEncoder, chunks: StoredChunks, compress: Callable[[bytes], bytes]
) -> None:
    """Collective. One member for each 2^17 rows of the canonical order, so that the bytes depend on the rows alone."""
    blocks = Regrouping(ctx, spool, lambda block: block % ctx.size, COMPRESSED_BLOCK_ROWS)
    for received in blocks:
        with ctx.agreed("compressing the output"):
            if received is not None:
                block, table = received
                text = b"".join(bytes(p) for batch in table.to_batches() for p in encoder.encode(batch))
                chunks.put(block, compress(text))


def _write_chunks(ctx: Context, chunks: PlainChunks | StoredChunks, header: bytes, name: str, path: str) -> None:
    """Collective. All ranks write their chunks at their offsets behind `header`."""
    ordinals = np.array(sorted(chunks.sizes), np.int64)
    sizes = np.array([chunks.sizes[int(o)] for o in ordinals], np.int64).reshape(-1, 1)
    layout = Layout(ctx, ordinals, sizes)
    total_bytes = len(header) + int(layout.totals[0])
    with ctx.agreed(f"writing {name}"), output_errors(name, total_bytes, path):
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

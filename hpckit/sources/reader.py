"""Blocks of a file into one reused buffer: plain files by byte range, compressed ones as a stream."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from hpckit._kernels.scan import PADDING
from hpckit.errors import InputError
from hpckit.sources.files import InputFile

BLOCK_BYTES = 1 << 20  # small enough to stay in the caches of two ranks that share one, 4 MiB cost 5-10 % more
PIECE_BYTES = 128 << 10


class BlockReader:
    """A window on a file: `buffer[:limit]` holds its bytes from `base` on; `refill` moves the window forward.

    `damage` tells why a compressed file ended before its time ("" if it did not).
    """

    def __init__(self) -> None:
        self.buffer = _buffer(2 * BLOCK_BYTES)
        self.base = 0
        self.limit = 0
        self.final = False
        self.damage = ""
        self.bytes_read = 0
        self._file: BinaryIO | None = None
        self._size = 0
        self._compression = ""

    def open(self, file: InputFile, begin: int) -> None:
        """Start at byte `begin` (0 for a compressed file); reads up to the size the file had when the job began."""
        self.close()
        try:
            raw = open(file.path, "rb", buffering=0)  # noqa: SIM115 - held until close()
            self._file = _decompressor(raw, file)
        except OSError as error:
            raise InputError(f"{file.path}: cannot be read: {error.strerror}") from None
        self._path, self._size = file.path, file.size
        self._compression = file.compression
        self.base, self.limit, self.final, self.damage = begin, 0, False, ""
        if not self._compression:
            self._read: Callable[[memoryview], int] = self._read_range
        else:
            self._read = self._read_stream
            # one step of the decompressor at a time: what it had in hand when it met the damage would be lost
            self._read_piece = getattr(self._file, "readinto1", None) or self._file.readinto  # type: ignore[attr-defined]

    def close(self) -> None:
        """Let go of the file; the buffer stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def refill(self, keep_from: int) -> None:
        """Drop what lies before `keep_from`, append at least one more block; `final` at the file's end."""
        kept = self.limit - keep_from
        if kept + BLOCK_BYTES + PADDING > len(self.buffer):
            larger = _buffer(2 * (kept + BLOCK_BYTES))
            larger[:kept] = self.buffer[keep_from : self.limit]
            self.buffer = larger
        elif keep_from:
            self.buffer[:kept] = self.buffer[keep_from : self.limit]  # NumPy copes with the overlap
        self.base += keep_from
        self.limit = kept
        want = min(BLOCK_BYTES, len(self.buffer) - PADDING - kept)
        got = self._read(self.buffer.data[kept : kept + want])
        self.limit += got
        self.bytes_read += got
        self.buffer[self.limit : self.limit + PADDING] = 0

    def _read_range(self, target: memoryview) -> int:
        assert self._file is not None
        at = self.base + self.limit
        want = min(len(target), self._size - at)
        got = 0
        while got < want:
            try:
                n = os.preadv(self._file.fileno(), [target[got:want]], at + got)
            except OSError as error:
                raise InputError(f"{self._path}, byte {at + got}: read failed: {error.strerror}") from None
            if n == 0:
                raise InputError(
                    f"{self._path}: shrank from {self._size} to {at + got} bytes while it was read; run the job again"
                )
            got += n
        self.final = at + got >= self._size
        return got

    def _read_stream(self, target: memoryview) -> int:
        assert self._file is not None
        got = 0
        while got < len(target):
            try:
                n = self._read_piece(target[got : got + PIECE_BYTES])
            except _damage_errors(self._compression) as error:
                self.damage = f"compressed data is damaged or ends early: {error}"
                n = 0
            if not n:
                self.final = True
                break
            got += n
        return got


def _buffer(size: int) -> np.ndarray:
    """Page-aligned bytes that the kernel is asked to back with huge pages: first touch of small ones is slow."""
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def _damage_errors(compression: str) -> tuple[type[Exception], ...]:
    if compression == "xz":
        import lzma

        return EOFError, OSError, lzma.LZMAError
    return EOFError, OSError, zlib.error


def _decompressor(raw: BinaryIO, file: InputFile) -> BinaryIO:
    if file.compression == "gzip":
        import gzip

        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if file.compression == "bz2":
        import bz2

        return bz2.BZ2File(raw)  # type: ignore[return-value]
    if file.compression == "xz":
        import lzma

        return lzma.LZMAFile(raw)  # type: ignore[return-value]
    if file.compression == "zstd":
        return _zstd(raw)
    return raw


def _zstd(raw: BinaryIO) -> BinaryIO:
    import pyarrow as pa  # its reader tells a truncated stream from a complete one, and reads on over several frames

    return pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")

"""One output file that all ranks write at their places, whole or not at all; past the page cache where that is quicker.

The output of a large sort is written once and read by nobody meanwhile. On a local disk it goes there directly
(O_DIRECT), from a thread that waits while the next records are sorted. Measured on ext4 in a virtual machine: to fill a
gigabyte of page cache takes a core 0.3 s, and 3.5 s where the host has to find the memory first; writing it past the
page cache takes 0.8 s in which the core is free.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from hpckit.errors import OutputError, RankLost
from hpckit.sinks.scratch import free_bytes, pwrite_all
from hpckit.sinks.target import Pending, Target, output_errors, remove, remove_leftovers
from hpckit.spmd.failpoints import fail_point

if TYPE_CHECKING:
    from hpckit.spmd.context import Context
    from hpckit.spmd.progress import Progress

WRITE_BYTES = 8 << 20  # one write; ends at a multiple of it
WRITES_AHEAD = 2  # buffers on their way to the disk
BLOCK_BYTES = 4096  # what a direct write is a multiple of
DIRECT_BYTES_MIN = 64 << 20  # smaller outputs are likely read again at once: they stay in the page cache
DIRECT_FILE_SYSTEMS = ("ext4", "xfs")


def check_output(path: str, overwrite: bool, needed_bytes: int = 0) -> None:
    """Refuse now what would fail at the end. Local; for root, before any work. Raises OutputError."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise OutputError(f"{path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {folder} cannot be written by this user; choose another")
    if os.path.isdir(path):
        raise OutputError(f"{path}: is a folder; name a file")
    if os.path.lexists(path):
        if not overwrite:
            raise OutputError(f"{path}: exists already; remove it, choose another name or give --overwrite")
        if not os.path.isfile(path):
            raise OutputError(f"{path}: is no file; choose another name")
    free = free_bytes(folder)
    if needed_bytes > free:
        raise OutputError(
            f"{path}: {needed_bytes:,} bytes needed, {free:,} free in {folder}; make room or choose another folder"
        )


class Output:
    """A file that all ranks write and that appears when all are done.

    with Output(ctx, path, size_bytes, overwrite) as output:      collective
        output.at(offset, record) … a Writer                      local
        output.commit()                                           collective
    """

    def __init__(self, ctx: Context, path: str, size_bytes: int, overwrite: bool, resumable: bool = False) -> None:
        """Collective. `resumable`: what earlier starts of this job have left is removed."""
        self._ctx, self.path, self.size_bytes = ctx, os.path.realpath(path), size_bytes
        self._pending: Pending | None = None
        self._fd = self._direct_fd = -1
        self.progress: Progress | None = None  # told of what writers take
        self._temporary, direct = ctx.on_root(self._create, overwrite, resumable)
        try:
            with ctx.agreed("opening the output"), output_errors(self.path):
                self._fd = os.open(self._temporary, os.O_RDWR)
                if direct:
                    self._direct_fd = _open_direct(self._temporary)
        except BaseException:
            self.discard()
            raise
        fail_point("output")

    def _create(self, overwrite: bool, resumable: bool) -> tuple[str, bool]:
        """(name of the temporary file, whether it is written directly). Local, on root."""
        target = Target(self.path, "records", None, "")
        if resumable:
            remove_leftovers(target)
        self._pending = Pending(target, overwrite)
        temporary = self._pending.path
        direct = self.size_bytes >= DIRECT_BYTES_MIN and file_system(temporary) in DIRECT_FILE_SYSTEMS
        if direct:  # ranks write into blocks that are there: extending the file would make them wait for each other
            try:
                with output_errors(self.path, self.size_bytes, temporary):
                    fd = os.open(temporary, os.O_WRONLY)
                    try:
                        os.posix_fallocate(fd, 0, self.size_bytes)
                    finally:
                        os.close(fd)
            except OutputError:
                self._pending.discard()
                raise
        return temporary, direct

    def discard(self) -> None:
        """Remove the temporary file. Local: root's."""
        if self._pending is not None:
            self._pending.discard()

    def at(self, offset: int, record: int) -> Writer:
        """A writer of records from `offset` (bytes) on."""
        return Writer(self, offset, record, self._direct_fd >= 0)

    def write(self, data: np.ndarray, offset: int) -> None:
        """All of `data` (uint8) at `offset`. Local; OutputError when the disk is full.

        Whole blocks go directly if the output does and `data` lies in memory as in the file, to the byte of a block.
        """
        view = memoryview(data)  # type: ignore[arg-type]
        head = min(len(view), -offset % BLOCK_BYTES)
        body = (len(view) - head) // BLOCK_BYTES * BLOCK_BYTES if self._direct_fd >= 0 else 0
        with output_errors(self.path, self.size_bytes, f"/proc/self/fd/{self._fd}"):
            if body and (data.ctypes.data + head) % BLOCK_BYTES == 0:
                pwrite_all(self._fd, view[:head], offset)
                self._write_blocks(view[head : head + body], offset + head)
                view, offset = view[head + body :], offset + head + body
            pwrite_all(self._fd, view, offset)

    def _write_blocks(self, view: memoryview, offset: int) -> None:
        try:
            pwrite_all(self._direct_fd, view, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            pwrite_all(self._fd, view, offset)  # a device with larger blocks than ours

    def moved(self, size: int, rows: int) -> None:
        """So many bytes and records more were read or sorted. Local."""
        if self.progress is not None:
            self.progress.update(size, rows)

    def commit(self) -> None:
        """Sync what each rank wrote and give the file its name. Collective."""
        with self._ctx.agreed("syncing the output"), output_errors(self.path):
            os.fsync(self._fd)
        fail_point("output.whole")
        self._ctx.settle()
        self._ctx.on_root(self._rename)
        self._ctx.settle()

    def _rename(self) -> None:
        assert self._pending is not None
        self._pending.commit()
        fail_point("output.named")

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, *failure: object) -> None:
        for fd in (self._fd, self._direct_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._direct_fd = -1
        if kind is not None and issubclass(kind, RankLost):
            remove(self._temporary)  # whoever made it may be gone
        self.discard()


class Writer:
    """Records in order to one place of an output, in writes that end at multiples of WRITE_BYTES. Local.

    `room()` is where the next records go, `advance(n)` says that n bytes of it are filled, `close()` writes the rest.
    Buffers lie in memory as their bytes do in the blocks of the file.
    """

    def __init__(self, output: Output, offset: int, record: int, behind: bool) -> None:
        """`behind`: a thread writes while the next buffer is filled."""
        self._output, self._offset, self.record = output, offset, record
        size = -(-(WRITE_BYTES + BLOCK_BYTES + record) // BLOCK_BYTES) * BLOCK_BYTES
        self._buffers = [np.frombuffer(mmap.mmap(-1, size), np.uint8) for _ in range(1 + WRITES_AHEAD * behind)]
        self._pool = ThreadPoolExecutor(1) if behind else None
        self._writes: deque[Future[None]] = deque()
        self._begin = self._end = offset % BLOCK_BYTES  # of what the first buffer holds

    def room(self) -> np.ndarray:
        """Room for whole records, at least one."""
        left = self._limit() - (self._end - self._begin)
        return self._buffers[0][self._end : self._end + -(-left // self.record) * self.record]

    def advance(self, size: int) -> None:
        """The first `size` bytes of `room()` have been filled."""
        self._end += size
        self._output.moved(size, size // self.record)
        while self._end - self._begin >= (limit := self._limit()):  # more than once if records are longer than writes
            self._flush(limit)

    @property
    def offset(self) -> int:
        """Where the next record goes, bytes from the start of the output."""
        return self._offset + self._end - self._begin

    def close(self) -> None:
        """Write what is left and wait for it. OutputError if any write failed."""
        try:
            self._flush(self._end - self._begin)
            while self._writes:
                self._writes.popleft().result()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """End the thread; what was not written is not written. May be called after `close`."""
        if self._pool is not None:
            self._pool.shutdown()

    def _limit(self) -> int:
        return WRITE_BYTES - self._offset % WRITE_BYTES

    def _flush(self, size: int) -> None:
        """Write the first `size` bytes; what is behind them begins the next buffer."""
        buffer, stop = self._buffers[0], self._begin + size
        data, rest, at = buffer[self._begin : stop], buffer[stop : self._end], self._offset
        self._offset += size
        self._begin = self._offset % BLOCK_BYTES
        self._end = self._begin + len(rest)
        if self._pool is None:
            self._output.write(data, at)
            buffer[self._begin : self._end] = rest.copy()
            return
        if len(self._writes) == WRITES_AHEAD:
            self._writes.popleft().result()
        self._writes.append(self._pool.submit(self._output.write, data, at))
        self._buffers.append(self._buffers.pop(0))
        self._buffers[0][self._begin : self._end] = rest


def _open_direct(path: str) -> int:
    """A descriptor for direct writes, -1 where the file system has none after all. Local."""
    try:
        return os.open(path, os.O_WRONLY | os.O_DIRECT)
    except OSError:
        return -1


def file_system(path: str) -> str:
    """The kind of file system that `path` is on, "" where the system does not say. Local."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return ""
    return next((fields[fields.index("-") + 1] for fields in lines if fields[2] == wanted), "")

"""Where to spill, and a private file for what is spilled: unlinked at once, so nothing is ever left behind."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Mapping
from pathlib import Path

from hpckit.errors import InternalError, OutputError

WRITE_BYTES_MAX = 1 << 30  # one write(2) moves less than 2 GiB


def scratch_folder(asked: Path | str | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Where to spill: what was asked for, or the node-local folder that the batch system or the user names."""
    environ = os.environ if environ is None else environ
    return Path(asked or environ.get("SLURM_TMPDIR") or environ.get("TMPDIR") or "/tmp")


class ScratchFile:
    """Append-only bytes in a file without a name in `folder`; the system frees it when the process ends, however."""

    def __init__(self, folder: Path | str, purpose: str) -> None:
        """Local. Raises OutputError when `folder` cannot hold a file; `purpose` goes into error texts."""
        import tempfile  # with what it imports 5 ms of a start: few commands spill

        self.folder = str(folder)
        self.purpose = purpose
        self.size_bytes = 0
        try:
            os.makedirs(self.folder, exist_ok=True)
            self._fd, name = tempfile.mkstemp(prefix="hpckit-", suffix=".spill", dir=self.folder)
            os.unlink(name)
        except OSError as error:
            raise OutputError(
                f"{self.folder}: no scratch file for {purpose} can be made there ({error.strerror}); "
                "name a writable folder with --scratch"
            ) from error

    def append(self, data: bytes | memoryview) -> int:
        """Write `data` at the end and return its offset. Raises OutputError when the disk is full."""
        start = self.size_bytes
        try:
            pwrite_all(self._fd, data, start)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise OutputError(f"{self.folder}: scratch file for {self.purpose}: {error.strerror}") from error
            raise OutputError(
                f"{self.folder}: disk full while spilling {self.purpose}: {start + len(data):,} bytes needed so far, "
                f"{free_bytes(self.folder):,} free; give more --memory or a larger --scratch folder"
            ) from error
        self.size_bytes = start + len(data)
        return start

    def read(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset`."""
        parts = []
        while size > 0:
            part = os.pread(self._fd, min(size, WRITE_BYTES_MAX), offset)
            if not part:
                raise InternalError(f"{self.folder}: scratch file of {self.purpose} ends {size:,} bytes early")
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def mapped(self) -> memoryview:
        """All bytes so far, as pages of the file that the system may take back at any time. Local."""
        if self.size_bytes == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(self._fd, self.size_bytes, prot=mmap.PROT_READ))

    def close(self) -> None:
        """Give the space back. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()


def pwrite_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; calls end at multiples of 1 MiB, so that ranks rarely share a file system block.

    A file system that accepts part of a write is asked again; an error of the system is raised as OSError.
    """
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        stop = min(len(view), done + WRITE_BYTES_MAX)
        if stop < len(view):
            stop -= (offset + stop) % (1 << 20)
        written = os.pwrite(fd, view[done:stop], offset + done)
        if written <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += written


def free_bytes(folder: str) -> int:
    """Bytes an ordinary user may still write in the file system of `folder`."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize

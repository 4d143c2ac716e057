"""Every call to the system that this room makes on files, one function each, so that tests can fail or record them."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

WRITE_BYTES_MAX = 1 << 30  # one write(2) or read(2) moves less than 2 GiB


def make_folder(path: str) -> None:
    """Make `path` and the folders above it, where they are missing, each synced into its parent."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(os.path.abspath(path))
    make_folder(parent)
    with contextlib.suppress(FileExistsError):  # another rank was faster
        os.mkdir(path)
    sync_folder(parent)


def create(path: str) -> int:
    """A new file for writing at its end, and for reading; whatever had the name is gone."""
    return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o666)


def write(fd: int, data: memoryview) -> None:
    """Write all of `data` at the end."""
    done = 0
    while done < len(data):
        written = os.write(fd, data[done : done + WRITE_BYTES_MAX])
        if written <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += written


def begin_sync(fd: int, start: int, size: int) -> None:
    """Have the system begin to bring these bytes to disk, while more are written. A hint.

    Linux starts to write dirty pages that are said not to be needed, and keeps them until that is done.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.posix_fadvise(fd, start, size, os.POSIX_FADV_DONTNEED)


def sync(fd: int) -> None:
    """The file's content is on disk when this returns."""
    os.fsync(fd)


def close(fd: int) -> None:
    """Close; the error of a network file system that reports a failed write only now is raised."""
    os.close(fd)


def rename(source: str, target: str) -> None:
    """Give a file its name at once."""
    os.rename(source, target)


def sync_folder(path: str) -> None:
    """The names in the folder are on disk when this returns."""
    sync_path(path)


def sync_path(path: str) -> None:
    """fsync of a file or folder; file systems that cannot sync a folder are taken as they are."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove a file, present or not."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def names(folder: str) -> list[str]:
    """The names in a folder, sorted; none if there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def open_to_read(path: str) -> int:
    """An existing file for reading from front to back; the system is told to fetch all of it now."""
    fd = os.open(path, os.O_RDONLY)
    with contextlib.suppress(OSError, AttributeError):  # a hint, which some systems do not know
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
    return fd


def read(fd: int, into: np.ndarray) -> int:
    """Read on into a uint8 array; returns how many bytes came, 0 at the end."""
    return os.readv(fd, [into[:WRITE_BYTES_MAX].data])


def kind(path: str) -> str:
    """What has this name: "file", "folder" or "" for nothing."""
    if os.path.isdir(path):
        return "folder"
    return "file" if os.path.lexists(path) else ""


def size_of(path: str) -> int:
    """Size of a file in bytes."""
    return os.stat(path).st_size


def changed_s(path: str) -> float:
    """When a file was written, seconds since 1970."""
    return os.stat(path).st_mtime


def free_bytes(folder: str) -> int:
    """Bytes an ordinary user may still write there."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def now_s() -> float:
    """Seconds since 1970, for ages that people read."""
    return time.time()

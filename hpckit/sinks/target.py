"""Where an output goes: the kind by its ending, checks before any work, and a whole file or none at the end."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence

from hpckit.checkpoint.files import sync_path
from hpckit.errors import OutputError
from hpckit.frozen import frozen
from hpckit.sinks.scratch import free_bytes

KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
PART_NAME = re.compile(r"part-\d{5,}\.(parquet|arrow|feather)")

_pending: set[str] = set()  # temporary names of this process, removed at exit if an error left them


@frozen
class Target:
    """An output path, its kind (csv, tsv, jsonl, parquet, arrow, hdf5) and the compression of the whole, if any."""

    path: str
    kind: str
    compression: str | None
    ending: str

    @property
    def folder(self) -> str:
        return os.path.dirname(self.path) or "."


def target_of(path: str | os.PathLike[str]) -> Target:
    """The target that `path` names. Local. OutputError for an ending that is not known."""
    path = os.fspath(path)
    if os.path.islink(path):
        path = os.path.realpath(path)
    stem, ending = os.path.splitext(path)
    compression = COMPRESSIONS.get(ending.lower())
    if compression:
        ending = os.path.splitext(stem)[1]
    kind = KINDS.get(ending.lower())
    if kind is None or not os.path.basename(stem) or (compression and kind not in ("csv", "tsv", "jsonl")):
        known = " ".join(KINDS)
        raise OutputError(
            f"{path}: the ending names no kind of output; use one of {known} (text also with .gz or .zst behind)"
        )
    return Target(path, kind, compression, ending.lower())


def check_target(path: str | os.PathLike[str], overwrite: bool = False) -> Target:
    """Refuse now what would fail at the end of the work. Local; call it on root, before reading any input.

    Raises OutputError when the ending is not known, the folder is missing or cannot be written, or the target exists
    and `overwrite` is not set (or is a folder of anything but the parts of an earlier output).
    """
    target = target_of(path)
    folder = target.folder
    if not os.path.isdir(folder):
        raise OutputError(f"{target.path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{target.path}: the folder {folder} cannot be written by this user; choose another")
    if os.path.lexists(target.path):
        if not overwrite:
            raise OutputError(f"{target.path}: exists already; remove it, choose another name or give --overwrite")
        if os.path.isdir(target.path):
            strange = [name for name in os.listdir(target.path) if not PART_NAME.fullmatch(name)]
            if strange:
                raise OutputError(
                    f"{target.path}: is a folder that holds {strange[0]!r}, which is no part of an earlier output; "
                    "it is not overwritten, choose another name"
                )
        elif not os.path.isfile(target.path):
            raise OutputError(f"{target.path}: is neither a file nor a folder; choose another name")
    return target


def check_targets(paths: Sequence[str | None], overwrite: bool = False) -> None:
    """check_target() for all outputs of one command (None: no output); OutputError too if two go to one file. Local."""
    seen: set[str] = set()
    for path in paths:
        if path is not None:
            real = os.path.realpath(check_target(path, overwrite).path)
            if real in seen:
                raise OutputError(f"{path}: named for two outputs; give each its own path")
            seen.add(real)


def remove_leftovers(target: Target) -> None:
    """Remove what killed starts of the same job have left under temporary names beside `target`. Local, on root."""
    ours = re.compile(rf"\.{re.escape(os.path.basename(target.path))}\.\d+-[0-9a-f]{{8}}\.tmp")
    with output_errors(target.path):
        for name in filter(ours.fullmatch, os.listdir(target.folder)):
            remove(os.path.join(target.folder, name))


class Pending:
    """A temporary name in the target's folder that becomes the target at `commit`, or vanishes at `discard`. Local:
    root makes it, other ranks write to `path` only."""

    def __init__(self, target: Target, overwrite: bool, is_folder: bool = False, path: str = "") -> None:
        """`path`: a temporary name that an earlier start has left, to go on with it."""
        self.target = target
        self.overwrite = overwrite
        self.is_folder = is_folder
        if path:
            self.path = path
            return
        name = f".{os.path.basename(target.path)}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        self.path = os.path.join(target.folder, name)
        with output_errors(target.path):
            if is_folder:
                os.mkdir(self.path)
            else:
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        _pending.add(self.path)

    def commit(self) -> None:
        """Sync and give the output its name; the folder is synced too, so the name survives a power cut."""
        with output_errors(self.target.path):
            sync_path(self.path)
            self._rename()
            sync_path(self.target.folder)
        _pending.discard(self.path)

    def discard(self) -> None:
        """Remove what was written. Does nothing after `commit`."""
        if self.path in _pending:
            remove(self.path)
            _pending.discard(self.path)

    def leave(self) -> None:
        """From now on `discard` and the end of the process keep it: another start may go on with it."""
        _pending.discard(self.path)

    def _rename(self) -> None:
        path = self.target.path
        if not self.overwrite:
            # link() refuses a name that came into being since check_target(), rename() would replace it.
            if not self.is_folder and _linked(self.path, path):
                os.unlink(self.path)
                return
            if os.path.lexists(path):
                raise OutputError(f"{path}: came into being while the result was computed; it is left as it is")
            os.rename(self.path, path)
        elif os.path.isdir(path) or (self.is_folder and os.path.lexists(path)):
            aside = self.path + ".old"
            os.rename(path, aside)
            os.rename(self.path, path)
            remove(aside)
        else:
            os.rename(self.path, path)


def _linked(source: str, path: str) -> bool:
    """Whether `source` could be given the second name `path`; False where the file system has no hard links."""
    try:
        os.link(source, path)
    except FileExistsError as error:
        raise OutputError(f"{path}: came into being while the result was computed; it is left as it is") from error
    except OSError:
        return False
    return True


@contextlib.contextmanager
def output_errors(path: str, needed_bytes: int | None = None, temporary: str | None = None) -> Iterator[None]:
    """Turn the system's errors into OutputError naming `path`; for a full disk, what is needed and what is free
    (what `temporary` has taken so far counts as free, since it will be removed)."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            folder = os.path.dirname(path) or "."
            need = f"{needed_bytes:,} bytes needed" if needed_bytes else "more space is needed"
            free = free_bytes(folder) + (_allocated_bytes(temporary) if temporary else 0)
            raise OutputError(
                f"{path}: {os.strerror(error.errno).lower()}: {need}, {free:,} free in {folder}; "
                "nothing was left there; make room or choose another folder"
            ) from error
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _allocated_bytes(path: str) -> int:
    """Disk space that a file, or the files of a folder, take."""
    files = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else [path]
    return sum(os.stat(file).st_blocks * 512 for file in files if os.path.exists(file))


def remove(path: str) -> None:
    """Remove a file or folder, present or not."""
    if os.path.isdir(path):
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@atexit.register
def _remove_pending() -> None:
    for path in list(_pending):
        remove(path)

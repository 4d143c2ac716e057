"""A file system in memory that stands in for hpckit.checkpoint.files: it can fail, stop as a killed process does, and
say what a disk would hold after a crash."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from hpckit.checkpoint import files

CHANGING = ("make_folder", "create", "write", "sync", "close", "rename", "sync_folder", "remove")
FUNCTIONS = (*CHANGING, "names", "open_to_read", "read", "kind", "size_of", "free_bytes")


class Killed(BaseException):
    """The process is gone: nothing it would do afterwards happens."""


class File:
    """What a name leads to: its bytes, and how many of them are safely on disk."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = b""


class MemoryFiles:
    """One flat folder of files; `with memory.installed():` puts it in the place of the real one.

    steps          changing calls so far, by name
    stop_at        the step at which the process is killed (before it, unless it is a write: then in its middle)
    fail           step -> errno that it raises
    """

    def __init__(self) -> None:
        self.names_now: dict[str, File] = {}
        self.names_synced: dict[str, File] = {}
        self.pending: list[tuple[str, str, File | None]] = []  # changes of names since the folder was synced
        self.steps: list[str] = []
        self.stop_at: int | None = None
        self.fail: dict[int, int] = {}
        self._open: dict[int, tuple[File, int]] = {}
        self._next = 1000
        self._lock = threading.Lock()

    @contextmanager
    def installed(self) -> Iterator[MemoryFiles]:
        before = {name: getattr(files, name) for name in FUNCTIONS}
        for name in FUNCTIONS:
            setattr(files, name, getattr(self, name))
        try:
            yield self
        finally:
            for name, function in before.items():
                setattr(files, name, function)

    def _step(self, name: str) -> None:
        with self._lock:
            number = len(self.steps)
            if self.stop_at is not None and number >= self.stop_at:
                raise Killed
            self.steps.append(name)
        if number in self.fail:
            raise OSError(self.fail[number], os.strerror(self.fail[number]))

    def make_folder(self, path: str) -> None:
        self._step("make_folder")

    def create(self, path: str) -> int:
        self._step("create")
        file = File()
        self._change("set", os.path.basename(path), file)
        return self._opened(file)

    def _opened(self, file: File) -> int:
        with self._lock:
            self._next += 1
            self._open[self._next] = (file, 0)
            return self._next

    def write(self, fd: int, data: memoryview) -> None:
        try:
            self._step("write")
        except (Killed, OSError):
            self._open[fd][0].data += bytes(data[: len(data) // 2])
            raise
        self._open[fd][0].data += bytes(data)

    def sync(self, fd: int) -> None:
        self._step("sync")
        self._open[fd][0].synced = bytes(self._open[fd][0].data)

    def close(self, fd: int) -> None:
        self._step("close")
        del self._open[fd]

    def rename(self, source: str, target: str) -> None:
        self._step("rename")
        file = self.names_now.get(os.path.basename(source))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        self._change("remove", os.path.basename(source), None)
        self._change("set", os.path.basename(target), file)

    def sync_folder(self, path: str) -> None:
        self._step("sync_folder")
        self.names_synced = dict(self.names_now)
        self.pending = []

    def remove(self, path: str) -> None:
        self._step("remove")
        if os.path.basename(path) in self.names_now:
            self._change("remove", os.path.basename(path), None)

    def _change(self, what: str, name: str, file: File | None) -> None:
        self.pending.append((what, name, file))
        _apply(self.names_now, [(what, name, file)])

    def names(self, folder: str) -> list[str]:
        return sorted(self.names_now)

    def open_to_read(self, path: str) -> int:
        file = self.names_now.get(os.path.basename(path))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._opened(file)

    def read(self, fd: int, into: np.ndarray) -> int:
        file, place = self._open[fd]
        found = file.data[place : place + len(into)]
        into[: len(found)] = np.frombuffer(found, np.uint8)
        self._open[fd] = (file, place + len(found))
        return len(found)

    def kind(self, path: str) -> str:
        return "folder"

    def size_of(self, path: str) -> int:
        file = self.names_now.get(os.path.basename(path))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return len(file.data)

    def free_bytes(self, folder: str) -> int:
        return 12345

    # What a crash leaves

    def after_kill(self) -> MemoryFiles:
        """What another process finds once this one was killed: all that was done."""
        other = MemoryFiles()
        other.names_now = {name: _copy(file, bytes(file.data)) for name, file in self.names_now.items()}
        other.names_synced = dict(other.names_now)
        return other

    def after_crash(self, seed: int) -> MemoryFiles:
        """What the disk may hold after a power cut: synced bytes, and of what was not synced any part; changes of names
        since the folder's last sync may have got there or not, each by itself (seed 0: none, 1: all)."""
        chance = random.Random(seed)
        other = MemoryFiles()
        held = dict(self.names_synced)
        _apply(held, [c for c in self.pending if seed == 1 or (seed > 1 and chance.random() < 0.5)])
        for name, file in held.items():
            data = bytearray(file.synced)
            unsynced = len(file.data) - len(data)
            if unsynced > 0 and seed > 1:  # the length may be there and the bytes not
                data += chance.choice(
                    [b"", bytes(unsynced), file.data[len(data) : len(data) + chance.randint(0, unsynced)]]
                )
            other.names_now[name] = _copy(file, bytes(data))
        other.names_synced = dict(other.names_now)
        return other


def _apply(names: dict[str, File], changes: list[tuple[str, str, File | None]]) -> None:
    for what, name, file in changes:
        if what == "set":
            assert file is not None
            names[name] = file
        else:
            names.pop(name, None)


def _copy(file: File, data: bytes) -> File:
    copy = File()
    copy.data, copy.synced = bytearray(data), data
    return copy

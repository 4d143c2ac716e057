"""Scratch of a rank: whether there is room, and run files that are written once and then only read."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import numpy as np

from hpckit.errors import InternalError, MemoryBudgetError, OutputError
from hpckit.sinks.scratch import ScratchFile, free_bytes
from hpckit.spmd.memory import format_size

COPY_BYTES = 8 << 20


def check_room(
    folder: Path, needed_bytes: int, purpose: str, remedy: str = "give more --memory or a larger --scratch folder"
) -> None:
    """OutputError if `folder` has not `needed_bytes` left: better now than in the middle of the work. Local."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = free_bytes(str(folder))
    except OSError as error:
        raise OutputError(f"{folder}: no scratch folder: {error.strerror}; name another with --scratch") from error
    if needed_bytes > free:
        raise OutputError(f"{folder}: {needed_bytes:,} bytes of scratch needed for {purpose}, {free:,} free; {remedy}")


class RunFile(ScratchFile):
    """One sorted run: appended to, sealed, then read at any place. Its `name` says what it holds, and is the same when
    the same job runs again, so that a checkpoint can refer to it. On disk it has no name and vanishes with the process.
    """

    def __init__(self, folder: Path | str, purpose: str, name: str) -> None:
        super().__init__(folder, purpose)
        self.name = name
        self.sealed = False

    def append(self, data: bytes | memoryview) -> int:
        """Write `data` at the end and return its offset. OutputError when the disk is full."""
        if self.sealed:
            raise InternalError(f"run {self.name} is sealed")
        return super().append(data)

    def seal(self) -> None:
        """From now on the file does not change."""
        self.sealed = True

    def read_into(self, buffer: np.ndarray, offset: int) -> None:
        """Fill `buffer` (uint8) with the bytes at `offset`."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        while view:
            size = os.preadv(self._fd, [view], offset)
            if size == 0:
                raise InternalError(f"{self.folder}: run {self.name} ends {len(view):,} bytes early")
            view, offset = view[size:], offset + size

    def copy_to(self, fd: int) -> None:
        """Append all bytes to the open file `fd`, e.g. that of a checkpoint."""
        for start in range(0, self.size_bytes, COPY_BYTES):
            view = memoryview(self.read(start, min(COPY_BYTES, self.size_bytes - start)))
            while view:
                view = view[os.write(fd, view) :]


class RunStore:
    """The run files of one rank and one purpose; closing it gives the space back."""

    def __init__(self, folder: Path | str, purpose: str) -> None:
        """Local. `purpose` goes into error texts, e.g. "the sorted records"."""
        self.folder, self.purpose = Path(folder), purpose
        self.runs: list[RunFile] = []
        allow_open_files()

    def new(self, name: str) -> RunFile:
        """A new empty run. OutputError if the folder cannot hold one."""
        run = RunFile(self.folder, self.purpose, name)
        self.runs.append(run)
        return run

    @property
    def size_bytes(self) -> int:
        return sum(run.size_bytes for run in self.runs)

    def close(self) -> None:
        """Remove all runs. May be called twice."""
        for run in self.runs:
            run.close()
        self.runs.clear()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def allow_open_files() -> None:
    """Raise the limit of open files as far as this user may: every run is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resident_bytes() -> int:
    """Memory that this process holds now, in bytes; 0 where the system does not say. Local."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def work_bytes(budget_bytes: int, least_bytes: int, fixed_bytes: int = 0) -> int:
    """What is left of a memory budget beside the program as it is now and `fixed_bytes`. Local.

    MemoryBudgetError where that is below `least_bytes`: it says the least budget to give.
    """
    taken = resident_bytes() + fixed_bytes
    if budget_bytes - taken < least_bytes:
        raise MemoryBudgetError(
            f"--memory {format_size(budget_bytes)} leaves no room to sort in: the program itself takes "
            f"{format_size(taken)}; give at least {format_size(taken + least_bytes)}"
        )
    return budget_bytes - taken

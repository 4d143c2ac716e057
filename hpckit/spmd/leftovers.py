"""Shared memory that killed jobs have left in /dev/shm: MPI removes it at an end that killed ranks do not reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

FOLDER = "/dev/shm"
PREFIXES = ("mpich_shm_", "sm_segment.", "ucx_shm_posix_", "vader_segment.", "osc_rdma.")


def abandoned(folder: str | os.PathLike[str] = FOLDER) -> list[tuple[str, int]]:
    """(path, bytes) of this user's segments of MPI that no process has mapped. Local; Linux only, else empty."""
    mapped = set(_mapped(os.fspath(folder)))
    found = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if entry.name.startswith(PREFIXES) and status.st_uid == os.getuid() and entry.path not in mapped:
            found.append((entry.path, status.st_blocks * 512))
    return sorted(found)


def _mapped(folder: str) -> Iterator[str]:
    """Files of `folder` in the memory of any process that this user may look at."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            place = line.find(f"{folder}/")
            if place >= 0:
                yield line[place:]

"""Shared memory of killed jobs is told from that of running ones."""

from __future__ import annotations

import mmap
from pathlib import Path

from hpckit.spmd.leftovers import abandoned


def test_only_what_nobody_has_mapped(tmp_path: Path) -> None:
    for name in ("mpich_shm_1_0", "sm_segment.node.0.1", "other", "mpich_shm_2_0"):
        (tmp_path / name).write_bytes(b"x" * 8192)
    with open(tmp_path / "mpich_shm_2_0", "r+b") as file, mmap.mmap(file.fileno(), 8192):
        found = abandoned(tmp_path)
    assert [(Path(path).name, size) for path, size in found] == [("mpich_shm_1_0", 8192), ("sm_segment.node.0.1", 8192)]
    assert [Path(path).name for path, _ in abandoned(tmp_path)] == [
        "mpich_shm_1_0", "mpich_shm_2_0", "sm_segment.node.0.1",
    ]  # fmt: skip


def test_no_such_folder(tmp_path: Path) -> None:
    assert abandoned(tmp_path / "nothing") == []

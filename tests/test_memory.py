"""Sizes as people write them, and the memory limit of a node from cgroups, Slurm and /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpckit.errors import UserError
from hpckit.spmd.memory import (
    cgroup_limit_bytes,
    default_budget_bytes,
    format_size,
    node_memory_bytes,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("512MiB", 512 << 20), ("2G", 2 << 30), ("1.5 GB", 15 * 10**8), ("3tb", 3 * 10**12)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "2X", "1e9", "2 G B", "0x10", "1,5G"])
def test_what_is_no_size_is_quoted(text: str) -> None:
    with pytest.raises(UserError, match="expected a number with an optional unit") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


def test_sizes_for_people() -> None:
    assert [format_size(n) for n in (512, 4 << 20, int(23.4 * (1 << 30)), 3 << 40)] == [
        "512 B", "4.0 MiB", "23.4 GiB", "3.0 TiB",
    ]  # fmt: skip


def machine(root: Path, total_gib: int = 16, groups: str = "", files: dict[str, str] | None = None) -> Path:
    for name, text in {
        "proc/meminfo": f"MemFree: 1 kB\nMemTotal:       {total_gib << 20} kB\n",
        "proc/self/cgroup": groups,
        **(files or {}),
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    assert node_memory_bytes({}, machine(tmp_path)) == 16 << 30
    assert cgroup_limit_bytes(tmp_path) is None


def test_the_least_limit_of_nested_v2_groups_counts(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/slurm/memory.max": f"{8 << 30}\n",
        "sys/fs/cgroup/slurm/job_1/memory.max": f"{6 << 30}\n",
        "sys/fs/cgroup/slurm/job_1/step_0/memory.max": "max\n",
    }
    root = machine(tmp_path, groups="0::/slurm/job_1/step_0\n", files=files)
    assert node_memory_bytes({}, root) == 6 << 30


def test_v1_groups_count_and_their_no_limit_does_not(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{4 << 30}\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = machine(tmp_path, groups="5:cpu:/x\n4:memory,hugetlb:/docker/abc\n", files=files)
    assert node_memory_bytes({}, root) == 4 << 30


def test_inside_a_container_the_root_group_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, groups="0::/\n", files={"sys/fs/cgroup/memory.max": f"{2 << 30}\n"})
    assert node_memory_bytes({}, root) == 2 << 30


def test_slurm_s_grant_counts_and_zero_means_all(tmp_path: Path) -> None:
    root = machine(tmp_path)
    assert node_memory_bytes({"SLURM_MEM_PER_NODE": "1024"}, root) == 1 << 30
    assert node_memory_bytes({"SLURM_MEM_PER_NODE": "0"}, root) == 16 << 30


def test_default_budget_is_seventy_percent_shared(tmp_path: Path) -> None:
    assert default_budget_bytes(4, {}, machine(tmp_path)) == int((16 << 30) * 0.7) // 4

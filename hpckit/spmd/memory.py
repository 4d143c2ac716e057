"""How much memory a rank may use: sizes as people write them, the node's limit, and the default budget."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from hpckit.errors import UserError

UNITS = {
    "": 1, "b": 1,
    "k": 1 << 10, "kb": 10**3, "kib": 1 << 10,
    "m": 1 << 20, "mb": 10**6, "mib": 1 << 20,
    "g": 1 << 30, "gb": 10**9, "gib": 1 << 30,
    "t": 1 << 40, "tb": 10**12, "tib": 1 << 40,
}  # fmt: skip
BUDGET_SHARE = 0.7
UNLIMITED_BYTES = 1 << 60  # cgroup v1 says "no limit" with a number near 2**63


def parse_size(text: str) -> int:
    """Bytes of "512MiB", "2G", "1.5 GB", "4096". K, M, G, T alone are powers of 1024, as Slurm has them."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = UNITS.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        raise UserError(f"size {text!r}: expected a number with an optional unit, e.g. 512MiB, 2G, 1.5GB")
    return int(float(match.group(1)) * unit) if "." in match.group(1) else int(match.group(1)) * unit


def format_size(size_bytes: int) -> str:
    """The size for people: 512 B, 4.0 MiB, 23.4 GiB."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def node_memory_bytes(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> int:
    """Memory this job may use on this node: the least of the cgroup's limit, Slurm's grant and the machine. Local."""
    environ = os.environ if environ is None else environ
    limits = [_total_bytes(root), *_cgroup_limits(root)]
    slurm = environ.get("SLURM_MEM_PER_NODE", "")  # MiB; 0 = all of it
    if slurm.isdigit() and int(slurm):
        limits.append(int(slurm) << 20)
    return min(limits)


def default_budget_bytes(ranks_on_node: int, environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> int:
    """What --memory is when not given: 70 % of the node's memory, shared by its ranks. Local."""
    return int(node_memory_bytes(environ, root) * BUDGET_SHARE) // max(1, ranks_on_node)


def cgroup_limit_bytes(root: Path = Path("/")) -> int | None:
    """The least memory limit of this process's control groups, None if there is none. Local."""
    return min(_cgroup_limits(root), default=None)


def _total_bytes(root: Path) -> int:
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) << 10
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup_limits(root: Path) -> list[int]:
    """Limits of this process's group and every group above it (v2: memory.max, v1: memory.limit_in_bytes)."""
    limits = []
    for file in _cgroup_files(root):
        try:
            text = file.read_text().strip()
        except OSError:
            continue  # this group has no such file: no limit here
        if text.isdigit() and int(text) < UNLIMITED_BYTES:
            limits.append(int(text))
    return limits


def _cgroup_files(root: Path) -> list[Path]:
    mount = root / "sys/fs/cgroup"
    files = [mount / "memory.max", mount / "memory/memory.limit_in_bytes"]  # inside a container: its own root
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return files
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.lstrip("/"))
        files += [base / parent / name for parent in (group, *group.parents)]
    return files

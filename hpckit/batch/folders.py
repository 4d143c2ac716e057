"""Where a job's files lie, and whether compute nodes can see that place."""

from __future__ import annotations

import os
from pathlib import Path

from hpckit.batch import slurm
from hpckit.errors import OutputError

ENDING = ".job"
DEFAULT = "hpckit-jobs"
LOCAL_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/scratch/local")
LOCAL_KINDS = {"tmpfs", "ramfs", "devtmpfs"}


def folder_for(output: str | None, asked: str | None = None) -> Path:
    """The folder of a job's files: `asked`, or OUTPUT.job beside the output, or hpckit-jobs here. Absolute."""
    if asked:
        return Path(asked).absolute()
    if not output:
        return Path(DEFAULT).absolute()
    path = Path(output)
    parts = path.parts
    for i, part in enumerate(parts):
        if "{" in part:  # one output for each task of an array
            return (Path(*parts[:i]) / DEFAULT).absolute()
    return path.with_name(path.name + ENDING).absolute()


def check_output(output: str, overwrite: bool) -> None:
    """OutputError now rather than after hours in the queue: the target exists, or its folder cannot be written."""
    path = Path(output)
    if path.exists() and not overwrite and not (path.is_dir() and not any(path.iterdir())):
        raise OutputError(f"{output} exists; choose another --output, or give --overwrite")
    check_writable(path.absolute().parent, "--output")


def check_writable(folder: Path, what: str) -> None:
    """OutputError unless `folder`, or the nearest parent that exists, can be written."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise OutputError(f"{what}: {there} is a file, a folder is needed; choose another path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{what}: {there} is not writable for you; choose a folder of your own or your project's")


def check_shared(places: list[tuple[Path, str]], trusted: list[str]) -> None:
    """OutputError if one of these (folder, what it is) is on this machine only while the cluster's nodes are others.

    Only places that are never shared are refused: /tmp and its like, and file systems in memory.
    """
    for folder, what in places:
        place = _local_place(folder)
        if place is None or any(folder.is_relative_to(name) for name in trusted):
            continue
        if _one_machine():  # then everything is shared
            return
        raise OutputError(
            f"{what}: {folder} is on {place}, which compute nodes do not share with this one; use a folder on the "
            'cluster\'s shared file system (in hpckit.toml, `shared = ["/path"]` lists local-looking paths that are '
            "shared)"
        )


def _local_place(folder: Path) -> str | None:
    resolved = folder.resolve()
    kind, point = file_system(resolved)
    if kind in LOCAL_KINDS:
        return f"a {kind} ({point})"
    return next((name for name in LOCAL_FOLDERS if resolved.is_relative_to(name) and point in ("/", name)), None)


def file_system(path: Path) -> tuple[str, str]:
    """(type, mount point) of the file system that holds `path`; ("unknown", "/") where the system does not say."""
    kind, best = "unknown", "/"
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind, best
    for line in lines:
        mount, this = line.split()[1:3]
        point = mount.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best):
            kind, best = this, point
    return kind, best


def _one_machine() -> bool:
    """Whether all of the cluster's nodes are this machine."""
    answer = slurm.call("sinfo", ["-h", "-N", "-o", "%n %o"])
    addresses = {line.split()[-1] for line in answer.stdout.splitlines() if line.split()}
    return bool(addresses) and addresses <= {"127.0.0.1", "localhost", "::1", os.uname().nodename}

"""Which files a path, glob, list or folder means, in which order, with their sizes pinned."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from hpckit.errors import InputError
from hpckit.frozen import frozen

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
FILES_MAX = 1 << 19  # a row's position packs the number of its file into 19 bits


@frozen
class InputFile:
    """A file as it was when the job began; what is appended later is not read."""

    path: str
    size: int
    mtime_ns: int
    compression: str = ""


def list_files(paths: Sequence[str]) -> list[InputFile]:
    """All files that `paths` (files, globs, folders) name: arguments in order, each in natural order, rotations oldest
    first (`x.log.2.gz`, `x.log.1`, `x.log`). A file named twice is read once. Local (called on root).
    """
    found: dict[str, None] = {}
    for path in paths:
        for name in sorted(_expand(path), key=rotation_key):
            found.setdefault(name)
    if len(found) > FILES_MAX:
        raise InputError(f"{len(found)} input files; at most {FILES_MAX} can be read at once: join them or name fewer")
    return [_stat(name) for name in found]


def _expand(path: str) -> list[str]:
    if os.path.isdir(path):
        names = [str(p) for p in Path(path).iterdir() if p.is_file() and not p.name.startswith(".")]
        if not names:
            raise InputError(
                f"{path}: the folder holds no files; name the files or a glob such as {path.rstrip('/')}/**/*.log"
            )
        return names
    if os.path.exists(path):
        return [path]
    if glob.has_magic(path):
        names = [name for name in glob.glob(path, recursive=True) if os.path.isfile(name)]
        if names:
            return names
        raise InputError(f"{path}: no file matches (looked in {os.getcwd()})")
    raise InputError(f"{path}: no such file (looked in {os.getcwd()})")


def _stat(path: str) -> InputFile:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return InputFile(path, status.st_size, status.st_mtime_ns, COMPRESSIONS.get(Path(path).suffix.lower(), ""))


def natural_key(text: str) -> tuple:
    """Sorts file9 before file10."""
    return tuple((1, int(part), part) if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", text) if part)


def rotation_key(path: str) -> tuple:
    """Natural order, but of the rotations of one log the oldest first and the current file last."""
    stem = path
    if Path(path).suffix.lower() in COMPRESSIONS:
        stem = path[: -len(Path(path).suffix)]
    numbered = re.fullmatch(r"(.+)\.(\d{1,5})", stem)
    if numbered:
        return natural_key(numbered[1]), 0, -int(numbered[2]), (), path
    dated = re.fullmatch(r"(.+)[-.](\d{8}(?:[-_T]?\d{2,6})?|\d{4}-\d{2}-\d{2}(?:[-_T]?\d{2,6})?)", stem)
    if dated:
        return natural_key(dated[1]), 1, 0, natural_key(dated[2]), path
    return natural_key(stem), 2, 0, (), path

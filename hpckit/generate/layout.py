"""Which rows go to which file, and the pieces of work: pure arithmetic, and the checks of the target on root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from hpckit.errors import OutputError

ENDINGS = {"sensors": ".csv"}
PART_NAME = re.compile(r"[a-z]+-\d{4,}\.(log|csv)(\.gz)?")


@dataclass(frozen=True)
class Layout:
    """`rows` lines over files: names[i] under `path` if it is a folder, else `path` itself."""

    path: str
    names: tuple[str, ...]
    is_folder: bool
    gzip: bool
    rows: int

    def first_row(self, file: int) -> int:
        """Row number with which a file begins; files differ by at most one row."""
        return self.rows * file // len(self.names)

    def place(self, base: str, file: int) -> str:
        """The path of a file when the whole output is called `base`."""
        return os.path.join(base, self.names[file]) if self.is_folder else base


@dataclass(frozen=True)
class Piece:
    """Rows skip .. rows-1 of a block, which go to one file; `is_first` of that file, so its header goes before them."""

    file: int
    block: int
    skip: int
    rows: int
    is_first: bool


def layout_of(path: str, kind: str, rows: int, files: int | None, gzip: bool) -> Layout:
    """PATH/ or a number of files make a folder of KIND-0000.log …; otherwise one file, compressed if it ends in .gz."""
    gzip = gzip or path.endswith(".gz")
    if not path.endswith("/") and files is None:
        return Layout(path, (os.path.basename(path),), False, gzip, rows)
    ending = ENDINGS.get(kind, ".log") + (".gz" if gzip else "")
    names = tuple(f"{kind}-{i:04d}{ending}" for i in range(files or 4))
    return Layout(path.rstrip("/") or "/", names, True, gzip, rows)


def pieces(layout: Layout, block_rows: int) -> Iterator[Piece]:
    """All pieces in the order of their rows. A block that spans two files is generated once for each of them."""
    for file in range(len(layout.names)):
        row, end = layout.first_row(file), layout.first_row(file + 1)
        is_first = True
        while is_first or row < end:
            block = row // block_rows
            stop = min(end, (block + 1) * block_rows)
            yield Piece(file, block, row - block * block_rows, stop - block * block_rows, is_first)
            row, is_first = stop, False


def check_target(layout: Layout, overwrite: bool) -> bool:
    """Refuse now what would fail at the end, and what --overwrite must not destroy. Local: call it on root.

    Returns whether something (nothing but earlier output) is to be replaced.
    """
    path = layout.path
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise OutputError(f"{path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {folder} cannot be written by this user; choose another")
    if not os.path.lexists(path):
        return False
    if os.path.isdir(path) != layout.is_folder:
        what = "a file, not a folder; remove it" if layout.is_folder else "a folder; end PATH in / to fill it"
        raise OutputError(f"{path}: is {what}, or choose another name")
    if not layout.is_folder and not os.path.isfile(path):
        raise OutputError(f"{path}: is neither a file nor a folder; choose another name")
    content = os.listdir(path) if layout.is_folder else [path]
    strange = [name for name in content if layout.is_folder and not PART_NAME.fullmatch(name)]
    if strange:
        raise OutputError(f"{path}: the folder holds {strange[0]!r}, which was not generated; choose another folder")
    if content and not overwrite:
        raise OutputError(f"{path}: exists already; remove it, choose another name or give --overwrite")
    return True

"""Splits: the deterministic pieces of the input, and how they are dealt to the ranks."""

from __future__ import annotations

from collections.abc import Sequence

from hpckit.errors import InputError
from hpckit.frozen import frozen
from hpckit.sources.files import InputFile

DEFAULT_SPLIT_BYTES = 64 << 20
POSITION_BITS = 44  # a row's position is file number << 44 | byte offset: files up to 16 TiB
SPLITS_MAX = 1 << 20
COMPRESSION_RATIO = 6  # a compressed byte costs about as much as this many plain ones


@frozen
class Split:
    """Bytes [begin, end) of file number `file`; a compressed file is one split, `end` its compressed size.

    `ordinal` is its place in the order of the input.
    """

    ordinal: int
    file: int
    begin: int
    end: int
    weight: int


def make_splits(files: Sequence[InputFile], split_bytes: int = DEFAULT_SPLIT_BYTES) -> list[Split]:
    """All splits of the files, a function of the input alone. An empty file has none."""
    if split_bytes < 1:
        raise InputError(f"split size {split_bytes}: expected at least 1 byte, e.g. --split-size 64MiB")
    count = sum(1 if file.compression else -(-file.size // split_bytes) for file in files)
    if count > SPLITS_MAX:
        raise InputError(
            f"split size {split_bytes}: cuts the input into {count:,} pieces, at most {SPLITS_MAX:,}; raise it"
        )
    splits: list[Split] = []
    for number, file in enumerate(files):
        if file.compression:
            splits.append(Split(len(splits), number, 0, file.size, max(1, file.size * COMPRESSION_RATIO)))
            continue
        for begin in range(0, file.size, split_bytes):
            end = min(begin + split_bytes, file.size)
            splits.append(Split(len(splits), number, begin, end, end - begin))
    return splits

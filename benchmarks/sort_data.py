"""What the sorting benchmark sorts, block by block from seeds, so that every competitor and every rank has the same."""

from __future__ import annotations

import numpy as np

BLOCK_ROWS = 1 << 20
SEED = 1
RECORD_BYTES, KEY_BYTES = 100, 10
PRINTABLE = (32, 127)  # records are lines too, so that GNU sort can read them


def numbers(question: str, begin: int, end: int) -> np.ndarray:
    """Rows begin … end of the keys of "int64", "float64" or "pairs"."""
    dtype = np.float64 if question == "float64" else np.int64
    out = np.empty(end - begin, dtype)
    for block in range(begin // BLOCK_ROWS, -(-end // BLOCK_ROWS)):
        first = block * BLOCK_ROWS
        chance = np.random.default_rng([SEED, block])
        if question == "float64":
            whole = chance.random(BLOCK_ROWS)
        else:
            whole = chance.integers(-(1 << 63), 1 << 63, BLOCK_ROWS, np.int64, endpoint=False)
        a, b = max(begin, first), min(end, first + BLOCK_ROWS)
        out[a - begin : b - begin] = whole[a - first : b - first]
    return out


def records(rows: int) -> list[np.ndarray]:
    """`rows` records (uint8) of printable bytes that end in a newline, in blocks."""
    made = []
    for first in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - first)
        block = np.random.default_rng([SEED, first]).integers(*PRINTABLE, (count, RECORD_BYTES), np.uint8)
        block[:, -1] = ord("\n")
        made.append(block)
    return made


def strings(rows: int) -> list[str]:
    """`rows` names of 6 to 25 characters, many with a long common beginning."""
    chance = np.random.default_rng(SEED)
    node, number = chance.integers(0, 5000, rows), chance.integers(0, 10**9, rows)
    return [
        f"/scratch/n{a}/{b:x}" if a % 2 else f"{b:x}-n{a}" for a, b in zip(node.tolist(), number.tolist(), strict=True)
    ]


def digest(values: np.ndarray, begin: int) -> int:
    """Checksum of 8-byte values at positions begin, begin + 1, …; those of consecutive parts add up (mod 2**64)."""
    total = 0
    for start in range(0, len(values), BLOCK_ROWS):
        words = values[start : start + BLOCK_ROWS].view(np.uint64)
        places = np.arange(begin + start, begin + start + len(words), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        mixed = (words ^ (words >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) * places
        total += int(mixed.sum(dtype=np.uint64))
    return total & ((1 << 64) - 1)

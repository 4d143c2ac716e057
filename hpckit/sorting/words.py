"""Rows whose keys are words: several narrow words packed into one, their order, and the first few without a sort."""

from __future__ import annotations

import numpy as np

WORD_BITS = 64


def packed_words(words: list[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """The same order in as few uint64 words as the ranges of the values allow, and the bits each uses.

    `words` are uint64 arrays of one length, at least one row, most significant first.
    """
    packed: list[np.ndarray] = []
    bits: list[int] = []
    for word in words:
        low, high = int(word.min()), int(word.max())
        width = (high - low).bit_length()
        if width == 0:
            continue
        shifted = word - np.uint64(low)
        if packed and bits[-1] + width <= WORD_BITS:
            packed[-1] = (packed[-1] << np.uint64(width)) | shifted
            bits[-1] += width
        else:
            packed.append(shifted)
            bits.append(width)
    return packed, bits


def packed_order(packed: list[np.ndarray], bits: list[int], rows: int) -> np.ndarray | None:
    """int64: the stable order of `rows` rows, where one sort of one word gives it; None where it takes more."""
    if not packed:
        return np.arange(rows)
    row_bits = (rows - 1).bit_length()
    if len(packed) == 1 and bits[0] + row_bits <= WORD_BITS:
        # Key and row number in one word: an unstable sort of distinct words is stable, and the fastest there is.
        combined = (packed[0] << np.uint64(row_bits)) | np.arange(rows, dtype=np.uint64)
        combined.sort()
        return (combined & np.uint64((1 << row_bits) - 1)).astype(np.int64)
    return None


def permutation(words: list[np.ndarray], rows: int) -> np.ndarray:
    """int64: the stable order of `rows` rows by `words` (uint64, most significant first)."""
    if rows < 2 or not words:
        return np.arange(rows)
    packed, bits = packed_words(words)
    order = packed_order(packed, bits, rows)
    return order if order is not None else np.lexsort(packed[::-1])


def candidates(words: list[np.ndarray], count: int) -> np.ndarray:
    """int64, ascending: the rows that can be among the first `count` (> 0) by `words`, ties included."""
    packed, _ = packed_words(words)
    if not packed or count >= len(packed[0]):
        return np.arange(len(words[0]))
    bound = np.partition(packed[0], count - 1)[count - 1]
    return np.flatnonzero(packed[0] <= bound)


def smallest(words: list[np.ndarray], rows: int, count: int) -> np.ndarray:
    """int64: the first `count` rows of the stable order by `words`, without sorting all."""
    if count <= 0:
        return np.arange(0)
    if count * 4 < rows and words:
        kept = candidates(words, count)
        return kept[permutation([word[kept] for word in words], len(kept))[:count]]
    return permutation(words, rows)[:count]

"""Pure arithmetic of dealing things out to ranks: blocks of an index range, and items by weight."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def block_range(count: int, parts: int, part: int) -> tuple[int, int]:
    """Half-open range of block `part` of `count` items in `parts` blocks; the first ones are one longer if need be."""
    if not 0 <= part < parts:
        raise ValueError(f"part {part} of {parts}: expected 0 <= part < parts")
    if count < 0:
        raise ValueError(f"{count} items: expected a count >= 0")
    size, extra = divmod(count, parts)
    start = part * size + min(part, extra)
    return start, start + size + (part < extra)


def block_owner(count: int, parts: int, index: int) -> int:
    """The block that holds item `index` (inverse of `block_range`)."""
    if not 0 <= index < count:
        raise ValueError(f"item {index} of {count}: expected 0 <= index < count")
    size, extra = divmod(count, parts)
    boundary = extra * (size + 1)
    return index // (size + 1) if index < boundary else extra + (index - boundary) // size


def deal_by_weight(weights: Sequence[int], parts: int) -> list[list[int]]:
    """Item numbers for each part, ascending, so that the parts weigh about the same.

    Heaviest first to the lightest part (Graham's LPT rule, 1969: within 4/3 of the best); ties by number, so that
    every rank computes the same deal without a message.
    """
    if parts < 1:
        raise ValueError(f"{parts} parts: expected at least 1")
    loads = [(0, part) for part in range(parts)]
    dealt: list[list[int]] = [[] for _ in range(parts)]
    for item in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        load, part = loads[0]
        dealt[part].append(item)
        heapq.heapreplace(loads, (load + weights[item], part))
    for items in dealt:
        items.sort()
    return dealt

"""Column names that differ from each other and from those every source has."""

from __future__ import annotations

from collections.abc import Sequence

RESERVED = ("_file", "_offset", "_raw")


def unique_names(names: Sequence[str]) -> list[str]:
    """`names`, where one that was there before (in any case, as in SQL) gets _1, _2, …"""
    taken = set(RESERVED)
    own = {name.lower() for name in names}
    out = []
    for name in names:
        fresh, i = name, 0
        while fresh.lower() in taken or (i and fresh.lower() in own):
            i += 1
            fresh = f"{name}_{i}"
        taken.add(fresh.lower())
        out.append(fresh)
    return out

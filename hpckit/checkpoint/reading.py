"""Reading the chosen parts on all ranks at once: each part is read by one rank, checked, and kept by it."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import TYPE_CHECKING

from hpckit.checkpoint import content
from hpckit.checkpoint.choice import Choice, Outcome
from hpckit.checkpoint.content import DamagedError, Part
from hpckit.checkpoint.names import Entry

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


def read_chosen(ctx: Context, path: str, choice: Choice, local: str | None = None) -> list[Part]:
    """Carry `choice` through; returns the parts this rank has read and keeps. Collective.

    Rounds: what is wanted is dealt by size over the ranks, in view of what they keep already; usually one round. What
    is damaged in the folder is looked for in the nodes' own folders `local`.
    """
    kept: dict[str, Part] = {}
    loads = [0] * ctx.size
    reading: dict[str, tuple[int, int]] = {}  # name -> the rank that has read it, size
    while wanted := choice.wanted():
        readers = deal(wanted, loads)
        own: dict[str, Outcome] = {}
        with ctx.agreed(f"reading checkpoint {path}"):
            for entry, reader in zip(wanted, readers, strict=True):
                if reader == ctx.rank:
                    own[entry.name] = _read(path, entry, kept)
        outcomes = _together(ctx, own)
        damaged = [i for i, entry in enumerate(wanted) if outcomes[entry.name].damage]
        if damaged and local is not None:
            _read_local(ctx, local, [wanted[i] for i in damaged], outcomes, kept)
            for i in damaged:
                readers[i] = outcomes[wanted[i].name].reader if outcomes[wanted[i].name].reader >= 0 else readers[i]
        choice.report([(entry, outcomes[entry.name]) for entry in wanted])
        for entry, reader in zip(wanted, readers, strict=True):
            reading[entry.name] = reader, entry.size
            loads[reader] += entry.size
        _drop(choice, reading, loads, kept)
    _drop(choice, reading, loads, kept)
    return list(kept.values())


def _drop(choice: Choice, reading: dict[str, tuple[int, int]], loads: list[int], kept: dict[str, Part]) -> None:
    """Forget what has turned out to be of no use. Local; loads stay the same on all ranks."""
    of_use = choice.kept
    for name in [name for name in reading if name not in of_use]:
        reader, size = reading.pop(name)
        loads[reader] -= size
        kept.pop(name, None)


def _together(ctx: Context, own: dict[str, Outcome]) -> dict[str, Outcome]:
    """What all ranks have found. Collective."""
    outcomes: dict[str, Outcome] = {}
    for theirs in ctx.allgather(own):
        outcomes.update(theirs)
    return outcomes


def _read_local(
    ctx: Context, local: str, entries: list[Entry], outcomes: dict[str, Outcome], kept: dict[str, Part]
) -> None:
    """Put what the first rank with a whole copy of its own has read in the place of a damaged outcome. Collective."""
    own: dict[str, Outcome] = {}
    with ctx.agreed(f"reading checkpoint {local}"):
        for entry in entries:
            outcome = _read(local, entry, kept)
            if not outcome.damage:
                own[entry.name] = replace(outcome, reader=ctx.rank)
    for rank, theirs in enumerate(ctx.allgather(own)):
        for name, outcome in theirs.items():
            if outcomes[name].damage:
                outcomes[name] = outcome
            elif rank == ctx.rank:
                kept.pop(name, None)


def deal(entries: list[Entry], loads: list[int]) -> list[int]:
    """The rank that reads each entry: the largest first, to the rank with the least to keep. Local.

    Parts of one phase go to ranks in their own order, about as many bytes to each, so that blocks stay neighbours.
    """
    if entries and all(entry.kind == "phase" for entry in entries):
        return deal_in_order([entry.size for entry in entries], len(loads))
    heap = [(load, rank) for rank, load in enumerate(loads)]
    heapq.heapify(heap)
    readers = [0] * len(entries)
    for i in sorted(range(len(entries)), key=lambda i: (-entries[i].size, i)):
        load, readers[i] = heap[0]
        heapq.heapreplace(heap, (load + entries[i].size, readers[i]))
    return readers


def deal_in_order(sizes: list[int], ranks: int) -> list[int]:
    """The rank of each item: neighbours stay together, the middle of an item decides by bytes. Local."""
    total, before, readers = max(1, sum(sizes)), 0, []
    for size in sizes:
        readers.append(min(ranks - 1, (2 * before + size) * ranks // (2 * total)))
        before += size
    return readers


def _read(path: str, entry: Entry, kept: dict[str, Part]) -> Outcome:
    try:
        part = content.read(path, entry)
    except DamagedError as error:
        return Outcome(str(error))
    kept[entry.name] = part
    return Outcome("", frozenset(part.covers), part.supersedes)

"""A small job that saves as a query does: units of work, states that are the set of units done, and their oracle."""

from __future__ import annotations

import random

import numpy as np

from hpckit.checkpoint.image import InFile
from hpckit.checkpoint.store import Part, Restored, Store

from .memory import Killed, MemoryFiles
from .ranks import run

UNITS = range(12)
IDENTITY = {"version": "1", "plan": "job", "inputs": []}


def part_of(units: set[int]) -> Part:
    """A state whose content tells exactly which units went in, and how often."""
    order = sorted(units)
    rows = np.array([[u, u * u] for u in order], np.int64).reshape(-1, 2)
    return Part(covers=units, meta={"n": len(order)}, arrays={"units": rows})


def check(restored: list[Restored]) -> set[int]:
    """All that must hold of every restart; returns the units covered."""
    seen: list[int] = []
    for r in restored:
        assert r.covered == restored[0].covered
        assert r.warnings == restored[0].warnings
        for part in r.parts:
            rows = part.arrays["units"]
            rows = rows.read() if isinstance(rows, InFile) else rows  # of a run
            units = rows[:, 0].tolist()
            assert set(units) == set(part.covers) and len(units) == part.meta["n"], "content and coverage differ"
            assert rows[:, 1].tolist() == [u * u for u in units]
            seen += units
    assert len(seen) == len(set(seen)), f"units twice: {sorted(seen)}"
    assert set(seen) == set(restored[0].covered)
    return set(seen)


class Life:
    """One start of the job on `size` ranks, in files that may fail."""

    def __init__(self, files: MemoryFiles, size: int, keep: int = 2) -> None:
        self.size, self.files = size, files
        self.stores = [Store("ck", IDENTITY, keep=keep) for _ in range(size)]
        self.restored = run(size, lambda ctx: self.stores[ctx.rank].restore(ctx))
        self.covered = check(self.restored)
        self.states = [{u for part in r.parts for u in part.covers} for r in self.restored]

    def deal(self, chance: random.Random) -> list[list[int]]:
        """The units that are left, dealt at random."""
        left = [u for u in UNITS if u not in self.covered]
        chance.shuffle(left)
        return [left[rank :: self.size] for rank in range(self.size)]

    def commit(self, rank: int) -> None:
        self.stores[rank].commit(part_of(self.states[rank]), rank)

    def commit_phase(self, name: str) -> None:
        run(self.size, lambda ctx: self.stores[ctx.rank].commit_phase(ctx, name, part_of(self.states[ctx.rank])))

    def lose(self, victim: int, alive: list[int]) -> None:
        """Rank `victim` dies; those in `alive` take up what it had saved and nobody holds."""
        self.states[victim] = set()
        restored = run(
            len(alive), lambda ctx: self.stores[alive[ctx.rank]].restore(ctx, held=sorted(self.states[alive[ctx.rank]]))
        )
        for rank, r in zip(alive, restored, strict=True):
            for part in r.parts:
                units = set(part.arrays["units"][:, 0].tolist())
                assert units == set(part.covers) and not any(units & state for state in self.states)
                self.states[rank] |= units
        self.covered = set().union(*self.states)
        assert all(r.covered == self.covered for r in restored)

    def finish(self) -> None:
        run(self.size, lambda ctx: self.stores[ctx.rank].finish(ctx))


def live(files: MemoryFiles, size: int, chance: random.Random, saved: set[int], phases: bool = True) -> bool:
    """One life with random steps until it is killed or done; `saved` collects units of committed parts.

    Returns whether all work was done (and the job finished)."""
    try:
        life = Life(files, size)
        todo = life.deal(chance)
        while any(todo):
            step = chance.random()
            rank = chance.randrange(size)
            if step < 0.5 and todo[rank]:
                life.states[rank].add(todo[rank].pop())
            elif step < 0.9:
                life.commit(rank)
                saved |= life.states[rank]
            elif phases:
                life.commit_phase("batch")
                saved |= set().union(*life.states)
        life.commit_phase("all")
        saved.clear()  # the output would be committed now: from here on nothing is needed any more
        life.finish()
    except Killed:
        return False
    return True

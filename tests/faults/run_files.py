"""Damaged runs: files of a sort of records that stand by themselves, in a folder on disk, for they are read in place.

    python -m tests.faults.run_files --count 2000 --seed 1

As tests.faults.parts, with an oracle that is as simple as runs are: a restart goes on from those that are untouched.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

from hpckit.checkpoint import content, names
from hpckit.checkpoint.store import Store

from .parts import campaign, damaged
from .ranks import run
from .saving import IDENTITY, UNITS, check, part_of

HISTORIES = 6
MEMORY = "/dev/shm"  # where there is none, the usual place


def lives(folder: Path, size: int) -> tuple[list[Store], set[int]]:
    """A start of the job on `size` ranks, and the units that need no work."""
    stores = [Store(folder, IDENTITY) for _ in range(size)]
    return stores, check(run(size, lambda ctx: stores[ctx.rank].restore(ctx)))


@cache
def history(number: int) -> dict[str, bytes]:
    """A folder after one to three lives that were killed: some runs count, some were never given their names."""
    chance = random.Random(number)
    with scratch() as name:
        folder = Path(name)
        for _ in range(1 + number % 3):
            stores, covered = lives(folder, chance.randint(1, 3))
            left = [unit for unit in UNITS if unit not in covered]
            chance.shuffle(left)
            for _ in range(chance.randint(2, 5)):
                units = {left.pop() for _ in range(min(len(left), chance.randint(1, 2)))}
                store = chance.choice(stores)
                if units:
                    os.close(store.add_run(part_of(units)))
                if chance.random() < 0.7:
                    store.commit_runs()
        return {path.name: path.read_bytes() for path in folder.iterdir()}


@cache
def truth(number: int) -> dict[str, frozenset[int]]:
    """The units of each run of a history that counts."""
    known = {}
    with scratch() as folder:
        write(Path(folder), history(number))
        for name in history(number):
            entry = names.parse(name)
            if entry is not None and entry.kind == "run":
                known[name] = frozenset(content.read(folder, entry).covers)
    return known


def scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hpckit-runs-", dir=MEMORY if os.path.isdir(MEMORY) else None)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)


def trial(seed: int, number: int, counts: Counter[str]) -> None:
    """One damaged folder, one restart. AssertionError if anything wrong is believed or anything right is not."""
    chance = random.Random(f"{seed} {number}")
    which = chance.randrange(HISTORIES)
    original = history(which)
    files = damaged(original, chance, counts)
    intact = [units for name, units in truth(which).items() if files.get(name) == original[name]]
    with scratch() as folder:
        write(Path(folder), files)
        covered = lives(Path(folder), chance.randint(1, 3))[1]  # its check compares content with coverage
    expected = frozenset().union(*intact)
    assert covered == expected, f"trial {number}: {sorted(covered)}, expected {sorted(expected)}"
    counts["trials"] += 1
    counts["less found than was saved"] += len(intact) < len(truth(which))


if __name__ == "__main__":
    campaign(__doc__, trial)

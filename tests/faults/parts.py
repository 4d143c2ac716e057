"""Damaged checkpoint folders: bits flipped, files cut, emptied, lost, swapped, replaced by older ones, renamed.

    python -m tests.faults.parts --count 10000 --seed 1

Each trial damages a folder that several lives have left, restarts on some number of ranks and compares with an oracle
that knows which files are untouched and tries all combinations of them. Prints how often each damage was done, how
often an older generation was used, and how often less than everything was found. One trial again: --only NUMBER.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations

from hpckit.checkpoint import content, names
from hpckit.checkpoint.names import Entry

from .memory import File, MemoryFiles
from .saving import Life

HISTORIES = 12
Known = tuple[Entry, frozenset[int], list[str], list[str]]  # units; parts that a manifest lists; writers contained


@cache
def history(number: int) -> dict[str, bytes]:
    """A folder after one to three lives, each of which saved alone and, in every second history, in phases; in every
    fourth one ranks died and others took over."""
    chance = random.Random(number)
    files = MemoryFiles()
    with files.installed():
        for _ in range(1 + number % 3):
            files.names_synced = {}
            life = Life(files, chance.randint(1, 3))
            todo, alive = life.deal(chance), list(range(life.size))
            for _ in range(chance.randint(3, 7)):
                rank = chance.choice(alive)
                if number % 4 == 2 and len(alive) > 1 and chance.random() < 0.3:  # the others take its work over
                    alive.remove(rank)
                    life.lose(rank, alive)
                    rank = chance.choice(alive)
                for _ in range(chance.randint(0, 2)):
                    if todo[rank]:
                        life.states[rank].add(todo[rank].pop())
                if number % 2 and chance.random() < 0.3:
                    life.commit_phase("boundary")
                else:
                    life.commit(rank)
    return {name: bytes(file.data) for name, file in files.names_now.items()}


@cache
def truth(number: int) -> dict[str, Known]:
    """What each file of a history is."""
    files = as_files(history(number))
    known = {}
    with files.installed():
        for name in files.names_now:
            entry = names.parse(name)
            assert entry is not None
            part = content.read("ck", entry)
            listed = [p["name"] for p in part.meta["parts"]] if entry.kind == "manifest" else []
            known[name] = (entry, frozenset(part.covers), listed, [entry.writer, *part.supersedes])
    return known


def as_files(folder: dict[str, bytes]) -> MemoryFiles:
    """These files in memory."""
    files = MemoryFiles()
    for name, data in folder.items():
        file = File()
        file.data, file.synced = bytearray(data), data
        files.names_now[name] = file
    files.names_synced = dict(files.names_now)
    return files


def flip(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    data = bytearray(folder[name])
    for _ in range(chance.choice([1, 1, 1, 2, 30])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    folder[name] = bytes(data)


def truncate(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    folder[name] = folder[name][: chance.randrange(len(folder[name]))]


def extend(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    folder[name] += bytes(chance.randint(1, 5000))


def zero(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    """A block that never reached the disk."""
    data = bytearray(folder[name])
    start = chance.randrange(0, len(data), 512)
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    folder[name] = bytes(data)


def empty(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    folder[name] = b""


def lose(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    del folder[name]


def swap(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    other = chance.choice(sorted(folder))
    folder[name], folder[other] = folder[other], folder[name]


def stale(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    """The content of another file under this name; its own is gone."""
    folder[name] = folder[chance.choice(sorted(folder))]


def rename(folder: dict[str, bytes], name: str, chance: random.Random) -> None:
    """A whole file under the name of another rank, generation or life, with its right size and digest."""
    entry = names.parse(name)
    if entry is not None:
        field = chance.choice(["rank", "generation", "life", "after"])
        changed = replace(entry, **{field: getattr(entry, field) + chance.randint(1, 3)})
        folder[changed.name] = folder.pop(name)


DAMAGES: dict[str, Callable[[dict[str, bytes], str, random.Random], None]] = {
    function.__name__: function for function in (flip, truncate, extend, zero, empty, lose, swap, stale, rename)
}


def damaged(original: dict[str, bytes], chance: random.Random, counts: Counter[str]) -> dict[str, bytes]:
    """The files of a folder after one or more damages, which are counted."""
    folder = dict(original)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        name = chance.choice(sorted(folder))
        if folder[name]:
            kind = chance.choice(sorted(DAMAGES))
            DAMAGES[kind](folder, name, chance)
            counts[kind] += 1
    return folder


def best(known: dict[str, Known], intact: set[str]) -> frozenset[int]:
    """The most units that untouched files can give, by trying everything. Whole phases only, the newest first."""
    kinds = {kind: [n for n in known if known[n][0].kind == kind] for kind in names.KINDS}
    for manifest in [*sorted(kinds["manifest"], key=lambda n: -known[n][0].generation), None]:
        number = 0 if manifest is None else known[manifest][0].generation
        listed = [] if manifest is None else known[manifest][2]
        if (manifest is not None and manifest not in intact) or any(name not in known for name in listed):
            continue
        usable = [n for n in kinds["part"] if n in intact and known[n][0].after == number]
        usable += [n for n in listed if n in intact]
        found = _most([known[name][1] for name in usable])
        contained = {writer for name in usable if known[name][0].kind == "part" for writer in known[name][3]}
        if all(name in intact or known[name][0].writer in contained for name in listed):
            return found
    return frozenset()


def _most(sets: list[frozenset[int]]) -> frozenset[int]:
    """The largest union of disjoint sets."""
    sets = sorted({s for s in sets if s}, key=len, reverse=True)
    most: frozenset[int] = frozenset()
    for count in range(1, len(sets) + 1):
        for chosen in combinations(sets, count):
            union = frozenset().union(*chosen)
            if len(union) > len(most) and len(union) == sum(map(len, chosen)):
                most = union
    return most


def trial(seed: int, number: int, counts: Counter[str]) -> None:
    """One damaged folder, one restart. AssertionError if anything wrong is believed or anything right is not."""
    chance = random.Random(f"{seed} {number}")
    which = chance.randrange(HISTORIES)
    original, known = history(which), truth(which)
    folder = damaged(original, chance, counts)
    intact = {name for name, data in folder.items() if original.get(name) == data}
    present = {name: facts for name, facts in known.items() if name in folder}
    files = as_files(folder)
    with files.installed():
        life = Life(files, chance.randint(1, 3))  # its check compares content with coverage
    expected = best(present, intact)
    assert len(life.covered) == len(expected), f"trial {number}: {sorted(life.covered)}, expected {sorted(expected)}"
    everything = best(known, set(known))
    counts["trials"] += 1
    counts["less found than was saved"] += len(expected) < len(everything)
    counts["warned"] += bool(life.restored[0].warnings)
    touched = [n for n in known if n not in intact and known[n][0].kind in ("part", "phase", "manifest")]
    counts["an older generation or nothing lost"] += bool(touched) and len(expected) == len(everything)


def campaign(what: str, trial: Callable[[int, int, Counter[str]], None]) -> None:
    """`trial`(seed, number, counts) as often as the command line, which `what` describes, says."""
    options = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", type=int, metavar="NUMBER", help="this trial alone")
    given = options.parse_args()
    counts: Counter[str] = Counter()
    for number in range(given.count) if given.only is None else [given.only]:
        trial(given.seed, number, counts)
    print(f"seed {given.seed}: " + ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))
    print("none was believed")


if __name__ == "__main__":
    campaign(__doc__, trial)

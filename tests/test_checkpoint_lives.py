"""Lives of a job on changing rank counts, killed at any call to the file system: nothing twice, nothing saved lost."""

from __future__ import annotations

import random

from faults.memory import Killed, MemoryFiles
from faults.saving import UNITS, Life, live
from hypothesis import given, settings
from hypothesis import strategies as st


def restart(files: MemoryFiles, size: int) -> set[int]:
    """The units that a restart on so many ranks finds."""
    with files.installed():
        return Life(files, size).covered


@given(st.integers(0, 1 << 30), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 120))
@settings(max_examples=25)
def test_lives_cut_short_anywhere_lose_nothing_that_was_saved(seed: int, sizes: list[int], steps: int) -> None:
    chance = random.Random(seed)
    files, saved = MemoryFiles(), set()
    for size in sizes:
        files = files.after_kill()
        files.stop_at = chance.randint(1, steps)
        with files.installed():
            if live(files, size, chance, saved):
                return
        covered = restart(files.after_kill(), chance.randint(1, 4))
        # What was being committed when the kill came may be there or not.
        assert covered >= saved
        saved |= covered


def live_and_lose(files: MemoryFiles, size: int, chance: random.Random, saved: set[int]) -> None:
    """A life in which ranks die one after another and the others take over."""
    try:
        life, alive = Life(files, size), list(range(size))
        todo = life.deal(chance)
        for _ in range(30):
            step, rank = chance.random(), chance.choice(alive)
            if step < 0.5 and todo[rank]:
                life.states[rank].add(todo[rank].pop())
            elif step < 0.85:
                life.commit(rank)
                saved |= life.states[rank]
            elif len(alive) > 1:
                alive.remove(rank)
                life.lose(rank, alive)
                assert life.covered >= saved, f"lost {sorted(saved - life.covered)} with rank {rank}"
                left = [unit for unit in UNITS if unit not in life.covered]
                todo = [left[alive.index(r) :: len(alive)] if r in alive else [] for r in range(size)]
    except Killed:
        pass


@given(st.integers(0, 1 << 30), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(20, 200))
@settings(max_examples=20)
def test_ranks_that_die_inside_lives_lose_nothing_that_was_saved(seed: int, sizes: list[int], steps: int) -> None:
    chance = random.Random(seed)
    files, saved = MemoryFiles(), set()
    for size in sizes:
        files = files.after_kill()
        files.stop_at = chance.randint(10, steps)
        with files.installed():
            live_and_lose(files, size, chance, saved)
        covered = restart(files.after_kill(), chance.randint(1, 4))
        assert covered >= saved
        saved |= covered


def test_every_prefix_of_two_lives() -> None:
    """The second life, on another rank count, is stopped at each of its steps."""
    count = 0
    for sizes in ((1, 2), (3, 2)):
        first = MemoryFiles()
        with first.installed():
            life = Life(first, sizes[0])
            for rank in range(sizes[0]):
                for unit in (rank, rank + 4):
                    life.states[rank].add(unit)
                    life.commit(rank)
        before = set().union(*life.states)
        stop = 0
        while True:
            files = first.after_kill()
            files.stop_at = stop
            saved, done = set(before), False
            with files.installed():
                try:
                    life = Life(files, sizes[1])
                    for turn in range(3):
                        for rank in range(sizes[1]):
                            life.states[rank].add(8 + rank + turn if rank == 0 else 11)
                            life.commit(rank)
                            saved |= life.states[rank]
                    done = True
                except Killed:
                    pass
            assert restart(files.after_kill(), 2) >= saved, f"stopped at step {stop} of {sizes}"
            count += 1
            if done:
                break
            stop += 1
    assert count > 80

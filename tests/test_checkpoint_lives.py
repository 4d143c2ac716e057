"""Lives of a job on changing rank counts, killed at any call to the file system: nothing twice, nothing saved lost."""

from __future__ import annotations

import random

from faults.memory import Killed, MemoryFiles
from faults.saving import Life, live
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

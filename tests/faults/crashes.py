"""Power cuts and write errors: every prefix of what a job writes, and every call of it failing.

    python -m tests.faults.crashes --seeds 20

Crashes: a job's calls to the file system are recorded; it is stopped before each one, what was not synced is dropped or
half there, and it is started again. Errors: each call fails once with ENOSPC, EIO, EROFS or EACCES; the job must say so
(or not need the call), go on once the trouble is over, and lose nothing that was saved.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator

from hpckit.errors import OutputError

from .memory import Killed, MemoryFiles
from .saving import Life

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)


def story(files: MemoryFiles, saved: set[int]) -> Iterator[Callable[[], None]]:
    """Two lives that save alone and in phases, as steps; `saved` holds the units that must never be lost."""
    for size, phases in ((2, True), (3, False), (1, True)):
        life = Life(files, size)
        todo = life.deal(random.Random(size))

        for turn in range(3):
            for rank in range(size):
                if todo[rank]:
                    life.states[rank].add(todo[rank].pop())

                def commit(life: Life = life, rank: int = rank) -> None:
                    life.commit(rank)
                    saved.update(life.states[rank])

                yield commit
            if phases and turn == 1:

                def boundary(life: Life = life) -> None:
                    life.commit_phase("boundary")
                    saved.update(*life.states)

                yield boundary
        for rank in range(size):
            life.states[rank].update(todo[rank])
            todo[rank] = []

    def finish(life: Life = life) -> None:
        saved.clear()
        life.finish()

    yield finish


def crash(stop_at: int, seeds: int, counts: Counter[str]) -> bool:
    """Run the story, cut the power before call `stop_at`, start again; returns whether the story ended before."""
    files, saved = MemoryFiles(), set[int]()
    files.stop_at = stop_at
    ended = False
    with files.installed():
        try:
            for step in story(files, saved):
                step()
            ended = True
        except Killed:
            pass
    for seed in range(seeds):
        left = files.after_crash(seed)
        with left.installed():
            covered = Life(left, 1 + seed % 3).covered  # its check compares content with coverage
        assert covered >= saved, f"crash before call {stop_at} ({seed}): lost {sorted(saved - covered)}"
        counts["crashes replayed"] += 1
    return ended


def fail(at: int, number: int, counts: Counter[str]) -> bool:
    """Run the story with call `at` failing once; returns whether the story ended before the call."""
    files, saved = MemoryFiles(), set[int]()
    files.fail = {at: number}
    told = 0
    with files.installed():
        steps = story(files, saved)
        while True:
            try:
                step = next(steps, None)
            except OutputError as error:  # at the start of a life: the user starts it again
                _check_words(error, number)
                counts["a life refused to start"] += 1
                break
            if step is None:
                break
            try:
                step()
            except OutputError as error:
                _check_words(error, number)
                told += 1
                step()  # the disk is mended: the same again
        files.fail = {}
    left = files.after_kill()
    with left.installed():
        covered = Life(left, 2).covered
    assert covered >= saved, f"call {at} failed with {errno.errorcode[number]}: lost {sorted(saved - covered)}"
    if at < len(files.steps):
        counts["errors told" if told else "errors that did not matter"] += 1
    return at >= len(files.steps)


def _check_words(error: OutputError, number: int) -> None:
    text = str(error)
    assert os.strerror(number).lower() in text and "ck" in text, text


def campaign(seeds: int, every: int = 1) -> Counter[str]:
    """Every call (or each `every`-th) crashed with so many seeds, and failed with each error."""
    counts: Counter[str] = Counter()
    at = 0
    while not crash(at, seeds, counts):
        counts["calls"] += 1
        at += every
    for number in ERRORS:
        at = 0
        while not fail(at, number, counts):
            at += every
    return counts


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=4, help="how many ways each crash turns out")
    options.add_argument("--every", type=int, default=1, help="try each so many-th call only")
    given = options.parse_args()
    counts = campaign(given.seeds, given.every)
    print(", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))


if __name__ == "__main__":
    main()

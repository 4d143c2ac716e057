"""Short runs of the campaigns in tests/faults, and proof that they notice a store that is careless."""

from __future__ import annotations

import errno
import os
from collections import Counter

import pytest
from faults import crashes, parts, run_files
from faults.memory import MemoryFiles
from faults.saving import Life

from hpckit.checkpoint import content, files
from hpckit.errors import OutputError


def test_no_damaged_part_is_believed() -> None:
    counts: Counter[str] = Counter()
    for number in range(100):
        parts.trial(2, number, counts)
    assert counts["trials"] == 100 and set(parts.DAMAGES) <= set(counts)
    assert counts["an older generation or nothing lost"] > 20 and counts["less found than was saved"] > 5


def test_no_damaged_run_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()
    for number in range(60):
        run_files.trial(2, number, counts)
    assert counts["trials"] == 60 and set(parts.DAMAGES) <= set(counts)
    assert counts["less found than was saved"] > 20
    monkeypatch.setattr(content, "read_verified", lambda *_, **__: None)
    with pytest.raises(Exception):  # noqa: B017 - wrong units, or HDF5's own complaint about what it was given
        for number in range(60):
            run_files.trial(2, number, Counter())


def test_every_kind_of_crash_and_error() -> None:
    counts = crashes.campaign(seeds=2, every=43)
    assert counts["crashes replayed"] >= 8 and counts["errors told"] >= 6


@pytest.mark.parametrize("forgotten", ["sync", "sync_folder"])
def test_the_crash_campaign_notices_a_missing_sync(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFiles, forgotten, lambda self, what: None)
    with pytest.raises(AssertionError, match="lost"):
        for at in range(30, 130, 3):
            crashes.crash(at, 3, Counter())


def test_the_parts_campaign_notices_an_unchecked_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(folder: str, entry, keep: bool = True):
        import numpy as np

        data = np.empty(files.size_of(os.path.join(folder, entry.name)), np.uint8)
        files.read(files.open_to_read(os.path.join(folder, entry.name)), data)
        return data

    monkeypatch.setattr(content, "read_verified", believe)
    with pytest.raises(Exception):  # noqa: B017 - wrong units, or HDF5's own complaint about what it was given
        for number in range(60):
            parts.trial(2, number, Counter())


@pytest.mark.parametrize("function", ["open_to_read", "read", "size_of"])
def test_parts_that_cannot_be_read_are_done_again(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryFiles()
    with memory.installed():
        life = Life(memory, 2)
        for rank in range(2):
            for unit in (rank, rank + 2):
                life.states[rank].add(unit)
                life.commit(rank)
    again = memory.after_kill()
    good = getattr(again, function)

    def refuse(what, *rest):
        entry = what if isinstance(what, str) else again._open[what][0]
        newest = [n for n in again.names_now if n.startswith("part") and ".00001.000002." in n]
        if (isinstance(entry, str) and os.path.basename(entry) in newest) or entry is again.names_now[newest[0]]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return good(what, *rest)

    setattr(again, function, refuse)
    with again.installed():
        life = Life(again, 3)
    assert life.covered == {0, 2, 1}, "rank 1's older generation takes the place of the one that cannot be read"
    assert len(life.restored[0].warnings) == 1 and "input/output error" in life.restored[0].warnings[0].lower()


def test_a_folder_that_cannot_be_listed_is_one_clean_error(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryFiles()

    def refuse(folder: str) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    memory.names = refuse  # type: ignore[method-assign]
    with memory.installed(), pytest.raises(OutputError, match=r"checkpoint ck: .*input/output error"):
        Life(memory, 2)

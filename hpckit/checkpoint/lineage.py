"""What a rank's parts contain, and which files may go because enough newer ones contain them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress

from hpckit.checkpoint import files, names
from hpckit.checkpoint.choice import Outcome
from hpckit.checkpoint.content import Part
from hpckit.checkpoint.names import Entry
from hpckit.errors import InternalError


class Lineage:
    """The generations of one rank: its own parts, before them the parts of earlier lives that it was given.

    A part contains everything before it. Of each line `keep` generations stay; a part that was given counts as one, for
    it was whole when it was read. May be used by two threads.
    """

    def __init__(self, path: str, keep: int) -> None:
        self.path, self.keep = path, keep
        self._lock = threading.RLock()
        self.forget()

    def forget(self, covers: Iterable[int] = ()) -> None:
        """Begin anew: nothing is committed, given or contained; the next part has to cover `covers`."""
        with self._lock:
            self.covers = frozenset(covers)
            self.included: set[str] = set()  # writers whose parts are contained in what this rank commits
            self._own: list[Entry] = []  # this rank's parts in the folder, oldest first
            self._given: dict[str, Outcome] = {}  # parts that restore gave this rank, by name, without their content
            self._others: dict[str, list[str]] = {}  # writer -> names of its parts in the folder
            self._runs: dict[str, frozenset[int]] = {}  # runs that this rank wrote or was given: writer -> units
            self._behind: list[str] = []  # files older than the given parts that this rank's parts contain by now

    def remember(self, parts: Iterable[Part], present: Iterable[Entry], writer: str) -> None:
        """Keep in mind what this rank was given, and which parts of others than `writer` lie in the folder."""
        with self._lock:
            for part in parts:
                if names.is_run(part.name):
                    self._runs[names.writer_of(part.name)] = frozenset(part.covers)
                else:
                    self._given[part.name] = Outcome("", frozenset(part.covers), part.supersedes)
            for entry in present:
                if entry.kind == "run" or entry.writer == writer:
                    continue
                if entry.name not in self._others.get(entry.writer, ()):
                    self._others.setdefault(entry.writer, []).append(entry.name)

    def next_part(self, part: Part) -> tuple[frozenset[int], tuple[str, ...]]:
        """(units, writers) that the part to be committed covers and contains. InternalError if it has lost units."""
        covers = frozenset(part.covers)
        if not covers >= self.covers:
            lost = sorted(self.covers - covers)
            raise InternalError(f"a part to commit lacks units {lost[:5]} that the one before covers")
        with self._lock:
            for name in part.supersedes:
                self.included |= self._contained(name)
            for name, given in self._given.items():
                if covers.issuperset(given.covers):
                    self.included |= self._contained(name)
            return covers, tuple(sorted(self.included))

    def contained_in(self, units: frozenset[int]) -> set[str]:
        """Writers whose parts are contained in this rank's own, or in a state of these units. Local."""
        with self._lock:
            given = [name for name, outcome in self._given.items() if units.issuperset(outcome.covers)]
            runs = {writer for writer, covers in self._runs.items() if units.issuperset(covers)}
            return self.included.union(runs, *(self._contained(name) for name in given))

    def wrote_run(self, entry: Entry, covers: Iterable[int]) -> None:
        """Keep in mind a run that this rank has written. It stays until the job is complete."""
        with self._lock:
            self._runs[entry.writer] = frozenset(covers)

    def _contained(self, name: str) -> set[str]:
        """The writer of a part and all that this part contains."""
        given = self._given.get(name)
        return {names.writer_of(name), *(given.supersedes if given else ())}

    def landed(self, entry: Entry, included: Iterable[str]) -> None:
        """A part that contains these writers' parts is in the folder: remove what enough newer parts contain.

        What cannot be removed is in nobody's way.
        """
        with self._lock:
            self._own.append(entry)
            contained = set(included)
            for name in [n for n in self._given if names.writer_of(n) in contained]:
                self._leave_behind(name, self._given.pop(name))
            gone = [old.name for old in self._own[: -self.keep]]
            del self._own[: -self.keep]
            if len(self._own) >= self.keep - 1:
                gone += self._behind
                self._behind = []
            if len(self._own) >= self.keep:
                for writer in sorted(contained):
                    gone += self._others.pop(writer, [])
        for name in gone:
            with suppress(OSError):
                files.remove(os.path.join(self.path, name))

    def _leave_behind(self, name: str, given: Outcome) -> None:
        """What is older than a part that was given may go one generation earlier than the part itself."""
        for writer in given.supersedes:
            self._behind += self._others.pop(writer, [])
        writer = names.writer_of(name)
        mine = self._others.pop(writer, [])
        self._behind += [other for other in mine if _is_older(other, name)]
        self._others[writer] = [other for other in mine if not _is_older(other, name)]


def _is_older(name: str, than: str) -> bool:
    """Whether a part comes before another one of the same writer."""
    first, second = names.parse(name), names.parse(than)
    if first is None or second is None:
        return False
    return (first.after, first.generation) < (second.after, second.generation)

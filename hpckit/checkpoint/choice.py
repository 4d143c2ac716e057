"""Which parts of a folder make up the state to go on from: pure decisions, the same on every rank.

Several lives of a job, on different numbers of ranks and each cut short anywhere, have left parts behind. What makes
parts fit together is that the units they cover are disjoint; nothing else is needed for a right answer. To lose as
little as possible, the newest life goes first, and of each of its writers the newest part that is whole. Its parts
contain those that they supersede, so these are not even read; what a life had taken up but not saved again is still
there in the parts of the life before, whose units nobody newer covers. A part that overlaps with what is taken
(a process of an earlier life that lived on and saved once more) gives way to an older one of its writer that does not.

A rank's state only grows within a life, so its newest whole part contains its older ones. A part that was damaged in an
earlier restart and can be read again is harmless for the same reason: superseding goes by writer, and covered units are
compared in any case.

A phase is such a generation of all its ranks at once: what a rank commits later contains its part of the phase. Where
nothing newer does, each of its parts must be whole, else none of it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpckit.checkpoint.names import Entry
from hpckit.frozen import frozen


@frozen
class Outcome:
    """What reading a part gave: why it is not whole ("" if it is), the units it covers, the writers it supersedes, and
    the rank that has read a copy of its own in its place (-1: none)."""

    damage: str
    covers: frozenset[int] = frozenset()
    supersedes: tuple[str, ...] = ()
    reader: int = -1


class Choice:
    """Asks for parts (`wanted`) and is told what they are (`report`) until nothing more is wanted.

    taken      the parts that make up the state, with what reading them gave
    covered    all units that they cover, and those that were held from the start
    broken     why the phase whose parts are among the entries cannot be used, "" if it can
    warnings   damage found and what is used instead
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        held: Iterable[int] = (),
        holders: Iterable[str] = (),
        for_survivors: bool = False,
    ) -> None:
        """`entries`: the parts that exist. `held`, `holders`: units that living ranks have in memory, and the writers
        that these ranks are or have taken up. `for_survivors`: entries may be of several phases, none of which need be
        whole, and parts that cover no unit are not taken."""
        self.taken: list[tuple[Entry, Outcome]] = []
        self.covered: set[int] = set(held)
        self.broken = ""
        self.warnings: list[str] = []
        self._superseded: set[str] = set(holders)
        self._for_survivors = for_survivors
        self._candidates: dict[
            str, tuple[Entry, Outcome]
        ] = {}  # of the life looked at: each writer's newest whole part
        self._lost: dict[str, str] = {}  # writer in that life -> what is wrong with its part of the phase
        self._damaged: list[tuple[str, str]] = []  # (writer in that life, what is wrong with a part of it)
        lives: dict[tuple[int, str], dict[str, list[Entry]]] = {}
        for entry in entries:
            lives.setdefault((entry.life, entry.token), {}).setdefault(entry.writer, []).append(entry)
        for writers in lives.values():
            for generations in writers.values():
                generations.sort(key=_age)
        self._lives = [lives[key] for key in sorted(lives)]  # the newest last

    @property
    def kept(self) -> set[str]:
        """Names of the parts that are taken or may yet be."""
        return {entry.name for entry, _ in (*self.taken, *self._candidates.values())}

    def wanted(self) -> list[Entry]:
        """The parts to read now, by writer; empty when the choice is made."""
        while self._lives and not self.broken:
            writers = self._lives[-1]
            for writer in [w for w, left in writers.items() if not left or w in self._superseded]:
                del writers[writer]
            pending = [writer for writer in sorted(writers) if writer not in self._candidates]
            if pending:
                return [writers[writer][-1] for writer in pending]
            if self._candidates:
                self._decide(writers)
            else:
                self._end_life()
        return []

    def report(self, outcomes: Sequence[tuple[Entry, Outcome]]) -> None:
        """What the wanted parts are, in the order in which they were wanted."""
        writers = self._lives[-1]
        for entry, outcome in outcomes:
            older = writers[entry.writer][:-1]
            if outcome.damage:
                writers[entry.writer].pop()
                self._note_damage(entry, outcome.damage, older)
            elif self._for_survivors and not outcome.covers:
                writers[entry.writer].pop()
            else:
                self._candidates[entry.writer] = (entry, outcome)

    def _decide(self, writers: dict[str, list[Entry]]) -> None:
        """Take what fits together of a life in which every writer has a whole part or none.

        Within a life a rank may have taken up the part of one that died. It contains more writers than that part does,
        so the parts that contain most go first.
        """
        candidates = sorted(self._candidates.values(), key=lambda c: (-len(c[1].supersedes), c[0].writer))
        self._candidates = {}
        for entry, outcome in candidates:
            writers[entry.writer].pop()
            if entry.writer not in self._superseded and self.covered.isdisjoint(outcome.covers):
                self.taken.append((entry, outcome))
                self.covered |= outcome.covers
                self._superseded.update(outcome.supersedes)
                del writers[entry.writer]

    def _end_life(self) -> None:
        """All of a life is decided; what is missing of a phase must be contained in something newer."""
        self._lives.pop()
        self.warnings += [text for writer, text in self._damaged if writer not in self._superseded]
        self._damaged = []
        missing = [text for writer, text in self._lost.items() if writer not in self._superseded]
        self.broken = missing[0] if missing else ""
        self._lost = {}

    def _note_damage(self, entry: Entry, damage: str, older: list[Entry]) -> None:
        if entry.kind == "phase" and not self._for_survivors:
            self._lost[entry.writer] = f"{entry} {damage} ({entry.name})"
            return
        instead = "the one before is tried" if older else "nothing else of it is there: its work is done again"
        self._damaged.append((entry.writer, f"{entry} {damage}; {instead} ({entry.name})"))


def _age(entry: Entry) -> tuple[int, int, str]:
    """Later files of a writer compare greater; a phase comes before the parts committed after it."""
    place = (entry.generation, 0) if entry.kind == "phase" else (entry.after, entry.generation)
    return (*place, entry.name)

"""The store of a job's generations in a folder: commit parts alone, restore on any number of ranks, finish."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from hpckit.checkpoint import content, files, folder, identity, names, phases
from hpckit.checkpoint.choice import Choice, Outcome
from hpckit.checkpoint.content import Part
from hpckit.checkpoint.names import Entry
from hpckit.checkpoint.reading import read_chosen
from hpckit.errors import InternalError
from hpckit.frozen import frozen

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

__all__ = ["Part", "Restored", "Store"]


@frozen
class Restored:
    """What a restart goes on from.

    parts      those dealt to this rank; each says its name and what it covers
    covered    ids of all units that any rank's parts cover: they need no work
    phase      name of the phase whose boundary the parts are from, "" if there was none yet
    warnings   what was damaged and what is used instead, the same on every rank; to be shown once
    life       number of this start of the job, from 1
    """

    parts: list[Part]
    covered: frozenset[int]
    phase: str = ""
    warnings: list[str] = field(default_factory=list)
    life: int = 1


class Store:
    """Generations of one job in `path`. `restore` opens it, also for a first start; then `commit` as often as liked.

    A part covers units of work and only grows: what a rank commits contains what it committed before and the parts
    that `restore` gave it. Parts of others are not touched, and nothing is believed that its digest does not vouch for.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        job: dict[str, Any],
        *,
        compression: str | None = None,
        keep: int = 2,
        local: str | os.PathLike[str] | None = None,
    ) -> None:
        """Local. `job` is the job's identity (see identity.py): parts of another one are refused. `keep` generations
        stay on disk (at least 1). `compression`: None, "gzip" or "lzf"."""
        if keep < 1:
            raise InternalError(f"keep {keep}: expected at least 1 generation")
        self.path = os.fspath(path)
        self.job = job
        self.identity = identity.digest(job)
        self.keep = keep
        self._compression = compression
        self._life = 0
        self._token = ""
        self._rank = -1
        self._after = 0  # the phase that parts committed now come after
        self._last_phase = 0  # the highest number of a phase that was ever begun here
        self._own: list[Entry] = []  # this rank's parts, oldest first
        self._own_covers: frozenset[int] = frozenset()
        self._given: dict[str, Outcome] = {}  # parts that restore gave this rank, by name; without their content
        self._included: set[str] = set()  # writers whose parts are contained in what this rank commits
        self._others: dict[str, list[str]] = {}  # writer of an earlier life -> names of its files
        self._behind: list[str] = []  # files older than the parts that this rank was given and contains by now

    @property
    def writer(self) -> str:
        """Who this process is in the names of its parts: life, token and the rank with which the life began."""
        if self._rank < 0:
            raise InternalError(
                f"{self.path}: restore() opens a checkpoint folder, also at a first start; call it first"
            )
        return f"{self._life:03d}-{self._token}.{self._rank:05d}"

    def restore(self, ctx: Context, held: Iterable[int] | None = None) -> Restored:
        """Open the folder and deal out what was saved, by size, over the ranks of `ctx`. Collective.

        UserError if the folder belongs to another job or to something else, with the reason. Parts that are damaged are
        replaced by the generation before and named in `warnings`.

        In a job that lost ranks, the survivors call it again with `held`, the units whose work this rank has in memory:
        what the lost ranks had saved of others is dealt out, and the life goes on.
        """
        found = ctx.on_root(folder.look, self.path, self.job, self.identity)
        goes_on = bool(ctx.allreduce(int(held is not None), "max"))
        if not goes_on:
            self._begin_life(ctx, found)
        if goes_on:
            units, writers = self._holding(ctx, held)
            choice = Choice([*found.parts, *found.phases], units, writers, for_survivors=True)
            parts, name, warnings = read_chosen(ctx, self.path, choice), "", choice.warnings
        else:
            choice, parts, name, warnings = self._choose_phase(ctx, found)
        self._last_phase = max([self._last_phase, *(entry.generation for entry in (*found.phases, *found.manifests))])
        self._remember(parts, found)
        warnings = [f"checkpoint {self.path}: {text}" for text in warnings]
        return Restored(parts, frozenset(choice.covered), name, warnings, self._life)

    def _choose_phase(self, ctx: Context, found: folder.Found) -> tuple[Choice, list[Part], str, list[str]]:
        """(choice, this rank's parts, name of the phase, warnings): the newest phase that is whole and what came after
        it. Collective."""
        warnings: list[str] = []
        for phase in phases.newest_first(ctx, self.path, found):
            damage = phase.damage
            if not damage:
                after = [entry for entry in found.parts if entry.after == phase.number]
                choice = Choice([*after, *phase.entries])
                parts = read_chosen(ctx, self.path, choice)
                damage = choice.broken
            if not damage:
                self._after = phase.number
                return choice, parts, phase.name, [*warnings, *choice.warnings]
            warnings.append(replace(phase, damage=damage).warning)
        raise InternalError(f"{self.path}: the beginning of a job is always whole")

    def _begin_life(self, ctx: Context, found: folder.Found) -> None:
        """Number this start of the job and note it in the folder. Collective."""
        self._life, self._token = found.last_life + 1, ctx.bcast(os.urandom(4).hex(), root=0)
        self._rank = ctx.rank
        self._forget()
        with ctx.agreed(f"opening checkpoint folder {self.path}"), self._errors("a life"):
            if ctx.is_root:
                folder.clean(self.path, found)
                entry = self._entry("life", 1)
                content.write(self.path, entry, Part(meta={"identity": self.job, **identity.circumstances(ctx.size)}))

    def _holding(self, ctx: Context, held: Iterable[int] | None) -> tuple[set[int], set[str]]:
        """(units in the memory of any rank, writers that these ranks are or contain). Collective."""
        mine = (sorted(held or ()), [self.writer, *self._included])
        everyone = ctx.allgather(mine)
        return {unit for units, _ in everyone for unit in units}, {w for _, writers in everyone for w in writers}

    def _remember(self, parts: list[Part], found: folder.Found) -> None:
        """Keep in mind what this rank has been given, and which files may go once it is contained in newer ones."""
        for part in parts:
            self._given[part.name] = Outcome("", frozenset(part.covers), part.supersedes)
        for entry in found.parts:
            if entry.writer != self.writer:
                self._others.setdefault(entry.writer, []).append(entry.name)

    def _entry(self, kind: str, generation: int) -> Entry:
        return Entry(kind, self._life, self._token, self._rank, generation, self._after, self.identity, 0, "0" * 32)

    def commit(self, part: Part, rank: int | None = None) -> str:
        """Write this rank's next part, whole or not at all, and return its name. Local.

        Then older parts of this rank beyond `keep` are removed, and the parts it took up once `keep` of its own contain
        them. OutputError if it cannot be written; what was there before is as it was. `rank` is for the reader only: a
        process keeps the number with which its life began, also when ranks are lost and the others numbered anew.
        """
        del rank
        writer = self.writer
        covers = frozenset(part.covers)
        if not covers >= self._own_covers:
            lost = sorted(self._own_covers - covers)
            raise InternalError(f"part of {writer}: lacks units {lost[:5]} that its part before covers")
        included = set(self._included)
        for name in part.supersedes:
            included |= self._contained(name)
        for name, given in self._given.items():
            if covers.issuperset(given.covers):
                included |= self._contained(name)
        generation = self._own[-1].generation + 1 if self._own else 1
        whole = replace(part, covers=sorted(covers), supersedes=tuple(sorted(included)))
        with self._errors(f"generation {generation} of rank {self._rank}"):
            entry = content.write(self.path, self._entry("part", generation), whole, self._compression)
        self._own.append(entry)
        self._own_covers, self._included = covers, included
        for name in [n for n in self._given if names.writer_of(n) in included]:
            self._leave_behind(name, self._given.pop(name))
        self._remove_old()
        return entry.name

    def _contained(self, name: str) -> set[str]:
        """The writer of a part and all that this part contains."""
        given = self._given.get(name)
        return {names.writer_of(name), *(given.supersedes if given else ())}

    def commit_phase(self, ctx: Context, name: str, part: Part) -> str:
        """Save the state of all ranks at a phase boundary together: it is there as a whole or not at all. Collective.

        It contains everything committed before, which is removed once `keep` newer phases are there. A part that this
        rank commits later contains its part of the phase. Returns the name of this rank's file. OutputError on all
        ranks if any cannot write.
        """
        number = self._last_phase + 1
        with ctx.agreed(f"writing checkpoint {self.path}"), self._errors(f"phase {name!r}"):
            entry = self._entry("phase", number)
            entry = content.write(self.path, entry, replace(part, covers=sorted(part.covers)), self._compression)
        everyone = ctx.gather({"name": entry.name, "size": entry.size, "digest": entry.digest, "rows": part.rows})
        with ctx.agreed(f"writing checkpoint {self.path}"), self._errors(f"the manifest of phase {name!r}"):
            if ctx.is_root:
                manifest = Part(meta={"phase": name, "parts": everyone})
                content.write(self.path, self._entry("manifest", number), manifest)
        self._last_phase = self._after = number
        self._forget()
        self._own_covers = frozenset(part.covers)
        ctx.on_root(phases.remove_old, self.path, self.keep)
        return entry.name

    def _leave_behind(self, name: str, given: Outcome) -> None:
        """A part that was given was whole, so it counts as a generation: what is older than it may go one earlier."""
        for writer in given.supersedes:
            self._behind += self._others.pop(writer, [])
        own = names.writer_of(name)
        older = [other for other in self._others.get(own, []) if _is_older(other, name)]
        self._behind += older
        self._others[own] = [other for other in self._others.get(own, []) if other not in older]

    def _remove_old(self) -> None:
        """Remove what `keep` newer parts of this rank contain; what cannot be removed is in nobody's way."""
        gone = [entry.name for entry in self._own[: -self.keep]]
        del self._own[: -self.keep]
        if len(self._own) >= self.keep - 1:
            gone += self._behind
            self._behind = []
        if len(self._own) >= self.keep:
            for writer in sorted(self._included):
                gone += self._others.pop(writer, [])
        for name in gone:
            try:
                files.remove(os.path.join(self.path, name))
            except OSError:
                continue

    def finish(self, ctx: Context) -> None:
        """The job's output is committed: what was saved is no longer needed and is removed. Collective.

        A note that the job is complete stays, so that a kill at any moment of this cannot bring parts back.
        """
        with ctx.agreed(f"finishing checkpoint {self.path}"), self._errors("the end of the job"):
            if ctx.is_root:
                note = Part(meta={"identity": self.job, **identity.circumstances(ctx.size)})
                content.write(self.path, self._entry("complete", 1), note)
        ctx.on_root(folder.clear, self.path, self._life)
        self._forget()

    def _forget(self) -> None:
        """Nothing is committed, given or contained yet."""
        self._own, self._own_covers, self._given, self._included, self._others = [], frozenset(), {}, set(), {}
        self._behind = []

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        with folder.output_errors(self.path, what):
            yield


def _is_older(name: str, than: str) -> bool:
    """Whether a part comes before another one of the same writer."""
    first, second = names.parse(name), names.parse(than)
    return (
        first is not None and second is not None and (first.after, first.generation) < (second.after, second.generation)
    )

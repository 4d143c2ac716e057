"""The store of a job's generations in a folder: commit parts alone, restore on any number of ranks, finish."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from hpckit.checkpoint import content, files, folder, identity, phases
from hpckit.checkpoint import local as local_level
from hpckit.checkpoint.choice import Choice
from hpckit.checkpoint.content import DamagedError, Part
from hpckit.checkpoint.lineage import Lineage
from hpckit.checkpoint.local import Background
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

    def show_warnings(self) -> None:
        """Say on standard error what was damaged. Local; for root."""
        for text in self.warnings:
            print(f"hpckit: warning: {text}", file=sys.stderr, flush=True)


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
        stay on disk (at least 1). `compression`: None, "gzip" or "lzf". `local`: a folder on the node's own disk or in
        its memory, to which parts are written first; they are copied to `path` in the background."""
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
        self._generation = 0  # of this rank's newest part
        self._lineage = Lineage(self.path, keep)
        self._local = None if local is None else os.fspath(local)
        self._background = Background(self._flush_one)
        self._runs = 0  # written by this rank
        self._staged: list[tuple[int, Entry]] = []  # those that do not count yet

    @property
    def writer(self) -> str:
        """Who this process is in the names of its parts: life, token and the rank with which the life began."""
        self._check_open()
        return f"{self._life:03d}-{self._token}.{self._rank:05d}"

    def _check_open(self) -> None:
        if self._rank < 0:
            raise InternalError(f"{self.path}: restore() opens a checkpoint, also at a first start; call it first")

    def restore(self, ctx: Context, held: Iterable[int] | None = None) -> Restored:
        """Open the folder and deal out what was saved, by size, over the ranks of `ctx`. Collective.

        UserError if the folder belongs to another job or to something else, with the reason. Parts that are damaged are
        replaced by the generation before and named in `warnings`.

        In a job that lost ranks, the survivors call it again with `held`, the units whose work this rank has in memory:
        what the lost ranks had saved of others is dealt out, and the life goes on.
        """
        self.flush()
        found = ctx.on_root(folder.look, self.path, self.job, self.identity)
        if self._local is not None:
            found = self._bring_up(ctx, found)
        # Where ranks died before a life had begun on all, nobody holds anything: it begins now.
        if ctx.allreduce(int(held is not None and self._rank >= 0), "min"):
            units, writers = self._holding(ctx, held)
            choice = Choice([*found.parts, *found.phases], units, writers, for_survivors=True)
            parts, name, warnings = read_chosen(ctx, self.path, choice, self._local), "", choice.warnings
        else:
            self._begin_life(ctx, found)
            choice, parts, name, warnings = self._choose_phase(ctx, found)
        self._last_phase = max([self._last_phase, *(entry.generation for entry in (*found.phases, *found.manifests))])
        self._lineage.remember(parts, found.parts, self.writer)
        if self._local is not None:
            local_level.remove_other_lives(self._local, self.identity, self._life)
        warnings = [f"checkpoint {self.path}: {text}" for text in warnings]
        return Restored(parts, frozenset(choice.covered), name, warnings, self._life)

    def _bring_up(self, ctx: Context, found: folder.Found) -> folder.Found:
        """Copy to the folder what lies only on the nodes' own disks. Collective."""
        assert self._local is not None
        with ctx.agreed(f"opening {self._local}"), folder.output_errors(self._local, "the local folder"):
            files.make_folder(self._local)
        with folder.output_errors(self.path, "a part that is on one node only"):
            came = local_level.bring_up(ctx, self._local, self.path, self.identity, found)
        last = max([found.last_life, *(entry.life for entry in came)])
        return replace(found, parts=[*found.parts, *came], last_life=last)

    def _choose_phase(self, ctx: Context, found: folder.Found) -> tuple[Choice, list[Part], str, list[str]]:
        """(choice, this rank's parts, name of the phase, warnings): the newest phase that is whole and what came after
        it. Collective."""
        warnings: list[str] = []
        for phase in phases.newest_first(ctx, self.path, found):
            damage = phase.damage
            if not damage:
                after = [entry for entry in found.parts if entry.after == phase.number]
                choice = Choice([*after, *phase.entries])
                parts = read_chosen(ctx, self.path, choice, self._local)
                damage = choice.broken
            if not damage:
                self._after = phase.number
                return choice, parts, phase.name, [*warnings, *choice.warnings]
            warnings.append(replace(phase, damage=damage).warning)
        raise InternalError(f"{self.path}: the beginning of a job is always whole")

    def _begin_life(self, ctx: Context, found: folder.Found) -> None:
        """Number this start of the job and note it in the folder. Collective."""
        self._life, self._token = found.last_life + 1, ctx.bcast(os.urandom(4).hex(), root=0)
        self._rank, self._generation = ctx.rank, 0
        self._runs = 0
        self._lineage.forget()
        with ctx.agreed(f"opening checkpoint folder {self.path}"), self._errors("a life"):
            if ctx.is_root:
                folder.clean(self.path, found)
                entry = self._entry("life", 1)
                content.write(self.path, entry, Part(meta={"identity": self.job, **identity.circumstances(ctx.size)}))

    def _holding(self, ctx: Context, held: Iterable[int] | None) -> tuple[set[int], set[str]]:
        """(units in the memory of any rank, writers that these ranks are or contain). Collective."""
        units = frozenset(held or ())
        mine = (sorted(units), [self.writer, *self._lineage.contained_in(units)])
        everyone = ctx.allgather(mine)
        return {unit for units, _ in everyone for unit in units}, {w for _, writers in everyone for w in writers}

    def _entry(self, kind: str, generation: int) -> Entry:
        return Entry(kind, self._life, self._token, self._rank, generation, self._after, self.identity, 0, "0" * 32)

    def commit(self, part: Part, rank: int | None = None) -> str:
        """Write this rank's next part, whole or not at all, and return its name. Local.

        Then older parts of this rank beyond `keep` are removed, and the parts it took up once `keep` of its own contain
        them. OutputError if it cannot be written; what was there before is as it was. `rank` is for the reader only: a
        process keeps the number with which its life began, also when ranks are lost and the others numbered anew.
        """
        del rank
        self._check_open()
        covers, included = self._lineage.next_part(part)
        whole = replace(part, covers=sorted(covers), supersedes=included)
        entry = self._entry("part", self._generation + 1)
        with self._errors(f"generation {entry.generation} of rank {self._rank}"):
            entry = self._write(entry, whole, included)
        self._generation, self._lineage.covers = entry.generation, covers
        return entry.name

    def add_run(self, part: Part) -> int:
        """Write a part that stands by itself and is never written again, such as a sorted run; it goes to the shared
        folder at once, but counts only from `commit_runs` on. Local.

        Returns an open file to read from, which belongs to the caller. OutputError if it cannot be written. `restore`
        gives runs back as parts whose large arrays are InFile.
        """
        self._check_open()
        entry = self._entry("run", self._runs + 1)
        with self._errors(f"run {entry.generation} of rank {self._rank}"):
            fd, entry = content.stage(self.path, entry, part)
        self._runs = entry.generation
        self._staged.append((fd, entry))
        self._lineage.wrote_run(entry, part.covers)
        return os.dup(fd)

    def commit_runs(self) -> int:
        """From now on all runs of this rank count; returns how many are new. Local. OutputError if one cannot."""
        count = len(self._staged)
        with self._errors(f"runs of rank {self._rank}"):
            while self._staged:
                fd, entry = self._staged[0]
                content.settle(self.path, fd, entry)
                del self._staged[0]
                files.close(fd)
            if count:
                files.sync_folder(self.path)
        return count

    def _drop_staged(self) -> None:
        for fd, _ in self._staged:
            with suppress(OSError):
                files.close(fd)
        self._staged = []

    def _write(self, entry: Entry, part: Part, included: tuple[str, ...]) -> Entry:
        """Write a part where it goes first; OSError."""
        if self._local is not None:
            with suppress(OSError):  # the local level is for speed: without it the part goes to the shared folder
                done = content.write(self._local, entry, part, self._compression)
                self._background.put((done, included))
                return done
            self._background.wait()
        entry = content.write(self.path, entry, part, self._compression)
        self._lineage.landed(entry, included)
        return entry

    def _flush_one(self, item: tuple[Entry, tuple[str, ...]]) -> None:
        """Copy a part from the local folder to the shared one; older ones of this rank go from the local folder."""
        entry, included = item
        assert self._local is not None
        try:
            content.copy(self._local, self.path, entry)
        except DamagedError as error:
            raise OSError(errno.EIO, f"the copy in {self._local} {error}") from error
        self._lineage.landed(entry, included)
        for other in local_level.entries(self._local, self.identity):
            if other.writer == entry.writer and other.generation < entry.generation:
                with suppress(OSError):
                    files.remove(os.path.join(self._local, other.name))

    def flush(self) -> None:
        """Return when all that was committed is in the shared folder; at once if there is no local level. Local.

        Call it before the process leaves with work saved: a node's own disk may be gone afterwards. OutputError if it
        cannot be written.
        """
        with self._errors("a part in the background"):
            self._background.wait()

    def commit_phase(self, ctx: Context, name: str, part: Part) -> str:
        """Save the state of all ranks at a phase boundary together: it is there as a whole or not at all. Collective.

        It contains everything committed before, which is removed once `keep` newer phases are there. A part that this
        rank commits later contains its part of the phase. Returns the name of this rank's file. OutputError on all
        ranks if any cannot write.
        """
        with ctx.agreed(f"writing checkpoint {self.path}"):
            self.flush()
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
        self._generation = 0
        self._lineage.forget(part.covers)
        ctx.on_root(phases.remove_old, self.path, self.keep)
        return entry.name

    def finish(self, ctx: Context) -> None:
        """The job's output is committed: what was saved is no longer needed and is removed. Collective.

        A note that the job is complete stays, so that a kill at any moment of this cannot bring parts back.
        """
        with suppress(Exception):
            self._background.wait(drop=True)
        with ctx.agreed(f"finishing checkpoint {self.path}"), self._errors("the end of the job"):
            if ctx.is_root:
                note = Part(meta={"identity": self.job, **identity.circumstances(ctx.size)})
                content.write(self.path, self._entry("complete", 1), note)
        ctx.on_root(folder.clear, self.path, self._life)
        self._lineage.forget()
        self._drop_staged()
        self._generation = 0
        if self._local is not None:
            local_level.remove_other_lives(self._local, self.identity, self._life + 1)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        with folder.output_errors(self.path, what):
            yield

"""Checkpoints of statements under way: each rank saves what it has read, alone, and a restart goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hpckit.checkpoint import identity
from hpckit.checkpoint.saving import Saving
from hpckit.checkpoint.store import Part, Restored, Store
from hpckit.sources.base import OpenSource
from hpckit.sources.counts import LineCounts
from hpckit.spmd.failpoints import fail_point
from hpckit.tables import saved
from hpckit.tables.explain import explain
from hpckit.tables.plan import Source

if TYPE_CHECKING:
    from hpckit.tables.execute import Job

REJECTS = "rejects"


class Checkpoints(Saving):
    """The saved state of one Job in the folder that its options name.

    A part holds the states of all statements and the counts of all scans over the splits that its rank has read; which
    ones is what it covers. Saving needs no other rank.
    """

    done = "read"

    def __init__(self, job: Job, opened: Mapping[Source, OpenSource]) -> None:
        """Collective: root looks at the inputs."""
        folder = job.options.checkpoint
        assert folder is not None
        described = job.ctx.on_root(_identity, job, dict(opened))
        store = Store(folder, described, local=job.options.checkpoint_local)
        super().__init__(job.ctx, store, job.options.checkpoint_every_s)
        self._job = job
        self._saved: set[int] = set()  # units of the newest part of this rank

    def open(self) -> bool:
        """Take in what an earlier start of this job saved, at the first call; returns whether there was anything on any
        rank. Collective."""
        restored = self._open(sum(len(scan.source.splits) for scan in self._job.scans.values()))
        if restored is None:
            return False
        self._absorb(restored)
        return bool(restored.covered)

    def take_over(self) -> None:
        """After ranks were lost: take in what they had saved and nobody holds. Collective over the survivors."""
        if self._opened:
            self._absorb(self._store.restore(self._ctx, self._job.units))

    def _save(self) -> bool:
        units = self._job.units
        if not units - self._saved:
            return False
        part = self._part(units)
        fail_point("save")
        self._store.commit(part)
        self._saved = units
        return True

    def _part(self, units: set[int]) -> Part:
        """All that this rank has made of the units it has read. Local."""
        tables: dict[str, pa.Table] = {REJECTS: saved.table_of_spool(self._job.rejects)}
        counts = []
        for i, scan in enumerate(self._job.scans.values()):
            counts.append(asdict(scan.reader.counts))
            for j, pipeline in enumerate(scan.pipelines):
                tables |= {f"{i}.{j}.{name}": t for name, t in saved.tables_of(pipeline.sink).items()}
        return Part(covers=sorted(units), meta={"counts": counts}, tables=tables)

    def _absorb(self, restored: Restored) -> None:
        """Merge the parts that this rank was given into its state. Collective at the end."""
        fail_point("restored")
        with self._ctx.agreed(f"taking in the checkpoint {self.folder}"):
            for part in restored.parts:
                self._absorb_part(part)

    def _absorb_part(self, part: Part) -> None:
        job, units = self._job, set(part.covers)
        saved.fill_spool(job.rejects, part.tables[REJECTS])
        for i, (scan, counts) in enumerate(zip(job.scans.values(), part.meta["counts"], strict=True)):
            scan.reader.counts.add(LineCounts(**counts))
            end = scan.first_unit + len(scan.source.splits)
            scan.units |= {unit for unit in units if scan.first_unit <= unit < end}
            for j, pipeline in enumerate(scan.pipelines):
                prefix = f"{i}.{j}."
                held = {n[len(prefix) :]: t for n, t in part.tables.items() if n.startswith(prefix)}
                saved.absorb(pipeline.sink, held)


def _identity(job: Job, opened: Mapping[Source, OpenSource]) -> dict[str, Any]:
    """What a checkpoint must have been made for to be of use to `job`. Local."""
    inputs = [file.path for source in job.scans for file in getattr(opened[source], "files", ())]
    plan = "\n".join(explain(plan) for plan in job.plans)
    pieces = [len(opened[source].splits) for source in job.scans]
    formats = [repr(getattr(opened[source], "format", None)) for source in job.scans]
    return identity.of_job(plan, inputs, reading=repr(job.options.read), pieces=pieces, formats=formats)

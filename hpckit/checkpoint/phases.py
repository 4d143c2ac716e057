"""Phases: what all ranks saved together at a boundary, believed only as a whole, by a manifest committed last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from hpckit.checkpoint import content, files
from hpckit.checkpoint.content import DamagedError
from hpckit.checkpoint.folder import Found, sort_out
from hpckit.checkpoint.names import Entry
from hpckit.frozen import frozen

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


@frozen
class Phase:
    """A phase to go on from: number (0: the beginning) and name, the files of its parts, or what is wrong with it."""

    number: int
    name: str
    entries: list[Entry]
    damage: str = ""

    @property
    def warning(self) -> str:
        """What to tell if it cannot be used."""
        return f"phase {self.number} is not whole: {self.damage}; the one before is tried"


def newest_first(ctx: Context, path: str, found: Found) -> Iterator[Phase]:
    """The phases that have a manifest, and at last the beginning. Collective at every step."""
    for manifest in sorted(found.manifests, key=lambda entry: (entry.generation, entry.life, entry.name), reverse=True):
        yield ctx.on_root(_described, path, manifest, found)
    yield Phase(0, "", [])


def _described(path: str, manifest: Entry, found: Found) -> Phase:
    number = manifest.generation
    try:
        meta = content.read(path, manifest).meta
    except DamagedError as error:
        return Phase(number, "", [], f"its manifest {error} ({manifest.name})")
    present = {entry.name: entry for entry in found.phases}
    entries = [present[part["name"]] for part in meta["parts"] if part["name"] in present]
    if len(entries) < len(meta["parts"]):
        missing = next(part["name"] for part in meta["parts"] if part["name"] not in present)
        return Phase(number, "", [], f"{missing} is missing")
    return Phase(number, meta["phase"], entries)


def remove_old(path: str, keep: int) -> None:
    """Remove phases beyond the newest `keep`, and parts that come before the oldest of these. Local; root does it."""
    try:
        found = sort_out(files.names(path))
    except OSError:  # the phase is committed; the next one tidies up
        return
    numbers = sorted({entry.generation for entry in found.manifests}, reverse=True)
    if len(numbers) < keep:
        return
    oldest = numbers[keep - 1]
    old = [entry for entry in (*found.manifests, *found.phases) if entry.generation < oldest]
    for entry in [*old, *(part for part in found.parts if part.after < oldest)]:
        with suppress(OSError):
            files.remove(os.path.join(path, entry.name))

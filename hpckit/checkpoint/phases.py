"""Phases: what all ranks saved together at a boundary, believed only as a whole, by a manifest committed last."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any

from hpckit.checkpoint import content, files
from hpckit.checkpoint.content import DamagedError, Part
from hpckit.checkpoint.folder import Found, sort_out
from hpckit.checkpoint.names import Entry
from hpckit.frozen import frozen

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


@frozen
class Phase:
    """The newest phase that is whole: its number (0: there is none) and name, and this rank's share of its parts."""

    number: int = 0
    name: str = ""
    parts: list[Part] = field(default_factory=list)
    covered: frozenset[int] = frozenset()
    warnings: list[str] = field(default_factory=list)


def read_newest(ctx: Context, path: str, found: Found) -> Phase:
    """Read the newest phase of which the manifest and every part are whole. Collective.

    Parts are dealt in rank order, neighbours to one rank, about as many bytes to each.
    """
    warnings: list[str] = []
    for manifest in sorted(found.manifests, key=lambda entry: (entry.generation, entry.life, entry.name), reverse=True):
        meta, damage = ctx.on_root(_read_manifest, path, manifest)
        if not damage:
            entries, damage = _entries(meta, manifest, found)
        if not damage:
            parts, covered, damage = _read_all(ctx, path, entries)
        if not damage:
            return Phase(manifest.generation, meta["phase"], parts, covered, warnings)
        warnings.append(
            f"phase {manifest.generation} of life {manifest.life} is not whole: {damage}; the one before is tried"
        )
    return Phase(warnings=warnings)


def _read_manifest(path: str, manifest: Entry) -> tuple[dict[str, Any], str]:
    try:
        return content.read(path, manifest).meta, ""
    except DamagedError as error:
        return {}, f"its manifest {error} ({manifest.name})"


def _entries(meta: dict[str, Any], manifest: Entry, found: Found) -> tuple[list[Entry], str]:
    """The files of a phase in rank order, and what is wrong with them."""
    present = {entry.name: entry for entry in found.phases}
    entries = [present.get(part["name"]) for part in meta["parts"]]
    for entry, part in zip(entries, meta["parts"], strict=True):
        if entry is None:
            return [], f"{part['name']} is missing"
        if (entry.life, entry.token, entry.generation) != (manifest.life, manifest.token, manifest.generation):
            return [], f"{part['name']} is of another phase"
    return [entry for entry in entries if entry is not None], ""


def _read_all(ctx: Context, path: str, entries: list[Entry]) -> tuple[list[Part], frozenset[int], str]:
    """(this rank's parts, units that all parts cover, what is wrong). Collective."""
    readers = deal_in_order([entry.size for entry in entries], ctx.size)
    parts: list[Part] = []
    damage = ""
    with ctx.agreed(f"reading checkpoint {path}"):
        for entry, reader in zip(entries, readers, strict=True):
            if reader == ctx.rank and not damage:
                try:
                    parts.append(content.read(path, entry))
                except DamagedError as error:
                    damage = f"{entry} {error} ({entry.name})"
    covers: frozenset[int] = frozenset().union(*(part.covers for part in parts))
    everyone = ctx.allgather((damage, covers))
    return parts, frozenset().union(*(theirs for _, theirs in everyone)), next((d for d, _ in everyone if d), "")


def deal_in_order(sizes: list[int], ranks: int) -> list[int]:
    """The rank of each item: neighbours stay together, the middle of an item decides by bytes. Local."""
    total = sum(sizes) or 1
    readers, before = [], 0
    for size in sizes:
        readers.append(min(ranks - 1, (2 * before + size) * ranks // (2 * total)))
        before += size
    return readers


def remove_old(path: str, keep: int) -> None:
    """Remove phases beyond the newest `keep`, and parts that come before the oldest of these. Local; root does it."""
    found = sort_out(files.names(path))
    whole = sorted({entry.generation for entry in found.manifests}, reverse=True)
    if len(whole) < keep:
        return
    oldest = whole[keep - 1]
    old = [entry for entry in (*found.manifests, *found.phases) if entry.generation < oldest]
    for entry in [*old, *(part for part in found.parts if part.after < oldest)]:
        with suppress(OSError):
            files.remove(os.path.join(path, entry.name))

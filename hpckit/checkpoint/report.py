"""What a folder of checkpoints holds, for people: lives, generations, coverage; verifying and pruning it."""

from __future__ import annotations

import os
from collections.abc import Iterable

from hpckit.checkpoint import content, files, names
from hpckit.checkpoint.content import DamagedError, Part
from hpckit.checkpoint.folder import sort_out
from hpckit.checkpoint.names import Entry
from hpckit.errors import InputError
from hpckit.frozen import frozen
from hpckit.spmd.memory import format_size

DAMAGED = "DAMAGED"
WORDS = {"part": "generation", "run": "run", "phase": "phase"}  # what the number of a file counts
WHOLE_BYTES = 16 << 20  # files up to this size are read as a whole for a listing


@frozen
class Line:
    """A file of the folder: what it is, rows and units in it, and what is wrong with it ("" if nothing)."""

    entry: Entry
    rows: int
    units: frozenset[int]
    damage: str = ""


def entries_of(path: str) -> list[Entry]:
    """All files of ours in the folder, by life, rank and generation. Local. InputError if it is no such folder."""
    if files.kind(path) != "folder":
        raise InputError(f"{path}: is no folder; name one that was given with --checkpoint")
    everything = files.names(path)
    newer = [name for name in everything if (names.version_of(name) or 0) > names.VERSION]
    if newer:
        raise InputError(f"{path}: {newer[0]} was written by a newer hpckit; use that version to look at it")
    entries = [entry for entry in map(names.parse, everything) if entry is not None]
    if everything and not entries and not any(names.temporary_life(name) is not None for name in everything):
        raise InputError(f"{path}: holds {everything[0]!r} and no checkpoint; name a folder given with --checkpoint")
    return sorted(entries, key=lambda e: (e.life, e.token, e.kind, e.after, e.rank, e.generation))


def read_all(path: str, entries: Iterable[Entry]) -> list[Line]:
    """What the files hold: small ones are compared with their digests, of large ones only the head is read. Local."""
    lines = []
    for entry in entries:
        try:
            if entry.size > WHOLE_BYTES:
                rows, units = content.head(path, entry)
            else:
                part = content.read(path, entry)
                rows, units = part.rows, frozenset(part.covers)
        except DamagedError as error:
            lines.append(Line(entry, 0, frozenset(), str(error)))
        else:
            lines.append(Line(entry, rows, units))
    return lines


def listing(path: str) -> str:
    """Lives, and the generations of each rank: age, size, rows, units covered. Local."""
    entries = entries_of(path)
    if not entries:
        return f"{path}: nothing is saved here\n"
    found = sort_out([entry.name for entry in entries])
    needed = {entry.name for entry in (*found.parts, *found.phases, *found.manifests)}
    lines = {line.entry.name: line for line in read_all(path, [e for e in entries if e.kind in WORDS])}
    out = []
    for life in sorted({(entry.life, entry.token) for entry in entries}):
        own = [entry for entry in entries if (entry.life, entry.token) == life]
        out.append(_life_title(path, own))
        out += [_describe(path, lines[entry.name]) for entry in own if entry.name in lines]
        out += [f"  phase {e.generation}: {_manifest(path, e)}" for e in own if e.kind == "manifest"]
    units: set[int] = set()
    for line in lines.values():
        if line.entry.name in needed:
            units |= line.units
    size = sum(entry.size for entry in entries)
    damaged = sum(1 for line in lines.values() if line.damage)
    is_complete = not needed and any(entry.kind == "complete" for entry in entries)
    state = "the job is complete, nothing of this is needed" if is_complete else f"{len(units):,} units of work saved"
    out.append(f"{state}; {len(entries)} files, {format_size(size)}" + (f"; {damaged} {DAMAGED}" if damaged else ""))
    return "\n".join(out) + "\n"


def _life_title(path: str, own: list[Entry]) -> str:
    first = own[0]
    title = f"life {first.life} ({first.token})"
    note = next((entry for entry in own if entry.kind in ("life", "complete")), None)
    if note is not None:
        try:
            meta = content.read(path, note).meta
        except DamagedError as error:
            return f"{title}: {DAMAGED}: its description {error}"
        plan = " ".join(str(meta["identity"].get("plan", "")).split())
        title += f": {meta['ranks']} ranks on {meta['host']}, began {_age(meta['time_s'])} ago"
        title += f"; {plan[:80]}" if plan else ""
    return title + (", COMPLETE" if any(entry.kind == "complete" for entry in own) else "")


def _describe(path: str, line: Line) -> str:
    entry = line.entry
    what = f"{WORDS[entry.kind]} {entry.generation}"
    head = f"  rank {entry.rank}, {what}: {format_size(entry.size)}"
    if line.damage:
        return f"{head}, {DAMAGED}: {line.damage}"
    age = _age(files.changed_s(os.path.join(path, entry.name)))
    return f"{head}, {line.rows:,} rows, {_ranges(line.units)}, {age} old"


def _manifest(path: str, entry: Entry) -> str:
    try:
        meta = content.read(path, entry).meta
    except DamagedError as error:
        return f"{DAMAGED}: its manifest {error}"
    return f"{meta['phase']}, {len(meta['parts'])} parts, {sum(part['rows'] for part in meta['parts']):,} rows"


def _ranges(units: frozenset[int], shown: int = 6) -> str:
    """ "units 0-3 7": runs of neighbours."""
    if not units:
        return "no units"
    runs: list[list[int]] = []
    for unit in sorted(units):
        if runs and unit == runs[-1][1] + 1:
            runs[-1][1] = unit
        else:
            runs.append([unit, unit])
    words = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:shown]] + (["…"] if len(runs) > shown else [])
    return f"{len(units):,} units ({' '.join(words)})"


def _age(time_s: float) -> str:
    seconds = max(0.0, files.now_s() - time_s)
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def damages(path: str, entries: Iterable[Entry]) -> list[str]:
    """What is wrong with which file, or missing of a phase; empty if all is whole. Local."""
    found, present = [], {entry.name for entry in entries}
    for entry in entries:
        try:
            if entry.size > WHOLE_BYTES:
                content.read_verified(path, entry, keep=False)
                continue
            part = content.read(path, entry)
        except (DamagedError, OSError) as error:
            found.append(f"{entry.name}: {entry} {error}")
            continue
        if entry.kind == "manifest":
            lost = [listed["name"] for listed in part.meta["parts"] if listed["name"] not in present]
            found += [f"{name}: is missing, {entry} lists it" for name in lost]
    return found


def prune(path: str, keep: int, everything: bool = False) -> list[Entry]:
    """Remove what is not among the newest `keep` whole generations of each rank or phase; returns what was removed.

    Local. With `everything` all files go, and temporary ones. Parts that newer parts contain go too, once `keep` whole
    generations contain them. Damaged files are kept unless a newer whole one of the same rank is there.
    """
    entries = entries_of(path)
    gone = list(entries) if everything else _outdated(path, entries, keep)
    for entry in gone:
        files.remove(os.path.join(path, entry.name))
    if everything:
        for name in files.names(path):
            if names.temporary_life(name) is not None:
                files.remove(os.path.join(path, name))
    return gone


def _outdated(path: str, entries: list[Entry], keep: int) -> list[Entry]:
    found = sort_out([entry.name for entry in entries])
    parts: dict[str, Part] = {}
    for entry in (*found.parts, *found.manifests):
        try:
            part = content.read(path, entry)
        except DamagedError:
            continue
        parts[entry.name] = Part(covers=part.covers, supersedes=part.supersedes)
    oldest = sorted({entry.generation for entry in found.manifests if entry.name in parts}, reverse=True)[:keep]
    first = oldest[-1] if len(oldest) == keep else 0
    gone = [entry for entry in (*found.phases, *found.manifests) if entry.generation < first]
    gone += [entry for entry in found.parts if entry.after < first]
    contained: set[str] = set()
    for writer in {entry.writer for entry in found.parts if entry.kind == "part"}:
        own = sorted((e for e in found.parts if e.writer == writer), key=lambda e: (e.after, e.generation))
        whole = [entry for entry in own if entry.name in parts]
        if len(whole) >= keep:
            gone += [entry for entry in own if _age_key(entry) < _age_key(whole[-keep])]
            contained |= set.intersection(*(set(parts[entry.name].supersedes) for entry in whole[-keep:]))
    gone += [entry for entry in found.parts if entry.writer in contained]
    alive = {(e.life, e.token) for e in (*found.parts, *found.phases, *found.manifests) if e not in gone}
    gone += [entry for entry in found.others if entry.kind != "complete" and (entry.life, entry.token) not in alive]
    return list({entry.name: entry for entry in gone}.values())


def _age_key(entry: Entry) -> tuple[int, int]:
    return entry.after, entry.generation

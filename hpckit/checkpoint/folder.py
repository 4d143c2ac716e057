"""The folder of a checkpoint as a whole: what lies in it, whose it is, clearing it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from hpckit.checkpoint import content, files, identity, names
from hpckit.checkpoint.content import DamagedError
from hpckit.checkpoint.names import Entry
from hpckit.errors import OutputError, UserError
from hpckit.frozen import frozen


@frozen
class Found:
    """What lies in a folder: parts, phases and manifests of unfinished lives; the other entries; temporary files."""

    parts: list[Entry]
    phases: list[Entry] = field(default_factory=list)
    manifests: list[Entry] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    temporary: list[str] = field(default_factory=list)
    last_life: int = 0


def look(path: str, job: dict[str, Any], identity_hash: str) -> Found:
    """Everything in the folder, which is made if it is missing. Local; root does it.

    UserError if the folder holds something else, was written by a newer hpckit, or holds saved work of another job.
    """
    with output_errors(path, "the folder"):
        if files.kind(path) == "file":
            raise UserError(f"{path}: is a file, expected a folder for checkpoints; name another one")
        files.make_folder(path)
        everything = files.names(path)
    found = sort_out([name for name in everything if not _is_damaged_note(path, name)])
    _refuse_foreign(path, everything, found)
    for entry in [*found.manifests, *found.parts]:
        if entry.identity != identity_hash:
            raise UserError(_why_other_job(path, entry, found, job))
    return found


def _is_damaged_note(path: str, name: str) -> bool:
    """Whether this is the note that a job is complete, and is not whole: then what else is there still counts."""
    entry = names.parse(name)
    if entry is None or entry.kind != "complete":
        return False
    try:
        content.read(path, entry)
    except DamagedError:
        return True
    return False


def sort_out(everything: list[str]) -> Found:
    """The entries among file names, without those of lives whose job was completed. Local."""
    entries = [entry for entry in map(names.parse, everything) if entry is not None]
    completed = max((entry.life for entry in entries if entry.kind == "complete"), default=0)
    by_kind: dict[str, list[Entry]] = {kind: [] for kind in names.KINDS}
    by_kind["run"] = by_kind["part"]  # they are chosen and dealt alike
    others = []
    for entry in entries:
        if entry.life > completed and entry.kind in ("part", "run", "phase", "manifest"):
            by_kind[entry.kind].append(entry)
        else:
            others.append(entry)
    temporary = [name for name in everything if names.temporary_life(name) is not None]
    lives = [entry.life for entry in entries] + [names.temporary_life(name) or 0 for name in temporary]
    return Found(by_kind["part"], by_kind["phase"], by_kind["manifest"], others, temporary, max(lives, default=0))


def _refuse_foreign(path: str, everything: list[str], found: Found) -> None:
    versions = [names.version_of(name) or 0 for name in everything]
    if max(versions, default=0) > names.VERSION:
        raise UserError(
            f"{path}: was written by a newer hpckit (format {max(versions)}, this one knows {names.VERSION}); go on "
            "with that version, or name another folder"
        )
    ours = found.parts or found.phases or found.manifests or found.others or found.temporary
    strange = [name for name in everything if not name.startswith(".") and names.parse(name) is None]
    if strange and not ours:
        raise UserError(
            f"{path}: holds {strange[0]!r}, which is no part of a checkpoint; name an empty folder, or one that does "
            "not exist yet"
        )


def _why_other_job(path: str, entry: Entry, found: Found, job: dict[str, Any]) -> str:
    """The text of the refusal: what differs between the saved job and this one."""
    saved = None
    for life in found.others:
        if life.kind == "life" and life.identity == entry.identity:
            with contextlib.suppress(DamagedError):
                saved = content.read(path, life).meta.get("identity")
                break
    reasons = identity.differences(saved, job) if isinstance(saved, dict) else []
    reason = "; ".join(reasons) or "its description is damaged, so what differs cannot be told"
    return (
        f"{path}: holds saved work of another job: {reason}. Run that job again to go on with it, name another folder, "
        f"or give the saved work up with `hpckit checkpoint prune --all {path}`"
    )


def clean(path: str, found: Found) -> None:
    """Remove what nothing can need any more: temporary files, and notes of lives of which nothing else is left."""
    alive = {(entry.life, entry.token) for entry in (*found.parts, *found.phases, *found.manifests)}
    completed = [entry for entry in found.others if entry.kind == "complete"]
    newest = max((entry.life for entry in completed), default=0)
    for entry in found.others:
        is_needed = (entry.life, entry.token) in alive or (entry.kind == "complete" and entry.life == newest)
        if not is_needed:
            _remove_quietly(path, entry.name)
    for name in found.temporary:
        _remove_quietly(path, name)


def clear(path: str, life: int) -> None:
    """Remove all files of lives up to this one but the note that it is complete. Local; root does it."""
    everything: list[str] = []
    with contextlib.suppress(OSError):  # the next life tidies up
        everything = files.names(path)
    for name in everything:
        entry = names.parse(name)
        number = names.temporary_life(name) if entry is None else entry.life
        is_note = entry is not None and entry.kind == "complete" and entry.life == life
        if number is not None and number <= life and not is_note:
            _remove_quietly(path, name)


def _remove_quietly(path: str, name: str) -> None:
    """What cannot be removed is in nobody's way."""
    with contextlib.suppress(OSError):
        files.remove(os.path.join(path, name))


@contextlib.contextmanager
def output_errors(path: str, what: str) -> Iterator[None]:
    """Turn the system's errors into OutputError naming the folder and what was to be written."""
    try:
        yield
    except OSError as error:
        kept = "what was saved before is as it was"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            with contextlib.suppress(OSError):
                kept = f"{files.free_bytes(path):,} bytes are free; {kept}"
            remedy = "make room or choose another folder"
        else:
            remedy = "mend that or choose another folder"
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"checkpoint {path}: {what} cannot be written: {reason}; {kept}; {remedy}") from error

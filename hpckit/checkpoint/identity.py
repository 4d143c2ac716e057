"""What a job is: the dict by which a checkpoint folder knows its job again, and the words for what differs.

    {"version": "0.1.0", "plan": "...", "inputs": [[path, size, mtime_ns, hash of the head, hash of the tail], …], …}

Other keys are compared too. A change of an input that keeps its size, mtime, first and last 64 KiB is not noticed.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from typing import Any

from hpckit import __version__
from hpckit.checkpoint import files
from hpckit.errors import InputError, InternalError

HEAD_BYTES = 64 << 10
SHOWN_CHARACTERS = 200


def of_job(plan: str, inputs: Iterable[str | os.PathLike[str]] = (), **more: Any) -> dict[str, Any]:
    """The identity of a job with this plan (any text that names what is computed) over these input files. Local; root
    calls it and broadcasts. `more`: further JSON values that must be the same. InputError for an unreadable input."""
    return {"version": __version__, "plan": plan, "inputs": [of_file(path) for path in inputs], **more}


def of_file(path: str | os.PathLike[str]) -> list[Any]:
    """[path, size, mtime in ns, hash of the first 64 KiB, hash of the last 64 KiB] of a file. Local."""
    import xxhash

    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            head = file.read(HEAD_BYTES)
            file.seek(max(0, status.st_size - HEAD_BYTES))
            tail = file.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    return [path, status.st_size, status.st_mtime_ns, xxhash.xxh3_64_hexdigest(head), xxhash.xxh3_64_hexdigest(tail)]


def digest(job: dict[str, Any]) -> str:
    """The hash of an identity that stands in file names: 16 hex digits. Local."""
    import xxhash

    try:
        text = json.dumps(job, sort_keys=True)
    except TypeError as error:
        raise InternalError(f"identity of a job: {error}; expected JSON values") from error
    return xxhash.xxh3_64_hexdigest(text.encode())


def circumstances(ranks: int) -> dict[str, Any]:
    """What is noted about a start of a job, and not compared. Local."""
    return {"ranks": ranks, "host": socket.gethostname(), "pid": os.getpid(), "time_s": files.now_s()}


def differences(saved: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What differs, in words, the most telling first. Local."""
    ours = json.loads(json.dumps(ours))
    found = []
    if saved.get("version") != ours.get("version"):
        found.append(f"it was written by hpckit {saved.get('version')}, this is {ours.get('version')}")
    if saved.get("plan") != ours.get("plan"):
        found.append(
            f"the query is another one: {_shown(saved.get('plan'))} was saved, now it is {_shown(ours.get('plan'))}"
        )
    found += _input_differences(saved.get("inputs", []), ours.get("inputs", []))
    for key in sorted((set(saved) | set(ours)) - {"version", "plan", "inputs"}):
        if saved.get(key) != ours.get(key):
            found.append(f"{key} was {_shown(saved.get(key))}, now it is {_shown(ours.get(key))}")
    return found


def _input_differences(saved: list[list[Any]], ours: list[list[Any]]) -> list[str]:
    found = []
    before, now = {entry[0]: entry for entry in saved}, {entry[0]: entry for entry in ours}
    for path in [p for p in before if p not in now][:1]:
        found.append(f"input {path} was read and is no longer among the inputs")
    for path in [p for p in now if p not in before][:1]:
        found.append(f"input {path} is new")
    for path in [p for p in now if p in before and now[p] != before[p]][:3]:
        found.append(f"input {path} has changed: {_file_difference(before[path], now[path])}")
    if not found and [e[0] for e in saved] != [e[0] for e in ours]:
        found.append("the inputs are the same in another order")
    return found


def _file_difference(before: list[Any], now: list[Any]) -> str:
    if before[1] != now[1]:
        return f"{before[1]:,} bytes then, {now[1]:,} now"
    if before[3:] != now[3:]:
        return "its first bytes differ" if before[3] != now[3] else "its last bytes differ"
    return "it was written to since (its time of modification differs)"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"

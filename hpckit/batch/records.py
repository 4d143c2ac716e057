"""What is remembered of a job, beside its output: the request, its history, and where to find both by job number.

FOLDER/JOB.json      the record, written once (temporary name, then renamed)
FOLDER/JOB.sbatch    the script as submitted
FOLDER/JOB.events    its history, one JSON line each, appended by the script
FOLDER/JOB.log       what the job writes
~/.local/state/hpckit/jobs/JOB    a link to the record
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Any

from hpckit.batch.request import Request, from_json, to_json
from hpckit.errors import InputError, OutputError, UserError
from hpckit.frozen import frozen

VERSION = 1
LINKS_MAX = 1000  # the oldest are dropped


class NoRecordError(UserError):
    """No record of this job: not submitted by hpckit, or from another account or machine."""


@frozen
class Record:
    """One submitted job. `group` are the jobs submitted together with it: links of a chain, an array and its merge."""

    job: str
    name: str
    submitted_s: float
    user: str
    request: Request
    group: list[str] = field(default_factory=list)
    role: str = "job"  # job, chain, array, merge
    resumes: str = ""

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return Path(self.request.folder)

    def file(self, ending: str, task: str = "") -> Path:
        """JOB.ending, of a task of an array JOB_TASK.ending."""
        return self.folder / (f"{self.job}_{task}.{ending}" if task else f"{self.job}.{ending}")


def links_folder() -> Path:
    """Where jobs are found by their numbers."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "hpckit" / "jobs"


def write(record: Record, script: str) -> None:
    """Store the record and the script, and the link to them. Raises OutputError."""
    values: dict[str, Any] = {name: getattr(record, name) for name in Record.__match_args__}
    values |= {"version": VERSION, "request": to_json(record.request)}
    try:
        replace(record.file("sbatch"), script)
        replace(record.file("json"), json.dumps(values, indent=1) + "\n")
    except OSError as error:
        raise OutputError(
            f"job {record.job} is submitted, but {record.folder} cannot be written ({error.strerror}): "
            "`hpckit status` will "
            "know only what Slurm knows"
        ) from error
    with contextlib.suppress(OSError):  # a home that is full or read-only: the record can be found by its folder
        _link(record)


def replace(path: Path, text: str) -> None:
    """Write a file as a whole: temporary name, sync, rename."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(part, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)


def _link(record: Record) -> None:
    folder = links_folder()
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / record.job
    link.unlink(missing_ok=True)
    link.symlink_to(record.file("json"))
    links = sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime)
    for old in links[: max(0, len(links) - LINKS_MAX)]:
        old.unlink(missing_ok=True)


def find(job: str, folder: str | None = None) -> Record:
    """The record of `job`: by its link, in `folder`, or in a *.job folder here.

    Raises NoRecordError if there is none, InputError if it is damaged.
    """
    for path in _places(job, folder):
        if path.is_file():
            return read(path)
    raise NoRecordError(
        f"no record of job {job}: it was not submitted by `hpckit submit` under this account"
        + (
            f", or its folder is gone ({os.readlink(links_folder() / job)})"
            if (links_folder() / job).is_symlink()
            else ""
        )
        + "; if you know its folder, say --folder FOLDER"
    )


def _places(job: str, folder: str | None) -> Iterator[Path]:
    if folder:
        yield Path(folder) / f"{job}.json"
        return
    yield links_folder() / job
    yield Path("hpckit-jobs") / f"{job}.json"
    yield from (near / f"{job}.json" for near in Path().glob("*.job"))


def read(path: Path) -> Record:
    """The record in the file `path`. Raises InputError if it is damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["version"] > VERSION:
            raise InputError(f"{path}: written by a newer hpckit (version {values['version']}); use that one")
        request = from_json(values.pop("request"))
        record = Record(request=request, **{k: v for k, v in values.items() if k in Record.__match_args__})
        if not isinstance(record.job, str) or not isinstance(record.group, list):
            raise ValueError("job or group of the wrong kind")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path.resolve()}: damaged state file ({error}); `scontrol show job {path.stem}` tells what Slurm "
            "knows, and "
            f"`sbatch {path.resolve().with_suffix('.sbatch')}` goes on from what was saved"
        ) from error
    return record


def known() -> list[Path]:
    """The records that the links lead to, newest first."""
    try:
        links = [link for link in links_folder().iterdir() if link.exists()]
    except OSError:
        return []
    return sorted(links, key=lambda link: (link.lstat().st_mtime, link.name), reverse=True)


@frozen
class Event:
    """One line of a job's history: start, end or requeue of a life (counted from 0)."""

    event: str
    life: int
    time_s: float
    values: dict[str, Any]


def events(path: Path) -> tuple[list[Event], int]:
    """(a job's history, how many of its lines are damaged). A line cut off by a lost node is damage of this kind."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [], 0
    found, damaged = [], 0
    for line in lines:
        try:
            values = json.loads(line)
            found.append(Event(str(values["event"]), int(values["life"]), float(values["time"]), values))
        except (ValueError, TypeError, KeyError):
            damaged += 1
    return found, damaged


def user() -> str:
    """This user's name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def now_s() -> float:
    """Seconds since 1970."""
    return time.time()

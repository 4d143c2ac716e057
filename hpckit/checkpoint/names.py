"""Names of the files in a checkpoint folder: what a file is, and by its size and digest whether it is whole.

    part.v1.003-5f3a9c01.00012.000005.0002.<identity>.<size>.<digest>.h5

is generation 5 of rank 12 in life 3 (5f3a9c01 tells lives with one number apart), committed after phase 2, of a job
whose identity has this hash (16 hex digits), `size` bytes long with this xxh3-128 digest of all its bytes. Kinds:

    life      a start of the job: its identity in words, ranks, time          (rank 0 writes it)
    part      what one rank has accumulated, committed alone
    run       work that is done for good (a sorted run), by itself: no later file contains it
    phase     what one rank holds at a phase boundary, committed with all others'
    manifest  all parts of a phase with their digests, committed last          (rank 0 writes it)
    complete  the job's output is committed; what was saved up to this life is no longer needed

A name that begins with a dot and ends in .tmp is a file not yet committed.
"""

from __future__ import annotations

import re

from hpckit.frozen import frozen

VERSION = 1
KINDS = ("life", "part", "run", "phase", "manifest", "complete")
_KIND = "|".join(KINDS)
_NAME = re.compile(
    r"(?P<kind>[a-z]+)\.v1\.(?P<life>\d{3,})-(?P<token>[0-9a-f]{8})\.(?P<rank>\d{5,})\.(?P<generation>\d{6,})"
    r"\.(?P<after>\d{4,})\.(?P<identity>[0-9a-f]{16})\.(?P<size>\d+)\.(?P<digest>[0-9a-f]{32})\.h5"
)
_ANY_VERSION = re.compile(rf"(?:{_KIND})\.v(\d+)\..*")
_WRITER = re.compile(r"\d{3,}-[0-9a-f]{8}\.\d{5,}(\.\d{6,})?")
_TEMPORARY = re.compile(rf"\.(?:{_KIND})\.v1\.(\d{{3,}})-[0-9a-f]{{8}}\..*\.tmp")


@frozen
class Entry:
    """What the name of a file says. `generation` counts a writer's files of this kind; for phases and manifests it is
    the number of the phase."""

    kind: str
    life: int
    token: str
    rank: int
    generation: int
    after: int
    identity: str
    size: int
    digest: str

    @property
    def stem(self) -> str:
        """The name up to what only the content says."""
        return (
            f"{self.kind}.v{VERSION}.{self.life:03d}-{self.token}.{self.rank:05d}.{self.generation:06d}"
            f".{self.after:04d}.{self.identity}"
        )

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.stem}.{self.size}.{self.digest}.h5"

    @property
    def temporary(self) -> str:
        """Its name until it is committed."""
        return f".{self.stem}.tmp"

    @property
    def writer(self) -> str:
        """Whose generations it belongs to: a process, by life, token and rank. A run stands by itself."""
        process = f"{self.life:03d}-{self.token}.{self.rank:05d}"
        return f"{process}.{self.generation:06d}" if self.kind == "run" else process

    def __str__(self) -> str:
        what = {"part": "generation", "phase": "phase", "manifest": "phase"}.get(self.kind, "number")
        return f"{self.kind} of life {self.life}, rank {self.rank}, {what} {self.generation}"


def parse(name: str) -> Entry | None:
    """The entry of a file name; None if it is none of ours. Local."""
    match = _NAME.fullmatch(name)
    if match is None or match["kind"] not in KINDS:
        return None
    given = match.groupdict()
    numbers = {key: int(given.pop(key)) for key in ("life", "rank", "generation", "after", "size")}
    entry = Entry(**given, **numbers)  # type: ignore[arg-type]
    return entry if entry.name == name else None


def is_run(name: str) -> bool:
    """Whether this is the name of a run. Local."""
    return name.startswith("run.")


def version_of(name: str) -> int | None:
    """The format version that a file's name tells; None if it is none of ours. Local."""
    match = _ANY_VERSION.fullmatch(name)
    return int(match[1]) if match else None


def temporary_life(name: str) -> int | None:
    """The life that left this temporary file; None if it is none of ours. Local."""
    match = _TEMPORARY.fullmatch(name)
    return int(match[1]) if match else None


def writer_of(text: str) -> str:
    """The writer of a part, given the part's name or a writer already. Local. ValueError for anything else."""
    if _WRITER.fullmatch(text):
        return text
    entry = parse(text)
    if entry is None:
        raise ValueError(f"{text!r}: expected the name of a part")
    return entry.writer

"""Start-up at scale: the environment packed into one file, which each node unpacks once on its own disk.

A rank opens some hundred files at its start (tests/slurm/test_startup.py counts them); ten thousand ranks that open
them on one parallel file system keep its metadata servers busy for minutes. Reading one large file a node does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import subprocess
from pathlib import Path

from hpckit.errors import OutputError, UserError

PACK_TIMEOUT_S = 900

UNPACK = """\
# Each node unpacks the environment once on its own disk; ranks then open none of its files on the shared file system.
local_env=${{SLURM_TMPDIR:-${{TMPDIR:-/tmp}}}}/hpckit-env-$SLURM_JOB_ID
on_each_node=(srun --mpi=none --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1)
trap '"${{on_each_node[@]}}" rm -rf "$local_env"' EXIT
"${{on_each_node[@]}}" bash -c 'part=$1.$$.$SLURM_PROCID
    mkdir -p "$part" && tar -xf "$2" -C "$part" && {{ mv -T "$part" "$1" 2>/dev/null || rm -rf "$part"; }}
    [ -x "$1/bin/python" ]' unpack "$local_env" {packed} ||
    {{ echo "hpckit: no room for the environment on a node's own disk: the shared one is used" >&2
        local_env={prefix}; }}
export PATH="$local_env/bin:$PATH\""""


def unpacking(packed: str, prefix: str) -> str:
    """The lines of a script that unpack the file `packed` on every node and set $local_env."""
    return UNPACK.format(packed=shlex.quote(packed), prefix=shlex.quote(prefix))


def place(prefix: str, folder: str | None) -> Path:
    """The packed file of the environment `prefix` as it is now, in `folder` (default: ~/.cache/hpckit).

    Raises UserError where there is no environment of one's own.
    """
    if not prefix:
        raise UserError(
            "--stage-env packs a virtual or conda environment; hpckit runs in none: python -m venv makes one"
        )
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpckit"
    return Path(os.path.expanduser(folder) if folder else default).absolute() / f"env-{_state(Path(prefix))}.tar"


def pack(prefix: str, packed: Path) -> None:
    """Write the file, unless an earlier job of this state of the environment has. Raises OutputError."""
    folder = packed.parent
    if packed.is_file():
        return
    part = packed.with_name(f"{packed.name}.{os.getpid()}.part")
    command = ["tar", "-cf", str(part), "--exclude=__pycache__/*.pyc.*", "-C", prefix, "."]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PACK_TIMEOUT_S)
        if done.returncode > 1:  # 1: a file changed while it was read
            raise OutputError(f"{prefix} cannot be packed into {folder}: {done.stderr.strip()}")
        os.replace(part, packed)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutputError(f"{prefix} cannot be packed into {folder}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _state(prefix: Path) -> str:
    """A name for the state of an environment: which distributions it holds, and when each was installed."""
    marks = []
    for info in sorted(prefix.glob("lib/python*/site-packages/*.dist-info")):
        marks.append(f"{info.name} {info.stat().st_mtime_ns}")
    return hashlib.sha256("\n".join([str(prefix), *marks]).encode()).hexdigest()[:16]

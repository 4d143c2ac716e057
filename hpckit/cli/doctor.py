"""`hpckit doctor`: what MPI, launcher, HDF5, kernels, memory, file systems and Slurm are here, and what to fix."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hpckit.cli.options import Parser
from hpckit.errors import HpckitError
from hpckit.sinks.scratch import scratch_folder
from hpckit.spmd.leftovers import PREFIXES, abandoned
from hpckit.spmd.memory import cgroup_limit_bytes, default_budget_bytes, format_size, node_memory_bytes
from hpckit.spmd.mpirun import find_launcher

HELLO_TIMEOUT_S = 30
PROBE_TIMEOUT_S = 60
SHM_BYTES_PER_RANK = {"MPICH": 5.1 * (1 << 20), "Open MPI": 0.07 * (1 << 20)}  # measured, a rank of these wheels
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}
LOW_MEMORY_BYTES = 1 << 30
LOW_SCRATCH_BYTES = 1 << 30

# Run in a process of their own: a broken library must not take the doctor with it.
MPI_PROBE = (
    "import mpi4py; from mpi4py import MPI; print(mpi4py.__version__, '|', MPI.Get_library_version().split(',')[0])"
)
HDF5_PROBE = "import h5py; print(h5py.version.version, '|', h5py.version.hdf5_version, '|', h5py.get_config().mpi)"
ARROW_PROBE = "import pyarrow; print(pyarrow.__version__)"
HELLO = "from mpi4py import MPI; c = MPI.COMM_WORLD; n = c.allreduce(1); c.rank or print(f'world of {c.size}, {n} met')"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `level` is ok, warn or fail; `remedy` says what to do about it."""

    level: str
    subject: str
    text: str
    remedy: str = ""


def parser() -> Parser:
    """The options of `hpckit doctor` (none but help)."""
    return Parser(
        "doctor",
        "Show what is here and what to fix. Each line says ok, warn or fail; the exit status is 1 if anything fails.",
        examples=[("hpckit doctor", "everything; takes a second or two")],
    )


def main(argv: list[str]) -> int:
    """Print the findings; 0 if none is a failure, else 1. Local."""
    parser().parse_args(argv)
    failed = False
    for check in CHECKS:
        for finding in check():
            failed |= finding.level == "fail"
            print(f"{finding.level:<5} {finding.subject:<12} {finding.text}", flush=True)
            if finding.remedy:
                print(f"{'':<18} -> {finding.remedy}", flush=True)
    return 1 if failed else 0


def check_python() -> Iterator[Finding]:
    """The interpreter and where it lives."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", "Python", f"{version} at {sys.executable}")


def check_mpi() -> Iterator[Finding]:
    """The MPI library, the launcher, and whether two ranks meet."""
    status, text = _python(MPI_PROBE)
    if status != 0:
        yield Finding("fail", "MPI", f"mpi4py does not start: {_last_line(text)}", "pip install 'hpckit[mpich]'")
        return
    version, library = (part.strip() for part in text.split("|"))
    yield Finding("ok", "MPI", f"mpi4py {version} on {' '.join(library.split())[:70]}")
    try:
        launcher = find_launcher()
    except HpckitError as error:
        yield Finding("fail", "launcher", str(error))
        return
    yield Finding("ok", "launcher", f"{launcher.path} ({launcher.kind}: {launcher.version})")
    command, environ = launcher.command(2, [sys.executable, "-c", HELLO], os.environ)
    status, text = _run(command, HELLO_TIMEOUT_S, environ)
    if status == 0 and "world of 2, 2 met" in text:
        yield Finding("ok", "two ranks", "started, and met")
    elif status == 0 and "world of 1, 1 met" in text:
        remedy = (
            "launcher and MPI library differ; use the mpirun of the library above, or one virtual environment per MPI"
        )
        yield Finding("fail", "two ranks", "two worlds of one rank each: results would be silently wrong", remedy)
    else:
        remedy = f"run it by hand: {' '.join(command[:-1])} '…'"
        yield Finding("fail", "two ranks", f"exit status {status}: {_last_line(text)}", remedy)
    yield from _check_shm(launcher.kind)


def _check_shm(kind: str) -> Iterator[Finding]:
    """/dev/shm holds the ranks' shared memory; too small ends in SIGBUS."""
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        yield Finding("warn", "/dev/shm", "not there", "ranks of one node talk through it; mount a tmpfs on /dev/shm")
        return
    need = SHM_BYTES_PER_RANK.get(kind)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = f"{format_size(free)} free"
    if need is None:
        yield Finding("ok", "/dev/shm", text)
    elif free < need * cores:
        remedy = f"more than {int(free // need)} ranks end in SIGBUS; a container takes --shm-size=1g; or use Open MPI"
        yield Finding("warn", "/dev/shm", f"{text}; {kind} takes {format_size(int(need))} a rank", remedy)
    else:
        yield Finding("ok", "/dev/shm", f"{text}, enough for {int(free // need)} ranks of {kind}")
    left = abandoned()
    if left:
        size = format_size(sum(size for _, size in left))
        kinds = [prefix for prefix in PREFIXES if any(Path(path).name.startswith(prefix) for path, _ in left)]
        remedy = f"while no job of yours starts on this node: rm {' '.join(f'/dev/shm/{kind}*' for kind in kinds)}"
        yield Finding("warn", "/dev/shm", f"{len(left):,} segments ({size}) that killed jobs have left", remedy)


def check_libraries() -> Iterator[Finding]:
    """HDF5 and Arrow."""
    status, text = _python(HDF5_PROBE)
    if status:
        yield Finding("fail", "HDF5", f"h5py does not load: {_last_line(text)}", "pip install --force-reinstall h5py")
    else:
        h5py, hdf5, mpi = (part.strip() for part in text.split("|"))
        kind = "parallel" if mpi == "True" else "serial, which is all hpckit needs"
        yield Finding("ok", "HDF5", f"{hdf5} with h5py {h5py} ({kind})")
    status, text = _python(ARROW_PROBE)
    if status:
        yield Finding(
            "fail", "Arrow", f"pyarrow does not load: {_last_line(text)}", "pip install --force-reinstall pyarrow"
        )
    else:
        yield Finding("ok", "Arrow", f"pyarrow {text.strip()}")


def check_kernels() -> Iterator[Finding]:
    """Whether the compiled part is there, and what vectors this CPU offers it."""
    folder = Path(__file__).parent.parent / "_kernels"
    built = sorted({file.name.split(".")[0] for file in folder.glob("*.so")})
    status, text = _python(f"from importlib import import_module as i\nfor n in {built!r}: i('hpckit._kernels.' + n)")
    if not built:
        yield Finding("fail", "kernels", f"none compiled in {folder}", "pip install . (or -e .) in the source folder")
    elif status:
        yield Finding("fail", "kernels", _last_line(text), "built for another Python? pip install --force-reinstall .")
    else:
        yield Finding("ok", "kernels", f"{len(built)} compiled: {', '.join(built)}")
    yield Finding("ok", "CPU", f"{_simd_level()}, {os.cpu_count()} logical processors")


def check_memory() -> Iterator[Finding]:
    """How much memory there is, by whose limit, and what a rank gets by default."""
    node, limit = node_memory_bytes(), cgroup_limit_bytes()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    budget = default_budget_bytes(cores)
    text = f"{format_size(node)} on this node" + (f", limited by a cgroup to {format_size(limit)}" if limit else "")
    text += f"; {format_size(budget)} a rank with {cores} ranks"
    low = budget < LOW_MEMORY_BYTES
    yield Finding("warn" if low else "ok", "memory", text, "start fewer ranks a node" if low else "")


def check_files() -> Iterator[Finding]:
    """Where results and spilled data go."""
    here = Path.cwd()
    kind = file_system(here)
    free = shutil.disk_usage(here).free
    writable = os.access(here, os.W_OK)
    yield Finding(
        "ok" if writable else "warn",
        "here",
        f"{here} on {kind}, {format_size(free)} free",
        "" if writable else "not writable: give --output a path that is",
    )
    scratch = scratch_folder()
    try:
        kind, free = file_system(scratch), shutil.disk_usage(scratch).free
    except OSError as error:
        yield Finding(
            "fail", "scratch", f"{scratch}: {error.strerror}", "set TMPDIR to a folder on this node's own disk"
        )
        return
    text = f"{scratch} on {kind}, {format_size(free)} free"
    if not os.access(scratch, os.W_OK):
        yield Finding("fail", "scratch", f"{text}, not writable", "set TMPDIR to a folder on this node's own disk")
    elif kind in NETWORK_FILE_SYSTEMS:
        yield Finding("warn", "scratch", text, "a network file system is slow to spill to; set TMPDIR or use --scratch")
    elif free < LOW_SCRATCH_BYTES:
        yield Finding("warn", "scratch", text, "large sorts and joins spill there; set TMPDIR or use --scratch")
    else:
        yield Finding("ok", "scratch", text)


def check_slurm() -> Iterator[Finding]:
    """Whether this is a Slurm cluster, and whether we are inside a job."""
    if shutil.which("sbatch") is None:
        yield Finding("ok", "Slurm", "not here (mpirun and `hpckit run` need none)")
        return
    status, text = _run(["sbatch", "--version"], PROBE_TIMEOUT_S, dict(os.environ))
    if status:
        yield Finding("ok", "Slurm", f"installed, but no cluster is configured here ({_last_line(text)})")
        return
    job = os.environ.get("SLURM_JOB_ID")
    yield Finding("ok", "Slurm", f"{text.strip()}, " + (f"inside job {job}" if job else "outside a job"))


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python, check_mpi, check_libraries, check_kernels, check_memory, check_files, check_slurm,
)  # fmt: skip


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`, as /proc/mounts has it."""
    best, kind = -1, "unknown"
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    target = path.resolve()
    for line in lines:
        mount, this = line.split()[1:3]
        point = Path(mount.replace("\\040", " "))
        if (target == point or point in target.parents) and len(str(point)) >= best:
            best, kind = len(str(point)), this
    return kind


def _simd_level() -> str:
    try:
        flags = set(Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split())
    except OSError:
        return "vector level unknown"
    for name, needed in (
        ("AVX-512", {"avx512bw", "avx512vl"}),
        ("AVX2", {"avx2"}),
        ("SSE4.2", {"sse4_2"}),
        ("SSE2", {"sse2"}),
    ):
        if needed <= flags:
            return name
    return "no x86 vectors"


def _python(code: str) -> tuple[int, str]:
    """Run `code` in a fresh interpreter that no launcher variable misleads; (exit status, output)."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PMI_", "PMIX_", "OMPI_COMM_"))}
    code = f"import sys; sys.path[:] = {sys.path!r}\n{code}"  # the same modules as here, not those of the folder
    return _run([sys.executable, "-c", code], PROBE_TIMEOUT_S, environ)


def _run(command: list[str], timeout_s: float, environ: dict[str, str]) -> tuple[int, str]:
    """(exit status, stdout and stderr); 124 after the timeout, as timeout(1) has it."""
    try:
        done = subprocess.run(
            command,
            env=environ,
            timeout=timeout_s,
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {timeout_s:.0f} s"
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"

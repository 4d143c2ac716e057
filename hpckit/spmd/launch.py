"""What the launcher says about this process, read from the environment: rank, size, and whether MPI agrees."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import IO

from hpckit.errors import LaunchError

SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")

TERMINAL_VARIABLE = "HPCKIT_TERMINAL"  # set by `hpckit run`: which streams of the ranks end on a terminal


def on_terminal(stream: IO[str]) -> bool:
    """Whether people see `stream` as it is written: a terminal, or a launcher's pipe that `hpckit run` ends on one."""
    name = "stdout" if stream is sys.stdout else "stderr" if stream is sys.stderr else "other"
    return stream.isatty() or name in os.environ.get(TERMINAL_VARIABLE, "").split(",")


def single_thread() -> None:
    """One compute thread a rank. To be called before numpy loads: BLAS starts its threads then, and they spin."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def _first_number(variables: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, int] | None:
    for variable in variables:
        text = environ.get(variable, "")
        if text.isdigit():
            return variable, int(text)
    return None


def launcher_rank(environ: Mapping[str, str] | None = None) -> int:
    """This process's rank as the launcher numbered it, known before MPI starts; 0 without a launcher."""
    found = _first_number(RANK_VARIABLES, os.environ if environ is None else environ)
    return found[1] if found else 0


def launcher_size(environ: Mapping[str, str] | None = None) -> int:
    """How many processes the launcher started; 1 without a launcher."""
    found = _first_number(SIZE_VARIABLES, os.environ if environ is None else environ)
    return found[1] if found else 1


def check_world_size(size: int, library: str, environ: Mapping[str, str] | None = None) -> None:
    """Raise LaunchError if MPI's world has another size than the launcher started.

    The wrong launcher gives N worlds of one process, all with exit status 0: N times the work and wrong results.
    """
    environ = os.environ if environ is None else environ
    found = _first_number(SIZE_VARIABLES, environ)
    if found is None or found[1] == size:
        return
    variable, expected = found
    mpi = "Open MPI" if "Open MPI" in library else "MPICH" if "MPICH" in library else library.partition(",")[0].strip()
    if variable == "SLURM_STEP_NUM_TASKS":
        remedy = (
            "use `hpckit run -n N -- …` or this MPI's mpirun inside the allocation"
            + (", or `srun --mpi=pmi2`" if mpi == "MPICH" else ", or `srun --mpi=pmix`")
            + " instead of plain srun"
        )
    else:
        remedy = f"start it with the mpirun of {mpi}, or with `hpckit run -n {expected} -- …`, which finds it"
    raise LaunchError(f"{variable} says {expected} processes, but MPI ({mpi}) sees a world of {size}; {remedy}")

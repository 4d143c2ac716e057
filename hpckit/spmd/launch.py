"""What the launcher says about this process, read from the environment: rank, size, and whether MPI agrees."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import IO

from hpckit.errors import LaunchError

SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
NODE_SIZE_VARIABLES = ("MPI_LOCALNRANKS",)  # MPICH's; Open MPI chooses its transports by the launcher's flags
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
LOCAL_RANK_VARIABLES = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")

SURVIVE_VARIABLE = "HPCKIT_SURVIVE"  # set by `hpckit run --survive`
ATTEMPT_VARIABLE = "HPCKIT_ATTEMPT"  # set by `hpckit run`: 1, 2, … where it starts a failed job again
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


def launcher_local_rank(environ: Mapping[str, str] | None = None) -> int:
    """This process's number among those of its node; its rank where the launcher does not say."""
    found = _first_number(LOCAL_RANK_VARIABLES, os.environ if environ is None else environ)
    return found[1] if found else launcher_rank(environ)


def launcher_size(environ: Mapping[str, str] | None = None) -> int:
    """How many processes the launcher started; 1 without a launcher."""
    found = _first_number(SIZE_VARIABLES, os.environ if environ is None else environ)
    return found[1] if found else 1


def on_one_node(environ: Mapping[str, str] | None = None) -> bool:
    """Whether all ranks of this job run on this node, as far as the launcher says so; False if it does not say."""
    environ = os.environ if environ is None else environ
    here = _first_number(NODE_SIZE_VARIABLES, environ)
    return here is not None and here[1] == launcher_size(environ)


def start_mpi_quickly() -> None:
    """Tell MPI, before it is loaded, to look for no network when the ranks of one node need none: 0.04 s.

    UCX, on which MPICH stands, opens every network device and patches the C library to watch memory that devices may
    have registered. What the user has set stays.
    """
    if on_one_node():
        for variable, value in (("UCX_TLS", "self,sm"), ("UCX_MEM_EVENTS", "n")):
            os.environ.setdefault(variable, value)


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

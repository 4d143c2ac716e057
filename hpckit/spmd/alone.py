"""One process that no launcher started: what we use of MPI's interface, without MPI, whose start takes 0.08 s."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from hpckit.errors import InternalError

LAUNCHER_PREFIXES = (
    "PMI",
    "OMPI_",
    "MPI_",
    "MPIEXEC",
    "PALS_",
    "MV2_",
    "FLUX_",
    "ALPS_",
    "HYDI_",
    "SLURM_STEP",
    "PRTE",
    "I_MPI",
)
IN_PLACE = BYTE = SUM = MIN = MAX = COMM_TYPE_SHARED = None

Buffer = Any  # an array, or [array, (sizes, starts), type] as mpi4py takes it


def is_alone(environ: Mapping[str, str] | None = None) -> bool:
    """Whether nothing in the environment says that a launcher started this process, maybe with others."""
    environ = os.environ if environ is None else environ
    return not any(name.startswith(LAUNCHER_PREFIXES) for name in environ)


class Communicator:
    """A communicator of one process: every collective gives back what it is given."""

    def Dup(self) -> Communicator:
        return self

    def Split_type(self, kind: object) -> Communicator:
        return self

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return 1

    def Free(self) -> None:
        """Nothing to free."""

    def Abort(self, status: int) -> NoReturn:
        os._exit(status)

    def bcast(self, value: Any, root: int = 0) -> Any:
        return value

    def gather(self, value: Any, root: int = 0) -> list[Any]:
        return [value]

    def allgather(self, value: Any) -> list[Any]:
        return [value]

    def Bcast(self, buffer: Buffer, root: int = 0) -> None:
        """The buffer is where it should be."""

    def Allreduce(self, send: Buffer, receive: Buffer, operation: object) -> None:
        if send is not IN_PLACE:
            receive[...] = send

    def Exscan(self, send: Buffer, receive: Buffer, operation: object) -> None:
        """Before the first rank there is nothing: `receive` stays."""

    def Alltoall(self, send: Buffer, receive: Buffer) -> None:
        receive[...] = send

    def Alltoallv(self, send: Buffer, receive: Buffer) -> None:
        source, target = _part(send), _part(receive)
        if len(source) != len(target):
            raise InternalError(f"{len(source)} bytes sent to this process, {len(target)} expected")
        target[...] = source

    def Send(self, *args: Any, **options: Any) -> NoReturn:
        raise InternalError("a message to another rank, and there is none")

    Recv = Send

    def Ibarrier(self) -> Communicator:
        return self

    def Test(self) -> bool:
        """As a request: done."""
        return True


def _part(buffer: Sequence[Any]) -> np.ndarray:
    data, (sizes, starts), _ = buffer
    return np.asarray(data)[int(starts[0]) : int(starts[0]) + int(sizes[0])]


COMM_WORLD = Communicator()


def Get_library_version() -> str:
    """Which MPI this is."""
    return "none: one process that no launcher started"


def Is_finalized() -> bool:
    """Never: there is nothing to end."""
    return False


def Finalize() -> None:
    """Nothing to end."""

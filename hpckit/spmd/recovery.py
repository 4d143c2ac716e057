"""From a communicator with dead ranks to one of the survivors, and who is who in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping

from hpckit.errors import LaunchError
from hpckit.frozen import frozen
from hpckit.spmd import pulse
from hpckit.spmd.launch import SURVIVE_VARIABLE
from hpckit.spmd.library import MPI

FAULT_TOLERANT_VARIABLE = "OMPI_MCA_mpi_ft_enable"  # set by Open MPI's `mpirun --with-ft ulfm`


@frozen
class Loss:
    """What a recovery found; the same on all survivors.

    epoch       how many recoveries there were, this one included
    lost        ranks that are gone, in the numbers that held before
    origins     the same ranks by their numbers in the first world
    renumbered  number before -> number now, of all survivors
    """

    epoch: int
    lost: tuple[int, ...]
    origins: tuple[int, ...]
    renumbered: dict[int, int]

    def __str__(self) -> str:
        who = ", ".join(str(origin) for origin in self.origins)
        return f"lost rank{'s' * (len(self.origins) > 1)} {who}; going on with {len(self.renumbered)}"


def asked_to_survive(environ: Mapping[str, str] | None = None) -> bool:
    """Whether `hpckit run --survive` started this process. LaunchError if its MPI cannot do that."""
    environ = os.environ if environ is None else environ
    if environ.get(SURVIVE_VARIABLE) != "1":
        return False
    if environ.get(FAULT_TOLERANT_VARIABLE) != "1" or "Open MPI" not in MPI.Get_library_version():
        raise LaunchError(
            f"{SURVIVE_VARIABLE}=1, but this MPI was not started to survive the loss of a rank; "
            "start the job with `hpckit run --survive -n N -- …` under Open MPI 5"
        )
    return True


def agree(communicator: MPI.Comm, well: bool) -> bool:
    """Whether all ranks are alive and all said that it is well; every survivor has the same answer. Collective, also
    on a communicator that was given up."""
    pulse.reach(pulse.AGREEING)
    try:
        return bool(communicator.Agree(int(well)))
    except MPI.Exception:
        return False
    finally:
        pulse.reach(pulse.UP)


def meeting(communicator: MPI.Comm) -> Callable[[], bool]:
    """See Context.meet; where a rank died, not all have come."""
    requests: list[MPI.Request] = []
    with contextlib.suppress(MPI.Exception):
        requests.append(communicator.Ibarrier())

    def everyone_is_here() -> bool:
        if not requests:
            return False
        try:
            return bool(requests[0].Test())
        except MPI.Exception:
            requests.clear()  # asked once more it would say that it is done
            return False

    return everyone_is_here


def shrink(communicator: MPI.Comm) -> tuple[MPI.Comm, MPI.Comm]:
    """Two communicators of the survivors, their own and one to meet on. Collective over the survivors."""
    while True:
        communicator.Revoke()
        pulse.reach(pulse.AGREEING)
        try:
            smaller = communicator.Shrink()
        except MPI.Exception:
            continue
        smaller.Set_errhandler(MPI.ERRORS_RETURN)
        meeting = None
        with contextlib.suppress(MPI.Exception):
            meeting = smaller.Shrink()  # unlike Dup it ends although somebody dies meanwhile
        whole = meeting is not None and meeting.Get_size() == smaller.Get_size()
        if agree(smaller, whole) and meeting is not None:
            meeting.Set_errhandler(MPI.ERRORS_RETURN)
            return smaller, meeting
        communicator = smaller


def origins_of(communicator: MPI.Comm, first: MPI.Group) -> tuple[int, ...]:
    """For each rank of `communicator` its number in the group `first`. Local."""
    group = communicator.Get_group()
    numbers = MPI.Group.Translate_ranks(group, list(range(group.Get_size())), first)
    group.Free()
    return tuple(numbers)


def describe(epoch: int, before: tuple[int, ...], now: tuple[int, ...]) -> Loss:
    """The loss that made the ranks of origins `before` those of origins `now`. Local."""
    number = {origin: rank for rank, origin in enumerate(now)}
    lost = [rank for rank, origin in enumerate(before) if origin not in number]
    renumbered = {rank: number[origin] for rank, origin in enumerate(before) if origin in number}
    return Loss(epoch, tuple(lost), tuple(before[rank] for rank in lost), renumbered)

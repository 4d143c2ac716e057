"""The wait that notices a lost rank: a communicator of a job that goes on when ranks die.

Every operation is started in its nonblocking form and polled, and the poll also asks whether somebody gave the
communicator up: a blocking collective sometimes never returns although its communicator was revoked. Where nobody asked
for survival, contexts use MPI's own communicator and nothing of this.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from hpckit.errors import RankLost
from hpckit.spmd.library import MPI

POLLS_EAGER = 200  # so often without giving the core away: what is quick is done by then
POLLS_YIELDING = 2000  # so often giving it to whoever is ready; from then on sleeping
NAP_S = 0.0005
ASK_POLLS = 256  # between two questions who is known to be dead, which cost a microsecond each
BLAME_S = 2.0  # how long after an error of MPI a death may become known that explains it

Message = Any  # an array, or [array, (sizes, starts), type] as mpi4py takes it

_kept: list[Any] = []  # MPI may still write into the buffers of what was given up: they live as long as the process


class Watched:
    """What we use of MPI's communicators, each call ending in its result or in RankLost. Calls are Collective, or
    point-to-point, as MPI has them; the rank that sees a death first revokes, so that all others see it as well."""

    def __init__(self, communicator: MPI.Comm) -> None:
        communicator.Set_errhandler(MPI.ERRORS_RETURN)
        self.raw = communicator
        self._rank, self._size = communicator.Get_rank(), communicator.Get_size()
        self._open: dict[int, tuple[MPI.Request, Any]] = {}  # requests not waited for yet, with their buffers

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return self._size

    def Free(self) -> None:
        """Nothing: freeing is collective, and the dead take no part."""

    # Starting, waiting, giving up

    def _start(self, name: str, *args: Any, **options: Any) -> MPI.Request:
        try:
            request = getattr(self.raw, name)(*args, **options)
        except MPI.Exception as error:
            self.lost(error)
        self._open[id(request)] = (request, args)
        return request

    def _do(self, name: str, *args: Any, **options: Any) -> None:
        self.wait([self._start(name, *args, **options)])

    def wait(self, requests: Sequence[MPI.Request]) -> None:
        """Wait for all `requests` of this communicator. RankLost if a rank died or another one saw that."""
        keys = [id(request) for request in requests]
        polls, listed = 0, list(requests)
        try:
            # One request is asked by itself: that is quicker, and its error says what it is.
            while not (listed[0].Test() if len(listed) == 1 else MPI.Request.Testall(listed)):
                if self.raw.Is_revoked():
                    self.lost()
                polls += 1
                if polls % ASK_POLLS == 0 and self._somebody_died():
                    self.lost()
                if polls > POLLS_YIELDING:
                    time.sleep(NAP_S)
                elif polls > POLLS_EAGER:
                    os.sched_yield()
        except MPI.Exception as error:
            self.lost(error)
        for key in keys:
            self._open.pop(key, None)

    def check(self) -> None:
        """RankLost if a death is known, else nothing. Local: drives MPI's progress, by which deaths become known."""
        try:
            self.raw.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG)
        except MPI.Exception as error:
            self.lost(error)
        if self.raw.Is_revoked() or self._somebody_died():
            self.lost()

    def lost(self, error: MPI.Exception | None = None) -> NoReturn:
        """Give this communicator up, everywhere, with RankLost; or raise `error` again if no death explains it."""
        if error is not None and not self._explained(error):
            raise error
        self.give_up()
        raise RankLost("a rank of this job died or was given up") from error

    def give_up(self) -> None:
        """Revoke, and keep whatever is under way. Local."""
        if self not in _kept:
            _kept.append(self)
        self.raw.Revoke()

    def _explained(self, error: MPI.Exception) -> bool:
        """Whether a death is behind this error; those of multi-request and nonblocking calls do not say so."""
        if error.Get_error_class() in (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED):
            return True
        end_s = time.monotonic() + BLAME_S
        while time.monotonic() < end_s:
            if self.raw.Is_revoked() or self._somebody_died():
                return True
            try:
                self.raw.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG)
            except MPI.Exception:
                return True
            time.sleep(0.01)
        return False

    def _somebody_died(self) -> bool:
        group = self.raw.Get_failed()
        dead = group.Get_size()
        group.Free()
        return dead > 0

    # Pickled metadata

    def bcast(self, value: Any, root: int = 0) -> Any:
        data = _pickled(value) if self._rank == root else None
        size = np.array([0 if data is None else len(data)], np.int64)
        self._do("Ibcast", size, root=root)
        if data is None:
            data = np.empty(int(size[0]), np.uint8)
        self._do("Ibcast", [data, MPI.BYTE], root=root)
        return value if self._rank == root else pickle.loads(data.tobytes())

    def gather(self, value: Any, root: int = 0) -> list[Any] | None:
        data, here = _pickled(value), self._rank == root
        sizes = np.empty(self._size, np.int64) if here else None
        self._do("Igather", np.array([len(data)], np.int64), sizes, root=root)
        if sizes is None:
            self._do("Igatherv", [data, MPI.BYTE], None, root=root)
            return None
        received = np.empty(int(sizes.sum()), np.uint8)
        self._do("Igatherv", [data, MPI.BYTE], [received, (sizes, _starts(sizes)), MPI.BYTE], root=root)
        return _unpickled(received, sizes)

    def allgather(self, value: Any) -> list[Any]:
        data = _pickled(value)
        sizes = np.empty(self._size, np.int64)
        self._do("Iallgather", np.array([len(data)], np.int64), sizes)
        received = np.empty(int(sizes.sum()), np.uint8)
        self._do("Iallgatherv", [data, MPI.BYTE], [received, (sizes, _starts(sizes)), MPI.BYTE])
        return _unpickled(received, sizes)

    # Buffers

    def Bcast(self, buffer: Message, root: int = 0) -> None:
        self._do("Ibcast", buffer, root=root)

    def Allreduce(self, send: Message, receive: Message, operation: MPI.Op) -> None:
        self._do("Iallreduce", send, receive, operation)

    def Exscan(self, send: Message, receive: Message, operation: MPI.Op) -> None:
        self._do("Iexscan", send, receive, operation)

    def Alltoall(self, send: Message, receive: Message) -> None:
        self._do("Ialltoall", send, receive)

    def Alltoallv(self, send: Message, receive: Message) -> None:
        self._do("Ialltoallv", send, receive)

    def Send(self, buffer: Message, dest: int, tag: int = 0) -> None:
        self._do("Isend", buffer, dest, tag)

    def Recv(self, buffer: Message, source: int, tag: int = 0) -> None:
        self._do("Irecv", buffer, source, tag)

    def Isend(self, buffer: Message, dest: int, tag: int = 0) -> MPI.Request:
        return self._start("Isend", buffer, dest, tag)

    def Irecv(self, buffer: Message, source: int, tag: int = 0) -> MPI.Request:
        return self._start("Irecv", buffer, source, tag)


def wait_all(communicator: MPI.Intracomm | Watched, requests: Sequence[MPI.Request]) -> None:
    """Wait for all `requests`, which were started on `communicator`. RankLost in a job that survives losses."""
    if isinstance(communicator, Watched):
        communicator.wait(requests)
    elif requests:
        MPI.Request.Waitall(list(requests))


def _pickled(value: Any) -> np.ndarray:
    return np.frombuffer(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), np.uint8)


def _unpickled(data: np.ndarray, sizes: np.ndarray) -> list[Any]:
    ends = np.cumsum(sizes)
    return [
        pickle.loads(data[end - size : end].tobytes()) for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)
    ]


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.cumsum(sizes) - sizes

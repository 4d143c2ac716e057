"""NumPy arrays between ranks without a detour through Arrow: bounded rounds of direct messages, checked at the end.

Messages go from pair to pair, so neither 32-bit counts nor displacements limit an array; what stays on a rank is not
sent at all. Every rank keeps a running hash of what it sent to and had from each other one, compared when all is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import content
from hpckit.errors import InternalError
from hpckit.spmd.library import MPI
from hpckit.spmd.transport import COUNT_MAX, alltoall
from hpckit.spmd.waiting import wait_all

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

ROUND_BYTES = 64 << 20  # what a rank sends to all others in one round of `exchange`, about
TAG = 72


def exscan_sums(context: Context, values: np.ndarray) -> np.ndarray:
    """Element-wise sums of int64 `values` over the ranks before this one, zeros on rank 0. Collective."""
    send, before = np.ascontiguousarray(values, np.int64), np.zeros(values.shape, np.int64)
    context._comm.Exscan(send, before, MPI.SUM)
    return np.zeros_like(before) if context.is_root else before


@dataclass
class Posted:
    """A round of messages that are under way."""

    receives: list[MPI.Request]
    sends: list[MPI.Request]
    into: dict[int, list[np.ndarray]]  # by rank: what arrives


class Exchange:
    """An all-to-all of bytes in rounds that the caller lays out. Collective: every rank makes the same rounds."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.sent = np.zeros((context.size, 2), np.uint64)  # by rank: bytes, hash of all messages so far
        self.received = np.zeros((context.size, 2), np.uint64)

    def round(self, leaving: list[list[np.ndarray]], arriving: list[list[np.ndarray]]) -> None:
        """Send the arrays leaving[r] to rank r and fill arriving[r] from it; those of this rank are left alone.

        Collective. Arrays are contiguous, of any type; sender and receiver agree on their sizes, and empty ones make no
        message.
        """
        posted = self.post(leaving, arriving)
        self.receive(posted)
        self.release(posted)

    def post(self, leaving: list[list[np.ndarray]], arriving: list[list[np.ndarray]]) -> Posted:
        """As `round`, without waiting: arrays of `arriving` are filled once `receive` is back, those of `leaving` may
        change once `release` is. Rounds are received in the order they were posted in. Collective."""
        here, size, comm = self.context.rank, self.context.size, self.context._comm
        around = [(here + step) % size for step in range(1, size)]  # nobody is everybody's first
        out = {r: [part for array in leaving[r] for part in _parts(array)] for r in around}
        into = {r: [part for array in arriving[r] for part in _parts(array)] for r in around}
        receives = [comm.Irecv([part, MPI.BYTE], r, TAG) for r in around for part in into[r]]
        sends = [comm.Isend([part, MPI.BYTE], r, TAG) for r in around for part in out[r]]
        for r in around:
            _fold(self.sent[r], out[r])
        sizes = [len(part) for r in around for part in out[r]]
        self.context.count(bytes=sum(sizes), messages=len(sizes))
        return Posted(receives, sends, into)

    def receive(self, posted: Posted) -> None:
        """Wait until all of a round has arrived. Local."""
        wait_all(self.context._comm, posted.receives)
        for r, parts in posted.into.items():
            _fold(self.received[r], parts)

    def release(self, posted: Posted) -> None:
        """Wait until what a round sends is not needed here any more. Local."""
        wait_all(self.context._comm, posted.sends)

    def finish(self) -> None:
        """InternalError on every rank unless all arrived as it was sent. Collective."""
        told = alltoall(self.context, self.sent.view(np.int64)).view(np.uint64)
        with self.context.agreed("comparing what was sent and what arrived"):
            for source in np.flatnonzero((told != self.received).any(axis=1)).tolist():
                (size, content), (size_here, content_here) = told[source].tolist(), self.received[source].tolist()
                raise InternalError(
                    f"rank {source} sent rank {self.context.rank} {size} bytes of hash {content:016x}, "
                    f"but {size_here} of hash {content_here:016x} arrived"
                )


def exchange(
    context: Context, array: np.ndarray, counts: np.ndarray, round_bytes: int = ROUND_BYTES
) -> tuple[np.ndarray, np.ndarray]:
    """See Context.exchange_array. Collective."""
    with context.agreed("preparing an exchange of arrays"):
        counts = np.asarray(counts, np.int64)
        if counts.shape != (context.size,) or (counts < 0).any() or counts.sum() != len(array):
            raise InternalError(f"counts {counts.tolist()} for {len(array)} rows and {context.size} ranks")
        array = np.ascontiguousarray(array)
        row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
    incoming = alltoall(context, counts.reshape(-1, 1)).reshape(-1)
    with context.agreed("making room for an exchange of arrays"):
        received = np.empty((int(incoming.sum()), *array.shape[1:]), array.dtype)
    if context.size == 1:
        received[...] = array
        return received, incoming
    away = max(len(array) - int(counts[context.rank]), len(received) - int(incoming[context.rank])) * row_bytes
    rounds = context.allreduce(away // round_bytes + 1, "max")
    exchange_ = Exchange(context)
    ends, ends_in = np.cumsum(counts), np.cumsum(incoming)
    for k in range(rounds):
        leaving = _slices(array, ends - counts, counts, k, rounds)
        arriving = _slices(received, ends_in - incoming, incoming, k, rounds)
        arriving[context.rank][...] = leaving[context.rank]
        exchange_.round([[part] for part in leaving], [[part] for part in arriving])
    exchange_.finish()
    return received, incoming


def _slices(data: np.ndarray, begin: np.ndarray, sizes: np.ndarray, k: int, rounds: int) -> list[np.ndarray]:
    """Part k of `rounds` of every rank's rows."""
    starts, stops = begin + sizes * k // rounds, begin + sizes * (k + 1) // rounds
    return [data[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    """The bytes of an array, in messages whose size a C int can hold."""
    if array.size and array.dtype.itemsize:
        data = array.reshape(-1).view(np.uint8)
        for start in range(0, len(data), COUNT_MAX):
            yield data[start : start + COUNT_MAX]


def _fold(state: np.ndarray, parts: list[np.ndarray]) -> None:
    """Take messages into the (bytes, hash) of what came before them."""
    for data in parts:
        state[0] += np.uint64(len(data))
        state[1] = content.hash_bytes(data, int(state[1]))

"""Raw bytes between ranks, straight into the buffers where they are wanted: no staging, no limit of 2 GiB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpckit.spmd.library import MPI
from hpckit.spmd.waiting import wait_all

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SLICE_BYTES = 256 << 20  # one message
STREAM_SLICE_BYTES = 8 << 20  # one message of a stream, which is read into a buffer first
TAG = 73


def exchange_blocks(context: Context, outgoing: Sequence[np.ndarray], incoming: Sequence[np.ndarray]) -> None:
    """Send outgoing[r] to rank r and receive incoming[r] from it (uint8, sizes agreed before). Collective.

    What stays on this rank is not copied: its entries are not looked at. Ranks are paired by their distance, so that
    each sends and receives one block at a time.
    """
    for distance in range(1, context.size):
        dest, source = (context.rank + distance) % context.size, (context.rank - distance) % context.size
        requests = [context._comm.Irecv([part, MPI.BYTE], source=source, tag=TAG) for part in _slices(incoming[source])]
        requests += [context._comm.Isend([part, MPI.BYTE], dest=dest, tag=TAG) for part in _slices(outgoing[dest])]
        wait_all(context._comm, requests)
        context.count(bytes=len(outgoing[dest]), messages=int(len(outgoing[dest]) > 0))


def exchange_streams(
    context: Context,
    sizes: Sequence[int],
    read: Callable[[int, int, np.ndarray], None],
    incoming: Sequence[np.ndarray],
    slice_bytes: int = STREAM_SLICE_BYTES,
) -> None:
    """As exchange_blocks, but what goes to rank r is fetched in slices: read(r, start, buffer) fills `buffer` with the
    bytes from `start` on of the sizes[r] bytes for rank r. Collective; what stays here is read into its place.

    An error of `read` is raised on all ranks at the end, so that nobody waits for bytes that do not come.
    """
    failures: list[Exception] = []
    buffer = np.empty(min(slice_bytes, max([0, *sizes])), np.uint8)
    for distance in range(context.size):
        dest, source = (context.rank + distance) % context.size, (context.rank - distance) % context.size
        own, into = distance == 0, incoming[source]
        for start in range(0, max(sizes[dest], len(into)), slice_bytes):
            part = buffer[: min(slice_bytes, max(0, sizes[dest] - start))]
            if own:
                part = into[start : start + slice_bytes]
            if len(part) and not failures:
                try:
                    read(dest, start, part)
                except Exception as error:
                    failures.append(error)
            if not own:
                _swap(context, part, dest, into[start : start + slice_bytes], source)
    with context.agreed("sending what was spilled"):
        if failures:
            raise failures[0]


def _swap(context: Context, part: np.ndarray, dest: int, into: np.ndarray, source: int) -> None:
    requests = []
    if len(into):
        requests.append(context._comm.Irecv([into, MPI.BYTE], source=source, tag=TAG))
    if len(part):
        requests.append(context._comm.Isend([part, MPI.BYTE], dest=dest, tag=TAG))
        context.count(bytes=len(part), messages=1)
    wait_all(context._comm, requests)


def _slices(block: np.ndarray) -> list[np.ndarray]:
    return [block[start : start + SLICE_BYTES] for start in range(0, len(block), SLICE_BYTES)]

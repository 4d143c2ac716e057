"""Bytes between all ranks: one Alltoallv where its 32-bit counts suffice, bounded slices of it where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpckit.spmd.library import MPI

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

COUNT_MAX = (1 << 31) - 1  # MPI's counts and displacements are C ints
SLICE_BYTES = 64 << 20  # staging of the sliced way: this much in and out of a rank at a time


def alltoall(context: Context, values: np.ndarray) -> np.ndarray:
    """Row r of the int64 array `values` (size, k) goes to rank r; returns the rows received by source. Collective."""
    received = np.empty_like(values)
    context._comm.Alltoall(np.ascontiguousarray(values), received)
    return received


def alltoallv(
    context: Context,
    data: np.ndarray,
    send_sizes: np.ndarray,
    recv_sizes: np.ndarray,
    count_max: int = COUNT_MAX,
    slice_bytes: int = SLICE_BYTES,
) -> np.ndarray:
    """Send send_sizes[r] bytes of `data` (uint8, in rank order) to rank r; returns what came, in rank order.

    Collective. `recv_sizes` is what the others send here. The two limits are parameters for the tests.
    """
    received = np.empty(int(recv_sizes.sum()), np.uint8)
    largest = context.allreduce(max(len(data), len(received)), "max")
    if largest <= count_max:
        send = [data, (send_sizes, _starts(send_sizes)), MPI.BYTE]
        context._comm.Alltoallv(send, [received, (recv_sizes, _starts(recv_sizes)), MPI.BYTE])
        return received
    per_pair = max(1, slice_bytes // context.size)
    pair_max = int(max(send_sizes.max(initial=0), recv_sizes.max(initial=0)))
    for begin in range(0, context.allreduce(pair_max, "max"), per_pair):
        _send_slice(context, data, send_sizes, received, recv_sizes, begin, per_pair)
    return received


def _send_slice(
    context: Context,
    data: np.ndarray,
    send_sizes: np.ndarray,
    received: np.ndarray,
    recv_sizes: np.ndarray,
    begin: int,
    per_pair: int,
) -> None:
    """Bytes begin..begin + per_pair of every pair's message, through staging buffers. Collective."""
    out_sizes = np.clip(send_sizes - begin, 0, per_pair)
    in_sizes = np.clip(recv_sizes - begin, 0, per_pair)
    staged_in = np.empty(int(in_sizes.sum()), np.uint8)
    pieces = [data[s : s + n] for s, n in zip((_starts(send_sizes) + begin).tolist(), out_sizes.tolist(), strict=True)]
    staged_out = np.concatenate(pieces)
    context._comm.Alltoallv(
        [staged_out, (out_sizes, _starts(out_sizes)), MPI.BYTE],
        [staged_in, (in_sizes, _starts(in_sizes)), MPI.BYTE],
    )
    places = zip((_starts(recv_sizes) + begin).tolist(), _starts(in_sizes).tolist(), in_sizes.tolist(), strict=True)
    for place, start, size in places:
        received[place : place + size] = staged_in[start : start + size]


def send(context: Context, data: np.ndarray, dest: int, tag: int) -> None:
    """Send `data` (uint8, any size, the receiver knows it) in slices of SLICE_BYTES."""
    for start in range(0, len(data), SLICE_BYTES):
        context._comm.Send([data[start : start + SLICE_BYTES], MPI.BYTE], dest=dest, tag=tag)


def recv(context: Context, size: int, source: int, tag: int) -> np.ndarray:
    """Receive `size` bytes from rank `source`."""
    data = np.empty(size, np.uint8)
    for start in range(0, size, SLICE_BYTES):
        context._comm.Recv([data[start : start + SLICE_BYTES], MPI.BYTE], source=source, tag=tag)
    return data


def bcast(context: Context, data: np.ndarray | None, root: int) -> np.ndarray:
    """The uint8 array of `root` on every rank, in slices of SLICE_BYTES. Collective."""
    size = np.array([0 if data is None else len(data)], np.int64)
    context._comm.Bcast(size, root=root)
    if context.rank != root or data is None:
        data = np.empty(int(size[0]), np.uint8)
    for start in range(0, int(size[0]), SLICE_BYTES):
        context._comm.Bcast([data[start : start + SLICE_BYTES], MPI.BYTE], root=root)
    return data


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.cumsum(sizes) - sizes

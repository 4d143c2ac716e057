"""Large buffers that outlive a sort: pages that are in memory already cost nothing, fresh ones more than the sort.

A buffer goes back to the pool once the last array on it is gone. Idle ones are offered to the system (MADV_FREE): it
takes their pages when memory is short and leaves them in place otherwise; they are at most an eighth of the memory that
a rank may use.
"""

from __future__ import annotations

import contextlib
import mmap
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import partition

if TYPE_CHECKING:
    from hpckit.spmd import Context

HUGE_BYTES = 2 << 20  # a huge page
POOLED_MIN = 8 << 20  # below it the allocator of NumPy is as good
FIT = 1.25  # how much larger than asked for an idle buffer may be
IDLE_SHARE = 8
ADVICE_HUGE = getattr(mmap, "MADV_HUGEPAGE", None)
ADVICE_FREE = getattr(mmap, "MADV_FREE", None)


class _Region:
    """A private anonymous mapping of whole huge pages."""

    def __init__(self, size: int) -> None:
        self.mapping = mmap.mmap(-1, size + HUGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.data = np.frombuffer(self.mapping, np.uint8)
        self.begin = -self.data.ctypes.data % HUGE_BYTES
        self.size = size
        self.address = self.data.ctypes.data + self.begin
        self.advise(ADVICE_HUGE)

    def advise(self, advice: int | None) -> None:
        if advice is not None:
            with contextlib.suppress(OSError):  # advice only: an old system has none of it
                self.mapping.madvise(advice, self.begin, self.size)


class _Lease:
    """The owner of the arrays on a region; when the last of them is gone the region is idle again."""

    def __init__(self, pool: Pool, region: _Region, size: int) -> None:
        self.pool, self.region = pool, region
        self.__array_interface__ = {
            "version": 3, "typestr": "|u1", "shape": (size,), "data": (region.address, False)
        }  # fmt: skip

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending():
            self.pool.put(self.region)


class Pool:
    """Idle buffers of this process."""

    def __init__(self, idle_max: int) -> None:
        self.idle_max = idle_max
        self.idle: list[_Region] = []
        self.lock = threading.RLock()  # a lease may end anywhere, also within `take`

    def take(self, size: int) -> np.ndarray:
        """An uninitialised uint8 array of `size` bytes that begins at a huge page. Local."""
        with self.lock:
            fitting = [region for region in self.idle if size <= region.size <= size * FIT]
            region = min(fitting, key=lambda region: region.size, default=None)
            if region is not None:
                self.idle.remove(region)
        if region is None:
            region = self._fresh(-(-size // HUGE_BYTES) * HUGE_BYTES)
        return np.asarray(_Lease(self, region, size))

    def _fresh(self, size: int) -> _Region:
        try:
            return _Region(size)
        except OSError:
            self.clear()
        try:
            return _Region(size)
        except OSError as error:
            raise MemoryError(f"no room for a buffer of {size} bytes: {error}") from error

    def put(self, region: _Region) -> None:
        """Keep a region for the next taker, in place of those that have been idle longest. Local."""
        region.advise(ADVICE_FREE)
        with self.lock:
            self.idle.append(region)
            while sum(idle.size for idle in self.idle) > self.idle_max:
                del self.idle[0]

    def clear(self) -> None:
        """Give all idle buffers back. Local."""
        with self.lock:
            self.idle.clear()


_pools: list[Pool] = []


def release_idle() -> None:
    """Give idle buffers, and what allocators keep of freed memory, back to the system now. Local."""
    import pyarrow as pa  # arrays are sorted without it

    for pool in _pools:
        pool.clear()
    pa.default_memory_pool().release_unused()
    partition.release_freed()


def room(context: Context, rows: int, dtype: np.dtype, shape: tuple[int, ...] = ()) -> np.ndarray:
    """An uninitialised array of `rows` rows that begins at a cache line, from this process's pool if it is large.
    Local."""
    size = rows * dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    return room_bytes(context, size).view(dtype).reshape(rows, *shape)


def room_bytes(context: Context, size: int) -> np.ndarray:
    """As `room`: uninitialised bytes (uint8). Local."""
    if size < POOLED_MIN:
        return partition.aligned(size, partition.LINE_BYTES)
    if not _pools:
        _pools.append(Pool(context.memory_budget() // IDLE_SHARE))
    return _pools[0].take(size)

"""Ranks as threads of one process, for what needs only the small collectives of a Context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Ranks:
    """What the threads share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size)
        self.slots: list[Any] = [None] * size


class ThreadContext:
    """The collectives of hpckit.spmd.Context that a checkpoint uses, between threads."""

    def __init__(self, shared: Ranks, rank: int) -> None:
        self._shared, self.rank, self.size = shared, rank, shared.size

    @property
    def is_root(self) -> bool:
        return self.rank == 0

    def allgather(self, value: Any) -> list[Any]:
        self._shared.barrier.wait()
        self._shared.slots[self.rank] = value
        self._shared.barrier.wait()
        found = list(self._shared.slots)
        self._shared.barrier.wait()
        return found

    def bcast(self, value: Any, root: int = 0) -> Any:
        return self.allgather(value)[root]

    def gather(self, value: Any, root: int = 0) -> list[Any] | None:
        found = self.allgather(value)
        return found if self.rank == root else None

    def allreduce(self, value: Any, operation: str = "sum") -> Any:
        found = np.array(self.allgather(value))
        result = {"sum": found.sum, "min": found.min, "max": found.max}[operation](axis=0)
        return int(result) if isinstance(value, int) else result

    def on_root(self, function: Callable[..., Any], *args: Any) -> Any:
        result, error = None, None
        if self.is_root:
            try:
                result = function(*args)
            except Exception as caught:
                error = caught
        result, error = self.bcast((result, error))
        if error is not None:
            raise error
        return result

    @contextmanager
    def agreed(self, what: str) -> Iterator[None]:
        del what
        error = None
        try:
            yield
        except Exception as caught:
            error = caught
        for theirs in self.allgather(error):
            if theirs is not None:
                raise theirs


def run(size: int, function: Callable[[ThreadContext], Any]) -> list[Any]:
    """function(context) on so many ranks; returns their results, or raises what the first failing rank raised."""
    shared = Ranks(size)
    results: list[Any] = [None] * size
    errors: list[BaseException | None] = [None] * size

    def work(rank: int) -> None:
        try:
            results[rank] = function(ThreadContext(shared, rank))
        except BaseException as error:
            errors[rank] = error
            shared.barrier.abort()

    if size == 1:
        return [function(ThreadContext(shared, 0))]
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [error for error in errors if error is not None]
    if found:
        raise next((error for error in found if not isinstance(error, threading.BrokenBarrierError)), found[0])
    return results

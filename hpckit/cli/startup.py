"""How a command's process begins and ends: what is not imported, made or torn down because no command needs it.

Everything here is for processes that run one hpckit command. In a user's own program other libraries may want what is
left out, so nothing of this happens there.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from hpckit.spmd.launch import single_thread

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
GARBAGE_OBJECTS = 500_000  # more than all imports make together, so that start-up runs no collection

# pyarrow imports pandas, if it is installed, at the first array it makes (0.4 s), and the clients of object stores with
# the first file it writes (0.03 s).
UNUSED = frozenset({"pandas", "pyarrow._s3fs", "pyarrow._gcsfs", "pyarrow._azurefs", "pyarrow._hdfs"})


class _Unused:
    """A finder that says there is no such module."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if fullname in UNUSED:
            raise ModuleNotFoundError(f"{fullname} is not used by hpckit's commands", name=fullname)


def begin() -> None:
    """The first thing of a process that runs one command."""
    gc.set_threshold(GARBAGE_OBJECTS, 50, 50)  # imports make many objects and no garbage; batches end by their counts
    sys.meta_path.insert(0, _Unused)  # type: ignore[arg-type]


def leave(status: int) -> NoReturn:
    """End the process: exit functions run, output is flushed, and the system takes back the memory in one go.

    Taking a hundred thousand objects apart one by one takes 0.06 s, and nobody looks at them again. The C library's own
    exit functions do run where MPI was loaded: in one of them MPICH tells the launcher that this process ends in order
    (MPI_Finalize does not), and a launcher that was not told kills the other ranks.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, or nobody reads it: the status is already decided
            pass
    if "mpi4py.MPI" in sys.modules:
        import ctypes

        ctypes.PyDLL(None).exit(status)
    os._exit(status)


def start_quickly() -> None:
    """What every command that reads data does before numpy and pyarrow load."""
    single_thread()
    keep_pages()
    from hpckit.cli.postponed import import_compute

    import_compute()


def keep_pages() -> None:
    """Let the C library keep the pages of freed arrays: fresh ones for each batch cost as much to touch as the work."""
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(M_MMAP_THRESHOLD, 4 << 20)
    mallopt(M_TRIM_THRESHOLD, 16 << 20)

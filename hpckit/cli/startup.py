"""Start-up time of commands: what not to import."""

from __future__ import annotations

import ctypes
import gc
import importlib.abc
import sys
from collections.abc import Sequence
from types import ModuleType

from hpckit.spmd.launch import single_thread

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


class _NoPandas(importlib.abc.MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not used by hpckit's commands", name=fullname)


def start_quickly() -> None:
    """What every command that reads data does first."""
    single_thread()  # before numpy loads
    gc.set_threshold(100_000, 50, 50)  # imports make many objects and no garbage; batches are freed by their counts
    keep_pages()
    import_arrow_alone()


def keep_pages() -> None:
    """Let the C library keep the pages of freed arrays: fresh ones for each batch cost as much to touch as the work."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(M_MMAP_THRESHOLD, 4 << 20)
    mallopt(M_TRIM_THRESHOLD, 16 << 20)


def import_arrow_alone() -> None:
    """Import pyarrow without pandas, which it would import, if it is installed, at the first array it makes: 0.4 s.

    For commands only: in this process pyarrow will not convert to or from pandas.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.scalar(0)  # pyarrow looks for pandas once
    finally:
        sys.meta_path.remove(finder)

"""Generations on disk: parts of a job's state in HDF5, restored on any number of ranks. See docs/checkpoint.md.

with hk.checkpoint("ck/", every_s=60) as ck:
    state = ck.restore() or {"step": 0, "x": start()}
"""

from __future__ import annotations

import sys
import types
from typing import Any


class _Package(types.ModuleType):
    """hk.checkpoint is a function for users, also once the import system puts this package under that name."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from hpckit.checkpoint.session import checkpoint

        return checkpoint(*args, **options)


sys.modules[__name__].__class__ = _Package

"""Everything about running as many equal processes: the only room that imports mpi4py, and only once world() is called.

context = world()                       rank, size and every collective operation
sys.exit(program(main))                 errors printed once, right exit status, no hang
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpckit.spmd.program import program, world

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

__all__ = ["Context", "program", "world"]


def __getattr__(name: str) -> object:
    if name == "Context":
        from hpckit.spmd.context import Context

        return Context
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""`DistArray`: a NumPy array partitioned by blocks of its first axis over the ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit.arrays import checks
from hpckit.spmd import world

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


class DistArray:
    """An array of one shape and dtype, of which each rank holds a block of the first axis, in rank order.

    context   the ranks it is spread over
    local     this rank's block, a C-contiguous np.ndarray
    starts    int64 (size + 1): rank r holds rows starts[r] to starts[r + 1]; blocks may be uneven or empty
    shape     the global shape
    dtype     of the values
    """

    def __init__(self, context: Context, local: np.ndarray, starts: np.ndarray) -> None:
        """Local, and not checked: use `from_local` or the functions of hpckit.arrays."""
        self.context = context
        self.local = local
        self.starts = starts

    @classmethod
    def from_local(cls, local: Any, context: Context | None = None) -> DistArray:
        """The array whose block on each rank is that rank's `local` (not copied if contiguous). Collective.

        Raises UserError for unsupported dtypes, and where dtypes or trailing shapes differ between ranks.
        """
        context = context or world()
        with context.agreed("checking the parts of an array"):
            values = checks.block(local, f"part of rank {context.rank}")
        return cls(context, values, checks.agree(context, values, "array from local parts"))

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self.starts[-1]), *self.local.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.local.dtype

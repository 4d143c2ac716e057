"""Where the chunks of all ranks lie in the canonical order: prefix sums over ordinals, and who holds which rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpckit.errors import InternalError

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


class Layout:
    """The chunks of all ranks in canonical order. Holds O(chunks), never O(rows).

    ordinals, owners   int64, one for each chunk, ascending by ordinal
    sizes              int64, shape (chunks, quantities): rows, bytes … of each chunk
    starts             the same, summed over the chunks before
    totals             int64, shape (quantities,)
    """

    def __init__(self, ctx: Context, ordinals: np.ndarray, sizes: np.ndarray) -> None:
        """Collective. This rank's `ordinals` (int64) and `sizes` (int64, one row for each ordinal)."""
        parts = ctx.allgather((np.asarray(ordinals, np.int64), np.asarray(sizes, np.int64)))
        width = sizes.shape[1]
        ordinals = np.concatenate([part[0] for part in parts])
        sizes = np.concatenate([part[1].reshape(-1, width) for part in parts])
        owners = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        order = np.argsort(ordinals, kind="stable")
        self.ordinals, self.owners, self.sizes = ordinals[order], owners[order], sizes[order]
        same = np.flatnonzero(self.ordinals[1:] == self.ordinals[:-1])
        if len(same):
            raise InternalError(
                f"chunk {self.ordinals[same[0]]} of a result is held by ranks {self.owners[same[0]]} and "
                f"{self.owners[same[0] + 1]}, expected one owner"
            )
        ends = np.cumsum(self.sizes, axis=0)
        self.starts = ends - self.sizes
        self.totals = ends[-1] if len(ends) else np.zeros(width, np.int64)
        self._index = {int(o): i for i, o in enumerate(self.ordinals)}

    def start(self, ordinal: int) -> np.ndarray:
        """Quantities of all chunks before `ordinal`."""
        return self.starts[self._index[ordinal]]

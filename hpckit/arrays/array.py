"""`DistArray`: a NumPy array partitioned by blocks of its first axis over the ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from hpckit.arrays import checks
from hpckit.arrays.methods import ArrayMethods
from hpckit.errors import UserError
from hpckit.spmd import world

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


class DistArray(ArrayMethods, NDArrayOperatorsMixin):
    """An array of one shape and dtype, of which each rank holds a block of the first axis, in rank order.

    context   the ranks it is spread over
    local     this rank's block, a C-contiguous np.ndarray
    starts    int64 (size + 1): rank r holds rows starts[r] to starts[r + 1]; blocks may be uneven or empty
    shape     the global shape
    dtype     of the values

    Operators and NumPy's ufuncs work element by element (Collective); a right operand whose blocks differ is
    redistributed. A result that has the first axis is a DistArray, any other is the same NumPy value on every rank.
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

    # What it is. All of this is Local.

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self.starts[-1]), *self.local.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.local.dtype

    @property
    def ndim(self) -> int:
        return self.local.ndim

    @property
    def size(self) -> int:
        """Number of elements on all ranks."""
        return int(self.starts[-1]) * self.row_size

    @property
    def row_size(self) -> int:
        """Number of elements in one row."""
        return int(np.prod(self.local.shape[1:], dtype=np.int64))

    @property
    def itemsize(self) -> int:
        return self.local.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes on all ranks."""
        return self.size * self.itemsize

    @property
    def start(self) -> int:
        """Index of this rank's first row."""
        return int(self.starts[self.context.rank])

    @property
    def stop(self) -> int:
        """Index behind this rank's last row."""
        return int(self.starts[self.context.rank + 1])

    def with_local(self, local: np.ndarray) -> DistArray:
        """An array of the same blocks with other values. Local; all ranks must do it alike."""
        return DistArray(self.context, np.ascontiguousarray(local), self.starts)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __repr__(self) -> str:
        """What this rank knows; no message is sent, so that a debugger or one rank may print it."""
        edge = np.array2string(self.local, threshold=6, edgeitems=3, separator=", ", max_line_width=1000)
        rows = f"rows {self.start}:{self.stop} on rank {self.context.rank} of {self.context.size}"
        head = f"DistArray(shape={self.shape}, dtype={self.dtype}, {rows}"
        return f"{head}: {edge})" if self.ndim == 1 else f"{head}:\n{edge})"

    # What would gather it silently

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise UserError(
            f"this NumPy function would gather a distributed array of {self.nbytes:,} bytes on every rank; use "
            ".gather() if that is meant, .local for this rank's block, or a function of hpckit.arrays"
        )

    def __iter__(self) -> Iterator[Any]:
        raise UserError("iterating over a distributed array would send a message for each row; use .local or .gather()")

    def __bool__(self) -> bool:
        if self.size == 1:
            return bool(self.gather().reshape(())[()])
        raise UserError(f"the truth value of an array of {self.size} elements is ambiguous; use .any() or .all()")

    def __contains__(self, value: Any) -> bool:
        """Whether any element equals `value`. Collective."""
        return bool((self == value).any())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        from hpckit.arrays import ufuncs

        return ufuncs.dispatch(ufunc, method, inputs, options)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, options: Any) -> Any:
        from hpckit.arrays import numpy_functions

        return numpy_functions.dispatch(function, args, options)

    def __getitem__(self, key: Any) -> Any:
        """Collective: slices (also with steps), integers, a boolean mask, an array of row numbers; see docs."""
        from hpckit.arrays import indexing

        return indexing.get(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Collective: assigns in place where the key is slices, integers or a mask."""
        from hpckit.arrays import indexing

        indexing.put(self, key, value)


def array(values: Any, dtype: Any = None, context: Context | None = None) -> DistArray:
    """A NumPy array or nested list that is the same on every rank, in canonical blocks. Collective.

    For parts that differ between ranks there is `from_local`.
    """
    from hpckit.arrays.create import distributed

    return distributed(values, dtype, context)

"""Functions of single elements: bringing operands to the same blocks, and calling NumPy on them block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit.arrays import checks
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.moving import canonical_starts, gather, to_starts
from hpckit.errors import UserError

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


class Aligned:
    """Operands in common blocks of the broadcast shape.

    context, shape, starts   of the result
    locals                   this rank's part of each operand, broadcastable to its block
    """

    def __init__(self, operands: Sequence[Any], place: str, out: Sequence[DistArray | None] = ()) -> None:
        """Collective. The blocks are those of `out`, else of the first operand that has the result's first axis."""
        outs = [array for array in out if array is not None]
        distributed = [*outs, *(x for x in operands if isinstance(x, DistArray))]
        self.context: Context = distributed[0].context
        with self.context.agreed(f"comparing the shapes of {place}"):
            operands = [x if isinstance(x, DistArray) or np.isscalar(x) else _plain(x, place) for x in operands]
            self.shape = broadcast_shape([np.shape(x) if np.isscalar(x) else x.shape for x in operands], place)
            for array in outs:
                if array.shape != self.shape:
                    raise UserError(f"{place}: out has shape {array.shape}, the result {self.shape}; expected the same")
        whole = [x for x in distributed if x.ndim == len(self.shape) and len(x) == self.shape[0]]
        self.starts = whole[0].starts if whole else canonical_starts(self.shape[0], self.context.size)
        self.locals = [self._local(x) for x in operands]

    def _local(self, x: Any) -> Any:
        """This rank's part of an operand. Collective for a DistArray."""
        if isinstance(x, DistArray):
            if x.ndim == len(self.shape) and len(x) == self.shape[0]:
                return to_starts(x, self.starts).local
            return gather(x)  # it is repeated along the first axis, so every rank needs all of it
        if np.ndim(x) == len(self.shape) and len(x) == self.shape[0]:
            rank = self.context.rank
            return x[int(self.starts[rank]) : int(self.starts[rank + 1])]
        return x

    def result(self, values: Any) -> DistArray:
        """The array whose block here is `values`. Local."""
        block = (int(self.starts[self.context.rank + 1] - self.starts[self.context.rank]), *self.shape[1:])
        if np.shape(values) != block:  # of operands that broadcast to it
            values = np.broadcast_to(values, block).copy()
        return DistArray(self.context, np.ascontiguousarray(values), self.starts)


def _plain(x: Any, place: str) -> np.ndarray:
    """A local operand as an array, 0-d ones included."""
    values = np.asarray(x)
    checks.supported(values.dtype, f"{place}: an operand")
    return values


def broadcast_shape(shapes: Sequence[tuple[int, ...]], place: str) -> tuple[int, ...]:
    """The shape of operands of these shapes together. Local. UserError where they do not broadcast."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise UserError(
            f"{place}: shapes {' and '.join(map(str, shapes))} do not broadcast; expected equal lengths or 1 on each "
            "axis from the last one on (a NumPy operand has the global shape, the shape of a row, or is a scalar)"
        ) from None


@alike("functions of elements")
def apply(function: Callable[..., Any], operands: Sequence[Any], place: str, **options: Any) -> DistArray:
    """function(*operands, **options) element by element, as a DistArray. Collective."""
    aligned = Aligned(operands, place)
    with aligned.context.agreed(place):
        values = called(place, function, *aligned.locals, **options)
        checks.supported(values.dtype, f"{place}: result")
        return aligned.result(values)


def called(place: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """function(…) with NumPy's complaints about its arguments as UserError. Local."""
    try:
        return function(*args, **options)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise UserError(f"{place}: {error}") from error


@alike()
def astype(x: DistArray, dtype: Any, copy: bool = True) -> DistArray:
    """`x` converted to `dtype`. Collective."""
    kind = checks.supported(dtype, "astype")
    if kind == x.dtype and not copy:
        return x
    with x.context.agreed(f"converting {x.dtype} to {kind}"):
        return x.with_local(called("astype", x.local.astype, kind))


@alike()
def where(condition: Any, *choices: Any) -> Any:
    """where(condition, x, y): x where the condition holds, else y, any of them a DistArray; where(condition) is
    `nonzero`. Collective."""
    from hpckit.arrays.search import nonzero

    if not choices:
        return nonzero(condition)
    if len(choices) != 2:
        raise UserError("where: expected a condition alone, or a condition and two choices")
    return apply(np.where, [condition, *choices], "where")


@alike()
def clip(x: DistArray, min: Any = None, max: Any = None) -> DistArray:
    """Values limited to min … max, either of which may be None. Collective."""
    if min is None and max is None:
        return x.with_local(x.local.copy())
    if min is None:
        return apply(np.minimum, [x, max], "clip")
    return apply(np.maximum, [x, min], "clip") if max is None else apply(np.clip, [x, min, max], "clip")


@alike()
def round(x: DistArray, decimals: int = 0) -> DistArray:
    """Values rounded as np.round does. Collective."""
    return apply(np.round, [x], "round", decimals=decimals)

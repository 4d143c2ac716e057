"""NumPy's ufuncs on distributed arrays: elementwise calls here, reductions and accumulations by our exact ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpckit.arrays import checks
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.elementwise import Aligned, called
from hpckit.arrays.moving import to_starts
from hpckit.errors import UserError

REDUCTIONS = {
    np.add: "sum",
    np.multiply: "prod",
    np.minimum: "min",
    np.maximum: "max",
    np.logical_and: "all",
    np.logical_or: "any",
}
ACCUMULATIONS = {np.add: "cumsum", np.multiply: "cumprod"}


@alike("operators and ufuncs")
def dispatch(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What NumPy calls for ufunc(…) and ufunc.method(…) where an operand is a DistArray. Collective."""
    name = f"np.{ufunc.__name__}"
    if method == "__call__":
        if ufunc.signature is not None:
            raise UserError(f"{name} is not offered for distributed arrays: it is no function of single elements")
        return _call(ufunc, name, inputs, options)
    if method == "reduce":
        return _named(REDUCTIONS, ufunc, f"{name}.reduce", inputs, options)
    if method == "accumulate":
        return _named(ACCUMULATIONS, ufunc, f"{name}.accumulate", inputs, options)
    raise UserError(f"{name}.{method} is not offered for distributed arrays; use .local or .gather()")


def _named(names: dict[Any, str], ufunc: np.ufunc, place: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The method that does what ufunc.reduce or .accumulate does."""
    known = " ".join(f"np.{u.__name__}" for u in names)
    if ufunc not in names:
        raise UserError(f"{place} is not offered for distributed arrays; there is this for {known}")
    x, *rest = inputs
    arguments = dict(zip(("axis", "dtype", "out", "keepdims"), rest, strict=False)) | options
    given = {k: v for k, v in arguments.items() if v is not None or k == "axis"}
    for option in given:
        if option not in ("axis", "dtype", "keepdims"):
            raise UserError(f"{place}: {option}= is not offered for distributed arrays")
    if not isinstance(x, DistArray):
        raise UserError(f"{place}: expected a distributed array first, not {type(x).__name__}")
    given.setdefault("axis", 0)
    if given["axis"] is None and x.ndim == 1:
        given["axis"] = 0
    if not given.get("keepdims", True):
        del given["keepdims"]
    return getattr(x, names[ufunc])(**given)


def _call(ufunc: np.ufunc, name: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """ufunc(*inputs) block by block; `out` and `where` may be distributed arrays too."""
    out = options.pop("out", None)
    outs: tuple[DistArray | None, ...] = out if isinstance(out, tuple) else (out,) if out is not None else ()
    for array in outs:
        if array is not None and not isinstance(array, DistArray):
            raise UserError(
                f"{name}: out is {type(array).__name__}; expected a distributed array of the result's shape"
            )
    operands = list(inputs)
    if "where" in options:
        operands.append(options.pop("where"))
    aligned = Aligned(operands, name, outs)
    if len(operands) > len(inputs):
        options["where"] = aligned.locals.pop()
    parts = [None if array is None else to_starts(array, aligned.starts) for array in outs]
    if any(part is not None for part in parts):
        options["out"] = tuple(None if part is None else part.local for part in parts)
    with aligned.context.agreed(f"computing {name}"):
        results = called(name, ufunc, *aligned.locals, **options)
        results = results if isinstance(results, tuple) else (results,)
        for values in results:
            checks.supported(values.dtype, f"{name}: result")
        made = [aligned.result(values) for values in results]
    for k, (array, part) in enumerate(zip(outs, parts, strict=True)):
        if array is not None and part is not None:
            array.local, array.starts, made[k] = part.local, part.starts, array
    return made[0] if len(made) == 1 else tuple(made)

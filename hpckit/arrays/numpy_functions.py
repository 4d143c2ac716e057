"""NumPy's own functions on distributed arrays: np.sum(x), np.where(m, x, y) … are ours of the same name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import hpckit.arrays as arrays
from hpckit.arrays import elementwise
from hpckit.arrays.array import DistArray
from hpckit.errors import UserError

# np.f(x, …) is hpckit.arrays.f(x, …); the first argument may also come by its NumPy name
_NAMES = """
    sum prod min max mean var std any all argmin argmax cumsum cumprod unique bincount histogram quantile percentile
    median searchsorted where nonzero flatnonzero take ravel reshape concatenate clip round sort argsort full_like
    zeros_like ones_like empty_like count_nonzero array_equal allclose diff
"""
_ALIASES = {np.amin: "min", np.amax: "max", np.around: "round"}
_RENAMED = {"a_min": "min", "a_max": "max", "newshape": "shape"}
_ELEMENTWISE = {np.isclose, np.nan_to_num, np.real_if_close, np.angle, np.i0, np.sinc, np.fix}
_LOCAL: dict[Any, Callable[[DistArray], Any]] = {
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.size,
    np.real: lambda x: x.real,
    np.imag: lambda x: x.imag,
    np.copy: lambda x: x.copy(),
    np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c",
}
_TABLE: dict[Any, str] = {getattr(np, name): name for name in _NAMES.split()} | _ALIASES


def dispatch(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What NumPy calls for np.function(…) where an argument is a DistArray. Collective."""
    name = f"np.{function.__name__}"
    if function in _TABLE:
        ours = getattr(arrays, _TABLE[function])
        args, options = _arguments(function, ours, name, args, options)
        return ours(*args, **options)
    if function in _LOCAL and len(args) == 1 and not options:
        return _LOCAL[function](args[0])
    if function in _ELEMENTWISE:
        return elementwise.apply(function, args, name, **options)
    raise UserError(
        f"{name} is not offered for distributed arrays; use a function of hpckit.arrays, .local for this rank's block, "
        "or .gather() for the whole array"
    )


def _arguments(
    theirs: Callable[..., Any], ours: Callable[..., Any], name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """NumPy's arguments as ours, by name; those that say nothing (None, np._NoValue, the default) are left out."""
    try:
        expected = inspect.signature(theirs).parameters
        given = inspect.signature(theirs).bind(*args, **options).arguments
    except (TypeError, ValueError):  # a function written in C, which has no signature: take them as they are
        return args, options
    known = list(inspect.signature(ours).parameters.values())
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in known):
        return args, options
    positional = [given.pop(parameter) for parameter in list(expected)[:1] if parameter in given]
    named = {parameter.name for parameter in known}
    kept = {}
    for key, value in given.items():
        if _RENAMED.get(key, key) in named:
            kept[_RENAMED.get(key, key)] = value
        elif not _says_nothing(value, expected[key].default):
            raise UserError(f"{name}: {key}= is not offered for distributed arrays; {_offered(known)}")
    return tuple(positional), {k: v for k, v in kept.items() if v is not np._NoValue}  # type: ignore[attr-defined]


def _says_nothing(value: Any, default: Any) -> bool:
    plain = value is None or value is np._NoValue or value is default  # type: ignore[attr-defined]
    return plain or (isinstance(value, str | int | bool) and value == default)


def _offered(known: Iterable[inspect.Parameter]) -> str:
    return "there is " + ", ".join(parameter.name for parameter in list(known)[1:])

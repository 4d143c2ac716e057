"""`alike`: a collective function is called on every rank with the same arguments, or it is one error on all ranks."""

from __future__ import annotations

import functools
import inspect
import operator
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from hpckit._kernels import content
from hpckit.arrays.array import DistArray
from hpckit.errors import UserError
from hpckit.spmd import world

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

P = ParamSpec("P")
R = TypeVar("R")

LIST_MAX = 16  # entries of a list that are compared one by one; a longer one counts as an array if it can be one
TEXT_MAX = 200  # of an argument in a message, characters

_inside = (
    False  # whether a function is at work whose arguments were compared: those it calls get what follows from them
)


def alike(name: str = "", but: Iterable[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a collective function: before it begins, all ranks compare their calls. Collective: one small message.

    Without that, an argument that differs would be an error of one rank, for which the others wait, or a result that
    differs between ranks. Distributed arrays are compared by shape, dtype and blocks, NumPy arrays by their content,
    functions by their name. `but` names arguments that are each rank's own; those named `context` are too. `name` is
    for messages, the function's own if there is none.
    """
    own = frozenset(but) | {"context"}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def compared(*args: P.args, **options: P.kwargs) -> R:
            global _inside
            if _inside:
                return function(*args, **options)
            context = _context(args) or _context(options.values()) or options.get("context") or world()
            if context.size > 1:  # type: ignore[attr-defined]
                _compare(context, name or function.__name__, _facts(function, args, options, own))  # type: ignore[arg-type]
            _inside = True
            try:
                return function(*args, **options)
            finally:
                _inside = False

        return compared

    return decorate


def _context(values: Iterable[Any]) -> Context | None:
    """That of the first distributed array, also in lists and dictionaries. Local."""
    for value in values:
        if isinstance(value, DistArray):
            return value.context
        if isinstance(value, list | tuple | dict):
            found = _context(value.values() if isinstance(value, dict) else value)
            if found is not None:
                return found
    return None


def _compare(context: Context, call: str, facts: dict[str, str]) -> None:
    """UserError on all ranks if their calls differ. Collective."""
    digest = content.hash_bytes(np.frombuffer(repr((call, facts)).encode("utf8", "replace"), np.uint8), 0)
    bits = np.uint64(digest)
    least = context.allreduce(np.array([bits, ~bits], np.uint64), "min")
    if least[0] == ~least[1]:
        return
    calls = context.allgather((call, facts))
    first_call, first = calls[0]
    for rank, (call, facts) in enumerate(calls):
        if call != first_call:
            raise UserError(f"rank {rank} calls {call}, rank 0 {first_call}: expected the same call on all ranks")
        for argument in first | facts:
            theirs, ours = (str(f.get(argument, "nothing"))[:TEXT_MAX] for f in (facts, first))
            if first.get(argument) != facts.get(argument):
                raise UserError(
                    f"{call}: rank {rank} passes {argument} = {theirs}, rank 0 {ours}: expected the same on all ranks"
                )


def _facts(
    function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], own: frozenset[str]
) -> dict[str, str]:
    """What is compared of each argument, by its name; defaults count as given. Local."""
    try:
        bound = _signature(function).bind(*args, **options)
    except TypeError as error:  # not its arguments: the error that the call will raise
        return {"arguments": str(error)}
    bound.apply_defaults()
    facts: dict[str, str] = {}
    for name, value in bound.arguments.items():
        if name in own:
            continue
        several = isinstance(value, list | tuple) and len(value) <= LIST_MAX
        facts |= {f"{name}[{i}]": _fact(v) for i, v in enumerate(value)} if several else {name: _fact(value)}
    return facts


@functools.lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _fact(value: Any) -> str:
    """A text that is equal on ranks that pass equal values. Local."""
    if isinstance(value, DistArray):
        starts = value.starts.tolist() if len(value.starts) <= LIST_MAX else _hash(value.starts)
        return f"a distributed array of shape {value.shape}, dtype {value.dtype}, blocks {starts}"
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return f"an array of shape {value.shape}, dtype {value.dtype}"
        return f"an array of shape {value.shape}, dtype {value.dtype}, content {_hash(value)}"
    if isinstance(value, slice):
        return f"slice({', '.join(_index(part) for part in (value.start, value.stop, value.step))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_fact(value[key])}' for key in value)}}}"
    if isinstance(value, list | tuple):
        if len(value) > LIST_MAX:
            numbers = _as_numbers(value)
            if numbers is not None:
                return f"a {type(value).__name__} of shape {numbers.shape}, content {_hash(numbers)}"
        return f"{type(value).__name__}({', '.join(map(_fact, value))})"
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, type):
        return value.__name__
    if callable(value):
        return f"function {getattr(value, '__qualname__', getattr(value, '__name__', type(value).__name__))}"
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text


def _index(value: Any) -> str:
    """A bound of a slice: numbers of any type are the same number."""
    try:
        return str(operator.index(value))
    except TypeError:
        return _fact(value)


def _as_numbers(values: Any) -> np.ndarray | None:
    """A list as an array, None if it is none of numbers."""
    try:
        found = np.asarray(values)
    except (ValueError, TypeError):
        return None
    return found if found.dtype.kind in "biufcmMS" else None


def _hash(values: np.ndarray) -> str:
    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8) if values.size else np.empty(0, np.uint8)
    return f"{int(np.uint64(content.hash_bytes(data, 0))):016x}"

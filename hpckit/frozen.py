"""`@frozen`: `@dataclass(frozen=True, slots=True)` that is ready at once.

The standard decorator writes the methods of every class as text and compiles it: 0.7 ms a class, 30 ms in a query, as
much as reading 40 MB of log takes. Here classes share methods that go by a list of names. What is made in great numbers
while data flows (tables/columns.py) stays with the standard one, whose compiled `__init__` is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[T], T]:
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """A class of immutable records with the annotated fields: compared, hashed, shown, copied and pickled by them.

    Defaults, `field(default_factory=…)`, `__post_init__`, inheritance from frozen classes and dataclasses.replace work.
    """
    body = dict(vars(cls))
    own = {name: _field(name, body.pop(name, MISSING)) for name in body.get("__annotations__", {})}
    for name in ("__dict__", "__weakref__"):
        body.pop(name, None)
    inherited = getattr(cls, "__dataclass_fields__", {})
    fields = {**inherited, **own}
    body["__slots__"] = tuple(name for name in own if name not in inherited)
    body["__dataclass_fields__"] = fields  # dataclasses.replace goes by it
    body["__match_args__"] = tuple(fields)
    kind: Any = type(cls)
    made = kind(cls.__name__, cls.__bases__, body)
    shared: dict[str, Any] = {
        "__init__": _initialiser(made, list(fields.values()), hasattr(cls, "__post_init__")),
        **_methods(list(fields)),
        "__setattr__": _refuse,
        "__delattr__": _refuse,
    }
    for name, method in shared.items():
        if name not in body or body[name] is None:  # a class with its own __eq__ has None as its __hash__
            setattr(made, name, method)
    return made


def _field(name: str, given: Any) -> Field:
    made = given if isinstance(given, Field) else field(default=given)
    made.name = name
    return made


def _initialiser(cls: type, fields: list[Field], is_checked: bool) -> Callable[..., None]:
    """`__init__` by position or name. Slots are set through their descriptors, past the class's own refusal."""
    names = [f.name for f in fields]
    setters = [getattr(cls, name).__set__ for name in names]

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        if len(values) > len(names):
            raise TypeError(f"{cls.__name__}() takes {len(names)} values, {len(values)} given")
        for put, value in zip(setters, values, strict=False):
            put(self, value)
        for f, put in zip(fields[len(values) :], setters[len(values) :], strict=True):
            if f.name in named:
                put(self, named.pop(f.name))
            elif f.default is not MISSING:
                put(self, f.default)
            elif f.default_factory is not MISSING:
                put(self, f.default_factory())
            else:
                raise TypeError(f"{cls.__name__}() lacks {f.name}")
        if named:
            name = next(iter(named))
            reason = "is given twice" if name in names else "is no field"
            raise TypeError(f"{cls.__name__}(): {name!r} {reason}")
        if is_checked:
            self.__post_init__()

    return __init__


def _methods(names: list[str]) -> dict[str, Any]:
    """Comparison, hash, text and pickling by the values of these fields."""
    if len(names) > 1:
        values: Callable[[Any], tuple] = attrgetter(*names)
    else:

        def values(self: Any) -> tuple:
            return tuple(getattr(self, name) for name in names)

    def __eq__(self: Any, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    def __repr__(self: Any) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(names, values(self), strict=True))
        return f"{type(self).__qualname__}({shown})"

    def __reduce__(self: Any) -> tuple[type, tuple]:
        return type(self), values(self)

    return {"__eq__": __eq__, "__hash__": __hash__, "__repr__": __repr__, "__reduce__": __reduce__}


def _refuse(self: object, name: str, value: object = None) -> None:
    del value
    raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be changed")

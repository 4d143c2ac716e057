"""`@frozen` beside `@dataclass(frozen=True, slots=True)`: the same behaviour, class by class."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any

import pytest

from hpckit.frozen import frozen

standard = dataclass(frozen=True, slots=True)
BOTH = pytest.mark.parametrize("make", [frozen, standard], ids=["frozen", "standard"])


def classes(make: Callable[[type], type]) -> tuple[Any, Any, Any]:
    @make
    class Empty:
        pass

    @make
    class Point(Empty):
        x: int
        y: float = 0.5
        tags: list[str] = field(default_factory=list)

        @property
        def total(self) -> float:
            return self.x + self.y

    @make
    class Checked(Point):
        z: int = 3

        def __post_init__(self) -> None:
            if self.z < 0:
                raise ValueError("z")

    return Empty, Point, Checked


@frozen
class Kept:
    """In a module, where pickle finds it."""

    name: str
    weight: float = 1.0


@frozen
class Loud:
    """With methods of its own."""

    word: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loud) and other.word.lower() == self.word.lower()

    def __repr__(self) -> str:
        return self.word.upper()


@BOTH
def test_values_by_position_name_and_default(make: Callable[[type], type]) -> None:
    _, point, checked = classes(make)
    assert [point(1).x, point(1).y, point(1).tags, point(1, 2.5).total, point(y=1.0, x=2).total] == [1, 0.5, [], 3.5, 3]
    assert point(1).tags is not point(1).tags
    made = checked(1, 2.0, ["a"], 4)
    assert (made.x, made.y, made.tags, made.z) == (1, 2.0, ["a"], 4)
    assert isinstance(made, point)


@BOTH
@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 2}), ((1,), {"w": 2}), ((), {"y": 2})]
)
def test_wrong_arguments(make: Callable[[type], type], values: tuple, named: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        classes(make)[1](*values, **named)


@BOTH
def test_checks_run(make: Callable[[type], type]) -> None:
    checked = classes(make)[2]
    with pytest.raises(ValueError, match="z"):
        checked(1, z=-1)
    with pytest.raises(ValueError, match="z"):
        replace(checked(1), z=-1)


@BOTH
def test_nothing_changes(make: Callable[[type], type]) -> None:
    made = classes(make)[1](1)
    for change in (lambda: setattr(made, "x", 2), lambda: delattr(made, "x")):
        with pytest.raises(FrozenInstanceError):
            change()
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        made.other = 1
    assert not hasattr(made, "__dict__")
    assert made.x == 1


@BOTH
def test_comparison_hash_text(make: Callable[[type], type]) -> None:
    empty, point, checked = classes(make)
    assert point(1) == point(1, 0.5, [])
    assert point(1) != point(2)
    assert point(1) != checked(1)
    assert point(1) != (1, 0.5, [])
    assert empty() == empty()
    assert hash(point(1, 1.0, ())) == hash(point(1, 1.0, ()))
    assert {point(1, 1.0, ()), point(1, 1.0, ())} == {point(1, 1.0, ())}
    with pytest.raises(TypeError, match="unhashable"):
        hash(point(1))
    assert repr(point(1)).endswith("Point(x=1, y=0.5, tags=[])")
    match checked(1, 2.0, [], 3):
        case point(x, y):
            assert (x, y) == (1, 2.0)
        case _:
            pytest.fail("no match by position")


@BOTH
def test_copies(make: Callable[[type], type]) -> None:
    point = classes(make)[1]
    made = point(1, 2.0, ["a"])
    assert copy.copy(made) == copy.deepcopy(made) == made
    assert copy.deepcopy(made).tags is not made.tags
    assert replace(made, x=5) == point(5, 2.0, ["a"])


def test_pickle() -> None:
    made = Kept("a")
    assert pickle.loads(pickle.dumps(made)) == made
    assert (Kept.__doc__, Kept.__qualname__, Kept.__module__) == (
        "In a module, where pickle finds it.", "Kept", __name__,
    )  # fmt: skip


def test_own_methods_stay() -> None:
    assert Loud("a") == Loud("A")
    assert repr(Loud("a")) == "A"


def test_it_is_worth_having() -> None:
    """At least three times as fast as the standard decorator; the best of five, for the machine may be busy."""

    def seconds(make: Callable[[type], type]) -> float:
        start_s = time.perf_counter()
        for _ in range(20):
            classes(make)
        return time.perf_counter() - start_s

    assert min(seconds(frozen) for _ in range(5)) * 3 < min(seconds(standard) for _ in range(5))

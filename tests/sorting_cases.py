"""Inputs for tests of sorting, and slow twins: the order of DECISIONS (NaN last by bits, −0 before +0, NaT last)."""

from __future__ import annotations

import numpy as np

DTYPES = (
    "?", "i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "i8", "u8", "f8", "M8[us]", "m8[s]", "S3", "S8", "S13", ">i8",
    ">f4",
)  # fmt: skip
SHAPES = ("random", "few", "equal", "sorted", "reversed", "zipf")


def values(dtype: str, shape: str, rows: int, seed: int = 1) -> np.ndarray:
    """`rows` values of any bits, few or equal ones, sorted, reversed, or heavily skewed."""
    chance = np.random.default_rng([seed, rows])
    kind = np.dtype(dtype)
    if shape == "zipf":
        numbers = np.minimum(chance.zipf(1.2, rows), 1 << 40)
        few = numbers.astype(np.uint64) % (1 << 16) if kind.kind == "f" else numbers.astype(np.uint64)
        return _from_numbers(few, kind)
    if shape in ("few", "equal"):
        return _from_numbers(chance.integers(0, 1 if shape == "equal" else 5, rows).astype(np.uint64), kind)
    bits = chance.integers(0, 2 if kind.kind == "b" else 256, rows * kind.itemsize, np.uint8)
    made = bits.view(kind) if rows else np.empty(0, kind)
    if shape == "random":
        return with_specials(made)
    made = made[twin_order(made)]
    return np.ascontiguousarray(made if shape == "sorted" else made[::-1])


def _from_numbers(numbers: np.ndarray, kind: np.dtype) -> np.ndarray:
    if kind.kind in "mM":
        return numbers.astype(np.int64).astype(kind)
    with np.errstate(over="ignore"):
        return numbers.astype(kind)


def with_specials(made: np.ndarray) -> np.ndarray:
    """Replaces the first values by the extreme ones of their type."""
    kind = made.dtype
    if kind.kind == "f":
        special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0], kind)
    elif kind.kind in "iu":
        special = np.array([np.iinfo(kind).min, np.iinfo(kind).max, 0], kind)
    elif kind.kind in "mM":
        special = np.array(["NaT", 0, -1, 1], kind)
    else:
        return made
    made = made.copy()
    made[: len(special)] = special[: len(made)]
    return made


def twin_key(value: np.generic) -> tuple:
    """What Python compares instead of the value."""
    kind = value.dtype.kind
    if kind == "f":
        size = value.dtype.itemsize
        bits = int.from_bytes(np.array([value]).astype(value.dtype.newbyteorder("<")).tobytes(), "little")
        if np.isnan(value):
            return (1, bits)
        return (0, float(value), -(bits >> (8 * size - 1)))
    if kind in "mM":
        return (1, 0) if np.isnat(value) else (0, int(value.astype(np.int64)))
    return (0, bytes(value) if kind == "S" else int(value))


def twin_order(array: np.ndarray) -> np.ndarray:
    """Row numbers in sorted order, stable."""
    keys = [twin_key(value) for value in array]
    return np.array(sorted(range(len(array)), key=keys.__getitem__), np.int64)


def twin_descending(array: np.ndarray) -> np.ndarray:
    """Row numbers in descending order, ties in input order, NaT last."""
    ranks: dict[tuple, int] = {key: i for i, key in enumerate(sorted({twin_key(value) for value in array}))}
    nulls = np.isnat(array) if array.dtype.kind in "mM" else np.zeros(len(array), bool)
    order = [(bool(nulls[i]), -ranks[twin_key(value)]) for i, value in enumerate(array)]
    return np.array(sorted(range(len(array)), key=order.__getitem__), np.int64)

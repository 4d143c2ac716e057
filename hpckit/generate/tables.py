"""Tables that the generator kernels draw from: pools of strings, alias tables, quantiles, the clock of a week.

Everything is rounded to integers here, once, so that the kernels need no floating point and a seed gives the same bytes
everywhere. Local; needs NumPy only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

QUANTILES = 4096
WEEK_S = 7 * 86400
CELL_S = 300
PADDING = bytes(32)  # the kernels copy strings in steps of 16 bytes
WORK_HOURS = (28, 20, 15, 12, 11, 12, 18, 32, 55, 80, 95, 100, 92, 95, 100, 98, 90, 78, 66, 60, 58, 54, 46, 36)
WEEKDAYS = (100, 104, 106, 103, 92, 52, 48)  # Monday first


def listed(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def pool(name: str, strings: Sequence[str]) -> dict[str, Any]:
    """`name`.bytes and `name`.offsets: the strings one after the other."""
    encoded = [s.encode() for s in strings]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(e) for e in encoded], out=offsets[1:])
    return {f"{name}.bytes": np.frombuffer(b"".join(encoded) + PADDING, np.uint8), f"{name}.offsets": offsets}


def alias(name: str, weights: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """`name`.cut and `name`.other: Walker's alias table (1977), built after Vose (1991), of weights > 0."""
    scaled = np.asarray(weights, np.float64)
    scaled = scaled * (len(scaled) / scaled.sum())
    cut = np.full(len(scaled), 2**32 - 1, np.uint32)
    other = np.arange(len(scaled), dtype=np.uint32)
    small = [int(i) for i in np.flatnonzero(scaled < 1)]
    large = [int(i) for i in np.flatnonzero(scaled >= 1)]
    rest = scaled.tolist()
    while small and large:
        low, high = small.pop(), large[-1]
        cut[low] = min(int(rest[low] * 2**32), 2**32 - 1)
        other[low] = high
        rest[high] -= 1 - rest[low]
        if rest[high] < 1:
            small.append(large.pop())
    return {f"{name}.cut": cut, f"{name}.other": other}


def zipf(count: int, exponent: float) -> np.ndarray:
    """Weights of ranks 1 .. count: rank to the power of -exponent, summing to 1."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def exponential() -> np.ndarray:
    """Quantiles of an exponential distribution with mean 1024, in the middles of 4096 equal shares."""
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.maximum(np.rint(-1024 * np.log1p(-shares)), 1).astype(np.uint32)


def lognormal(sigma: float) -> np.ndarray:
    """Quantiles of a log-normal distribution with median 1024."""
    normal = NormalDist(0, sigma)
    return np.rint([1024 * np.exp(normal.inv_cdf((i + 0.5) / QUANTILES)) for i in range(QUANTILES)]).astype(np.uint32)


class Dice:
    """A reproducible source of choices for building catalogues; the same in every Python version."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, n: int) -> int:
        """An integer in 0 .. n-1."""
        return int(self._random() * n)

    def pick(self, items: Sequence[str]) -> str:
        """One of the items."""
        return items[int(self._random() * len(items))]

    def shuffled(self, n: int) -> list[int]:
        """The numbers 0 .. n-1 in random order."""
        keys = [self._random() for _ in range(n)]
        return sorted(range(n), key=keys.__getitem__)


class WeekClock:
    """Maps row numbers to times so that the load follows the hours of a week: `time_us(row)` ascends.

    `rows_per_second` is the mean over a week; `even` switches the curve off.
    """

    def __init__(self, start_us: int, rows_per_second: float, even: bool = False) -> None:
        seconds = np.arange(0, WEEK_S, CELL_S)
        # The epoch was a Thursday.
        weekday, hour, part = (seconds // 86400 + 3) % 7, seconds // 3600 % 24, seconds % 3600
        hours, days = np.array(WORK_HOURS), np.array(WEEKDAYS)
        load = (hours[hour] * (3600 - part) + hours[(hour + 1) % 24] * part) * days[weekday]
        load = np.ones_like(load) if even else load
        self._cumulative = np.concatenate([[0], np.cumsum(load)]).tolist()
        self._start_us = start_us
        self._rows_per_week = round(rows_per_second * WEEK_S)
        self._phase = self._position(start_us)

    def _position(self, time_us: int) -> int:
        """The load accumulated from 1970 to a time, in units of `_cumulative` times CELL_S million."""
        weeks, rest = divmod(time_us, WEEK_S * 1_000_000)
        cell, part = divmod(rest, CELL_S * 1_000_000)
        low, high = self._cumulative[cell], self._cumulative[cell + 1]
        return (weeks * self._cumulative[-1] + low) * CELL_S * 1_000_000 + (high - low) * part

    def time_us(self, row: int) -> int:
        """When row number `row` (from 0) is due, microseconds since 1970; integers only, so exact everywhere."""
        whole = self._cumulative[-1] * CELL_S * 1_000_000
        position = self._phase + whole * row // self._rows_per_week
        weeks, rest = divmod(position, whole)
        cell = int(np.searchsorted(self._cumulative, rest // (CELL_S * 1_000_000), side="right")) - 1
        low, high = self._cumulative[cell], self._cumulative[cell + 1]
        part = (rest - low * CELL_S * 1_000_000) // (high - low)
        return weeks * WEEK_S * 1_000_000 + cell * CELL_S * 1_000_000 + part

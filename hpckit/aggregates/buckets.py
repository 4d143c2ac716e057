"""Buckets of approx_quantile: the leading bits of a double, so that no logarithm and no rounding decides a bucket.

Sign, exponent and 6 bits of the fraction number a bucket; its ends are at most 1/64 apart, and the value that answers
for it lies within 1/128 < 1 % of all of them (the guarantee of DDSketch; Masson, Rim and Lee 2019, their
"linearly interpolated" mapping). Buckets are never merged, so the guarantee holds for any data and any merge.
"""

from __future__ import annotations

import numpy as np

from hpckit._kernels import sketch as kernel

_SHIFT = 46  # 52 bits of fraction less 6
_SUBNORMAL = 64 << 6  # subnormal doubles are scaled by 2^64 into the normal range
_NAN = 1 << 20
_INFINITY = (0x7FF << 6) + _SUBNORMAL


def numbers(values: np.ndarray) -> np.ndarray:
    """int64 bucket of each double, ascending with the value: 0 for zero, NaN the greatest."""
    index = np.empty(len(values), np.int64)
    kernel.bucket_numbers(values, index, _SHIFT, _SUBNORMAL, _NAN)
    return index


def _ends(index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lower end, upper end, whether subnormal) of buckets of positive finite values; subnormal ones still scaled."""
    tiny = index < _SUBNORMAL + (1 << 6)
    bits = np.where(tiny, index, index - _SUBNORMAL)
    return (bits << _SHIFT).view(np.float64), ((bits + 1) << _SHIFT).view(np.float64), tiny


def values(index: np.ndarray) -> np.ndarray:
    """float64 within 1 % of every double of each bucket."""
    size = np.abs(index)
    special = (size == 0) | (size >= _INFINITY)
    low, high, tiny = _ends(np.where(special, _SUBNORMAL + (1023 << 6), size))
    ratio = np.where(np.isinf(high), 1 + 1 / 127, high / low)  # the last bucket ends at 2^1024
    middle = low * (2 * ratio / (1 + ratio))
    # among subnormals, multiples of 2^-1074, the one at or below the middle is within the bound
    middle[tiny] = np.floor(middle[tiny] * 2.0**1010) * 2.0**-1010 * 2.0**-64
    middle = np.where(size == 0, 0.0, np.where(size == _INFINITY, np.inf, middle))
    return np.where(index == _NAN, np.nan, np.copysign(middle, index))


def integers(index: np.ndarray) -> np.ndarray:
    """int64 within 1 % of every integer of each bucket; exact up to 128."""
    size = np.abs(index)
    low, high, _ = _ends(np.where(size == 0, _SUBNORMAL + (1023 << 6), size))
    small = low < 2.0**52
    first = np.ceil(np.where(small, low, 1.0)).astype(np.int64)
    last = np.ceil(np.where(small, high, 1.0)).astype(np.int64) - 1
    exact = (first + last) >> 1
    wide = np.where(small, 1.0, np.minimum(low * (1 + 1 / 128), 2.0**63 - 1024)).astype(np.int64)
    result = np.where(small, exact, wide)
    return np.where(size == 0, 0, np.where(index < 0, -result, result))

"""Numbers as 64-bit words that compare as they do, in pieces that stay in cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hpckit._kernels import arrays as kernel
from hpckit.errors import UserError

PIECE = 1 << 15  # numbers converted at a time, where they have fewer than 64 bits
WIDE_PIECE = 1 << 20  # and numbers that need no conversion

_WIDE = {"f": np.dtype(np.float64), "i": np.dtype(np.int64), "u": np.dtype(np.uint64), "b": np.dtype(np.uint64)}
_CODES = {"f": kernel.FLOAT, "i": kernel.SIGNED, "u": kernel.UNSIGNED, "b": kernel.UNSIGNED}
_TOP = np.uint64(1 << 63)


def code(dtype: np.dtype, place: str) -> int:
    """What the kernels call this kind of number. UserError for what is not a real number."""
    if dtype.kind not in _CODES:
        raise UserError(f"{place}: dtype {dtype} is not offered; convert it with .astype(…) or .view to numbers first")
    return _CODES[dtype.kind]


def pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    """The bits (uint64) of all values, widened to 64 bits. Local."""
    flat, wide = values.reshape(-1), _WIDE[values.dtype.kind]
    step = WIDE_PIECE if flat.dtype == wide else PIECE
    for start in range(0, len(flat), step):
        yield flat[start : start + step].astype(wide, copy=False).view(np.uint64)


def decode(words: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The numbers of these words."""
    kind = dtype.kind
    if kind == "f":
        bits = np.where(words >> np.uint64(63), words ^ _TOP, ~words)
        return bits.view(np.float64).astype(dtype)
    return (words ^ _TOP).view(np.int64).astype(dtype) if kind == "i" else words.astype(dtype)

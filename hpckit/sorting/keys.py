"""Sort keys as unsigned words: order-preserving encodings of NumPy's fixed-size types, and the way back.

Words compare as the values do: NaN after every number, NaNs among themselves by their bits as unsigned integers, −0
before +0, NaT after every time, False before True, bytes as unsigned bytes. For floats this is the usual flip of the
sign bit or, below zero, of all bits (as in Herf's radix sort of floats, 2001), shifted so that negative NaNs wrap
round to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import partition
from hpckit.errors import UserError

if TYPE_CHECKING:
    from hpckit.spmd import Context

# What turns the bits of a value into its word (kernels/partition.h)
UNSIGNED, SIGNED, FLOAT, TIME = range(4)
KINDS = {"u": UNSIGNED, "b": UNSIGNED, "i": SIGNED, "f": FLOAT, "M": TIME, "m": TIME}
WORD_BYTES = 8
SUPPORTED = "integers, float16/32/64, bool, datetime64, timedelta64 and fixed-length bytes (S<n>)"


def check(dtype: np.dtype, what: str = "array") -> None:
    """UserError unless values of `dtype` can be sorted. Local."""
    if (dtype.kind in KINDS and dtype.itemsize <= WORD_BYTES) or (dtype.kind == "S" and dtype.itemsize > 0):
        return
    remedy = "turn it into one of these with astype()" if dtype.kind in "OUV" else "sort its parts as several keys"
    raise UserError(f"cannot sort {what} of dtype {dtype}: expected {SUPPORTED}; {remedy}")


def kind_of(dtype: np.dtype) -> int:
    """The encoding of a numeric dtype: UNSIGNED, SIGNED, FLOAT or TIME. Local."""
    return KINDS[dtype.kind]


def bits_of(values: np.ndarray) -> np.ndarray:
    """The same memory as native unsigned integers of the same size; copied only if strided or of the other byte
    order."""
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
    return values.view(f"u{values.dtype.itemsize}")


def encode(values: np.ndarray, descending: bool = False, nulls_first: bool = False) -> np.ndarray:
    """Words (uint64) in the order of `values` (1-D, of at most 8 bytes each), or in the reverse order. Local.

    `nulls_first` puts NaT first; otherwise it is last, ascending and descending. NaN is a number, the greatest.
    """
    check(values.dtype)
    if values.dtype.kind == "S":
        several = encode_bytes(values)
        if len(several) != 1:
            raise UserError(f"{values.dtype} does not fit one word: expected at most S{WORD_BYTES}; use encode_all")
        return ~several[0] if descending else several[0]
    kind = kind_of(values.dtype)
    if kind == TIME and descending != nulls_first:
        kind = SIGNED  # NaT, the least integer, stays at the low end: first, or last once all bits are flipped
    bits = bits_of(values)
    if bits.dtype.itemsize < 4:
        bits, kind = _widened(bits, kind)
    words = np.empty(len(values), np.uint64)
    partition.encode(bits, kind, words)
    if descending:
        np.invert(words, out=words)
    return words


def encode_all(values: np.ndarray, descending: bool = False, nulls_first: bool = False) -> list[np.ndarray]:
    """As `encode`, for any sortable dtype: one or more words a value, the most significant first. Local."""
    check(values.dtype)
    if values.dtype.kind != "S":
        return [encode(values, descending, nulls_first)]
    words = encode_bytes(values)
    for word in words if descending else []:
        np.invert(word, out=word)
    return words


def encode_bytes(values: np.ndarray) -> list[np.ndarray]:
    """Fixed-length bytes as big-endian words, most significant first; NumPy's padding with NULs sorts first. Local."""
    width = values.dtype.itemsize
    count = -(-width // WORD_BYTES)
    padded = np.ascontiguousarray(values.astype(f"S{count * WORD_BYTES}"))
    table = padded.view(np.uint8).view(">u8").reshape(len(values), count)
    return [table[:, i].astype(np.uint64) for i in range(count)]


def decode_bytes(words: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """The values that `encode_bytes` made the words of. Local."""
    table = np.empty((len(words[0]), len(words)), ">u8")
    for i, word in enumerate(words):
        table[:, i] = word
    return table.view(f"S{WORD_BYTES * len(words)}").reshape(-1).astype(dtype)


def decode(words: np.ndarray, dtype: np.dtype, descending: bool = False, nulls_first: bool = False) -> np.ndarray:
    """The values of `dtype` whose words, by `encode` with the same options, these are; may change `words`. Local."""
    if descending:
        words = np.invert(words, out=words)
    native = dtype.newbyteorder("=")
    if native.kind == "S":
        return decode_bytes([words], dtype)
    if native.itemsize < 4:
        return decode_small(words, native).astype(dtype, copy=False)
    if words.dtype.itemsize != native.itemsize:
        words = words.astype(f"u{native.itemsize}")
    kind = kind_of(native)
    partition.decode(words, SIGNED if kind == TIME and descending != nulls_first else kind)
    return words.view(native).astype(dtype, copy=False)


def decode_small(words: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values of 1- and 2-byte types from their words (any unsigned type). Local."""
    size = dtype.itemsize
    if dtype.kind == "f":
        return all_halves()[np.asarray(words, np.int64)].view(dtype)
    bits = np.asarray(words).astype(f"u{size}")
    return (bits ^ (1 << (8 * size - 1)) if dtype.kind == "i" else bits).astype(f"u{size}").view(dtype)


def _widened(bits: np.ndarray, kind: int) -> tuple[np.ndarray, int]:
    """Values of 1 and 2 bytes as 4-byte ones whose kind gives the wanted words."""
    if kind == SIGNED:
        return (bits ^ bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))).astype(np.uint32), UNSIGNED
    if kind == FLOAT:
        return half_words()[bits].astype(np.uint32), UNSIGNED
    return bits.astype(np.uint32), UNSIGNED


def all_halves() -> np.ndarray:
    """The bits (uint16) of every float16 in sorted order: position = word."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    magnitude = bits & 0x7FFF
    nan = magnitude > 0x7C00
    signed = np.where(bits >> 15, -1 - magnitude.astype(np.int32), magnitude.astype(np.int32))
    return bits[np.lexsort((np.where(nan, bits, signed), nan))]


def half_words() -> np.ndarray:
    """The word (uint16) of every float16, by its bits."""
    words = np.empty(1 << 16, np.uint16)
    words[all_halves()] = np.arange(1 << 16, dtype=np.uint16)
    return words


def agree(context: Context, columns: Sequence[np.ndarray], sortable: bool, what: str) -> None:
    """UserError on every rank unless all have columns of the same dtypes and row shapes, as many rows in each.
    Collective.

    `sortable` asks for dtypes that have an order; `what` names the columns in messages.
    """
    with context.agreed(f"checking the {what} of a sort"):
        for i, column in enumerate(columns):
            if sortable:
                check(column.dtype, f"{what} {i}")
            if column.dtype.hasobject:
                raise UserError(f"{what} {i} has dtype {column.dtype}: expected values of fixed size; convert it first")
            if len(column) != len(columns[0]):
                raise UserError(f"{what} {i} has {len(column)} rows, the first has {len(columns[0])}: expected as many")
    facts = [(column.dtype.str, column.shape[1:]) for column in columns]
    theirs = context.bcast(facts)
    with context.agreed(f"comparing the {what} of all ranks"):
        if theirs != facts:
            raise UserError(
                f"{what} of rank {context.rank} is of {_text(facts)}, of rank 0 of {_text(theirs)}: expected the same "
                "on all ranks (also where there are no rows); convert with astype()"
            )


def _text(facts: list[tuple[str, tuple[int, ...]]]) -> str:
    parts = [f"{np.dtype(dtype)}{f' rows of shape {shape}' if shape else ''}" for dtype, shape in facts]
    return f"{len(parts)} columns ({', '.join(parts)})" if len(parts) != 1 else f"dtype {parts[0]}"

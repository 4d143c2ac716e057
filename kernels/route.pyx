"""Routing rows to ranks: stable 64-bit hashes of key columns, destinations, and the counting sort that scatters rows.

Every function works on raw Arrow or NumPy buffers. `validity` is an Arrow validity bitmap (empty: no NULLs) whose bit
`bit_offset` belongs to row 0. `state` holds one hash a row, updated in place: columns are folded in one after another.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np


cdef extern from "route.h" nogil:
    uint64_t ROUTE_NULL
    uint64_t route_combine(uint64_t state, uint64_t value)
    uint64_t route_float_bits(double value)
    uint64_t route_bytes(const uint8_t *data, int64_t size, uint64_t seed)


ctypedef fused offset_t:
    int32_t
    int64_t


cdef inline bint valid(const uint8_t *bitmap, int64_t bit) noexcept nogil:
    return (bitmap[bit >> 3] >> (bit & 7)) & 1


cdef inline const uint8_t *first(const uint8_t[::1] bytes_) noexcept nogil:
    return &bytes_[0] if bytes_.shape[0] else NULL


def fold_int64(const int64_t[::1] values, const uint8_t[::1] validity, int64_t bit_offset, uint64_t[::1] state):
    """Fold an integer column into the row hashes."""
    cdef int64_t row
    cdef const uint8_t *bitmap = first(validity)
    with nogil:
        for row in range(values.shape[0]):
            if bitmap == NULL or valid(bitmap, bit_offset + row):
                state[row] = route_combine(state[row], <uint64_t>values[row])
            else:
                state[row] = route_combine(state[row], ROUTE_NULL)


def fold_float64(const double[::1] values, const uint8_t[::1] validity, int64_t bit_offset, uint64_t[::1] state):
    """Fold a float column into the row hashes; -0 counts as 0, all NaNs as one value."""
    cdef int64_t row
    cdef const uint8_t *bitmap = first(validity)
    with nogil:
        for row in range(values.shape[0]):
            if bitmap == NULL or valid(bitmap, bit_offset + row):
                state[row] = route_combine(state[row], route_float_bits(values[row]))
            else:
                state[row] = route_combine(state[row], ROUTE_NULL)


def fold_bytes(const offset_t[::1] offsets, const uint8_t[::1] data, const uint8_t[::1] validity, int64_t bit_offset,
               uint64_t[::1] state):
    """Fold a string or binary column (`offsets` has one more entry than rows) into the row hashes."""
    cdef int64_t row
    cdef const uint8_t *bitmap = first(validity)
    cdef const uint8_t *base = first(data)
    with nogil:
        for row in range(offsets.shape[0] - 1):
            if bitmap == NULL or valid(bitmap, bit_offset + row):
                state[row] = route_combine(
                    state[row], route_bytes(base + offsets[row], offsets[row + 1] - offsets[row], 0)
                )
            else:
                state[row] = route_combine(state[row], ROUTE_NULL)


def fold_lists(const offset_t[::1] offsets, const uint64_t[::1] element_hashes, const uint8_t[::1] validity,
               int64_t bit_offset, uint64_t[::1] state):
    """Fold a list column whose elements are already hashed; the length counts, so [[]] differs from [NULL]."""
    cdef int64_t row, element
    cdef uint64_t h
    cdef const uint8_t *bitmap = first(validity)
    with nogil:
        for row in range(offsets.shape[0] - 1):
            if bitmap == NULL or valid(bitmap, bit_offset + row):
                h = <uint64_t>(offsets[row + 1] - offsets[row])
                for element in range(offsets[row], offsets[row + 1]):
                    h = route_combine(h, element_hashes[element])
                state[row] = route_combine(state[row], h)
            else:
                state[row] = route_combine(state[row], ROUTE_NULL)


def entry_hashes(const offset_t[::1] offsets, const uint8_t[::1] data, uint64_t[::1] out):
    """out[i] = the hash that `fold_bytes` folds in for entry i of a dictionary, and in the last place that of NULL."""
    cdef int64_t entry
    cdef const uint8_t *base = first(data)
    if out.shape[0] != offsets.shape[0]:
        raise ValueError(f"room for {out.shape[0]} hashes, expected {offsets.shape[0]}")
    with nogil:
        for entry in range(offsets.shape[0] - 1):
            out[entry] = route_bytes(base + offsets[entry], offsets[entry + 1] - offsets[entry], 0)
        out[offsets.shape[0] - 1] = ROUTE_NULL


def fold_codes(const int32_t[::1] codes, const uint64_t[::1] hashes, uint64_t[::1] state):
    """Fold a column of dictionary codes (-1: NULL) into the row hashes; `hashes` as `entry_hashes` made them.

    Returns the first row whose code is no entry, -1 if there is none.
    """
    cdef int64_t row, bad = -1
    cdef int64_t entries = hashes.shape[0] - 1
    with nogil:
        for row in range(codes.shape[0]):
            if codes[row] < -1 or codes[row] >= entries:
                bad = row
                break
            state[row] = route_combine(state[row], hashes[codes[row] if codes[row] >= 0 else entries])
    return bad


def compact(const int32_t[::1] codes, int64_t entries):
    """(codes counted from 0 in order of first sight, the old code of each of them), int32; -1 (NULL) stays -1.

    Codes must lie in -1 … entries - 1.
    """
    known = np.full(entries, -1, np.int32)
    renamed, used = np.empty(codes.shape[0], np.int32), np.empty(min(codes.shape[0], entries), np.int32)
    cdef int32_t[::1] known_view = known, renamed_view = renamed, used_view = used
    cdef int64_t row, bad = -1
    cdef int32_t code, count = 0
    with nogil:
        for row in range(codes.shape[0]):
            code = codes[row]
            if code < 0:
                renamed_view[row] = -1
                continue
            if code >= entries:
                bad = row
                break
            if known_view[code] < 0:
                known_view[code] = count
                used_view[count] = code
                count += 1
            renamed_view[row] = known_view[code]
    if bad >= 0:
        raise IndexError(f"row {bad}: code {codes[bad]} in a dictionary of {entries} entries")
    return renamed, used[:count]


def hash_bytes(const uint8_t[::1] data, uint64_t seed=0):
    """Hash of a whole buffer (the content check of a message)."""
    cdef uint64_t h
    with nogil:
        h = route_bytes(first(data), data.shape[0], seed)
    return h


def destinations(const uint64_t[::1] hashes, int64_t size):
    """Rank 0..size-1 of each hash, int32: multiply-shift on the upper half, no division, no bias worth naming."""
    out = np.empty(hashes.shape[0], np.int32)
    cdef int32_t[::1] view = out
    cdef int64_t row
    with nogil:
        for row in range(hashes.shape[0]):
            view[row] = <int32_t>(((hashes[row] >> 32) * <uint64_t>size) >> 32)
    return out


def scatter(const int32_t[::1] targets, int64_t size):
    """Stable counting sort of row numbers by target: (order int64[rows], counts int64[size], bad row or -1)."""
    order = np.empty(targets.shape[0], np.int64)
    counts = np.zeros(size, np.int64)
    starts = np.zeros(size, np.int64)
    cdef int64_t[::1] order_view = order, counts_view = counts, starts_view = starts
    cdef int64_t row, rank, total = 0, bad = -1
    with nogil:
        for row in range(targets.shape[0]):
            if targets[row] < 0 or targets[row] >= size:
                bad = row
                break
            counts_view[targets[row]] += 1
        if bad < 0:
            for rank in range(size):
                starts_view[rank] = total
                total += counts_view[rank]
            for row in range(targets.shape[0]):
                rank = targets[row]
                order_view[starts_view[rank]] = row
                starts_view[rank] += 1
    return order, counts, bad

"""The pieces of a sort as they arrive: gathered from all sources, rows sorted by radix in the cache and taken apart.

A piece is what lies between two cuts; starts[i, s] and counts[i, s] say where its rows from source s begin and how many
they are: in `own` for this rank's own (source `here`), in `arrived` for all others.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "radix.h" nogil:
    ctypedef struct pair:
        uint64_t key, value
    void radix_pairs(pair *a, pair *b, int64_t n)
    void radix_words(uint64_t *a, uint64_t *b, int64_t n, uint64_t flip)

ctypedef fused item_t:
    uint8_t
    uint16_t
    uint32_t
    uint64_t


cdef int _check(const int64_t[:, ::1] starts, const int64_t[:, ::1] counts, int64_t here, int64_t own,
                int64_t arrived) except -1:
    """ValueError unless all pieces lie within what is there."""
    cdef int64_t i, s
    if starts.shape[0] != counts.shape[0] or starts.shape[1] != counts.shape[1]:
        raise ValueError("starts and counts of different shapes")
    for i in range(counts.shape[0]):
        for s in range(counts.shape[1]):
            if counts[i, s] < 0 or starts[i, s] < 0 or starts[i, s] + counts[i, s] > (own if s == here else arrived):
                raise ValueError(f"piece {i} from source {s}: {counts[i, s]} rows at {starts[i, s]} lie outside")
    return 0


def gather(const item_t[::1] own, const item_t[::1] arrived, int64_t here, const int64_t[:, ::1] starts,
           const int64_t[:, ::1] counts, item_t[::1] out):
    """The rows of all pieces one after another, each piece's in the order of sources; returns their number."""
    cdef int64_t i, s, at = 0
    _check(starts, counts, here, own.shape[0], arrived.shape[0])
    for i in range(counts.shape[0]):
        for s in range(counts.shape[1]):
            at += counts[i, s]
    if at > out.shape[0]:
        raise ValueError(f"{at} rows for a place of {out.shape[0]}")
    at = 0
    with nogil:
        for i in range(counts.shape[0]):
            for s in range(counts.shape[1]):
                if counts[i, s]:
                    memcpy(&out[at], &own[starts[i, s]] if s == here else &arrived[starts[i, s]],
                           counts[i, s] * sizeof(item_t))
                    at += counts[i, s]
    return at


cdef int64_t _rows_of(const int64_t[:, ::1] counts, int64_t piece) noexcept nogil:
    cdef int64_t s, n = 0
    for s in range(counts.shape[1]):
        n += counts[piece, s]
    return n


cdef void _zip(const uint64_t *keys, const uint64_t *values, int64_t n, int64_t number, pair *out) noexcept nogil:
    """Pairs of keys and values, or of keys and the numbers from `number` on."""
    cdef int64_t i
    if values != NULL:
        for i in range(n):
            out[i].key, out[i].value = keys[i], values[i]
    else:
        for i in range(n):
            out[i].key, out[i].value = keys[i], number + i


def sort_pieces(const uint64_t[::1] own_keys, const uint64_t[::1] keys, const uint64_t[::1] own_values,
                const uint64_t[::1] values, int64_t here, const int64_t[:, ::1] starts, const int64_t[:, ::1] counts,
                uint64_t[:, ::1] pairs, uint64_t[:, ::1] scratch, uint64_t[::1] out_keys, uint64_t[::1] out_values):
    """Sort each piece by key, stably (ties in the order of sources and rows); returns the number of rows written.

    Sorted keys go to out_keys (None: not wanted) and the values that belong to them to out_values. Without values
    (None) a row's value is its number within its piece. `pairs` and `scratch` hold the largest piece.
    """
    cdef int64_t i, j, s, n, m, at = 0, total = 0
    cdef bint numbered = own_values is None
    cdef const uint64_t *from_keys
    cdef const uint64_t *from_values
    cdef pair *a
    _check(starts, counts, here, own_keys.shape[0], keys.shape[0])
    for i in range(counts.shape[0]):
        n = _rows_of(counts, i)
        if n > pairs.shape[0] or n > scratch.shape[0] or n >> 32:
            raise ValueError(f"a piece of {n} rows for a place of {pairs.shape[0]}")
        total += n
    if pairs.shape[1] != 2 or scratch.shape[1] != 2 or out_values.shape[0] < total or (
        out_keys is not None and out_keys.shape[0] < total
    ):
        raise ValueError(f"{total} rows for a place of {out_values.shape[0]}")
    if not numbered and (own_values.shape[0] != own_keys.shape[0] or values.shape[0] != keys.shape[0]):
        raise ValueError(f"{own_keys.shape[0]} + {keys.shape[0]} keys for {own_values.shape[0]} + {values.shape[0]}")
    if total == 0:
        return 0
    a = <pair *>&pairs[0, 0]
    with nogil:
        for i in range(counts.shape[0]):
            n = 0
            for s in range(counts.shape[1]):
                m = counts[i, s]
                if m == 0:
                    continue
                from_keys = &own_keys[starts[i, s]] if s == here else &keys[starts[i, s]]
                from_values = NULL
                if not numbered:
                    from_values = &own_values[starts[i, s]] if s == here else &values[starts[i, s]]
                _zip(from_keys, from_values, m, n, a + n)
                n += m
            radix_pairs(a, <pair *>&scratch[0, 0], n)
            if out_keys is not None:
                for j in range(n):
                    out_keys[at + j] = a[j].key
            for j in range(n):
                out_values[at + j] = a[j].value
            at += n
    return total


def sort_pairs(uint64_t[:, ::1] pairs, uint64_t[:, ::1] scratch):
    """Sort rows of (key, value) by key, stably, in place; `scratch` is of the same shape."""
    cdef int64_t n = pairs.shape[0]
    if pairs.shape[1] != 2 or scratch.shape[1] != 2 or scratch.shape[0] < n or n >> 32:
        raise ValueError(f"{n} rows of {pairs.shape[1]} words, scratch of {scratch.shape[0]} rows")
    if n:
        with nogil:
            radix_pairs(<pair *>&pairs[0, 0], <pair *>&scratch[0, 0], n)


def sort_words(uint64_t[::1] words, uint64_t[::1] scratch, bint is_signed):
    """Sort 64-bit words in place, as signed numbers or as unsigned ones; `scratch` is at least as long."""
    cdef int64_t n = words.shape[0]
    if scratch.shape[0] < n or n >> 32:
        raise ValueError(f"{n} words, scratch of {scratch.shape[0]}")
    if n:
        with nogil:
            radix_words(&words[0], &scratch[0], n, <uint64_t>is_signed << 63)

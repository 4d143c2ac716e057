"""The pieces of a sort as they arrive: gathered from all sources, rows sorted by radix in the cache and taken apart.

A piece is what lies between two cuts; starts[i, s] and counts[i, s] say where its rows from source s begin and how many
they are: in `own` for this rank's own (source `here`), in `arrived` for all others.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "radix.h" nogil:
    ctypedef struct pair:
        uint64_t key, value
    void radix_pairs(pair *a, pair *b, int64_t n)

ctypedef fused word_t:
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


def gather(const word_t[::1] own, const word_t[::1] arrived, int64_t here, const int64_t[:, ::1] starts,
           const int64_t[:, ::1] counts, word_t[::1] out):
    """The words of all pieces one after another, each piece's in the order of sources; returns their number."""
    cdef int64_t i, s, at = 0
    _check(starts, counts, here, own.shape[0], arrived.shape[0])
    for i in range(counts.shape[0]):
        for s in range(counts.shape[1]):
            at += counts[i, s]
    if at > out.shape[0]:
        raise ValueError(f"{at} words for a place of {out.shape[0]}")
    at = 0
    with nogil:
        for i in range(counts.shape[0]):
            for s in range(counts.shape[1]):
                if counts[i, s]:
                    memcpy(&out[at], &own[starts[i, s]] if s == here else &arrived[starts[i, s]],
                           counts[i, s] * sizeof(word_t))
                    at += counts[i, s]
    return at


cdef inline int64_t _gather_rows(const uint64_t *own, const uint64_t *arrived, int64_t here, const int64_t *starts,
                                 const int64_t *counts, int64_t sources, int64_t width, uint64_t *out) noexcept nogil:
    cdef int64_t s, at = 0
    for s in range(sources):
        if counts[s]:
            memcpy(out + at * width, (own if s == here else arrived) + starts[s] * width, counts[s] * width * 8)
            at += counts[s]
    return at


def sort_rows(const uint64_t[:, ::1] own, const uint64_t[:, ::1] arrived, int64_t here, const int64_t[:, ::1] starts,
              const int64_t[:, ::1] counts, uint64_t[:, ::1] rows, uint64_t[::1] scratch, uint64_t[::1] keys,
              uint64_t[:, ::1] payload):
    """Pieces of rows (word of the key, words of payload), each sorted by key, into `keys` and `payload`; their number.

    Ties keep the order of sources and rows. `rows` holds the largest piece, `scratch` 2 words a row of it for rows of
    two words and 4 otherwise. An empty `keys`, or a payload without rows, is not written.
    """
    cdef int64_t i, j, n, k, at = 0, width = rows.shape[1], sources = counts.shape[1], largest = 0, total = 0
    cdef bint pairs = width == 2, want_keys = keys.shape[0] > 0, want_payload = payload.shape[0] > 0
    cdef const uint64_t *mine = NULL
    cdef const uint64_t *others = NULL
    cdef pair *a
    cdef pair *b
    cdef const uint64_t *row
    _check(starts, counts, here, own.shape[0], arrived.shape[0])
    for i in range(counts.shape[0]):
        n = 0
        for j in range(sources):
            n += counts[i, j]
        largest = max(largest, n)
        total += n
    if total == 0:
        return 0
    if largest > rows.shape[0] or scratch.shape[0] < largest * (2 if pairs else 4) or largest >> 32:
        raise ValueError(f"a piece of {largest} rows for a place of {rows.shape[0]}")
    if (want_keys and keys.shape[0] < total) or (want_payload and payload.shape[0] < total):
        raise ValueError(f"{total} rows for a place of {keys.shape[0]}")
    if width < 2 or own.shape[1] != width or arrived.shape[1] != width or payload.shape[1] != width - 1:
        raise ValueError(f"rows of {own.shape[1]}, {arrived.shape[1]}, {width} words")
    if own.shape[0]:
        mine = &own[0, 0]
    if arrived.shape[0]:
        others = &arrived[0, 0]
    with nogil:
        for i in range(counts.shape[0]):
            n = _gather_rows(mine, others, here, &starts[i, 0], &counts[i, 0], sources, width, &rows[0, 0])
            if n == 0:
                continue
            if pairs:
                a, b = <pair *>&rows[0, 0], <pair *>&scratch[0]
                radix_pairs(a, b, n)
                if want_keys:
                    for j in range(n):
                        keys[at + j] = a[j].key
                if want_payload:
                    for j in range(n):
                        payload[at + j, 0] = a[j].value
            else:
                a, b = <pair *>&scratch[0], <pair *>&scratch[2 * n]
                for j in range(n):
                    a[j].key, a[j].value = rows[j, 0], j
                radix_pairs(a, b, n)
                for j in range(n):
                    row = &rows[a[j].value, 0]
                    if want_keys:
                        keys[at + j] = row[0]
                    if want_payload:
                        for k in range(width - 1):
                            payload[at + j, k] = row[1 + k]
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

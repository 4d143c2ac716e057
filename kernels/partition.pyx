"""Order-preserving words of numbers, and the range partition of rows into buckets with write-combining.

Values come as the unsigned integers of their bits; `kind` says what they are (0 unsigned, 1 signed, 2 float, 3 time).
Every bucket begins at a whole number of cache lines of its array, so that full lines can go past the caches.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t

import numpy as np

cdef extern from "partition.h" nogil:
    ctypedef struct classifier:
        uint64_t low
        int shift, steps
        int64_t cells, buckets
        const uint16_t *table
        const uint64_t *splitters
    int PARTITION_BLOCK
    void encode_32(const uint32_t *from_, int64_t n, int kind, uint32_t *to)
    void encode_64(const uint64_t *from_, int64_t n, int kind, uint64_t *to)
    void encode_wide_32(const uint32_t *from_, int64_t n, int kind, uint64_t *to)
    void encode_wide_64(const uint64_t *from_, int64_t n, int kind, uint64_t *to)
    void decode_32(uint32_t *w, int64_t n, int kind)
    void decode_64(uint64_t *w, int64_t n, int kind)
    void classify_words(const classifier *c, const uint64_t *w, int64_t n, uint16_t *ids)
    void scatter_32(const uint32_t *from_, uint32_t first, int64_t n, int kind, const uint16_t *ids, int64_t *next_,
                    uint32_t *to, uint32_t *lines)
    void scatter_64(const uint64_t *from_, uint64_t first, int64_t n, int kind, const uint16_t *ids, int64_t *next_,
                    uint64_t *to, uint64_t *lines)
    void scatter_rest_32(int64_t buckets, const int64_t *next_, uint32_t *to, const uint32_t *lines)
    void scatter_rest_64(int64_t buckets, const int64_t *next_, uint64_t *to, const uint64_t *lines)
    void scatter_bytes(const uint8_t *from_, int64_t n, int64_t width, const uint16_t *ids, int64_t *next_, uint8_t *to)

ctypedef fused word_t:
    uint32_t
    uint64_t

LINE_BYTES = 64


def encode(const word_t[::1] values, int kind, uint64_t[::1] out):
    """out[i] = the word of the value whose bits are values[i]."""
    cdef int64_t n = values.shape[0]
    if out.shape[0] != n:
        raise ValueError(f"{n} values for {out.shape[0]} words")
    if n == 0:
        return
    with nogil:
        if word_t is uint32_t:
            encode_wide_32(&values[0], n, kind, &out[0])
        else:
            encode_wide_64(&values[0], n, kind, &out[0])


def decode(word_t[::1] words, int kind):
    """Words to the bits of their values, in place."""
    cdef int64_t n = words.shape[0]
    if n == 0:
        return
    with nogil:
        if word_t is uint32_t:
            decode_32(&words[0], n, kind)
        else:
            decode_64(&words[0], n, kind)


def classify(const word_t[::1] values, int kind, uint64_t low, int shift, int steps, const uint16_t[::1] table,
             const uint64_t[::1] splitters, int64_t buckets, uint16_t[::1] ids, int64_t[::1] counts):
    """ids[i] = bucket of values[i], 0 <= id < buckets, and counts[b] += rows of bucket b (see `classifier`).

    `table` has an entry more than there are cells, and must not name a bucket that is not there.
    """
    cdef classifier c
    cdef uint64_t block[1024]
    cdef int64_t i, start, m, n = values.shape[0]
    if ids.shape[0] != n or counts.shape[0] != buckets:
        raise ValueError(f"{n} values for {ids.shape[0]} ids, {buckets} buckets for {counts.shape[0]} counts")
    if buckets < 1 or buckets > 65536 or table.shape[0] < 2 or splitters.shape[0] < buckets - 1 + (1 << steps):
        raise ValueError(f"{buckets} buckets, {table.shape[0]} cells, {splitters.shape[0]} padded splitters")
    if n == 0:
        return
    c.low, c.shift, c.steps, c.cells, c.buckets = low, shift, steps, table.shape[0] - 1, buckets
    c.table, c.splitters = &table[0], &splitters[0]
    with nogil:
        start = 0
        while start < n:
            m = min(n - start, PARTITION_BLOCK)
            if word_t is uint32_t:
                encode_wide_32(&values[start], m, kind, block)
            else:
                encode_wide_64(&values[start], m, kind, block)
            classify_words(&c, block, m, &ids[start])
            for i in range(start, start + m):
                counts[ids[i]] += 1
            start += m


def scatter(const word_t[::1] values, int kind, const uint16_t[::1] ids, int64_t[::1] places, word_t[::1] out):
    """The words of `values` to their buckets, in order: places[b] is where bucket b's next word goes, and moves on."""
    cdef int64_t n = values.shape[0], buckets = places.shape[0]
    if ids.shape[0] != n:
        raise ValueError(f"{n} values for {ids.shape[0]} bucket numbers")
    if n == 0:
        return
    if (<uintptr_t>&out[0]) % 64:
        raise ValueError("the buckets must begin at a cache line")
    lines = aligned(buckets * 64, 64).view(np.uint32 if word_t is uint32_t else np.uint64)
    cdef word_t[::1] lanes = lines
    with nogil:
        if word_t is uint32_t:
            scatter_32(&values[0], 0, n, kind, &ids[0], &places[0], &out[0], &lanes[0])
            scatter_rest_32(buckets, &places[0], &out[0], &lanes[0])
        else:
            scatter_64(&values[0], 0, n, kind, &ids[0], &places[0], &out[0], &lanes[0])
            scatter_rest_64(buckets, &places[0], &out[0], &lanes[0])


def scatter_numbers(uint64_t first, const uint16_t[::1] ids, int64_t[::1] places, uint64_t[::1] out):
    """As `scatter`, of the row numbers from `first` on."""
    cdef int64_t n = ids.shape[0], buckets = places.shape[0]
    if n == 0:
        return
    if (<uintptr_t>&out[0]) % 64:
        raise ValueError("the buckets must begin at a cache line")
    cdef uint64_t[::1] lanes = aligned(buckets * 64, 64).view(np.uint64)
    with nogil:
        scatter_64(NULL, first, n, 0, &ids[0], &places[0], &out[0], &lanes[0])
        scatter_rest_64(buckets, &places[0], &out[0], &lanes[0])


def scatter_rows(const uint8_t[:, ::1] rows, const uint16_t[::1] ids, int64_t[::1] places, uint8_t[:, ::1] out):
    """As `scatter`, of rows of any number of bytes."""
    cdef int64_t n = rows.shape[0]
    if ids.shape[0] != n or out.shape[1] != rows.shape[1]:
        raise ValueError(f"{n} rows of {rows.shape[1]} bytes for {ids.shape[0]} bucket numbers")
    if n and rows.shape[1]:
        with nogil:
            scatter_bytes(&rows[0, 0], n, rows.shape[1], &ids[0], &places[0], &out[0, 0])


def aligned(int64_t size, int64_t alignment):
    """An uninitialised uint8 array of `size` bytes that begins at a multiple of `alignment`."""
    whole = np.empty(size + alignment, np.uint8)
    start = -whole.ctypes.data % alignment
    return whole[start : start + size]

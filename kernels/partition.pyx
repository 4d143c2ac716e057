"""Order-preserving words of numbers, and the range partition of rows into buckets with write-combining.

Values come as the unsigned integers of their bits; `kind` says what they are (0 unsigned, 1 signed, 2 float, 3 time).
Every bucket begins at a multiple of ROOM_BYTES of its array, so that full lines can go past the caches.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t

import numpy as np

cdef extern from "partition.h" nogil:
    int partition_is_wide()
    void partition_release_freed()
    ctypedef struct classifier:
        uint64_t above, skip, low
        int shift, steps
        int64_t cells, buckets
        const uint16_t *table
        const uint64_t *splitters
    int PARTITION_BLOCK, PARTITION_ROOM, PARTITION_LANES
    void encode_32(const uint32_t *from_, int64_t n, int kind, uint32_t *to)
    void encode_64(const uint64_t *from_, int64_t n, int kind, uint64_t *to)
    void encode_wide_32(const uint32_t *from_, int64_t n, int kind, uint64_t *to)
    void encode_wide_64(const uint64_t *from_, int64_t n, int kind, uint64_t *to)
    void decode_32(uint32_t *w, int64_t n, int kind)
    void decode_64(uint64_t *w, int64_t n, int kind)
    void classify_words(const classifier *c, const uint64_t *w, int64_t n, uint16_t *ids)
    void count_ids(const uint16_t *ids, int64_t n, int64_t buckets, uint32_t *counts)
    void scatter_32(const uint32_t *from_, uint32_t first, int64_t n, int kind, int plain, const uint16_t *ids,
                    const classifier *c, int64_t *next_, uint32_t *to, uint32_t *lines)
    void scatter_64(const uint64_t *from_, uint64_t first, int64_t n, int kind, int plain, const uint16_t *ids,
                    const classifier *c, int64_t *next_, uint64_t *to, uint64_t *lines)
    void scatter_rest_32(int64_t buckets, const int64_t *next_, uint32_t *to, const uint32_t *lines)
    void scatter_rest_64(int64_t buckets, const int64_t *next_, uint64_t *to, const uint64_t *lines)
    void scatter_bytes(const uint8_t *from_, int64_t n, int64_t width, const uint16_t *ids, int64_t *next_, uint8_t *to)

ctypedef fused word_t:
    uint32_t
    uint64_t

LINE_BYTES = 64
ROOM_BYTES = PARTITION_ROOM
COUNTED_MAX = 1 << 31  # words between two looks at 32-bit counters


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


cdef classifier _rule(uint64_t above, uint64_t skip, uint64_t low, int shift, int steps, const uint16_t[::1] table,
                      const uint64_t[::1] splitters, int64_t buckets) except *:
    """The classifier of these parts, which must outlive it (see `classifier`); ValueError if they do not fit.

    `table` has an entry more than there are cells, and must not name a bucket that is not there.
    """
    cdef classifier c
    if buckets < 1 or buckets > 65536 or table.shape[0] < 2 or splitters.shape[0] < buckets - 1 + (1 << steps):
        raise ValueError(f"{buckets} buckets, {table.shape[0]} cells, {splitters.shape[0]} padded splitters")
    c.above, c.skip, c.low, c.shift, c.steps = above, skip, low, shift, steps
    c.cells, c.buckets = table.shape[0] - 1, buckets
    c.table, c.splitters = &table[0], &splitters[0]
    return c


def classify(const word_t[::1] values, int kind, uint64_t above, uint64_t skip, uint64_t low, int shift, int steps,
             const uint16_t[::1] table, const uint64_t[::1] splitters, int64_t buckets, uint16_t[::1] ids,
             int64_t[::1] counts):
    """counts[b] += rows of bucket b, and ids[i] = bucket of values[i], 0 <= id < buckets, unless `ids` is None.

    The classifier is given by its parts, from `above` to `buckets` (see `_rule`).
    """
    cdef classifier c = _rule(above, skip, low, shift, steps, table, splitters, buckets)
    cdef uint64_t block[1024]
    cdef uint16_t found[1024]
    cdef uint16_t *id
    cdef bint kept = ids is not None
    cdef int64_t start, stop, m, n = values.shape[0]
    if (kept and ids.shape[0] != n) or counts.shape[0] != buckets:
        raise ValueError(f"{n} values for {ids.shape[0]} ids, {buckets} buckets for {counts.shape[0]} counts")
    counted = np.zeros((PARTITION_LANES, buckets), np.uint32)
    cdef uint32_t[:, ::1] lanes = counted
    start = 0
    while start < n:
        stop = min(n, start + COUNTED_MAX)
        with nogil:
            while start < stop:
                m = min(stop - start, PARTITION_BLOCK)
                if word_t is uint32_t:
                    encode_wide_32(&values[start], m, kind, block)
                else:
                    encode_wide_64(&values[start], m, kind, block)
                id = &ids[start] if kept else found
                classify_words(&c, block, m, id)
                count_ids(id, m, buckets, &lanes[0, 0])
                start += m
        np.add(counts, counted.sum(axis=0, dtype=np.int64), out=np.asarray(counts))
        counted[:] = 0


def scatter(const word_t[::1] values, int kind, const uint16_t[::1] ids, int64_t[::1] places, word_t[::1] out,
            bint plain=False):
    """The words of `values` to their buckets, in order: places[b] is where bucket b's next word goes, and moves on.
    If `plain`, the values as they are."""
    cdef int64_t n = values.shape[0]
    if ids.shape[0] != n:
        raise ValueError(f"{n} values for {ids.shape[0]} bucket numbers")
    if n:
        _scatter(&values[0], 0, n, kind, &ids[0], NULL, places, out, plain)


def partition(const word_t[::1] values, int kind, uint64_t above, uint64_t skip, uint64_t low, int shift, int steps,
              const uint16_t[::1] table, const uint64_t[::1] splitters, int64_t buckets,
              int64_t[::1] places, word_t[::1] out, bint plain=False):
    """As `scatter`, to the buckets that a classifier finds (see `_rule`)."""
    cdef classifier c = _rule(above, skip, low, shift, steps, table, splitters, buckets)
    if places.shape[0] != buckets:
        raise ValueError(f"{buckets} buckets for {places.shape[0]} places")
    if values.shape[0]:
        _scatter(&values[0], 0, values.shape[0], kind, NULL, &c, places, out, plain)


def scatter_numbers(uint64_t first, const uint16_t[::1] ids, int64_t[::1] places, uint64_t[::1] out):
    """As `scatter`, of the row numbers from `first` on."""
    if ids.shape[0]:
        _scatter(<const uint64_t *>NULL, first, ids.shape[0], 0, &ids[0], NULL, places, out)


cdef int _scatter(const word_t *values, uint64_t first, int64_t n, int kind, const uint16_t *ids, const classifier *c,
                  int64_t[::1] places, word_t[::1] out, bint plain=False) except -1:
    """Scatter n > 0 words through buffers of ROOM_BYTES for each bucket."""
    if (<uintptr_t>&out[0]) % 64:
        raise ValueError("the buckets must begin at a cache line")
    cdef int64_t buckets = places.shape[0]
    cdef word_t[::1] lines = aligned(buckets * PARTITION_ROOM, 64).view(np.uint32 if word_t is uint32_t else np.uint64)
    with nogil:
        if word_t is uint32_t:
            scatter_32(values, <uint32_t>first, n, kind, plain, ids, c, &places[0], &out[0], &lines[0])
            scatter_rest_32(buckets, &places[0], &out[0], &lines[0])
        else:
            scatter_64(values, first, n, kind, plain, ids, c, &places[0], &out[0], &lines[0])
            scatter_rest_64(buckets, &places[0], &out[0], &lines[0])
    return 0


def scatter_rows(const uint8_t[:, ::1] rows, const uint16_t[::1] ids, int64_t[::1] places, uint8_t[:, ::1] out):
    """As `scatter`, of rows of any number of bytes."""
    cdef int64_t n = rows.shape[0]
    if ids.shape[0] != n or out.shape[1] != rows.shape[1]:
        raise ValueError(f"{n} rows of {rows.shape[1]} bytes for {ids.shape[0]} bucket numbers")
    if n and rows.shape[1]:
        with nogil:
            scatter_bytes(&rows[0, 0], n, rows.shape[1], &ids[0], &places[0], &out[0, 0])


def is_wide():
    """Whether this processor has AVX-512: its kernels are used here, and NumPy sorts words of 64 bits with it."""
    return bool(partition_is_wide())


def release_freed():
    """Give back to the system what the C library keeps of freed memory, where it can."""
    with nogil:
        partition_release_freed()


def aligned(int64_t size, int64_t alignment):
    """An uninitialised uint8 array of `size` bytes that begins at a multiple of `alignment`."""
    whole = np.empty(size + alignment, np.uint8)
    start = -whole.ctypes.data % alignment
    return whole[start : start + size]

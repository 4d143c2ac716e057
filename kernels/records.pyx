# distutils: language = c
"""Fixed-length records in buffers: key words, stable sort, buckets between splitters, scatter, gather, row hashes."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np


cdef extern from "records.h" nogil:
    ctypedef struct rec_shape:
        int64_t record
        int64_t key
    ctypedef struct rec_ref:
        uint64_t word
        const uint8_t *at
    ctypedef struct rec_splitters:
        int64_t n
        const uint64_t *words
        const uint8_t *keys
        const int64_t *rows
    uint64_t rec_word(const uint8_t *at, const rec_shape *s, int64_t depth)
    void rec_sort(rec_ref *p, rec_ref *spare, int64_t n, const rec_shape *s, int64_t depth, int nesting)
    void rec_refer(const uint8_t *at, int64_t n, const rec_shape *s, rec_ref *out)
    uint64_t rec_gather(const rec_ref *refs, int64_t n, const rec_shape *s, uint8_t *out)
    void rec_prepare(rec_splitters *t)
    void rec_assign(const rec_splitters *t, const uint8_t *at, const uint64_t *words, int64_t n, const rec_shape *s,
                    int64_t first_row, int32_t *ids, int64_t *counts)
    uint64_t rec_scatter(const uint8_t *at, const int32_t *ids, int64_t n, const rec_shape *s, int64_t *places,
                         uint8_t *out)
    int64_t rec_descent(const uint8_t *at, int64_t n, const rec_shape *s)
    uint64_t rec_checksum(const uint8_t *at, int64_t n, const rec_shape *s)
    void rec_generate(uint8_t *out, int64_t first_row, int64_t n, uint64_t seed)

GENERATED_BYTES = 100


cdef int64_t rows_of(int64_t size, int64_t record, int64_t key) except -1:
    if not 1 <= key <= record or size % record:
        raise ValueError(f"{size} bytes of records of {record} with keys of {key}")
    return size // record


def key_words(const uint8_t[::1] data, int64_t record, int64_t key, uint64_t[::1] words):
    """The first eight key bytes of each record as a number that orders as they do, into `words`."""
    cdef rec_shape shape
    cdef int64_t i, n = rows_of(data.shape[0], record, key)
    shape.record, shape.key = record, key
    if words.shape[0] != n:
        raise ValueError(f"{words.shape[0]} words for {n} records")
    with nogil:
        for i in range(n):
            words[i] = rec_word(&data[0] + i * record, &shape, 0)


def assign(const uint8_t[::1] data, int64_t record, int64_t key, const uint64_t[::1] words, int64_t first_row,
           const uint64_t[::1] splitter_words, const uint8_t[::1] splitter_keys, const int64_t[::1] splitter_rows,
           int32_t[::1] ids, int64_t[::1] counts):
    """ids[i]: how many splitters (key, global row) are not behind record i, whose global row is first_row + i; `counts`
    (one more than splitters) grows by the records of each bucket. Splitters ascend and keys have `key` bytes each."""
    cdef rec_shape shape
    cdef rec_splitters table
    cdef int64_t n = rows_of(data.shape[0], record, key)
    shape.record, shape.key = record, key
    table.n, table.words, table.keys, table.rows = splitter_words.shape[0], NULL, NULL, NULL
    if words.shape[0] != n or ids.shape[0] != n or counts.shape[0] != table.n + 1:
        raise ValueError(f"{n} records, {words.shape[0]} words, {ids.shape[0]} ids, {counts.shape[0]} counts")
    if splitter_rows.shape[0] != table.n or splitter_keys.shape[0] != table.n * key or table.n >= 1 << 30:
        raise ValueError(f"{table.n} splitters with {splitter_keys.shape[0]} key bytes, {splitter_rows.shape[0]} rows")
    if n == 0:
        return
    if table.n:
        table.words, table.keys, table.rows = &splitter_words[0], &splitter_keys[0], &splitter_rows[0]
    with nogil:
        rec_prepare(&table)
        rec_assign(&table, &data[0], &words[0], n, &shape, first_row, &ids[0], &counts[0])


def scatter(const uint8_t[::1] data, int64_t record, const int32_t[::1] ids, int64_t[::1] places, uint8_t[::1] out):
    """Record i goes to place places[ids[i]]++ of `out` (places in records); returns the sum of the row hashes."""
    cdef rec_shape shape
    cdef uint64_t total = 0
    cdef int64_t n = rows_of(data.shape[0], record, 1)
    shape.record, shape.key = record, 1
    if ids.shape[0] != n or out.shape[0] < n * record:
        raise ValueError(f"{n} records, {ids.shape[0]} ids, room for {out.shape[0]} bytes")
    if n:
        with nogil:
            total = rec_scatter(&data[0], &ids[0], n, &shape, &places[0], &out[0])
    return total


cdef class Sorter:
    """References to records of several buffers, sorted stably by key; room for `capacity` records."""

    cdef readonly int64_t capacity, rows
    cdef rec_shape shape
    cdef uint64_t[::1] refs, spare
    cdef list kept

    def __cinit__(self, int64_t record, int64_t key, int64_t capacity):
        rows_of(0, record, key)
        self.shape.record, self.shape.key = record, key
        self.capacity, self.rows, self.kept = capacity, 0, []
        self.refs, self.spare = np.empty(2 * capacity + 2, np.uint64), np.empty(2 * capacity + 2, np.uint64)

    def sort(self, pieces):
        """Take the records of these buffers, ties in their order, instead of what was here; they must not change."""
        cdef const uint8_t[::1] piece
        cdef int64_t rows, filled = 0
        cdef rec_ref *refs = <rec_ref *> &self.refs[0]
        cdef rec_ref *spare = <rec_ref *> &self.spare[0]
        self.rows, self.kept = 0, list(pieces)
        for piece in self.kept:
            rows = rows_of(piece.shape[0], self.shape.record, self.shape.key)
            if filled + rows > self.capacity:
                raise ValueError(f"{filled + rows} records, room for {self.capacity}")
            if rows:
                with nogil:
                    rec_refer(&piece[0], rows, &self.shape, refs + filled)
                filled += rows
        with nogil:
            rec_sort(refs, spare, filled, &self.shape, 0, 0)
        self.rows = filled

    def gather(self, int64_t start, int64_t stop, uint8_t[::1] out):
        """Copy the records start … stop-1 in order to the front of `out`; returns the sum of their hashes."""
        cdef uint64_t total = 0
        cdef rec_ref *refs = <rec_ref *> &self.refs[0]
        if not 0 <= start <= stop <= self.rows or out.shape[0] < (stop - start) * self.shape.record:
            raise ValueError(f"records {start} to {stop} of {self.rows} into {out.shape[0]} bytes")
        if stop > start:
            with nogil:
                total = rec_gather(refs + start, stop - start, &self.shape, &out[0])
        return total


def first_descent(const uint8_t[::1] data, int64_t record, int64_t key):
    """The first row whose key is below that of the row before it; -1 if the records ascend."""
    cdef rec_shape shape
    cdef int64_t found = -1, n = rows_of(data.shape[0], record, key)
    shape.record, shape.key = record, key
    if n:
        with nogil:
            found = rec_descent(&data[0], n, &shape)
    return found


def checksum(const uint8_t[::1] data, int64_t record):
    """The sum modulo 2**64 of the hashes of the records: the same in any order."""
    cdef rec_shape shape
    cdef uint64_t total = 0
    cdef int64_t n = rows_of(data.shape[0], record, 1)
    shape.record, shape.key = record, 1
    if n:
        with nogil:
            total = rec_checksum(&data[0], n, &shape)
    return total


def generate(uint8_t[::1] out, int64_t first_row, uint64_t seed):
    """Fill `out` with records of 100 bytes laid out as gensort's; record i is a function of seed and first_row + i."""
    cdef int64_t n = rows_of(out.shape[0], 100, 10)
    if n:
        with nogil:
            rec_generate(&out[0], first_row, n, seed)

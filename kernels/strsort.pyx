# distutils: language = c
"""Rows of several key columns, strings among them: their stable order, their places among bounds, and taking strings.

Columns are levels, most significant first, added one by one; NULLs are made a level of their own by the caller.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

import numpy as np


cdef extern from "strsort.h" nogil:
    enum:
        STRSORT_WORDS
        STRSORT_NUMBERS
        STRSORT_TEXT32
        STRSORT_TEXT64
    ctypedef struct strsort_level:
        int kind
        uint64_t flip
        uint64_t first
        const uint64_t *words
        const int32_t *offsets32
        const int64_t *offsets64
        const uint8_t *data
        int64_t data_size
    ctypedef struct strsort_bounds:
        int64_t depth
    ctypedef struct strsort_item:
        uint64_t word
        int64_t row
    int strsort_order(const strsort_level *levels, int32_t count, int64_t n, strsort_item *items, strsort_item *spare,
                      int64_t *order)
    int strsort_bounds_new(strsort_bounds *bounds, const strsort_level *levels, int64_t n)
    void strsort_bounds_free(strsort_bounds *bounds)
    int64_t strsort_below(const strsort_level *levels, int64_t row, const strsort_level *limits, int64_t n,
                          int32_t count, const strsort_bounds *bounds)
    int64_t strsort_place(const strsort_level *levels, int64_t n, const strsort_level *limits, int64_t bound,
                          int32_t count)
    void __builtin_prefetch(const void *address)


cdef enum:
    LEVELS_MAX = 256
    AHEAD = 16
    COPY_BYTES = 32  # a copy of fixed size is two instructions, one of any size a call

ctypedef fused offset_t:
    int32_t
    int64_t


cdef class Rows:
    """Key columns of `rows` rows. The arrays given are kept, not copied, and must not change."""

    cdef strsort_level levels[LEVELS_MAX]
    cdef readonly int32_t count
    cdef readonly int64_t rows
    cdef list _kept

    def __cinit__(self, int64_t rows):
        self.rows = rows
        self.count = 0
        self._kept = []

    cdef strsort_level *_add(self, int kind, bint descending) except NULL:
        if self.count == LEVELS_MAX:
            raise ValueError(f"more than {LEVELS_MAX} levels of sort keys")
        cdef strsort_level *level = &self.levels[self.count]
        level.kind = kind
        level.flip = ~(<uint64_t>0) if descending else 0
        level.first = 0
        level.words = NULL
        level.offsets32 = NULL
        level.offsets64 = NULL
        level.data = NULL
        level.data_size = 0
        self.count += 1
        return level

    def add_words(self, const uint64_t[::1] words, bint descending=False, bint is_signed=False):
        """A level of numbers: one uint64 for each row, ordered as unsigned integers or as signed ones."""
        if words.shape[0] != self.rows:
            raise ValueError(f"{words.shape[0]} words for {self.rows} rows")
        cdef strsort_level *level = self._add(STRSORT_WORDS, descending)
        level.words = &words[0] if self.rows else NULL
        level.flip ^= <uint64_t>is_signed << 63
        self._kept.append(words)

    def add_numbers(self, int64_t first):
        """A level that is first, first + 1, …: the place of a row in its table (first >= 0)."""
        cdef strsort_level *level = self._add(STRSORT_NUMBERS, False)
        level.first = <uint64_t>first

    def add_strings(self, const offset_t[::1] offsets, const uint8_t[::1] data, bint descending=False):
        """A level of strings, ordered by their bytes: row i is data[offsets[i]:offsets[i + 1]]."""
        if offsets.shape[0] != self.rows + 1:
            raise ValueError(f"{offsets.shape[0]} offsets for {self.rows} rows, expected one more")
        if self.rows and (offsets[0] < 0 or offsets[self.rows] > data.shape[0]):
            raise ValueError(f"offsets {offsets[0]}..{offsets[self.rows]} leave {data.shape[0]} bytes of data")
        cdef strsort_level *level
        if offset_t is int32_t:
            level = self._add(STRSORT_TEXT32, descending)
            level.offsets32 = &offsets[0]
        else:
            level = self._add(STRSORT_TEXT64, descending)
            level.offsets64 = &offsets[0]
        level.data = &data[0] if data.shape[0] else NULL
        level.data_size = data.shape[0]
        self._kept.append((offsets, data))

    def order(self, uint8_t[::1] scratch=None):
        """int64: row numbers in stable order. `scratch` has room for `scratch_bytes`; without it MemoryError where they
        are not to be had."""
        order = np.empty(self.rows, np.int64)
        cdef int64_t[::1] view = order
        cdef int status = 0
        cdef strsort_item *items
        if scratch is None:
            scratch = np.empty(self.scratch_bytes, np.uint8)
        elif scratch.shape[0] < self.scratch_bytes:
            raise ValueError(f"{scratch.shape[0]} bytes of scratch for {self.rows} rows, expected {self.scratch_bytes}")
        if self.rows:
            items = <strsort_item *>&scratch[0]
            with nogil:
                status = strsort_order(self.levels, self.count, self.rows, items, items + self.rows, &view[0])
        if status:
            raise MemoryError(f"no memory to sort {self.rows} rows")
        return order

    @property
    def scratch_bytes(self):
        """What `order` works in."""
        return 2 * self.rows * <int64_t>sizeof(strsort_item)

    def parts(self, Rows bounds):
        """int32: for each row, how many of the ascending `bounds` are not after it (0: it is before all)."""
        self._check_levels(bounds)
        parts = np.zeros(self.rows, np.int32)
        cdef int32_t[::1] view = parts
        cdef int64_t row
        cdef int status
        cdef strsort_bounds limits
        if not self.rows or not bounds.rows or not self.count:
            return parts
        with nogil:
            status = strsort_bounds_new(&limits, bounds.levels, bounds.rows)
            if not status:
                for row in range(self.rows):
                    view[row] = <int32_t>strsort_below(
                        self.levels, row, bounds.levels, bounds.rows, self.count, &limits
                    )
            strsort_bounds_free(&limits)
        if status:
            raise MemoryError(f"no memory for {bounds.rows} bounds")
        return parts

    def places(self, Rows bounds):
        """int64: for each of `bounds`, how many of these rows (which must be sorted) come before it."""
        self._check_levels(bounds)
        places = np.empty(bounds.rows, np.int64)
        cdef int64_t[::1] view = places
        cdef int64_t k
        with nogil:
            for k in range(bounds.rows):
                view[k] = strsort_place(self.levels, self.rows, bounds.levels, k, self.count)
        return places

    def _check_levels(self, Rows other):
        cdef int32_t k
        if self.count != other.count:
            raise ValueError(f"{self.count} levels cannot be compared with {other.count}")
        for k in range(self.count):
            if (self.levels[k].kind >= STRSORT_TEXT32) != (other.levels[k].kind >= STRSORT_TEXT32) or (
                self.levels[k].flip != other.levels[k].flip
            ):
                raise ValueError(f"level {k} of two tables differs in kind or direction")


def take_strings(const offset_t[::1] offsets, const uint8_t[::1] data, const int64_t[::1] rows):
    """(offsets, data) of these rows in this order; the offsets have the type of the given ones, from 0.

    OverflowError when they cannot hold the bytes.
    """
    cdef int64_t n = rows.shape[0], i, total = 0, begin, size
    out_offsets = np.empty(n + 1, np.asarray(offsets).dtype)
    cdef offset_t[::1] ends = out_offsets
    ends[0] = 0
    cdef bint overflow = False
    with nogil:
        for i in range(n):
            if i + AHEAD < n:
                __builtin_prefetch(&offsets[rows[i + AHEAD]])
            total += offsets[rows[i] + 1] - offsets[rows[i]]
            ends[i + 1] = <offset_t>total
        if offset_t is int32_t:
            overflow = total > 0x7FFFFFFF
    if overflow:
        raise OverflowError(f"{total} bytes of strings do not fit 32-bit offsets")
    out = np.empty(total, np.uint8)
    cdef uint8_t[::1] out_view = out
    cdef int64_t data_size = data.shape[0]
    if total:
        with nogil:
            for i in range(n):
                if i + 2 * AHEAD < n:
                    __builtin_prefetch(&offsets[rows[i + 2 * AHEAD]])
                if i + AHEAD < n:
                    __builtin_prefetch(&data[0] + offsets[rows[i + AHEAD]])
                begin = offsets[rows[i]]
                size = offsets[rows[i] + 1] - begin
                if size <= COPY_BYTES and begin + COPY_BYTES <= data_size and ends[i] + COPY_BYTES <= total:
                    memcpy(&out_view[ends[i]], &data[begin], COPY_BYTES)  # what is too much is written over by the next
                elif size:
                    memcpy(&out_view[ends[i]], &data[begin], size)
    return out_offsets, out

# distutils: language = c
"""Group tables: tuples of int64 words to dense group ids in order of first sight."""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport free, malloc

import numpy as np


cdef extern from "group.h" nogil:
    ctypedef struct group_table:
        int64_t *keys
        int64_t count
        int64_t capacity
        uint64_t mask
        int64_t direct_size
        int32_t k
    int GROUP_NOMEM
    group_table *group_new(int32_t k)
    void group_free(group_table *table)
    int group_make_room(group_table *table, int64_t groups)
    int64_t group_ids(group_table *table, const int64_t **columns, int64_t n, int32_t *out)


cdef class GroupTable:
    """Distinct rows of `n_keys` int64 words, numbered 0, 1, … in order of first sight."""

    cdef group_table *table

    def __cinit__(self, int n_keys):
        if n_keys < 1:
            raise ValueError(f"a group table needs at least one key, got {n_keys}")
        self.table = group_new(n_keys)
        if self.table is NULL:
            raise MemoryError("no memory for a group table")

    def __dealloc__(self):
        group_free(self.table)

    def __len__(self):
        return self.table.count

    @property
    def n_keys(self):
        return self.table.k

    @property
    def nbytes(self):
        """Memory held, bytes."""
        cdef int64_t slot = 16 if self.table.k == 1 else 8
        cdef int64_t slots = <int64_t>(self.table.mask + 1) * slot
        return self.table.capacity * self.table.k * 8 + slots + self.table.direct_size * 4

    def reserve(self, int64_t groups):
        """Makes room for `groups` groups in all; a hint, which one-word tables pass over."""
        if group_make_room(self.table, groups):
            raise MemoryError(f"no memory for a group table of {groups} groups")

    def ids(self, columns):
        """Group ids (int32) of the rows of `columns`, n_keys int64 arrays of one length; new groups are added."""
        cdef int64_t n, status
        cdef const int64_t **pointers
        cdef const int64_t[::1] view
        cdef int32_t[::1] out
        if len(columns) != self.table.k:
            raise ValueError(f"expected {self.table.k} key columns, got {len(columns)}")
        n = len(columns[0])
        result = np.empty(n, np.int32)
        if n == 0:
            return result
        out = result
        keep = []
        pointers = <const int64_t **>malloc(sizeof(void *) * len(columns))
        if pointers is NULL:
            raise MemoryError("no memory for a group table")
        try:
            for j, column in enumerate(columns):
                view = column
                if view.shape[0] != n:
                    raise ValueError(f"key column {j} has {view.shape[0]} rows, expected {n}")
                keep.append(column)
                pointers[j] = &view[0]
            with nogil:
                status = group_ids(self.table, pointers, n, &out[0])
        finally:
            free(pointers)
        if status == GROUP_NOMEM:
            raise MemoryError(f"no memory for a group table of {self.table.count} groups")
        if status < 0:
            raise OverflowError("more than 2^31 - 2 groups on one rank; use more ranks")
        return result

    def keys(self, ids=None):
        """The keys of all groups by their ids, or of the groups `ids` (int64): a list of n_keys int64 arrays (copies).

        Raises IndexError if there is no such group.
        """
        cdef int64_t i, n = self.table.count, count = self.table.count
        cdef int32_t j, k = self.table.k
        cdef const int64_t[::1] chosen
        cdef int64_t[::1] out
        cdef bint some = ids is not None
        if some:
            chosen = ids
            n = chosen.shape[0]
            for i in range(n):
                if not 0 <= chosen[i] < count:
                    raise IndexError(f"group {chosen[i]}, expected 0 <= group < {count}")
        result = []
        for j in range(k):
            column = np.empty(n, np.int64)
            out = column
            with nogil:
                for i in range(n):
                    out[i] = self.table.keys[(chosen[i] if some else i) * k + j]
            result.append(column)
        return result


def gather_ids(const int32_t[::1] codes, const int32_t[::1] known, int32_t[::1] out):
    """out[i] = known[codes[i] + 1], so that code -1 (NULL) reads known[0]; returns how many of them are -2 (unknown).

    Raises IndexError if a code lies outside -1 … len(known) - 2.
    """
    cdef Py_ssize_t i
    cdef int64_t misses = 0
    cdef uint64_t size = known.shape[0]
    cdef uint64_t at
    cdef int32_t value
    cdef bint bad = False
    if out.shape[0] < codes.shape[0]:
        raise ValueError(f"room for {out.shape[0]} ids, expected {codes.shape[0]}")
    with nogil:
        for i in range(codes.shape[0]):
            at = <uint64_t>(<int64_t>codes[i] + 1)
            if at >= size:
                bad = True
                break
            value = known[at]
            out[i] = value
            misses += value == -2
    if bad:
        raise IndexError(f"row {i}: code {codes[i]} in a dictionary of {known.shape[0] - 1} entries")
    return misses


def unknown_codes(const int32_t[::1] codes, int32_t[::1] known):
    """The different codes (int32, in order of first sight) with known[code + 1] = -2, which becomes -3 (asked for).

    To be called after `gather_ids` has checked the codes.
    """
    cdef Py_ssize_t i
    cdef int64_t count = 0
    cdef int32_t[::1] out
    result = np.empty(codes.shape[0], np.int32)
    out = result
    with nogil:
        for i in range(codes.shape[0]):
            if known[codes[i] + 1] == -2:
                known[codes[i] + 1] = -3
                out[count] = codes[i]
                count += 1
    return result[:count]

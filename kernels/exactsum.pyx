# distutils: language = c
"""Exact sums of doubles (and of their squares) per group, rounded once: the result knows no order of addition."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np


cdef extern from "exactsum.h" nogil:
    ctypedef struct exact_acc:
        int32_t base
        int32_t wide
        uint32_t flags
    ctypedef struct exact_sums:
        exact_acc *acc
        int64_t groups
        int64_t capacity
        int64_t wide_count
        int64_t wide_capacity
    ctypedef struct exact_big:
        uint64_t *d
        int32_t n
        int32_t base
        int32_t negative
    int EXACT_LIMBS
    int EXACT_NEGATIVE
    int EXACT_UNIT
    int exact_resize(exact_sums *s, int64_t groups)
    void exact_free(exact_sums *s)
    int exact_add_all(exact_sums *s, const int32_t *ids, const double *values, const uint8_t *use, int64_t n,
                      int square)
    int exact_add_part(exact_sums *s, exact_acc *a, uint64_t mantissa, int32_t position, int64_t negative)
    void exact_read(const exact_sums *s, int64_t group, exact_big *out)
    double exact_mean(const exact_sums *s, int64_t group, uint64_t divisor, int odd)
    double exact_variance(const exact_sums *sums, const exact_sums *squares, int64_t group, uint64_t n,
                          uint64_t divisor, int odd)
    double exact_ratio128(uint64_t low, int64_t high, uint64_t divisor)


cdef extern from "exactfold.h" nogil:
    int exact_add_block(exact_sums *s, const double *v, int64_t groups, int64_t n, int by_column, int square, int level)
    int exact_add_integers(exact_sums *s, const uint64_t *v, int64_t groups, int64_t n, int by_column, int square,
                           int is_signed)


cdef class ExactSums:
    """One exact sum a group; with square=True the sums of x * x."""

    cdef exact_sums sums
    cdef readonly bint square

    def __cinit__(self, square=False):
        self.square = square

    def __dealloc__(self):
        exact_free(&self.sums)

    def __len__(self):
        return self.sums.groups

    @property
    def nbytes(self):
        """Memory held, bytes."""
        return self.sums.capacity * sizeof(exact_acc) + self.sums.wide_capacity * (EXACT_LIMBS + 1) * 8

    def resize(self, int64_t groups):
        """Room for `groups` groups; new ones are zero."""
        if exact_resize(&self.sums, groups):
            raise MemoryError(f"no memory for exact sums of {groups} groups")

    def add(self, const int32_t[::1] ids, const double[::1] values, const uint8_t[::1] use=None):
        """Adds values[i] (its square) to group ids[i] < len(self), where use[i] if `use` is given."""
        cdef int64_t n = ids.shape[0]
        cdef int failed
        cdef const uint8_t *used = NULL
        if values.shape[0] != n or (use is not None and use.shape[0] != n):
            raise ValueError(f"{n} group ids for {values.shape[0]} values")
        if n == 0:
            return
        if use is not None:
            used = &use[0]
        with nogil:
            failed = exact_add_all(&self.sums, &ids[0], &values[0], used, n, self.square)
        self._check(failed)

    cdef bint _holds(self, int64_t groups, int64_t n) except -1:
        """Whether there are values of `groups` groups, n each; ValueError unless there is a sum for each group."""
        if groups != self.sums.groups:
            raise ValueError(f"values of {groups} groups for {self.sums.groups} sums")
        return groups > 0 and n > 0

    cdef int _check(self, int failed) except -1:
        if failed:
            raise MemoryError(f"no memory for exact sums of {self.sums.groups} groups")
        return 0

    def add_block(self, const double[:, ::1] values, bint by_column=False, bint portable=False):
        """Adds row g of `values` (its squares) to group g; by column, column g. `portable`: without vector code."""
        cdef int64_t groups = values.shape[by_column], n = values.shape[not by_column]
        cdef int failed
        if self._holds(groups, n):
            with nogil:
                failed = exact_add_block(&self.sums, &values[0, 0], groups, n, by_column, self.square, not portable)
            self._check(failed)

    def add_integers(self, const uint64_t[:, ::1] words, bint by_column=False, bint is_signed=True):
        """Adds 64-bit integers (their squares), given as words, as `add_block` does."""
        cdef int64_t groups = words.shape[by_column], n = words.shape[not by_column]
        cdef int failed
        if self._holds(groups, n):
            with nogil:
                failed = exact_add_integers(&self.sums, &words[0, 0], groups, n, by_column, self.square, is_signed)
            self._check(failed)

    def means(self, const int64_t[::1] divisors=None, bint odd=False):
        """float64 per group: its sum, divided by divisors[group] > 0 if given, correctly rounded; with `odd` rounded to
        odd, so that a conversion to a shorter float is correctly rounded."""
        cdef int64_t g
        cdef double[::1] out
        result = np.zeros(self.sums.groups, np.float64)
        out = result
        if divisors is not None and divisors.shape[0] != self.sums.groups:
            raise ValueError(f"{divisors.shape[0]} divisors for {self.sums.groups} groups")
        with nogil:
            for g in range(self.sums.groups):
                if divisors is None:
                    out[g] = exact_mean(&self.sums, g, 1, odd)
                elif divisors[g] > 0:
                    out[g] = exact_mean(&self.sums, g, <uint64_t>divisors[g], odd)
        return result

    def to_bytes(self):
        """(offsets int64, bytes uint8): each sum in canonical form: base int16, sign and flags uint16, limbs uint32."""
        cdef int64_t g, at
        cdef int k
        cdef exact_big big
        cdef uint16_t flags
        cdef int16_t base
        cdef uint32_t digit
        cdef int64_t[::1] offsets
        cdef uint8_t[::1] data
        all_offsets = np.zeros(self.sums.groups + 1, np.int64)
        offsets = all_offsets
        with nogil:
            for g in range(self.sums.groups):
                exact_read(&self.sums, g, &big)
                offsets[g + 1] = offsets[g] + 4 + 4 * big.n
        all_data = np.empty(all_offsets[self.sums.groups], np.uint8)
        data = all_data
        with nogil:
            for g in range(self.sums.groups):
                exact_read(&self.sums, g, &big)
                at = offsets[g]
                base = <int16_t>big.base if big.n else 0
                flags = <uint16_t>(self.sums.acc[g].flags & 7) | (<uint16_t>EXACT_NEGATIVE if big.negative else 0)
                memcpy(&data[at], &base, 2)
                memcpy(&data[at + 2], &flags, 2)
                for k in range(big.n):
                    digit = <uint32_t>big.d[k]
                    memcpy(&data[at + 4 + 4 * k], &digit, 4)
        return all_offsets, all_data

    def add_bytes(self, const int32_t[::1] ids, const int64_t[::1] offsets, const uint8_t[::1] data):
        """Adds sums written by `to_bytes`: the i-th to group ids[i]."""
        cdef int64_t i, at, bad = -1
        cdef int k, limbs, failed = 0
        cdef uint16_t flags
        cdef int16_t base
        cdef uint32_t digit
        cdef exact_acc *acc
        if offsets.shape[0] != ids.shape[0] + 1 or offsets[ids.shape[0]] > data.shape[0]:
            raise ValueError("exact sums: offsets do not fit the ids and the data")
        with nogil:
            for i in range(ids.shape[0]):
                at = offsets[i]
                limbs = <int>((offsets[i + 1] - at - 4) // 4)
                if limbs < 0 or ids[i] < 0 or ids[i] >= self.sums.groups:
                    bad = i
                    break
                acc = &self.sums.acc[ids[i]]
                memcpy(&base, &data[at], 2)
                memcpy(&flags, &data[at + 2], 2)
                if base < 0 or base + limbs >= EXACT_LIMBS:
                    bad = i
                    break
                acc.flags |= flags & 7
                for k in range(limbs):
                    memcpy(&digit, &data[at + 4 + 4 * k], 4)
                    if digit:
                        failed |= exact_add_part(&self.sums, acc, digit, 32 * (base + k),
                                                 1 if flags & EXACT_NEGATIVE else 0)
        self._check(failed)
        if bad >= 0:
            raise ValueError(f"exact sums: row {bad} is damaged")


def variances(ExactSums sums, ExactSums squares, const int64_t[::1] counts, int64_t ddof, bint odd=False):
    """float64 per group: (sum(x^2) - sum(x)^2 / n) / (n - ddof), correctly rounded (`odd` as in means); 0 where
    counts <= ddof."""
    cdef int64_t g
    cdef double[::1] out
    if not (sums.sums.groups == squares.sums.groups == counts.shape[0]) or ddof < 0:
        raise ValueError("variances need sums, squares and counts of the same groups, and ddof >= 0")
    result = np.zeros(sums.sums.groups, np.float64)
    out = result
    with nogil:
        for g in range(sums.sums.groups):
            if counts[g] > ddof:
                out[g] = exact_variance(&sums.sums, &squares.sums, g, <uint64_t>counts[g],
                                        <uint64_t>(counts[g] - ddof), odd)
    return result


def ratios(const uint64_t[:, ::1] sums, const int64_t[::1] divisors):
    """float64 per row: the 128-bit integer (low, high) divided by divisors[row], correctly rounded; 0 for divisor 0."""
    cdef int64_t g
    cdef double[::1] out
    if sums.shape[0] != divisors.shape[0] or sums.shape[1] != 2:
        raise ValueError(f"{sums.shape[0]} sums for {divisors.shape[0]} divisors")
    result = np.zeros(sums.shape[0], np.float64)
    out = result
    with nogil:
        for g in range(sums.shape[0]):
            if divisors[g] > 0:
                out[g] = exact_ratio128(sums[g, 0], <int64_t>sums[g, 1], <uint64_t>divisors[g])
    return result

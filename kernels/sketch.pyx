# distutils: language = c
"""Sketches: HyperLogLog registers per group, hashes of values, and the buckets of approximate quantiles."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

import numpy as np


cdef extern from "intern.h" nogil:
    uint64_t hpckit_hash_bytes(const uint8_t *p, int64_t n)


cdef extern from "sketch.h" nogil:
    ctypedef struct hll_slot:
        uint64_t hash
        int64_t group
    ctypedef struct hll_sketches:
        int64_t groups
        int64_t capacity
        int32_t *dense
        int32_t *filled
        uint8_t *registers
        int64_t dense_capacity
        hll_slot *slots
        uint64_t mask
    int HLL_REGISTERS
    int HLL_RANK_MAX
    int HLL_EMPTY
    void hll_free(hll_sketches *s)
    int hll_resize(hll_sketches *s, int64_t groups)
    int hll_rehash(hll_sketches *s)
    int hll_add(hll_sketches *s, int64_t group, uint64_t hash)
    int hll_add_mixed(hll_sketches *s, int64_t group, uint64_t h)
    int hll_merge_registers(hll_sketches *s, int64_t group, const uint8_t *other)
    double hll_estimate(const int32_t *histogram)


cdef class HyperLogLogs:
    """Distinct-count sketches of many groups, exact up to 512 different values. Merging unites sets of hashes or takes
    the maximum of registers, so order is of no account."""

    cdef hll_sketches sketches

    def __dealloc__(self):
        hll_free(&self.sketches)

    def __len__(self):
        return self.sketches.groups

    @property
    def nbytes(self):
        """Memory held, bytes."""
        slots = <int64_t>(self.sketches.mask + 1) * sizeof(hll_slot) if self.sketches.slots is not NULL else 0
        return self.sketches.capacity * 8 + self.sketches.dense_capacity * HLL_REGISTERS + slots

    def resize(self, int64_t groups):
        """Room for `groups` groups; new ones are empty."""
        if hll_resize(&self.sketches, groups):
            raise MemoryError(f"no memory for distinct-count sketches of {groups} groups")

    def add(self, const int32_t[::1] ids, const uint64_t[::1] hashes, const uint8_t[::1] use=None):
        """Adds the value with hash hashes[i] to group ids[i], where use[i] if `use` is given."""
        cdef int64_t i, n = ids.shape[0]
        cdef int failed = 0
        if hashes.shape[0] != n or (use is not None and use.shape[0] != n):
            raise ValueError(f"{n} group ids for {hashes.shape[0]} hashes")
        with nogil:
            for i in range(n):
                if use is None or use[i]:
                    failed |= hll_add(&self.sketches, ids[i], hashes[i])
        self._check(failed)

    def add_coded(self, const int32_t[::1] ids, const int32_t[::1] codes, const uint64_t[::1] hashes,
                  const uint8_t[::1] use=None):
        """As `add`, with hashes[codes[i]]; rows with code -1 (NULL) are passed over."""
        cdef int64_t i, n = ids.shape[0], size = hashes.shape[0], bad = -1
        cdef int failed = 0
        if codes.shape[0] != n or (use is not None and use.shape[0] != n):
            raise ValueError(f"{n} group ids for {codes.shape[0]} codes")
        with nogil:
            for i in range(n):
                if codes[i] < 0 or (use is not None and not use[i]):
                    continue
                if codes[i] >= size:
                    bad = i
                    break
                failed |= hll_add(&self.sketches, ids[i], hashes[codes[i]])
        if bad >= 0:
            raise IndexError(f"row {bad}: code {codes[bad]} in a dictionary of {size} entries")
        self._check(failed)

    def _check(self, int failed):
        if failed:
            raise MemoryError(f"no memory for distinct-count sketches of {self.sketches.groups} groups")

    def estimates(self):
        """float64 number of different values of each group, estimated where there are many."""
        cdef int64_t g, i, n = self.sketches.groups
        cdef int32_t[::1] counts
        cdef double[::1] out
        cdef const uint8_t *row
        self._settle()
        histogram = np.zeros(HLL_RANK_MAX + 1, np.int32)
        result = np.zeros(n, np.float64)
        counts, out = histogram, result
        with nogil:
            for g in range(n):
                if self.sketches.dense[g] < 0:
                    out[g] = self.sketches.filled[g]
                    continue
                counts[:] = 0
                row = self.sketches.registers + <int64_t>self.sketches.dense[g] * HLL_REGISTERS
                for i in range(HLL_REGISTERS):
                    counts[row[i]] += 1
                out[g] = hll_estimate(&counts[0])
        return result

    def _settle(self):
        """After this no dense group has sparse entries."""
        if self.sketches.slots is not NULL:
            self._check(hll_rehash(&self.sketches))

    def to_bytes(self):
        """(offsets int64, bytes uint8): per group all registers, or the 8 bytes of each hash."""
        cdef int64_t g, at, n = self.sketches.groups
        cdef uint64_t slot
        cdef int64_t[::1] offsets, ends
        cdef uint8_t[::1] data
        self._settle()
        all_offsets = np.zeros(n + 1, np.int64)
        offsets = all_offsets
        for g in range(n):
            at = HLL_REGISTERS if self.sketches.dense[g] >= 0 else 8 * self.sketches.filled[g]
            offsets[g + 1] = offsets[g] + at
        all_data = np.empty(offsets[n], np.uint8)
        data, ends = all_data, all_offsets[:n].copy()
        with nogil:
            for g in range(n):
                if self.sketches.dense[g] >= 0:
                    memcpy(&data[offsets[g]],
                           self.sketches.registers + <int64_t>self.sketches.dense[g] * HLL_REGISTERS, HLL_REGISTERS)
            if self.sketches.slots is not NULL:
                for slot in range(self.sketches.mask + 1):
                    g = self.sketches.slots[slot].group
                    if g != HLL_EMPTY:
                        at = ends[g]
                        ends[g] = at + 8
                        memcpy(&data[at], &self.sketches.slots[slot].hash, 8)
        return all_offsets, all_data

    def add_bytes(self, const int32_t[::1] ids, const int64_t[::1] offsets, const uint8_t[::1] data):
        """Merges sketches written by `to_bytes`: the i-th into group ids[i]."""
        cdef int64_t i, k, at, size, bad = -1
        cdef int failed = 0
        cdef uint64_t h
        if offsets.shape[0] != ids.shape[0] + 1 or offsets[ids.shape[0]] > data.shape[0]:
            raise ValueError("distinct-count sketches: offsets do not fit the ids and the data")
        with nogil:
            for i in range(ids.shape[0]):
                at, size = offsets[i], offsets[i + 1] - offsets[i]
                if ids[i] < 0 or ids[i] >= self.sketches.groups or (size != HLL_REGISTERS and size % 8):
                    bad = i
                    break
                if size == HLL_REGISTERS:
                    failed |= hll_merge_registers(&self.sketches, ids[i], &data[at])
                    continue
                for k in range(size // 8):
                    memcpy(&h, &data[at + 8 * k], 8)
                    failed |= hll_add_mixed(&self.sketches, ids[i], h)
        if bad >= 0:
            raise ValueError(f"distinct-count sketches: row {bad} is damaged")


def hash_strings(const int64_t[::1] offsets, const uint8_t[::1] data, uint64_t[::1] out):
    """out[i] = the 64-bit hash of string i of (offsets, data), the same as Interner.hashes() gives."""
    cdef int64_t i
    cdef const uint8_t *base = &data[0] if data.shape[0] else NULL
    if offsets.shape[0] != out.shape[0] + 1:
        raise ValueError(f"{offsets.shape[0]} offsets for {out.shape[0]} strings")
    with nogil:
        for i in range(out.shape[0]):
            out[i] = hpckit_hash_bytes(base + offsets[i], offsets[i + 1] - offsets[i])


def bucket_numbers(const double[::1] values, int64_t[::1] out, int shift, int64_t subnormal, int64_t not_a_number):
    """Bucket of each double: sign and leading bits (64 - shift of them), see hpckit/aggregates/buckets.py.

    `subnormal` is what 2^64 adds to the leading bits; NaN goes to bucket `not_a_number`.
    """
    cdef int64_t i, bits, index
    cdef double size
    if values.shape[0] != out.shape[0]:
        raise ValueError(f"room for {out.shape[0]} buckets, expected {values.shape[0]}")
    with nogil:
        for i in range(values.shape[0]):
            size = values[i] if values[i] > 0 else -values[i]
            if size != size:
                out[i] = not_a_number
                continue
            if size < 2.2250738585072014e-308:
                size = size * 18446744073709551616.0
                memcpy(&bits, &size, 8)
                index = bits >> shift if size > 0 else 0
            else:
                memcpy(&bits, &size, 8)
                index = (bits >> shift) + subnormal
            out[i] = -index if values[i] < 0 else index

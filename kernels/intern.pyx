# distutils: language = c
"""String dictionaries: bytes to dense int32 codes, shared by scans, group tables and expression caches."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


cdef extern from "intern.h" nogil:
    ctypedef struct intern_table:
        uint8_t *data
        int64_t data_capacity
        int64_t *offsets
        uint64_t *hashes
        int64_t count
        int64_t capacity
        int64_t max_entries
        int64_t max_bytes
        uint64_t mask
    int INTERN_FULL
    intern_table *intern_new(int64_t max_entries, int64_t max_bytes)
    void intern_free(intern_table *table)
    int intern_make_room(intern_table *table, int64_t entries)
    int32_t intern_find(intern_table *table, const uint8_t *p, int64_t n, uint64_t hash)
    int32_t intern_add(intern_table *table, const uint8_t *p, int64_t n, uint64_t hash)
    void intern_prefetch(const intern_table *table, uint64_t hash)
    uint64_t hpckit_hash_bytes(const uint8_t *p, int64_t n)
    int hpckit_same_bytes(const uint8_t *a, const uint8_t *b, int64_t n)


cdef enum:
    TOGETHER = 64  # strings hashed, and their slots asked for, before the first is looked up
    AHEAD = 16  # entries between asking for a slot's cache line and reading it


cdef int _intern_all(intern_table *table, const uint8_t *data, const int64_t[::1] offsets, const uint8_t[::1] valid,
                     int32_t[::1] codes) noexcept nogil:
    """Codes of all strings (data, offsets), -1 where `valid` (empty: all valid) is 0; a negative status on failure."""
    cdef Py_ssize_t i, begin, end = 0
    cdef int64_t length
    cdef int32_t code
    cdef uint64_t hashes[TOGETHER]
    cdef bint masked = valid.shape[0] > 0
    while end < codes.shape[0]:
        begin, end = end, min(end + TOGETHER, codes.shape[0])
        for i in range(begin, end):
            if not masked or valid[i]:
                hashes[i - begin] = hpckit_hash_bytes(data + offsets[i], offsets[i + 1] - offsets[i])
                intern_prefetch(table, hashes[i - begin])
        for i in range(begin, end):
            if masked and not valid[i]:
                codes[i] = -1
                continue
            length = offsets[i + 1] - offsets[i]
            code = intern_find(table, data + offsets[i], length, hashes[i - begin])
            if code < 0:
                code = intern_add(table, data + offsets[i], length, hashes[i - begin])
                if code < 0:
                    return code
            codes[i] = code
    return 0


cdef int _intern_entries(intern_table *table, const intern_table *other, const int32_t[::1] entries,
                         int32_t[::1] codes) noexcept nogil:
    """As _intern_all for entries of another table, whose hashes are known; a negative status on failure."""
    cdef Py_ssize_t i
    cdef int32_t code, entry
    cdef int64_t begin
    for i in range(entries.shape[0]):
        if i + AHEAD < entries.shape[0]:
            intern_prefetch(table, other.hashes[entries[i + AHEAD]])
        entry = entries[i]
        begin = other.offsets[entry]
        code = intern_find(table, other.data + begin, other.offsets[entry + 1] - begin, other.hashes[entry])
        if code < 0:
            code = intern_add(table, other.data + begin, other.offsets[entry + 1] - begin, other.hashes[entry])
            if code < 0:
                return code
        codes[i] = code
    return 0


def string_buffers(array):
    """(offsets int64, bytes uint8, valid uint8 or empty) of an Arrow string or binary array, NumPy views or copies."""
    n = len(array)
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    if not (wide or pa.types.is_string(array.type) or pa.types.is_binary(array.type)):
        raise TypeError(f"expected strings, got {array.type}")
    buffers = array.buffers()
    if n == 0 or buffers[1] is None:
        offsets = np.zeros(n + 1, np.int64)
    else:
        offsets = np.frombuffer(buffers[1], np.int64 if wide else np.int32)[array.offset:array.offset + n + 1]
        offsets = np.ascontiguousarray(offsets, np.int64)
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] is not None else np.zeros(0, np.uint8)
    if array.null_count:
        valid = np.asarray(array.is_valid().cast(pa.uint8()))
    else:
        valid = np.zeros(0, np.uint8)
    return offsets, data, valid


cdef class Interner:
    """Distinct byte strings in order of first sight.

    With grow=True (an operator's own dictionary) the limits do not apply; else `intern` raises MemoryError at
    `max_entries` or `max_bytes`, and the scan kernel stops and asks for a fresh one.
    """

    cdef intern_table *table
    cdef object _arrow
    cdef readonly bint grow

    def __cinit__(self, max_entries=1 << 20, max_bytes=64 << 20, grow=True):
        self.grow = grow
        limit = 0x7ffffffe
        self.table = intern_new(limit if grow else max_entries, (1 << 62) if grow else max_bytes)
        if self.table is NULL:
            raise MemoryError("no memory for a string dictionary")

    def __dealloc__(self):
        intern_free(self.table)

    def __len__(self):
        return self.table.count

    @property
    def pointer(self):
        """Address of the C table, for kernels that include intern.h."""
        return <size_t>self.table

    @property
    def nbytes(self):
        """Memory held, bytes."""
        return self.table.data_capacity + self.table.capacity * 16 + <int64_t>(self.table.mask + 1) * 8

    @property
    def full(self):
        """Whether the limits leave no room for another entry of average size."""
        used = self.table.offsets[self.table.count]
        return self.table.count >= self.table.max_entries or used >= self.table.max_bytes

    def reserve(self, int64_t entries):
        """Makes room for `entries` more; a hint that spares rehashing. Raises MemoryError."""
        if self.grow and entries > 0 and intern_make_room(self.table, entries):
            raise MemoryError(f"no memory for {entries} more strings")

    def intern(self, strings):
        """Codes (int32) of an Arrow string array, adding what is new; NULL is -1."""
        if isinstance(strings, pa.ChunkedArray):
            strings = strings.combine_chunks()
        if pa.types.is_null(strings.type):
            return np.full(len(strings), -1, np.int32)
        offsets, data, valid = string_buffers(strings)
        codes = np.empty(len(strings), np.int32)
        self._fill(offsets, data, valid, codes)
        return codes

    def _fill(self, const int64_t[::1] offsets, const uint8_t[::1] data, const uint8_t[::1] valid, int32_t[::1] codes):
        cdef const uint8_t *base = &data[0] if data.shape[0] else NULL
        cdef int status
        with nogil:
            status = _intern_all(self.table, base, offsets, valid, codes)
        if status == INTERN_FULL:
            raise MemoryError(f"dictionary of {len(self)} entries is full")
        if status < 0:
            raise MemoryError("no memory to grow a string dictionary")

    def intern_coded(self, Interner other, start=0, stop=None):
        """Codes here (int32) of the entries start..stop of `other`, adding what is new."""
        stop = len(other) if stop is None else stop
        return self.intern_entries(other, np.arange(start, stop, dtype=np.int32))

    def intern_entries(self, Interner other, const int32_t[::1] entries):
        """Codes here (int32) of these entries of `other` (all >= 0), adding what is new; nothing is hashed again."""
        codes = np.empty(entries.shape[0], np.int32)
        if self is other:
            codes[:] = entries
            return codes
        self._fill_entries(other, entries, codes)
        return codes

    def _fill_entries(self, Interner other, const int32_t[::1] entries, int32_t[::1] codes):
        cdef int status
        with nogil:
            status = _intern_entries(self.table, other.table, entries, codes)
        if status == INTERN_FULL:
            raise MemoryError(f"dictionary of {len(self)} entries is full")
        if status < 0:
            raise MemoryError("no memory to grow a string dictionary")

    def find(self, bytes value):
        """Code of `value`, -1 if it is not an entry."""
        cdef const uint8_t *p = value
        return intern_find(self.table, p, len(value), hpckit_hash_bytes(p, len(value)))

    def offsets(self):
        """Offsets (int64, len + 1) into `data()`; valid until the next insertion."""
        return <int64_t[:self.table.count + 1]>self.table.offsets

    def data(self):
        """Bytes of all entries; valid until the next insertion."""
        used = self.table.offsets[self.table.count]
        return <uint8_t[:used]>self.table.data if used else np.zeros(0, np.uint8)

    def hashes(self):
        """64-bit hashes of the entries (uint64 copy): a function of the bytes alone."""
        cdef uint64_t[::1] view
        out = np.empty(self.table.count, np.uint64)
        if self.table.count:
            view = out
            memcpy(&view[0], self.table.hashes, <size_t>self.table.count * 8)
        return out

    def arrow(self, start=0, stop=None):
        """Entries start..stop as an Arrow string array (large_string beyond 2 GiB); a copy, cached for the whole."""
        stop = len(self) if stop is None else stop
        whole = start == 0 and stop == len(self)
        if whole and self._arrow is not None and len(self._arrow) == stop:
            return self._arrow
        offsets = np.array(self.offsets()[start:stop + 1])
        first, last = int(offsets[0]), int(offsets[stop - start])
        data = np.asarray(self.data())[first:last].tobytes()
        offsets -= first
        wide = last - first > 0x7fffffff
        kind = pa.large_string() if wide else pa.string()
        offsets = offsets if wide else offsets.astype(np.int32)
        result = pa.Array.from_buffers(kind, stop - start, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
        if whole:
            self._arrow = result
        return result

    def rank(self):
        """Rank (int32) of each entry in bytewise order."""
        order = pc.sort_indices(self.arrow().cast(pa.large_binary()))
        rank = np.empty(len(self), np.int32)
        rank[np.asarray(order)] = np.arange(len(self), dtype=np.int32)
        return rank


def same_bytes(bytes a, bytes b):
    """The kernels' comparison of two strings of one length, for tests."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} bytes and {len(b)}")
    return bool(hpckit_same_bytes(a, b, len(a)))

# distutils: language = c
"""k-way merge of sorted fixed-length records."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np


cdef extern from "merge.h" nogil:
    ctypedef struct rec_shape:
        int64_t record
        int64_t key
    ctypedef struct merge_state:
        int64_t k
        const uint8_t **at
        const uint8_t **end
        uint64_t *words
        int32_t *losers
        rec_shape shape
    void merge_start(merge_state *m)
    int64_t merge_fill(merge_state *m, uint8_t *out, int64_t room, uint64_t *sum)


cdef class Merger:
    """Merges buffers of ascending records; ties go by the order of the buffers, which must not change meanwhile."""

    cdef merge_state state
    cdef list kept
    cdef uint64_t[::1] at, end, words
    cdef int32_t[::1] losers
    cdef uint64_t total

    def __init__(self, pieces, int64_t record, int64_t key):
        cdef const uint8_t[::1] piece
        cdef int64_t i
        self.kept = [piece for piece in pieces if len(piece)]
        if not 1 <= key <= record or any(len(piece) % record for piece in self.kept):
            raise ValueError(f"pieces of {[len(p) for p in self.kept]} bytes, records of {record}, keys of {key}")
        k = len(self.kept)
        self.at, self.end = np.zeros(k + 1, np.uint64), np.zeros(k + 1, np.uint64)
        self.words, self.losers = np.zeros(k + 1, np.uint64), np.zeros(k + 1, np.int32)
        for i in range(k):
            piece = self.kept[i]
            self.at[i] = <uint64_t> &piece[0]
            self.end[i] = <uint64_t> (&piece[0] + piece.shape[0])
        self.state.k, self.state.shape.record, self.state.shape.key = k, record, key
        self.state.at, self.state.end = <const uint8_t **> &self.at[0], <const uint8_t **> &self.end[0]
        self.state.words, self.state.losers = &self.words[0], &self.losers[0]
        merge_start(&self.state)

    @property
    def checksum(self):
        """Sum of the hashes of the records given out so far."""
        return self.total

    def fill(self, uint8_t[::1] out):
        """The next records in order into `out`, as many as there are and fit; returns how many."""
        cdef int64_t done = 0, room = out.shape[0] // self.state.shape.record
        if room and self.state.k:
            with nogil:
                done = merge_fill(&self.state, &out[0], room, &self.total)
        return done

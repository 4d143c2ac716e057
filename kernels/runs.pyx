# distutils: language = c
"""(group, value) rows collected, sorted, counted and merged: what exact quantiles keep when values hardly repeat."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np


cdef extern from "runs.h" nogil:
    ctypedef struct runs_source:
        const int32_t *ids
        const int64_t *words
        const int64_t *counts
        int64_t n
    ctypedef struct runs_target:
        int32_t *ids
        int64_t *words
        int64_t *counts
        int64_t n
    uint64_t *runs_sort(uint64_t *keys, uint64_t *spare, int64_t n, int width)
    int runs_pack(const int32_t *ids, const int64_t *words, int64_t n, uint64_t *keys, int64_t *low, int *width)
    int runs_sort_pairs(uint64_t *keys, int32_t *ids, uint64_t *spare_keys, int32_t *spare_ids, int64_t n, int width)
    int64_t runs_count_pairs(const uint64_t *keys, const int32_t *ids, int64_t n, int64_t low, int32_t *out_ids,
                             int64_t *words, int64_t *counts)
    int64_t runs_unpack(const uint64_t *keys, int64_t n, int64_t low, int width, int32_t *ids, int64_t *words,
                        int64_t *counts)
    int64_t runs_first(const int64_t *words, int64_t begin, int64_t end, int64_t word)
    void runs_merge(const runs_source *x, const runs_source *y, runs_target *out)


cdef class PairBuffer:
    """Room for `capacity` (group id, word) rows; `drain` gives them sorted, equal ones counted."""

    cdef readonly int64_t capacity
    cdef int64_t filled
    cdef int32_t[::1] ids, spare_ids
    cdef int64_t[::1] words
    cdef uint64_t[::1] keys, spare

    def __cinit__(self, int64_t capacity):
        if capacity < 1:
            raise ValueError(f"a buffer of {capacity} values, expected at least 1")
        self.capacity = capacity
        self.ids, self.spare_ids = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
        self.words = np.empty(capacity, np.int64)
        self.keys, self.spare = np.empty(capacity, np.uint64), np.empty(capacity, np.uint64)

    def __len__(self):
        return self.filled

    @property
    def nbytes(self):
        """Memory held, bytes."""
        return self.capacity * 32

    def add(self, const int32_t[::1] ids, const int64_t[::1] words, const uint8_t[::1] use, int64_t start):
        """Takes rows from `start` on (those in use) until the buffer is full; returns the first row not looked at."""
        cdef int64_t i = start, n = ids.shape[0], filled = self.filled
        if words.shape[0] != n or (use is not None and use.shape[0] != n) or start < 0:
            raise ValueError(f"{n} group ids for {words.shape[0]} values")
        with nogil:
            while i < n and filled < self.capacity:
                self.ids[filled] = ids[i]
                self.words[filled] = words[i]
                filled += use is None or use[i] != 0
                i += 1
        self.filled = filled
        return i

    def drain(self):
        """(ids int32, words int64, counts int64), ascending by (id, word), each pair once; empties the buffer."""
        cdef int64_t left, low = 0, n = self.filled
        cdef int width = 0, bits
        cdef int32_t[::1] ids
        cdef int64_t[::1] words, counts
        cdef uint64_t *sorted_keys
        with nogil:
            bits = runs_pack(&self.ids[0], &self.words[0], n, &self.keys[0], &low, &width)
        self.filled = 0
        all_ids, all_words, all_counts = np.empty(n + 1, np.int32), np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
        ids, words, counts = all_ids, all_words, all_counts
        with nogil:
            if bits >= 0:
                sorted_keys = runs_sort(&self.keys[0], &self.spare[0], n, bits)
                left = runs_unpack(sorted_keys, n, low, width, &ids[0], &words[0], &counts[0])
            elif runs_sort_pairs(&self.keys[0], &self.ids[0], &self.spare[0], &self.spare_ids[0], n, width):
                left = runs_count_pairs(&self.spare[0], &self.spare_ids[0], n, low, &ids[0], &words[0], &counts[0])
            else:
                left = runs_count_pairs(&self.keys[0], &self.ids[0], n, low, &ids[0], &words[0], &counts[0])
        return _kept(all_ids, all_words, all_counts, left)


def _kept(ids, words, counts, left):
    """The first `left` rows; copies if that gives back much memory."""
    if 4 * left > 3 * len(ids):
        return ids[:left], words[:left], counts[:left]
    return ids[:left].copy(), words[:left].copy(), counts[:left].copy()


def merge_runs(first, second):
    """One run (ids, words, counts) of two, each ascending by (id, word) without repetitions; counts are added."""
    cdef const int32_t[::1] ids_x = first[0], ids_y = second[0]
    cdef const int64_t[::1] words_x = first[1], words_y = second[1], counts_x = first[2], counts_y = second[2]
    cdef int32_t[::1] ids
    cdef int64_t[::1] words, counts
    cdef runs_source x, y
    cdef runs_target out
    x.n, y.n = ids_x.shape[0], ids_y.shape[0]
    if not (words_x.shape[0] == counts_x.shape[0] == x.n and words_y.shape[0] == counts_y.shape[0] == y.n):
        raise ValueError("a run needs as many words and counts as ids")
    if x.n == 0 or y.n == 0:
        return second if x.n == 0 else first
    total = x.n + y.n
    all_ids, all_words, all_counts = np.empty(total, np.int32), np.empty(total, np.int64), np.empty(total, np.int64)
    ids, words, counts = all_ids, all_words, all_counts
    x.ids, x.words, x.counts = &ids_x[0], &words_x[0], &counts_x[0]
    y.ids, y.words, y.counts = &ids_y[0], &words_y[0], &counts_y[0]
    out.ids, out.words, out.counts, out.n = &ids[0], &words[0], &counts[0], 0
    with nogil:
        runs_merge(&x, &y, &out)
    return _kept(all_ids, all_words, all_counts, out.n)


def count_below(run, const int64_t[::1] begin, const int64_t[::1] end, const int64_t[::1] base,
                const int64_t[:, ::1] pivots, int64_t[:, ::1] counts):
    """counts[t, j] += rows of the run (words, sums) from base[t] on whose word is less than pivots[t, j].

    They end in begin[t] … end[t], where words ascend; `sums` has the rows before each place of the run, and their
    total in the end. The pivots of a t ascend.
    """
    cdef const int64_t[::1] words = run[0], sums = run[1]
    cdef int64_t t, j, at
    _check_places(words.shape[0], begin, end)
    _check_places(words.shape[0], base, end)
    if pivots.shape[0] != begin.shape[0] or counts.shape[0] != begin.shape[0] or counts.shape[1] != pivots.shape[1]:
        raise ValueError(f"{pivots.shape[0]} rows of pivots for {begin.shape[0]} places")
    if sums.shape[0] != words.shape[0] + 1:
        raise ValueError(f"{sums.shape[0]} sums for {words.shape[0]} values")
    with nogil:
        for t in range(begin.shape[0]):
            at = begin[t]
            for j in range(pivots.shape[1]):
                at = runs_first(&words[0], at, end[t], pivots[t, j]) if at < end[t] else at
                counts[t, j] += sums[at] - sums[base[t]]


def narrow(run, int64_t[::1] begin, int64_t[::1] end, const int64_t[::1] low, const int64_t[::1] high):
    """begin[t] … end[t] become the part of them whose words lie in low[t] … high[t]."""
    cdef const int64_t[::1] words = run[0]
    cdef int64_t t
    _check_places(words.shape[0], begin, end)
    if low.shape[0] != begin.shape[0] or high.shape[0] != begin.shape[0]:
        raise ValueError(f"{low.shape[0]} limits for {begin.shape[0]} places")
    with nogil:
        for t in range(begin.shape[0]):
            if begin[t] < end[t]:
                begin[t] = runs_first(&words[0], begin[t], end[t], low[t])
            if begin[t] < end[t] and words[end[t] - 1] > high[t]:
                end[t] = runs_first(&words[0], begin[t], end[t], high[t] + 1)


cdef int _check_places(int64_t n, const int64_t[::1] begin, const int64_t[::1] end) except -1:
    cdef int64_t t
    if begin.shape[0] != end.shape[0]:
        raise ValueError(f"{begin.shape[0]} beginnings for {end.shape[0]} ends")
    for t in range(begin.shape[0]):
        if begin[t] < 0 or begin[t] > end[t] or end[t] > n:
            raise IndexError(f"places {begin[t]} … {end[t]} of a run of {n} rows")
    return 0

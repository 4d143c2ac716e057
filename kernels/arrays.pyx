# distutils: language = c
"""Loops over plain numbers: histograms of uniform bins, and of order-preserving words for selection."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

UNSIGNED, SIGNED, FLOAT = 0, 1, 2

cdef enum:
    KIND_UNSIGNED = 0
    KIND_SIGNED = 1
    KIND_FLOAT = 2

cdef uint64_t TOP = <uint64_t>1 << 63
cdef uint64_t INFINITE = <uint64_t>0x7ff0000000000000


cdef inline uint64_t word_of(uint64_t bits, int kind) noexcept nogil:
    """Words compare as the numbers do: -0 before +0, every NaN last."""
    if kind == KIND_UNSIGNED:
        return bits
    if kind == KIND_SIGNED:
        return bits ^ TOP
    if (bits & ~TOP) > INFINITE:
        return ~<uint64_t>0
    return bits ^ (<uint64_t>(<int64_t>bits >> 63) | TOP)


def words_of(const uint64_t[::1] bits, int kind, uint64_t[::1] out):
    """out[i] = the word of the number whose bits are bits[i]."""
    cdef int64_t i, n = bits.shape[0]
    if out.shape[0] != n:
        raise ValueError(f"{out.shape[0]} words for {n} numbers")
    with nogil:
        for i in range(n):
            out[i] = word_of(bits[i], kind)


def word_range(const uint64_t[::1] bits, int kind):
    """(least, greatest) word; (2^64 - 1, 0) of no numbers."""
    cdef int64_t i, n = bits.shape[0]
    cdef uint64_t w, low = ~<uint64_t>0, high = 0
    with nogil:
        for i in range(n):
            w = word_of(bits[i], kind)
            low = w if w < low else low
            high = w if w > high else high
    return low, high


def count_words(const uint64_t[::1] bits, int kind, uint64_t low, int shift, int64_t[::1] counts):
    """counts[(word - low) >> shift] += 1 for every word; one that falls outside raises ValueError."""
    cdef int64_t i, n = bits.shape[0], outside = 0
    cdef uint64_t bins = <uint64_t>counts.shape[0], at
    with nogil:
        for i in range(n):
            at = (word_of(bits[i], kind) - low) >> shift
            if at >= bins:
                outside += 1
                continue
            counts[at] += 1
    if outside:
        raise ValueError(f"{outside} words below {low} or beyond {bins} bins")


def pick_words(const uint64_t[::1] bits, int kind, uint64_t low, int shift, const uint8_t[::1] wanted,
               uint64_t[::1] out):
    """The words whose bin (word - low) >> shift is wanted, in their order, to `out`; returns how many."""
    cdef int64_t i, n = bits.shape[0], found = 0, room = out.shape[0]
    cdef uint64_t word, bins = <uint64_t>wanted.shape[0], at
    cdef int64_t lost = 0
    with nogil:
        for i in range(n):
            word = word_of(bits[i], kind)
            at = (word - low) >> shift
            if at < bins and wanted[at]:
                if found < room:
                    out[found] = word
                    found += 1
                else:
                    lost += 1
    if lost:
        raise ValueError(f"{lost} words more than there is room for")
    return found


def count_uniform(const double[::1] values, const double[::1] edges, int64_t[::1] counts):
    """counts[k] += 1 where edges[k] <= value < edges[k + 1] (the last bin takes its right edge), the edges being about
    equally far apart; values outside, and NaN, count nowhere."""
    cdef int64_t i, n = values.shape[0], bins = counts.shape[0], k
    cdef double v, first, last, scale
    if edges.shape[0] != bins + 1 or bins < 1:
        raise ValueError(f"{edges.shape[0]} edges for {bins} bins")
    first, last = edges[0], edges[bins]
    scale = bins / (last - first) if last > first else 0.0
    with nogil:
        for i in range(n):
            v = values[i]
            if not (v >= first and v <= last):
                continue
            k = <int64_t>((v - first) * scale)
            k = bins - 1 if k >= bins else k if k > 0 else 0
            while k > 0 and v < edges[k]:
                k -= 1
            while k < bins - 1 and v >= edges[k + 1]:
                k += 1
            counts[k] += 1

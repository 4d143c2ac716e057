# distutils: language = c
"""Reductions by group id: counts, 128-bit sums, extremes, first and last rows; and the order of doubles as integers.

`ids` are int32 group ids, `use` (uint8, or None for all) says which rows take part; every array of states has one
entry a group and is updated in place.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset


cdef int _check(int64_t n, const uint8_t[::1] use, int64_t values) except -1:
    """Raises ValueError unless `values` and `use` have one entry a row."""
    if values != n or (use is not None and use.shape[0] != n):
        raise ValueError(f"{n} group ids for {values} values")
    return 0


def expand_bits(const uint8_t[::1] bitmap, int64_t offset, uint8_t[::1] out):
    """out[i] = bit offset + i of an Arrow validity bitmap (least significant first)."""
    cdef int64_t i, at
    if offset < 0 or (offset + out.shape[0] + 7) // 8 > bitmap.shape[0]:
        raise ValueError(f"bits {offset} … {offset + out.shape[0]} of a bitmap of {bitmap.shape[0]} bytes")
    with nogil:
        for i in range(out.shape[0]):
            at = offset + i
            out[i] = (bitmap[at >> 3] >> (at & 7)) & 1


def order_doubles(const int64_t[::1] bits, int64_t[::1] out, bint equal_zeros):
    """Doubles (as their bits) to int64 of the same order: NaNs one and greatest; -0 below +0, or equal if asked."""
    cdef int64_t i, b, magnitude
    cdef int64_t infinity = <int64_t>0x7ff0000000000000
    cdef int64_t not_a_number = <int64_t>0x7ff8000000000000
    _check(bits.shape[0], None, out.shape[0])
    with nogil:
        for i in range(bits.shape[0]):
            b = bits[i]
            magnitude = b & INT64_MAX
            if magnitude > infinity:
                b = not_a_number
            elif b < 0:
                b = b ^ INT64_MAX
                if equal_zeros and magnitude == 0:
                    b = 0
            out[i] = b


cdef enum:
    LANES = 4  # neighbouring rows mostly have one group: on its own counter each, none waits for the one before
    LANE_GROUPS = 1024
    LANE_ROWS = 1 << 15  # so many values of 47 bits add up to an int64


cdef void _count_lanes(const int32_t[::1] ids, const uint8_t[::1] use, int64_t[::1] counts) noexcept nogil:
    """count_rows for at most LANE_GROUPS groups."""
    cdef int64_t lanes[LANES * LANE_GROUPS]
    cdef int64_t i, lane, n = ids.shape[0], groups = counts.shape[0]
    memset(lanes, 0, <size_t>(LANES * groups) * sizeof(int64_t))
    if use is None:
        for i in range(n):
            lanes[(i & (LANES - 1)) * groups + ids[i]] += 1
    else:
        for i in range(n):
            lanes[(i & (LANES - 1)) * groups + ids[i]] += use[i] != 0
    for lane in range(LANES):
        for i in range(groups):
            counts[i] += lanes[lane * groups + i]


def count_rows(const int32_t[::1] ids, const uint8_t[::1] use, int64_t[::1] counts):
    """counts[g] += number of rows of group g."""
    cdef int64_t i, total = 0, n = ids.shape[0]
    _check(n, use, n)
    with nogil:
        if counts.shape[0] == 1:
            if use is None:
                total = n
            else:
                for i in range(n):
                    total += use[i] != 0
            counts[0] += total
        elif counts.shape[0] <= LANE_GROUPS and counts.shape[0] * LANES <= n:
            _count_lanes(ids, use, counts)
        elif use is None:
            for i in range(n):
                counts[ids[i]] += 1
        else:
            for i in range(n):
                counts[ids[i]] += use[i] != 0


def add_counts(const int32_t[::1] ids, const int64_t[::1] more, int64_t[::1] counts):
    """counts[ids[i]] += more[i]."""
    cdef int64_t i
    _check(ids.shape[0], None, more.shape[0])
    with nogil:
        for i in range(ids.shape[0]):
            counts[ids[i]] += more[i]


cdef inline void _add128(uint64_t[:, ::1] sums, int64_t group, uint64_t low, uint64_t high) noexcept nogil:
    cdef uint64_t before = sums[group, 0]
    sums[group, 0] = before + low
    sums[group, 1] += high + (before + low < before)


cdef bint _sum_lanes(const int32_t[::1] ids, const int64_t[::1] values, const uint8_t[::1] use,
                     uint64_t[:, ::1] sums) noexcept nogil:
    """sum_integers for at most LANE_GROUPS groups and LANE_ROWS rows; False (and nothing done) if values are large."""
    cdef int64_t lanes[LANES * LANE_GROUPS]
    cdef int64_t i, lane, n = ids.shape[0], groups = sums.shape[0], total
    cdef uint64_t wide = 0
    for i in range(n):
        wide |= <uint64_t>(values[i] ^ (values[i] >> 63))
    if wide >> 47:
        return False
    memset(lanes, 0, <size_t>(LANES * groups) * sizeof(int64_t))
    if use is None:
        for i in range(n):
            lanes[(i & (LANES - 1)) * groups + ids[i]] += values[i]
    else:
        for i in range(n):
            lanes[(i & (LANES - 1)) * groups + ids[i]] += values[i] if use[i] else 0
    for i in range(groups):
        total = 0
        for lane in range(LANES):
            total += lanes[lane * groups + i]
        _add128(sums, i, <uint64_t>total, <uint64_t>(total >> 63))
    return True


def sum_integers(const int32_t[::1] ids, const int64_t[::1] values, const uint8_t[::1] use, uint64_t[:, ::1] sums):
    """sums[g] += values of group g, as 128-bit two's complement (low, high)."""
    cdef int64_t i, n = ids.shape[0]
    cdef uint64_t low = 0, high = 0, value
    _check(n, use, values.shape[0])
    with nogil:
        if sums.shape[0] == 1:
            for i in range(n):
                if use is None or use[i]:
                    value = <uint64_t>values[i]
                    low += value
                    high += (low < value) + <uint64_t>(values[i] >> 63)
            _add128(sums, 0, low, high)
        elif (sums.shape[0] <= LANE_GROUPS and sums.shape[0] * LANES <= n <= LANE_ROWS
                and _sum_lanes(ids, values, use, sums)):
            pass
        elif use is None:
            for i in range(n):
                _add128(sums, ids[i], <uint64_t>values[i], <uint64_t>(values[i] >> 63))
        else:
            for i in range(n):
                if use[i]:
                    _add128(sums, ids[i], <uint64_t>values[i], <uint64_t>(values[i] >> 63))


def add_sums(const int32_t[::1] ids, const uint64_t[::1] low, const uint64_t[::1] high, uint64_t[:, ::1] sums):
    """sums[ids[i]] += (low[i], high[i]), 128-bit."""
    cdef int64_t i
    _check(ids.shape[0], None, low.shape[0])
    _check(ids.shape[0], None, high.shape[0])
    with nogil:
        for i in range(ids.shape[0]):
            _add128(sums, ids[i], low[i], high[i])


def keep_extremes(const int32_t[::1] ids, const int64_t[::1] words, const uint8_t[::1] use, int64_t[::1] best,
                  bint largest):
    """best[g] = the smallest (largest) of best[g] and the words of group g."""
    cdef int64_t i, n = ids.shape[0]
    cdef int64_t flip = -1 if largest else 0
    _check(n, use, words.shape[0])
    # complementing reverses the order without overflow: the largest x is the smallest ~x
    with nogil:
        for i in range(n):
            if (use is None or use[i]) and (words[i] ^ flip) < (best[ids[i]] ^ flip):
                best[ids[i]] = words[i]


def keep_edges(const int32_t[::1] ids, const int64_t[::1] positions, const uint8_t[::1] use, int64_t[::1] best,
               int64_t[::1] rows, bint last):
    """The first (last) row of each group: where positions[i] beats best[g], best[g] = it and rows[g] = i."""
    cdef int64_t i, n = ids.shape[0]
    cdef int64_t flip = -1 if last else 0
    _check(n, use, positions.shape[0])
    _check(best.shape[0], None, rows.shape[0])
    with nogil:
        for i in range(n):
            if (use is None or use[i]) and (positions[i] ^ flip) < (best[ids[i]] ^ flip):
                best[ids[i]] = positions[i]
                rows[ids[i]] = i


cdef inline int _compare(const uint8_t[::1] data, const int64_t[::1] offsets, int64_t a, int64_t b) noexcept nogil:
    """Bytewise order of entries a and b: negative, zero or positive."""
    cdef int64_t size_a = offsets[a + 1] - offsets[a]
    cdef int64_t size_b = offsets[b + 1] - offsets[b]
    cdef int64_t common = size_a if size_a < size_b else size_b
    cdef int order = memcmp(&data[offsets[a]], &data[offsets[b]], <size_t>common) if common else 0
    if order:
        return order
    return (size_a > size_b) - (size_a < size_b)


def keep_extreme_strings(const int32_t[::1] ids, const int32_t[::1] codes, const uint8_t[::1] use,
                         const int64_t[::1] offsets, const uint8_t[::1] data, int32_t[::1] best, bint largest):
    """best[g] = code of the smallest (largest) string of group g among best[g] (-1: none) and its rows.

    Codes are entries of (offsets, data); rows with code -1 (NULL) are passed over.
    """
    cdef int64_t i, n = ids.shape[0]
    cdef int32_t held
    cdef int order
    _check(n, use, codes.shape[0])
    with nogil:
        for i in range(n):
            if codes[i] < 0 or (use is not None and not use[i]):
                continue
            held = best[ids[i]]
            if held == codes[i]:
                continue
            if held >= 0:
                order = _compare(data, offsets, codes[i], held)
                if order == 0 or (order > 0) != largest:
                    continue
            best[ids[i]] = codes[i]


def take_strings(const int64_t[::1] offsets, const uint8_t[::1] data, const int32_t[::1] codes, int64_t[::1] starts,
                 uint8_t[::1] out):
    """Entries `codes` (all >= 0) of (offsets, data), one after another.

    Called twice: with an empty `out` it fills `starts` (len(codes) + 1 offsets), then it copies the bytes.
    """
    cdef int64_t i, size, at
    cdef bint bad = False
    if starts.shape[0] != codes.shape[0] + 1:
        raise ValueError(f"{starts.shape[0]} offsets for {codes.shape[0]} strings")
    if out.shape[0] == 0:
        starts[0] = 0
        with nogil:
            for i in range(codes.shape[0]):
                if codes[i] < 0 or codes[i] >= offsets.shape[0] - 1:
                    bad = True
                    break
                starts[i + 1] = starts[i] + offsets[codes[i] + 1] - offsets[codes[i]]
        if bad:
            raise IndexError(f"row {i}: code {codes[i]} in a dictionary of {offsets.shape[0] - 1} entries")
        return
    if out.shape[0] < starts[codes.shape[0]]:
        raise ValueError(f"room for {out.shape[0]} bytes, expected {starts[codes.shape[0]]}")
    with nogil:
        for i in range(codes.shape[0]):
            at = offsets[codes[i]]
            size = offsets[codes[i] + 1] - at
            if size:
                memcpy(&out[starts[i]], &data[at], <size_t>size)


def pack_pairs(const int32_t[::1] ids, const int64_t[::1] words, const uint8_t[::1] use, int64_t[::1] out):
    """out = (id << 32 | word as int32) of the rows in use; returns their number, or -1 if a word is no int32."""
    cdef int64_t i, count = 0, n = ids.shape[0]
    cdef bint fits = True
    _check(n, use, words.shape[0])
    _check(n, None, out.shape[0])
    with nogil:
        for i in range(n):
            # branch-free: a row not in use is overwritten by the next one
            out[count] = (<int64_t>ids[i] << 32) | <int64_t><uint32_t>words[i]
            if use is None or use[i]:
                count += 1
                fits &= words[i] == <int32_t>words[i]
    return count if fits else -1


def mark_pairs(const int32_t[::1] ids, const int32_t[::1] codes, uint8_t[::1] bits, int64_t row_bytes):
    """Sets bit codes[i] of row ids[i] (row_bytes each) of `bits`; rows with code -1 are passed over."""
    cdef int64_t i, n = ids.shape[0]
    _check(n, None, codes.shape[0])
    with nogil:
        for i in range(n):
            if codes[i] >= 0:
                bits[ids[i] * row_bytes + (codes[i] >> 3)] |= <uint8_t>(1 << (codes[i] & 7))

/* The scan once for each instruction set, and the choice among them when the process starts.
 *
 * mask64(p, c): a bit for each of the bytes p[0..63] that equals c. nth_bit(m, n): the n-th of the bits of m, from 0.
 */
#ifndef HPCKIT_SCAN_ISA_H
#define HPCKIT_SCAN_ISA_H

#include "scan_columns.h"

typedef int (*scan_function)(scan_state *, const uint8_t *, int64_t, int64_t, int64_t, int);
typedef int64_t (*count_function)(const uint8_t *, int64_t, uint8_t);

#define COUNT_BYTE \
    TARGET static int64_t ISA(count_byte)(const uint8_t *p, int64_t n, uint8_t c) { \
        int64_t total = 0, i = 0; \
        for (; i + 64 <= n; i += 64) total += __builtin_popcountll(ISA(mask64)(p + i, c)); \
        for (; i < n; i++) total += p[i] == c; \
        return total; \
    }

#if defined(__x86_64__)
#include <immintrin.h>

#define ISA(name) name##_sse2
#define TARGET
static inline uint64_t mask64_sse2(const uint8_t *p, uint8_t c) {
    __m128i wanted = _mm_set1_epi8((char)c);
    uint64_t m = 0;
    for (int i = 0; i < 4; i++)
        m |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), wanted)) << (16 * i);
    return m;
}
static inline uint64_t nth_bit_sse2(uint64_t m, int32_t n) {
    for (; n > 0; n--) m &= m - 1;
    return m & (0 - m);
}
#include "scan_all.h"
COUNT_BYTE
#undef ISA
#undef TARGET

#define ISA(name) name##_avx2
#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
TARGET static inline uint64_t mask64_avx2(const uint8_t *p, uint8_t c) {
    __m256i wanted = _mm256_set1_epi8((char)c);
    uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)p), wanted));
    uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(p + 32)), wanted));
    return low | (uint64_t)high << 32;
}
TARGET static inline uint64_t nth_bit_avx2(uint64_t m, int32_t n) { return _pdep_u64(1ull << n, m); }
#include "scan_all.h"
COUNT_BYTE
#undef ISA
#undef TARGET

#define ISA(name) name##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx2,bmi,bmi2,lzcnt,popcnt")))
TARGET static inline uint64_t mask64_avx512(const uint8_t *p, uint8_t c) {
    return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512((const void *)p), _mm512_set1_epi8((char)c));
}
TARGET static inline uint64_t nth_bit_avx512(uint64_t m, int32_t n) { return _pdep_u64(1ull << n, m); }
#include "scan_all.h"
COUNT_BYTE
#undef ISA
#undef TARGET

static int simd_level(void) {
    static int level = -1;
    if (level < 0) {
        __builtin_cpu_init();
        level = __builtin_cpu_supports("avx512bw") ? 2 : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? 1 : 0;
    }
    return level;
}
static const char *const simd_names[] = {"sse2", "avx2", "avx512bw"};
static const scan_function scan_variants[] = {scan_sse2, scan_avx2, scan_avx512};
static const count_function count_variants[] = {count_byte_sse2, count_byte_avx2, count_byte_avx512};
#define SIMD_LEVELS 3

#else

/* Eight bytes at a time in a general register (Hacker's Delight, 6-1), little-endian. */
#define ISA(name) name##_swar
#define TARGET
static inline uint64_t mask64_swar(const uint8_t *p, uint8_t c) {
    const uint64_t ones = 0x0101010101010101ull, low7 = 0x7f7f7f7f7f7f7f7full;
    uint64_t m = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t x = hpckit_load8(p + 8 * i) ^ (ones * c);
        uint64_t zero = ~(((x & low7) + low7) | x | low7); /* 0x80 where a byte is zero */
        m |= ((zero >> 7) * 0x0102040810204080ull >> 56) << (8 * i);
    }
    return m;
}
static inline uint64_t nth_bit_swar(uint64_t m, int32_t n) {
    for (; n > 0; n--) m &= m - 1;
    return m & (0 - m);
}
#include "scan_all.h"
COUNT_BYTE
#undef ISA
#undef TARGET

static int simd_level(void) { return 0; }
static const char *const simd_names[] = {"swar"};
static const scan_function scan_variants[] = {scan_swar};
static const count_function count_variants[] = {count_byte_swar};
#define SIMD_LEVELS 1
#endif

#endif

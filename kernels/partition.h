/* Words that order as values do, the bucket of each word, and the scatter of rows to buckets through line buffers. */
#ifndef HPCKIT_PARTITION_H
#define HPCKIT_PARTITION_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#define PARTITION_WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define PARTITION_BLOCK 1024 /* words encoded ahead of their use, in the first cache */
#define PARTITION_ROOM 256   /* bytes put together for a bucket before they are written: four cache lines */
#define PARTITION_LANES 4    /* counters of a bucket */

enum { KIND_UNSIGNED, KIND_SIGNED, KIND_FLOAT, KIND_TIME };

/* Floats: flip the sign bit, or below zero all bits; subtracting the words below that of -infinity sends negative NaNs
 * round to the end, in the reverse order of their bits, which the last step puts right. */
#define PARTITION_CODEC(bits, word, sword, sign, shift, lowest) \
    static inline word encode_float##bits(word b) { \
        word w = (b ^ ((word)((sword)b >> shift) | sign)) - (word)(lowest); \
        return w > (word)(-(lowest) - 1) ? (word)(-(lowest) - 1) - w : w; \
    } \
    static inline word decode_float##bits(word w) { \
        w = w > (word)(-(lowest) - 1) ? (word)(-(lowest) - 1) - w : w; \
        w += (word)(lowest); \
        return w ^ ((word)(~(sword)w >> shift) | sign); \
    }

PARTITION_CODEC(64, uint64_t, int64_t, 0x8000000000000000ull, 63, 0x000fffffffffffffull)
PARTITION_CODEC(32, uint32_t, int32_t, 0x80000000u, 31, 0x007fffffu)

/* The loops, for one instruction set. */
#define PARTITION_LOOPS(bits, word, sign, isa, target) \
    target static void encode_##bits##isa(const word *restrict from, int64_t n, int kind, word *restrict to) { \
        int64_t i; \
        if (kind == KIND_SIGNED) \
            for (i = 0; i < n; i++) to[i] = from[i] ^ sign; \
        else if (kind == KIND_TIME) \
            for (i = 0; i < n; i++) to[i] = (word)((from[i] ^ sign) - 1); \
        else if (kind == KIND_FLOAT) \
            for (i = 0; i < n; i++) to[i] = encode_float##bits(from[i]); \
        else \
            memcpy(to, from, (size_t)n * sizeof(word)); \
    } \
    target static void decode_##bits##isa(word *w, int64_t n, int kind) { \
        int64_t i; \
        if (kind == KIND_SIGNED) \
            for (i = 0; i < n; i++) w[i] ^= sign; \
        else if (kind == KIND_TIME) \
            for (i = 0; i < n; i++) w[i] = (word)(w[i] + 1) ^ sign; \
        else if (kind == KIND_FLOAT) \
            for (i = 0; i < n; i++) w[i] = decode_float##bits(w[i]); \
    } \
    target static void encode_wide_##bits##isa(const word *restrict from, int64_t n, int kind, uint64_t *restrict to) { \
        int64_t i; \
        if (kind == KIND_SIGNED) \
            for (i = 0; i < n; i++) to[i] = (word)(from[i] ^ sign); \
        else if (kind == KIND_TIME) \
            for (i = 0; i < n; i++) to[i] = (word)((from[i] ^ sign) - 1); \
        else if (kind == KIND_FLOAT) \
            for (i = 0; i < n; i++) to[i] = encode_float##bits(from[i]); \
        else \
            for (i = 0; i < n; i++) to[i] = from[i]; \
    }

PARTITION_LOOPS(64, uint64_t, 0x8000000000000000ull, _base, )
PARTITION_LOOPS(32, uint32_t, 0x80000000u, _base, )
#if defined(__x86_64__)
PARTITION_LOOPS(64, uint64_t, 0x8000000000000000ull, _wide, PARTITION_WIDE)
PARTITION_LOOPS(32, uint32_t, 0x80000000u, _wide, PARTITION_WIDE)

static int partition_is_wide(void) {
    static int wide = -1;
    if (wide < 0) {
        __builtin_cpu_init();
        wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    return wide;
}
#define PARTITION_CHOOSE(name, ...) (partition_is_wide() ? name##_wide(__VA_ARGS__) : name##_base(__VA_ARGS__))
#else
static int partition_is_wide(void) { return 0; }
#define PARTITION_CHOOSE(name, ...) name##_base(__VA_ARGS__)
#endif

#define PARTITION_ENTRY(bits, word) \
    static void encode_##bits(const word *from, int64_t n, int kind, word *to) { \
        PARTITION_CHOOSE(encode_##bits, from, n, kind, to); \
    } \
    static void encode_wide_##bits(const word *from, int64_t n, int kind, uint64_t *to) { \
        PARTITION_CHOOSE(encode_wide_##bits, from, n, kind, to); \
    } \
    static void decode_##bits(word *w, int64_t n, int kind) { PARTITION_CHOOSE(decode_##bits, w, n, kind); }

PARTITION_ENTRY(64, uint64_t)
PARTITION_ENTRY(32, uint32_t)

/* Buckets 0 … buckets-1 by their lower bounds: splitters[b] is the least word of bucket b + 1. table[c] is the bucket of
 * the least word of cell c, cells being 2^shift words wide from `low` on; a cell holds less than 2^steps splitters, and
 * as many words of padding follow the splitters; one entry of padding follows the table. Before all that words from
 * `above` on come down by `skip`, and those below it stay below what becomes of it: a wide gap between two splitters, as
 * between the floats below and above zero, takes few cells. `low` and `splitters` are given as they are after that. */
typedef struct {
    uint64_t above, skip, low;
    int shift, steps;
    int64_t cells, buckets;
    const uint16_t *table;
    const uint64_t *splitters;
} classifier;

static inline uint32_t bucket_of(const classifier *c, uint64_t word, int steps) {
    const uint64_t most = c->above - c->skip - 1;
    word = word >= c->above ? word - c->skip : word < most ? word : most;
    uint64_t cell = (word < c->low ? 0 : word - c->low) >> c->shift;
    uint32_t b, last = (uint32_t)(c->buckets - 1);
    cell = cell < (uint64_t)c->cells ? cell : (uint64_t)c->cells - 1;
    b = c->table[cell];
    for (int step = steps ? 1 << (steps - 1) : 0; step; step >>= 1)
        b += c->splitters[b + step - 1] <= word ? (uint32_t)step : 0;
    return b < last ? b : last;
}

static inline void classify_steps(const classifier *c, const uint64_t *w, int64_t n, int steps, uint16_t *ids) {
    for (int64_t i = 0; i < n; i++) ids[i] = (uint16_t)bucket_of(c, w[i], steps);
}

static void classify_words_base(const classifier *c, const uint64_t *w, int64_t n, uint16_t *ids) {
    switch (c->steps) {
    case 0: classify_steps(c, w, n, 0, ids); break;
    case 1: classify_steps(c, w, n, 1, ids); break;
    case 2: classify_steps(c, w, n, 2, ids); break;
    default: classify_steps(c, w, n, c->steps, ids);
    }
}

#if defined(__x86_64__)
/* The same, eight words at a time. */
PARTITION_WIDE static void classify_words_wide(const classifier *c, const uint64_t *w, int64_t n, uint16_t *ids) {
    const __m512i low = _mm512_set1_epi64((int64_t)c->low), last_cell = _mm512_set1_epi64(c->cells - 1);
    const __m256i entry = _mm256_set1_epi32(0xffff), last = _mm256_set1_epi32((int)c->buckets - 1);
    const __m512i above = _mm512_set1_epi64((int64_t)c->above), skip = _mm512_set1_epi64((int64_t)c->skip);
    const __m512i most = _mm512_set1_epi64((int64_t)(c->above - c->skip - 1));
    const __m128i shift = _mm_cvtsi32_si128(c->shift);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m512i given = _mm512_loadu_si512((const void *)(w + i));
        const __m512i word = _mm512_mask_sub_epi64(_mm512_min_epu64(given, most), _mm512_cmpge_epu64_mask(given, above),
                                                   given, skip);
        const __m512i cell = _mm512_srl_epi64(_mm512_sub_epi64(_mm512_max_epu64(word, low), low), shift);
        __m256i b = _mm512_i64gather_epi32(_mm512_min_epu64(cell, last_cell), (const void *)c->table, 2);
        b = _mm256_and_si256(b, entry);
        for (int step = c->steps ? 1 << (c->steps - 1) : 0; step; step >>= 1) {
            const __m256i at = _mm256_add_epi32(b, _mm256_set1_epi32(step - 1));
            const __m512i bound = _mm512_i32gather_epi64(at, (const void *)c->splitters, 8);
            b = _mm256_mask_add_epi32(b, _mm512_cmple_epu64_mask(bound, word), b, _mm256_set1_epi32(step));
        }
        _mm_storeu_si128((__m128i *)(ids + i), _mm256_cvtepi32_epi16(_mm256_min_epu32(b, last)));
    }
    classify_words_base(c, w + i, n - i, ids + i);
}
#endif

static void classify_words(const classifier *c, const uint64_t *w, int64_t n, uint16_t *ids) {
    PARTITION_CHOOSE(classify_words, c, w, n, ids);
}

/* How many words go to each bucket: n < 2^32 ids into PARTITION_LANES counters a bucket, for an increment that follows
 * one of the same counter waits for it. counts[lane * buckets + b] += words. */
static void count_ids(const uint16_t *ids, int64_t n, int64_t buckets, uint32_t *counts) {
    uint32_t *second = counts + buckets, *third = second + buckets, *fourth = third + buckets;
    int64_t i = 0;
    for (; i + PARTITION_LANES <= n; i += PARTITION_LANES) {
        counts[ids[i]]++;
        second[ids[i + 1]]++;
        third[ids[i + 2]]++;
        fourth[ids[i + 3]]++;
    }
    for (; i < n; i++) counts[ids[i]]++;
}

/* Whole cache lines to memory, past the caches where the machine can: nothing reads them before they are sent. */
static inline void put_lines_base(void *to, const void *lines) {
#if defined(__SSE2__)
    const __m128i *from = (const __m128i *)lines;
    __m128i *out = (__m128i *)to;
    for (int i = 0; i < PARTITION_ROOM / 16; i++) _mm_stream_si128(out + i, _mm_load_si128(from + i));
#else
    memcpy(to, lines, PARTITION_ROOM);
#endif
}

#if defined(__x86_64__)
PARTITION_WIDE static inline void put_lines_wide(void *to, const void *lines) {
    const __m512i *from = (const __m512i *)lines;
    __m512i *out = (__m512i *)to;
    for (int i = 0; i < PARTITION_ROOM / 64; i++) _mm512_stream_si512(out + i, _mm512_load_si512(from + i));
}
#endif

static inline void lines_done(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* Words to their buckets: next[b] is the place of the bucket's next word in `to`; buckets begin at a multiple of
 * PARTITION_ROOM bytes, which is what is put together before it is written. Without `ids` the classifier tells the
 * bucket; without `from` the words are the numbers of the rows, from `first` on. What is written are the words, or the
 * values as they are if `plain` (there has to be a `from`). */
#define PARTITION_SCATTER(bits, word, isa, target) \
    target static void scatter_##bits##isa(const word *restrict from, word first, int64_t n, int kind, \
                                           int plain, const uint16_t *ids, const classifier *c, \
                                           int64_t *restrict next, word *restrict to, word *restrict lines) { \
        enum { PER_ROOM = PARTITION_ROOM / sizeof(word) }; \
        word block[PARTITION_BLOCK]; \
        uint64_t words[PARTITION_BLOCK]; \
        uint16_t found[PARTITION_BLOCK]; \
        for (int64_t start = 0; start < n; start += PARTITION_BLOCK) { \
            const int64_t m = n - start < PARTITION_BLOCK ? n - start : PARTITION_BLOCK; \
            const uint16_t *id = ids ? ids + start : found; \
            const word *row = plain ? from + start : block; \
            if (from && !plain) \
                encode_##bits##isa(from + start, m, kind, block); \
            else if (!from) \
                for (int64_t i = 0; i < m; i++) block[i] = first + (word)(start + i); \
            if (!ids && sizeof(word) == sizeof(uint64_t) && !plain) { \
                classify_words##isa(c, (const uint64_t *)row, m, found); \
            } else if (!ids) { \
                encode_wide_##bits##isa(row, m, plain ? kind : KIND_UNSIGNED, words); \
                classify_words##isa(c, words, m, found); \
            } \
            for (int64_t i = 0; i < m; i++) { \
                const uint32_t b = id[i]; \
                const int64_t at = next[b]++; \
                word *line = lines + (int64_t)b * PER_ROOM; \
                line[at % PER_ROOM] = row[i]; \
                if (__builtin_expect(at % PER_ROOM == PER_ROOM - 1, 0)) put_lines##isa(to + at + 1 - PER_ROOM, line); \
            } \
        } \
    }

#define PARTITION_SCATTER_REST(bits, word) \
    static void scatter_rest_##bits(int64_t buckets, const int64_t *next, word *to, const word *lines) { \
        enum { PER_ROOM = PARTITION_ROOM / sizeof(word) }; \
        for (int64_t b = 0; b < buckets; b++) { \
            int64_t rest = next[b] % PER_ROOM; \
            if (!rest) continue; \
            memcpy(to + next[b] - rest, lines + b * PER_ROOM, (size_t)rest * sizeof(word)); \
            memset(to + next[b], 0, (size_t)(PER_ROOM - rest) * sizeof(word)); \
        } \
        lines_done(); \
    } \
    static void scatter_##bits(const word *from, word first, int64_t n, int kind, int plain, const uint16_t *ids, \
                               const classifier *c, int64_t *next, word *to, word *lines) { \
        PARTITION_CHOOSE(scatter_##bits, from, first, n, kind, plain, ids, c, next, to, lines); \
    }

PARTITION_SCATTER(64, uint64_t, _base, )
PARTITION_SCATTER(32, uint32_t, _base, )
#if defined(__x86_64__)
PARTITION_SCATTER(64, uint64_t, _wide, PARTITION_WIDE)
PARTITION_SCATTER(32, uint32_t, _wide, PARTITION_WIDE)
#endif
PARTITION_SCATTER_REST(64, uint64_t)
PARTITION_SCATTER_REST(32, uint32_t)

/* Rows of any width: they go straight to their places. */
static void scatter_bytes(const uint8_t *restrict from, int64_t n, int64_t width, const uint16_t *restrict ids,
                          int64_t *restrict next, uint8_t *restrict to) {
    for (int64_t i = 0; i < n; i++) memcpy(to + next[ids[i]]++ * width, from + i * width, (size_t)width);
}

static void partition_release_freed(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
#endif

/* Words that order as values do, the bucket of each word, and the scatter of rows to buckets through line buffers. */
#ifndef HPCKIT_PARTITION_H
#define HPCKIT_PARTITION_H
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define PARTITION_BLOCK 1024 /* words encoded ahead of their use, in the first cache */
#define PARTITION_LINE 64    /* bytes of a cache line */

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
    } \
    static void encode_##bits(const word *restrict from, int64_t n, int kind, word *restrict to) { \
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
    static void decode_##bits(word *w, int64_t n, int kind) { \
        int64_t i; \
        if (kind == KIND_SIGNED) \
            for (i = 0; i < n; i++) w[i] ^= sign; \
        else if (kind == KIND_TIME) \
            for (i = 0; i < n; i++) w[i] = (word)(w[i] + 1) ^ sign; \
        else if (kind == KIND_FLOAT) \
            for (i = 0; i < n; i++) w[i] = decode_float##bits(w[i]); \
    } \
    static void encode_wide_##bits(const word *restrict from, int64_t n, int kind, uint64_t *restrict to) { \
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

PARTITION_CODEC(64, uint64_t, int64_t, 0x8000000000000000ull, 63, 0x000fffffffffffffull)
PARTITION_CODEC(32, uint32_t, int32_t, 0x80000000u, 31, 0x007fffffu)

/* Buckets 0 … buckets-1 by their lower bounds: splitters[b] is the least word of bucket b + 1. table[c] is the bucket of
 * the least word of cell c, cells being 2^shift words wide from `low` on; a cell holds less than 2^steps splitters, and
 * as many words of padding follow the splitters. */
typedef struct {
    uint64_t low;
    int shift, steps;
    int64_t cells, buckets;
    const uint16_t *table;
    const uint64_t *splitters;
} classifier;

static inline uint32_t bucket_of(const classifier *c, uint64_t word, int steps) {
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

static void classify_words(const classifier *c, const uint64_t *w, int64_t n, uint16_t *ids) {
    switch (c->steps) {
    case 0: classify_steps(c, w, n, 0, ids); break;
    case 1: classify_steps(c, w, n, 1, ids); break;
    case 2: classify_steps(c, w, n, 2, ids); break;
    default: classify_steps(c, w, n, c->steps, ids);
    }
}

/* A whole cache line to memory, past the caches where the machine can: nothing reads it before it is sent. */
static inline void put_line(void *to, const void *line) {
#if defined(__SSE2__)
    const __m128i *from = (const __m128i *)line;
    __m128i *out = (__m128i *)to;
    for (int i = 0; i < PARTITION_LINE / 16; i++) _mm_stream_si128(out + i, _mm_load_si128(from + i));
#else
    memcpy(to, line, PARTITION_LINE);
#endif
}

static inline void lines_done(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* Words to their buckets: next[b] is the place of the bucket's next word in `to`; buckets begin at a multiple of a line.
 * Without `from` the words are the numbers of the rows, from `first` on. */
#define PARTITION_SCATTER(bits, word) \
    static void scatter_##bits(const word *restrict from, word first, int64_t n, int kind, const uint16_t *restrict ids, \
                               int64_t *restrict next, word *restrict to, word *restrict lines) { \
        enum { PER_LINE = PARTITION_LINE / sizeof(word) }; \
        word block[PARTITION_BLOCK]; \
        for (int64_t start = 0; start < n; start += PARTITION_BLOCK) { \
            int64_t m = n - start < PARTITION_BLOCK ? n - start : PARTITION_BLOCK; \
            if (from) \
                encode_##bits(from + start, m, kind, block); \
            else \
                for (int64_t i = 0; i < m; i++) block[i] = first + (word)(start + i); \
            for (int64_t i = 0; i < m; i++) { \
                uint32_t b = ids[start + i]; \
                int64_t at = next[b]++; \
                word *line = lines + (int64_t)b * PER_LINE; \
                line[at % PER_LINE] = block[i]; \
                if (at % PER_LINE == PER_LINE - 1) put_line(to + at - (PER_LINE - 1), line); \
            } \
        } \
    } \
    static void scatter_rest_##bits(int64_t buckets, const int64_t *next, word *to, const word *lines) { \
        enum { PER_LINE = PARTITION_LINE / sizeof(word) }; \
        for (int64_t b = 0; b < buckets; b++) { \
            int64_t rest = next[b] % PER_LINE; \
            if (!rest) continue; \
            memcpy(to + next[b] - rest, lines + b * PER_LINE, (size_t)rest * sizeof(word)); \
            memset(to + next[b], 0, (size_t)(PER_LINE - rest) * sizeof(word)); \
        } \
        lines_done(); \
    }

PARTITION_SCATTER(64, uint64_t)
PARTITION_SCATTER(32, uint32_t)

/* Rows of any width: they go straight to their places. */
static void scatter_bytes(const uint8_t *restrict from, int64_t n, int64_t width, const uint16_t *restrict ids,
                          int64_t *restrict next, uint8_t *restrict to) {
    for (int64_t i = 0; i < n; i++) memcpy(to + next[ids[i]]++ * width, from + i * width, (size_t)width);
}
#endif

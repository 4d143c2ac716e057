/* Fixed-length records: key words, stable sort of references, buckets between splitters, scatter, gather, row hashes. */
#ifndef HPCKIT_RECORDS_H
#define HPCKIT_RECORDS_H

#include <stdint.h>
#include <string.h>

#define REC_SMALL 24         /* ranges up to this size are sorted by insertion */
#define REC_NESTING_MAX 256  /* deeper ranges are merged instead: the stack stays small whatever the keys */
#define REC_AHEAD 16          /* records prefetched before they are copied */
#define REC_TABLE_BITS 14    /* the table that narrows the search for a bucket */

typedef struct { int64_t record, key; } rec_shape;            /* bytes */
typedef struct { uint64_t word; const uint8_t *at; } rec_ref; /* eight key bytes, and where the record lies */

/* The bytes depth*8 … depth*8+7 of a key as a number that compares as they do; zeros behind its end. */
static inline uint64_t rec_word(const uint8_t *at, const rec_shape *s, int64_t depth) {
    int64_t from = depth * 8, left = s->key - from;
    uint64_t w = 0;
    if (from + 8 <= s->record) {
        memcpy(&w, at + from, 8);
        w = __builtin_bswap64(w);
        return left >= 8 ? w : left > 0 ? w & ~(UINT64_MAX >> (8 * left)) : 0;
    }
    for (int64_t i = 0; i < left; i++) w |= (uint64_t)at[from + i] << (56 - 8 * i);
    return w;
}

static inline void rec_copy(uint8_t *restrict to, const uint8_t *restrict from, int64_t n) {
    if (n < 16) { memcpy(to, from, (size_t)n); return; }
    for (int64_t i = 0; i < n - 16; i += 16) memcpy(to + i, from + i, 16);
    memcpy(to + n - 16, from + n - 16, 16);
}

static inline void rec_prefetch(const uint8_t *at, int64_t n) {
    for (int64_t i = 0; i < n && i < 256; i += 64) __builtin_prefetch(at + i);
    __builtin_prefetch(at + (n < 256 ? n : 256) - 1);
}

/* ---- row hash: products of 16-byte blocks (the mixing step of wyhash, Wang Yi 2019), each block with its own secret */

static inline uint64_t rec_fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t rec_mix(const uint8_t *at, uint64_t secret) {
    uint64_t a, b;
    memcpy(&a, at, 8);
    memcpy(&b, at + 8, 8);
    return rec_fold(a ^ secret, b ^ 0xe7037ed1a0b428dbull ^ (secret << 1));
}

static inline uint64_t rec_hash(const uint8_t *at, int64_t n) {
    uint64_t sum = (uint64_t)n, secret = 0xa0761d6478bd642full;
    if (n >= 16) {
        for (int64_t i = 0; i < n - 16; i += 16, secret += 0x9e3779b97f4a7c15ull) sum += rec_mix(at + i, secret);
        sum += rec_mix(at + n - 16, secret); /* the last block may overlap the one before */
    } else {
        uint8_t rest[16] = {0};
        memcpy(rest, at, (size_t)n);
        sum += rec_mix(rest, secret);
    }
    return rec_fold(sum ^ 0x8ebc6af09c88c6e3ull, 0x589965cc75374cc3ull);
}

/* ---- stable sort of references by key: radix by the highest bits that differ, then by what is below them */

static inline int rec_before(const rec_ref *x, const rec_ref *y, const rec_shape *s, int64_t depth) {
    if (x->word != y->word) return x->word < y->word;
    int64_t from = (depth + 1) * 8;
    return from < s->key && memcmp(x->at + from, y->at + from, (size_t)(s->key - from)) < 0;
}

static void rec_insertion(rec_ref *p, int64_t n, const rec_shape *s, int64_t depth) {
    for (int64_t i = 1; i < n; i++) {
        rec_ref moving = p[i];
        int64_t to = i;
        while (to > 0 && rec_before(&moving, &p[to - 1], s, depth)) { p[to] = p[to - 1]; to--; }
        p[to] = moving;
    }
}

/* Merge sort from small runs up; `spare` has room for n. */
static void rec_merge_sort(rec_ref *p, rec_ref *spare, int64_t n, const rec_shape *s, int64_t depth) {
    for (int64_t i = 0; i < n; i += REC_SMALL) rec_insertion(p + i, n - i < REC_SMALL ? n - i : REC_SMALL, s, depth);
    for (int64_t width = REC_SMALL; width < n; width *= 2) {
        for (int64_t low = 0; low < n; low += 2 * width) {
            int64_t middle = low + width < n ? low + width : n, high = low + 2 * width < n ? low + 2 * width : n;
            int64_t a = low, b = middle, to = low;
            while (a < middle && b < high) spare[to++] = rec_before(&p[b], &p[a], s, depth) ? p[b++] : p[a++];
            while (a < middle) spare[to++] = p[a++];
            while (b < high) spare[to++] = p[b++];
        }
        memcpy(p, spare, sizeof(rec_ref) * (size_t)n);
    }
}

/* One stable counting pass by the `bits` (up to 11) of the words above `shift`. */
static void __attribute__((noinline)) rec_pass(const rec_ref *from, rec_ref *to, int64_t n, int shift, int bits) {
    int64_t place[2048] = {0}, next = 0;
    uint64_t mask = (1ull << bits) - 1;
    for (int64_t i = 0; i < n; i++) place[(from[i].word >> shift) & mask]++;
    for (uint64_t b = 0; b <= mask; b++) { int64_t size = place[b]; place[b] = next; next += size; }
    for (int64_t i = 0; i < n; i++) to[place[(from[i].word >> shift) & mask]++] = from[i];
}

/* Stable sort of p[0..n) by the key from word `depth` on; the words are those of `depth`. */
static void rec_sort(rec_ref *p, rec_ref *spare, int64_t n, const rec_shape *s, int64_t depth, int nesting) {
    uint64_t differing = 0;
    for (;; depth++) {
        if (n <= REC_SMALL) { rec_insertion(p, n, s, depth); return; }
        if (nesting > REC_NESTING_MAX) { rec_merge_sort(p, spare, n, s, depth); return; }
        for (int64_t i = 1; i < n; i++) differing |= p[i].word ^ p[0].word;
        if (differing) break;
        if ((depth + 1) * 8 >= s->key) return; /* equal keys stay in their order */
        for (int64_t i = 0; i < n; i++) p[i].word = rec_word(p[i].at, s, depth + 1);
    }
    int top = 64 - __builtin_clzll(differing), half = n <= 1024 ? 8 : n <= (1 << 19) ? 8 : 11;
    int bits = n <= 1024 ? half : 2 * half;
    if (bits > top) bits = top;
    int shift = top - bits;
    if (bits > half) {
        rec_pass(p, spare, n, shift, half);
        rec_pass(spare, p, n, shift + half, bits - half);
    } else {
        rec_pass(p, spare, n, shift, bits);
        memcpy(p, spare, sizeof(rec_ref) * (size_t)n);
    }
    for (int64_t i = 0; i < n;) {
        int64_t end = i + 1;
        while (end < n && p[end].word >> shift == p[i].word >> shift) end++;
        if (end - i > 1) rec_sort(p + i, spare, end - i, s, depth, nesting + 1);
        i = end;
    }
}

/* References to n records that lie one after another. */
static void rec_refer(const uint8_t *at, int64_t n, const rec_shape *s, rec_ref *out) {
    for (int64_t i = 0; i < n; i++, at += s->record) {
        out[i].word = rec_word(at, s, 0);
        out[i].at = at;
    }
}

/* Copies the records referred to, one after another; returns the sum of their hashes. */
static uint64_t rec_gather(const rec_ref *refs, int64_t n, const rec_shape *s, uint8_t *out) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++, out += s->record) {
        if (i + REC_AHEAD < n) rec_prefetch(refs[i + REC_AHEAD].at, s->record);
        sum += rec_hash(refs[i].at, s->record);
        rec_copy(out, refs[i].at, s->record);
    }
    return sum;
}

/* ---- buckets between splitters: splitter = (key, global row), so that equal keys are split by their place */

typedef struct {
    int64_t n;            /* splitters; bucket b holds splitter b-1 <= record < splitter b */
    const uint64_t *words;
    const uint8_t *keys;
    const int64_t *rows;
    uint64_t least;       /* words below it are in front of the table */
    int shift;
    int32_t table[(1 << REC_TABLE_BITS) + 1]; /* splitters whose (word - least) >> shift is below the index */
} rec_splitters;

static void rec_prepare(rec_splitters *t) {
    uint64_t range = t->n ? t->words[t->n - 1] - t->words[0] : 0;
    int width = range ? 64 - __builtin_clzll(range) : 1;
    int64_t at = 0;
    t->least = t->n ? t->words[0] : 0;
    t->shift = width > REC_TABLE_BITS ? width - REC_TABLE_BITS : 0;
    for (int64_t b = 0; b <= 1 << REC_TABLE_BITS; b++) {
        while (at < t->n && (t->words[at] - t->least) >> t->shift < (uint64_t)b) at++;
        t->table[b] = (int32_t)at;
    }
}

/* How many splitters are not behind the record (word, key at `at`, row). */
static inline int64_t rec_bucket(const rec_splitters *t, uint64_t word, const uint8_t *at, const rec_shape *s,
                                 int64_t row) {
    if (t->n == 0 || word < t->least) return 0;
    uint64_t slot = (word - t->least) >> t->shift;
    if (slot >> REC_TABLE_BITS) return t->n;
    int64_t low = t->table[slot], high = t->table[slot + 1];
    while (low < high) {
        int64_t middle = (low + high) / 2;
        int order = word < t->words[middle] ? -1 : word > t->words[middle];
        if (order == 0 && s->key > 8) order = memcmp(at + 8, t->keys + middle * s->key + 8, (size_t)(s->key - 8));
        if (order == 0) order = row < t->rows[middle] ? -1 : 1;
        if (order < 0) high = middle; else low = middle + 1;
    }
    return low;
}

static void rec_assign(const rec_splitters *t, const uint8_t *at, const uint64_t *words, int64_t n, const rec_shape *s,
                       int64_t first_row, int32_t *ids, int64_t *counts) {
    for (int64_t i = 0; i < n; i++, at += s->record) {
        int64_t b = rec_bucket(t, words[i], at, s, first_row + i);
        ids[i] = (int32_t)b;
        counts[b]++;
    }
}

/* Each record to the next place of its bucket; returns the sum of the hashes of the records. */
static uint64_t rec_scatter(const uint8_t *at, const int32_t *ids, int64_t n, const rec_shape *s, int64_t *places,
                            uint8_t *out) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++, at += s->record) {
        if (i + REC_AHEAD < n) {
            uint8_t *soon = out + places[ids[i + REC_AHEAD]] * s->record;
            for (int64_t line = 0; line < s->record && line < 256; line += 64) __builtin_prefetch(soon + line, 1);
            __builtin_prefetch(soon + s->record - 1, 1);
        }
        sum += rec_hash(at, s->record);
        rec_copy(out + places[ids[i]]++ * s->record, at, s->record);
    }
    return sum;
}

/* ---- checks */

/* The first i in 1 … n-1 whose key is below that of record i-1, or -1. */
static int64_t rec_descent(const uint8_t *at, int64_t n, const rec_shape *s) {
    for (int64_t i = 1; i < n; i++) {
        const uint8_t *here = at + i * s->record, *before = here - s->record;
        uint64_t x = rec_word(before, s, 0), y = rec_word(here, s, 0);
        if (x < y) continue;
        if (x > y || (s->key > 8 && memcmp(before + 8, here + 8, (size_t)(s->key - 8)) > 0)) return i;
    }
    return -1;
}

static uint64_t rec_checksum(const uint8_t *at, int64_t n, const rec_shape *s) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++, at += s->record) sum += rec_hash(at, s->record);
    return sum;
}

/* ---- records to try things on, laid out as those of gensort: 10 random key bytes, row number in hex, filler */

static inline uint64_t rec_mixed(uint64_t z) {
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static void rec_generate(uint8_t *out, int64_t first_row, int64_t n, uint64_t seed) {
    for (int64_t i = 0; i < n; i++, out += 100) {
        uint64_t row = (uint64_t)(first_row + i), a = rec_mixed(seed ^ rec_mixed(row)), b = rec_mixed(a + seed);
        memcpy(out, &a, 8);
        memcpy(out + 8, &b, 2);
        memcpy(out + 10, "\x00\x11", 2);
        memset(out + 12, '0', 16);
        for (int d = 0; d < 16; d++) out[28 + d] = (uint8_t)"0123456789ABCDEF"[(row >> (60 - 4 * d)) & 15];
        memcpy(out + 44, "\x88\x99\xaa\xbb", 4);
        for (int d = 0; d < 12; d++) memset(out + 48 + 4 * d, "0123456789ABCDEF"[(b >> (16 + 4 * d)) & 15], 4);
        memcpy(out + 96, "\xcc\xdd\xee\xff", 4);
    }
}

#endif

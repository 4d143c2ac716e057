/* Sorted runs of (group, value, count): sorting, collapsing of equal neighbours, merging of two runs. */
#ifndef HPCKIT_RUNS_H
#define HPCKIT_RUNS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_DIGIT 11 /* bits a radix pass: 2,048 write streams still fit the second-level cache */
#define RUNS_BUCKETS (1 << RUNS_DIGIT)
#define RUNS_DIGITS ((64 + RUNS_DIGIT - 1) / RUNS_DIGIT)

/* The number of bits a value up to `largest` needs. */
static inline int runs_width(uint64_t largest) { return largest ? 64 - __builtin_clzll(largest) : 0; }

/* Where each digit's first key goes; 0 if all n keys have the same digit. */
static inline int runs_places(int64_t *place, int64_t n, uint64_t any_digit) {
    int64_t next = 0;
    if (place[any_digit] == n) return 0;
    for (int b = 0; b < RUNS_BUCKETS; b++) { int64_t size = place[b]; place[b] = next; next += size; }
    return 1;
}

/* Ascending radix sort of n keys below 2^width; returns the one of the two arrays that holds the result.
 * One reading counts the digits of all passes; a digit that all keys share costs no pass. */
static uint64_t *runs_sort(uint64_t *keys, uint64_t *spare, int64_t n, int width) {
    int64_t place[RUNS_DIGITS][RUNS_BUCKETS];
    int digits = (width + RUNS_DIGIT - 1) / RUNS_DIGIT;
    if (n == 0) return keys;
    memset(place, 0, sizeof(place[0]) * (size_t)digits);
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < digits; d++) place[d][(keys[i] >> (RUNS_DIGIT * d)) & (RUNS_BUCKETS - 1)]++;
    for (int d = 0; d < digits; d++) {
        int shift = RUNS_DIGIT * d;
        if (!runs_places(place[d], n, (keys[0] >> shift) & (RUNS_BUCKETS - 1))) continue;
        for (int64_t i = 0; i < n; i++) spare[place[d][(keys[i] >> shift) & (RUNS_BUCKETS - 1)]++] = keys[i];
        uint64_t *swap = keys; keys = spare; spare = swap;
    }
    return keys;
}

/* Sorts pairs by (id, key) for keys below 2^width; returns 1 if the result is in the spare arrays. */
static int runs_sort_pairs(uint64_t *keys, int32_t *ids, uint64_t *spare_keys, int32_t *spare_ids, int64_t n,
                           int width) {
    int swapped = 0, key_passes = (width + RUNS_DIGIT - 1) / RUNS_DIGIT;
    for (int pass = 0; pass < key_passes + 3 && n > 1; pass++) { /* 3 digits hold the 31 bits of an id */
        int shift = RUNS_DIGIT * (pass < key_passes ? pass : pass - key_passes);
        const uint64_t of_key = pass < key_passes ? RUNS_BUCKETS - 1 : 0, of_id = (RUNS_BUCKETS - 1) ^ of_key;
        int64_t place[RUNS_BUCKETS] = {0};
#define RUNS_DIGIT_OF(i) (((keys[i] >> shift) & of_key) | (((uint64_t)ids[i] >> shift) & of_id))
        for (int64_t i = 0; i < n; i++) place[RUNS_DIGIT_OF(i)]++;
        if (!runs_places(place, n, RUNS_DIGIT_OF(0))) continue;
        for (int64_t i = 0; i < n; i++) {
            int64_t to = place[RUNS_DIGIT_OF(i)]++;
            spare_keys[to] = keys[i];
            spare_ids[to] = ids[i];
        }
#undef RUNS_DIGIT_OF
        uint64_t *swap_keys = keys; keys = spare_keys; spare_keys = swap_keys;
        int32_t *swap_ids = ids; ids = spare_ids; spare_ids = swap_ids;
        swapped ^= 1;
    }
    return swapped;
}

/* Sorted pairs, equal neighbours counted, `low` added back to the keys; returns how many different ones there are. */
static int64_t runs_count_pairs(const uint64_t *keys, const int32_t *ids, int64_t n, int64_t low, int32_t *out_ids,
                                int64_t *words, int64_t *counts) {
    int64_t left = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = i + 1;
        while (end < n && keys[end] == keys[i] && ids[end] == ids[i]) end++;
        out_ids[left] = ids[i];
        words[left] = (int64_t)(keys[i] + (uint64_t)low);
        counts[left++] = end - i;
        i = end;
    }
    return left;
}

/* Packs (id, word) into keys of the same order: word - *low in the lower *width bits. Returns the bits of a key, or -1
 * if they are more than 64; then the keys are the words alone. */
static int runs_pack(const int32_t *ids, const int64_t *words, int64_t n, uint64_t *keys, int64_t *low, int *width) {
    int64_t least = INT64_MAX, most = INT64_MIN;
    int32_t last_id = 0;
    for (int64_t i = 0; i < n; i++) {
        least = words[i] < least ? words[i] : least;
        most = words[i] > most ? words[i] : most;
        last_id = ids[i] > last_id ? ids[i] : last_id;
    }
    *low = least;
    *width = n ? runs_width((uint64_t)most - (uint64_t)least) : 0;
    int bits = *width + runs_width((uint64_t)last_id);
    if (bits > 64) {
        for (int64_t i = 0; i < n; i++) keys[i] = (uint64_t)words[i] - (uint64_t)least;
        return -1;
    }
    int shift = *width & 63; /* with 64 bits of word the only id is 0 */
    for (int64_t i = 0; i < n; i++) keys[i] = (uint64_t)ids[i] << shift | ((uint64_t)words[i] - (uint64_t)least);
    return bits;
}

/* Sorted keys, unpacked, equal neighbours counted; returns how many different ones there are. */
static int64_t runs_unpack(const uint64_t *keys, int64_t n, int64_t low, int width, int32_t *ids, int64_t *words,
                           int64_t *counts) {
    int64_t left = 0;
    uint64_t mask = width == 64 ? UINT64_MAX : (1ull << width) - 1;
    for (int64_t i = 0; i < n;) {
        int64_t end = i + 1;
        while (end < n && keys[end] == keys[i]) end++;
        ids[left] = width == 64 ? 0 : (int32_t)(keys[i] >> width);
        words[left] = (int64_t)((keys[i] & mask) + (uint64_t)low);
        counts[left++] = end - i;
        i = end;
    }
    return left;
}

typedef struct { const int32_t *ids; const int64_t *words, *counts; int64_t n; } runs_source;
typedef struct { int32_t *ids; int64_t *words, *counts; int64_t n; } runs_target;

/* First place from `at` on whose id is greater than `id`: steps that double, then halve. */
static inline int64_t runs_after(const runs_source *s, int64_t at, int32_t id) {
    int64_t step = 1, low = at, high = at;
    while (high < s->n && s->ids[high] <= id) { low = high + 1; high += step; step *= 2; }
    if (high > s->n) high = s->n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (s->ids[middle] <= id) low = middle + 1; else high = middle;
    }
    return low;
}

/* First place of begin … end (where words ascend) whose word is not less than `word`. No branch depends on the data. */
static inline int64_t runs_first(const int64_t *words, int64_t begin, int64_t end, int64_t word) {
    const int64_t *at = words + begin;
    int64_t n = end - begin;
    while (n > 1) {
        int64_t half = n / 2;
        at += at[half - 1] < word ? half : 0;
        n -= half;
    }
    return (at - words) + (n == 1 && *at < word);
}

static inline void runs_copy(const runs_source *s, int64_t from, int64_t to, runs_target *out) {
    if (from >= to) return;
    memcpy(out->ids + out->n, s->ids + from, sizeof(int32_t) * (size_t)(to - from));
    memcpy(out->words + out->n, s->words + from, sizeof(int64_t) * (size_t)(to - from));
    memcpy(out->counts + out->n, s->counts + from, sizeof(int64_t) * (size_t)(to - from));
    out->n += to - from;
}

/* Merges two sorted runs without repetitions, adding the counts of equal entries. Groups that only one of them has
 * (most, when the input is in order of time and the key is an hour) are copied as blocks. */
static void runs_merge(const runs_source *x, const runs_source *y, runs_target *out) {
    int64_t a = 0, b = 0;
    while (a < x->n && b < y->n) {
        if (x->ids[a] != y->ids[b]) {
            const runs_source *s = x->ids[a] < y->ids[b] ? x : y;
            int64_t *at = s == x ? &a : &b, end = runs_after(s, *at, s == x ? y->ids[b] - 1 : x->ids[a] - 1);
            runs_copy(s, *at, end, out);
            *at = end;
            continue;
        }
        int32_t id = x->ids[a];
        int64_t end_a = runs_after(x, a, id), end_b = runs_after(y, b, id), n = out->n;
        while (a < end_a && b < end_b) {
            int64_t first = x->words[a], second = y->words[b];
            int from_x = first <= second, from_y = second <= first; /* no branch that depends on the data */
            out->ids[n] = id;
            out->words[n] = from_x ? first : second;
            out->counts[n++] = (x->counts[a] & -(int64_t)from_x) + (y->counts[b] & -(int64_t)from_y);
            a += from_x;
            b += from_y;
        }
        out->n = n;
        runs_copy(x, a, end_a, out);
        runs_copy(y, b, end_b, out);
        a = end_a;
        b = end_b;
    }
    runs_copy(x, a, x->n, out);
    runs_copy(y, b, y->n, out);
}

#endif

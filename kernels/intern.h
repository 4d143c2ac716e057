/* A string dictionary: bytes to dense codes, by open addressing.
 *
 * Entries lie one after the other in `data`; entry i is data[offsets[i] .. offsets[i+1]). A slot holds 32 bits of the
 * hash beside the code, so that a probe rarely looks at the bytes of a wrong entry. The hash folds 128-bit products
 * (the construction of Wang Yi's wyhash, 2019) and depends on the bytes alone: every rank and run computes the same.
 */
#ifndef HPCKIT_INTERN_H
#define HPCKIT_INTERN_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INTERN_FULL (-2)   /* a bounded dictionary has reached its limit */
#define INTERN_NOMEM (-3)  /* the allocator gave up */

typedef struct {
    uint32_t tag;
    int32_t code; /* -1: empty */
} intern_slot;

typedef struct {
    uint8_t *data;
    int64_t data_capacity;
    int64_t *offsets; /* count + 1 entries */
    uint64_t *hashes;
    int64_t count, capacity;
    intern_slot *slots;
    uint64_t mask;
    int64_t max_entries, max_bytes;
} intern_table;

static inline uint64_t hpckit_fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hpckit_load8(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint64_t hpckit_load4(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

/* The hash, and in *seen the OR of all bytes: a bit of 0x80… tells that some are not ASCII. */
static inline uint64_t hpckit_hash_and_or(const uint8_t *p, int64_t n, uint64_t *seen) {
    const uint64_t k0 = 0xa0761d6478bd642full, k1 = 0xe7037ed1a0b428dbull, k2 = 0x8ebc6af09c88c6e3ull;
    uint64_t seed = k0 ^ (uint64_t)n * k2, a, b, all = 0;
    if (n <= 16) {
        if (n >= 8) { a = hpckit_load8(p); b = hpckit_load8(p + n - 8); }
        else if (n >= 4) { a = hpckit_load4(p); b = hpckit_load4(p + n - 4); }
        else if (n > 0) { a = ((uint64_t)p[0] << 16) | ((uint64_t)p[n >> 1] << 8) | p[n - 1]; b = 0; }
        else { a = b = 0; }
    } else {
        int64_t left = n;
        const uint8_t *q = p;
        while (left > 16) {
            uint64_t x = hpckit_load8(q), y = hpckit_load8(q + 8);
            seed = hpckit_fold(x ^ k1, y ^ seed);
            all |= x | y;
            q += 16;
            left -= 16;
        }
        a = hpckit_load8(p + n - 16);
        b = hpckit_load8(p + n - 8);
    }
    *seen = all | a | b;
    return hpckit_fold(k1 ^ (uint64_t)n, hpckit_fold(a ^ k1, b ^ seed));
}

static inline uint64_t hpckit_hash_bytes(const uint8_t *p, int64_t n) {
    uint64_t ignored;
    return hpckit_hash_and_or(p, n, &ignored);
}

/* Where two times 16 bytes differ: 0 if nowhere. */
static inline uint64_t hpckit_differ16(const uint8_t *a, const uint8_t *b) {
    return (hpckit_load8(a) ^ hpckit_load8(b)) | (hpckit_load8(a + 8) ^ hpckit_load8(b + 8));
}

/* Lengths are hard to foresee: up to 64 bytes are compared by few branches, some of them twice. */
static inline int hpckit_same_bytes(const uint8_t *a, const uint8_t *b, int64_t n) {
    if (n >= 16) {
        int64_t last = n - 16, i = 0;
        if (n <= 32) return !(hpckit_differ16(a, b) | hpckit_differ16(a + last, b + last));
        for (; i + 32 < n; i += 32)
            if (hpckit_differ16(a + i, b + i) | hpckit_differ16(a + i + 16, b + i + 16)) return 0;
        if (i > last) i = last;
        return !(hpckit_differ16(a + i, b + i) | hpckit_differ16(a + last, b + last));
    }
    if (n >= 8) return hpckit_load8(a) == hpckit_load8(b) && hpckit_load8(a + n - 8) == hpckit_load8(b + n - 8);
    if (n >= 4) return hpckit_load4(a) == hpckit_load4(b) && hpckit_load4(a + n - 4) == hpckit_load4(b + n - 4);
    for (int64_t i = 0; i < n; i++)
        if (a[i] != b[i]) return 0;
    return 1;
}

static int intern_rehash(intern_table *t, uint64_t slots_wanted) {
    intern_slot *fresh = (intern_slot *)malloc(slots_wanted * sizeof(intern_slot));
    if (!fresh) return INTERN_NOMEM;
    memset(fresh, 0xff, slots_wanted * sizeof(intern_slot));
    uint64_t mask = slots_wanted - 1;
    for (int64_t i = 0; i < t->count; i++) {
        uint64_t at = t->hashes[i] & mask;
        while (fresh[at].code >= 0) at = (at + 1) & mask;
        fresh[at].tag = (uint32_t)(t->hashes[i] >> 32);
        fresh[at].code = (int32_t)i;
    }
    free(t->slots);
    t->slots = fresh;
    t->mask = mask;
    return 0;
}

static void intern_free(intern_table *t) {
    if (!t) return;
    free(t->data); free(t->offsets); free(t->hashes); free(t->slots); free(t);
}

static intern_table *intern_new(int64_t max_entries, int64_t max_bytes) {
    intern_table *t = (intern_table *)calloc(1, sizeof(intern_table));
    if (!t) return NULL;
    t->capacity = 256;
    t->data_capacity = 8192;
    t->max_entries = max_entries;
    t->max_bytes = max_bytes;
    t->data = (uint8_t *)malloc((size_t)t->data_capacity);
    t->offsets = (int64_t *)malloc(sizeof(int64_t) * (size_t)(t->capacity + 1));
    t->hashes = (uint64_t *)malloc(sizeof(uint64_t) * (size_t)t->capacity);
    if (!t->data || !t->offsets || !t->hashes || intern_rehash(t, 1024)) { intern_free(t); return NULL; }
    t->offsets[0] = 0;
    return t;
}

static int intern_more_entries(intern_table *t, int64_t wanted) {
    int64_t *offsets = (int64_t *)realloc(t->offsets, sizeof(int64_t) * (size_t)(wanted + 1));
    if (!offsets) return INTERN_NOMEM;
    t->offsets = offsets;
    uint64_t *hashes = (uint64_t *)realloc(t->hashes, sizeof(uint64_t) * (size_t)wanted);
    if (!hashes) return INTERN_NOMEM;
    t->hashes = hashes;
    t->capacity = wanted;
    return 0;
}

/* Room for `entries` more, so that adding them neither rehashes nor moves what lies beside their bytes. */
static int intern_make_room(intern_table *t, int64_t entries) {
    if (entries > t->max_entries - t->count) return INTERN_NOMEM;
    int64_t total = t->count + entries;
    uint64_t slots = t->mask + 1;
    while (slots < (uint64_t)total * 2) slots *= 2;
    if (slots > t->mask + 1 && intern_rehash(t, slots)) return INTERN_NOMEM;
    return total > t->capacity ? intern_more_entries(t, total) : 0;
}

static int intern_reserve(intern_table *t, int64_t bytes) {
    if (t->count == t->capacity && intern_more_entries(t, t->capacity * 2)) return INTERN_NOMEM;
    int64_t needed = t->offsets[t->count] + bytes;
    if (needed > t->data_capacity) {
        int64_t wanted = t->data_capacity * 2 > needed ? t->data_capacity * 2 : needed;
        uint8_t *data = (uint8_t *)realloc(t->data, (size_t)wanted);
        if (!data) return INTERN_NOMEM;
        t->data = data;
        t->data_capacity = wanted;
    }
    /* at most half full: a probe for a new key ends after about 1.5 slots */
    if ((uint64_t)(t->count + 1) * 2 > t->mask + 1) return intern_rehash(t, (t->mask + 1) * 2);
    return 0;
}

/* The entry that a probe for bytes of this hash comes to first, nearly always theirs; -1: they are not in the dictionary. */
static inline int32_t intern_guess(const intern_table *t, uint64_t hash) {
    uint32_t tag = (uint32_t)(hash >> 32);
    uint64_t at = hash & t->mask;
    while (t->slots[at].code >= 0 && t->slots[at].tag != tag) at = (at + 1) & t->mask;
    return t->slots[at].code;
}

/* The slot of these bytes, or the empty slot where they belong. */
static inline uint64_t intern_probe(const intern_table *t, const uint8_t *p, int64_t n, uint64_t hash) {
    uint64_t at = hash & t->mask;
    uint32_t tag = (uint32_t)(hash >> 32);
    for (;; at = (at + 1) & t->mask) {
        int32_t code = t->slots[at].code;
        if (code < 0) return at;
        if (t->slots[at].tag != tag) continue;
        int64_t begin = t->offsets[code];
        if (t->offsets[code + 1] - begin == n && hpckit_same_bytes(t->data + begin, p, n)) return at;
    }
}

static inline int32_t intern_find(const intern_table *t, const uint8_t *p, int64_t n, uint64_t hash) {
    return t->slots[intern_probe(t, p, n, hash)].code;
}

static inline void intern_prefetch(const intern_table *t, uint64_t hash) { __builtin_prefetch(&t->slots[hash & t->mask]); }

static int32_t intern_add(intern_table *t, const uint8_t *p, int64_t n, uint64_t hash) {
    int64_t used = t->offsets[t->count];
    /* the first entry is always taken, so that a fresh dictionary makes progress with any string */
    if (t->count > 0 && (t->count >= t->max_entries || used + n > t->max_bytes)) return INTERN_FULL;
    int failed = intern_reserve(t, n);
    if (failed) return failed;
    uint64_t at = hash & t->mask;
    while (t->slots[at].code >= 0) at = (at + 1) & t->mask;
    t->slots[at].tag = (uint32_t)(hash >> 32);
    t->slots[at].code = (int32_t)t->count;
    if (n) memcpy(t->data + used, p, (size_t)n);
    t->hashes[t->count] = hash;
    t->offsets[t->count + 1] = used + n;
    return (int32_t)t->count++;
}

#endif

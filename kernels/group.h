/* Tuples of k int64 words to dense group ids: open addressing, linear probing, at most half full.
 *
 * One word: the slot holds the key itself, and small non-negative keys (dictionary codes, HTTP status) go through a
 * direct index that needs no hash. Several words: the slot holds 32 bits of the hash beside the id, the keys lie row
 * by row. The hash folds 128-bit products (Wang Yi's wyhash, 2019) or is murmur3's finaliser (Appleby, 2011); it
 * decides the place in the table only, never a result.
 */
#ifndef HPCKIT_GROUP_H
#define HPCKIT_GROUP_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_NOMEM (-3)
#define GROUP_FULL (-2)          /* 2^31 - 2 groups */
#define GROUP_DIRECT_MAX (1 << 20)
#define GROUP_BLOCK 64           /* rows hashed and prefetched together once the table outgrows the cache */
#define GROUP_PREFETCH_SLOTS (1 << 12)

typedef struct { int64_t key; int64_t id; } group_slot1; /* id -1: empty */
typedef struct { uint32_t tag; int32_t id; } group_slot;

typedef struct {
    int64_t *keys; /* count rows of k words */
    int64_t count, capacity;
    void *slots;
    uint64_t mask;
    int64_t hashed; /* keys that sit in slots; the others are reached through `direct` */
    int32_t *direct;
    int64_t direct_size;
    int32_t k;
} group_table;

static inline uint64_t group_mix(uint64_t h) {
    h ^= h >> 33; h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33; h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ (h >> 33);
}

static inline uint64_t group_fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t group_hash2(uint64_t a, uint64_t b) {
    return group_fold(0x8ebc6af09c88c6e3ull, group_fold(a ^ 0xa0761d6478bd642full, b ^ 0xe7037ed1a0b428dbull));
}

static inline uint64_t group_hash_row(const int64_t *row, int32_t k) {
    uint64_t h = group_hash2((uint64_t)row[0], (uint64_t)row[1]);
    for (int32_t j = 2; j < k; j++) h = group_hash2((uint64_t)row[j], h);
    return h;
}

static void group_free(group_table *t) {
    if (!t) return;
    free(t->keys); free(t->slots); free(t->direct); free(t);
}

static int group_rehash(group_table *t, uint64_t wanted) {
    uint64_t mask = wanted - 1;
    size_t width = t->k == 1 ? sizeof(group_slot1) : sizeof(group_slot);
    void *fresh = malloc(wanted * width);
    if (!fresh) return GROUP_NOMEM;
    memset(fresh, 0xff, wanted * width);
    if (t->k == 1) {
        group_slot1 *s = (group_slot1 *)fresh;
        for (int64_t i = 0; i < t->count; i++) {
            int64_t key = t->keys[i];
            if (key >= -1 && key < t->direct_size - 1) continue;
            uint64_t at = group_mix((uint64_t)key) & mask;
            while (s[at].id >= 0) at = (at + 1) & mask;
            s[at].key = key; s[at].id = i;
        }
    } else {
        group_slot *s = (group_slot *)fresh;
        for (int64_t begin = 0; begin < t->count; begin += GROUP_BLOCK) {
            uint64_t hashes[GROUP_BLOCK];
            int64_t count = t->count - begin < GROUP_BLOCK ? t->count - begin : GROUP_BLOCK;
            for (int64_t i = 0; i < count; i++) {
                hashes[i] = group_hash_row(t->keys + (begin + i) * t->k, t->k);
                __builtin_prefetch(s + (hashes[i] & mask), 1);
            }
            for (int64_t i = 0; i < count; i++) {
                uint64_t at = hashes[i] & mask;
                while (s[at].id >= 0) at = (at + 1) & mask;
                s[at].tag = (uint32_t)(hashes[i] >> 32); s[at].id = (int32_t)(begin + i);
            }
        }
    }
    free(t->slots);
    t->slots = fresh;
    t->mask = mask;
    return 0;
}

static group_table *group_new(int32_t k) {
    group_table *t = (group_table *)calloc(1, sizeof(group_table));
    if (!t) return NULL;
    t->k = k;
    t->capacity = 256;
    t->keys = (int64_t *)malloc(sizeof(int64_t) * (size_t)(t->capacity * k));
    if (!t->keys || group_rehash(t, 512)) { group_free(t); return NULL; }
    return t;
}

static int group_more_keys(group_table *t, int64_t wanted) {
    int64_t *keys = (int64_t *)realloc(t->keys, sizeof(int64_t) * (size_t)(wanted * t->k));
    if (!keys) return GROUP_NOMEM;
    t->keys = keys;
    t->capacity = wanted;
    return 0;
}

static int group_reserve(group_table *t) {
    if (t->count == t->capacity && group_more_keys(t, t->capacity * 2)) return GROUP_NOMEM;
    return t->count >= 0x7ffffffe ? GROUP_FULL : 0;
}

/* Room for `groups` groups of several words in all, so that adding them neither rehashes nor moves the keys. */
static int group_make_room(group_table *t, int64_t groups) {
    uint64_t wanted = t->mask + 1;
    if (t->k == 1 || groups > 0x7ffffffe) return 0; /* one word: the direct index may serve them all */
    while (wanted < (uint64_t)groups * 2) wanted *= 2;
    if (wanted > t->mask + 1 && group_rehash(t, wanted)) return GROUP_NOMEM;
    return groups > t->capacity ? group_more_keys(t, groups) : 0;
}

/* Room in the direct index for `key`: it grows to at most 8 times the number of groups it serves (or 8192). */
static int group_direct_room(group_table *t, int64_t key) {
    if (key >= -1 && key < t->direct_size - 1) return 1; /* lookups of such keys look nowhere else */
    if (key < -1 || key >= GROUP_DIRECT_MAX - 1 || key >= 8 * (t->count + 1024)) return 0;
    int64_t wanted = t->direct_size ? t->direct_size : 1024;
    while (wanted <= key + 1) wanted *= 2;
    int32_t *direct = (int32_t *)realloc(t->direct, sizeof(int32_t) * (size_t)wanted);
    if (!direct) return GROUP_NOMEM;
    memset(direct + t->direct_size, 0xff, sizeof(int32_t) * (size_t)(wanted - t->direct_size));
    t->direct = direct;
    t->direct_size = wanted;
    for (int64_t i = 0; i < t->count; i++)
        if (t->keys[i] >= -1 && t->keys[i] < wanted - 1) direct[t->keys[i] + 1] = (int32_t)i;
    return 1;
}

static int64_t group_append1(group_table *t, int64_t key) {
    int failed = group_reserve(t);
    if (failed) return failed;
    t->keys[t->count] = key;
    return t->count++;
}

static int64_t group_add1(group_table *t, int64_t key) {
    int room = group_direct_room(t, key);
    if (room < 0) return room;
    if (room) {
        int32_t known = t->direct[key + 1];
        if (known >= 0) return known;
        int64_t id = group_append1(t, key);
        if (id >= 0) t->direct[key + 1] = (int32_t)id;
        return id;
    }
    if ((uint64_t)(t->hashed + 1) * 2 > t->mask + 1) {
        int failed = group_rehash(t, (t->mask + 1) * 2);
        if (failed) return failed;
    }
    int64_t id = group_append1(t, key);
    if (id < 0) return id;
    group_slot1 *s = (group_slot1 *)t->slots;
    uint64_t at = group_mix((uint64_t)key) & t->mask;
    while (s[at].id >= 0) at = (at + 1) & t->mask;
    s[at].key = key; s[at].id = id;
    t->hashed++;
    return id;
}

static inline int64_t group_get1(group_table *t, int64_t key) {
    if ((uint64_t)key + 1 < (uint64_t)t->direct_size) {
        int32_t id = t->direct[key + 1];
        return id >= 0 ? id : group_add1(t, key);
    }
    const group_slot1 *s = (const group_slot1 *)t->slots;
    for (uint64_t at = group_mix((uint64_t)key) & t->mask;; at = (at + 1) & t->mask) {
        if (s[at].id < 0) return group_add1(t, key);
        if (s[at].key == key) return s[at].id;
    }
}

static int64_t group_ids1(group_table *t, const int64_t *keys, int64_t n, int32_t *out) {
    if (n == 0) return 0;
    int64_t last = ~keys[0], id = -1;
    for (int64_t begin = 0; begin < n; begin += GROUP_BLOCK) {
        int64_t end = begin + GROUP_BLOCK < n ? begin + GROUP_BLOCK : n;
        if (t->mask >= GROUP_PREFETCH_SLOTS)
            for (int64_t i = begin; i < end; i++)
                __builtin_prefetch((group_slot1 *)t->slots + (group_mix((uint64_t)keys[i]) & t->mask));
        for (int64_t i = begin; i < end; i++) {
            if (keys[i] != last) {
                id = group_get1(t, keys[i]);
                if (id < 0) return id;
                last = keys[i];
            }
            out[i] = (int32_t)id;
        }
    }
    return 0;
}

static int64_t group_add(group_table *t, const int64_t *row, uint64_t h) {
    if ((uint64_t)(t->count + 1) * 2 > t->mask + 1) {
        int failed = group_rehash(t, (t->mask + 1) * 2);
        if (failed) return failed;
    }
    int failed = group_reserve(t);
    if (failed) return failed;
    memcpy(t->keys + t->count * t->k, row, sizeof(int64_t) * (size_t)t->k);
    group_slot *s = (group_slot *)t->slots;
    uint64_t at = h & t->mask;
    while (s[at].id >= 0) at = (at + 1) & t->mask;
    s[at].tag = (uint32_t)(h >> 32); s[at].id = (int32_t)t->count;
    return t->count++;
}

static inline int group_same_row(const int64_t *a, const int64_t *b, int32_t k) {
    for (int32_t j = 0; j < k; j++)
        if (a[j] != b[j]) return 0;
    return 1;
}

static inline int64_t group_get(group_table *t, const int64_t *row, uint64_t h, int32_t k) {
    const group_slot *s = (const group_slot *)t->slots;
    uint32_t tag = (uint32_t)(h >> 32);
    for (uint64_t at = h & t->mask;; at = (at + 1) & t->mask) {
        if (s[at].id < 0) return group_add(t, row, h);
        if (s[at].tag == tag && group_same_row(t->keys + (int64_t)s[at].id * k, row, k)) return s[at].id;
    }
}

/* k >= 3; `rows` is room for GROUP_BLOCK * k words. Inlined with a constant k for the common cases. */
static inline __attribute__((always_inline)) int64_t group_ids_k(
        group_table *t, const int64_t *const *columns, int64_t n, int32_t *out, int64_t *rows, const int32_t k) {
    uint64_t hashes[GROUP_BLOCK];
    int64_t id = -1;
    for (int64_t begin = 0; begin < n; begin += GROUP_BLOCK) {
        int64_t count = n - begin < GROUP_BLOCK ? n - begin : GROUP_BLOCK;
        for (int32_t j = 0; j < k; j++)
            for (int64_t i = 0; i < count; i++) rows[i * k + j] = columns[j][begin + i];
        for (int64_t i = 0; i < count; i++) hashes[i] = group_hash_row(rows + i * k, k);
        if (t->mask >= GROUP_PREFETCH_SLOTS) {
            const group_slot *s = (const group_slot *)t->slots;
            for (int64_t i = 0; i < count; i++) __builtin_prefetch(s + (hashes[i] & t->mask));
            for (int64_t i = 0; i < count; i++) {
                int32_t first = s[hashes[i] & t->mask].id;
                if (first >= 0) __builtin_prefetch(t->keys + (int64_t)first * k);
            }
        }
        for (int64_t i = 0; i < count; i++) {
            const int64_t *row = rows + i * k;
            /* a burst repeats its key: the last one is still in registers */
            if (i == 0 || hashes[i] != hashes[i - 1] || !group_same_row(row, row - k, k)) {
                id = group_get(t, row, hashes[i], k);
                if (id < 0) return id;
            }
            out[begin + i] = (int32_t)id;
        }
    }
    return 0;
}

/* Two keys, the usual case: as group_ids_k, reading the columns where they lie. */
static int64_t group_ids2(group_table *t, const int64_t *x, const int64_t *y, int64_t n, int32_t *out) {
    uint64_t hashes[GROUP_BLOCK];
    int64_t id = -1, last_x = 0, last_y = 0;
    for (int64_t begin = 0; begin < n; begin += GROUP_BLOCK) {
        int64_t count = n - begin < GROUP_BLOCK ? n - begin : GROUP_BLOCK;
        const int64_t *bx = x + begin, *by = y + begin;
        for (int64_t i = 0; i < count; i++) hashes[i] = group_hash2((uint64_t)bx[i], (uint64_t)by[i]);
        if (t->mask >= GROUP_PREFETCH_SLOTS) {
            const group_slot *s = (const group_slot *)t->slots;
            for (int64_t i = 0; i < count; i++) __builtin_prefetch(s + (hashes[i] & t->mask));
            for (int64_t i = 0; i < count; i++) {
                int32_t first = s[hashes[i] & t->mask].id;
                if (first >= 0) __builtin_prefetch(t->keys + (int64_t)first * 2);
            }
        }
        for (int64_t i = 0; i < count; i++) {
            if (id < 0 || bx[i] != last_x || by[i] != last_y) {
                const group_slot *s = (const group_slot *)t->slots;
                uint32_t tag = (uint32_t)(hashes[i] >> 32);
                last_x = bx[i];
                last_y = by[i];
                for (uint64_t at = hashes[i] & t->mask;; at = (at + 1) & t->mask) {
                    id = s[at].id;
                    if (id < 0) {
                        const int64_t row[2] = {last_x, last_y};
                        id = group_add(t, row, hashes[i]);
                        if (id < 0) return id;
                        break;
                    }
                    if (s[at].tag == tag && t->keys[2 * id] == last_x && t->keys[2 * id + 1] == last_y) break;
                }
            }
            out[begin + i] = (int32_t)id;
        }
    }
    return 0;
}

static int64_t group_ids(group_table *t, const int64_t *const *columns, int64_t n, int32_t *out) {
    if (t->k == 1) return group_ids1(t, columns[0], n, out);
    if (t->k == 2) return group_ids2(t, columns[0], columns[1], n, out);
    int64_t *rows = (int64_t *)malloc(sizeof(int64_t) * (size_t)(GROUP_BLOCK * t->k));
    if (!rows) return GROUP_NOMEM;
    int64_t status;
    if (t->k == 3) status = group_ids_k(t, columns, n, out, rows, 3);
    else status = group_ids_k(t, columns, n, out, rows, t->k);
    free(rows);
    return status;
}

#endif

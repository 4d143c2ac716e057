/* HyperLogLog registers of many groups: 2^15 registers of 6 bits of rank each (standard error 0.58 %).
 *
 * A group starts sparse, as the set of its values' hashes (in one table shared by all groups), whose size is the exact
 * answer; with more than 512 of them it gets a dense row of registers. The form depends on the number of different
 * hashes alone, and registers are maxima over them, so neither the order of values nor that of merging shows.
 * Flajolet et al. 2007; hashes of 64 bits and the sparse form after Heule et al. 2013; the estimate is algorithm 6 of
 * Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017.
 */
#ifndef HPCKIT_SKETCH_H
#define HPCKIT_SKETCH_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HLL_NOMEM (-3)
#define HLL_BITS 15
#define HLL_REGISTERS (1 << HLL_BITS)
#define HLL_RANK_MAX (64 - HLL_BITS + 1)
#define HLL_SPARSE_MAX 512
#define HLL_EMPTY (-1)

typedef struct {
    uint64_t hash;
    int64_t group; /* HLL_EMPTY: free */
} hll_slot;

typedef struct {
    int64_t groups, capacity;
    int32_t *dense;  /* row of registers of a group, -1: sparse */
    int32_t *filled; /* entries of a sparse group */
    uint8_t *registers;
    int64_t dense_count, dense_capacity;
    hll_slot *slots;
    uint64_t mask;
    int64_t used;
} hll_sketches;

static inline uint64_t hll_mix(uint64_t h) {
    h ^= h >> 33; h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33; h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ (h >> 33);
}

static void hll_free(hll_sketches *s) { free(s->dense); free(s->filled); free(s->registers); free(s->slots); }

static int hll_resize(hll_sketches *s, int64_t groups) {
    if (groups > s->capacity) {
        int64_t wanted = s->capacity * 2 > groups ? s->capacity * 2 : groups;
        int32_t *dense = (int32_t *)realloc(s->dense, sizeof(int32_t) * (size_t)wanted);
        if (!dense) return HLL_NOMEM;
        s->dense = dense;
        int32_t *filled = (int32_t *)realloc(s->filled, sizeof(int32_t) * (size_t)wanted);
        if (!filled) return HLL_NOMEM;
        s->filled = filled;
        for (int64_t g = s->capacity; g < wanted; g++) { dense[g] = -1; filled[g] = 0; }
        s->capacity = wanted;
    }
    if (groups > s->groups) s->groups = groups;
    return 0;
}

/* `h` is a mixed hash: its first bits name the register, the rank is the place of the first 1 in the others. */
static inline void hll_raise(hll_sketches *s, int64_t row, uint64_t h) {
    uint64_t rest = h << HLL_BITS;
    uint8_t rank = rest ? (uint8_t)(__builtin_clzll(rest) + 1) : HLL_RANK_MAX;
    uint8_t *reg = s->registers + row * HLL_REGISTERS + (h >> (64 - HLL_BITS));
    if (rank > *reg) *reg = rank;
}

static inline uint64_t hll_place(uint64_t h, int64_t group) { return h ^ (uint64_t)group * 0x9e3779b97f4a7c15ull; }

/* Moves the hashes of dense groups to their rows and makes room for more. */
static int hll_rehash(hll_sketches *s) {
    int64_t live = 0;
    for (uint64_t i = 0; s->slots && i <= s->mask; i++)
        live += s->slots[i].group != HLL_EMPTY && s->dense[s->slots[i].group] < 0;
    uint64_t wanted = 1024;
    while ((int64_t)wanted < 4 * (live + 1)) wanted *= 2;
    hll_slot *fresh = (hll_slot *)malloc(sizeof(hll_slot) * wanted);
    if (!fresh) return HLL_NOMEM;
    memset(fresh, 0xff, sizeof(hll_slot) * wanted);
    for (uint64_t i = 0; s->slots && i <= s->mask; i++) {
        hll_slot slot = s->slots[i];
        if (slot.group == HLL_EMPTY) continue;
        int32_t row = s->dense[slot.group];
        if (row >= 0) {
            hll_raise(s, row, slot.hash);
            continue;
        }
        uint64_t at = hll_place(slot.hash, slot.group) & (wanted - 1);
        while (fresh[at].group != HLL_EMPTY) at = (at + 1) & (wanted - 1);
        fresh[at] = slot;
    }
    free(s->slots);
    s->slots = fresh;
    s->mask = wanted - 1;
    s->used = live;
    return 0;
}

static int hll_densify(hll_sketches *s, int64_t group) {
    if (s->dense_count == s->dense_capacity) {
        int64_t wanted = s->dense_capacity ? s->dense_capacity * 2 : 1;
        uint8_t *registers = (uint8_t *)realloc(s->registers, (size_t)(wanted * HLL_REGISTERS));
        if (!registers) return HLL_NOMEM;
        s->registers = registers;
        s->dense_capacity = wanted;
    }
    memset(s->registers + s->dense_count * HLL_REGISTERS, 0, HLL_REGISTERS);
    s->dense[group] = (int32_t)s->dense_count++;
    return 0;
}

static int hll_add_sparse(hll_sketches *s, int64_t group, uint64_t h) {
    if (!s->slots || (uint64_t)(s->used + 1) * 2 > s->mask + 1) {
        int failed = hll_rehash(s);
        if (failed) return failed;
    }
    uint64_t at = hll_place(h, group) & s->mask;
    for (; s->slots[at].group != HLL_EMPTY; at = (at + 1) & s->mask)
        if (s->slots[at].hash == h && s->slots[at].group == group) return 0;
    s->slots[at].hash = h;
    s->slots[at].group = group;
    s->used++;
    return ++s->filled[group] > HLL_SPARSE_MAX ? hll_densify(s, group) : 0;
}

static inline int hll_add_mixed(hll_sketches *s, int64_t group, uint64_t h) {
    if (s->dense[group] < 0) return hll_add_sparse(s, group, h);
    hll_raise(s, s->dense[group], h);
    return 0;
}

/* `hash` is any 64-bit hash of the value; the mixing, which loses none, makes all its bits count in all places. */
static inline int hll_add(hll_sketches *s, int64_t group, uint64_t hash) {
    return hll_add_mixed(s, group, hll_mix(hash));
}

/* The maxima of a row of registers and another one. A sparse group becomes dense. */
static int hll_merge_registers(hll_sketches *s, int64_t group, const uint8_t *other) {
    int failed = s->dense[group] < 0 ? hll_densify(s, group) : 0;
    if (failed) return failed;
    uint8_t *row = s->registers + (int64_t)s->dense[group] * HLL_REGISTERS;
    for (int i = 0; i < HLL_REGISTERS; i++) row[i] = other[i] > row[i] ? other[i] : row[i];
    return 0;
}

static double hll_sigma(double x) {
    if (x == 1.0) return INFINITY;
    double y = 1.0, z = x, before;
    do { x *= x; before = z; z += x * y; y += y; } while (z != before);
    return z;
}

static double hll_tau(double x) {
    if (x == 0.0 || x == 1.0) return 0.0;
    double y = 1.0, z = 1.0 - x, before;
    do { x = sqrt(x); before = z; y *= 0.5; z -= (1.0 - x) * (1.0 - x) * y; } while (z != before);
    return z / 3.0;
}

/* Estimate from the number of registers of each rank 0 … HLL_RANK_MAX. */
static double hll_estimate(const int32_t *histogram) {
    const double m = HLL_REGISTERS;
    if (histogram[0] == HLL_REGISTERS) return 0.0;
    double z = m * hll_tau(1.0 - histogram[HLL_RANK_MAX] / m);
    for (int rank = HLL_RANK_MAX - 1; rank >= 1; rank--) z = 0.5 * (z + histogram[rank]);
    z += m * hll_sigma(histogram[0] / m);
    return 0.5 / 0.69314718055994530942 * m * m / z;
}

#endif

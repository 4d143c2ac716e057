/* 64-bit hashing by folded multiplication (the mixing step of wyhash, Wang Yi 2019), written for routing rows.
 * Stable over runs, ranks and machines of the same byte order; not cryptographic. */
#ifndef HPCKIT_ROUTE_H
#define HPCKIT_ROUTE_H
#include <stdint.h>
#include <string.h>

#define ROUTE_K0 0xa0761d6478bd642fULL
#define ROUTE_K1 0xe7037ed1a0b428dbULL
#define ROUTE_K2 0x8ebc6af09c88c6e3ULL
#define ROUTE_NULL 0x589965cc75374cc3ULL

static inline uint64_t route_mix(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t route_combine(uint64_t state, uint64_t value) {
    return route_mix(state ^ ROUTE_K0, value ^ ROUTE_K1);
}

static inline uint64_t route_load(const uint8_t *p, int64_t n) { /* 0 <= n <= 8 bytes, little end first */
    uint64_t word = 0;
    memcpy(&word, p, (size_t)n);
    return word;
}

/* -0.0 equals 0.0 and all NaNs are one value, as GROUP BY has it. */
static inline uint64_t route_float_bits(double value) {
    uint64_t bits;
    if (value == 0.0) return 0;
    if (value != value) return 0x7ff8000000000000ULL;
    memcpy(&bits, &value, 8);
    return bits;
}

static inline uint64_t route_bytes(const uint8_t *p, int64_t n, uint64_t seed) {
    uint64_t h = seed ^ ROUTE_K2, a, b;
    int64_t left = n;
    if (left > 32) { /* two independent chains keep both multipliers busy */
        uint64_t g = h ^ ROUTE_K0;
        for (; left > 32; left -= 32, p += 32) {
            h = route_mix(route_load(p, 8) ^ ROUTE_K0, route_load(p + 8, 8) ^ h);
            g = route_mix(route_load(p + 16, 8) ^ ROUTE_K1, route_load(p + 24, 8) ^ g);
        }
        h ^= g;
    }
    for (; left > 16; left -= 16, p += 16)
        h = route_mix(route_load(p, 8) ^ ROUTE_K0, route_load(p + 8, 8) ^ h);
    if (left > 8) {
        a = route_load(p, 8);
        b = route_load(p + 8, left - 8);
    } else {
        a = route_load(p, left);
        b = 0;
    }
    return route_mix(ROUTE_K1 ^ (uint64_t)n, route_mix(a ^ ROUTE_K1, b ^ h));
}
#endif

/* Exact sums of doubles and of their squares, one accumulator a group, rounded once at the end.
 *
 * A superaccumulator (Kulisch; R. Neal, "Fast exact summation using small and large superaccumulators", 2015): a fixed
 * point number in 64-bit limbs 32 bits apart, so that 2^11 values can be added before carries must move on. Bit 0 of
 * limb 0 weighs 2^-2176: the square of the smallest double still fits. A group keeps a window of 8 limbs around its
 * first value (80 bytes in all); values outside the window go to a full-range accumulator of that group alone.
 */
#ifndef HPCKIT_EXACTSUM_H
#define HPCKIT_EXACTSUM_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_NOMEM (-3)
#define EXACT_UNIT 2176       /* bit 0 of limb 0 weighs 2^-EXACT_UNIT; a multiple of 32 */
#define EXACT_LIMBS 138
#define EXACT_WINDOW 8
#define EXACT_CARRY_AFTER 1024
#define EXACT_BIG 288         /* limbs of an intermediate result of the variance */

enum { EXACT_POS_INF = 1, EXACT_NEG_INF = 2, EXACT_NAN = 4, EXACT_NEGATIVE = 8 };

typedef struct {
    int64_t limb[EXACT_WINDOW]; /* the last one takes carries only */
    int32_t base;               /* limb[0] is limb `base` of the full range; -1: no value yet */
    int32_t adds;               /* values since carries were last moved on */
    int32_t wide;               /* row of the full-range accumulator, -1: none */
    uint32_t flags;
} exact_acc;

typedef struct { int64_t limb[EXACT_LIMBS]; int64_t adds; } exact_wide;

typedef struct {
    exact_acc *acc;
    int64_t groups, capacity;
    exact_wide *wide;
    int64_t wide_count, wide_capacity;
} exact_sums;

/* A non-negative big number: sum of d[k] * 2^(32 (base + k) - EXACT_UNIT), every d[k] < 2^32, and a sign beside it. */
typedef struct { uint64_t d[EXACT_BIG]; int32_t n, base, negative; } exact_big;

static inline void exact_carry(int64_t *limb, int n) {
    for (int k = 0; k + 1 < n; k++) {
        int64_t carry = limb[k] >> 32;
        limb[k] -= (int64_t)((uint64_t)carry << 32);
        limb[k + 1] += carry;
    }
}

static int exact_resize(exact_sums *s, int64_t groups) {
    if (groups > s->capacity) {
        int64_t wanted = s->capacity * 2 > groups ? s->capacity * 2 : groups;
        exact_acc *acc = (exact_acc *)realloc(s->acc, sizeof(exact_acc) * (size_t)wanted);
        if (!acc) return EXACT_NOMEM;
        memset(acc + s->capacity, 0, sizeof(exact_acc) * (size_t)(wanted - s->capacity));
        for (int64_t g = s->capacity; g < wanted; g++) acc[g].base = acc[g].wide = -1;
        s->acc = acc;
        s->capacity = wanted;
    }
    if (groups > s->groups) s->groups = groups;
    return 0;
}

static void exact_free(exact_sums *s) { free(s->acc); free(s->wide); }

static int exact_add_wide(exact_sums *s, exact_acc *a, int32_t at, int64_t low, int64_t high) {
    if (a->wide < 0) {
        if (s->wide_count == s->wide_capacity) {
            int64_t wanted = s->wide_capacity ? s->wide_capacity * 2 : 4;
            exact_wide *wide = (exact_wide *)realloc(s->wide, sizeof(exact_wide) * (size_t)wanted);
            if (!wide) return EXACT_NOMEM;
            s->wide = wide;
            s->wide_capacity = wanted;
        }
        a->wide = (int32_t)s->wide_count++;
        memset(&s->wide[a->wide], 0, sizeof(exact_wide));
    }
    exact_wide *w = &s->wide[a->wide];
    w->limb[at] += low;
    w->limb[at + 1] += high;
    if (++w->adds >= EXACT_CARRY_AFTER) { exact_carry(w->limb, EXACT_LIMBS); w->adds = 0; }
    return 0;
}

/* Adds (-1)^negative * mantissa * 2^(position - EXACT_UNIT), mantissa < 2^53. */
static inline int exact_add_part(exact_sums *s, exact_acc *a, uint64_t mantissa, int32_t position, int64_t negative) {
    int32_t at = position >> 5, shift = position & 31;
    int64_t sign = -negative;
    int64_t low = ((int64_t)((mantissa << shift) & 0xffffffffu) ^ sign) - sign;
    int64_t high = ((int64_t)(mantissa >> (32 - shift)) ^ sign) - sign;
    uint32_t d = (uint32_t)(at - a->base);
    if (__builtin_expect(d >= EXACT_WINDOW - 2 || a->base < 0, 0)) {
        if (a->base >= 0) return exact_add_wide(s, a, at, low, high);
        a->base = at >= 3 ? at - 3 : 0; /* room for 2^96 less and 2^64 more than the first value */
        d = (uint32_t)(at - a->base);
    }
    a->limb[d] += low;
    a->limb[d + 1] += high;
    if (__builtin_expect(++a->adds >= EXACT_CARRY_AFTER, 0)) { exact_carry(a->limb, EXACT_WINDOW); a->adds = 0; }
    return 0;
}

static inline int exact_add(exact_sums *s, exact_acc *a, double value, const int square) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    int32_t exponent = (int32_t)(bits >> 52) & 0x7ff;
    uint64_t mantissa = bits & 0xfffffffffffffull;
    if (__builtin_expect(exponent == 0x7ff, 0)) {
        a->flags |= mantissa ? EXACT_NAN : (bits >> 63) && !square ? EXACT_NEG_INF : EXACT_POS_INF;
        return 0;
    }
    if (exponent) mantissa |= 1ull << 52; else exponent = 1;
    if (mantissa == 0) return 0;
    if (!square) return exact_add_part(s, a, mantissa, exponent - 1075 + EXACT_UNIT, (int64_t)(bits >> 63));
    __uint128_t product = (__uint128_t)mantissa * mantissa; /* 106 bits: no rounding, no underflow */
    int32_t position = 2 * (exponent - 1075) + EXACT_UNIT;
    int failed = exact_add_part(s, a, (uint64_t)product & ((1ull << 53) - 1), position, 0);
    return failed ? failed : exact_add_part(s, a, (uint64_t)(product >> 53), position + 53, 0);
}

static int exact_add_all(exact_sums *s, const int32_t *ids, const double *values, const uint8_t *use, int64_t n,
                         int square) {
    int failed = 0;
    if (square) {
        for (int64_t i = 0; i < n && !failed; i++)
            if (!use || use[i]) failed = exact_add(s, &s->acc[ids[i]], values[i], 1);
    } else {
        for (int64_t i = 0; i < n && !failed; i++)
            if (!use || use[i]) failed = exact_add(s, &s->acc[ids[i]], values[i], 0);
    }
    return failed;
}

/* The canonical form of a group's sum: sign and magnitude, zero limbs trimmed at both ends. */
static void exact_read(const exact_sums *s, int64_t group, exact_big *out) {
    const exact_acc *a = &s->acc[group];
    int64_t limb[EXACT_LIMBS + EXACT_WINDOW + 4];
    int n = EXACT_WINDOW + 3, base = a->base < 0 ? 0 : a->base;
    if (a->wide >= 0) { n = EXACT_LIMBS + EXACT_WINDOW + 4; base = 0; }
    memset(limb, 0, sizeof(int64_t) * (size_t)n);
    if (a->wide >= 0) memcpy(limb, s->wide[a->wide].limb, sizeof(s->wide->limb));
    exact_carry(limb, n);
    if (a->base >= 0)
        for (int k = 0; k < EXACT_WINDOW; k++) limb[a->base - base + k] += a->limb[k];
    exact_carry(limb, n);
    out->negative = limb[n - 1] < 0;
    if (out->negative) {
        for (int k = 0; k < n; k++) limb[k] = -limb[k];
        exact_carry(limb, n);
    }
    int first = 0;
    while (n > 0 && limb[n - 1] == 0) n--;
    while (first < n && limb[first] == 0) first++;
    out->n = n - first;
    out->base = base + first;
    for (int k = 0; k < out->n; k++) out->d[k] = (uint64_t)limb[first + k];
}

/* x / divisor, truncated after `extra` more limbs; returns 1 if something was cut off. */
static int exact_divide(exact_big *x, uint64_t divisor, int extra) {
    if (divisor == 1 || x->n == 0) return 0;
    memmove(x->d + extra, x->d, sizeof(uint64_t) * (size_t)x->n);
    memset(x->d, 0, sizeof(uint64_t) * (size_t)extra);
    x->n += extra;
    x->base -= extra;
    uint64_t rest = 0;
    for (int k = x->n - 1; k >= 0; k--) {
        if (divisor >> 32) {
            __uint128_t part = ((__uint128_t)rest << 32) | x->d[k];
            x->d[k] = (uint64_t)(part / divisor);
            rest = (uint64_t)(part % divisor);
        } else {
            uint64_t part = (rest << 32) | x->d[k];
            x->d[k] = part / divisor;
            rest = part % divisor;
        }
    }
    return rest != 0;
}

/* The double nearest to x (ties to even); `sticky` says that x lies a little above what its limbs hold. With `odd` it is
 * x cut off, its last bit set if anything was cut (rounding to odd; Boldo, Melquiond, 2008): rounding that once more to a
 * shorter float gives the float nearest to x. */
static double exact_round(const exact_big *x, int sticky, int odd) {
    int top = x->n - 1;
    while (top >= 0 && x->d[top] == 0) top--;
    if (top < 0) return 0.0;
    int lead = __builtin_clz((uint32_t)x->d[top]);
    uint64_t second = top >= 1 ? x->d[top - 1] : 0, third = top >= 2 ? x->d[top - 2] : 0;
    uint64_t window = (x->d[top] << 32) | second;
    if (lead) window = (window << lead) | (third >> (32 - lead));
    int rest = sticky || (uint32_t)(third << lead) != 0;
    for (int k = top - 3; k >= 0 && !rest; k--) rest = x->d[k] != 0;
    int exponent = 32 * (top + x->base) - EXACT_UNIT + 31 - lead; /* of the leading bit */
    if (exponent > 1023) return x->negative ? -INFINITY : INFINITY;
    int drop = exponent >= -1022 ? 11 : 11 + (-1022 - exponent);
    if (drop > 64) return odd ? (x->negative ? -5e-324 : 5e-324) : x->negative ? -0.0 : 0.0;
    uint64_t kept = drop == 64 ? 0 : window >> drop;
    uint64_t cut = drop == 64 ? window : window & ((1ull << drop) - 1), half = 1ull << (drop - 1);
    if (odd) kept |= cut != 0 || rest;
    else if (cut > half || (cut == half && (rest || (kept & 1)))) kept++;
    double value = ldexp((double)kept, exponent - 63 + drop);
    return x->negative ? -value : value;
}

static double exact_special(uint32_t flags) {
    if ((flags & EXACT_NAN) || ((flags & EXACT_POS_INF) && (flags & EXACT_NEG_INF))) return NAN;
    return flags & EXACT_POS_INF ? INFINITY : -INFINITY;
}

static double exact_mean(const exact_sums *s, int64_t group, uint64_t divisor, int odd) {
    exact_big x;
    uint32_t flags = s->acc[group].flags & 7;
    if (flags) return exact_special(flags);
    exact_read(s, group, &x);
    int sticky = exact_divide(&x, divisor, 6);
    return exact_round(&x, sticky, odd);
}

static void exact_multiply(const exact_big *a, const exact_big *b, exact_big *out) {
    memset(out->d, 0, sizeof(uint64_t) * (size_t)(a->n + b->n + 1));
    for (int i = 0; i < a->n; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < b->n; j++) {
            uint64_t part = out->d[i + j] + a->d[i] * b->d[j] + carry; /* < 2^64: (2^32-1)^2 + 2 (2^32-1) */
            out->d[i + j] = part & 0xffffffffu;
            carry = part >> 32;
        }
        out->d[i + b->n] += carry;
    }
    out->n = a->n + b->n;
    out->base = a->base + b->base - EXACT_UNIT / 32;
    out->negative = 0;
}

/* a -= b for a >= b, whatever their bases. */
static void exact_subtract(exact_big *a, const exact_big *b) {
    int shift = b->n ? a->base - b->base : 0;
    if (shift > 0) {
        memmove(a->d + shift, a->d, sizeof(uint64_t) * (size_t)a->n);
        memset(a->d, 0, sizeof(uint64_t) * (size_t)shift);
        a->n += shift;
        a->base -= shift;
    }
    int64_t borrow = 0;
    int offset = b->base - a->base;
    for (int k = 0; k < a->n; k++) {
        int64_t other = b->n && k >= offset && k - offset < b->n ? (int64_t)b->d[k - offset] : 0;
        int64_t part = (int64_t)a->d[k] - other - borrow;
        borrow = part < 0;
        a->d[k] = (uint64_t)(part + (borrow << 32));
    }
}

/* (n sum(x^2) - sum(x)^2) / (n divisor), correctly rounded; divisor is n - ddof > 0. */
static double exact_variance(const exact_sums *sum, const exact_sums *squares, int64_t group, uint64_t n,
                             uint64_t divisor, int odd) {
    exact_big x, factor, scaled, square;
    if ((sum->acc[group].flags | squares->acc[group].flags) & 7) return NAN;
    exact_read(squares, group, &x);
    factor.d[0] = n & 0xffffffffu;
    factor.d[1] = n >> 32;
    factor.n = 2;
    factor.base = EXACT_UNIT / 32;
    exact_multiply(&x, &factor, &scaled);
    exact_read(sum, group, &x);
    exact_multiply(&x, &x, &square);
    exact_subtract(&scaled, &square);
    int sticky = exact_divide(&scaled, n, 3);
    sticky |= exact_divide(&scaled, divisor, 3);
    return exact_round(&scaled, sticky, odd);
}

/* value / divisor for a 128-bit integer, correctly rounded. */
static double exact_ratio128(uint64_t low, int64_t high, uint64_t divisor) {
    exact_big x;
    __uint128_t value = ((__uint128_t)(uint64_t)high << 64) | low;
    x.negative = high < 0;
    if (x.negative) value = -value;
    for (int k = 0; k < 4; k++) { x.d[k] = (uint64_t)(value & 0xffffffffu); value >>= 32; }
    x.n = 4;
    x.base = EXACT_UNIT / 32;
    int sticky = exact_divide(&x, divisor, 4);
    return exact_round(&x, sticky, 0);
}

#endif

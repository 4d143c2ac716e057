/* Many doubles into one exact sum, a chunk at a time by vector instructions that round nothing.
 *
 * With |x| <= 2^t and C = 1.5 * 2^(t + 10), q = (x + C) - C is x rounded to a multiple of 2^(t - 42): the sum of 1024 such
 * q is exact in a double, and so is the rest x - q <= 2^(t - 43), which goes the same way (error-free vector
 * transformation; Ogita, Rump, Oishi, "Accurate sum and dot product", 2005, and Demmel, Nguyen, "Parallel reproducible
 * summation", 2015). Folding goes on until nothing is left, two or three times for usual data; one double of each fold
 * goes to the superaccumulator. The result is exact, so it does not depend on the instruction set.
 */
#ifndef HPCKIT_EXACTFOLD_H
#define HPCKIT_EXACTFOLD_H

#include "exactsum.h"

#define FOLD_CHUNK 1024 /* values; its logarithm is the 10 above */
#define FOLD_LANES 8
#define FOLD_TILE 8     /* columns copied side by side out of rows */
#define FOLD_EXPONENT_MAX 1000

typedef double fold_vector __attribute__((vector_size(8 * FOLD_LANES)));
typedef int64_t fold_bits __attribute__((vector_size(8 * FOLD_LANES)));

static inline __attribute__((always_inline)) double fold_constant(int t) {
    int k = t + 10 < -1022 ? -1022 : t + 10; /* below, every double is a multiple of 2^-1074 already */
    uint64_t bits = ((uint64_t)(k + 1023) << 52) | (1ull << 51);
    double constant;
    memcpy(&constant, &bits, 8);
    return constant;
}

static inline __attribute__((always_inline)) double fold_lanes(const fold_vector *v) {
    double sum = 0; /* exact: the bound holds for the whole chunk */
    for (int k = 0; k < FOLD_LANES; k++) sum += (*v)[k];
    return sum;
}

/* Adds the chunk `rest` of n values (n a multiple of the lanes, all |x| <= 2^t), destroying it. */
static inline __attribute__((always_inline)) int fold_chunk(exact_sums *s, exact_acc *a, double *rest, int n, int t) {
    for (;;) {
        double first = fold_constant(t), second = fold_constant(t - 43);
        fold_vector c = first - (fold_vector){0}, d = second - (fold_vector){0}, sum = {0}, sum2 = {0};
        fold_bits left = {0};
        for (int i = 0; i < n; i += FOLD_LANES) {
            fold_vector x, q;
            fold_bits b;
            memcpy(&x, rest + i, sizeof x);
            q = (x + c) - c;
            sum += q;
            x -= q;
            q = (x + d) - d;
            sum2 += q;
            x -= q;
            memcpy(rest + i, &x, sizeof x);
            memcpy(&b, &x, sizeof b);
            left |= b;
        }
        int failed = exact_add(s, a, fold_lanes(&sum), 0);
        if (!failed) failed = exact_add(s, a, fold_lanes(&sum2), 0);
        if (failed) return failed;
        int64_t any = 0;
        for (int k = 0; k < FOLD_LANES; k++) any |= left[k];
        if ((any & INT64_MAX) == 0) return 0;
        t -= 86;
    }
}

/* The biased exponents of the largest and of the smallest value that is not 0 (2047 if there is none). */
static inline __attribute__((always_inline)) void fold_range(const double *x, int n, int *largest, int *smallest) {
    fold_bits high = {0}, low = INT64_MAX - (fold_bits){0};
    const fold_bits magnitude = INT64_MAX - (fold_bits){0};
    for (int i = 0; i < n; i += FOLD_LANES) {
        fold_bits b, more;
        memcpy(&b, x + i, sizeof b);
        b &= magnitude;
        more = b > high;
        high = (b & more) | (high & ~more);
        b |= (b == 0) & magnitude;
        more = b < low;
        low = (b & more) | (low & ~more);
    }
    int64_t top = 0, bottom = INT64_MAX;
    for (int k = 0; k < FOLD_LANES; k++) {
        if (high[k] > top) top = high[k];
        if (low[k] < bottom) bottom = low[k];
    }
    *largest = (int)(top >> 52);
    *smallest = (int)(bottom >> 52);
}

static inline __attribute__((always_inline)) int fold_largest(const double *x, int n) {
    int largest, smallest; /* the smallest is not used: the compiler leaves it out of the loop */
    fold_range(x, n, &largest, &smallest);
    return largest;
}

/* x = h + l with 26 bits each, so that h h, 2 h l and l l are exact. */
static inline __attribute__((always_inline)) void fold_squares(const double *x, int n, double *hh, double *hl,
                                                                double *ll) {
    for (int i = 0; i < n; i += FOLD_LANES) {
        fold_vector v, h, l;
        fold_bits b;
        memcpy(&v, x + i, sizeof v);
        memcpy(&b, x + i, sizeof b);
        b = (b + (1 << 26)) & ~(fold_bits)(((1 << 27) - 1) - (fold_bits){0});
        memcpy(&h, &b, sizeof h);
        l = v - h;
        v = h * h;
        memcpy(hh + i, &v, sizeof v);
        v = (h + h) * l;
        memcpy(hl + i, &v, sizeof v);
        v = l * l;
        memcpy(ll + i, &v, sizeof v);
    }
}

/* Adds n values (their squares), n <= FOLD_CHUNK. */
static inline __attribute__((always_inline)) int fold_values(exact_sums *s, exact_acc *a, const double *values, int n,
                                                             int square) {
    double part[3][FOLD_CHUNK];
    int failed = 0, padded = (n + FOLD_LANES - 1) / FOLD_LANES * FOLD_LANES, largest, smallest;
    if (n >= 4 * FOLD_LANES) {
        memcpy(part[0], values, sizeof(double) * (size_t)n);
        for (int i = n; i < padded; i++) part[0][i] = 0;
        if (square) {
            fold_range(part[0], padded, &largest, &smallest);
            if (largest < 1023 + 480 && smallest > 1023 - 480) {
                int t = 2 * (largest - 1022);
                fold_squares(part[0], padded, part[0], part[1], part[2]);
                failed = fold_chunk(s, a, part[0], padded, t);
                if (!failed) failed = fold_chunk(s, a, part[1], padded, t - 24);
                return failed ? failed : fold_chunk(s, a, part[2], padded, t - 50);
            }
        } else {
            largest = fold_largest(part[0], padded);
            if (largest < 1023 + FOLD_EXPONENT_MAX) return fold_chunk(s, a, part[0], padded, largest - 1022);
        }
    }
    for (int i = 0; i < n && !failed; i++) failed = exact_add(s, a, values[i], square);
    return failed;
}

static inline __attribute__((always_inline)) int fold_run(exact_sums *s, exact_acc *a, const double *values, int64_t n,
                                                          int square) {
    int failed = 0;
    for (int64_t i = 0; i < n && !failed; i += FOLD_CHUNK)
        failed = fold_values(s, a, values + i, (int)(n - i < FOLD_CHUNK ? n - i : FOLD_CHUNK), square);
    return failed;
}

/* Column g of `rows` rows of `columns` values to group g: tiles of a few columns are copied out, then folded. */
static inline __attribute__((always_inline)) int fold_columns(exact_sums *s, const double *values, int64_t rows,
                                                              int64_t columns, int square) {
    double tile[FOLD_TILE][FOLD_CHUNK];
    int failed = 0;
    for (int64_t row = 0; row < rows; row += FOLD_CHUNK) {
        int n = (int)(rows - row < FOLD_CHUNK ? rows - row : FOLD_CHUNK);
        for (int64_t column = 0; column < columns; column += FOLD_TILE) {
            int width = (int)(columns - column < FOLD_TILE ? columns - column : FOLD_TILE);
            for (int i = 0; i < n; i++) {
                const double *from = values + (row + i) * columns + column;
                for (int k = 0; k < width; k++) tile[k][i] = from[k];
            }
            for (int k = 0; k < width && !failed; k++)
                failed = fold_values(s, &s->acc[column + k], tile[k], n, square);
            if (failed) return failed;
        }
    }
    return 0;
}

/* The same code for each instruction set, chosen when it is called. */
#define FOLD_VARIANT(name, target) \
    target static int fold_runs_##name(exact_sums *s, const double *v, int64_t groups, int64_t n, int square) { \
        int failed = 0; \
        for (int64_t g = 0; g < groups && !failed; g++) failed = fold_run(s, &s->acc[g], v + g * n, n, square); \
        return failed; \
    } \
    target static int fold_columns_##name(exact_sums *s, const double *v, int64_t rows, int64_t columns, int square) { \
        return fold_columns(s, v, rows, columns, square); \
    }

FOLD_VARIANT(plain, )
#if defined(__x86_64__)
FOLD_VARIANT(avx2, __attribute__((target("avx2"))))
FOLD_VARIANT(avx512, __attribute__((target("avx512f"))))
#define FOLD_BEST(function, ...) \
    (__builtin_cpu_supports("avx512f") ? function##_avx512(__VA_ARGS__) \
     : __builtin_cpu_supports("avx2") ? function##_avx2(__VA_ARGS__) : function##_plain(__VA_ARGS__))
#else
#define FOLD_BEST(function, ...) function##_plain(__VA_ARGS__)
#endif

/* Row g of n values to group g; or, by column, value i of each of n rows to group i. `level` 0 is the portable code. */
static int exact_add_block(exact_sums *s, const double *v, int64_t groups, int64_t n, int by_column, int square,
                           int level) {
    if (!level) return by_column ? fold_columns_plain(s, v, n, groups, square) : fold_runs_plain(s, v, groups, n, square);
    return by_column ? FOLD_BEST(fold_columns, s, v, n, groups, square) : FOLD_BEST(fold_runs, s, v, groups, n, square);
}

/* Adds a 64-bit integer (its square). */
static inline int exact_add_integer(exact_sums *s, exact_acc *a, uint64_t magnitude, int64_t negative, int square) {
    const uint64_t mask = (1ull << 53) - 1;
    __uint128_t value = square ? (__uint128_t)magnitude * magnitude : magnitude;
    int failed = 0;
    for (int position = EXACT_UNIT; value && !failed; position += 53, value >>= 53)
        if ((uint64_t)value & mask)
            failed = exact_add_part(s, a, (uint64_t)value & mask, position, square ? 0 : negative);
    return failed;
}

static int exact_add_integers(exact_sums *s, const uint64_t *v, int64_t groups, int64_t n, int by_column, int square,
                              int is_signed) {
    int failed = 0;
    for (int64_t g = 0; g < groups && !failed; g++)
        for (int64_t i = 0; i < n && !failed; i++) {
            uint64_t word = by_column ? v[i * groups + g] : v[g * n + i];
            int64_t negative = is_signed && (int64_t)word < 0;
            failed = exact_add_integer(s, &s->acc[g], negative ? 0 - word : word, negative, square);
        }
    return failed;
}

#endif

/* Stable sort of (key, value) pairs in the cache: least significant digit first over just the leading bits that tell the
 * keys of this piece apart, then insertion within runs that agree in them (long runs by recursion). */
#ifndef HPCKIT_RADIX_H
#define HPCKIT_RADIX_H
#include <stdint.h>
#include <string.h>

#define RADIX_SMALL 32       /* pairs sorted by insertion */
#define RADIX_DIGIT_MAX 11   /* bits of a digit */

typedef struct {
    uint64_t key, value;
} pair;

static inline int radix_bits(uint64_t x) { return x ? 64 - __builtin_clzll(x) : 0; }

static void radix_insertion(pair *a, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        pair p = a[i];
        int64_t j = i;
        for (; j > 0 && a[j - 1].key > p.key; j--) a[j] = a[j - 1];
        a[j] = p;
    }
}

static void radix_extent(const pair *a, int64_t n, uint64_t *low, uint64_t *high) {
    uint64_t least = a[0].key, most = a[0].key;
    for (int64_t i = 1; i < n; i++) {
        least = a[i].key < least ? a[i].key : least;
        most = a[i].key > most ? a[i].key : most;
    }
    *low = least;
    *high = most;
}

/* One stable pass from a to b by the `bits` bits of key - low above `shift`. */
static void radix_pass(const pair *restrict a, pair *restrict b, int64_t n, uint64_t low, int shift, int bits) {
    uint32_t place[1 << RADIX_DIGIT_MAX];
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint32_t total = 0;
    memset(place, 0, sizeof(uint32_t) << bits);
    for (int64_t i = 0; i < n; i++) place[(a[i].key - low) >> shift & mask]++;
    for (int64_t d = 0; d <= (int64_t)mask; d++) {
        uint32_t count = place[d];
        place[d] = total;
        total += count;
    }
    for (int64_t i = 0; i < n; i++) b[place[(a[i].key - low) >> shift & mask]++] = a[i];
}

/* Sort a[0:n], n < 2^32, with b as scratch of the same size; the result is in a. */
static void radix_pairs(pair *a, pair *b, int64_t n) {
    uint64_t low, high;
    int width, wanted, passes, digit, shift;
    if (n <= RADIX_SMALL) {
        radix_insertion(a, n);
        return;
    }
    radix_extent(a, n, &low, &high);
    width = radix_bits(high - low);
    if (!width) return;
    wanted = radix_bits((uint64_t)n) + 1; /* leading bits that leave few pairs alike, if they are spread evenly */
    wanted = wanted < width ? wanted : width;
    passes = (wanted + RADIX_DIGIT_MAX - 2) / (RADIX_DIGIT_MAX - 1);
    digit = (wanted + passes - 1) / passes;
    if (digit * passes > width) { /* rounding up must not reach below bit 0 */
        shift = 0;
    } else {
        shift = width - digit * passes;
    }
    for (int pass = 0; pass < passes; pass++) {
        pair *other = a;
        radix_pass(a, b, n, low, shift + pass * digit, digit);
        a = b;
        b = other;
    }
    if (passes & 1) { /* back to where the caller looks for it */
        memcpy(b, a, (size_t)n * sizeof(pair));
        pair *other = a;
        a = b;
        b = other;
    }
    if (!shift) return;
    for (int64_t i = 0, j; i < n; i = j) {
        const uint64_t leading = (a[i].key - low) >> shift;
        for (j = i + 1; j < n && (a[j].key - low) >> shift == leading; j++) {}
        if (j - i > RADIX_SMALL)
            radix_pairs(a + i, b + i, j - i);
        else if (j - i > 1)
            radix_insertion(a + i, j - i);
    }
}
#endif

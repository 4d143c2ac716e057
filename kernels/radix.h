/* Sorting in the cache: stably (key, value) pairs, and words that are all there is. Least significant digit first over just
 * the leading bits that tell the keys of this piece apart, then insertion within runs that agree in them (long runs by
 * recursion). */
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

/* Sort a[0:n] by a[i] - low, by insertion; false, and some of it done, if a word would have to pass RADIX_SMALL others. */
static int radix_insert_near(uint64_t *a, int64_t n, uint64_t low) {
    for (int64_t i = 1; i < n; i++) {
        const uint64_t word = a[i], key = word - low;
        if (__builtin_expect(a[i - 1] - low > key, 0)) {
            const int64_t end = i > RADIX_SMALL ? i - RADIX_SMALL : 0;
            int64_t j = i;
            do {
                a[j] = a[j - 1];
                j--;
            } while (j > end && a[j - 1] - low > key);
            a[j] = word;
            if (j == end && end) return 0;
        }
    }
    return 1;
}

#define RADIX_WORD_PASSES 4 /* of at most RADIX_DIGIT_MAX - 1 bits: 32 bits and RADIX_SPARSE more */
#define RADIX_SPARSE 2      /* so many bits more than the words have numbers: few words agree, and none is moved far */

/* Sort a[0:n], n < 2^32, of words that are unsigned (flip 0) or signed (flip 2^63), with b as scratch of the same size. */
static void radix_words(uint64_t *a, uint64_t *b, int64_t n, uint64_t flip) {
    uint32_t place[RADIX_WORD_PASSES][1 << RADIX_DIGIT_MAX];
    uint64_t least, most, low, mask, *from = a, *to = b;
    int width, wanted, passes, digit, shift;
    if (n <= RADIX_SMALL) {
        radix_insert_near(a, n, flip);
        return;
    }
    least = most = a[0] ^ flip;
    for (int64_t i = 1; i < n; i++) {
        const uint64_t key = a[i] ^ flip;
        least = key < least ? key : least;
        most = key > most ? key : most;
    }
    width = radix_bits(most - least);
    if (!width) return;
    low = least ^ flip; /* words have the order of word - low */
    wanted = radix_bits((uint64_t)n) + RADIX_SPARSE;
    wanted = wanted < width ? wanted : width;
    passes = (wanted + RADIX_DIGIT_MAX - 2) / (RADIX_DIGIT_MAX - 1);
    digit = (wanted + passes - 1) / passes;
    shift = digit * passes > width ? 0 : width - digit * passes;
    mask = ((uint64_t)1 << digit) - 1;
    for (int pass = 0; pass < passes; pass++) memset(place[pass], 0, sizeof(uint32_t) << digit);
    if (passes == 2)
        for (int64_t i = 0; i < n; i++) {
            const uint64_t key = (a[i] - low) >> shift;
            place[0][key & mask]++;
            place[1][key >> digit & mask]++;
        }
    else
        for (int pass = 0; pass < passes; pass++)
            for (int64_t i = 0; i < n; i++) place[pass][(a[i] - low) >> (shift + pass * digit) & mask]++;
    for (int pass = 0; pass < passes; pass++) {
        uint32_t total = 0;
        const int at = shift + pass * digit;
        for (uint64_t d = 0; d <= mask; d++) {
            const uint32_t count = place[pass][d];
            place[pass][d] = total;
            total += count;
        }
        for (int64_t i = 0; i < n; i++) to[place[pass][(from[i] - low) >> at & mask]++] = from[i];
        uint64_t *other = from;
        from = to;
        to = other;
    }
    if (from != a) memcpy(a, from, (size_t)n * sizeof(uint64_t));
    if (!shift || radix_insert_near(a, n, low)) return;
    for (int64_t i = 0, j; i < n; i = j) { /* some runs are long */
        const uint64_t leading = (a[i] - low) >> shift;
        for (j = i + 1; j < n && (a[j] - low) >> shift == leading; j++) {}
        if (j - i > 1) radix_words(a + i, b + i, j - i, flip);
    }
}
#endif

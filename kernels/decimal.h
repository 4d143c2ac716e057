/* Shortest decimal text of a double that reads back as the same double.
 *
 * Method: Raffaello Giulietti, "The Schubfach way to render doubles" (2020). The powers of ten come from the caller:
 * row i is the 128-bit g(i - 292) = ceil(10^(i-292) * 2^-r), with r such that 2^127 <= g < 2^128, as (high, low).
 * Layout as DuckDB and Python print it: 0.0001 … 1e15 with a point, beyond as 1e-05, 1.5e+300.
 */
#ifndef HPCKIT_DECIMAL_H
#define HPCKIT_DECIMAL_H

#include <stdint.h>
#include <string.h>

#define DECIMAL_POWER_MIN (-292)

typedef unsigned __int128 decimal_u128;

static const char DECIMAL_PAIRS[201] =
    "0001020304050607080910111213141516171819"
    "2021222324252627282930313233343536373839"
    "4041424344454647484950515253545556575859"
    "6061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* Decimal digits of v at out, without leading zeros; returns how many. */
static inline int decimal_digits(uint64_t v, uint8_t *out) {
    uint8_t buffer[20];
    int at = 20;
    while (v >= 100) {
        uint64_t q = v / 100;
        at -= 2;
        memcpy(buffer + at, DECIMAL_PAIRS + 2 * (v - 100 * q), 2);
        v = q;
    }
    if (v >= 10) {
        at -= 2;
        memcpy(buffer + at, DECIMAL_PAIRS + 2 * v, 2);
    } else {
        buffer[--at] = (uint8_t)('0' + v);
    }
    memcpy(out, buffer + at, 20 - at);
    return 20 - at;
}

static inline uint8_t *write_int64(uint8_t *out, int64_t value) {
    uint64_t magnitude = (uint64_t)value;
    if (value < 0) {
        *out++ = '-';
        magnitude = 0 - magnitude;
    }
    return out + decimal_digits(magnitude, out);
}

/* High 64 bits of g * cp / 2^64, its last bit sticky. */
static inline uint64_t decimal_round_to_odd(uint64_t high, uint64_t low, uint64_t cp) {
    decimal_u128 x = (decimal_u128)low * cp;
    decimal_u128 y = (decimal_u128)high * cp + (uint64_t)(x >> 64);
    return (uint64_t)(y >> 64) | ((uint64_t)y > 1);
}

/* digits * 10^exponent is the shortest decimal in the rounding interval of the positive, finite double `bits`. */
static inline uint64_t decimal_shortest(uint64_t bits, const uint64_t *powers, int *exponent) {
    uint64_t fraction = bits & 0xFFFFFFFFFFFFFULL;
    int biased = (int)(bits >> 52) & 0x7FF;
    uint64_t c = biased ? fraction | (1ULL << 52) : fraction;
    int q = biased ? biased - 1075 : -1074;
    int even = !(c & 1);
    int closer = fraction == 0 && biased > 1;
    uint64_t cb = 4 * c, cbl = cb - 2 + closer, cbr = cb + 2;
    int k = (q * 1262611 - (closer ? 524031 : 0)) >> 22;
    int h = q + ((-k * 1741647) >> 19) + 1;
    const uint64_t *g = powers + 2 * (-k - DECIMAL_POWER_MIN);
    uint64_t lower = decimal_round_to_odd(g[0], g[1], cbl << h) + !even;
    uint64_t value = decimal_round_to_odd(g[0], g[1], cb << h);
    uint64_t upper = decimal_round_to_odd(g[0], g[1], cbr << h) - !even;
    uint64_t s = value / 4;
    if (s >= 10) {
        uint64_t sp = s / 10;
        int under = lower <= 40 * sp;
        int over = 40 * sp + 40 <= upper;
        if (under != over) {
            *exponent = k + 1;
            return sp + over;
        }
    }
    int under = lower <= 4 * s;
    int over = 4 * s + 4 <= upper;
    *exponent = k;
    if (under != over) return s + over;
    uint64_t middle = 4 * s + 2;
    return s + (value > middle || (value == middle && (s & 1)));
}

/* At most 25 bytes. */
static inline uint8_t *write_double(uint8_t *out, double number, const uint64_t *powers) {
    uint64_t bits;
    memcpy(&bits, &number, 8);
    if (number != number) {
        memcpy(out, "nan", 3);
        return out + 3;
    }
    if (bits >> 63) *out++ = '-';
    bits &= 0x7FFFFFFFFFFFFFFFULL;
    if (bits == 0) {
        memcpy(out, "0.0", 3);
        return out + 3;
    }
    if (bits == 0x7FF0000000000000ULL) {
        memcpy(out, "inf", 3);
        return out + 3;
    }
    uint8_t digits[20];
    int exponent = 0, n;
    double magnitude;
    memcpy(&magnitude, &bits, 8);
    if (magnitude < 1e15 && magnitude == (double)(int64_t)magnitude) {
        n = decimal_digits((uint64_t)magnitude, out); /* whole numbers are frequent and need no search */
        memcpy(out + n, ".0", 2);
        return out + n + 2;
    }
    n = decimal_digits(decimal_shortest(bits, powers, &exponent), digits);
    while (n > 1 && digits[n - 1] == '0') {
        n--;
        exponent++;
    }
    int point = n + exponent; /* value = 0.DIGITS * 10^point */
    if (point > 16 || point < -3) {
        *out++ = digits[0];
        if (n > 1) {
            *out++ = '.';
            memcpy(out, digits + 1, n - 1);
            out += n - 1;
        }
        int power = point - 1;
        *out++ = 'e';
        *out++ = power < 0 ? '-' : '+';
        if (power < 0) power = -power;
        if (power >= 100) *out++ = (uint8_t)('0' + power / 100);
        memcpy(out, DECIMAL_PAIRS + 2 * (power % 100), 2);
        return out + 2;
    }
    if (point <= 0) {
        memcpy(out, "0.000", 5);
        out += 2 - point;
        memcpy(out, digits, n);
        return out + n;
    }
    if (point >= n) {
        memcpy(out, digits, n);
        memset(out + n, '0', point - n);
        memcpy(out + point, ".0", 2);
        return out + point + 2;
    }
    memcpy(out, digits, point);
    out[point] = '.';
    memcpy(out + point + 1, digits + point, n - point);
    return out + n + 1;
}

#endif

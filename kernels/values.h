/* Bytes to values: integers, floats, UTF-8, escapes. No allocation, no locale, no reads outside [p, p + n). */
#ifndef HPCKIT_VALUES_H
#define HPCKIT_VALUES_H

#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "intern.h"

/* 1 and the value if all n bytes are a decimal integer that fits; else 0. */
static inline int parse_int(const uint8_t *p, int64_t n, int64_t *out) {
    if (n <= 0) return 0;
    int negative = p[0] == '-';
    if (negative || p[0] == '+') { p++; n--; }
    if (n <= 0) return 0;
    while (n > 19 && *p == '0') { p++; n--; }
    if (n > 19) return 0;
    uint64_t value = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t digit = (uint32_t)p[i] - '0';
        if (digit > 9) return 0;
        value = value * 10 + digit; /* 19 digits stay below 2^64 */
    }
    if (value > (uint64_t)INT64_MAX + (uint64_t)negative) return 0;
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 1;
}

/* As parse_int for one to eight digits and nothing else; 8 bytes can be read from p on. Three multiplications instead of a
 * loop (Lemire's blog, 2018, after a trick known from Mula). */
static inline int parse_short(const uint8_t *p, int64_t n, int64_t *out) {
    const uint64_t zeros = 0x3030303030303030ull, high = 0xf0f0f0f0f0f0f0f0ull;
    if ((uint64_t)(n - 1) > 7) return 0;
    uint64_t word = hpckit_load8(p) << (64 - 8 * n);
    if (n < 8) word |= zeros >> (8 * n);
    if ((word & high) != zeros || ((word + 0x0606060606060606ull) & high) != zeros) return 0;
    word = (word & 0x0f0f0f0f0f0f0f0full) * 2561 >> 8;
    word = (word & 0x00ff00ff00ff00ffull) * 6553601 >> 16;
    *out = (int64_t)((word & 0x0000ffff0000ffffull) * 42949672960001ull >> 32);
    return 1;
}

static locale_t hpckit_c_locale(void) {
    static locale_t loc = (locale_t)0;
    if (!loc) loc = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return loc;
}

static int word_is(const uint8_t *p, int64_t n, const char *word) {
    if ((int64_t)strlen(word) != n) return 0;
    for (int64_t i = 0; i < n; i++)
        if ((p[i] | 0x20) != (uint8_t)word[i]) return 0;
    return 1;
}

/* 1 and the correctly rounded value if all n bytes are a decimal number, inf or nan; else 0. Up to 15 digits and a
 * power of ten up to 22 are exact in one operation (Clinger 1990); the rest goes through strtod. */
static int parse_float(const uint8_t *p, int64_t n, double *out) {
    static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const uint8_t *q = p, *end = p + n;
    int negative = 0, digits = 0, any = 0, scale = 0, exponent = 0;
    uint64_t mantissa = 0;
    if (n <= 0) return 0;
    if (*q == '-' || *q == '+') negative = *q++ == '-';
    for (; q < end && (uint32_t)(*q - '0') <= 9; q++, any = 1)
        if (digits || *q != '0') { if (digits < 19) { mantissa = mantissa * 10 + (*q - '0'); } digits++; }
    if (q < end && *q == '.')
        for (q++; q < end && (uint32_t)(*q - '0') <= 9; q++, any = 1, scale++)
            if (digits || *q != '0') { if (digits < 19) { mantissa = mantissa * 10 + (*q - '0'); } digits++; }
    if (!any) {
        const uint8_t *body = p + (*p == '-' || *p == '+');
        int64_t left = end - body;
        if (word_is(body, left, "nan")) { *out = NAN; return 1; }
        if (word_is(body, left, "inf") || word_is(body, left, "infinity")) { *out = negative ? -INFINITY : INFINITY; return 1; }
        return 0;
    }
    if (q < end && (*q | 0x20) == 'e') {
        int sign = 1, seen = 0;
        q++;
        if (q < end && (*q == '-' || *q == '+')) sign = *q++ == '-' ? -1 : 1;
        for (; q < end && (uint32_t)(*q - '0') <= 9; q++, seen = 1)
            if (exponent < 100000) exponent = exponent * 10 + (*q - '0');
        if (!seen) return 0;
        exponent *= sign;
    }
    if (q != end) return 0;
    int shift = exponent - scale;
    if (digits <= 15 && shift >= -22 && shift <= 22) {
        double value = (double)mantissa;
        value = shift < 0 ? value / power[-shift] : value * power[shift];
        *out = negative ? -value : value;
        return 1;
    }
    char text[512];
    if (n >= (int64_t)sizeof(text)) return 0;
    memcpy(text, p, (size_t)n);
    text[n] = 0;
    *out = strtod_l(text, NULL, hpckit_c_locale());
    return 1;
}

static inline int has_high_bit(const uint8_t *p, int64_t n) {
    uint64_t seen = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) seen |= hpckit_load8(p + i);
    for (; i < n; i++) seen |= p[i];
    return (seen & 0x8080808080808080ull) != 0;
}

/* 1 if the n bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
static int utf8_valid(const uint8_t *p, int64_t n) {
    if (!has_high_bit(p, n)) return 1;
    for (int64_t i = 0; i < n;) {
        uint8_t c = p[i];
        if (c < 0x80) { i++; continue; }
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || i + more >= n) return 0;
        uint8_t second = p[i + 1];
        uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        if (second < low || second > high) return 0;
        for (int k = 2; k <= more; k++)
            if ((p[i + k] & 0xc0) != 0x80) return 0;
        i += more + 1;
    }
    return 1;
}

static inline int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undo C-style backslash escapes as web servers write them; with `bytes` also \xHH above 0x7f. Returns the length. */
static int64_t unescape_backslash(const uint8_t *p, int64_t n, uint8_t *out, int bytes) {
    static const char from[] = "nrtbfva", to[] = "\n\r\t\b\f\v\a";
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        if (p[i] != '\\' || i + 1 == n) { out[k++] = p[i]; continue; }
        uint8_t c = p[i + 1];
        const char *hit = c ? strchr(from, c) : NULL;
        if (c == '"' || c == '\\' || c == '\'') { out[k++] = c; i++; }
        else if (hit) { out[k++] = (uint8_t)to[hit - from]; i++; }
        else if (c == 'x' && i + 3 < n && hex_digit(p[i + 2]) >= 0 && hex_digit(p[i + 3]) >= 0
                 && (bytes || hex_digit(p[i + 2]) < 8)) {
            out[k++] = (uint8_t)(hex_digit(p[i + 2]) * 16 + hex_digit(p[i + 3]));
            i += 3;
        } else out[k++] = p[i];
    }
    return k;
}

static int64_t unescape_quoted(const uint8_t *p, int64_t n, uint8_t *out) {
    int64_t length = unescape_backslash(p, n, out, 1);
    return utf8_valid(out, length) ? length : unescape_backslash(p, n, out, 0);
}

/* CSV: "" stands for one quote. */
static int64_t unescape_csv(const uint8_t *p, int64_t n, uint8_t *out) {
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        out[k++] = p[i];
        if (p[i] == '"' && i + 1 < n && p[i + 1] == '"') i++;
    }
    return k;
}

/* The lines of a record without blank ones and without carriage returns at their ends. */
static int64_t join_lines(const uint8_t *p, int64_t n, uint8_t *out) {
    int64_t k = 0, i = 0;
    while (i <= n) {
        const uint8_t *newline = i < n ? (const uint8_t *)memchr(p + i, '\n', (size_t)(n - i)) : NULL;
        int64_t stop = newline ? newline - p : n, length = stop - i;
        if (length > 0 && p[stop - 1] == '\r') length--;
        if (i > 0 && length > 0) out[k++] = '\n';
        memcpy(out + k, p + i, (size_t)length);
        k += length;
        i = stop + 1;
    }
    return k;
}

static int read_hex4(const uint8_t *p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static int64_t put_utf8(uint8_t *out, uint32_t c) {
    if (c < 0x80) { out[0] = (uint8_t)c; return 1; }
    if (c < 0x800) { out[0] = (uint8_t)(0xc0 | c >> 6); out[1] = (uint8_t)(0x80 | (c & 63)); return 2; }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | c >> 12); out[1] = (uint8_t)(0x80 | (c >> 6 & 63)); out[2] = (uint8_t)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | c >> 18); out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 63)); out[3] = (uint8_t)(0x80 | (c & 63));
    return 4;
}

/* JSON string contents; -1 if an escape is malformed. Lone surrogates become U+FFFD. */
static int64_t unescape_json(const uint8_t *p, int64_t n, uint8_t *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        if (p[i] != '\\') { out[k++] = p[i]; continue; }
        if (++i >= n) return -1;
        if (p[i] == 'u') {
            if (i + 4 >= n) return -1;
            int high = read_hex4(p + i + 1);
            if (high < 0) return -1;
            i += 4;
            uint32_t c = (uint32_t)high;
            if (high >= 0xd800 && high < 0xdc00 && i + 6 < n && p[i + 1] == '\\' && p[i + 2] == 'u') {
                int low = read_hex4(p + i + 3);
                if (low >= 0xdc00 && low < 0xe000) { c = 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00); i += 6; }
            }
            if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
            k += put_utf8(out + k, c);
            continue;
        }
        const char *hit = p[i] ? strchr(from, p[i]) : NULL;
        if (!hit) return -1;
        out[k++] = (uint8_t)to[hit - from];
    }
    return k;
}

#endif

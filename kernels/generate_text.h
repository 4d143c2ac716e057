/* Text building blocks of the generators: random streams, tables drawn from, digits, dates. Integers only, so that a
 * seed gives the same bytes on every machine. Output buffers have slack: copies may overshoot by 31 bytes. */
#ifndef HPCKIT_GENERATE_TEXT_H
#define HPCKIT_GENERATE_TEXT_H

#include <stdint.h>
#include <string.h>

#define GEN_BLOCK_ROWS 65536
#define GEN_LINE_MAX 1024 /* no generator writes a longer line; the buffer holds this much for every row */

/* splitmix64 (Steele, Lea, Flood 2014): a counter and a mixer, so any (seed, block) starts its own stream. */
typedef struct {
    uint64_t counter;
} GenRng;

static inline uint64_t gen_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

static inline GenRng gen_stream(uint64_t key, uint64_t purpose) {
    GenRng rng = {gen_mix(key + gen_mix(purpose + 0x9E3779B97F4A7C15ULL))};
    return rng;
}

static inline uint64_t gen_next(GenRng *rng) {
    rng->counter += 0x9E3779B97F4A7C15ULL;
    return gen_mix(rng->counter);
}

/* A number in 0 .. n-1 from the upper half of `r` (n < 2^32). */
static inline uint32_t gen_scale(uint64_t r, uint32_t n) { return (uint32_t)(((r >> 32) * (uint64_t)n) >> 32); }
static inline uint32_t gen_below(GenRng *rng, uint32_t n) { return gen_scale(gen_next(rng), n); }

/* Walker's alias table (1977): entry i is kept when the lower half of the random number is below cut[i]. */
typedef struct {
    const uint32_t *cut;
    const uint32_t *other;
    uint32_t size;
} GenAlias;

static inline uint32_t gen_draw(const GenAlias *alias, uint64_t r) {
    uint32_t i = gen_scale(r, alias->size);
    return (uint32_t)r < alias->cut[i] ? i : alias->other[i];
}

/* Strings one after the other; the pool ends with 32 spare bytes because copies read in steps of 16. */
typedef struct {
    const uint8_t *bytes;
    const int32_t *offsets;
} GenPool;

static inline uint8_t *gen_copy(uint8_t *out, const uint8_t *from, int32_t n) {
    int32_t i = 0;
    do {
        memcpy(out + i, from + i, 16);
        i += 16;
    } while (i < n);
    return out + n;
}

static inline uint8_t *gen_pooled(uint8_t *out, const GenPool *pool, uint32_t i) {
    return gen_copy(out, pool->bytes + pool->offsets[i], pool->offsets[i + 1] - pool->offsets[i]);
}

#define GEN_LITERAL(out, text) (memcpy((out), (text), sizeof(text) - 1), (out) + sizeof(text) - 1)

static const char GEN_PAIRS[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354"
    "555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static inline uint8_t *gen_two(uint8_t *out, uint32_t v) {
    memcpy(out, GEN_PAIRS + 2 * v, 2);
    return out + 2;
}

static inline uint8_t *gen_four(uint8_t *out, uint32_t v) { return gen_two(gen_two(out, v / 100), v % 100); }

static inline uint8_t *gen_six(uint8_t *out, uint32_t v) {
    return gen_two(gen_two(gen_two(out, v / 10000), v / 100 % 100), v % 100);
}

static inline uint8_t *gen_decimal(uint8_t *out, uint64_t v) {
    uint8_t digits[20];
    int at = 20;
    while (v >= 100) {
        at -= 2;
        gen_two(digits + at, (uint32_t)(v % 100));
        v /= 100;
    }
    if (v >= 10) {
        at -= 2;
        gen_two(digits + at, (uint32_t)v);
    } else {
        digits[--at] = (uint8_t)('0' + v);
    }
    memcpy(out, digits + at, (size_t)(20 - at));
    return out + (20 - at);
}

static inline uint8_t *gen_hex(uint8_t *out, uint64_t v, int width) {
    for (int i = width - 1; i >= 0; i--, v >>= 4) out[i] = (uint8_t) "0123456789abcdef"[v & 15];
    return out + width;
}

/* The address of client number `hash`: public-looking IPv4, first octet outside the private and special ranges. */
static inline uint8_t *gen_address(uint8_t *out, uint64_t hash) {
    uint32_t first = 11 + (uint32_t)(hash & 127);
    out = gen_decimal(out, first == 127 ? 193 : first);
    for (int i = 1; i < 4; i++) {
        *out++ = '.';
        out = gen_decimal(out, (hash >> (8 + 8 * i)) % 255);
    }
    return out;
}

/* A second broken down into the fields that stamps are made of; redone only when the second changes. */
typedef struct {
    int64_t second; /* since 1970, UTC */
    int64_t day;
    uint32_t year, month, mday, hour, minute, sec;
} GenClock;

static const char GEN_MONTHS[37] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* Days to civil date, after Howard Hinnant's `civil_from_days` (2013); days >= 0. */
static void gen_set_day(GenClock *clock, int64_t day) {
    int64_t z = day + 719468, era = z / 146097;
    uint32_t doe = (uint32_t)(z - era * 146097);
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    clock->day = day;
    clock->mday = doy - (153 * mp + 2) / 5 + 1;
    clock->month = mp < 10 ? mp + 3 : mp - 9;
    clock->year = (uint32_t)(yoe + era * 400) + (clock->month <= 2);
}

/* Move the clock; 1 when the second changed, so that the caller rebuilds its stamp. */
static inline int gen_set_second(GenClock *clock, int64_t second) {
    if (second == clock->second) return 0;
    clock->second = second;
    int64_t day = second / 86400;
    uint32_t rest = (uint32_t)(second - day * 86400);
    if (day != clock->day) gen_set_day(clock, day);
    clock->hour = rest / 3600;
    clock->minute = rest / 60 % 60;
    clock->sec = rest % 60;
    return 1;
}

static inline GenClock gen_clock(void) {
    GenClock clock;
    memset(&clock, 0, sizeof clock);
    clock.second = clock.day = -1;
    return clock;
}

static inline uint8_t *gen_hms(uint8_t *out, const GenClock *clock, char separator) {
    out = gen_two(out, clock->hour);
    *out++ = (uint8_t)separator;
    out = gen_two(out, clock->minute);
    *out++ = (uint8_t)separator;
    return gen_two(out, clock->sec);
}

/* Turn gaps (any unit, one per row) into ascending times that fill [t0, t1): times[i] lies before t1. */
static void gen_spread(int64_t *times, const uint32_t *gaps, int rows, int64_t t0, int64_t t1) {
    uint64_t total = 1, sum = 0;
    for (int i = 0; i < rows; i++) total += gaps[i];
    /* total < 2^36 and window < 2^44 us (200 days a block): 20 fractional bits keep the product below 2^64 */
    uint64_t factor = (((uint64_t)(t1 - t0)) << 19) / total;
    for (int i = 0; i < rows; i++) {
        sum += gaps[i];
        times[i] = t0 + (int64_t)((sum * factor) >> 19);
    }
}

/* Break the line [line, end): cut short, garbled head with bytes that are not UTF-8, or a stray message. Returns its
 * new end. No generated format accepts any of the three. */
static uint8_t *gen_break(uint8_t *line, uint8_t *end, GenRng *rng) {
    uint64_t r = gen_next(rng);
    int32_t length = (int32_t)(end - line);
    switch (gen_scale(r, 3)) {
    case 0: return line + 1 + (r & 0xFFFF) % 11;
    case 1:
        for (int i = 0; i < 22 && i < length; i++) line[i] = (uint8_t)(i % 3 ? 'z' - i : 0xF0 + i % 8);
        return end;
    default:
        line = GEN_LITERAL(line, "***logger:lost@");
        line = gen_decimal(line, (r & 0xFFFFFF));
        return GEN_LITERAL(line, "!buffer_overrun***");
    }
}

#endif

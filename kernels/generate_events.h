/* Logs made of message templates with parameters: RAS events of a BlueGene/L and syslog lines of a cluster.
 * Events come in bursts: the same message again and again, on one node or over its neighbours, microseconds apart. */
#ifndef HPCKIT_GENERATE_EVENTS_H
#define HPCKIT_GENERATE_EVENTS_H

#include "generate_text.h"

enum { PART_END, PART_DECIMAL, PART_HEX, PART_WORD, PART_NODE, PART_ADDRESS, PART_MAGNITUDE };
enum { SPREAD_ONE, SPREAD_CARD, SPREAD_MIDPLANE, SPREAD_NOWHERE };
#define EVENT_SLOTS 4 /* bursts that are under way at a time */

/* Arrays belong to the caller. A template is the parts first[t] .. first[t+1]-1: a literal, then a parameter. */
typedef struct {
    GenPool literals, words, heads, labels, hosts; /* heads: component and level, or program; labels: with a blank */
    const int32_t *first;
    const uint8_t *kinds;     /* of each part: PART_* */
    const int64_t *low;       /* of each part: smallest value, width in digits, first word */
    const int64_t *span;      /* of each part: number of values or words */
    const uint8_t *spread;    /* of each template: SPREAD_* */
    const uint32_t *length;   /* of each template: mean number of lines of a burst */
    const uint8_t *steady;    /* of each template: share (of 256) of bursts that repeat their parameters */
    const uint8_t *pids;      /* of each template: 0 none, 1 a daemon's (one for each host), 2 a process's own */
    GenAlias choice, places;
    const uint32_t *exponential; /* 4096 quantiles, mean 1024 */
} EventTable;

/* A burst under way. */
typedef struct {
    uint32_t left, template_, home;
    int steady;
    uint64_t seed;
} EventBurst;

/* What one line is to say. */
typedef struct {
    uint32_t template_, place;
    uint64_t seed;
} EventLine;

/* Node numbers are ranks of popularity; this spreads them over the machine (a bijection on 16 bits). */
static inline uint32_t event_scatter(uint32_t rank) { return ((rank * 40503u) ^ 0x5A5Au) & 0xFFFF; }

static void event_start(const EventTable *table, EventBurst *b, GenRng *rng, int scattered) {
    uint64_t r = gen_next(rng), q = gen_next(rng);
    b->template_ = gen_draw(&table->choice, r);
    b->home = gen_draw(&table->places, q);
    if (scattered) b->home = event_scatter(b->home);
    uint64_t x = table->exponential[gen_mix(q) & 4095]; /* its square halved has the same mean and a longer tail */
    b->left = 1 + (uint32_t)((x * x * (table->length[b->template_] - 1)) >> 21);
    b->seed = gen_mix(r ^ (q << 1));
    b->steady = (b->seed & 255) < table->steady[b->template_];
}

static uint32_t event_place(const EventTable *table, const EventBurst *b, uint64_t r) {
    switch (table->spread[b->template_]) {
    case SPREAD_CARD: return (b->home & ~31u) | (uint32_t)(r & 31);
    case SPREAD_MIDPLANE: return (b->home & ~511u) | ((b->home + b->left) & 511u);
    default: return b->home;
    }
}

/* Decide all lines of a block and their times. */
static void event_plan(const EventTable *table, GenRng *rng, EventLine *lines, uint32_t *gaps, int scattered) {
    EventBurst bursts[EVENT_SLOTS], *b = bursts;
    memset(bursts, 0, sizeof bursts);
    for (int i = 0; i < GEN_BLOCK_ROWS; i++) {
        uint64_t r = gen_next(rng);
        if ((r & 15) == 0) b = bursts + (r >> 4 & (EVENT_SLOTS - 1));
        gaps[i] = b->left == 0 ? table->exponential[r >> 8 & 4095] << 12
                               : table->exponential[r >> 8 & 4095] >> (r >> 20 & 7);
        if (b->left == 0) event_start(table, b, rng, scattered);
        b->left--;
        lines[i].template_ = b->template_;
        lines[i].place = event_place(table, b, r >> 24);
        lines[i].seed = b->steady ? b->seed : gen_mix(b->seed + b->left);
    }
}

/* Where node `index` of 65,536 sits: rack, midplane, node card, chip. */
static inline uint8_t *event_node(uint8_t *p, uint32_t index) {
    uint32_t rack = index >> 10, chip = index & 31, jack = 2 + (chip >> 1);
    memcpy(p, "R00-M0-N0-C:J00-U01", 19);
    p[1] = (uint8_t)('0' + (rack >> 3));
    p[2] = (uint8_t)('0' + (rack & 7));
    p[5] = (uint8_t)('0' + (index >> 9 & 1));
    p[8] = (uint8_t) "0123456789ABCDEF"[index >> 5 & 15];
    gen_two(p + 13, jack);
    p[17] = (uint8_t)('0' + (chip & 1));
    return p + 19;
}

static uint8_t *event_message(const EventTable *table, const EventLine *line, uint8_t *p) {
    GenRng rng = {line->seed};
    for (int32_t i = table->first[line->template_]; i < table->first[line->template_ + 1]; i++) {
        p = gen_pooled(p, &table->literals, (uint32_t)i);
        uint32_t span = (uint32_t)table->span[i];
        switch (table->kinds[i]) {
        case PART_DECIMAL: p = gen_decimal(p, (uint64_t)table->low[i] + gen_below(&rng, span)); break;
        case PART_HEX: p = gen_hex(p, gen_next(&rng), (int)table->low[i]); break;
        case PART_WORD: p = gen_pooled(p, &table->words, (uint32_t)table->low[i] + gen_below(&rng, span)); break;
        case PART_NODE: p = event_node(p, (line->place & ~511u) | gen_below(&rng, 512)); break;
        case PART_ADDRESS: p = gen_address(p, gen_mix(gen_next(&rng) % (uint64_t)table->span[i])); break;
        case PART_MAGNITUDE: { /* 1 .. 2^low: every power of two as likely as the next */
            uint64_t r = gen_next(&rng);
            p = gen_decimal(p, 1 + ((r >> 8) & ((1ULL << (r % (uint64_t)table->low[i] + 1)) - 1)));
            break;
        }
        }
    }
    return p;
}

static uint8_t *bgl_line(const EventTable *table, const EventLine *line, int64_t time_us, const uint8_t *stamp,
                         uint8_t *p) {
    p = gen_pooled(p, &table->labels, line->template_);
    p = gen_copy(p, stamp, 22); /* epoch, date */
    uint8_t *node = p;
    int32_t length = 19;
    if (table->spread[line->template_] == SPREAD_NOWHERE) {
        p = GEN_LITERAL(p, "UNKNOWN_LOCATION");
        length = 16;
    } else {
        p = event_node(p, line->place);
    }
    *p++ = ' ';
    p = gen_copy(p, stamp + 32, 20);
    p = gen_six(p, (uint32_t)(time_us % 1000000));
    *p++ = ' ';
    memcpy(p, node, 19);
    p = GEN_LITERAL(p + length, " RAS ");
    p = gen_pooled(p, &table->heads, line->template_);
    return event_message(table, line, p);
}

static void bgl_stamp(uint8_t *stamp, const GenClock *clock) {
    uint8_t *p = gen_decimal(stamp, (uint64_t)clock->second);
    *p++ = ' ';
    for (int dotted = 1; dotted >= 0; dotted--, p = stamp + 32) {
        uint8_t separator = dotted ? '.' : '-';
        p = gen_four(p, clock->year);
        *p++ = separator;
        p = gen_two(p, clock->month);
        *p++ = separator;
        p = gen_two(p, clock->mday);
        *p++ = dotted ? ' ' : '-';
        if (!dotted) *gen_hms(p, clock, '.') = '.';
    }
}

static uint8_t *bgl_block(const EventTable *table, uint64_t key, int64_t t0, int64_t t1, int rows, int skip,
                          uint64_t broken, uint32_t *gaps, int64_t *times, EventLine *lines, uint8_t *out,
                          int64_t *skipped) {
    GenRng rng = gen_stream(key, 1), breaker = gen_stream(key, 3);
    GenClock clock = gen_clock();
    uint8_t stamp[80], *start = out;
    event_plan(table, &rng, lines, gaps, 1);
    gen_spread(times, gaps, GEN_BLOCK_ROWS, t0, t1);
    for (int i = 0; i < rows; i++) {
        if (i == skip) *skipped = out - start;
        if (gen_set_second(&clock, times[i] / 1000000)) bgl_stamp(stamp, &clock);
        uint8_t *end = bgl_line(table, &lines[i], times[i], stamp, out);
        if (broken && (uint32_t)gen_next(&breaker) < broken) end = gen_break(out, end, &breaker);
        *end++ = '\n';
        out = end;
    }
    if (rows <= skip) *skipped = out - start;
    return out;
}

static uint8_t *syslog_stamp(uint8_t *p, const GenClock *clock) {
    memcpy(p, GEN_MONTHS + 3 * (clock->month - 1), 3);
    p[3] = ' ';
    gen_two(p + 4, clock->mday);
    if (p[4] == '0') p[4] = ' ';
    p[6] = ' ';
    p = gen_hms(p + 7, clock, ':');
    *p++ = ' ';
    return p;
}

static uint8_t *syslog_line(const EventTable *table, const EventLine *line, const uint8_t *stamp, uint8_t *p) {
    uint32_t pids = table->pids[line->template_];
    p = gen_copy(p, stamp, 16);
    p = gen_pooled(p, &table->hosts, line->place);
    p = gen_pooled(p, &table->heads, line->template_);
    if (pids) {
        uint64_t h = pids == 1 ? gen_mix(line->place * 4099u + (uint32_t)table->heads.bytes[table->heads.offsets[
                                     line->template_] + 1]) : gen_mix(line->seed ^ 0x91DULL);
        *p++ = '[';
        p = gen_decimal(p, pids == 1 ? 400 + h % 3600 : 4000 + h % 4190000);
        *p++ = ']';
    }
    p = GEN_LITERAL(p, ": ");
    return event_message(table, line, p);
}

static uint8_t *syslog_block(const EventTable *table, uint64_t key, int64_t t0, int64_t t1, int rows, int skip,
                             uint64_t broken, uint32_t *gaps, int64_t *times, EventLine *lines, uint8_t *out,
                             int64_t *skipped) {
    GenRng rng = gen_stream(key, 1), breaker = gen_stream(key, 3);
    GenClock clock = gen_clock();
    uint8_t stamp[48], *start = out;
    event_plan(table, &rng, lines, gaps, 0);
    gen_spread(times, gaps, GEN_BLOCK_ROWS, t0, t1);
    for (int i = 0; i < rows; i++) {
        if (i == skip) *skipped = out - start;
        if (gen_set_second(&clock, times[i] / 1000000)) syslog_stamp(stamp, &clock);
        uint8_t *end = syslog_line(table, &lines[i], stamp, out);
        if (broken && (uint32_t)gen_next(&breaker) < broken) end = gen_break(out, end, &breaker);
        *end++ = '\n';
        out = end;
    }
    if (rows <= skip) *skipped = out - start;
    return out;
}

#endif

/* Rows of sensor readings: every node and sensor once a tick; a daily wave, slow drift, noise, spikes, gaps.
 * Every row depends on its number alone. */
#ifndef HPCKIT_GENERATE_SENSORS_H
#define HPCKIT_GENERATE_SENSORS_H

#include "generate_text.h"

/* Arrays belong to the caller: one entry for each sensor; values in thousandths. */
typedef struct {
    GenPool nodes, names, units;
    const int64_t *base, *daily, *noise, *spike;
    const uint8_t *digits; /* decimal places written: 0 .. 3 */
    const int32_t *wave;   /* 4096 steps of a day, -1024 .. 1024 */
    uint32_t nodes_count, names_count;
    int64_t tick_us;
} SensorTable;

static int64_t sensor_value(const SensorTable *table, uint64_t key, uint32_t node, uint32_t name, int64_t time_us) {
    uint64_t series = gen_mix(0x5E11504ULL + node * 64 + name);
    int64_t day_us = 86400000000LL, hour = time_us / 3600000000LL, part = time_us / 3600000 % 1000;
    uint32_t step = (uint32_t)((time_us % day_us) * 4096 / day_us + (int64_t)(series & 255)) & 4095;
    int64_t value = table->base[name] + (table->base[name] * (int64_t)(series >> 32 & 1023) >> 13);
    value += table->daily[name] * table->wave[step] >> 10;
    /* drift: from one hour's random level to the next */
    int64_t here = (int64_t)(gen_mix(series + key + (uint64_t)hour) & 1023);
    int64_t next = (int64_t)(gen_mix(series + key + (uint64_t)hour + 1) & 1023);
    value += table->noise[name] * (here * (1000 - part) + next * part - 512000) / 512000;
    uint64_t r = gen_mix(series ^ (key + (uint64_t)time_us));
    /* the sum of three uniform numbers stands in for a normal one */
    value += table->noise[name] * ((int64_t)(r & 1023) + (int64_t)(r >> 10 & 1023) + (int64_t)(r >> 20 & 1023) - 1535) >> 11;
    if ((gen_mix(series + key + (uint64_t)(time_us / 300000000LL) * 31) & 1023) == 0) value += table->spike[name];
    return value < 0 ? 0 : value;
}

static uint8_t *sensor_number(uint8_t *p, int64_t thousandths, int digits) {
    static const int64_t UNIT[4] = {1000, 100, 10, 1};
    int64_t v = (thousandths + UNIT[digits] / 2) / UNIT[digits], scale = 1000 / UNIT[digits];
    p = gen_decimal(p, (uint64_t)(v / scale));
    if (digits == 0) return p;
    *p++ = '.';
    int64_t rest = v % scale;
    for (int i = digits - 1; i >= 0; i--, rest /= 10) p[i] = (uint8_t)('0' + rest % 10);
    return p + digits;
}

static uint8_t *sensor_stamp(uint8_t *p, const GenClock *clock) {
    p = gen_four(p, clock->year);
    *p++ = '-';
    p = gen_two(p, clock->month);
    *p++ = '-';
    p = gen_two(p, clock->mday);
    *p++ = ' ';
    p = gen_hms(p, clock, ':');
    *p++ = ',';
    return p;
}

/* Rows first_row + skip .. first_row + rows - 1; nothing is written for the rows skipped. */
static uint8_t *sensor_block(const SensorTable *table, uint64_t key, uint64_t seed_key, int64_t t_start, int64_t first_row,
                             int rows, int skip, uint64_t broken, uint8_t *out) {
    GenClock clock = gen_clock();
    GenRng breaker = gen_stream(key, 3);
    uint8_t stamp[48];
    int64_t series = (int64_t)table->nodes_count * table->names_count;
    for (int i = 0; i < rows; i++) {
        int is_broken = broken && (uint32_t)gen_next(&breaker) < broken;
        GenRng damage = gen_stream(key, 4 + (uint64_t)i);
        if (i < skip) continue;
        int64_t row = first_row + i, time_us = t_start + row / series * table->tick_us;
        uint32_t place = (uint32_t)(row % series), node = place / table->names_count, name = place % table->names_count;
        if (gen_set_second(&clock, time_us / 1000000)) sensor_stamp(stamp, &clock);
        uint8_t *line = out;
        out = gen_copy(out, stamp, 20);
        out = gen_pooled(out, &table->nodes, node);
        *out++ = ',';
        out = gen_pooled(out, &table->names, name);
        *out++ = ',';
        if ((gen_mix(seed_key + (uint64_t)row * 3) & 255) != 0) /* one reading in 256 was lost */
            out = sensor_number(out, sensor_value(table, seed_key, node, name, time_us), table->digits[name]);
        *out++ = ',';
        out = gen_pooled(out, &table->units, name);
        if (is_broken) out = gen_break(line, out, &damage);
        *out++ = '\n';
    }
    return out;
}

#endif

/* Timestamps by a compiled strptime pattern, to microseconds since 1970-01-01 UTC.
 *
 * Log lines come in bursts within one minute: everything before the seconds is compared with the line before, and only
 * what follows is parsed again. Civil-date arithmetic follows Hinnant, "chrono-compatible low-level date algorithms".
 */
#ifndef HPCKIT_TIMES_H
#define HPCKIT_TIMES_H

#include <stdint.h>
#include <string.h>

#include "values.h"

#define TIME_OPS_MAX 48
#define TIME_MEMO_MAX 40
#define TIME_ZONES_MAX 1024

/* An op is a literal byte, a blank run or a directive letter; see compile_time in scan.pyx. */
typedef struct { uint8_t kind, width; } time_op; /* kind 0: literal byte in width; else the directive letter */

typedef struct {
    int32_t count;
    int32_t memo_ops;   /* ops before %S, if all of fixed width; 0: no memo */
    int32_t memo_width; /* their bytes */
    int32_t day_ops;    /* ops before %H, if what follows is %H ? %M ? %S; 0: no such memo */
    int32_t day_width;
    int32_t has_year, has_zone;
    time_op ops[TIME_OPS_MAX];
    int64_t not_after_us; /* pattern without a year: the latest year that is not after this instant */
    /* zone of times without one: local time from local_from[i] on is UTC + offset[i] */
    int32_t zone_count;
    int64_t *local_from_us;
    int64_t *offset_us;
    /* the minute and the day seen last */
    uint8_t memo[TIME_MEMO_MAX];
    int64_t memo_us, day_us; /* the minute in UTC; midnight in local time */
    int32_t memo_set, day_set;
    int32_t tail_memo;  /* what follows the seconds is literals and a zone, and is remembered too */
    int64_t tail_width; /* -1: nothing remembered */
    uint8_t tail[16];
    int64_t tail_us; /* the minute in UTC by the zone of the tail */
} time_program;

typedef struct {
    int64_t year, month, day, hour, minute, second, micro, day_of_year;
    int64_t zone_s, epoch_us;
    int32_t has_zone, has_epoch, pm, has_year;
} time_parts;

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int days_in_month(int64_t y, int64_t m) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0) ? 29 : days[m - 1];
}

static inline int two_digits(const uint8_t *p, int64_t *out) {
    uint32_t a = (uint32_t)p[0] - '0', b = (uint32_t)p[1] - '0';
    if (a > 9 || b > 9) return 0;
    *out = a * 10 + b;
    return 1;
}

static int digits_up_to(const uint8_t **p, const uint8_t *end, int least, int most, int64_t *out) {
    int64_t value = 0;
    int n = 0;
    for (; n < most && *p < end && (uint32_t)(**p - '0') <= 9; n++, (*p)++) value = value * 10 + (**p - '0');
    *out = value;
    return n >= least ? n : 0;
}

static int name_index(const uint8_t **p, const uint8_t *end, const char *const *names, int count, int full, int64_t *out) {
    for (int i = 0; i < count; i++) {
        int64_t n = full ? (int64_t)strlen(names[i]) : 3;
        if (end - *p < n) continue;
        int64_t k = 0;
        while (k < n && ((*p)[k] | 0x20) == ((uint8_t)names[i][k] | 0x20)) k++;
        if (k == n) { *p += n; *out = i + 1; return 1; }
    }
    return 0;
}

static const char *const time_months[] = {"January", "February", "March", "April", "May", "June", "July", "August",
                                          "September", "October", "November", "December"};
static const char *const time_days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

/* Z, +hh, +hhmm, +hh:mm (also -) */
static int zone_offset(const uint8_t **p, const uint8_t *end, int64_t *out_s) {
    const uint8_t *q = *p;
    int64_t hours, minutes = 0;
    if (q >= end) return 0;
    if (*q == 'Z' || *q == 'z') { *out_s = 0; *p = q + 1; return 1; }
    if (*q != '+' && *q != '-') return 0;
    int negative = *q++ == '-';
    if (end - q < 2 || !two_digits(q, &hours)) return 0;
    q += 2;
    if (q < end && *q == ':') q++;
    if (end - q >= 2 && two_digits(q, &minutes)) q += 2;
    if (hours > 23 || minutes > 59) return 0;
    *out_s = (hours * 3600 + minutes * 60) * (negative ? -1 : 1);
    *p = q;
    return 1;
}

static int fraction_us(const uint8_t **p, const uint8_t *end, int width, int64_t *out) {
    int64_t value;
    int n = digits_up_to(p, end, width ? width : 1, width ? width : 9, &value);
    if (!n) return 0;
    for (int i = n; i < 6; i++) value *= 10;
    for (int i = n; i > 6; i--) value /= 10; /* below a microsecond: cut off */
    *out = value;
    return 1;
}

static int epoch_directive(uint8_t kind, const uint8_t **p, const uint8_t *end, int64_t *out_us) {
    int64_t value, micro = 0;
    int negative = *p < end && **p == '-';
    if (negative) (*p)++;
    if (!digits_up_to(p, end, 1, 18, &value)) return 0;
    if (kind == 's') {
        if (value > 9000000000000ll) return 0;
        if (end - *p >= 2 && (**p == '.' || **p == ',') && (uint32_t)((*p)[1] - '0') <= 9) {
            (*p)++;
            if (!fraction_us(p, end, 0, &micro)) return 0;
        }
        value = value * 1000000 + micro;
    } else if (kind == 'Q') {
        if (value > 9000000000000000ll) return 0;
        value *= 1000;
    }
    *out_us = negative ? -value : value;
    return 1;
}

/* Run ops [from, to) at *p. 1 if they all match. */
static int time_run(const time_program *t, int from, int to, const uint8_t **p, const uint8_t *end, time_parts *x) {
    int64_t v = 0;
    for (int i = from; i < to; i++) {
        time_op op = t->ops[i];
        switch (op.kind) {
        case 0:
            if (*p >= end || **p != op.width) return 0;
            (*p)++;
            break;
        case 'Y': if (!digits_up_to(p, end, 4, 4, &x->year)) return 0; x->has_year = 1; break;
        case 'y':
            if (end - *p < 2 || !two_digits(*p, &v)) return 0;
            x->year = v + (v < 69 ? 2000 : 1900); x->has_year = 1; *p += 2; break;
        case 'm': if (end - *p < 2 || !two_digits(*p, &x->month)) return 0; *p += 2; break;
        case 'b': if (!name_index(p, end, time_months, 12, 0, &x->month)) return 0; break;
        case 'B': if (!name_index(p, end, time_months, 12, 1, &x->month)) return 0; break;
        case 'a': if (!name_index(p, end, time_days, 7, 0, &v)) return 0; break;
        case 'A': if (!name_index(p, end, time_days, 7, 1, &v)) return 0; break;
        case 'd': case 'e':
            if (*p < end && **p == ' ') { (*p)++; if (!digits_up_to(p, end, 1, 1, &x->day)) return 0; }
            else if (!digits_up_to(p, end, op.kind == 'd' ? 2 : 1, 2, &x->day)) return 0;
            break;
        case 'j': if (!digits_up_to(p, end, 3, 3, &x->day_of_year) || !x->day_of_year) return 0; break;
        case 'H': case 'I': if (end - *p < 2 || !two_digits(*p, &x->hour)) return 0; *p += 2; break;
        case 'M': if (end - *p < 2 || !two_digits(*p, &x->minute)) return 0; *p += 2; break;
        case 'S': if (end - *p < 2 || !two_digits(*p, &x->second)) return 0; *p += 2; break;
        case 'f': if (!fraction_us(p, end, op.width, &x->micro)) return 0; break;
        case 'F': /* a fraction, if there is one */
            if (end - *p >= 2 && (**p == '.' || **p == ',') && (uint32_t)((*p)[1] - '0') <= 9) {
                (*p)++;
                if (!fraction_us(p, end, 0, &x->micro)) return 0;
            }
            break;
        case 'p':
            if (end - *p < 2 || ((*p)[1] | 0x20) != 'm') return 0;
            v = **p | 0x20;
            if (v != 'a' && v != 'p') return 0;
            x->pm = v == 'p' ? 2 : 1; *p += 2; break;
        case 'z': if (!zone_offset(p, end, &x->zone_s)) return 0; x->has_zone = 1; break;
        case 'Z': { /* of the names only those of UTC can be relied on; others mean the zone that the user gives */
            const uint8_t *name = *p;
            if (*p >= end || ((**p | 0x20) < 'a' || (**p | 0x20) > 'z')) return 0;
            while (*p < end && (((**p | 0x20) >= 'a' && (**p | 0x20) <= 'z') || **p == '/' || **p == '_')) (*p)++;
            if (word_is(name, *p - name, "utc") || word_is(name, *p - name, "gmt") || word_is(name, *p - name, "ut")
                || word_is(name, *p - name, "z"))
                x->has_zone = 1;
            break;
        }
        case 's': case 'Q': case 'U': if (!epoch_directive(op.kind, p, end, &x->epoch_us)) return 0; x->has_epoch = 1; break;
        default: return 0;
        }
    }
    return 1;
}

/* Local microseconds to UTC by the zone table; a time that occurs twice is the earlier, one in a gap goes forward. */
static int64_t local_to_utc(const time_program *t, int64_t local_us) {
    if (!t->zone_count) return local_us;
    int low = 0, high = t->zone_count - 1;
    while (low < high) {
        int mid = (low + high + 1) / 2;
        if (t->local_from_us[mid] <= local_us) low = mid; else high = mid - 1;
    }
    return local_us - t->offset_us[low];
}

static int time_assemble(const time_program *t, time_parts *x, int64_t *out_us) {
    if (x->has_epoch) { *out_us = x->epoch_us; return 1; }
    if (x->pm) { if (x->hour < 1 || x->hour > 12) return 0; x->hour = x->hour % 12 + (x->pm == 2 ? 12 : 0); }
    if (x->hour > 23 || x->minute > 59 || x->second > 60) return 0; /* :60 is a leap second: the next minute's :00 */
    int64_t clock_us = (x->hour * 3600 + x->minute * 60 + x->second) * 1000000 + x->micro;
    if (x->day_of_year) { x->month = 1; x->day = 1; }
    if (x->month < 1 || x->month > 12 || x->day < 1) return 0;
    int tries = x->has_year ? 1 : 9; /* eight years hold a 29 February */
    int64_t zone_us = x->zone_s * 1000000;
    for (; tries > 0; tries--, x->year--) {
        if (x->day > days_in_month(x->year, x->month)) continue;
        if (x->day_of_year > 337 + days_in_month(x->year, 2)) continue;
        int64_t days = days_from_civil(x->year, x->month, x->day) + (x->day_of_year ? x->day_of_year - 1 : 0);
        int64_t local_us = days * 86400000000ll + clock_us;
        *out_us = x->has_zone ? local_us - zone_us : local_to_utc(t, local_us);
        if (x->has_year || *out_us <= t->not_after_us) return 1;
    }
    return 0;
}

static int64_t year_of_us(int64_t us) {
    int64_t days = us / 86400000000ll - (us % 86400000000ll < 0), z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    return yoe + era * 400 + ((5 * doy + 2) / 153 >= 10);
}

static inline void remember_tail(time_program *t, const uint8_t *p, int64_t n, int64_t minute_us) {
    int64_t width = n - t->memo_width - 2;
    t->tail_width = width <= (int64_t)sizeof(t->tail) ? width : -1;
    if (t->tail_width < 0) return;
    memcpy(t->tail, p + t->memo_width + 2, (size_t)width);
    t->tail_us = minute_us;
}

/* A new minute of the day seen last: only the clock is parsed. 1: done, 0: not a clock. */
static int time_same_day(time_program *t, const uint8_t *p, const uint8_t *end, int64_t *out_us) {
    const uint8_t *q = p + t->day_width;
    const time_op *op = t->ops + t->day_ops;
    time_parts x;
    x.micro = x.zone_s = 0;
    x.has_zone = 0;
    if (end - q < 8 || q[2] != op[1].width || q[5] != op[3].width || !two_digits(q, &x.hour) || !two_digits(q + 3, &x.minute)
        || !two_digits(q + 6, &x.second) || x.hour > 23 || x.minute > 59 || x.second > 60)
        return 0;
    q += 8;
    if (!time_run(t, t->day_ops + 5, t->count, &q, end, &x) || q != end) return 0;
    int64_t minute_us = t->day_us + (x.hour * 3600 + x.minute * 60) * 1000000;
    if (!x.has_zone) minute_us = local_to_utc(t, minute_us);
    memcpy(t->memo, p, (size_t)t->memo_width);
    t->memo_us = minute_us;
    remember_tail(t, p, end - p, minute_us - x.zone_s * 1000000);
    *out_us = minute_us + x.second * 1000000 + x.micro - x.zone_s * 1000000;
    return 1;
}

/* 1 and UTC microseconds if the n bytes are one timestamp of this pattern, from the first to the last. */
static int parse_time(time_program *t, const uint8_t *p, int64_t n, int64_t *out_us) {
    const uint8_t *end = p + n, *q = p;
    time_parts x;
    if (t->memo_set && n >= t->memo_width) {
        if (hpckit_same_bytes(p, t->memo, t->memo_width)) {
            q = p + t->memo_width;
            if (t->tail_memo && t->tail_width >= 0 && n - t->memo_width - 2 == t->tail_width && two_digits(q, &x.second) && x.second <= 60
                && hpckit_same_bytes(q + 2, t->tail, t->tail_width)) {
                *out_us = t->tail_us + x.second * 1000000;
                return 1;
            }
            x.second = x.micro = x.zone_s = 0;
            if (!time_run(t, t->memo_ops, t->count, &q, end, &x) || q != end || x.second > 60) return 0;
            *out_us = t->memo_us + x.second * 1000000 + x.micro - x.zone_s * 1000000;
            return 1;
        }
        if (t->day_set && hpckit_same_bytes(p, t->memo, t->day_width)) return time_same_day(t, p, end, out_us);
    }
    memset(&x, 0, sizeof(x));
    x.month = x.day = 1;
    if (!t->has_year) { x.year = year_of_us(t->not_after_us) + 1; }
    if (!time_run(t, 0, t->count, &q, end, &x) || q != end) return 0;
    if (!time_assemble(t, &x, out_us)) return 0;
    if (!t->memo_ops) return 1;
    t->tail_width = -1;
    /* without a year, times near the last write of the file may belong to two years: not remembered */
    int64_t distance = *out_us - t->not_after_us;
    int64_t safe = t->has_year ? INT64_MAX : distance < 0 ? -distance : distance;
    t->memo_set = safe > 60000000;
    t->day_set = t->day_ops > 0 && safe > 2 * 86400000000ll;
    if (t->memo_set) {
        memcpy(t->memo, p, (size_t)t->memo_width);
        remember_tail(t, p, n, *out_us - x.second * 1000000);
    }
    t->memo_us = *out_us - x.second * 1000000 - x.micro + x.zone_s * 1000000;
    t->day_us = days_from_civil(x.year, x.month, x.day) * 86400000000ll;
    return 1;
}

#endif

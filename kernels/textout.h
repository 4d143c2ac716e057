/* Rows of Arrow columns to CSV and JSON lines text.
 *
 * A column is five int64: kind, address of the values, address of the validity bitmap (0: no NULL), address of the
 * string offsets, and the Arrow offset of row 0.
 */
#ifndef HPCKIT_TEXTOUT_H
#define HPCKIT_TEXTOUT_H

#include <stdint.h>
#include <string.h>
#include "decimal.h"

enum { OUT_NULL, OUT_INT64, OUT_FLOAT64, OUT_BOOL, OUT_STRING, OUT_TIMESTAMP, OUT_DATE, OUT_DURATION };
enum { COL_KIND, COL_DATA, COL_VALID, COL_OFFSETS, COL_START, COL_FIELDS };

#define CELL_BYTES_MAX 64 /* of a cell that is no string, with quotes and separator */
#define US_PER_DAY 86400000000LL

typedef struct {
    const int64_t *columns;
    int64_t n_columns;
    const uint8_t *labels;       /* JSON: `"name":` of all columns, one after the other */
    const int64_t *label_ends;   /* n_columns + 1, from 0 */
    const uint64_t *powers;
    uint8_t delimiter;
    int json;
} textout_t;

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

static inline uint64_t has_byte(uint64_t word, uint8_t byte) {
    uint64_t x = word ^ (ONES * byte);
    return (x - ONES) & ~x & HIGHS;
}

static inline uint64_t csv_special(uint64_t w, uint8_t delimiter) {
    return has_byte(w, delimiter) | has_byte(w, '"') | has_byte(w, '\n') | has_byte(w, '\r') | has_byte(w, '#');
}

static inline uint64_t json_special(uint64_t w) {
    return has_byte(w, '"') | has_byte(w, '\\') | ((w - ONES * 0x20) & ~w & HIGHS);
}

/* Does the text hold a byte that needs quoting (CSV) or escaping (JSON)? */
static inline int is_special(const uint8_t *text, int64_t n, const textout_t *t) {
    uint64_t word, found = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, text + i, 8);
        found |= t->json ? json_special(word) : csv_special(word, t->delimiter);
    }
    if (i < n) {
        word = ONES * 'a';
        memcpy(&word, text + i, n - i);
        found |= t->json ? json_special(word) : csv_special(word, t->delimiter);
    }
    return found != 0;
}

static inline uint8_t *write_json_escaped(uint8_t *out, const uint8_t *text, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint8_t c = text[i], letter = 0;
        switch (c) {
            case '"': letter = '"'; break;
            case '\\': letter = '\\'; break;
            case '\n': letter = 'n'; break;
            case '\r': letter = 'r'; break;
            case '\t': letter = 't'; break;
            case '\b': letter = 'b'; break;
            case '\f': letter = 'f'; break;
        }
        if (letter) {
            *out++ = '\\';
            *out++ = letter;
        } else if (c < 0x20) {
            memcpy(out, "\\u00", 4);
            out[4] = (uint8_t)('0' + (c >> 4));
            out[5] = (uint8_t)"0123456789abcdef"[c & 15];
            out += 6;
        } else {
            *out++ = c;
        }
    }
    return out;
}

static inline uint8_t *write_text(uint8_t *out, const uint8_t *text, int64_t n, const textout_t *t) {
    if (t->json) {
        *out++ = '"';
        if (is_special(text, n, t)) {
            out = write_json_escaped(out, text, n);
        } else {
            memcpy(out, text, n);
            out += n;
        }
        *out++ = '"';
        return out;
    }
    if (n > 0 && !is_special(text, n, t)) {
        memcpy(out, text, n);
        return out + n;
    }
    *out++ = '"'; /* an empty string is quoted, to differ from NULL */
    for (int64_t i = 0; i < n; i++) {
        if (text[i] == '"') *out++ = '"';
        *out++ = text[i];
    }
    *out++ = '"';
    return out;
}

static inline uint8_t *write_two(uint8_t *out, int64_t v) {
    memcpy(out, DECIMAL_PAIRS + 2 * v, 2);
    return out + 2;
}

/* Year-month-day of a day number (0 = 1970-01-01), proleptic Gregorian; years before 1 end in " (BC)" as DuckDB has it.
 * Days to civil date as in Howard Hinnant, "chrono-compatible low-level date algorithms" (2013). */
static inline uint8_t *write_date(uint8_t *out, int64_t days) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    int before = year <= 0;
    if (before) year = 1 - year;
    if (year < 10000) {
        out = write_two(out, year / 100);
        out = write_two(out, year % 100);
    } else {
        out = write_int64(out, year);
    }
    *out++ = '-';
    out = write_two(out, month);
    *out++ = '-';
    out = write_two(out, day);
    if (before) {
        memcpy(out, " (BC)", 5);
        out += 5;
    }
    return out;
}

/* hours:minutes:seconds and the fraction without trailing zeros; us >= 0. */
static inline uint8_t *write_clock(uint8_t *out, uint64_t us) {
    uint64_t seconds = us / 1000000, fraction = us % 1000000, hours = seconds / 3600;
    if (hours < 100)
        out = write_two(out, (int64_t)hours);
    else
        out = write_int64(out, (int64_t)hours);
    *out++ = ':';
    out = write_two(out, (int64_t)(seconds / 60 % 60));
    *out++ = ':';
    out = write_two(out, (int64_t)(seconds % 60));
    if (fraction) {
        *out++ = '.';
        out = write_two(out, (int64_t)(fraction / 10000));
        out = write_two(out, (int64_t)(fraction / 100 % 100));
        out = write_two(out, (int64_t)(fraction % 100));
        while (out[-1] == '0') out--;
    }
    return out;
}

static inline uint8_t *write_timestamp(uint8_t *out, int64_t us, int json) {
    int64_t day = us / US_PER_DAY, rest = us % US_PER_DAY;
    if (rest < 0) {
        rest += US_PER_DAY;
        day--;
    }
    out = write_date(out, day);
    *out++ = json ? 'T' : ' ';
    return write_clock(out, (uint64_t)rest);
}

/* What is no string; times and numbers JSON cannot spell are quoted there. */
static inline uint8_t *write_fixed(uint8_t *out, const int64_t *column, int64_t at, const textout_t *t) {
    const void *data = (const void *)(intptr_t)column[COL_DATA];
    int quoted = t->json && column[COL_KIND] >= OUT_TIMESTAMP;
    if (quoted) *out++ = '"';
    switch (column[COL_KIND]) {
        case OUT_INT64:
            out = write_int64(out, ((const int64_t *)data)[at]);
            break;
        case OUT_FLOAT64: {
            double number = ((const double *)data)[at];
            quoted = t->json && number - number != 0; /* NaN and infinities */
            if (quoted) *out++ = '"';
            out = write_double(out, number, t->powers);
            break;
        }
        case OUT_BOOL:
            if (((const uint8_t *)data)[at >> 3] >> (at & 7) & 1) {
                memcpy(out, "true", 4);
                out += 4;
            } else {
                memcpy(out, "false", 5);
                out += 5;
            }
            break;
        case OUT_TIMESTAMP:
            out = write_timestamp(out, ((const int64_t *)data)[at], t->json);
            break;
        case OUT_DATE:
            out = write_date(out, ((const int32_t *)data)[at]);
            break;
        case OUT_DURATION: {
            int64_t us = ((const int64_t *)data)[at];
            if (us < 0) *out++ = '-';
            out = write_clock(out, us < 0 ? 0 - (uint64_t)us : (uint64_t)us);
            break;
        }
    }
    if (quoted) *out++ = '"';
    return out;
}

static inline int is_null(const int64_t *column, int64_t at) {
    const uint8_t *valid = (const uint8_t *)(intptr_t)column[COL_VALID];
    return column[COL_KIND] == OUT_NULL || (valid && !(valid[at >> 3] >> (at & 7) & 1));
}

/* An upper bound of the bytes that `row` takes. */
static inline int64_t row_bytes_max(const textout_t *t, int64_t row) {
    int64_t bytes = 4 + t->n_columns * CELL_BYTES_MAX + (t->json ? t->label_ends[t->n_columns] : 0);
    for (int64_t j = 0; j < t->n_columns; j++) {
        const int64_t *column = t->columns + j * COL_FIELDS;
        if (column[COL_KIND] == OUT_STRING) {
            const int32_t *offsets = (const int32_t *)(intptr_t)column[COL_OFFSETS] + column[COL_START] + row;
            bytes += (int64_t)(offsets[1] - offsets[0]) * (t->json ? 6 : 2);
        }
    }
    return bytes;
}

static inline uint8_t *write_row(uint8_t *out, const textout_t *t, int64_t row) {
    if (t->json) *out++ = '{';
    for (int64_t j = 0; j < t->n_columns; j++) {
        const int64_t *column = t->columns + j * COL_FIELDS;
        int64_t at = column[COL_START] + row;
        if (j) *out++ = t->json ? ',' : t->delimiter;
        if (t->json) {
            int64_t n = t->label_ends[j + 1] - t->label_ends[j];
            memcpy(out, t->labels + t->label_ends[j], n);
            out += n;
        }
        if (is_null(column, at)) {
            if (t->json) {
                memcpy(out, "null", 4);
                out += 4;
            }
        } else if (column[COL_KIND] == OUT_STRING) {
            const int32_t *offsets = (const int32_t *)(intptr_t)column[COL_OFFSETS] + at;
            const uint8_t *text = (const uint8_t *)(intptr_t)column[COL_DATA] + offsets[0];
            out = write_text(out, text, offsets[1] - offsets[0], t);
        } else {
            out = write_fixed(out, column, at, t);
        }
    }
    if (t->json) *out++ = '}';
    *out++ = '\n';
    return out;
}

/* Rows from `row` on as long as they surely fit into `capacity`; the next row is returned, the bytes in *used. */
static int64_t write_rows(const textout_t *t, int64_t row, int64_t stop, uint8_t *out, int64_t capacity, int64_t *used) {
    uint8_t *at = out, *end = out + capacity;
    while (row < stop && end - at >= row_bytes_max(t, row)) at = write_row(at, t, row++);
    *used = at - out;
    return row;
}

#endif

/* The state of a scan: the field program, the predicates, the columns being filled, counters and rejects.
 *
 * The code that runs on it is compiled once for each instruction set: see scan_isa.h.
 */
#ifndef HPCKIT_SCAN_H
#define HPCKIT_SCAN_H

#include <stdint.h>
#include <string.h>

#include "intern.h"
#include "times.h"
#include "values.h"

#define SCAN_PADDING 128     /* readable bytes that every input buffer has behind its end */
#define SCAN_LITERAL_MAX 24
#define SCAN_ALTERNATIVES_MAX 4
#define SCAN_PARTS_MAX 6
#define SCAN_NULLS_MAX 4
#define SCAN_START_MAX 48
#define SCAN_PROGRAMS_MAX 8
#define SCAN_CHUNK 64        /* records that are cut, tested and converted together */
#define FETCH_AHEAD 4096     /* bytes */

enum { MODE_PATTERN = 1, MODE_CSV, MODE_JSON, MODE_LOGFMT };

/* why scan() came back */
enum { SCAN_NEED_DATA, SCAN_DONE, SCAN_ROWS_FULL, SCAN_REJECTS_FULL, SCAN_DICTIONARY_FULL, SCAN_TEXT_FULL, SCAN_NO_MEMORY };

/* why a record was rejected */
enum { GOOD, BAD_LITERAL, BAD_FIELD_END, BAD_INT, BAD_FLOAT, BAD_TIME, BAD_BOOL, BAD_UTF8, BAD_JSON, BAD_TOO_FEW,
       BAD_TOO_MANY, BAD_QUOTE, BAD_TOO_LONG, BAD_ORPHAN, BAD_ESCAPE, BAD_TRAILING };

enum { STEP_LITERAL = 1, STEP_FIELD, STEP_REST, STEP_SPACES, STEP_OPTIONAL, STEP_RUN, STEP_QUOTED, STEP_END };

/* Up to 24 bytes; the first 8 are also there as a word, so that one comparison settles most. */
typedef struct { uint64_t head, mask; uint8_t bytes[SCAN_LITERAL_MAX]; int32_t length; } scan_literal;

typedef struct {
    int32_t kind, field, skip;
    int32_t wide;        /* RUN: which of its first 64 fields has a least width; -1: none */
    int32_t min_width;   /* FIELD, and that field of a RUN: search for its end from here on */
    int32_t fixed_width; /* FIELD: exactly this wide, if > 0 */
    int32_t or_end;      /* FIELD: may also end with the record */
    int32_t blank;       /* FIELD: ends at a blank */
    int32_t alternatives;
    int32_t plain;       /* FIELD: its one literal or the end say where it ends, and `then` is that literal or nothing */
    uint64_t kept;       /* bit k: somebody asks for its k-th field (RUN: of each 64) */
    int32_t clears;      /* its fields may be marked as absent, and it does not set their flags itself */
    scan_literal then; /* FIELD, QUOTED: the literal behind it; OPTIONAL: the one it begins with, if that is passed here */
    scan_literal literal[SCAN_ALTERNATIVES_MAX];
} scan_step;

enum { VALUE_INT = 1, VALUE_FLOAT, VALUE_TIME, VALUE_CODED, VALUE_TEXT, VALUE_BOOL };
enum { FIELD_RAW = -1 };

/* A string of the chunk that is not in its column yet; bytes NULL: it is NULL. */
typedef struct { const uint8_t *bytes; uint64_t hash; int64_t length; } scan_pending;

typedef struct {
    int32_t field; /* index of a range, FIELD_RAW: the whole record */
    int32_t kind;
    void *values; /* int64, double or int32 codes; VALUE_TEXT: int32 offsets, rows + 1 */
    uint8_t *valid;
    int64_t nulls;
    intern_table *dictionary;
    uint8_t *text;
    int64_t text_capacity;
    time_program *time;
    int32_t parts, part[SCAN_PARTS_MAX];
    int32_t null_count;
    scan_literal null[SCAN_NULLS_MAX];
    int32_t byte_array; /* JSON: an array of byte values stands for a string */
    int32_t null_digits; /* some token that stands for NULL is a number */
    int64_t pending_bytes;
    scan_pending pending[SCAN_CHUNK];
} scan_column;

enum { ATOM_IN = 1, ATOM_PREFIX, ATOM_SUFFIX, ATOM_CONTAINS, ATOM_INT, ATOM_FLOAT, ATOM_TIME, ATOM_IS_NULL };
enum { OP_EQ = 1, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

typedef struct { const uint8_t *bytes; int64_t length; uint64_t head; } scan_bytes;

/* One comparison of a field with constants; `column` tells how the field is read. */
typedef struct {
    int32_t kind, op, negate;
    int32_t plain; /* IN of a string that no token makes NULL */
    scan_column *column;
    int64_t value;
    double number;
    int32_t set_size;
    scan_bytes *set;
    scan_bytes *slots; /* see place_short; NULL: compare with each */
    uint64_t multiplier;
    int32_t slot_shift;
} scan_atom;

#define SLOT_BITS_MAX 8
#define MULTIPLIERS_MAX 500

static inline uint64_t scan_slot(const scan_atom *a, uint64_t head, int64_t n) {
    return (head ^ (uint64_t)n << 59) * a->multiplier >> a->slot_shift;
}

/* Give each constant of up to 8 bytes a slot of its own, by a multiplier that is found by trying: then a field is compared
 * with one of them, not with all. a->slots stays NULL where there are too many. */
static void place_short(scan_atom *a) {
    uint64_t chance = 0x9e3779b97f4a7c15ull;
    int bits = 2;
    while (bits < SLOT_BITS_MAX && 1 << bits < 4 * a->set_size) bits++;
    scan_bytes *slots = (scan_bytes *)malloc(sizeof(scan_bytes) << bits);
    a->slot_shift = 64 - bits;
    for (int tries = 0; slots && tries < MULTIPLIERS_MAX; tries++) {
        int32_t k = 0;
        chance = chance * 6364136223846793005ull + 1442695040888963407ull;
        a->multiplier = chance | 1;
        for (int32_t slot = 0; slot < 1 << bits; slot++) slots[slot].length = -1;
        for (; k < a->set_size; k++) {
            const scan_bytes *constant = a->set + k;
            if (constant->length > 8) continue;
            scan_bytes *slot = slots + scan_slot(a, constant->head, constant->length);
            if (slot->length >= 0 && (slot->length != constant->length || slot->head != constant->head)) break;
            *slot = *constant;
        }
        if (k == a->set_size) { a->slots = slots; return; }
    }
    free(slots);
}

enum { FLAG_ABSENT = 1, FLAG_BACKSLASH = 2, FLAG_CSV = 4, FLAG_JSON = 8, FLAG_QUOTED = 16, FLAG_LINES = 32 };

typedef struct { int64_t offset, length; int32_t reason, field; int64_t lines, at; } scan_reject;

/* Unescaped strings of a chunk lie here until they are in their columns. */
typedef struct scan_block { struct scan_block *next; int64_t capacity, used; uint8_t bytes[]; } scan_block;

/* Records that were found and not taken yet. */
typedef struct {
    int32_t count;
    const uint8_t *record[SCAN_CHUNK], *line_end[SCAN_CHUNK], *end[SCAN_CHUNK]; /* end: behind the continuation lines */
    int64_t continued[SCAN_CHUNK];    /* lines of the record behind its first */
    int64_t blank[SCAN_CHUNK];        /* blank lines inside it */
    int64_t blank_before[SCAN_CHUNK]; /* blank lines between it and the record before */
    int32_t reason[SCAN_CHUNK], bad_field[SCAN_CHUNK]; /* why it is rejected, or GOOD */
    int64_t bad_at[SCAN_CHUNK];
} scan_chunk;

typedef struct {
    int32_t mode, field_count;
    scan_step *steps;       /* all programs, one after the other; program k ends before program_stop[k] */
    int32_t program_count, program_stop[SCAN_PROGRAMS_MAX];
    int32_t *absent;        /* fields that program k may leave out: absent[absent_stop[k - 1] .. absent_stop[k]) */
    int32_t absent_stop[SCAN_PROGRAMS_MAX];
    uint8_t delimiter, quoting, ragged;
    int32_t key_count; /* JSON, LOGFMT: key of field i */
    scan_bytes *keys;
    int32_t nested;    /* JSON: some key is a dotted path */

    int32_t start_length; /* record_start mask; 0: every line is a record */
    uint8_t start_kind[SCAN_START_MAX], start_byte[SCAN_START_MAX];

    int32_t column_count;
    scan_column *columns;
    int64_t *row_offset;
    int64_t rows, row_capacity;

    int32_t atom_count, term_count; /* rows wanted: any term of which all atoms hold; no term: all rows */
    scan_atom *atoms;
    int32_t *term_stop;

    scan_reject *rejects;
    int64_t reject_count, reject_capacity;

    int64_t lines, parsed, continuation, rejected, blank;
    int64_t late_lines; /* lines of a record that is too long, seen after its reject was taken */
    int64_t max_record;

    int64_t position;  /* in the buffer: where the next record starts */
    int32_t skip_leading; /* lines before the first record belong to the split before */
    int32_t skipping;  /* inside a record that is too long: 1 until a newline, 2 until a record starts */
    int32_t seen_record;
    int32_t full_column;

    /* ranges of the fields, from the start of the record: field f of the chunk's record i is entry f * SCAN_CHUNK + i */
    int32_t *start, *length;
    uint8_t *flags;
    const uint8_t *buffer; /* what is scanned; its first byte is byte `base` of the file */
    int64_t base;
    int32_t slot;      /* the record being cut */
    int32_t chunk_max; /* so many records of many fields stay in the cache */
    scan_chunk chunk;
    scan_block *blocks;
    int32_t bad_field;
    int64_t bad_at;
} scan_state;

/* Whether the bytes at p begin with the literal; 8 bytes can be read from p on, also behind the end. */
static inline int same_literal(const uint8_t *p, const scan_literal *literal) {
    return (hpckit_load8(p) & literal->mask) == literal->head
           && (literal->length <= 8 || memcmp(p + 8, literal->bytes + 8, (size_t)literal->length - 8) == 0);
}

static inline int starts_with(const uint8_t *p, const uint8_t *end, const scan_literal *literal) {
    return end - p >= literal->length && same_literal(p, literal);
}

/* Does a record start with this line? -1: too few bytes to tell. */
static inline int matches_start(const scan_state *s, const uint8_t *p, const uint8_t *end, int final) {
    for (int32_t i = 0; i < s->start_length; i++) {
        if (p + i >= end) return final ? 0 : -1;
        uint8_t c = p[i];
        switch (s->start_kind[i]) {
        case 'd': if ((uint32_t)(c - '0') > 9) return 0; break;
        case 'a': if ((uint32_t)((c | 0x20) - 'a') > 25) return 0; break;
        case '.': if (c == '\n') return 0; break;
        default: if (c != s->start_byte[i]) return 0;
        }
    }
    return 1;
}

static int scan_fail(scan_state *s, int reason, int32_t field, int64_t at) {
    s->bad_field = field;
    s->bad_at = at;
    return reason;
}

#endif

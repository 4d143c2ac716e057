/* The state of a scan: the field program, the predicates, the columns being filled, counters and rejects.
 *
 * scan_core.h holds the code that runs on it, compiled once for each instruction set.
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
#define SCAN_PENDING 32      /* rows whose dictionary codes are looked up together */

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
    int32_t min_width;   /* FIELD: search for its end from here on */
    int32_t fixed_width; /* FIELD: exactly this wide, if > 0 */
    int32_t or_end;      /* FIELD: may also end with the record */
    int32_t blank;       /* FIELD: ends at a blank */
    int32_t alternatives;
    scan_literal then; /* FIELD, QUOTED: the literal behind it; OPTIONAL: the one it begins with, if that is passed here */
    scan_literal literal[SCAN_ALTERNATIVES_MAX];
} scan_step;

enum { VALUE_INT = 1, VALUE_FLOAT, VALUE_TIME, VALUE_CODED, VALUE_TEXT, VALUE_BOOL, VALUE_OFFSET };
enum { FIELD_RAW = -1, FIELD_NONE = -2 };

/* A string whose code is still to be looked up; bytes NULL: the code is there already. */
typedef struct { const uint8_t *bytes; uint64_t hash; int64_t length; } scan_pending;

typedef struct {
    int32_t field; /* index of a range, FIELD_RAW: the whole record, FIELD_NONE: not from the text */
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
    int64_t pending_count, pending_bytes; /* strings noted; room in the dictionary is kept for them */
    scan_pending pending[SCAN_PENDING];
} scan_column;

enum { ATOM_IN = 1, ATOM_PREFIX, ATOM_SUFFIX, ATOM_CONTAINS, ATOM_INT, ATOM_FLOAT, ATOM_TIME, ATOM_IS_NULL };
enum { OP_EQ = 1, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

typedef struct { const uint8_t *bytes; int64_t length; uint64_t head; } scan_bytes;

/* One comparison of a field with constants; `column` tells how the field is read. */
typedef struct {
    int32_t kind, op, negate;
    scan_column *column;
    int64_t value;
    double number;
    int32_t set_size;
    scan_bytes *set;
} scan_atom;

enum { FLAG_ABSENT = 1, FLAG_BACKSLASH = 2, FLAG_CSV = 4, FLAG_JSON = 8, FLAG_QUOTED = 16, FLAG_LINES = 32 };

typedef struct { int64_t offset, length; int32_t reason, field; int64_t lines, at; } scan_reject;

typedef struct { const uint8_t *bytes; int32_t length; int32_t child; } scan_key; /* child: subtree of a nested object */

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
    int64_t pending; /* the last so many rows have pending strings */

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

    int32_t *start, *length; /* ranges of the fields, from the start of the record */
    uint8_t *flags;
    uint8_t *scratch;
    int64_t scratch_capacity;
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

static const uint8_t *unescaped(scan_state *s, const uint8_t *p, uint8_t flags, int64_t *n) {
    if (*n * 3 + 16 > s->scratch_capacity) {
        uint8_t *fresh = (uint8_t *)realloc(s->scratch, (size_t)(*n * 3 + 4096));
        if (!fresh) return NULL;
        s->scratch = fresh;
        s->scratch_capacity = *n * 3 + 4096;
    }
    if (flags & FLAG_BACKSLASH) *n = unescape_quoted(p, *n, s->scratch);
    else if (flags & FLAG_CSV) *n = unescape_csv(p, *n, s->scratch);
    else if (flags & FLAG_LINES) *n = join_lines(p, *n, s->scratch);
    else *n = unescape_json(p, *n, s->scratch);
    return *n < 0 ? NULL : s->scratch;
}

/* The bytes of a field with its escapes undone (into `scratch`, which the next call overwrites). NULL: malformed. */
static inline const uint8_t *field_bytes(scan_state *s, const uint8_t *record, int32_t f, int64_t *n) {
    const uint8_t *p = record + s->start[f];
    uint8_t flags = s->flags[f];
    *n = s->length[f];
    if (!(flags & (FLAG_BACKSLASH | FLAG_CSV | FLAG_JSON | FLAG_LINES))) return p;
    return unescaped(s, p, flags, n);
}

static inline int is_null_token(const scan_column *c, const uint8_t *p, int64_t n) {
    for (int32_t i = 0; i < c->null_count; i++)
        if (c->null[i].length == n && same_literal(p, &c->null[i])) return 1;
    return 0;
}

/* A JSON array of byte values ([72, 105]) to bytes; -1 if it is something else. */
static int64_t bytes_from_array(const uint8_t *p, int64_t n, uint8_t *out) {
    int64_t k = 0, value = -1;
    for (int64_t i = 1; i < n; i++) {
        uint32_t digit = (uint32_t)p[i] - '0';
        if (digit <= 9) { value = (value < 0 ? 0 : value) * 10 + digit; if (value > 255) return -1; }
        else if (p[i] == ',' || p[i] == ']') { if (value >= 0) out[k++] = (uint8_t)value; value = -1; }
        else if (p[i] != ' ') return -1;
    }
    return k;
}

static void trim_blanks(const uint8_t **p, int64_t *n) {
    while (*n > 0 && (**p == ' ' || **p == '\t')) { (*p)++; (*n)--; }
    while (*n > 0 && ((*p)[*n - 1] == ' ' || (*p)[*n - 1] == '\t')) (*n)--;
}

/* The timestamp of a column, whose bytes may lie in several fields. */
static int read_time(scan_state *s, const scan_column *c, const uint8_t *record, int64_t *out_us) {
    uint8_t joined[256];
    int64_t used = 0, n;
    const uint8_t *p;
    if (!c->parts) {
        p = field_bytes(s, record, c->field, &n);
        return p && parse_time(c->time, p, n, out_us);
    }
    for (int32_t i = 0; i < c->parts; i++) {
        p = field_bytes(s, record, c->part[i], &n);
        if (!p || used + n + 1 > (int64_t)sizeof(joined)) return 0;
        if (i) joined[used++] = ' ';
        memcpy(joined + used, p, (size_t)n);
        used += n;
    }
    return parse_time(c->time, joined, used, out_us);
}

static inline int column_is_null(scan_state *s, const scan_column *c, const uint8_t *record) {
    if (c->parts) {
        for (int32_t i = 0; i < c->parts; i++) {
            int32_t f = c->part[i];
            if (s->flags[f] & FLAG_ABSENT) return 1;
            if (c->null_count && is_null_token(c, record + s->start[f], s->length[f])) return 1;
        }
        return 0;
    }
    if (c->field < 0) return 0;
    if (s->flags[c->field] & FLAG_ABSENT) return 1;
    /* quoted text is never NULL, but a quoted nothing is where a number should be */
    if ((s->flags[c->field] & FLAG_QUOTED) && (s->length[c->field] || c->kind == VALUE_CODED || c->kind == VALUE_TEXT)) return 0;
    return c->null_count && is_null_token(c, record + s->start[c->field], s->length[c->field]);
}

static int read_bool(const uint8_t *p, int64_t n, int64_t *out) {
    if (word_is(p, n, "true") || word_is(p, n, "t") || (n == 1 && *p == '1')) { *out = 1; return 1; }
    if (word_is(p, n, "false") || word_is(p, n, "f") || (n == 1 && *p == '0')) { *out = 0; return 1; }
    return 0;
}

/* Text of a string column (the record itself for FIELD_RAW). NULL: malformed escapes. */
static const uint8_t *read_text(scan_state *s, const scan_column *c, const uint8_t *record, int64_t record_length, int64_t *n) {
    if (c->field == FIELD_RAW) { *n = record_length; return record; }
    const uint8_t *p = field_bytes(s, record, c->field, n);
    if (p && c->byte_array && *n > 0 && *p == '[' && !(s->flags[c->field] & FLAG_QUOTED)) {
        if (*n > s->scratch_capacity) {
            uint8_t *fresh = (uint8_t *)realloc(s->scratch, (size_t)*n);
            if (!fresh) return NULL;
            s->scratch = fresh;
            s->scratch_capacity = *n;
        }
        int64_t length = bytes_from_array(p, *n, s->scratch);
        if (length >= 0) { *n = length; return s->scratch; }
    }
    return p;
}

/* Look up the codes of all pending strings. In a large dictionary each look-up misses the caches three times, at its
 * slot, its offset and its bytes: prefetched for all rows at once, the misses overlap. */
static int resolve_pending(scan_state *s) {
    int64_t first = s->rows - s->pending;
    for (int32_t i = 0; i < s->column_count && s->pending; i++) {
        scan_column *c = &s->columns[i];
        if (c->kind != VALUE_CODED) continue;
        intern_table *t = c->dictionary;
        int32_t guess[SCAN_PENDING];
        for (int64_t k = 0; k < s->pending; k++) {
            const scan_pending *x = &c->pending[k];
            const intern_slot *slot = &t->slots[x->hash & t->mask];
            guess[k] = x->bytes && slot->tag == (uint32_t)(x->hash >> 32) ? slot->code : -1;
            if (guess[k] >= 0) __builtin_prefetch(&t->offsets[guess[k]]);
        }
        for (int64_t k = 0; k < s->pending; k++)
            if (guess[k] >= 0) __builtin_prefetch(t->data + t->offsets[guess[k]]);
        for (int64_t k = 0; k < s->pending; k++) {
            const scan_pending *x = &c->pending[k];
            if (!x->bytes) continue;
            int32_t code = guess[k];
            if (code < 0 || t->offsets[code + 1] - t->offsets[code] != x->length
                || !hpckit_same_bytes(t->data + t->offsets[code], x->bytes, x->length))
                code = intern_find(t, x->bytes, x->length, x->hash);
            if (code < 0) code = intern_add(t, x->bytes, x->length, x->hash);
            if (code < 0) return SCAN_NO_MEMORY;
            ((int32_t *)c->values)[first + k] = code;
        }
        c->pending_count = c->pending_bytes = 0;
    }
    s->pending = 0;
    return 0;
}

/* The code of a string, or a note to look it up later. GOOD, a BAD_ reason, or -SCAN_… */
static int convert_coded(scan_state *s, scan_column *c, const uint8_t *record, int64_t record_length) {
    int64_t n;
    scan_pending *later = &c->pending[s->pending];
    later->bytes = NULL;
    const uint8_t *p = read_text(s, c, record, record_length, &n);
    if (!p) return scan_fail(s, BAD_ESCAPE, c->field, s->start[c->field]);
    intern_table *t = c->dictionary;
    uint64_t seen, hash = hpckit_hash_and_or(p, n, &seen);
    int ascii = !(seen & 0x8080808080808080ull);
    int roomy = t->count + c->pending_count < t->max_entries && t->offsets[t->count] + c->pending_bytes + n <= t->max_bytes;
    if (ascii && roomy && p != s->scratch) {
        __builtin_prefetch(&t->slots[hash & t->mask]);
        later->bytes = p;
        later->hash = hash;
        later->length = n;
        c->pending_count++;
        c->pending_bytes += n;
        return GOOD;
    }
    int32_t code = intern_find(t, p, n, hash);
    if (code < 0) {
        if (!ascii && !utf8_valid(p, n)) return scan_fail(s, BAD_UTF8, c->field, c->field < 0 ? 0 : s->start[c->field]);
        if (c->pending_count && !roomy) return -SCAN_DICTIONARY_FULL;
        code = intern_add(t, p, n, hash);
        if (code < 0) return code == INTERN_FULL ? -SCAN_DICTIONARY_FULL : -SCAN_NO_MEMORY;
    }
    ((int32_t *)c->values)[s->rows] = code;
    return GOOD;
}

/* Convert one column of the row being made. GOOD, a BAD_ reason, or -SCAN_… when something is full. */
static int convert_column(scan_state *s, scan_column *c, const uint8_t *record, int64_t record_length) {
    int64_t row = s->rows, n, number = 0;
    const uint8_t *p;
    int null = c->field != FIELD_NONE && column_is_null(s, c, record);
    c->valid[row] = !null;
    c->nulls += null;
    switch (c->kind) {
    case VALUE_INT:
        if (!null && !parse_short(record + s->start[c->field], s->length[c->field], &number)) {
            p = field_bytes(s, record, c->field, &n);
            if (p && n && (*p == ' ' || p[n - 1] == ' ')) trim_blanks(&p, &n);
            if (!p || !parse_int(p, n, &number)) return scan_fail(s, BAD_INT, c->field, s->start[c->field]);
        }
        ((int64_t *)c->values)[row] = number;
        return GOOD;
    case VALUE_FLOAT: {
        double value = 0;
        if (!null) {
            p = field_bytes(s, record, c->field, &n);
            if (p && n && (*p == ' ' || p[n - 1] == ' ')) trim_blanks(&p, &n);
            if (!p || !parse_float(p, n, &value)) return scan_fail(s, BAD_FLOAT, c->field, s->start[c->field]);
        }
        ((double *)c->values)[row] = value;
        return GOOD;
    }
    case VALUE_TIME:
        if (!null && !read_time(s, c, record, &number)) {
            int32_t f = c->parts ? c->part[0] : c->field;
            return scan_fail(s, BAD_TIME, f, s->start[f]);
        }
        ((int64_t *)c->values)[row] = number;
        return GOOD;
    case VALUE_BOOL:
        if (!null) {
            p = field_bytes(s, record, c->field, &n);
            if (!p || !read_bool(p, n, &number)) return scan_fail(s, BAD_BOOL, c->field, s->start[c->field]);
        }
        ((int64_t *)c->values)[row] = number;
        return GOOD;
    case VALUE_CODED:
        if (!null) return convert_coded(s, c, record, record_length);
        c->pending[s->pending].bytes = NULL;
        ((int32_t *)c->values)[row] = -1;
        return GOOD;
    case VALUE_TEXT: {
        int32_t *offsets = (int32_t *)c->values;
        if (null) { offsets[row + 1] = offsets[row]; return GOOD; }
        p = read_text(s, c, record, record_length, &n);
        if (!p) return scan_fail(s, BAD_ESCAPE, c->field, s->start[c->field]);
        if (!utf8_valid(p, n)) return scan_fail(s, BAD_UTF8, c->field, c->field < 0 ? 0 : s->start[c->field]);
        if (offsets[row] + n > c->text_capacity) return -SCAN_TEXT_FULL;
        memcpy(c->text + offsets[row], p, (size_t)n);
        offsets[row + 1] = offsets[row] + (int32_t)n;
        return GOOD;
    }
    default:
        return GOOD;
    }
}

/* Take back what columns [0, stop] have noted of a row that is not made after all. */
static void drop_row(scan_state *s, int32_t stop) {
    for (int32_t k = 0; k <= stop; k++) {
        scan_column *c = &s->columns[k];
        c->nulls -= !c->valid[s->rows];
        if (c->kind == VALUE_CODED && c->pending[s->pending].bytes) {
            c->pending_count--;
            c->pending_bytes -= c->pending[s->pending].length;
        }
    }
}

static int compare_op(int op, int less, int equal) {
    switch (op) {
    case OP_EQ: return equal;
    case OP_NE: return !equal;
    case OP_LT: return less;
    case OP_LE: return less || equal;
    case OP_GT: return !less && !equal;
    default: return !less;
    }
}

#endif

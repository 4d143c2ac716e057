/* Values of a chunk of records, a column at a time: each loop does one thing, so that its branches are foreseen and what it
 * does for one record overlaps with the next.
 *
 * Numbers go straight into their column. Strings are noted first (checked and hashed) and put into theirs once it is known
 * which records become rows: a dictionary holds no string of a rejected record.
 */
#ifndef HPCKIT_SCAN_COLUMNS_H
#define HPCKIT_SCAN_COLUMNS_H

#include "scan.h"

#define ESCAPES (FLAG_BACKSLASH | FLAG_CSV | FLAG_JSON | FLAG_LINES)
#define SCAN_BLOCK_BYTES 65536

static inline int64_t field_at(int32_t field, int32_t i) { return (int64_t)field * SCAN_CHUNK + i; }

/* Room for n bytes that stay until the chunk is done, or NULL. */
static uint8_t *chunk_bytes(scan_state *s, int64_t n) {
    scan_block *block = s->blocks;
    if (!block || block->capacity - block->used < n) {
        int64_t capacity = block ? 2 * block->capacity : SCAN_BLOCK_BYTES;
        if (capacity < n) capacity = n;
        scan_block *fresh = (scan_block *)malloc(sizeof(scan_block) + (size_t)capacity);
        if (!fresh) return NULL;
        fresh->capacity = capacity;
        fresh->used = 0;
        fresh->next = block;
        s->blocks = block = fresh;
    }
    uint8_t *out = block->bytes + block->used;
    block->used += n;
    return out;
}

/* Let go of all blocks but the newest, which is the largest. */
static void drop_chunk_bytes(scan_state *s) {
    if (!s->blocks) return;
    for (scan_block *block = s->blocks->next; block;) {
        scan_block *next = block->next;
        free(block);
        block = next;
    }
    s->blocks->next = NULL;
    s->blocks->used = 0;
}

static void free_chunk_bytes(scan_state *s) {
    drop_chunk_bytes(s);
    free(s->blocks);
    s->blocks = NULL;
}

/* No form of escape makes a text longer. */
static const uint8_t *unescaped(scan_state *s, const uint8_t *p, uint8_t flags, int64_t *n) {
    uint8_t *out = chunk_bytes(s, *n + 16);
    if (!out) return NULL;
    if (flags & FLAG_BACKSLASH) *n = unescape_quoted(p, *n, out);
    else if (flags & FLAG_CSV) *n = unescape_csv(p, *n, out);
    else if (flags & FLAG_LINES) *n = join_lines(p, *n, out);
    else *n = unescape_json(p, *n, out);
    return *n < 0 ? NULL : out;
}

/* The bytes of a field of record i with its escapes undone. NULL: malformed. */
static inline const uint8_t *field_bytes(scan_state *s, int32_t i, int32_t f, int64_t *n) {
    int64_t at = field_at(f, i);
    const uint8_t *p = s->chunk.record[i] + s->start[at];
    *n = s->length[at];
    return s->flags[at] & ESCAPES ? unescaped(s, p, s->flags[at], n) : p;
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

/* The bytes of a number: blanks around it do not count. */
static const uint8_t *number_bytes(scan_state *s, int32_t i, int32_t f, int64_t *n) {
    const uint8_t *p = field_bytes(s, i, f, n);
    if (p && *n && (*p == ' ' || p[*n - 1] == ' ')) trim_blanks(&p, n);
    return p;
}

/* The timestamp of a column, whose bytes may lie in several fields. */
static int read_time(scan_state *s, const scan_column *c, int32_t i, int64_t *out_us) {
    uint8_t joined[256];
    int64_t used = 0, n;
    const uint8_t *p;
    if (!c->parts) {
        p = field_bytes(s, i, c->field, &n);
        return p && parse_time(c->time, p, n, out_us);
    }
    for (int32_t k = 0; k < c->parts; k++) {
        p = field_bytes(s, i, c->part[k], &n);
        if (!p || used + n + 1 > (int64_t)sizeof(joined)) return 0;
        if (k) joined[used++] = ' ';
        memcpy(joined + used, p, (size_t)n);
        used += n;
    }
    return parse_time(c->time, joined, used, out_us);
}

static inline int column_is_null(const scan_state *s, const scan_column *c, int32_t i) {
    const uint8_t *record = s->chunk.record[i];
    if (c->parts) {
        for (int32_t k = 0; k < c->parts; k++) {
            int64_t at = field_at(c->part[k], i);
            if (s->flags[at] & FLAG_ABSENT) return 1;
            if (c->null_count && is_null_token(c, record + s->start[at], s->length[at])) return 1;
        }
        return 0;
    }
    if (c->field < 0) return 0;
    int64_t at = field_at(c->field, i);
    if (s->flags[at] & FLAG_ABSENT) return 1;
    /* quoted text is never NULL, but a quoted nothing is where a number should be */
    if ((s->flags[at] & FLAG_QUOTED) && (s->length[at] || c->kind == VALUE_CODED || c->kind == VALUE_TEXT)) return 0;
    return c->null_count && is_null_token(c, record + s->start[at], s->length[at]);
}

static int read_bool(const uint8_t *p, int64_t n, int64_t *out) {
    if (word_is(p, n, "true") || word_is(p, n, "t") || (n == 1 && *p == '1')) { *out = 1; return 1; }
    if (word_is(p, n, "false") || word_is(p, n, "f") || (n == 1 && *p == '0')) { *out = 0; return 1; }
    return 0;
}

/* Text of a string column (the record itself for FIELD_RAW). NULL: malformed escapes. */
static const uint8_t *read_text(scan_state *s, const scan_column *c, int32_t i, int64_t *n) {
    if (c->field == FIELD_RAW) { *n = s->chunk.end[i] - s->chunk.record[i]; return s->chunk.record[i]; }
    const uint8_t *p = field_bytes(s, i, c->field, n);
    if (p && c->byte_array && *n > 0 && *p == '[' && !(s->flags[field_at(c->field, i)] & FLAG_QUOTED)) {
        uint8_t *out = chunk_bytes(s, *n);
        if (!out) return NULL;
        int64_t length = bytes_from_array(p, *n, out);
        if (length >= 0) { *n = length; return out; }
    }
    return p;
}

static int fail_at_field(scan_state *s, int reason, int32_t field, int32_t i) {
    return scan_fail(s, reason, field, field < 0 ? 0 : s->start[field_at(field, i)]);
}

/* Record i is rejected, unless it is already; s->bad_… tell where. */
static void reject_record(scan_state *s, int32_t i, int reason) {
    scan_chunk *chunk = &s->chunk;
    if (chunk->reason[i] != GOOD) return;
    chunk->reason[i] = reason;
    chunk->bad_field[i] = s->bad_field;
    chunk->bad_at[i] = s->bad_at;
}

/* One value that is no string; *number holds the bits of what it is. GOOD or the reason why there is none. */
static int read_number(scan_state *s, scan_column *c, int32_t i, int64_t *number) {
    int64_t n;
    const uint8_t *p;
    double value;
    switch (c->kind) {
    case VALUE_INT:
        p = number_bytes(s, i, c->field, &n);
        return p && parse_int(p, n, number) ? GOOD : fail_at_field(s, BAD_INT, c->field, i);
    case VALUE_FLOAT:
        p = number_bytes(s, i, c->field, &n);
        if (!p || !parse_float(p, n, &value)) return fail_at_field(s, BAD_FLOAT, c->field, i);
        memcpy(number, &value, 8);
        return GOOD;
    case VALUE_TIME:
        return read_time(s, c, i, number) ? GOOD : fail_at_field(s, BAD_TIME, c->parts ? c->part[0] : c->field, i);
    default:
        p = field_bytes(s, i, c->field, &n);
        return p && read_bool(p, n, number) ? GOOD : fail_at_field(s, BAD_BOOL, c->field, i);
    }
}

/* The value of record i, or NULL, into the k-th new row. */
static void read_number_or_null(scan_state *s, scan_column *c, int32_t i, int32_t k) {
    int64_t *value = (int64_t *)c->values + s->rows + k;
    int null = column_is_null(s, c, i);
    c->valid[s->rows + k] = !null;
    *value = 0;
    if (null) return;
    int bad = read_number(s, c, i, value);
    if (bad) reject_record(s, i, bad);
}

/* Values of the records chosen[0..n) into rows s->rows and on. */
static void read_numbers(scan_state *s, scan_column *c, const int32_t *chosen, int32_t n) {
    int64_t *values = (int64_t *)c->values + s->rows;
    uint8_t *valid = c->valid + s->rows;
    int64_t row = c->field < 0 ? 0 : field_at(c->field, 0);
    int quick = c->kind == VALUE_INT && !c->null_digits;
    for (int32_t k = 0; k < n; k++) {
        int32_t i = chosen[k];
        int64_t at = row + i;
        if (quick && !(s->flags[at] & ~FLAG_QUOTED) && parse_short(s->chunk.record[i] + s->start[at], s->length[at], &values[k])) {
            valid[k] = 1;
            continue;
        }
        read_number_or_null(s, c, i, k);
    }
}

/* Timestamps; lines that follow one another often have the same. */
static void read_times(scan_state *s, scan_column *c, const int32_t *chosen, int32_t n) {
    int64_t *values = (int64_t *)c->values + s->rows, row = field_at(c->field, 0), last_length = -1;
    uint8_t *valid = c->valid + s->rows;
    const uint8_t *last = NULL;
    for (int32_t k = 0; k < n; k++) {
        int32_t i = chosen[k];
        const uint8_t *p = s->chunk.record[i] + s->start[row + i];
        int64_t length = s->length[row + i];
        valid[k] = 1;
        if (s->flags[row + i] & ~FLAG_QUOTED) {
            read_number_or_null(s, c, i, k);
        } else if (length == last_length && hpckit_same_bytes(p, last, length)) {
            values[k] = values[k - 1];
            continue;
        } else if (!c->null_count && parse_time(c->time, p, length, &values[k])) {
            last = p;
            last_length = length;
            continue;
        } else read_number_or_null(s, c, i, k);
        last_length = -1;
    }
}

/* Note the strings of the records chosen[0..n); the dictionary's slots are on their way into the cache. */
static void note_strings(scan_state *s, scan_column *c, const int32_t *chosen, int32_t n) {
    uint8_t *valid = c->valid + s->rows;
    int64_t row = c->field < 0 ? 0 : field_at(c->field, 0), total = 0;
    int coded = c->kind == VALUE_CODED, simple = c->field >= 0 && !c->null_count && !c->byte_array;
    for (int32_t k = 0; k < n; k++) {
        int32_t i = chosen[k];
        int64_t length, at = row + i;
        uint64_t seen = 0;
        const uint8_t *p;
        scan_pending *x = &c->pending[k];
        valid[k] = 1;
        if (simple && !(s->flags[at] & ~FLAG_QUOTED)) {
            p = s->chunk.record[i] + s->start[at];
            length = s->length[at];
        } else if (column_is_null(s, c, i)) {
            valid[k] = 0;
            x->bytes = NULL;
            x->length = 0;
            continue;
        } else {
            p = read_text(s, c, i, &length);
            if (!p) { reject_record(s, i, fail_at_field(s, BAD_ESCAPE, c->field, i)); continue; }
        }
        x->bytes = p;
        x->length = length;
        total += length;
        if (coded) {
            x->hash = hpckit_hash_and_or(p, length, &seen);
            __builtin_prefetch(&c->dictionary->slots[x->hash & c->dictionary->mask]);
        }
        if ((!coded || seen & 0x8080808080808080ull) && !utf8_valid(p, length))
            reject_record(s, i, fail_at_field(s, BAD_UTF8, c->field, i));
    }
    c->pending_bytes = total;
}

/* Codes of the first n noted strings. In a large dictionary each look-up misses the caches three times, at its slot, its
 * offset and its bytes: prefetched for all rows at once, the misses overlap. */
static int find_codes(scan_state *s, scan_column *c, int32_t n) {
    intern_table *t = c->dictionary;
    int32_t *codes = (int32_t *)c->values + s->rows, guess[SCAN_CHUNK];
    for (int32_t k = 0; k < n; k++) {
        const scan_pending *x = &c->pending[k];
        guess[k] = x->bytes ? intern_guess(t, x->hash) : -1;
        if (guess[k] >= 0) __builtin_prefetch(&t->offsets[guess[k]]);
    }
    for (int32_t k = 0; k < n; k++)
        if (guess[k] >= 0) __builtin_prefetch(t->data + t->offsets[guess[k]]);
    for (int32_t k = 0; k < n; k++) {
        const scan_pending *x = &c->pending[k];
        int32_t code = guess[k];
        if (!x->bytes) { codes[k] = -1; continue; }
        if (code < 0 || t->offsets[code + 1] - t->offsets[code] != x->length
            || !hpckit_same_bytes(t->data + t->offsets[code], x->bytes, x->length))
            code = intern_find(t, x->bytes, x->length, x->hash);
        if (code < 0) code = intern_add(t, x->bytes, x->length, x->hash);
        if (code < 0) return code;
        codes[k] = code;
    }
    return GOOD;
}

/* Put the noted strings of row k into their columns. GOOD or -SCAN_…; s->full_column says which column is full. */
static int store_row(scan_state *s, int32_t k) {
    for (int32_t i = 0; i < s->column_count; i++) {
        scan_column *c = &s->columns[i];
        if (c->kind != VALUE_CODED) continue;
        const scan_pending *x = &c->pending[k];
        int32_t code = -1;
        if (x->bytes) {
            code = intern_find(c->dictionary, x->bytes, x->length, x->hash);
            if (code < 0) code = intern_add(c->dictionary, x->bytes, x->length, x->hash);
            if (code < 0) {
                s->full_column = i;
                return code == INTERN_FULL ? -SCAN_DICTIONARY_FULL : -SCAN_NO_MEMORY;
            }
        }
        ((int32_t *)c->values)[s->rows + k] = code;
    }
    return GOOD;
}

/* Append the first n noted texts; returns how many fit. */
static int32_t store_texts(scan_state *s, scan_column *c, int32_t n) {
    int32_t *offsets = (int32_t *)c->values + s->rows;
    for (int32_t k = 0; k < n; k++) {
        const scan_pending *x = &c->pending[k];
        if (offsets[k] + x->length > c->text_capacity) return k;
        if (x->length) memcpy(c->text + offsets[k], x->bytes, (size_t)x->length);
        offsets[k + 1] = offsets[k] + (int32_t)x->length;
    }
    return n;
}

/* The rows of the records that are still good move together; returns how many they are. */
static int32_t keep_good_rows(scan_state *s, int32_t *chosen, int32_t n) {
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        if (s->chunk.reason[chosen[k]] != GOOD) continue;
        for (int32_t i = 0; i < s->column_count && kept < k; i++) {
            scan_column *c = &s->columns[i];
            c->valid[s->rows + kept] = c->valid[s->rows + k];
            if (c->kind == VALUE_CODED || c->kind == VALUE_TEXT) c->pending[kept] = c->pending[k];
            else ((int64_t *)c->values)[s->rows + kept] = ((int64_t *)c->values)[s->rows + k];
        }
        chosen[kept++] = chosen[k];
    }
    return kept;
}

/* Put the noted strings of rows [0, n) into their columns. Returns how many rows are complete; when it is not all, *status
 * says why and s->full_column where. */
static int32_t store_strings(scan_state *s, int32_t n, int *status) {
    int roomy = 1;
    for (int32_t i = 0; i < s->column_count; i++) {
        scan_column *c = &s->columns[i];
        if (c->kind == VALUE_TEXT) {
            int32_t fit = store_texts(s, c, n);
            if (fit < n) { n = fit; s->full_column = i; *status = -SCAN_TEXT_FULL; }
        } else if (c->kind == VALUE_CODED) {
            const intern_table *t = c->dictionary;
            roomy &= t->count + n <= t->max_entries && t->offsets[t->count] + c->pending_bytes <= t->max_bytes;
        }
    }
    for (int32_t i = 0; i < s->column_count && roomy; i++)
        if (s->columns[i].kind == VALUE_CODED && find_codes(s, &s->columns[i], n)) { *status = -SCAN_NO_MEMORY; return 0; }
    for (int32_t k = 0; k < n && !roomy; k++) {
        int full = store_row(s, k);
        if (full) { *status = full; return k; }
    }
    return n;
}

/* Make rows of the records chosen[0..n), of which some may be rejected here. Returns how many rows are complete, for
 * the records that chosen[] then begins with; *status is GOOD if that is all of the good ones. */
static int32_t make_rows(scan_state *s, int32_t *chosen, int32_t n, int *status) {
    for (int32_t i = 0; i < s->column_count; i++) {
        scan_column *c = &s->columns[i];
        if (c->kind == VALUE_CODED || c->kind == VALUE_TEXT) note_strings(s, c, chosen, n);
        else if (c->kind == VALUE_TIME && !c->parts) read_times(s, c, chosen, n);
        else read_numbers(s, c, chosen, n);
    }
    int32_t good = keep_good_rows(s, chosen, n), done = store_strings(s, good, status);
    for (int32_t i = 0; i < s->column_count; i++) {
        const uint8_t *valid = s->columns[i].valid + s->rows;
        int32_t present = 0;
        for (int32_t k = 0; k < done; k++) present += valid[k];
        s->columns[i].nulls += done - present;
    }
    for (int32_t k = 0; k < done; k++) s->row_offset[s->rows + k] = s->base + (s->chunk.record[chosen[k]] - s->buffer);
    s->rows += done;
    return done;
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

/* Cutting all records of a chunk by a field program, a step at a time; once for each instruction set. */

/* A record that the steps below cannot cut is cut alone. */
#define ALONE (-1)

/* Where the loops below stand, and where they write; a copy in registers, which no store through a pointer can change. */
typedef struct {
    const uint8_t **at;              /* how far each record is cut */
    const uint8_t *const *record, *const *line_end;
    int32_t *active;                 /* the records that have fitted so far */
    int32_t *start, *length;         /* of the step's first field */
    uint8_t *flags;
    int32_t kept;                    /* whether anybody asks for that field */
    uint64_t head, mask;             /* of the step's literal */
    int32_t literal_length, is_short;
} ISA(cursor);

static inline ISA(cursor) ISA(cursor_of)(scan_state *s, const scan_step *step, const scan_literal *literal,
                                         const uint8_t **at, int32_t *active) {
    int64_t row = field_at(step->field < 0 ? 0 : step->field, 0);
    ISA(cursor) c = {at, s->chunk.record, s->chunk.line_end, active, s->start + row, s->length + row, s->flags + row,
                     (int32_t)(step->field >= 0 && step->kept & 1), literal->head, literal->mask, literal->length,
                     literal->length <= 8};
    return c;
}

/* Whether the cursor's literal, which is `literal`, stands at p. */
static inline int ISA(stands_at)(const ISA(cursor) *c, const uint8_t *p, const uint8_t *end, const scan_literal *literal) {
    if (end - p < c->literal_length || (hpckit_load8(p) & c->mask) != c->head) return 0;
    return c->is_short || same_literal(p, literal);
}

static inline void ISA(note_range)(const ISA(cursor) *c, int32_t i, const uint8_t *from, const uint8_t *to) {
    c->start[i] = (int32_t)(from - c->record[i]);
    c->length[i] = (int32_t)(to - from);
}

/* Pass `count` fields that end at `byte`: *p moves behind them, *m loses the bits of what was passed. 0: the line ends. */
TARGET static inline int ISA(pass_fields)(int32_t count, uint8_t byte, const uint8_t **p, const uint8_t **base, uint64_t *m,
                                          const uint8_t *end) {
    int32_t in_word = __builtin_popcountll(*m);
    while (in_word < count) {
        if (*base + 64 >= end) return 0;
        count -= in_word;
        *m = ISA(mask64)(*base += 64, byte);
        in_word = __builtin_popcountll(*m);
    }
    int32_t place = __builtin_ctzll(ISA(nth_bit)(*m, count - 1));
    *p = *base + place + 1;
    *m &= ~1ull << place;
    return *p <= end;
}

/* Fields that each end at the same byte. Those before the first and behind the last that somebody asks for, or that has a
 * least width, are passed in one go. */
TARGET static int32_t ISA(run_together)(scan_state *s, const scan_step *step, const uint8_t **at, int32_t *active, int32_t n) {
    const ISA(cursor) c = ISA(cursor_of)(s, step, &step->literal[0], at, active);
    const uint8_t byte = step->literal[0].bytes[0];
    const int32_t fields = step->skip;
    const uint64_t asked = step->kept;
    const uint64_t watched = asked | (step->wide >= 0 ? 1ull << step->wide : 0);
    const int32_t first = watched ? __builtin_ctzll(watched) : fields;
    const int32_t last = !watched || fields > 64 ? fields : 64 - __builtin_clzll(watched);
    const int32_t wide = step->wide, least = step->min_width;
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        const int32_t i = active[k];
        const uint8_t *p = at[i], *base = p, *end = c.line_end[i], *record = c.record[i];
        uint64_t m = ISA(mask64)(base, byte);
        int32_t f = first;
        if (first && !ISA(pass_fields)(first, byte, &p, &base, &m, end)) continue;
        for (; f < last; f++) {
            if (f == wide) ISA(seek)(p, least, byte, &base, &m);
            while (!m && base + 64 < end) m = ISA(mask64)(base += 64, byte);
            const uint8_t *q = m ? base + __builtin_ctzll(m) : end;
            if (q >= end) break;
            m &= m - 1;
            if (asked >> (f & 63) & 1) {
                c.start[f * SCAN_CHUNK + i] = (int32_t)(p - record);
                c.length[f * SCAN_CHUNK + i] = (int32_t)(q - p);
            }
            p = q + 1;
        }
        if (f < last || (last < fields && !ISA(pass_fields)(fields - last, byte, &p, &base, &m, end))) continue;
        at[i] = p;
        active[kept++] = i;
    }
    return kept;
}

/* A field that ends at its one literal, or with the line. */
TARGET static int32_t ISA(plain_together)(scan_state *s, const scan_step *step, const uint8_t **at, int32_t *active, int32_t n) {
    const scan_literal *literal = &step->literal[0];
    const ISA(cursor) c = ISA(cursor_of)(s, step, literal, at, active);
    const int32_t least = step->min_width, passed = step->then.length;
    const uint8_t first = literal->bytes[0];
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        const int32_t i = active[k];
        const uint8_t *p = at[i], *end = c.line_end[i], *q = p + least;
        if (q > end) continue;
        uint64_t m = ISA(mask64)(q, first);
        q += m ? __builtin_ctzll(m) : 0;
        if (!m || !ISA(stands_at)(&c, q, end, literal)) {
            q = ISA(find_literal)(p + least, end, literal);
            if (!q && step->or_end) q = end;
            if (!q) continue;
        }
        if (c.kept) ISA(note_range)(&c, i, p, q);
        at[i] = q + passed;
        active[kept++] = i;
    }
    return kept;
}

TARGET static int32_t ISA(field_together)(scan_state *s, const scan_step *step, const uint8_t **at, int32_t *active, int32_t n) {
    const ISA(cursor) c = ISA(cursor_of)(s, step, &step->then, at, active);
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        const int32_t i = active[k];
        const uint8_t *p = at[i], *end = c.line_end[i], *q = ISA(field_end)(step, p, end);
        if (!q || !ISA(stands_at)(&c, q, end, &step->then)) continue;
        if (c.kept) ISA(note_range)(&c, i, p, q);
        at[i] = q + c.literal_length;
        active[kept++] = i;
    }
    return kept;
}

/* A quoted field that ends at a quote or, before it, at the step's literals. */
TARGET static int32_t ISA(quoted_together)(scan_state *s, const scan_step *step, const uint8_t **at, int32_t *active, int32_t n) {
    const ISA(cursor) c = ISA(cursor_of)(s, step, &step->then, at, active);
    const int32_t ways = step->alternatives, one_byte = ways == 1 && step->literal[0].length == 1;
    const uint8_t other = ways ? step->literal[0].bytes[0] : '"';
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        const int32_t i = active[k];
        const uint8_t *p = at[i], *end = c.line_end[i], *q;
        int escaped = 0;
        uint64_t m = ISA(mask64)(p, '"') | ISA(mask64)(p, '\\') | ISA(mask64)(p, other);
        q = p + (m ? __builtin_ctzll(m) : 0);
        if (!m || q >= end || (*q != '"' && (*q == '\\' || !one_byte))) q = ISA(quoted_end)(step, p, end, &escaped);
        if (!q || !ISA(stands_at)(&c, q, end, &step->then)) continue;
        if (c.kept) {
            ISA(note_range)(&c, i, p, q);
            c.flags[i] = escaped ? FLAG_BACKSLASH : 0;
        }
        at[i] = q + c.literal_length;
        active[kept++] = i;
    }
    return kept;
}

TARGET static int32_t ISA(literal_together)(scan_state *s, const scan_step *step, const uint8_t **at, int32_t *active, int32_t n) {
    const scan_literal *literal = &step->literal[0];
    const ISA(cursor) c = ISA(cursor_of)(s, step, literal, at, active);
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        const int32_t i = active[k];
        const uint8_t *p = at[i];
        if (c.kept) ISA(note_range)(&c, i, p, p + c.literal_length);
        at[i] = p + c.literal_length;
        active[kept] = i;
        kept += ISA(stands_at)(&c, p, c.line_end[i], literal);
    }
    return kept;
}

/* The literal that an optional part begins with. Records without it wait until the part is over. */
TARGET static int32_t ISA(optional_together)(scan_state *s, const scan_step *step, const uint8_t **at, int32_t *active, int32_t n,
                                             int32_t number, int32_t *waiting, int32_t *resume, int32_t *waiting_count) {
    const scan_literal *literal = &step->literal[0];
    const ISA(cursor) c = ISA(cursor_of)(s, step, literal, at, active);
    const int32_t passed = step->then.length;
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        const int32_t i = active[k];
        if (ISA(stands_at)(&c, at[i], c.line_end[i], literal)) {
            at[i] += passed;
            active[kept++] = i;
        } else {
            resume[*waiting_count] = number + 1 + step->skip;
            waiting[(*waiting_count)++] = i;
        }
    }
    return kept;
}

/* One step for the active records; returns how many go on. Those that leave something out wait for step resume[i]. */
TARGET static int32_t ISA(step_together)(scan_state *s, int32_t number, const uint8_t **at, int32_t *active, int32_t n,
                                         int32_t *waiting, int32_t *resume, int32_t *waiting_count) {
    const scan_step *step = &s->steps[number];
    scan_chunk *c = &s->chunk;
    int32_t kept = 0;
    switch (step->kind) {
    case STEP_RUN: return ISA(run_together)(s, step, at, active, n);
    case STEP_FIELD:
        return step->plain ? ISA(plain_together)(s, step, at, active, n) : ISA(field_together)(s, step, at, active, n);
    case STEP_QUOTED: return ISA(quoted_together)(s, step, at, active, n);
    case STEP_LITERAL: return ISA(literal_together)(s, step, at, active, n);
    case STEP_OPTIONAL:
        return ISA(optional_together)(s, step, at, active, n, number, waiting, resume, waiting_count);
    case STEP_REST: {
        const ISA(cursor) cursor = ISA(cursor_of)(s, step, &step->then, at, active);
        for (int32_t k = 0; k < n; k++) {
            int32_t i = active[k];
            if (cursor.kept) {
                ISA(note_range)(&cursor, i, at[i], c->end[i]);
                cursor.flags[i] = c->end[i] == c->line_end[i] ? 0 : FLAG_LINES;
            }
            at[i] = c->end[i];
        }
        return n;
    }
    case STEP_SPACES:
        for (int32_t k = 0; k < n; k++) {
            const uint8_t *p = at[active[k]], *end = c->line_end[active[k]];
            while (p < end && *p == ' ') p++;
            at[active[k]] = p;
        }
        return n;
    default: /* STEP_END */
        for (int32_t k = 0; k < n; k++) {
            int32_t i = active[k];
            active[kept] = i;
            kept += at[i] >= c->line_end[i];
        }
        return kept;
    }
}

/* The fields of a step, which its program may leave out, are there in the active records. */
static void ISA(clear_absent)(scan_state *s, const scan_step *step, const int32_t *active, int32_t n) {
    int32_t fields = step->kind == STEP_RUN ? step->skip : 1;
    for (int32_t f = step->field; f < step->field + fields; f++)
        for (int32_t k = 0; k < n; k++) s->flags[field_at(f, active[k])] = 0;
}

/* Cut the records of a chunk by the first program, one step at a time: what a step does to one record does not wait for
 * what it does to the next, as the steps of one record wait for one another. Records that do not fit are left ALONE. */
TARGET static void ISA(split_together)(scan_state *s) {
    const uint8_t *at[SCAN_CHUNK];
    int32_t active[SCAN_CHUNK], waiting[SCAN_CHUNK], resume[SCAN_CHUNK], n = 0, waiting_count = 0;
    scan_chunk *c = &s->chunk;
    memset(s->flags, 0, (size_t)field_at(s->field_count, 0));
    for (int32_t a = 0; a < s->absent_stop[0]; a++) memset(s->flags + field_at(s->absent[a], 0), FLAG_ABSENT, SCAN_CHUNK);
    for (int32_t i = 0; i < c->count; i++) {
        if (c->reason[i] != GOOD) continue;
        c->reason[i] = ALONE;
        at[i] = c->record[i];
        active[n++] = i;
    }
    for (int32_t number = 0; number < s->program_stop[0]; number++) {
        for (int32_t k = waiting_count - 1; k >= 0; k--) {
            if (resume[k] != number) continue;
            active[n++] = waiting[k];
            waiting[k] = waiting[--waiting_count];
            resume[k] = resume[waiting_count];
        }
        n = ISA(step_together)(s, number, at, active, n, waiting, resume, &waiting_count);
        if (s->steps[number].clears) ISA(clear_absent)(s, &s->steps[number], active, n);
    }
    for (int32_t k = 0; k < n; k++) c->reason[active[k]] = GOOD;
    for (int32_t k = 0; k < waiting_count; k++) c->reason[waiting[k]] = GOOD;
}

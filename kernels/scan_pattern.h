/* Cutting one record by field programs, once for each instruction set. */

/* Field f of the record being cut. */
static inline void ISA(set_range)(scan_state *s, int32_t f, int64_t start, int64_t stop, uint8_t flags) {
    if (f < 0) return;
    int64_t at = field_at(f, s->slot);
    s->start[at] = (int32_t)start;
    s->length[at] = (int32_t)(stop - start);
    s->flags[at] = flags;
}

/* The unescaped '"' that ends a quoted field; *escaped tells whether a backslash stands before it. */
TARGET static const uint8_t *ISA(closing_quote)(const uint8_t *p, const uint8_t *end, int *escaped) {
    const uint8_t *from = p;
    *escaped = 0;
    for (;;) {
        const uint8_t *q = ISA(find_byte)(p, end, '"');
        if (!q) return NULL;
        const uint8_t *b = q;
        while (b > from && b[-1] == '\\') b--;
        if (b != q) *escaped = 1;
        if (((q - b) & 1) == 0) {
            if (!*escaped) *escaped = ISA(find_byte)(from, q, '\\') != NULL;
            return q;
        }
        p = q + 1;
    }
}

/* Where a quoted field that starts at p ends: at an unescaped '"' or at one of its step's literals, or NULL. */
TARGET static const uint8_t *ISA(quoted_end)(const scan_step *step, const uint8_t *p, const uint8_t *end, int *escaped) {
    *escaped = 0;
    while (p < end) {
        uint64_t m = ISA(mask64)(p, '"') | ISA(mask64)(p, '\\');
        const uint8_t *next = p + 64;
        for (int32_t i = 0; i < step->alternatives; i++) m |= ISA(mask64)(p, step->literal[i].bytes[0]);
        for (; m; m &= m - 1) {
            const uint8_t *q = p + __builtin_ctzll(m);
            if (q >= end) break;
            if (*q == '"') return q;
            if (*q == '\\') {
                *escaped = 1;
                next = q + 2; /* whatever it escapes does not end the field */
                break;
            }
            for (int32_t i = 0; i < step->alternatives; i++)
                if (starts_with(q, end, &step->literal[i])) return q;
        }
        p = next;
    }
    return step->or_end ? end : NULL;
}

/* Where a field that starts at p ends by one of its step's literals, or NULL. */
TARGET static const uint8_t *ISA(field_end)(const scan_step *step, const uint8_t *p, const uint8_t *end) {
    const uint8_t *from = p + step->min_width, *best = NULL;
    if (from > end) return NULL;
    if (step->alternatives == 1 && !(step->fixed_width | step->blank | step->or_end))
        return ISA(find_literal)(from, end, &step->literal[0]);
    if (step->fixed_width) return p + step->fixed_width <= end ? p + step->fixed_width : NULL;
    for (int32_t i = 0; i < step->alternatives; i++) {
        const scan_literal *l = &step->literal[i];
        const uint8_t *until = best && best + l->length - 1 < end ? best + l->length - 1 : end; /* so that it begins before */
        const uint8_t *q = ISA(find_literal)(from, until, l);
        if (q && (!best || q < best)) best = q;
    }
    if (step->blank) {
        const uint8_t *q = ISA(find_byte)(from, best ? best : end, ' ');
        if (q) best = q;
    }
    return best ? best : step->or_end ? end : NULL;
}

/* Leave out of the mask m of the word at base what is less than `least` bytes behind p. */
TARGET static inline void ISA(seek)(const uint8_t *p, int32_t least, uint8_t byte, const uint8_t **base, uint64_t *m) {
    int64_t ahead = p + least - *base;
    if (ahead < 64) { *m &= ~0ull << ahead; return; }
    *base += ahead;
    *m = ISA(mask64)(*base, byte);
}

/* k fields that each end at the same single byte: one mask serves all that lie within 64 bytes. */
TARGET static inline const uint8_t *ISA(split_run)(scan_state *s, const scan_step *step, const uint8_t *record,
                                                   const uint8_t *p, const uint8_t *end) {
    uint8_t c = step->literal[0].bytes[0];
    const uint8_t *base = p;
    uint64_t m = ISA(mask64)(base, c);
    int32_t f = step->field;
    for (int32_t k = step->skip; k > 0; k--, f++) {
        if (f - step->field == step->wide) ISA(seek)(p, step->min_width, c, &base, &m);
        while (!m) {
            base += 64;
            if (base >= end) { scan_fail(s, BAD_FIELD_END, f, p - record); return NULL; }
            m = ISA(mask64)(base, c);
        }
        const uint8_t *q = base + __builtin_ctzll(m);
        m &= m - 1;
        if (q >= end) { scan_fail(s, BAD_FIELD_END, f, p - record); return NULL; }
        ISA(set_range)(s, f, p - record, q - record, 0);
        p = q + 1;
    }
    return p;
}

/* Cut a record by steps [i, stop). `line_end` bounds all fields but a REST, which takes the continuation too. */
TARGET static int ISA(run_steps)(scan_state *s, int32_t i, int32_t stop, const uint8_t *record, const uint8_t *line_end,
                                 const uint8_t *end) {
    const uint8_t *p = record, *q;
    int escaped;
    const scan_step *last = s->steps + stop;
    for (const scan_step *step = s->steps + i; step < last; step++) {
        switch (step->kind) {
        case STEP_RUN:
            p = ISA(split_run)(s, step, record, p, line_end);
            if (!p) return BAD_FIELD_END;
            break;
        case STEP_FIELD:
            q = ISA(field_end)(step, p, line_end);
            if (!q) return scan_fail(s, BAD_FIELD_END, step->field, p - record);
            ISA(set_range)(s, step->field, p - record, q - record, 0);
            if (!starts_with(q, line_end, &step->then)) return scan_fail(s, BAD_LITERAL, -1, q - record);
            p = q + step->then.length;
            break;
        case STEP_LITERAL:
            if (!starts_with(p, line_end, &step->literal[0])) return scan_fail(s, BAD_LITERAL, -1, p - record);
            ISA(set_range)(s, step->field, p - record, p + step->literal[0].length - record, 0);
            p += step->literal[0].length;
            break;
        case STEP_QUOTED:
            q = ISA(quoted_end)(step, p, line_end, &escaped);
            if (!q) return scan_fail(s, BAD_QUOTE, step->field, p - record);
            ISA(set_range)(s, step->field, p - record, q - record, escaped ? FLAG_BACKSLASH : 0);
            if (!starts_with(q, line_end, &step->then)) return scan_fail(s, BAD_LITERAL, -1, q - record);
            p = q + step->then.length;
            break;
        case STEP_REST:
            ISA(set_range)(s, step->field, p - record, end - record, end == line_end ? 0 : FLAG_LINES);
            p = end;
            break;
        case STEP_SPACES:
            while (p < line_end && *p == ' ') p++;
            break;
        case STEP_OPTIONAL:
            if (starts_with(p, line_end, &step->literal[0])) p += step->then.length;
            else step += step->skip;
            break;
        case STEP_END:
            if (p < line_end) return scan_fail(s, BAD_TRAILING, -1, p - record);
            break;
        }
    }
    return GOOD;
}

/* Cut a record by the first program that fits; the reason is that of the first. */
TARGET static int ISA(split_pattern)(scan_state *s, const uint8_t *record, const uint8_t *line_end, const uint8_t *end) {
    int bad = GOOD;
    int32_t field = 0, i = 0, a = 0;
    int64_t at = 0;
    for (int32_t k = 0; k < s->program_count; k++) {
        for (; a < s->absent_stop[k]; a++) s->flags[field_at(s->absent[a], s->slot)] = FLAG_ABSENT;
        int status = ISA(run_steps)(s, i, s->program_stop[k], record, line_end, end);
        if (status == GOOD) return GOOD;
        if (!k) { bad = status; field = s->bad_field; at = s->bad_at; }
        i = s->program_stop[k];
    }
    return bad ? scan_fail(s, bad, field, at) : GOOD;
}

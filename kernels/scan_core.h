/* The scan itself, included once for each instruction set: ISA(name) names the variant, TARGET is its attribute, and
 * ISA(mask64)(p, c) is a 64-bit mask of the bytes p[0..63] that equal c.
 */

/* First c in [p, end), or NULL. */
TARGET static inline const uint8_t *ISA(find_byte)(const uint8_t *p, const uint8_t *end, uint8_t c) {
    for (; p < end; p += 64) {
        uint64_t m = ISA(mask64)(p, c);
        if (m) {
            p += __builtin_ctzll(m);
            return p < end ? p : NULL;
        }
    }
    return NULL;
}

/* First occurrence of the n bytes in [p, end), or NULL. */
TARGET static const uint8_t *ISA(find_bytes)(const uint8_t *p, const uint8_t *end, const uint8_t *bytes, int64_t n) {
    if (n == 0) return p;
    while ((p = ISA(find_byte)(p, end, bytes[0]))) {
        if (end - p < n) return NULL;
        if (memcmp(p, bytes, (size_t)n) == 0) return p;
        p++;
    }
    return NULL;
}

/* First occurrence of a step's literal in [p, end), or NULL. */
TARGET static inline const uint8_t *ISA(find_literal)(const uint8_t *p, const uint8_t *end, const scan_literal *literal) {
    uint8_t first = literal->bytes[0];
    for (; p < end; p += 64) {
        uint64_t m = ISA(mask64)(p, first);
        for (; m; m &= m - 1) {
            const uint8_t *q = p + __builtin_ctzll(m);
            if (end - q < literal->length) return NULL;
            if (same_literal(q, literal)) return q;
        }
    }
    return NULL;
}

static inline void ISA(set_range)(scan_state *s, int32_t f, int64_t start, int64_t stop, uint8_t flags) {
    if (f < 0) return;
    s->start[f] = (int32_t)start;
    s->length[f] = (int32_t)(stop - start);
    s->flags[f] = flags;
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

/* k fields that each end at the same single byte: one mask serves all that lie within 64 bytes. */
TARGET static inline const uint8_t *ISA(split_run)(scan_state *s, const scan_step *step, const uint8_t *record,
                                                   const uint8_t *p, const uint8_t *end) {
    uint8_t c = step->literal[0].bytes[0];
    const uint8_t *base = p;
    uint64_t m = ISA(mask64)(base, c);
    int32_t f = step->field;
    for (int32_t k = step->skip; k > 0; k--, f++) {
        while (!m) {
            base += 64;
            if (base >= end) { scan_fail(s, BAD_FIELD_END, f, p - record); return NULL; }
            m = ISA(mask64)(base, c);
        }
        const uint8_t *q = base + __builtin_ctzll(m);
        m &= m - 1;
        if (q >= end) { scan_fail(s, BAD_FIELD_END, f, p - record); return NULL; }
        s->start[f] = (int32_t)(p - record);
        s->length[f] = (int32_t)(q - p);
        s->flags[f] = 0;
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
        for (; a < s->absent_stop[k]; a++) s->flags[s->absent[a]] = FLAG_ABSENT;
        int status = ISA(run_steps)(s, i, s->program_stop[k], record, line_end, end);
        if (status == GOOD) return GOOD;
        if (!k) { bad = status; field = s->bad_field; at = s->bad_at; }
        i = s->program_stop[k];
    }
    return bad ? scan_fail(s, bad, field, at) : GOOD;
}

TARGET static int ISA(split_csv)(scan_state *s, const uint8_t *record, const uint8_t *end) {
    const uint8_t *p = record, *q;
    int32_t f = 0;
    for (;; f++) {
        if (f == s->field_count) return scan_fail(s, BAD_TOO_MANY, f, p - record);
        if (s->quoting && p < end && *p == '"') {
            int doubled = 0;
            const uint8_t *from = ++p;
            for (;;) {
                q = ISA(find_byte)(p, end, '"');
                if (!q) return scan_fail(s, BAD_QUOTE, f, from - record);
                if (q + 1 < end && q[1] == '"') { doubled = 1; p = q + 2; continue; }
                break;
            }
            ISA(set_range)(s, f, from - record, q - record, FLAG_QUOTED | (doubled ? FLAG_CSV : 0));
            p = q + 1;
            if (p < end && *p != s->delimiter) return scan_fail(s, BAD_QUOTE, f, p - record);
            q = p;
        } else {
            q = ISA(find_byte)(p, end, s->delimiter);
            if (!q) q = end;
            ISA(set_range)(s, f, p - record, q - record, 0);
        }
        if (q >= end) break;
        p = q + 1;
    }
    if (++f < s->field_count) {
        if (!s->ragged) return scan_fail(s, BAD_TOO_FEW, f, end - record);
        for (; f < s->field_count; f++) s->flags[f] = FLAG_ABSENT;
    }
    return GOOD;
}

static inline const uint8_t *ISA(skip_space)(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++;
    return p;
}

/* A JSON number, true, false or null, or what Python writes for the floats that JSON lacks. */
static int ISA(scalar_valid)(const uint8_t *p, int64_t n) {
    const uint8_t *end = p + n, *digits;
    if (n == 4 && (memcmp(p, "true", 4) == 0 || memcmp(p, "null", 4) == 0)) return 1;
    if (n == 5 && memcmp(p, "false", 5) == 0) return 1;
    if ((n == 3 && memcmp(p, "NaN", 3) == 0) || (n == 8 && memcmp(p, "Infinity", 8) == 0)) return 1;
    if (n == 9 && memcmp(p, "-Infinity", 9) == 0) return 1;
    if (p < end && *p == '-') p++;
    for (digits = p; p < end && (uint32_t)(*p - '0') <= 9; p++) {}
    if (p == digits || (*digits == '0' && p - digits > 1)) return 0;
    if (p < end && *p == '.') {
        for (digits = ++p; p < end && (uint32_t)(*p - '0') <= 9; p++) {}
        if (p == digits) return 0;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '-' || *p == '+')) p++;
        for (digits = p; p < end && (uint32_t)(*p - '0') <= 9; p++) {}
        if (p == digits) return 0;
    }
    return p == end;
}

#define JSON_DEPTH_MAX 512

/* Behind the JSON value that starts at p, or NULL if there is none that is well-formed. */
TARGET static const uint8_t *ISA(skip_value)(const uint8_t *p, const uint8_t *end, int depth) {
    int escaped;
    if (p >= end || depth > JSON_DEPTH_MAX) return NULL;
    if (*p == '"') {
        p = ISA(closing_quote)(p + 1, end, &escaped);
        return p ? p + 1 : NULL;
    }
    if (*p != '{' && *p != '[') {
        const uint8_t *q = p;
        while (q < end && *q != ',' && *q != '}' && *q != ']' && *q > ' ') q++;
        return ISA(scalar_valid)(p, q - p) ? q : NULL;
    }
    uint8_t close = *p == '{' ? '}' : ']';
    p = ISA(skip_space)(p + 1, end);
    if (p < end && *p == close) return p + 1;
    for (;;) {
        if (close == '}') {
            if (p >= end || *p != '"' || !(p = ISA(closing_quote)(p + 1, end, &escaped))) return NULL;
            p = ISA(skip_space)(p + 1, end);
            if (p >= end || *p != ':') return NULL;
            p = ISA(skip_space)(p + 1, end);
        }
        if (!(p = ISA(skip_value)(p, end, depth + 1))) return NULL;
        p = ISA(skip_space)(p, end);
        if (p >= end) return NULL;
        if (*p == close) return p + 1;
        if (*p != ',') return NULL;
        p = ISA(skip_space)(p + 1, end);
    }
}

/* Field of a key (guess first: records repeat the order of their keys); -1: not wanted; -2: an object that holds one. */
static int32_t ISA(key_field)(scan_state *s, const uint8_t *path, int64_t n, int32_t guess) {
    if (guess < s->key_count && s->keys[guess].length == n && memcmp(s->keys[guess].bytes, path, (size_t)n) == 0) return guess;
    int inside = 0;
    for (int32_t i = 0; i < s->key_count; i++) {
        if (s->keys[i].length == n && memcmp(s->keys[i].bytes, path, (size_t)n) == 0) return i;
        if (s->nested && s->keys[i].length > n && s->keys[i].bytes[n] == '.' && memcmp(s->keys[i].bytes, path, (size_t)n) == 0)
            inside = 1;
    }
    return inside ? -2 : -1;
}

#define JSON_PATH_MAX 512

/* One JSON object at *at; keys are looked up behind the path[0..depth) of the objects around it. */
TARGET static int ISA(split_object)(scan_state *s, const uint8_t *record, const uint8_t **at, const uint8_t *end,
                                    uint8_t *path, int64_t depth, int level) {
    const uint8_t *p = ISA(skip_space)(*at, end), *q;
    int escaped;
    int32_t guess = 0;
    if (p >= end || *p != '{') return scan_fail(s, BAD_JSON, -1, p - record);
    p = ISA(skip_space)(p + 1, end);
    if (p < end && *p == '}') { *at = p + 1; return GOOD; }
    for (;;) {
        if (p >= end || *p != '"' || !(q = ISA(closing_quote)(p + 1, end, &escaped))) return scan_fail(s, BAD_JSON, -1, p - record);
        int64_t n = q - p - 1;
        int32_t f = -1;
        if (depth + n < JSON_PATH_MAX) {
            if (!escaped) memcpy(path + depth, p + 1, (size_t)n);
            else if ((n = unescape_json(p + 1, n, path + depth)) < 0) return scan_fail(s, BAD_JSON, -1, p - record);
            f = ISA(key_field)(s, path, depth + n, guess);
        }
        p = ISA(skip_space)(q + 1, end);
        if (p >= end || *p != ':') return scan_fail(s, BAD_JSON, f, p - record);
        p = ISA(skip_space)(p + 1, end);
        if (p >= end) return scan_fail(s, BAD_JSON, f, p - record);
        if (f == -2 && *p == '{' && level < 32) {
            path[depth + n] = '.';
            int bad = ISA(split_object)(s, record, &p, end, path, depth + n + 1, level + 1);
            if (bad) return bad;
        } else {
            const uint8_t *value = p;
            p = ISA(skip_value)(p, end, level + 1);
            /* where columns are made of an object's members, another value would be lost */
            if (!p || (f == -2 && *value != 'n')) return scan_fail(s, BAD_JSON, f, value - record);
            if (*value == '"') {
                if (f >= 0) {
                    int slash = ISA(find_byte)(value + 1, p - 1, '\\') != NULL;
                    ISA(set_range)(s, f, value + 1 - record, p - 1 - record, FLAG_QUOTED | (slash ? FLAG_JSON : 0));
                }
            } else if (*value == '{' || *value == '[') {
                if (f >= 0) ISA(set_range)(s, f, value - record, p - record, 0);
            } else if (f >= 0) {
                ISA(set_range)(s, f, value - record, p - record, 0);
                if (*value == 'n') s->flags[f] = FLAG_ABSENT;
            }
            if (f >= 0) guess = f + 1;
        }
        p = ISA(skip_space)(p, end);
        if (p < end && *p == ',') { p = ISA(skip_space)(p + 1, end); continue; }
        if (p < end && *p == '}') { *at = p + 1; return GOOD; }
        return scan_fail(s, BAD_JSON, f, p - record);
    }
}

TARGET static int ISA(split_json)(scan_state *s, const uint8_t *record, const uint8_t *end) {
    uint8_t path[JSON_PATH_MAX + 1];
    const uint8_t *p = record;
    for (int32_t i = 0; i < s->field_count; i++) s->flags[i] = FLAG_ABSENT;
    int bad = ISA(split_object)(s, record, &p, end, path, 0, 0);
    if (bad) return bad;
    p = ISA(skip_space)(p, end);
    return p < end ? scan_fail(s, BAD_JSON, -1, p - record) : GOOD;
}

/* key=value key="quoted value" flag */
TARGET static int ISA(split_logfmt)(scan_state *s, const uint8_t *record, const uint8_t *end) {
    const uint8_t *p = record, *q;
    int escaped;
    int32_t guess = 0;
    for (int32_t i = 0; i < s->field_count; i++) s->flags[i] = FLAG_ABSENT;
    for (;;) {
        while (p < end && (*p == ' ' || *p == '\t')) p++;
        if (p >= end) return GOOD;
        const uint8_t *key = p;
        while (p < end && *p != '=' && *p != ' ' && *p != '\t' && *p != '"') p++;
        if (p == key || (p < end && *p == '"')) return scan_fail(s, BAD_LITERAL, -1, p - record);
        int32_t f = ISA(key_field)(s, key, p - key, guess);
        if (f >= 0) guess = f + 1;
        if (p >= end || *p != '=') { /* a bare key has no value: NULL */
            if (f >= 0) s->flags[f] = FLAG_ABSENT;
            continue;
        }
        p++;
        if (p < end && *p == '"') {
            q = ISA(closing_quote)(p + 1, end, &escaped);
            if (!q) return scan_fail(s, BAD_QUOTE, f, p - record);
            ISA(set_range)(s, f, p + 1 - record, q - record, FLAG_QUOTED | (escaped ? FLAG_BACKSLASH : 0));
            p = q + 1;
            if (p < end && *p != ' ' && *p != '\t') return scan_fail(s, BAD_QUOTE, f, p - record);
        } else {
            q = ISA(find_byte)(p, end, ' ');
            if (!q) q = end;
            ISA(set_range)(s, f, p - record, q - record, 0);
            p = q;
        }
    }
}

TARGET static int ISA(atom_string)(const scan_atom *a, const uint8_t *p, int64_t n) {
    switch (a->kind) {
    case ATOM_IN: {
        /* heads of at most 8 bytes are compared as one word: the padding makes the load safe */
        uint64_t head = hpckit_load8(p);
        if (n < 8) head &= n ? ~0ull >> (64 - 8 * n) : 0;
        for (int32_t i = 0; i < a->set_size; i++)
            if (a->set[i].length == n && a->set[i].head == head && (n <= 8 || memcmp(p, a->set[i].bytes, (size_t)n) == 0)) return 1;
        return 0;
    }
    case ATOM_PREFIX: return n >= a->set[0].length && memcmp(p, a->set[0].bytes, (size_t)a->set[0].length) == 0;
    case ATOM_SUFFIX: return n >= a->set[0].length && memcmp(p + n - a->set[0].length, a->set[0].bytes, (size_t)a->set[0].length) == 0;
    default: return ISA(find_bytes)(p, p + n, a->set[0].bytes, a->set[0].length) != NULL;
    }
}

/* 1, 0, or -1: the field cannot be read (s->bad_… say which reason: *reason). */
TARGET static int ISA(atom_holds)(scan_state *s, const scan_atom *a, const uint8_t *record, int64_t record_length, int *reason) {
    scan_column *c = a->column;
    int64_t n, number = 0;
    double value = 0;
    const uint8_t *p;
    int null = column_is_null(s, c, record);
    if (a->kind == ATOM_IS_NULL) return null ^ a->negate;
    if (null) return 0;
    switch (a->kind) {
    case ATOM_INT:
        p = field_bytes(s, record, c->field, &n);
        if (p && n && (*p == ' ' || p[n - 1] == ' ')) trim_blanks(&p, &n);
        if (!p || !parse_int(p, n, &number)) { *reason = scan_fail(s, BAD_INT, c->field, s->start[c->field]); return -1; }
        return compare_op(a->op, number < a->value, number == a->value);
    case ATOM_FLOAT: /* NaN is the greatest value and equals itself */
        p = field_bytes(s, record, c->field, &n);
        if (p && n && (*p == ' ' || p[n - 1] == ' ')) trim_blanks(&p, &n);
        if (!p || !parse_float(p, n, &value)) { *reason = scan_fail(s, BAD_FLOAT, c->field, s->start[c->field]); return -1; }
        return compare_op(a->op, value < a->number || (isnan(a->number) && !isnan(value)),
                          value == a->number || (isnan(a->number) && isnan(value)));
    case ATOM_TIME:
        if (!read_time(s, c, record, &number)) {
            int32_t f = c->parts ? c->part[0] : c->field;
            *reason = scan_fail(s, BAD_TIME, f, s->start[f]);
            return -1;
        }
        return compare_op(a->op, number < a->value, number == a->value);
    default:
        p = read_text(s, c, record, record_length, &n);
        if (!p) { *reason = scan_fail(s, BAD_ESCAPE, c->field, s->start[c->field]); return -1; }
        return ISA(atom_string)(a, p, n) ^ a->negate;
    }
}

/* Whether some statement wants the record: 1, 0, or a negative reason to reject it. */
TARGET static int ISA(wanted)(scan_state *s, const uint8_t *record, int64_t length) {
    int32_t a = 0;
    int reason = 0;
    if (!s->term_count) return 1;
    for (int32_t t = 0; t < s->term_count; t++) {
        int holds = 1;
        for (; a < s->term_stop[t]; a++) {
            holds = ISA(atom_holds)(s, &s->atoms[a], record, length, &reason);
            if (holds < 0) return -reason;
            if (!holds) break;
        }
        if (holds) return 1;
        a = s->term_stop[t];
    }
    return 0;
}

TARGET static int ISA(split_record)(scan_state *s, const uint8_t *record, const uint8_t *line_end, const uint8_t *end) {
    switch (s->mode) {
    case MODE_PATTERN: return ISA(split_pattern)(s, record, line_end, end);
    case MODE_CSV: return ISA(split_csv)(s, record, end);
    case MODE_JSON: return ISA(split_json)(s, record, end);
    default: return ISA(split_logfmt)(s, record, end);
    }
}

/* Cut, test and convert one record. GOOD (a row was made or not wanted), a reason to reject it, or -SCAN_… */
TARGET static int ISA(take_record)(scan_state *s, const uint8_t *record, const uint8_t *line_end, const uint8_t *end, int64_t offset) {
    int bad = ISA(split_record)(s, record, line_end, end);
    if (bad) return bad;
    int want = ISA(wanted)(s, record, end - record);
    if (want <= 0) return -want;
    for (int32_t i = 0; i < s->column_count; i++) {
        int status = convert_column(s, &s->columns[i], record, end - record);
        if (status) {
            drop_row(s, i);
            if (status < 0) s->full_column = i;
            return status;
        }
    }
    s->row_offset[s->rows++] = offset;
    if (++s->pending == SCAN_PENDING && resolve_pending(s)) {
        s->rows--;
        return -SCAN_NO_MEMORY;
    }
    return GOOD;
}

/* End of the logical line of a CSV record that starts at p: the first newline outside quotes. *inner counts those inside. */
TARGET static const uint8_t *ISA(csv_newline)(const uint8_t *p, const uint8_t *end, int64_t *inner) {
    uint64_t inside = 0;
    *inner = 0;
    for (; p < end; p += 64) {
        uint64_t quotes = ISA(mask64)(p, '"'), lines = ISA(mask64)(p, '\n'), parity = quotes;
        int64_t left = end - p;
        if (left < 64) { uint64_t keep = (1ull << left) - 1; lines &= keep; quotes &= keep; parity = quotes; }
        for (int shift = 1; shift < 64; shift <<= 1) parity ^= parity << shift;
        parity ^= inside;
        uint64_t ends = lines & ~parity;
        if (ends) {
            uint64_t first = ends & (0 - ends);
            *inner += __builtin_popcountll(lines & parity & (first - 1));
            return p + __builtin_ctzll(ends);
        }
        *inner += __builtin_popcountll(lines & parity);
        inside ^= (__builtin_popcountll(quotes) & 1) ? ~0ull : 0;
    }
    return NULL;
}

/* Extend a record over its continuation lines: *next moves behind them, *end behind the last that is not blank.
 * 1: complete, 0: more data needed to tell. */
TARGET static int ISA(gather_continuation)(scan_state *s, const uint8_t **next, const uint8_t **end, const uint8_t *limit,
                                           int final, int64_t *continued, int64_t *blank) {
    const uint8_t *p = *next;
    for (;;) {
        if (p >= limit) { if (!final) return 0; break; }
        int starts = matches_start(s, p, limit, final);
        if (starts < 0) return 0;
        if (starts) break;
        const uint8_t *nl = ISA(find_byte)(p, limit, '\n');
        if (!nl && !final) return 0;
        const uint8_t *stop = nl ? nl : limit, *text = stop;
        if (text > p && text[-1] == '\r') text--;
        if (text == p) (*blank)++;
        else { (*continued)++; *end = text; }
        p = nl ? nl + 1 : limit;
    }
    *next = p;
    return 1;
}

static void ISA(add_reject)(scan_state *s, int64_t offset, int64_t length, int reason, int64_t lines) {
    scan_reject *r = &s->rejects[s->reject_count++];
    r->offset = offset;
    r->length = length;
    r->reason = reason;
    r->field = s->bad_field;
    r->at = s->bad_at;
    r->lines = lines;
    s->rejected += lines;
    s->lines += lines;
}

/* Move on inside a record that is too long. 1: it is over, 0: more data needed. */
TARGET static int ISA(skip_long)(scan_state *s, const uint8_t *buf, int64_t limit, int final) {
    while (s->position < limit) {
        if (s->skipping == 2) {
            int starts = matches_start(s, buf + s->position, buf + limit, final);
            if (starts < 0) return 0;
            if (starts) { s->skipping = 0; return 1; }
            s->skipping = 3; /* inside a line of it */
            s->lines++;
            s->rejected++;
            if (s->reject_count) s->rejects[s->reject_count - 1].lines++;
            else s->late_lines++;
        }
        const uint8_t *nl = ISA(find_byte)(buf + s->position, buf + limit, '\n');
        if (!nl) { s->position = limit; return 0; }
        s->position = nl + 1 - buf;
        if (!s->start_length) { s->skipping = 0; return 1; }
        s->skipping = 2;
    }
    return 0;
}

/* Scan records that start before `stop` in buf[s->position .. limit); buf[0] is byte `base` of the file. */
TARGET static int ISA(scan_records)(scan_state *s, const uint8_t *buf, int64_t limit, int64_t stop, int64_t base, int final) {
    const uint8_t *hard_end = buf + limit;
    for (;;) {
        if (s->skipping && !ISA(skip_long)(s, buf, limit, final)) return final ? SCAN_DONE : SCAN_NEED_DATA;
        const uint8_t *p = buf + s->position;
        if (p >= hard_end) return final ? SCAN_DONE : SCAN_NEED_DATA;
        if (s->position >= stop && (!s->start_length || s->skip_leading || s->seen_record)) return SCAN_DONE;
        if (s->rows >= s->row_capacity) return SCAN_ROWS_FULL;
        /* one entry stays free: a record that is too long may still grow in it */
        if (s->reject_count + 1 >= s->reject_capacity) return SCAN_REJECTS_FULL;

        int64_t inner = 0;
        const uint8_t *nl = s->mode == MODE_CSV && s->quoting ? ISA(csv_newline)(p, hard_end, &inner) : ISA(find_byte)(p, hard_end, '\n');
        if (!nl && !final) {
            if (limit - s->position <= s->max_record) return SCAN_NEED_DATA;
            scan_fail(s, BAD_TOO_LONG, -1, 0);
            s->seen_record = 1;
            if (s->skip_leading) { s->skip_leading = 0; }
            ISA(add_reject)(s, base + s->position, limit - s->position, BAD_TOO_LONG, 1);
            s->skipping = s->start_length ? 3 : 1;
            s->position = limit;
            return SCAN_NEED_DATA;
        }
        if (!nl && inner && hard_end[-1] == '\n') inner--; /* behind it there is no further line */
        const uint8_t *line_end = nl ? nl : hard_end, *next = nl ? nl + 1 : hard_end;
        if (line_end > p && line_end[-1] == '\r') line_end--;
        if (line_end == p) { s->blank += !s->skip_leading; s->lines += !s->skip_leading; s->position = next - buf; continue; }

        const uint8_t *end = line_end;
        int64_t continued = 0, blank = 0;
        if (s->start_length) {
            int starts = matches_start(s, p, hard_end, 1);
            if (!starts) {
                if (!s->skip_leading) {
                    scan_fail(s, BAD_ORPHAN, -1, 0);
                    ISA(add_reject)(s, base + s->position, line_end - p, BAD_ORPHAN, 1);
                }
                s->position = next - buf;
                continue;
            }
            if (s->position >= stop) return SCAN_DONE; /* also behind lines without a record, which went past the end */
            s->skip_leading = 0;
            if (!ISA(gather_continuation)(s, &next, &end, hard_end, final, &continued, &blank)) {
                if (limit - s->position <= s->max_record) return SCAN_NEED_DATA;
                /* every line of it that has been read is rejected with it; a partial last line is read again */
                const uint8_t *read_to = p;
                int64_t seen = 0;
                for (const uint8_t *b; (b = ISA(find_byte)(read_to, hard_end, '\n')); read_to = b + 1) seen++;
                scan_fail(s, BAD_TOO_LONG, -1, 0);
                s->seen_record = 1;
                ISA(add_reject)(s, base + s->position, limit - s->position, BAD_TOO_LONG, seen);
                s->skipping = 2;
                s->position = read_to - buf;
                continue;
            }
        } else {
            s->skip_leading = 0;
            continued = inner;
        }

        int status;
        if (end - p > s->max_record) status = scan_fail(s, BAD_TOO_LONG, -1, 0);
        else status = ISA(take_record)(s, p, line_end, end, base + s->position);
        if (status < 0) return -status;
        s->seen_record = 1;
        if (status == GOOD) {
            s->lines += 1 + continued + blank;
            s->parsed++;
            s->continuation += continued;
        } else {
            ISA(add_reject)(s, base + s->position, end - p, status, 1 + continued);
            s->lines += blank;
        }
        s->blank += blank;
        s->position = next - buf;
    }
}

/* As scan_records; all codes of the rows made are there when it comes back, for the buffer may go away then. */
TARGET static int ISA(scan)(scan_state *s, const uint8_t *buf, int64_t limit, int64_t stop, int64_t base, int final) {
    int status = ISA(scan_records)(s, buf, limit, stop, base, final);
    return resolve_pending(s) ? SCAN_NO_MEMORY : status;
}

/* Cutting records of CSV, JSON lines and logfmt, once for each instruction set. */

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
        for (; f < s->field_count; f++) s->flags[field_at(f, s->slot)] = FLAG_ABSENT;
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
                if (*value == 'n') s->flags[field_at(f, s->slot)] = FLAG_ABSENT;
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
    for (int32_t i = 0; i < s->field_count; i++) s->flags[field_at(i, s->slot)] = FLAG_ABSENT;
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
    for (int32_t i = 0; i < s->field_count; i++) s->flags[field_at(i, s->slot)] = FLAG_ABSENT;
    for (;;) {
        while (p < end && (*p == ' ' || *p == '\t')) p++;
        if (p >= end) return GOOD;
        const uint8_t *key = p;
        while (p < end && *p != '=' && *p != ' ' && *p != '\t' && *p != '"') p++;
        if (p == key || (p < end && *p == '"')) return scan_fail(s, BAD_LITERAL, -1, p - record);
        int32_t f = ISA(key_field)(s, key, p - key, guess);
        if (f >= 0) guess = f + 1;
        if (p >= end || *p != '=') { /* a bare key has no value: NULL */
            if (f >= 0) s->flags[field_at(f, s->slot)] = FLAG_ABSENT;
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

TARGET static int ISA(split_record)(scan_state *s, const uint8_t *record, const uint8_t *line_end, const uint8_t *end) {
    switch (s->mode) {
    case MODE_PATTERN: return ISA(split_pattern)(s, record, line_end, end);
    case MODE_CSV: return ISA(split_csv)(s, record, end);
    case MODE_JSON: return ISA(split_json)(s, record, end);
    default: return ISA(split_logfmt)(s, record, end);
    }
}

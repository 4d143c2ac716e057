/* Predicates on the raw bytes of a record, once for each instruction set. */

TARGET static int ISA(atom_string)(const scan_atom *a, const uint8_t *p, int64_t n) {
    switch (a->kind) {
    case ATOM_IN: {
        /* heads of at most 8 bytes are compared as one word: the padding makes the load safe */
        uint64_t head = hpckit_load8(p);
        int found = 0;
        if (n < 8) head &= n ? ~0ull >> (64 - 8 * n) : 0;
        if (n <= 8) { /* no branch for each: which of them it is cannot be foreseen */
            for (int32_t i = 0; i < a->set_size; i++) found |= !((uint64_t)(a->set[i].length ^ n) | (a->set[i].head ^ head));
            return found;
        }
        for (int32_t i = 0; i < a->set_size; i++)
            if (a->set[i].length == n && a->set[i].head == head && memcmp(p, a->set[i].bytes, (size_t)n) == 0) return 1;
        return 0;
    }
    case ATOM_PREFIX: return n >= a->set[0].length && memcmp(p, a->set[0].bytes, (size_t)a->set[0].length) == 0;
    case ATOM_SUFFIX: return n >= a->set[0].length && memcmp(p + n - a->set[0].length, a->set[0].bytes, (size_t)a->set[0].length) == 0;
    default: return ISA(find_bytes)(p, p + n, a->set[0].bytes, a->set[0].length) != NULL;
    }
}

/* 1, 0, or -1: the field of record i cannot be read, and the record is rejected. */
TARGET static int ISA(atom_holds)(scan_state *s, const scan_atom *a, int32_t i) {
    scan_column *c = a->column;
    int64_t n, number = 0;
    double value = 0;
    const uint8_t *p;
    if (a->plain) {
        int64_t at = field_at(c->field, i);
        if (!(s->flags[at] & ~FLAG_QUOTED)) return ISA(atom_string)(a, s->chunk.record[i] + s->start[at], s->length[at]) ^ a->negate;
    }
    int null = column_is_null(s, c, i);
    if (a->kind == ATOM_IS_NULL) return null ^ a->negate;
    if (null) return 0;
    if (a->kind == ATOM_INT || a->kind == ATOM_FLOAT || a->kind == ATOM_TIME) {
        int bad = read_number(s, c, i, &number);
        if (bad) { reject_record(s, i, bad); return -1; }
        if (a->kind != ATOM_FLOAT) return compare_op(a->op, number < a->value, number == a->value);
        memcpy(&value, &number, 8); /* NaN is the greatest value and equals itself */
        return compare_op(a->op, value < a->number || (isnan(a->number) && !isnan(value)),
                          value == a->number || (isnan(a->number) && isnan(value)));
    }
    p = read_text(s, c, i, &n);
    if (!p) { reject_record(s, i, fail_at_field(s, BAD_ESCAPE, c->field, i)); return -1; }
    return ISA(atom_string)(a, p, n) ^ a->negate;
}

/* Which of the records that are good some statement wants: their numbers, ascending, into chosen; returns how many. */
TARGET static int32_t ISA(choose)(scan_state *s, int32_t *chosen) {
    const int32_t *reason = s->chunk.reason;
    uint8_t wanted[SCAN_CHUNK];
    int32_t n = 0, count = s->chunk.count, a = 0;
    memset(wanted, !s->term_count, sizeof(wanted));
    for (int32_t t = 0; t < s->term_count; t++) {
        int32_t left[SCAN_CHUNK], m = 0;
        for (int32_t i = 0; i < count; i++) {
            left[m] = i;
            m += reason[i] == GOOD && !wanted[i];
        }
        for (; a < s->term_stop[t]; a++) {
            int32_t kept = 0;
            for (int32_t k = 0; k < m; k++) {
                int32_t i = left[k];
                left[kept] = i;
                kept += ISA(atom_holds)(s, &s->atoms[a], i) > 0;
            }
            m = kept;
        }
        for (int32_t k = 0; k < m; k++) wanted[left[k]] = 1;
    }
    for (int32_t i = 0; i < count; i++) {
        chosen[n] = i;
        n += reason[i] == GOOD && wanted[i];
    }
    return n;
}

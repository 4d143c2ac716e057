/* Predicates on the raw bytes of a record, once for each instruction set. */

/* Whether the n bytes at p are one of the atom's constants; 8 bytes can be read from p on. */
TARGET static inline int ISA(atom_in)(const scan_atom *a, const uint8_t *p, int64_t n) {
    const scan_bytes *set = a->set, *end = set + a->set_size;
    uint64_t head = hpckit_load8(p);
    if (n < 8) head &= n ? ~0ull >> (64 - 8 * n) : 0;
    if (n <= 8 && a->slots) {
        const scan_bytes *slot = a->slots + scan_slot(a, head, n);
        return slot->length == n && slot->head == head;
    }
    if (n <= 8) { /* no branch for each: which of them it is cannot be foreseen */
        int found = 0;
        for (; set < end; set++) found |= !((uint64_t)(set->length ^ n) | (set->head ^ head));
        return found;
    }
    for (; set < end; set++)
        if (set->length == n && set->head == head && memcmp(p, set->bytes, (size_t)n) == 0) return 1;
    return 0;
}

TARGET static int ISA(atom_string)(const scan_atom *a, const uint8_t *p, int64_t n) {
    const scan_bytes *wanted = a->set;
    switch (a->kind) {
    case ATOM_IN: return ISA(atom_in)(a, p, n);
    case ATOM_PREFIX: return n >= wanted->length && memcmp(p, wanted->bytes, (size_t)wanted->length) == 0;
    case ATOM_SUFFIX: return n >= wanted->length && memcmp(p + n - wanted->length, wanted->bytes, (size_t)wanted->length) == 0;
    default: return ISA(find_bytes)(p, p + n, wanted->bytes, wanted->length) != NULL;
    }
}

/* 1, 0, or -1: the field of record i cannot be read, and the record is rejected. */
TARGET static int ISA(atom_holds)(scan_state *s, const scan_atom *a, int32_t i) {
    scan_column *c = a->column;
    int64_t n, number = 0;
    double value = 0;
    const uint8_t *p;
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

/* Keep those of the records left[0..n) that satisfy the atom; returns how many. */
TARGET static int32_t ISA(keep_holding)(scan_state *s, const scan_atom *a, int32_t *left, int32_t n) {
    const int64_t row = a->plain ? field_at(a->column->field, 0) : 0;
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        const int32_t i = left[k];
        left[kept] = i;
        if (a->plain && !(s->flags[row + i] & ~FLAG_QUOTED))
            kept += ISA(atom_in)(a, s->chunk.record[i] + s->start[row + i], s->length[row + i]) ^ a->negate;
        else kept += ISA(atom_holds)(s, a, i) > 0;
    }
    return kept;
}

/* Which of the records that are good some statement wants: their numbers, ascending, into chosen; returns how many. */
TARGET static int32_t ISA(choose)(scan_state *s, int32_t *chosen) {
    const int32_t *reason = s->chunk.reason;
    uint8_t wanted[SCAN_CHUNK];
    int32_t n = 0, count = s->chunk.count, a = 0;
    if (s->term_count <= 1) {
        for (int32_t i = 0; i < count; i++) {
            chosen[n] = i;
            n += reason[i] == GOOD;
        }
        for (; a < s->atom_count; a++) n = ISA(keep_holding)(s, &s->atoms[a], chosen, n);
        return n;
    }
    memset(wanted, 0, sizeof(wanted));
    for (int32_t t = 0; t < s->term_count; t++) {
        int32_t left[SCAN_CHUNK], m = 0;
        for (int32_t i = 0; i < count; i++) {
            left[m] = i;
            m += reason[i] == GOOD && !wanted[i];
        }
        for (; a < s->term_stop[t]; a++) m = ISA(keep_holding)(s, &s->atoms[a], left, m);
        for (int32_t k = 0; k < m; k++) wanted[left[k]] = 1;
    }
    for (int32_t i = 0; i < count; i++) {
        chosen[n] = i;
        n += reason[i] == GOOD && wanted[i];
    }
    return n;
}

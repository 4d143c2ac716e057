/* Finding records and taking them, a chunk at a time; once for each instruction set. */

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

/* A rejected record; s->bad_… tell where it is wrong. */
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

/* Cut the records of the chunk; those that do not fit are marked as rejected. */
TARGET static void ISA(split_chunk)(scan_state *s) {
    scan_chunk *c = &s->chunk;
    int together = s->mode == MODE_PATTERN && s->program_count;
    if (together) ISA(split_together)(s);
    for (int32_t i = 0; i < c->count; i++) {
        if (c->reason[i] != (together ? ALONE : GOOD)) continue;
        s->slot = i;
        c->reason[i] = GOOD;
        int bad = ISA(split_record)(s, c->record[i], c->line_end[i], c->end[i]);
        if (bad) reject_record(s, i, bad);
    }
}

/* Cut, test and convert the records of the chunk and count them. GOOD, or -SCAN_… when something was full; then the
 * records from s->position on are to be found again. */
TARGET static int ISA(take_chunk)(scan_state *s) {
    scan_chunk *c = &s->chunk;
    int32_t chosen[SCAN_CHUNK], taken = c->count, n, done;
    int status = GOOD;
    if (!c->count) return GOOD;
    drop_chunk_bytes(s);
    ISA(split_chunk)(s);
    n = ISA(choose)(s, chosen);
    done = make_rows(s, chosen, n, &status);
    if (status) {
        taken = chosen[done];
        s->position = c->record[taken] - s->buffer;
        s->blank += c->blank_before[taken];
        s->lines += c->blank_before[taken];
    }
    for (int32_t i = 0; i < taken; i++) {
        s->blank += c->blank_before[i] + c->blank[i];
        s->lines += c->blank_before[i] + c->blank[i];
        if (c->reason[i] == GOOD) {
            s->lines += 1 + c->continued[i];
            s->parsed++;
            s->continuation += c->continued[i];
        } else {
            scan_fail(s, c->reason[i], c->bad_field[i], c->bad_at[i]);
            ISA(add_reject)(s, s->base + (c->record[i] - s->buffer), c->end[i] - c->record[i], c->reason[i], 1 + c->continued[i]);
        }
    }
    s->seen_record |= taken > 0;
    c->count = 0;
    return status;
}

/* The next record of the chunk. */
static inline void ISA(add_record)(scan_state *s, const uint8_t *record, const uint8_t *line_end, const uint8_t *end,
                                   int64_t *blank_before) {
    scan_chunk *c = &s->chunk;
    int32_t i = c->count++;
    c->record[i] = record;
    c->line_end[i] = line_end;
    c->end[i] = end;
    c->continued[i] = c->blank[i] = 0;
    c->blank_before[i] = *blank_before;
    *blank_before = 0;
    c->reason[i] = GOOD;
    if (end - record > s->max_record) reject_record(s, i, scan_fail(s, BAD_TOO_LONG, -1, 0));
}

/* Newlines from p on, up to `room` of them and those in the same 64 bytes; returns their number. */
TARGET static int32_t ISA(find_newlines)(const uint8_t *p, const uint8_t *limit, const uint8_t **found, int32_t room) {
    int32_t n = 0;
    for (; p < limit && n < room; p += 64) {
        uint64_t m = ISA(mask64)(p, '\n');
        __builtin_prefetch(p + FETCH_AHEAD); /* the chunk is read here for the first time */
        found[n] = p + (m ? __builtin_ctzll(m) : 0); /* written and kept if there is one: lines are longer than 64 bytes mostly */
        n += m != 0;
        for (m &= m - 1; m; m &= m - 1) found[n++] = p + __builtin_ctzll(m);
    }
    while (n && found[n - 1] >= limit) n--; /* behind the limit there is something else */
    return n;
}

/* Add the whole lines that begin before `stop` to the chunk, up to `room` of them. */
TARGET static void ISA(gather_lines)(scan_state *s, int64_t limit, int64_t stop, int32_t room, int64_t *blank) {
    const uint8_t *found[2 * SCAN_CHUNK], *p = s->buffer + s->position, *last = s->buffer + (stop < limit ? stop : limit);
    int32_t n = ISA(find_newlines)(p, s->buffer + limit, found, room);
    for (int32_t k = 0; k < n && p < last && s->chunk.count < room; k++) {
        const uint8_t *end = found[k];
        if (end > p && end[-1] == '\r') end--;
        if (end == p) ++*blank;
        else ISA(add_record)(s, p, end, end, blank);
        p = found[k] + 1;
    }
    s->position = p - s->buffer;
}

/* What gather came back for, beside why the scan stops: the chunk is to be taken first. */
#define TAKE_CHUNK (-1)

/* Add records that start before `stop` to the chunk until it has `room` of them; s->position moves behind them. Returns
 * TAKE_CHUNK or why the scan stops; what is no record is dealt with only when the chunk is empty, so that rejects
 * are in the order of the file. */
TARGET static int ISA(gather)(scan_state *s, int64_t limit, int64_t stop, int final, int32_t room, int64_t *blank_before) {
    const uint8_t *buf = s->buffer, *hard_end = buf + limit;
    scan_chunk *c = &s->chunk;
    int lines = !s->start_length && !(s->mode == MODE_CSV && s->quoting);
    for (;;) {
        if (s->skipping && !ISA(skip_long)(s, buf, limit, final)) return final ? SCAN_DONE : SCAN_NEED_DATA;
        if (lines) ISA(gather_lines)(s, limit, stop, room, blank_before);
        const uint8_t *p = buf + s->position;
        if (p >= hard_end) return final ? SCAN_DONE : SCAN_NEED_DATA;
        if (s->position >= stop && (!s->start_length || s->skip_leading || s->seen_record || c->count)) return SCAN_DONE;
        if (c->count >= room) return TAKE_CHUNK;

        int64_t inner = 0;
        const uint8_t *nl = s->mode == MODE_CSV && s->quoting ? ISA(csv_newline)(p, hard_end, &inner) : ISA(find_byte)(p, hard_end, '\n');
        if (!nl && !final) {
            if (limit - s->position <= s->max_record) return SCAN_NEED_DATA;
            if (c->count) return TAKE_CHUNK;
            scan_fail(s, BAD_TOO_LONG, -1, 0);
            s->seen_record = 1;
            s->skip_leading = 0;
            ISA(add_reject)(s, s->base + s->position, limit - s->position, BAD_TOO_LONG, 1);
            s->skipping = s->start_length ? 3 : 1;
            s->position = limit;
            return SCAN_NEED_DATA;
        }
        if (!nl && inner && hard_end[-1] == '\n') inner--; /* behind it there is no further line */
        const uint8_t *line_end = nl ? nl : hard_end, *next = nl ? nl + 1 : hard_end;
        if (line_end > p && line_end[-1] == '\r') line_end--;
        if (line_end == p) { *blank_before += !s->skip_leading; s->position = next - buf; continue; }

        const uint8_t *end = line_end;
        int64_t continued = 0, blank = 0;
        if (s->start_length) {
            int starts = matches_start(s, p, hard_end, 1);
            if (!starts) {
                if (c->count) return TAKE_CHUNK;
                if (!s->skip_leading) {
                    scan_fail(s, BAD_ORPHAN, -1, 0);
                    ISA(add_reject)(s, s->base + s->position, line_end - p, BAD_ORPHAN, 1);
                }
                s->position = next - buf;
                return TAKE_CHUNK;
            }
            if (s->position >= stop) return SCAN_DONE; /* also behind lines without a record, which went past the end */
            if (!ISA(gather_continuation)(s, &next, &end, hard_end, final, &continued, &blank)) {
                if (limit - s->position <= s->max_record) return SCAN_NEED_DATA;
                if (c->count) return TAKE_CHUNK;
                /* every line of it that has been read is rejected with it; a partial last line is read again */
                const uint8_t *read_to = p;
                int64_t seen = 0;
                for (const uint8_t *b; (b = ISA(find_byte)(read_to, hard_end, '\n')); read_to = b + 1) seen++;
                scan_fail(s, BAD_TOO_LONG, -1, 0);
                s->seen_record = 1;
                s->skip_leading = 0;
                ISA(add_reject)(s, s->base + s->position, limit - s->position, BAD_TOO_LONG, seen);
                s->skipping = 2;
                s->position = read_to - buf;
                return TAKE_CHUNK;
            }
        } else continued = inner;
        s->skip_leading = 0;
        ISA(add_record)(s, p, line_end, end, blank_before);
        c->continued[c->count - 1] = continued;
        c->blank[c->count - 1] = blank;
        s->position = next - buf;
    }
}

/* Scan records that start before `stop` in buf[s->position .. limit); buf[0] is byte `base` of the file. */
TARGET static int ISA(scan)(scan_state *s, const uint8_t *buf, int64_t limit, int64_t stop, int64_t base, int final) {
    s->buffer = buf;
    s->base = base;
    s->chunk.count = 0;
    for (;;) {
        int64_t room = s->chunk_max, blank_before = 0;
        if (s->rows >= s->row_capacity) return SCAN_ROWS_FULL;
        /* one entry stays free: a record that is too long may still grow in it */
        if (s->reject_count + 1 >= s->reject_capacity) return SCAN_REJECTS_FULL;
        if (room > s->row_capacity - s->rows) room = s->row_capacity - s->rows;
        if (room > s->reject_capacity - 1 - s->reject_count) room = s->reject_capacity - 1 - s->reject_count;
        int why = ISA(gather)(s, limit, stop, final, (int32_t)room, &blank_before);
        int status = ISA(take_chunk)(s);
        if (status) return -status;
        s->blank += blank_before;
        s->lines += blank_before;
        if (why != TAKE_CHUNK) return why;
    }
}

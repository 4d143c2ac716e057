/* Finding bytes, included once for each instruction set: ISA(name) names the variant, TARGET is its attribute, and
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

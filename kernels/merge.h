/* k-way merge of sorted streams of fixed-length records: a tree of losers (Knuth, TAOCP 3, 5.4.1) with cached words. */
#ifndef HPCKIT_MERGE_H
#define HPCKIT_MERGE_H

#include "records.h"

typedef struct {
    int64_t k;             /* streams */
    const uint8_t **at;    /* next record of each stream */
    const uint8_t **end;
    uint64_t *words;       /* first eight key bytes of it */
    int32_t *losers;       /* losers[1..k-1]: inner nodes; losers[0]: the winner */
    rec_shape shape;
} merge_state;

/* Whether the next record of stream x comes before that of y: an exhausted stream last, ties by stream. */
static inline int merge_before(const merge_state *m, int32_t x, int32_t y) {
    if (m->at[x] == m->end[x]) return 0;
    if (m->at[y] == m->end[y]) return 1;
    if (m->words[x] != m->words[y]) return m->words[x] < m->words[y];
    if (m->shape.key > 8) {
        int order = memcmp(m->at[x] + 8, m->at[y] + 8, (size_t)(m->shape.key - 8));
        if (order) return order < 0;
    }
    return x < y;
}

static inline void merge_load(merge_state *m, int32_t x) {
    if (m->at[x] != m->end[x]) m->words[x] = rec_word(m->at[x], &m->shape, 0);
}

/* Plays all matches; leaf x of the tree is node k + x. */
static int32_t merge_play(merge_state *m, int64_t node) {
    if (node >= m->k) return (int32_t)(node - m->k);
    int32_t x = merge_play(m, 2 * node), y = merge_play(m, 2 * node + 1);
    int first = merge_before(m, x, y);
    m->losers[node] = first ? y : x;
    return first ? x : y;
}

static void merge_start(merge_state *m) {
    for (int64_t x = 0; x < m->k; x++) merge_load(m, (int32_t)x);
    m->losers[0] = m->k > 1 ? merge_play(m, 1) : 0;
}

/* Writes up to `room` records in order; returns how many, and adds their hashes to *sum. */
static int64_t merge_fill(merge_state *m, uint8_t *out, int64_t room, uint64_t *sum) {
    int32_t winner = m->losers[0];
    int64_t done = 0;
    while (done < room && m->at[winner] != m->end[winner]) {
        const uint8_t *at = m->at[winner];
        *sum += rec_hash(at, m->shape.record);
        rec_copy(out, at, m->shape.record);
        out += m->shape.record;
        done++;
        m->at[winner] = at + m->shape.record;
        merge_load(m, winner);
        for (int64_t node = (m->k + winner) / 2; node >= 1; node /= 2) {
            int32_t other = m->losers[node];
            if (merge_before(m, other, winner)) { m->losers[node] = winner; winner = other; }
        }
    }
    m->losers[0] = winner;
    return done;
}

#endif

/* Stable sort of rows by several columns, strings among them: each row carries the next 8 bytes of its key as one word.
 *
 * Multikey MSD radix sort with cached words (Ng and Kakehi, "Cache efficient radix sort for string sorting", 2007; the
 * word at a time is from Bentley and Sedgewick's multikey quicksort, 1997): sort by the cached word, then load the next
 * word of rows that tie. A column is a level. The word of a string at a depth holds 7 bytes and, in its lowest byte, how
 * many are left (8: more than 7), so that words order as strings do and "a" differs from "a\0".
 *
 * Names, paths and numbers use few different bytes. In a large range the bytes that occur are numbered in their order, 0
 * being the end of a string, and a word holds as many numbers as fit: 12 bytes of hexadecimal digits, not 7. Beginnings
 * that all have are left out. Both are guessed from a sample and checked while the words are made, so that it takes one
 * pass over the strings; only where the guess was wrong they are looked through before. */
#ifndef HPCKIT_STRSORT_H
#define HPCKIT_STRSORT_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define STRSORT_FORGET_MIN (1 << 20) /* rows from which the memory of a sort is worth a call */
#define STRSORT_STEP 7        /* bytes of a string in a word */
#define STRSORT_MORE 8        /* the low byte of a word whose string goes on */
#define STRSORT_SMALL 32      /* ties up to here are sorted by insertion */
#define STRSORT_WIDE_ROWS 4096 /* from here on a pass looks at 12 bits */
#define STRSORT_BLOCK 256     /* rows looked at ahead, so that their strings are on the way */
#define STRSORT_SKIP_ROWS 512 /* common beginnings are skipped in ranges of this size */
#define STRSORT_CODED_ROWS 4096 /* ranges of this size are looked through for their alphabet */
#define STRSORT_CODED_MAX 16  /* bytes of a string in a coded word, at most */
#define STRSORT_SHARED_MAX 256 /* bytes of a common beginning that are looked for at a time */
#define STRSORT_TIES_SHARE 8  /* a code in which more than this share of the sample ties is of no use */
#define STRSORT_SAMPLE 1024   /* rows of a range that tell its common beginning and alphabet, until one belies them */

enum { STRSORT_WORDS, STRSORT_NUMBERS, STRSORT_TEXT32, STRSORT_TEXT64 };

typedef struct {
    int kind;
    uint64_t flip;  /* these bits of a word change: all for descending order, and the highest once (more) for signed numbers */
    uint64_t first; /* STRSORT_NUMBERS: the word of row 0, the others count up */
    const uint64_t *words;
    const int32_t *offsets32;
    const int64_t *offsets64;
    const uint8_t *data;
    int64_t data_size;
} strsort_level;

typedef struct {
    uint64_t word;
    int64_t row;
} strsort_item;

typedef struct {
    int64_t begin, end, depth;
    int32_t level;
} strsort_task;

/* The alphabet of a range. `step` bytes of a string are in a word, `bits` each; bits 0: bytes are not coded. `shared`: the
 * bytes that all strings have before these. */
typedef struct {
    uint8_t symbol[256];
    int32_t bits, step;
    const uint8_t *shared;
    int64_t shared_bytes;
} strsort_code;

static inline int strsort_is_text(const strsort_level *level) { return level->kind >= STRSORT_TEXT32; }

static inline int64_t strsort_begin(const strsort_level *level, int64_t row) {
    return level->kind == STRSORT_TEXT32 ? level->offsets32[row] : level->offsets64[row];
}

static inline uint64_t strsort_text(const uint8_t *data, int64_t size, int64_t begin, int64_t end) {
    int64_t left = end - begin;
    uint64_t word = 0;
    if (begin + 8 <= size) {
        memcpy(&word, data + begin, 8);
        word = __builtin_bswap64(word);
    } else {
        for (int64_t i = 0; i < 8 && begin + i < size; i++) word |= (uint64_t)data[begin + i] << (56 - 8 * i);
    }
    if (left >= STRSORT_STEP) return (word & ~0xFFULL) | (uint64_t)(left > STRSORT_STEP ? STRSORT_MORE : STRSORT_STEP);
    return left <= 0 ? 0 : (word & (~0ULL << (64 - 8 * left))) | (uint64_t)left;
}

/* The word of a row at `depth` bytes into a string (numbers have one word, depth 0). */
static inline uint64_t strsort_word(const strsort_level *level, int64_t row, int64_t depth) {
    switch (level->kind) {
    case STRSORT_WORDS: return level->words[row] ^ level->flip;
    case STRSORT_NUMBERS: return (level->first + (uint64_t)row) ^ level->flip;
    case STRSORT_TEXT32:
        return level->flip ^ strsort_text(level->data, level->data_size, (int64_t)level->offsets32[row] + depth,
                                          level->offsets32[row + 1]);
    default:
        return level->flip ^ strsort_text(level->data, level->data_size, level->offsets64[row] + depth,
                                          level->offsets64[row + 1]);
    }
}

/* Where rows that tie in `word` go on: deeper into the string or at the next level. */
static inline void strsort_next(const strsort_level *levels, uint64_t word, int32_t *level, int64_t *depth) {
    const strsort_level *here = levels + *level;
    if (strsort_is_text(here) && ((word ^ here->flip) & 0xFF) == STRSORT_MORE) {
        *depth += STRSORT_STEP;
    } else {
        *level += 1;
        *depth = 0;
    }
}

/* The same for a word that may be coded: where the last byte it holds is none, the string has ended. */
static inline void strsort_next_coded(const strsort_code *code, const strsort_level *levels, uint64_t word, int32_t *level,
                                      int64_t *depth) {
    if (!code->bits) {
        strsort_next(levels, word, level, depth);
    } else if ((word ^ levels[*level].flip) & (((uint64_t)1 << code->bits) - 1)) {
        *depth += code->step;
    } else {
        *level += 1;
        *depth = 0;
    }
}

/* Row `a` of one table against row `b` of another (or the same) with the same kinds of levels: -1, 0 or 1. */
static inline int strsort_compare(const strsort_level *left, int64_t a, const strsort_level *right, int64_t b,
                                  int32_t count, int32_t level, int64_t depth) {
    while (level < count) {
        uint64_t x = strsort_word(left + level, a, depth), y = strsort_word(right + level, b, depth);
        if (x != y) return x < y ? -1 : 1;
        strsort_next(left, x, &level, &depth);
    }
    return 0;
}

static inline void strsort_insertion(strsort_item *items, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        strsort_item item = items[i];
        int64_t k = i;
        for (; k > 0 && items[k - 1].word > item.word; k--) items[k] = items[k - 1];
        items[k] = item;
    }
}

/* Sort items stably by word, most significant differing digit first, into `spare` or back into `items`; `differ` are bits
 * in which they may differ. Rows go back and forth between the two, so that none is copied for nothing. Recursion is at
 * most 10 deep. */
static void strsort_radix(strsort_item *items, strsort_item *spare, int64_t n, uint64_t differ, int into_spare) {
    if (n <= STRSORT_SMALL) {
        strsort_insertion(items, n);
        if (into_spare) memcpy(spare, items, (size_t)n * sizeof *items);
        return;
    }
    int bits = n >= STRSORT_WIDE_ROWS ? 12 : 7;
    int shift = differ ? 64 - __builtin_clzll(differ) - bits : 0;
    if (shift < 0) shift = 0;
    uint64_t mask = ((uint64_t)1 << bits) - 1;
    int64_t places[1 << 12], sum = 0;
    uint64_t found = 0;
    memset(places, 0, sizeof(int64_t) << bits);
    for (int64_t i = 0; i < n; i++) {
        places[(items[i].word >> shift) & mask]++;
        found |= items[i].word ^ items[0].word;
    }
    if (!found) { /* `differ` was too much */
        if (into_spare) memcpy(spare, items, (size_t)n * sizeof *items);
        return;
    }
    if (!(found >> shift)) { /* all in one bucket */
        strsort_radix(items, spare, n, found, into_spare);
        return;
    }
    for (uint64_t d = 0; d <= mask; d++) {
        int64_t rows = places[d];
        places[d] = sum;
        sum += rows;
    }
    for (int64_t i = 0; i < n; i++) spare[places[(items[i].word >> shift) & mask]++] = items[i];
    if (shift == 0) {
        if (!into_spare) memcpy(items, spare, (size_t)n * sizeof *items);
        return;
    }
    uint64_t rest = found & (((uint64_t)1 << shift) - 1);
    for (int64_t begin = 0, d = 0; d <= (int64_t)mask; begin = places[d++]) {
        int64_t rows = places[d] - begin;
        if (rows > 1) strsort_radix(spare + begin, items + begin, rows, rest, !into_spare);
        else if (rows == 1 && !into_spare) items[begin] = spare[begin];
    }
}

static inline void strsort_prefetch_offset(const strsort_level *level, int64_t row) {
    if (level->kind == STRSORT_TEXT32) __builtin_prefetch(level->offsets32 + row);
    else if (level->kind == STRSORT_TEXT64) __builtin_prefetch(level->offsets64 + row);
    else if (level->kind == STRSORT_WORDS) __builtin_prefetch(level->words + row);
}

static inline void strsort_prefetch_text(const strsort_level *level, int64_t row, int64_t depth) {
    if (strsort_is_text(level)) __builtin_prefetch(level->data + strsort_begin(level, row) + depth);
}

/* Load the words of a range, strings fetched ahead. Returns the bits in which they differ; *shortest is the least count
 * of bytes that a word holds. */
static uint64_t strsort_load(const strsort_level *level, strsort_item *items, int64_t n, int64_t depth,
                             uint64_t *shortest) {
    uint64_t differ = 0, least = STRSORT_MORE;
    for (int64_t i = 0; i < n; i++) {
        if (i + 24 < n) strsort_prefetch_offset(level, items[i + 24].row);
        if (i + 12 < n) strsort_prefetch_text(level, items[i + 12].row, depth);
        uint64_t word = strsort_word(level, items[i].row, depth), held = (word ^ level->flip) & 0xFF;
        items[i].word = word;
        differ |= word ^ items[0].word;
        if (held < least) least = held;
    }
    *shortest = least;
    return differ;
}

/* Note the bytes that row has in the STRSORT_CODED_MAX places from `depth` on. */
static inline void strsort_see(const strsort_level *level, int64_t row, int64_t depth, uint8_t *seen) {
    int64_t begin = strsort_begin(level, row) + depth, left = strsort_begin(level, row + 1) - begin;
    const uint8_t *p = level->data + begin;
    if (left > STRSORT_CODED_MAX) left = STRSORT_CODED_MAX;
    for (int64_t k = 0; k < left; k++) seen[p[k]] = 1;
}

/* How many bytes from `depth` on, at most STRSORT_SHARED_MAX, every one of some rows shares with the first. */
static int64_t strsort_shared(const strsort_level *level, const strsort_item *items, int64_t n, int64_t step, int64_t depth) {
    const uint8_t *first = level->data + strsort_begin(level, items[0].row) + depth;
    int64_t shared = strsort_begin(level, items[0].row + 1) - strsort_begin(level, items[0].row) - depth;
    if (shared > STRSORT_SHARED_MAX) shared = STRSORT_SHARED_MAX;
    for (int64_t i = 0; i < n && shared > 0; i += step) {
        int64_t begin = strsort_begin(level, items[i].row) + depth, left = strsort_begin(level, items[i].row + 1) - begin, k = 0;
        if (left < shared) shared = left;
        while (k < shared && level->data[begin + k] == first[k]) k++;
        shared = k;
    }
    return shared < 0 ? 0 : shared;
}

/* Guess the alphabet and the common beginning of a range from one of `step` rows. 0: more than 255 bytes, or none. */
static int strsort_make_code(strsort_code *code, const strsort_level *level, const strsort_item *items, int64_t n,
                             int64_t step, int64_t depth) {
    uint8_t seen[256] = {0};
    int32_t symbols = 0;
    code->shared = level->data + strsort_begin(level, items[0].row) + depth;
    code->shared_bytes = strsort_shared(level, items, n, step, depth);
    for (int64_t i = 0; i < n; i += step) strsort_see(level, items[i].row, depth + code->shared_bytes, seen);
    for (int32_t byte = 0; byte < 256; byte++) code->symbol[byte] = seen[byte] ? (uint8_t)++symbols : 0;
    if (symbols == 0 || symbols == 256) return 0;
    code->bits = 32 - __builtin_clz((uint32_t)symbols);
    code->step = 64 / code->bits < STRSORT_CODED_MAX ? 64 / code->bits : STRSORT_CODED_MAX;
    return 1;
}

/* The word of a row at `depth`, and in *wrong whether its string does not begin as the code says or has other bytes. */
static inline uint64_t strsort_coded(const strsort_code *code, const strsort_level *level, int64_t row, int64_t depth,
                                     int *wrong) {
    int64_t begin = strsort_begin(level, row) + depth, left = strsort_begin(level, row + 1) - begin - code->shared_bytes;
    const uint8_t *p = level->data + begin;
    uint64_t word = 0;
    int unknown = left < 0;
    if (!unknown && code->shared_bytes) unknown = memcmp(p, code->shared, (size_t)code->shared_bytes) != 0;
    p += code->shared_bytes;
    if (left >= code->step) {
        for (int32_t k = 0; k < code->step; k++) {
            uint64_t symbol = code->symbol[p[k]];
            unknown |= !symbol;
            word = word << code->bits | symbol;
        }
    } else {
        for (int64_t k = 0; k < left; k++) {
            uint64_t symbol = code->symbol[p[k]];
            unknown |= !symbol;
            word = word << code->bits | symbol;
        }
        if (left > 0) word <<= code->bits * (code->step - left);
    }
    *wrong |= unknown;
    return level->flip ^ word;
}

/* Load the words of a range by a code. Returns whether it was right for all rows; *differ are the bits in which words
 * differ. */
static int strsort_load_coded(const strsort_code *code, const strsort_level *level, strsort_item *items, int64_t n,
                              int64_t depth, uint64_t *differ) {
    int wrong = 0;
    *differ = 0;
    for (int64_t i = 0; i < n && !wrong; i++) {
        if (i + 24 < n) strsort_prefetch_offset(level, items[i + 24].row);
        if (i + 12 < n) strsort_prefetch_text(level, items[i + 12].row, depth + code->shared_bytes);
        items[i].word = strsort_coded(code, level, items[i].row, depth, &wrong);
        *differ |= items[i].word ^ items[0].word;
    }
    return !wrong;
}

/* Whether the words of many of a sample are the same. Then a shorter word is the better one: it leaves larger ranges, which
 * lie in the order of the rows, and strings of rows that are far apart cost more to get at than to compare. */
static int strsort_ties_often(const strsort_code *code, const strsort_level *level, const strsort_item *items, int64_t n,
                              int64_t step, int64_t depth) {
    uint64_t slots[4 * STRSORT_SAMPLE];
    int64_t ties = 0, rows = 0;
    int wrong = 0;
    memset(slots, 0xff, sizeof slots);
    for (int64_t i = 0; i < n && rows < 2 * STRSORT_SAMPLE; i += step, rows++) {
        uint64_t word = strsort_coded(code, level, items[i].row, depth, &wrong);
        uint64_t at = (word * 0x9E3779B97F4A7C15ULL) >> 52;
        while (slots[at] != ~0ULL && slots[at] != word) at = (at + 1) & (4 * STRSORT_SAMPLE - 1);
        ties += slots[at] == word;
        slots[at] = word;
    }
    return ties > rows / STRSORT_TIES_SHARE;
}

/* Find a code for a large range of strings and load it, *depth going behind what all rows share. Returns whether there
 * is one that leaves something to sort by. */
static int strsort_encode(strsort_code *code, const strsort_level *level, strsort_item *items, int64_t n, int64_t *depth,
                          uint64_t *differ) {
    for (int64_t step = n / STRSORT_SAMPLE;; step = 1) {
        if (!strsort_make_code(code, level, items, n, step, *depth)) break;
        if (strsort_ties_often(code, level, items, n, step, *depth)) break;
        if (strsort_load_coded(code, level, items, n, *depth, differ)) {
            *depth += code->shared_bytes;
            if (*differ) return 1;
            break;
        }
        if (step == 1) break;
    }
    code->bits = 0;
    return 0;
}

/* Ties of a few rows: by insertion, whole keys compared where the next words tie too. */
static void strsort_few(const strsort_level *levels, int32_t count, strsort_item *items, int64_t n, int32_t level,
                        int64_t depth) {
    for (int64_t i = 0; i < n; i++) items[i].word = strsort_word(levels + level, items[i].row, depth);
    for (int64_t i = 1; i < n; i++) {
        strsort_item item = items[i];
        int64_t k = i;
        for (; k > 0 && items[k - 1].word >= item.word; k--) {
            if (items[k - 1].word == item.word) {
                int32_t next = level;
                int64_t deeper = depth;
                strsort_next(levels, item.word, &next, &deeper);
                if (strsort_compare(levels, items[k - 1].row, levels, item.row, count, next, deeper) <= 0) break;
            }
            items[k] = items[k - 1];
        }
        items[k] = item;
    }
}

typedef struct {
    strsort_task *tasks;
    int64_t count, capacity;
} strsort_stack;

static int strsort_push(strsort_stack *stack, int64_t begin, int64_t end, int32_t level, int64_t depth) {
    if (stack->count == stack->capacity) {
        int64_t capacity = stack->capacity ? 2 * stack->capacity : 64;
        strsort_task *tasks = (strsort_task *)realloc(stack->tasks, (size_t)capacity * sizeof *tasks);
        if (!tasks) return -1;
        stack->tasks = tasks;
        stack->capacity = capacity;
    }
    strsort_task task = {begin, end, depth, level};
    stack->tasks[stack->count++] = task;
    return 0;
}

/* Behind a sort by word: runs of equal words that are not finished are sorted (a few rows) or put on the stack. */
static int strsort_ties(const strsort_level *levels, int32_t count, const strsort_code *code, strsort_item *items,
                        int64_t begin, int64_t end, int32_t level, int64_t depth, strsort_stack *stack) {
    int64_t ahead = begin, step = code->bits ? code->step : STRSORT_STEP;
    for (int64_t i = begin; i < end;) {
        if (i >= ahead && strsort_is_text(levels + level)) {
            int64_t from = ahead, to = ahead + STRSORT_BLOCK < end ? ahead + STRSORT_BLOCK : end;
            for (int pass = 0; pass < 2; pass++)
                for (int64_t k = from; k + 1 < to; k++)
                    if (items[k].word == items[k + 1].word || (k > from && items[k].word == items[k - 1].word)) {
                        if (pass) strsort_prefetch_text(levels + level, items[k].row, depth + step);
                        else strsort_prefetch_offset(levels + level, items[k].row);
                    }
            ahead = to;
        }
        uint64_t word = items[i].word;
        int64_t stop = i + 1;
        while (stop < end && items[stop].word == word) stop++;
        if (stop - i > 1) {
            int32_t next = level;
            int64_t deeper = depth;
            strsort_next_coded(code, levels, word, &next, &deeper);
            if (next < count) {
                if (stop - i <= STRSORT_SMALL) strsort_few(levels, count, items + i, stop - i, next, deeper);
                else if (strsort_push(stack, i, stop, next, deeper)) return -1;
            }
        }
        i = stop;
    }
    return 0;
}

/* Sort one range from (level, depth) on. Loops where all rows tie, so that long equal strings need no stack. */
static int strsort_range(const strsort_level *levels, int32_t count, strsort_item *items, strsort_item *spare,
                         strsort_task task, strsort_stack *stack) {
    int64_t n = task.end - task.begin;
    strsort_item *range = items + task.begin;
    strsort_code code;
    code.bits = 0;
    while (task.level < count) {
        const strsort_level *level = levels + task.level;
        uint64_t shortest, differ;
        if (!(strsort_is_text(level) && n >= STRSORT_CODED_ROWS
              && strsort_encode(&code, level, range, n, &task.depth, &differ))) {
            differ = strsort_load(level, range, n, task.depth, &shortest);
            if (!differ) {
                strsort_next(levels, range[0].word, &task.level, &task.depth);
                continue;
            }
            uint64_t common = (uint64_t)__builtin_clzll(differ) / 8;
            if (common > shortest) common = shortest;
            if (strsort_is_text(level) && n >= STRSORT_SKIP_ROWS && common > 1 && common < STRSORT_STEP) {
                task.depth += (int64_t)common; /* more of what differs fits into the word */
                differ = strsort_load(level, range, n, task.depth, &shortest);
            }
        }
        strsort_radix(range, spare, n, differ, 0);
        return strsort_ties(levels, count, &code, items, task.begin, task.end, task.level, task.depth, stack);
    }
    return 0;
}

/* The content of these bytes of anonymous memory is needed no more: the system may have its whole pages. */
static void strsort_forget(void *begin, size_t size) {
#if defined(__linux__)
    const uintptr_t page = 4096, from = ((uintptr_t)begin + page - 1) & ~(page - 1), to = ((uintptr_t)begin + size) & ~(page - 1);
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
#else
    (void)begin;
    (void)size;
#endif
}

/* order[i] becomes the row at place i. `items` and `spare` have room for n. Returns 0, or -1 without memory. */
static int strsort_order(const strsort_level *levels, int32_t count, int64_t n, strsort_item *items, strsort_item *spare,
                         int64_t *order) {
    strsort_stack stack = {NULL, 0, 0};
    int status = 0;
    for (int64_t i = 0; i < n; i++) items[i].row = i;
    if (n > 1) status = strsort_push(&stack, 0, n, 0, 0);
    while (!status && stack.count) {
        strsort_task task = stack.tasks[--stack.count];
        status = strsort_range(levels, count, items, spare, task, &stack);
    }
    free(stack.tasks);
    if (n > STRSORT_FORGET_MIN) strsort_forget(spare, (size_t)n * sizeof(strsort_item)); /* room for `order` */
    for (int64_t i = 0; i < n; i++) order[i] = items[i].row;
    return status;
}

/* What all bounds have in common in their first level is compared once a row; then one word tells most rows apart. */
typedef struct {
    uint64_t *shared, *words;
    int64_t shared_count, depth;
} strsort_bounds;

static int strsort_bounds_new(strsort_bounds *bounds, const strsort_level *levels, int64_t n) {
    int64_t steps = 0, longest = 0;
    if (strsort_is_text(levels)) longest = (strsort_begin(levels, 1) - strsort_begin(levels, 0)) / STRSORT_STEP + 1;
    bounds->shared = (uint64_t *)malloc((size_t)(longest + 1) * 8);
    bounds->words = (uint64_t *)malloc((size_t)n * 8);
    if (!bounds->shared || !bounds->words) return -1;
    for (;; steps++) {
        int same = strsort_is_text(levels);
        for (int64_t k = 0; k < n; k++) {
            bounds->words[k] = strsort_word(levels, k, steps * STRSORT_STEP);
            same &= bounds->words[k] == bounds->words[0];
        }
        if (!same || ((bounds->words[0] ^ levels->flip) & 0xFF) != STRSORT_MORE) break;
        bounds->shared[steps] = bounds->words[0];
    }
    bounds->shared_count = steps;
    bounds->depth = steps * STRSORT_STEP;
    return 0;
}

static inline void strsort_bounds_free(strsort_bounds *bounds) {
    free(bounds->shared);
    free(bounds->words);
}

/* How many of the n ascending bounds are not after row `row`. */
static inline int64_t strsort_below(const strsort_level *levels, int64_t row, const strsort_level *limits, int64_t n,
                                    int32_t count, const strsort_bounds *bounds) {
    for (int64_t k = 0; k < bounds->shared_count; k++) {
        uint64_t word = strsort_word(levels, row, k * STRSORT_STEP);
        if (word != bounds->shared[k]) return word < bounds->shared[k] ? 0 : n;
    }
    uint64_t word = strsort_word(levels, row, bounds->depth);
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        int before = bounds->words[middle] < word;
        if (bounds->words[middle] == word) {
            int32_t level = 0;
            int64_t depth = bounds->depth;
            strsort_next(levels, word, &level, &depth);
            before = strsort_compare(limits, middle, levels, row, count, level, depth) <= 0;
        }
        if (before) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* How many of the first n rows of a sorted table come before row `bound` of `limits`. */
static inline int64_t strsort_place(const strsort_level *levels, int64_t n, const strsort_level *limits, int64_t bound,
                                    int32_t count) {
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (strsort_compare(levels, middle, limits, bound, count, 0, 0) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}
#endif

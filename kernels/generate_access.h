/* Lines of a web server's access log (Apache "combined"): sessions of clients that ask for pages and their assets. */
#ifndef HPCKIT_GENERATE_ACCESS_H
#define HPCKIT_GENERATE_ACCESS_H

#include "generate_text.h"

enum { PATH_ASSET, PATH_PAGE, PATH_QUERY, PATH_DOWNLOAD, PATH_DEAD, PATH_MOVED, PATH_FORM };
#define ACCESS_SLOTS 256 /* sessions that are open at a time */
#define ACCESS_NO_PAGE 0xFFFFFFFFu

/* What the site is made of; arrays belong to the caller. */
typedef struct {
    GenPool paths, agents, users, elsewhere; /* elsewhere: referers of other sites */
    const uint8_t *kinds;                    /* of each path: PATH_* */
    const uint32_t *sizes;                   /* of each path: bytes of the answer, or their middle */
    GenAlias popularity, browsers;
    const uint32_t *exponential; /* 4096 quantiles of an exponential distribution, mean 1024 */
    const uint32_t *lognormal;   /* 4096 quantiles of a log-normal one, median 1024 */
    uint32_t clients, people, bots, users_count, elsewhere_count; /* agents: people first, then bots */
} AccessSite;

typedef struct {
    uint32_t left, page, agent, bot, protocol;
    int32_t head_length;
    uint8_t head[64]; /* address, identity, user and the bracket before the time */
} AccessSession;

static const char ACCESS_PROTOCOLS[3][12] = {"HTTP/1.1\" ", "HTTP/2.0\" ", "HTTP/1.0\" "};

/* Someone comes: who it is decides address, program, user; how long they stay is drawn. Clients of low number come
 * back more often (the square of a uniform number). */
static void access_arrive(const AccessSite *site, AccessSession *s, GenRng *rng) {
    uint64_t r = gen_next(rng), u = r >> 32;
    uint32_t client = (uint32_t)((((u * u) >> 32) * site->clients) >> 32);
    uint64_t h = gen_mix(0xACCE55ULL + client), g = gen_mix(h);
    s->bot = (g & 63) < 3;
    s->agent = s->bot ? site->people + gen_scale(g, site->bots) : gen_draw(&site->browsers, gen_mix(g));
    s->protocol = s->bot ? 2 * ((g >> 8 & 3) == 0) : ((g >> 8 & 7) == 0);
    s->left = 1 + site->exponential[r & 4095] / (s->bot ? 24 : 150);
    s->page = ACCESS_NO_PAGE;
    uint8_t *p = gen_address(s->head, h);
    if ((g >> 16 & 127) == 0) {
        p = GEN_LITERAL(p, " - ");
        p = gen_pooled(p, &site->users, gen_scale(gen_mix(h + 1), site->users_count));
        p = GEN_LITERAL(p, " [");
    } else {
        p = GEN_LITERAL(p, " - - [");
    }
    s->head_length = (int32_t)(p - s->head);
}

static uint32_t access_status(uint32_t kind, uint32_t r) { /* r: 0 .. 4095 */
    switch (kind) {
    case PATH_ASSET: return r < 3280 ? 200 : r < 4094 ? 304 : 500;
    case PATH_PAGE: return r < 3990 ? 200 : r < 4070 ? 304 : r < 4086 ? 500 : 403;
    case PATH_QUERY: return r < 3960 ? 200 : r < 4030 ? 404 : 500;
    case PATH_DOWNLOAD: return r < 2500 ? 200 : 206;
    case PATH_DEAD: return 404;
    case PATH_MOVED: return 301;
    default: return r < 3000 ? 302 : r < 3900 ? 200 : r < 4060 ? 403 : 500;
    }
}

/* Bytes sent; 0 stands for none, which the log writes as '-'. */
static uint64_t access_bytes(const AccessSite *site, uint32_t path, uint32_t status, uint64_t r) {
    uint64_t size = site->sizes[path];
    switch (status) {
    case 304: return 0;
    case 301: case 302: return 240 + (size & 63);
    case 403: return 199;
    case 404: return 1245 + (size & 31);
    case 500: return 612;
    case 206: return 1 + (((r & 0xFFFFFF) * size) >> 24);
    }
    if (site->kinds[path] == PATH_ASSET || site->kinds[path] == PATH_DOWNLOAD) return size;
    return 64 + ((size * site->lognormal[r & 4095]) >> 10);
}

static uint8_t *access_referer(const AccessSite *site, AccessSession *s, uint32_t path, uint8_t *p, uint64_t r) {
    uint32_t kind = site->kinds[path], lot = (uint32_t)(r & 255);
    int inside = kind == PATH_ASSET || kind == PATH_QUERY || kind == PATH_FORM ? lot < 230 : lot < 140;
    if (s->bot || (inside && s->page == ACCESS_NO_PAGE)) return GEN_LITERAL(p, "\"-\" \"");
    *p++ = '"';
    if (inside) {
        p = GEN_LITERAL(p, "https://hpc.example.org");
        p = gen_pooled(p, &site->paths, s->page);
    } else if (lot < 180) {
        p = gen_pooled(p, &site->elsewhere, gen_scale(r, site->elsewhere_count));
    } else {
        *p++ = '-';
    }
    return GEN_LITERAL(p, "\" \"");
}

/* One line, without its newline. `stamp`: the 29 bytes of the time with the bracket and the quote after it. */
static uint8_t *access_line(const AccessSite *site, AccessSession *s, const uint8_t *stamp, uint8_t *p, GenRng *rng) {
    uint64_t r = gen_next(rng), q = gen_next(rng);
    uint32_t path = gen_draw(&site->popularity, r), kind = site->kinds[path];
    uint32_t status = access_status(kind, (uint32_t)(q & 4095));
    int head = (q >> 12 & 255) == 0 && kind != PATH_FORM;
    uint64_t bytes = head ? 0 : access_bytes(site, path, status, q >> 20);
    p = gen_copy(p, s->head, s->head_length);
    p = gen_copy(p, stamp, 29);
    p = head ? GEN_LITERAL(p, "HEAD ") : kind == PATH_FORM ? GEN_LITERAL(p, "POST ") : GEN_LITERAL(p, "GET ");
    p = gen_pooled(p, &site->paths, path);
    *p++ = ' ';
    p = GEN_LITERAL(p, "HTTP/1.1\" ");
    memcpy(p - 10, ACCESS_PROTOCOLS[s->protocol], 10);
    p = gen_decimal(p, status);
    *p++ = ' ';
    if (bytes) p = gen_decimal(p, bytes);
    else *p++ = '-';
    *p++ = ' ';
    p = access_referer(site, s, path, p, gen_mix(r ^ q));
    p = gen_pooled(p, &site->agents, s->agent);
    *p++ = '"';
    if (kind == PATH_PAGE && status < 400) s->page = path;
    return p;
}

static void access_times(const AccessSite *site, GenRng *rng, uint32_t *gaps, int64_t *times, int64_t t0, int64_t t1) {
    uint32_t rush = 0; /* lines left of a rush, in which everything comes eight times as fast */
    for (int i = 0; i < GEN_BLOCK_ROWS; i++) {
        uint64_t r = gen_next(rng);
        if (rush) rush--;
        else if ((r >> 20 & 8191) == 0) rush = 400 + (uint32_t)(r >> 40 & 4095);
        gaps[i] = site->exponential[r & 4095] >> (rush ? 3 : 0);
    }
    gen_spread(times, gaps, GEN_BLOCK_ROWS, t0, t1);
}

static uint8_t *access_stamp(uint8_t *p, const GenClock *clock) {
    p = gen_two(p, clock->mday);
    *p++ = '/';
    memcpy(p, GEN_MONTHS + 3 * (clock->month - 1), 3);
    p += 3;
    *p++ = '/';
    p = gen_four(p, clock->year);
    *p++ = ':';
    p = gen_hms(p, clock, ':');
    return GEN_LITERAL(p, " +0000] \"");
}

/* Rows 0 .. rows-1 of a block to `out`; the bytes before row `skip` are reported in *skipped. Returns the end. */
static uint8_t *access_block(const AccessSite *site, uint64_t key, int64_t t0, int64_t t1, int rows, int skip,
                             uint64_t broken, uint32_t *gaps, int64_t *times, uint8_t *out, int64_t *skipped) {
    GenRng clockwork = gen_stream(key, 1), rng = gen_stream(key, 2), breaker = gen_stream(key, 3);
    AccessSession sessions[ACCESS_SLOTS], *s = sessions;
    GenClock clock = gen_clock();
    uint8_t stamp[48], *start = out;
    memset(sessions, 0, sizeof sessions);
    access_times(site, &clockwork, gaps, times, t0, t1);
    for (int i = 0; i < rows; i++) {
        if (i == skip) *skipped = out - start;
        uint64_t r = gen_next(&rng);
        if ((r & 255) >= 150) s = sessions + (r >> 8 & (ACCESS_SLOTS - 1)); /* a client's requests come in a row */
        if (s->left == 0) access_arrive(site, s, &rng);
        s->left--;
        if (gen_set_second(&clock, times[i] / 1000000)) access_stamp(stamp, &clock);
        uint8_t *end = access_line(site, s, stamp, out, &rng);
        if (broken && (uint32_t)gen_next(&breaker) < broken) end = gen_break(out, end, &breaker);
        *end++ = '\n';
        out = end;
    }
    if (rows <= skip) *skipped = out - start;
    return out;
}

#endif

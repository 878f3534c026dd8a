/* The HTTP parser on any bytes, as one connection's stream of requests. What comes out must not
 * depend on how the bytes were split: each input runs whole and in pseudo-random pieces. */
#include <stdlib.h>

#include "config/base/arena.h"
#include "gateway/http_parse.h"

enum { OUTCOME_MAX = 8 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(struct tg_buf *out, struct tg_str s)
{
    tg_buf_addf(out, "%zu:", s.n);
    tg_buf_add(out, s.p, s.n);
}

static void note_request(struct tg_buf *out, const struct gw_parser *p)
{
    struct gw_ask ask;
    gw_parser_ask(p, &ask);
    note(out, ask.method);
    note(out, ask.path);
    note(out, ask.query);
    note(out, ask.host);
    for (size_t i = 0; i < ask.n_headers; i++) {
        note(out, ask.headers[i].name);
        note(out, ask.headers[i].value);
    }
    note(out, ask.body);
    tg_buf_addf(out, "%d%d\n", p->head.keep_alive, p->head.expect_continue);
}

/* Parses all of data; pieces are of 1 to 16 bytes from the seed, or everything at once for seed 0.
 */
static void parse(const char *data, size_t size, uint32_t seed, struct tg_buf *out)
{
    static const struct gw_parse_limits limits = { .headers = 600, .body = 300 };
    struct gw_parser p;
    gw_parser_init(&p, &limits);
    size_t at = 0, end = size;
    while (at < size && p.state != GW_PARSE_FAILED) {
        if (seed && (at == end || end == size)) {
            seed = seed * 1664525u + 1013904223u;
            end = at + (seed >> 28) + 1;
        }
        end = end > size ? size : end;
        at += gw_parser_push(&p, data + at, end - at);
        if (p.body.n > limits.body || p.bytes.n > limits.headers + GW_REQUEST_LINE_MAX + 1)
            abort();
        if (p.state == GW_PARSE_DONE) {
            note_request(out, &p);
            gw_parser_reset(&p);
        }
    }
    tg_buf_addf(out, "at %zu state %d status %d %s body %zu", at, (int)p.state, p.refusal.status,
                p.refusal.text ? p.refusal.text : "", p.body.n);
    gw_parser_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_buf whole, pieces;
    tg_buf_init(&whole, OUTCOME_MAX);
    tg_buf_init(&pieces, OUTCOME_MAX);
    uint32_t seed = 1;
    for (size_t i = 0; i < size; i++)
        seed = seed * 31 + data[i];
    parse((const char *)data, size, 0, &whole);
    parse((const char *)data, size, seed | 1, &pieces);
    if (!tg_str_eq(tg_buf_str(&whole), tg_buf_str(&pieces)))
        abort();
    tg_buf_free(&whole);
    tg_buf_free(&pieces);
    return 0;
}

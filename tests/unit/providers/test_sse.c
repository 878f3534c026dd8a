#include <stdlib.h>

#include "config/base/alloc.h"
#include "providers/sse.h"
#include "tests/unit/check.h"

/* Everything that comes out of `in` fed in pieces of `step`, as text: "event|data|id|retry;". */
static enum tg_status drain(struct tg_str in, size_t step, struct tg_buf *out)
{
    struct prov_sse p;
    struct prov_sse_event e;
    enum tg_status status = TG_AGAIN;
    prov_sse_init(&p, 64, 64);
    for (size_t at = 0; at < in.n; at += step) {
        struct tg_str piece = { in.p + at, in.n - at < step ? in.n - at : step };
        while ((status = prov_sse_next(&p, &piece, &e)) == TG_OK)
            tg_buf_addf(out, "%.*s|%.*s|%.*s|%d;", TG_FMT(e.event), TG_FMT(e.data), TG_FMT(e.id),
                        (int)e.retry_ms);
        if (status != TG_AGAIN)
            break;
    }
    if (status == TG_AGAIN && prov_sse_end(&p, &e) == TG_OK)
        tg_buf_addf(out, "end:%.*s;", TG_FMT(e.data));
    prov_sse_free(&p);
    return status;
}

static const struct {
    struct tg_str in;
    const char *out;
} table[] = {
    { TG_STR("data: a\n\n"), "|a||-1;" },
    { TG_STR("data:a\r\n\r\ndata:b\r\rdata:c\n\n"), "|a||-1;|b||-1;|c||-1;" },
    { TG_STR("\xEF\xBB\xBF" "data: bom\n\n"), "|bom||-1;" },
    { TG_STR("data: x\n\n\xEF\xBB\xBF" "data: y\n\n"), "|x||-1;" },
    { TG_STR(": comment\n:\ndata: a\ndata: b\n\n"), "|a\nb||-1;" },
    { TG_STR("event: e\nid: 7\nretry: 250\ndata: d\n\ndata: f\n\n"), "e|d|7|250;|f|7|250;" },
    { TG_STR("event: dropped\n\ndata: d\n\n"), "|d||-1;" },
    { TG_STR("data\n\ndata:\ndata:\n\n"), "|||-1;|\n||-1;" },
    { TG_STR("data:  two\n\n"), "| two||-1;" },
    { TG_STR("retry: 1x\nretry: -1\nid: a\0b\ndata: d\n\n"), "|d||-1;" },
    { TG_STR("unknown: 1\nDATA: no\ndata: d\n\n"), "|d||-1;" },
    { TG_STR("data: cut\n"), "end:cut;" },
    { TG_STR("data: cut"), "" },
    { TG_STR("data: cut\nda"), "" },
    { TG_STR("\n\n\r\n\r"), "" },
};

static void rules(void)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        for (size_t step = 1; step <= table[i].in.n + 1; step++) {
            struct tg_buf out;
            tg_buf_init(&out, 4096);
            tg_buf_adds(&out, "");
            enum tg_status status = drain(table[i].in, step, &out);
            bool same = strcmp(out.p, table[i].out) == 0;
            if (!same)
                fprintf(stderr, "row %zu, step %zu: %s\n", i, step, out.p);
            tg_buf_free(&out);
            CHECK(same);
            CHECK_INT(status, TG_AGAIN);
        }
    }
}

static void limits(void)
{
    char line[200];
    struct tg_buf out;
    memset(line, 'x', sizeof(line));
    memcpy(line, "data: ", 6);
    for (size_t step = 1; step <= sizeof(line); step++) {
        tg_buf_init(&out, 4096);
        CHECK_INT(drain((struct tg_str){ line, 64 }, step, &out), TG_AGAIN);
        CHECK_INT(drain((struct tg_str){ line, 65 }, step, &out), TG_LIMIT);
        tg_buf_free(&out);
    }
    /* Many lines of one event: data of 64 bytes is the most. */
    tg_buf_init(&out, 4096);
    struct tg_str fits = TG_STR("data: 0123456789012345678901234567890\n"
                                "data: 012345678901234567890123456789\n\n");
    struct tg_str above = TG_STR("data: 0123456789012345678901234567890\n"
                                 "data: 01234567890123456789012345678901x\n\n");
    CHECK_INT(drain(fits, 7, &out), TG_AGAIN);
    CHECK_INT(out.n > 60, 1);
    CHECK_INT(drain(above, 7, &out), TG_LIMIT);
    tg_buf_free(&out);
}

static void failure_sticks(void)
{
    struct prov_sse p;
    struct prov_sse_event e;
    prov_sse_init(&p, 8, 8);
    struct tg_str in = TG_STR("data: 0123456789\n\n");
    CHECK_INT(prov_sse_next(&p, &in, &e), TG_LIMIT);
    in = TG_STR("data: a\n\n");
    CHECK_INT(prov_sse_next(&p, &in, &e), TG_LIMIT);
    CHECK_INT(prov_sse_end(&p, &e), TG_LIMIT);
    prov_sse_free(&p);
}

static void no_memory(void)
{
    struct tg_str in = TG_STR("id: 1\nevent: e\ndata: a\ndata: b\n\n");
    for (uint64_t nth = 1; nth < 8; nth++) {
        struct prov_sse p;
        struct prov_sse_event e;
        enum tg_status status = TG_AGAIN;
        prov_sse_init(&p, 64, 64);
        tg_alloc_fail_nth(nth);
        for (size_t i = 0; i < in.n && status == TG_AGAIN; i++) {
            struct tg_str piece = { in.p + i, 1 };
            status = prov_sse_next(&p, &piece, &e);
        }
        uint64_t made = tg_alloc_count();
        tg_alloc_fail_nth(0);
        CHECK_INT(status, made >= nth ? TG_NOMEM : TG_OK);
        prov_sse_free(&p);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(rules), CASE(limits), CASE(failure_sticks),
                                               CASE(no_memory) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

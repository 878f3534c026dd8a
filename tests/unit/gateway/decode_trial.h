/* Decoding a request, for the tests of dialects' decoders. Included by test programs only. */
#ifndef TESTS_UNIT_GATEWAY_DECODE_TRIAL_H
#define TESTS_UNIT_GATEWAY_DECODE_TRIAL_H

#include "config/base/alloc.h"
#include "config/base/utf8.h"
#include "gateway/api/dialect.h"
#include "tests/unit/check.h"

enum { ARENA = 4 << 20 };

/* One decoding whose outcome lives until finish(). */
struct trial {
    struct tg_arena *arena;
    struct chat_request rq;
    struct api_error err;
    enum tg_status status;
};

static inline struct trial decode_as(const struct api_dialect *dialect, struct tg_str body)
{
    struct trial t = { .arena = tg_arena_new(ARENA) };
    t.status = dialect->decode(body, t.arena, &t.rq, &t.err);
    return t;
}

static inline void finish(struct trial *t)
{
    tg_arena_free(t->arena);
}

/* Of a body that must be taken. */
static inline struct trial accepted(const struct api_dialect *dialect, const char *body)
{
    struct trial t = decode_as(dialect, tg_str_of(body));
    if (t.status)
        CHECK_FAIL("%s\n  refused: %s", body, t.err.message);
    return t;
}

static inline bool is(struct tg_str s, const char *want)
{
    return tg_str_eq(s, tg_str_of(want));
}

struct bad {
    const char *body, *param, *says; /* says: a part of the message */
};

static inline void check_bad(const struct api_dialect *dialect, const struct bad *row)
{
    struct trial t = decode_as(dialect, tg_str_of(row->body));
    struct api_error err = t.err;
    bool refused = t.status == TG_INVALID || t.status == TG_UNSUPPORTED;
    bool utf8 = tg_utf8_valid(err.message, strlen(err.message));
    finish(&t);
    if (!utf8 || !refused || err.status != 400 || strcmp(err.param, row->param) != 0 ||
        !strstr(err.message, row->says) || strcmp(err.type, "invalid_request_error") != 0)
        CHECK_FAIL("%s\n  refused %d, %d, param \"%s\" (want \"%s\"), \"%s\" (want \"%s\")",
                   row->body, refused, err.status, err.param, row->param, err.message, row->says);
}

#define CHECK_ALL_BAD(dialect, rows)                                                               \
    do {                                                                                           \
        for (size_t bad_i = 0; bad_i < sizeof(rows) / sizeof(*(rows)); bad_i++)                    \
            check_bad(dialect, &(rows)[bad_i]);                                                    \
    } while (0)

/* Whichever allocation fails, the outcome is a request or a 503, and nothing leaks; at least so
 * many do fail. */
static inline void check_failing_allocations(const struct api_dialect *dialect, const char *body,
                                             size_t least)
{
    bool succeeded = false;
    size_t failed = 0;
    for (uint64_t nth = 1; nth < 2000 && !succeeded; nth++) {
        struct tg_arena *arena = tg_arena_new(ARENA);
        struct chat_request rq;
        struct api_error err;
        tg_alloc_fail_nth(nth);
        enum tg_status status = dialect->decode(tg_str_of(body), arena, &rq, &err);
        tg_alloc_fail_nth(0);
        tg_arena_free(arena);
        succeeded = status == TG_OK;
        failed += status == TG_NOMEM && err.status == 503;
        if (!succeeded && (status != TG_NOMEM || err.status != 503))
            CHECK_FAIL("allocation %llu: %s, %d, %s", (unsigned long long)nth,
                       tg_status_name(status), err.status, err.message);
    }
    CHECK(succeeded && failed >= least);
}

/* The arena's maximum is told as a lack of memory at every size that does not do. */
static inline void check_small_arenas(const struct api_dialect *dialect, const char *body)
{
    bool succeeded = false;
    for (size_t max = 16; max < 1 << 16 && !succeeded; max += 16) {
        struct tg_arena *arena = tg_arena_new(max);
        struct chat_request rq;
        struct api_error err;
        CHECK(arena);
        enum tg_status status = dialect->decode(tg_str_of(body), arena, &rq, &err);
        tg_arena_free(arena);
        succeeded = status == TG_OK;
        CHECK(succeeded || (status == TG_NOMEM && err.status == 503));
    }
    CHECK(succeeded);
}

#endif

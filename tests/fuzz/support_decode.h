/* What the fuzz drivers of dialects' decoders share: one decoding of any bytes. An error must name
 * its cause in the dialect's own JSON; what was accepted goes to the driver's check. */
#ifndef TESTS_FUZZ_SUPPORT_DECODE_H
#define TESTS_FUZZ_SUPPORT_DECODE_H

#include <stdlib.h>

#include "config/base/json.h"
#include "config/base/utf8.h"
#include "gateway/api/dialect.h"

enum { FUZZ_MEMORY_MAX = 16 << 20, FUZZ_TOKENS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_json(const struct tg_buf *text)
{
    if (text->failed || tg_json_scan(tg_buf_str(text), NULL) != TG_OK)
        abort();
}

static inline void fuzz_error(const struct api_dialect *dialect, enum tg_status status,
                              const struct api_error *err, struct tg_buf *out)
{
    bool known = (err->status == 400 && (status == TG_INVALID || status == TG_UNSUPPORTED)) ||
                 (err->status == 503 && status == TG_NOMEM);
    bool utf8 = tg_utf8_valid(err->message, strlen(err->message)) &&
                tg_utf8_valid(err->param, strlen(err->param));
    dialect->error(err, out);
    fuzz_json(out);
    if (!known || !utf8 || !err->message[0])
        abort();
}

/* The first bytes of a text as tokens, one each. */
static inline size_t fuzz_tokens(struct tg_str text, struct chat_logprob list[FUZZ_TOKENS])
{
    size_t n = text.n < FUZZ_TOKENS ? text.n : FUZZ_TOKENS;
    for (size_t i = 0; i < n; i++)
        list[i] = (struct chat_logprob){ .token = { { text.p + i, 1 }, -(double)i } };
    return n;
}

/* Looks at an accepted request; out is empty, and for what it prints. */
typedef void (*fuzz_check)(const struct api_dialect *dialect, const struct chat_request *r,
                           struct tg_buf *out);

static inline void fuzz_decode(const struct api_dialect *dialect, struct tg_str body,
                               fuzz_check check)
{
    struct tg_arena *arena = tg_arena_new(FUZZ_MEMORY_MAX);
    struct chat_request request;
    struct api_error err;
    struct tg_buf out;
    tg_buf_init(&out, FUZZ_MEMORY_MAX);
    enum tg_status status = dialect->decode(body, arena, &request, &err);
    if (status)
        fuzz_error(dialect, status, &err, &out);
    else
        check(dialect, &request, &out);
    tg_buf_free(&out);
    tg_arena_free(arena);
}

#endif

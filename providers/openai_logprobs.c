#include "providers/openai_logprobs.h"

#include <string.h>

enum { MEMORY_MAX = 32 << 20 };

/* A list of numbers from 0 to 255: whether it is one, and whether it spells text. */
static bool check_bytes(const struct tg_json *v, struct tg_str text, size_t *n, bool *same)
{
    int64_t byte;
    *n = 0;
    *same = true;
    for (const struct tg_json *b = tg_json_first(v); b; b = tg_json_next(b), (*n)++) {
        if (!tg_json_int(b, &byte) || byte < 0 || byte > 255)
            return false;
        *same = *same && *n < text.n && (unsigned char)text.p[*n] == byte;
    }
    *same = *same && *n == text.n;
    return true;
}

/* The bytes win: a token that is a part of a character has no other text. */
static enum tg_status read_top(const struct tg_json *v, struct tg_arena *arena,
                               struct chat_top *out)
{
    const struct tg_json *bytes = tg_json_get(v, "bytes");
    size_t n = 0, i = 0;
    bool same = true;
    if (!tg_json_string(tg_json_get(v, "token"), &out->text) ||
        !tg_json_number(tg_json_get(v, "logprob"), &out->logprob))
        return TG_INVALID;
    if (!bytes || tg_json_is(bytes, TG_JSON_NULL))
        return TG_OK;
    if (!tg_json_is(bytes, TG_JSON_ARRAY) || !check_bytes(bytes, out->text, &n, &same))
        return TG_INVALID;
    if (same || n == 0) /* some servers give none of a special token */
        return TG_OK;
    char *text = tg_arena_alloc(arena, n, 1);
    if (!text)
        return TG_NOMEM;
    for (const struct tg_json *b = tg_json_first(bytes); b; b = tg_json_next(b)) {
        int64_t byte = 0;
        tg_json_int(b, &byte);
        text[i++] = (char)byte;
    }
    out->text = (struct tg_str){ text, n };
    return TG_OK;
}

static enum tg_status read_token(const struct tg_json *v, struct tg_arena *arena,
                                 struct chat_logprob *out)
{
    const struct tg_json *tops = tg_json_get(v, "top_logprobs");
    enum tg_status status = read_top(v, arena, &out->token);
    if (status || !tops || tg_json_is(tops, TG_JSON_NULL))
        return status;
    size_t n = tg_json_count(tops);
    if (!tg_json_is(tops, TG_JSON_ARRAY) || n > CHAT_TOP_MAX)
        return TG_INVALID;
    struct chat_top *list = tg_arena_alloc(arena, n, sizeof(*list));
    if (!list)
        return TG_NOMEM;
    out->top = list;
    for (const struct tg_json *t = tg_json_first(tops); t && !status; t = tg_json_next(t))
        status = read_top(t, arena, &list[out->n_top++]);
    return status;
}

enum tg_status prov_logprobs_read(const struct tg_json *v, struct tg_arena **arena,
                                  struct chat_event *event)
{
    if (!v || tg_json_is(v, TG_JSON_NULL))
        return TG_OK;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return TG_INVALID;
    size_t n = tg_json_count(v);
    if (n == 0)
        return TG_OK;
    *arena = tg_arena_new(MEMORY_MAX);
    struct chat_logprob *list = *arena ? tg_arena_alloc(*arena, n, sizeof(*list)) : NULL;
    if (!list)
        return TG_NOMEM;
    enum tg_status status = TG_OK;
    size_t i = 0;
    for (const struct tg_json *t = tg_json_first(v); t && !status; t = tg_json_next(t))
        status = read_token(t, *arena, &list[i++]);
    if (status)
        return status;
    event->logprobs = list;
    event->n_logprobs = n;
    return TG_OK;
}

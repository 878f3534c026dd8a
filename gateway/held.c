#include "gateway/exchange.h"

/* What an answer has besides text and calls, held until it is told whole. */

enum { KEPT_MAX = 64 << 20 };

struct tg_arena *gw_try_kept(struct gw_try *t)
{
    if (!t->kept)
        t->kept = tg_arena_new(KEPT_MAX);
    return t->kept;
}

enum tg_status gw_try_keep_logprobs(struct gw_try *t, const struct chat_event *e)
{
    struct tg_arena *arena = gw_try_kept(t);
    if (!arena)
        return TG_NOMEM;
    struct chat_logprobs *copy = chat_logprobs_copy(arena, e);
    if (!copy)
        return tg_arena_used(arena) > KEPT_MAX / 2 ? TG_LIMIT : TG_NOMEM;
    *t->tokens_end = copy;
    t->tokens_end = &copy->next;
    return TG_OK;
}

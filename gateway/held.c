#include "gateway/exchange.h"

#include <string.h>

/* What an answer has besides text and calls, held until it is told whole. */

enum { KEPT_MAX = 64 << 20 };

/* Out of room, or out of memory? */
static enum tg_status why(const struct tg_arena *arena)
{
    return tg_arena_used(arena) > KEPT_MAX / 2 ? TG_LIMIT : TG_NOMEM;
}

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
        return why(arena);
    *t->tokens_end = copy;
    t->tokens_end = &copy->next;
    return TG_OK;
}

enum tg_status gw_try_keep_vector(struct gw_try *t, const struct chat_event *e)
{
    size_t n = t->x->prepared.request.n_inputs;
    struct tg_arena *arena = gw_try_kept(t);
    if (!arena)
        return TG_NOMEM;
    if (e->index >= n)
        return TG_LIMIT;
    if (!t->vectors)
        t->vectors = tg_arena_alloc(arena, n, sizeof(*t->vectors));
    float *copy = tg_arena_alloc(arena, e->n_vector, sizeof(*copy));
    if (!t->vectors || !copy)
        return why(arena);
    if (e->n_vector)
        memcpy(copy, e->vector, e->n_vector * sizeof(*copy));
    t->vectors[e->index] = (struct api_vector){ copy, e->n_vector };
    return TG_OK;
}

#include "gateway/exchange.h"

#include <string.h>

#include "config/base/alloc.h"

/* What an attempt says, printed for a stream or held until it is told whole. */

enum { KEPT_MAX = 64 << 20 };

/* Out of room, or out of memory? */
static enum tg_status why(const struct tg_arena *arena)
{
    return tg_arena_used(arena) > KEPT_MAX / 2 ? TG_LIMIT : TG_NOMEM;
}

static struct tg_arena *kept_of(struct gw_try *t)
{
    if (!t->kept)
        t->kept = tg_arena_new(KEPT_MAX);
    return t->kept;
}

static enum tg_status keep_logprobs(struct gw_try *t, const struct chat_event *e)
{
    struct tg_arena *arena = kept_of(t);
    if (!arena)
        return TG_NOMEM;
    struct chat_logprobs *copy = chat_logprobs_copy(arena, e);
    if (!copy)
        return why(arena);
    *t->tokens_end = copy;
    t->tokens_end = &copy->next;
    return TG_OK;
}

static enum tg_status keep_vector(struct gw_try *t, const struct chat_event *e)
{
    size_t n = t->x->prepared.request.n_inputs;
    struct tg_arena *arena = kept_of(t);
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

/* Some servers repeat id and name in each delta: the first ones hold. */
static bool keep_first(struct tg_arena *arena, struct tg_str *kept, struct tg_str given)
{
    if (given.n && !kept->n)
        *kept = tg_arena_str(arena, given);
    return kept->n || !given.n;
}

static enum tg_status hold_call(struct gw_try *t, const struct chat_event *e)
{
    struct tg_arena *arena = t->x->prepared.arena;
    if (e->index >= CHAT_CALLS_MAX)
        return TG_LIMIT;
    if (!t->calls)
        t->calls = tg_calloc(1, sizeof(*t->calls));
    if (!t->calls)
        return TG_NOMEM;
    struct api_call *call = &t->calls->call[e->index];
    for (; t->calls->n <= e->index; t->calls->n++)
        tg_buf_init(&t->calls->arguments[t->calls->n], GW_ANSWER_MAX);
    if (!keep_first(arena, &call->id, e->id) || !keep_first(arena, &call->name, e->name))
        return TG_LIMIT;
    return tg_buf_add(&t->calls->arguments[e->index], e->text.p, e->text.n);
}

static struct tg_buf *text_of(struct gw_try *t, enum chat_event_kind kind)
{
    return kind == CHAT_EVENT_TEXT      ? &t->content
           : kind == CHAT_EVENT_REFUSAL ? &t->refusal
                                        : &t->reasoning;
}

static enum tg_status print_and_keep(struct gw_try *t, const struct chat_event *e)
{
    const struct gw_exchange *x = t->x;
    const struct api_dialect *dialect = x->prepared.dialect;
    if (x->prepared.request.stream) {
        enum tg_status status = dialect->event(&x->answer, &t->stream, e, &t->out);
        bool call = e->kind == CHAT_EVENT_TOOL_CALL;
        if (status || !(dialect->keeps || (call && dialect->keeps_calls)))
            return status;
    }
    if (e->kind == CHAT_EVENT_TOOL_CALL)
        return hold_call(t, e);
    bool tokens = e->n_logprobs && !x->prepared.request.stream; /* a stream has told them */
    enum tg_status status = tokens ? keep_logprobs(t, e) : TG_OK;
    return status ? status : tg_buf_add(text_of(t, e->kind), e->text.p, e->text.n);
}

enum tg_status gw_try_hold(struct gw_try *t, const struct chat_event *e)
{
    if (e->kind == CHAT_EVENT_VECTOR)
        return keep_vector(t, e);
    if (!e->text.n && !e->name.n && !e->n_logprobs)
        return TG_OK;
    bool refusal = e->kind == CHAT_EVENT_REFUSAL;
    t->refused = t->refused || refusal;
    if (!refusal || t->x->prepared.dialect->refusals)
        return print_and_keep(t, e);
    struct chat_event told = *e;
    told.kind = CHAT_EVENT_TEXT;
    return print_and_keep(t, &told);
}

#include "gateway/exchange.h"

#include <time.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "policy/choose.h"

enum { ARENA_FLOOR = 1 << 20, ARENA_FACTOR = 8 };

/* Decoded requests are a few times their text: parts and messages cost structs. */
static size_t arena_max(size_t body)
{
    return body > SIZE_MAX / ARENA_FACTOR - ARENA_FLOOR ? SIZE_MAX
                                                        : ARENA_FLOOR + body * ARENA_FACTOR;
}

/* A provider's model that the client names is asked alone. */
static bool may_be_local(const struct gw_prepared *p)
{
    struct pol_choice choice;
    return p->dialect->count || !pol_choose(p->settings, p->request.model, &choice) ||
           !choice.provider.n;
}

static bool decode(struct gw_prepared *p)
{
    p->arena = tg_arena_new(arena_max(p->body.n));
    if (!p->arena) {
        p->error = gw_failure(500, "server_error", NULL, "out of memory");
        return false;
    }
    enum tg_status status =
        p->dialect->decode_past
            ? p->dialect->decode_past(p->body, &p->past, p->arena, &p->request, &p->error)
            : p->dialect->decode(p->body, p->arena, &p->request, &p->error);
    return status == TG_OK &&
           gw_media_check(&p->request, &p->settings->limits.media, &p->error);
}

static void score(struct gw_prepared *p)
{
    if (may_be_local(p)) {
        enum tg_status status =
            p->dialect->count
                ? prov_local_count(p->local, &p->request, &p->n_prompt, &p->local_error)
                : prov_local_prepare(p->local, &p->request, &p->prompt, &p->n_prompt,
                                     &p->overflow, &p->local_error);
        p->local_can = status == TG_OK;
        p->local_error.code = status;
    }
    if (p->request.n_messages) /* vectors cost what their text does, however hard it is */
        p->complexity = pol_complexity(&p->request, p->n_prompt);
}

void gw_prepare(struct gw_prepared *p)
{
    if (!p->decoded) {
        p->decoded = decode(p);
        p->failed = !p->decoded;
        if (p->failed)
            return;
        p->unfetched = p->settings->fetch.n_hosts && !p->dialect->count &&
                       gw_media_is_remote(&p->request);
        if (p->unfetched || p->request.stream)
            return;
    }
    if (!chat_is_empty(&p->request)) /* which asks for nothing */
        score(p);
    p->ready = true;
}

void gw_prepared_forget(struct gw_prepared *p)
{
    gw_past_free(&p->past);
    p->past.local_only = false;
    tg_arena_free(p->arena);
    p->arena = NULL;
    p->request = (struct chat_request){ 0 };
    p->error = (struct api_error){ 0 };
    p->failed = p->decoded = false;
}

void gw_prepared_free(struct gw_prepared *p)
{
    gw_past_free(&p->past);
    tg_arena_free(p->arena);
    tg_buf_free(&p->body_taken);
    tg_free(p->prompt);
    *p = (struct gw_prepared){ 0 };
}

static void set(struct pol_facts *f, enum pol_name name, double value)
{
    f->known[name] = true;
    f->value[name] = value;
}

static void count_parts(const struct chat_request *r, struct pol_facts *f)
{
    size_t turns = 0, images = 0, audio = 0;
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        turns += m->role == CHAT_USER;
        for (size_t k = 0; k < m->n_parts; k++) {
            images += m->parts[k].kind == CHAT_PART_IMAGE;
            audio += m->parts[k].kind == CHAT_PART_AUDIO;
        }
    }
    set(f, POL_TURNS, (double)turns);
    set(f, POL_IMAGES, (double)images);
    set(f, POL_AUDIO, (double)audio);
    set(f, POL_TOOLS, (double)r->n_tools);
}

static void budget_used(const struct gw_exchange *x, struct pol_facts *f)
{
    if (!gw_exchange_route(x)->has_budget)
        return;
    struct tel_budget_state b = tel_budget_state(x->app->store, x->config->budget[x->route]);
    if (b.cap > 0)
        set(f, POL_BUDGET_USED, ((double)b.spent + (double)b.reserved) / (double)b.cap);
    else
        set(f, POL_BUDGET_USED, 1.0);
}

static double hour_now(const char *zone)
{
    time_t now = (time_t)(tg_wall_ms() / 1000);
    struct tm tm;
    if (strcmp(zone, "local") == 0)
        localtime_r(&now, &tm);
    else
        gmtime_r(&now, &tm);
    return tm.tm_hour;
}

struct pol_facts gw_facts(const struct gw_exchange *x)
{
    struct pol_facts f = { .tags = x->tags, .n_tags = x->n_tags };
    const struct gw_prepared *p = &x->prepared;
    const struct gw_try *local = &x->local;
    if (x->confidence.known)
        set(&f, POL_CONFIDENCE, x->confidence.value);
    if (p->complexity.known)
        set(&f, POL_COMPLEXITY, p->complexity.value);
    if (p->n_prompt)
        set(&f, POL_PROMPT_TOKENS, p->n_prompt);
    if (p->request.n_messages)
        set(&f, POL_MAX_TOKENS, p->request.max_tokens ? p->request.max_tokens
                                                      : x->config->settings->engine.max_tokens);
    count_parts(&p->request, &f);
    if (local->started_ns)
        set(&f, POL_QUEUE_MS, (double)(local->started_ns - local->begun_ns) / 1e6);
    if (local->first_ns)
        set(&f, POL_TTFT_MS, (double)(local->first_ns - x->begun_ns) / 1e6);
    budget_used(x, &f);
    set(&f, POL_HOUR, hour_now(x->config->settings->time_zone));
    return f;
}

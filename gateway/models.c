#include "gateway/models.h"

#include <stdio.h>

#include "gateway/api/anthropic.h"
#include "gateway/api/openai_chat.h"
#include "gateway/exchange.h"
#include "gateway/query.h"
#include "policy/choose.h"

enum { MODELS_TEXT_MAX = 1 << 20, PAGE = 20, PAGE_MAX = 1000, ID_MAX = 300 };

static const char root[] = "/v1/models";

const struct api_dialect *gw_dialect_asked(const struct gw_ask *ask)
{
    return gw_header_of(ask, "anthropic-version").p ? &ant_messages : &oai_chat;
}

/* Index of the name that a member of the query holds: n when there is no such member. */
static bool find_cursor(struct tg_str query, const char *key, const char *const *names, size_t n,
                        size_t *at, struct api_error *e)
{
    struct tg_str text = gw_query_member(query, key);
    *at = n;
    if (!text.p)
        return true;
    for (*at = 0; *at < n; (*at)++)
        if (gw_query_is(text, tg_str_of(names[*at])))
            return true;
    *e = gw_failure(400, "invalid_request_error", NULL, "%s: no model has that id", key);
    return false;
}

/* The page that the query asks for: names[*first] to names[*end - 1]. */
static bool find_page(struct tg_str query, const char *const *names, size_t n, size_t *first,
                      size_t *end, struct api_error *e)
{
    struct tg_str text = gw_query_member(query, "limit");
    uint64_t limit = PAGE;
    size_t after, before;
    if (text.p && (!tg_parse_u64(text, &limit) || limit < 1 || limit > PAGE_MAX)) {
        *e = gw_failure(400, "invalid_request_error", NULL,
                        "limit: must be a whole number from 1 to %d", PAGE_MAX);
        return false;
    }
    if (!find_cursor(query, "after_id", names, n, &after, e) ||
        !find_cursor(query, "before_id", names, n, &before, e))
        return false;
    *first = after < n ? after + 1 : 0;
    *end = before;
    if (*end < *first)
        *end = *first;
    if (*end - *first > limit && before < n && after == n)
        *first = *end - (size_t)limit; /* those directly before it */
    else if (*end - *first > limit)
        *end = *first + (size_t)limit;
    return true;
}

static void print_list(struct gw_app *app, const struct gw_ask *ask, const struct gw_caller *who,
                       bool anthropic, struct api_error *e, struct tg_buf *out)
{
    const char *names[POL_NAMES_MAX];
    size_t n = gw_caller_names(who, app->now->settings, true, names), first, end;
    if (!anthropic) {
        oai_models_print(names, n, app->started_s, out);
        return;
    }
    if (!find_page(ask->query, names, n, &first, &end, e))
        return;
    bool backwards =
        gw_query_member(ask->query, "before_id").p && !gw_query_member(ask->query, "after_id").p;
    ant_models_print(names + first, end - first, app->started_s, backwards ? first > 0 : end < n,
                     out);
}

/* Whatever a request may name, listed or not; what its key may not is as if it were not there. */
static void print_one(struct gw_app *app, struct tg_str id, const struct gw_caller *who,
                      bool anthropic, struct api_error *e, struct tg_buf *out)
{
    struct pol_choice choice;
    char name[ID_MAX];
    if (id.n == 0 || id.n >= sizeof(name) ||
        !gw_caller_choose(who, app->now->settings, id, &choice)) {
        *e = gw_failure(404, "invalid_request_error", "model_not_found",
                        "no model is named \"%.*s\"; GET /v1/models lists them", TG_FMT(id));
        return;
    }
    snprintf(name, sizeof(name), "%.*s", TG_FMT(id));
    if (anthropic)
        ant_model_print(name, app->started_s, out);
    else
        oai_model_print(name, app->started_s, out);
}

void gw_models_answer(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                      const struct gw_caller *who)
{
    const struct api_dialect *dialect = gw_dialect_asked(ask);
    bool anthropic = dialect == &ant_messages;
    struct tg_str id = { ask->path.p + sizeof(root) - 1, ask->path.n - (sizeof(root) - 1) };
    struct api_error e = { 0 };
    struct tg_buf out;
    tg_buf_init(&out, MODELS_TEXT_MAX);
    if (id.n == 0)
        print_list(app, ask, who, anthropic, &e, &out);
    else
        print_one(app, (struct tg_str){ id.p + 1, id.n - 1 }, who, anthropic, &e, &out);
    if (out.failed)
        e = gw_failure(500, "server_error", NULL, "out of memory");
    if (e.status)
        gw_router_refuse(app, rq, dialect, &e);
    else
        gw_http_respond(rq, 200, "application/json", tg_buf_str(&out));
    tg_buf_free(&out);
}

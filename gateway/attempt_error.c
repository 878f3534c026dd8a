#include "gateway/exchange.h"

/* The status by which clients see whether it is worth another try: what the provider found wrong
 * with the request stays wrong, what it has no room for may pass. What it says of our key, or of a
 * model that the configuration and not the client has named, is no fault of the client. */
static int status_for_client(const struct gw_exchange *x, const struct chat_event *e)
{
    if (e->overflow.is)
        return 400;
    switch (e->http_status) {
    case 400:
    case 422:
        return 400;
    case 413:
    case 429:
        return e->http_status;
    case 404:
        return x->named ? 404 : 502;
    case 503:
    case 529: /* not registered, but what busy servers say */
        return 503;
    case 408:
    case 504:
        return 504;
    default:
        return 502;
    }
}

/* What the provider calls the client's fault: programs act on it as they would without a gateway.
 * Without memory for it they do without. */
static void keep_words(const struct gw_try *t, const struct chat_event *e, struct api_error *out)
{
    const struct gw_exchange *x = t->x;
    struct tg_arena *arena = x->prepared.arena;
    struct tg_str type = { NULL, 0 }, code = { NULL, 0 };
    if (e->said_type.n)
        type = tg_arena_str(arena, e->said_type);
    if (e->said_code.n)
        code = tg_arena_str(arena, e->said_code);
    if (type.p)
        out->type = type.p;
    if (code.p)
        out->code = code.p;
    const char *common = x->prepared.request.n_inputs ? "input" : "messages";
    struct tg_str param = e->said_param;
    if (!param.n && e->overflow.is)
        param = tg_str_of(common);
    api_rename_param(x->prepared.dialect, param, out);
}

static struct api_error refused_by_provider(const struct gw_try *t, const struct chat_event *e,
                                            const char *who)
{
    int status = status_for_client(t->x, e);
    if (e->http_status == 401) { /* providers repeat parts of the key */
        gw_failure_tell_key(t, e->text);
        return gw_failure(status, "upstream_error", "provider_key",
                          "%s does not accept the key that this gateway has for it", who);
    }
    const char *code = status == 429   ? "rate_limit_exceeded"
                       : status >= 500 ? chat_error_name(e->error)
                                       : NULL;
    bool theirs = status < 500 && status != 429;
    struct api_error failure =
        gw_failure(status, theirs ? "invalid_request_error" : "upstream_error", code,
                   "%s answered %d: %.*s", who, e->http_status, TG_FMT(e->text));
    if (theirs)
        keep_words(t, e, &failure);
    if (theirs && e->overflow.is) {
        char says[sizeof(failure.message)];
        memcpy(says, failure.message, sizeof(says));
        api_overflow(t->x->prepared.dialect, &e->overflow, says, &failure);
    }
    return failure;
}

struct api_error gw_try_error(const struct gw_try *t, const struct chat_event *e)
{
    char who[160];
    gw_try_route(t, who, sizeof(who));
    int status = 502;
    if (e->error == CHAT_ERROR_TIMEOUT)
        status = 504;
    else if (e->error == CHAT_ERROR_REQUEST)
        status = 400;
    else if (e->error == CHAT_ERROR_ENGINE)
        status = 503;
    else if (e->error == CHAT_ERROR_STATUS)
        return refused_by_provider(t, e, who);
    return gw_failure(status, status == 400 ? "invalid_request_error" : "upstream_error",
                      chat_error_name(e->error), "%s: %.*s", who, TG_FMT(e->text));
}

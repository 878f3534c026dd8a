#include <stdio.h>

#include "config/base/alloc.h"
#include "gateway/api/openai_chat.h"
#include "gateway/exchange.h"

enum { ROUTER_TEXT_MAX = 1 << 20 };

void gw_router_refuse(struct gw_app *app, struct gw_request *rq, const struct api_dialect *dialect,
                      const struct api_error *e)
{
    struct tg_buf out;
    char id[24];
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)app->next_id++);
    gw_http_header(rq, "x-tollgate-request-id", tg_str_of(id));
    tg_buf_init(&out, ROUTER_TEXT_MAX);
    dialect->error(e, &out);
    gw_http_respond(rq, e->status, "application/json", tg_buf_str(&out));
    tg_buf_free(&out);
}

/* A page in a browser can post to loopback without asking, as long as it declares no JSON; it
 * always names where it comes from. Neither may spend money here. */
static bool is_foreign(const struct gw_ask *ask)
{
    static const char *const ours[] = { "http://localhost", "http://127.0.0.1", "http://[::1]" };
    struct tg_str origin = gw_header_of(ask, "origin");
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
        size_t n = strlen(ours[i]);
        if (origin.n >= n && memcmp(origin.p, ours[i], n) == 0 &&
            (origin.n == n || origin.p[n] == ':'))
            return false;
    }
    return origin.p != NULL;
}

static void *on_chat(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask)
{
    struct tg_str type = gw_header_of(ask, "content-type");
    size_t end = 0;
    while (end < type.n && type.p[end] != ';')
        end++;
    type.n = end;
    struct tg_str coding = gw_header_of(ask, "content-encoding");
    struct api_error e = { 0 };
    if (is_foreign(ask))
        e = gw_failure(403, "invalid_request_error", "origin",
                       "requests from web pages of other origins are not served");
    else if (!tg_str_ieq(tg_str_trim(type), TG_STR("application/json")))
        e = gw_failure(415, "invalid_request_error", NULL,
                       "content-type must be application/json");
    else if (coding.n && !tg_str_ieq(coding, TG_STR("identity")))
        e = gw_failure(415, "invalid_request_error", NULL,
                       "content-encoding %.*s is not supported: send the body plain",
                       TG_FMT(coding));
    if (e.status) {
        gw_router_refuse(app, rq, &oai_chat, &e);
        return NULL;
    }
    return gw_exchange_new(app, rq, ask, &oai_chat);
}

static void *on_models(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask)
{
    const struct cfg_settings *s = app->now->settings;
    const char *names[CFG_ROUTES_MAX + 1];
    size_t n = 0;
    (void)ask;
    for (; n < s->n_routes; n++)
        names[n] = s->routes[n].name;
    names[n++] = "local";
    struct tg_buf out;
    tg_buf_init(&out, ROUTER_TEXT_MAX);
    oai_models_print(names, n, app->started_s, &out);
    gw_http_respond(rq, 200, "application/json", tg_buf_str(&out));
    tg_buf_free(&out);
    return NULL;
}

static void *on_health(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask)
{
    struct tg_buf out;
    (void)ask;
    tg_buf_init(&out, ROUTER_TEXT_MAX);
    tg_buf_addf(&out, "{\"status\":\"%s\",\"version\":\"%s\",\"model\":",
                app->draining ? "draining" : "ok", TG_VERSION);
    tg_buf_add_json(&out, tg_str_of(le_engine_model_name(app->engine)));
    tg_buf_addf(&out, ",\"device\":\"%s\",\"requests\":%zu}\n", le_engine_device_kind(app->engine),
                gw_http_requests(app->http));
    gw_http_respond(rq, app->draining ? 503 : 200, "application/json", tg_buf_str(&out));
    tg_buf_free(&out);
    return NULL;
}

struct endpoint {
    const char *path, *method;
    void *(*answer)(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask);
};

static const struct endpoint endpoints[] = {
    { "/v1/chat/completions", "POST", on_chat },
    { "/v1/models", "GET", on_models },
    { "/healthz", "GET", on_health },
};

static void *on_request(void *arg, struct gw_request *rq, const struct gw_ask *ask)
{
    struct gw_app *app = arg;
    const char *allowed = NULL;
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++) {
        const struct endpoint *e = &endpoints[i];
        if (!tg_str_eq(ask->path, tg_str_of(e->path)))
            continue;
        bool get = strcmp(e->method, "GET") == 0;
        if (tg_str_eq(ask->method, tg_str_of(e->method)) || (get && ask->head))
            return e->answer(app, rq, ask);
        allowed = get ? "GET, HEAD" : e->method;
    }
    struct api_error e = gw_failure(404, "invalid_request_error", "not_found",
                                    "nothing is served at %.*s; see POST /v1/chat/completions, "
                                    "GET /v1/models, GET /healthz", TG_FMT(ask->path));
    if (allowed) {
        e = gw_failure(405, "invalid_request_error", "method_not_allowed",
                       "%.*s takes %s", TG_FMT(ask->path), allowed);
        gw_http_header(rq, "allow", tg_str_of(allowed));
    }
    gw_router_refuse(app, rq, &oai_chat, &e);
    return NULL;
}

static void on_gone(void *arg, struct gw_request *rq, void *context)
{
    (void)arg;
    (void)rq;
    if (context)
        gw_exchange_gone(context);
}

static void on_writable(void *arg, struct gw_request *rq, void *context)
{
    (void)arg;
    (void)rq;
    if (context)
        gw_exchange_writable(context);
}

struct gw_http_handlers gw_router(struct gw_app *app)
{
    return (struct gw_http_handlers){
        .arg = app, .on_request = on_request, .on_gone = on_gone, .on_writable = on_writable
    };
}

#include <stdio.h>

#include "config/base/alloc.h"
#include "gateway/api/anthropic.h"
#include "gateway/api/ollama.h"
#include "gateway/api/openai_chat.h"
#include "gateway/exchange.h"
#include "gateway/models.h"
#include "gateway/ollama_site.h"

enum { ROUTER_TEXT_MAX = 1 << 20 };

void gw_router_refuse(struct gw_app *app, struct gw_request *rq, const struct api_dialect *dialect,
                      const struct api_error *error)
{
    struct tg_buf out;
    struct api_error e = *error;
    char id[sizeof(e.request) + 4];
    snprintf(e.request, sizeof(e.request), "%016llx", (unsigned long long)app->next_id++);
    gw_http_header(rq, "x-tollgate-request-id", tg_str_of(e.request));
    snprintf(id, sizeof(id), "req_%s", e.request);
    if (dialect->id_header)
        gw_http_header(rq, dialect->id_header, tg_str_of(id));
    tg_buf_init(&out, ROUTER_TEXT_MAX);
    dialect->error(&e, &out);
    gw_http_respond(rq, e.status, "application/json", tg_buf_str(&out));
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

/* Whether a browser says that a page of its sent this. (Node's fetch sends sec-fetch-mode too.) */
static bool by_page(const struct gw_ask *ask)
{
    return gw_header_of(ask, "origin").p || gw_header_of(ask, "sec-fetch-site").p;
}

/* Clients of some dialects send their JSON as text, as a form or without a type. So can a page do
 * without asking: from a browser it must be declared, which makes the browser ask. */
static bool type_accepted(const struct gw_ask *ask, bool any)
{
    static const char *const others[] = { "", "text/plain", "application/x-www-form-urlencoded" };
    struct tg_str type = gw_header_of(ask, "content-type");
    size_t end = 0;
    while (end < type.n && type.p[end] != ';')
        end++;
    type.n = end;
    type = tg_str_trim(type);
    if (tg_str_ieq(type, TG_STR("application/json")))
        return true;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others) && any && !by_page(ask); i++)
        if (tg_str_ieq(type, tg_str_of(others[i])))
            return true;
    return false;
}

struct endpoint {
    const char *path, *method;
    /* A request for an answer in that dialect; else answer answers it, and ends it at once. */
    const struct api_dialect *dialect;
    void (*answer)(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask);
    bool below;    /* the paths below it too */
    bool any_type; /* whatever content type it is declared as */
};

static void *on_ask(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct endpoint *to)
{
    struct tg_str coding = gw_header_of(ask, "content-encoding");
    struct api_error e = { 0 };
    if (is_foreign(ask))
        e = gw_failure(403, "invalid_request_error", "origin",
                       "requests from web pages of other origins are not served");
    else if (!type_accepted(ask, to->any_type))
        e = gw_failure(415, "invalid_request_error", NULL,
                       "content-type must be application/json");
    else if (coding.n && !tg_str_ieq(coding, TG_STR("identity")))
        e = gw_failure(415, "invalid_request_error", NULL,
                       "content-encoding %.*s is not supported: send the body plain",
                       TG_FMT(coding));
    if (e.status) {
        gw_router_refuse(app, rq, to->dialect, &e);
        return NULL;
    }
    return gw_exchange_new(app, rq, ask, to->dialect);
}

static void on_health(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask)
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
}

static const struct endpoint endpoints[] = {
    { "/v1/chat/completions", "POST", .dialect = &oai_chat },
    { "/v1/messages", "POST", .dialect = &ant_messages },
    { "/v1/messages/count_tokens", "POST", .dialect = &ant_count },
    { "/v1/models", "GET", .answer = gw_models_answer, .below = true },
    { "/healthz", "GET", .answer = on_health },
    { "/api/chat", "POST", .dialect = &oll_chat, .any_type = true },
    { "/api/generate", "POST", .dialect = &oll_generate, .any_type = true },
    { "/api/tags", "GET", .answer = gw_ollama_tags },
    { "/api/ps", "GET", .answer = gw_ollama_ps },
    { "/api/show", "POST", .answer = gw_ollama_show },
    { "/api/version", "GET", .answer = gw_ollama_version },
    { "/api/embed", "POST", .answer = gw_ollama_not_here },
    { "/api/embeddings", "POST", .answer = gw_ollama_not_here },
    { "/api/pull", "POST", .answer = gw_ollama_not_here },
    { "/api/push", "POST", .answer = gw_ollama_not_here },
    { "/api/create", "POST", .answer = gw_ollama_not_here },
    { "/api/copy", "POST", .answer = gw_ollama_not_here },
    { "/api/delete", "DELETE", .answer = gw_ollama_not_here },
    { "/", "GET", .answer = gw_ollama_root },
};

static bool is_below(struct tg_str path, const char *root)
{
    size_t n = strlen(root);
    return path.n > n + 1 && memcmp(path.p, root, n) == 0 && path.p[n] == '/';
}

static bool is_at(const struct gw_ask *ask, const struct endpoint *e)
{
    return tg_str_eq(ask->path, tg_str_of(e->path)) || (e->below && is_below(ask->path, e->path));
}

/* Whose errors the client reads. e may be NULL. */
static const struct api_dialect *dialect_of(const struct gw_ask *ask, const struct endpoint *e)
{
    if (e && e->dialect)
        return e->dialect;
    if (is_below(ask->path, "/api"))
        return &oll_chat;
    return is_below(ask->path, "/v1/messages") ? &ant_messages : gw_dialect_asked(ask);
}

static void *on_request(void *arg, struct gw_request *rq, const struct gw_ask *ask)
{
    struct gw_app *app = arg;
    const struct endpoint *found = NULL;
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++) {
        const struct endpoint *e = &endpoints[i];
        if (!is_at(ask, e))
            continue;
        bool get = strcmp(e->method, "GET") == 0;
        found = e;
        if (!tg_str_eq(ask->method, tg_str_of(e->method)) && !(get && ask->head))
            continue;
        if (e->dialect)
            return on_ask(app, rq, ask, e);
        e->answer(app, rq, ask);
        return NULL;
    }
    struct api_error e = gw_failure(404, "invalid_request_error", "not_found",
                                    "nothing is served at %.*s; see POST /v1/chat/completions, "
                                    "POST /v1/messages, POST /api/chat, GET /v1/models, "
                                    "GET /healthz", TG_FMT(ask->path));
    if (found) {
        const char *allowed = strcmp(found->method, "GET") == 0 ? "GET, HEAD" : found->method;
        e = gw_failure(405, "invalid_request_error", "method_not_allowed",
                       "%.*s takes %s", TG_FMT(ask->path), allowed);
        gw_http_header(rq, "allow", tg_str_of(allowed));
    }
    gw_router_refuse(app, rq, dialect_of(ask, found), &e);
    return NULL;
}

static void print_refusal(void *arg, const struct gw_ask *ask, int status, const char *text,
                          struct tg_buf *out)
{
    const struct endpoint *found = NULL;
    struct api_error e = gw_failure(
        status, status < 500 ? "invalid_request_error" : "server_error", NULL, "%s", text);
    (void)arg;
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints) && !found; i++)
        if (is_at(ask, &endpoints[i]))
            found = &endpoints[i];
    dialect_of(ask, found)->error(&e, out);
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
        .arg = app, .on_request = on_request, .on_gone = on_gone, .on_writable = on_writable,
        .refusal = print_refusal,
    };
}

#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/turn.h"
#include "gateway/api/anthropic.h"
#include "gateway/api/ollama.h"
#include "gateway/api/openai_chat.h"
#include "gateway/api/openai_responses.h"
#include "gateway/admin.h"
#include "gateway/cors.h"
#include "gateway/api/openai_text.h"
#include "gateway/api/openai_vectors.h"
#include "gateway/exchange.h"
#include "gateway/gate.h"
#include "gateway/metrics.h"
#include "gateway/models.h"
#include "gateway/ollama_site.h"
#include "gateway/responses_site.h"

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
    gw_http_respond(rq, api_error_status(dialect, &e), "application/json", tg_buf_str(&out));
    tg_buf_free(&out);
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
    void (*answer)(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                   const struct gw_caller *who);
    /* Takes any method (method is NULL), and may answer later: the request's context, or NULL. */
    void *(*govern)(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask);
    enum gw_access access;
    bool below;    /* the paths below it too */
    bool inside;   /* only those */
    bool any_type; /* whatever content type it is declared as */
};

static struct api_error foreign_page(void)
{
    return gw_failure(403, "invalid_request_error", "origin",
                      "requests from web pages of other origins are not served");
}

/* Whose pages may use an endpoint: nobody's are let into what administrators have, listed or not.
 */
static const struct cfg_cors *pages_of(const struct gw_app *app, const struct endpoint *e)
{
    static const struct cfg_cors none;
    bool governs = e && (e->access == GW_BY_ADMIN || e->access == GW_BY_EITHER);
    return governs ? &none : &app->now->settings->cors;
}

/* What keeps pages of other origins, and bodies that are not read here, out. False: e. (A page can
 * post to loopback without asking, as long as it declares no JSON; its browser always names where
 * it comes from. Neither may spend money here.) */
static bool is_proper(const struct gw_app *app, const struct gw_ask *ask,
                      const struct endpoint *to, bool any_type, struct api_error *e)
{
    struct tg_str coding = gw_header_of(ask, "content-encoding");
    if (gw_cors_origin(pages_of(app, to), gw_header_of(ask, "origin")) == GW_ORIGIN_FOREIGN)
        *e = foreign_page();
    else if (!type_accepted(ask, any_type))
        *e = gw_failure(415, "invalid_request_error", NULL,
                        "content-type must be application/json");
    else if (coding.n && !tg_str_ieq(coding, TG_STR("identity")))
        *e = gw_failure(415, "invalid_request_error", NULL,
                        "content-encoding %.*s is not supported: send the body plain",
                        TG_FMT(coding));
    else
        return true;
    return false;
}

/* Takes who over. */
static void *on_ask(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct endpoint *to, struct gw_caller *who)
{
    struct api_error e;
    int64_t wait_ms = 0;
    bool fine = is_proper(app, ask, to, to->any_type, &e);
    if (fine)
        fine = gw_caller_enter(who, tg_mono_ns(), &e, &wait_ms);
    if (fine)
        return gw_exchange_new(app, rq, ask, to->dialect, who);
    gw_gate_refuse(app, rq, ask, to->dialect, who, &e, wait_ms);
    gw_caller_free(who);
    return NULL;
}

static void *on_govern(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                       const struct endpoint *to, const struct api_dialect *dialect)
{
    struct api_error e;
    if (is_proper(app, ask, to, ask->body.n == 0, &e))
        return to->govern(app, rq, ask);
    gw_router_refuse(app, rq, dialect, &e);
    return NULL;
}

static void on_health(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                      const struct gw_caller *who)
{
    struct tg_buf out;
    (void)ask;
    (void)who;
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
    { "/v1/responses", "POST", .dialect = &oai_responses },
    { "/v1/responses/input_tokens", "POST", .dialect = &oai_count },
    { "/v1/responses", "GET", .answer = gw_responses_get, .inside = true },
    { "/v1/responses", "DELETE", .answer = gw_responses_remove, .inside = true },
    { "/v1/responses", "POST", .answer = gw_responses_post, .inside = true },
    { "/v1/completions", "POST", .dialect = &oai_text },
    { "/v1/embeddings", "POST", .dialect = &oai_vectors },
    { "/v1/messages", "POST", .dialect = &ant_messages },
    { "/v1/messages/count_tokens", "POST", .dialect = &ant_count },
    { "/v1/models", "GET", .answer = gw_models_answer, .below = true },
    { "/healthz", "GET", .answer = on_health, .access = GW_BY_ANYONE },
    { "/metrics", "GET", .answer = gw_metrics_answer, .access = GW_BY_EITHER },
    { "/admin/keys", NULL, .govern = gw_admin_keys, .access = GW_BY_ADMIN, .below = true },
    { "/admin/reload", NULL, .govern = gw_admin_reload, .access = GW_BY_ADMIN },
    { "/api/chat", "POST", .dialect = &oll_chat, .any_type = true },
    { "/api/generate", "POST", .dialect = &oll_generate, .any_type = true },
    { "/api/tags", "GET", .answer = gw_ollama_tags },
    { "/api/ps", "GET", .answer = gw_ollama_ps },
    { "/api/show", "POST", .answer = gw_ollama_show },
    { "/api/version", "GET", .answer = gw_ollama_version },
    { "/api/embed", "POST", .dialect = &oll_embed, .any_type = true },
    { "/api/embeddings", "POST", .dialect = &oll_embeddings, .any_type = true },
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
    bool below = (e->below || e->inside) && is_below(ask->path, e->path);
    return below || (!e->inside && tg_str_eq(ask->path, tg_str_of(e->path)));
}

/* Whose errors the client reads. e may be NULL. */
static const struct api_dialect *dialect_of(const struct gw_ask *ask, const struct endpoint *e)
{
    if (e && e->dialect)
        return e->dialect;
    if (is_below(ask->path, "/api"))
        return &oll_chat;
    if (is_below(ask->path, "/v1/responses"))
        return &oai_responses;
    return is_below(ask->path, "/v1/messages") ? &ant_messages : gw_dialect_asked(ask);
}

enum { METHODS_TEXT = 64 };

/* "GET, HEAD, POST, OPTIONS": what a path takes; at "*" the server. */
static void list_methods(const struct gw_ask *ask, char out[METHODS_TEXT])
{
    static const char *const names[] = { "GET", "POST", "DELETE" };
    size_t n = 0;
    bool star = tg_str_eq(ask->path, TG_STR("*"));
    for (size_t m = 0; m < sizeof(names) / sizeof(*names); m++) {
        bool taken = false;
        for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++)
            taken = taken || ((star || is_at(ask, &endpoints[i])) && endpoints[i].method &&
                              strcmp(endpoints[i].method, names[m]) == 0);
        if (taken)
            n += (size_t)snprintf(out + n, METHODS_TEXT - n, "%s, %s", names[m],
                                  m == 0 ? "HEAD, " : "");
    }
    snprintf(out + n, METHODS_TEXT - n, "OPTIONS");
}

static bool takes(const struct endpoint *e, const struct gw_ask *ask)
{
    return !e->method || tg_str_eq(ask->method, tg_str_of(e->method)) ||
           (ask->head && strcmp(e->method, "GET") == 0);
}

/* What is at that path: the line that takes the method, else any other. The listener of the admin
 * API has nothing else. */
static const struct endpoint *find(const struct gw_door *door, const struct gw_ask *ask)
{
    const struct endpoint *found = NULL;
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++) {
        const struct endpoint *e = &endpoints[i];
        if (!is_at(ask, e) || (door->admin && e->access == GW_BY_KEY))
            continue;
        if (takes(e, ask))
            return e;
        found = e;
    }
    return found;
}

static bool is_v1_of(struct tg_str whole, struct tg_str tail)
{
    return tail.n > 1 && whole.n == tail.n + 3 && memcmp(whole.p, "/v1", 3) == 0 &&
           memcmp(whole.p + 3, tail.p, tail.n) == 0;
}

/* The commonest mistake with a base URL: /v1 is lacking, or one too many. */
static const char *base_hint(struct tg_str path)
{
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++) {
        struct tg_str served = tg_str_of(endpoints[i].path);
        if (is_v1_of(served, path))
            return "this client's base URL has to end with /v1; ";
        if (is_v1_of(path, served))
            return "this client's base URL has to end without /v1; ";
    }
    return "";
}

static void refuse_path(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                        const struct endpoint *found)
{
    struct api_error e = gw_failure(404, "invalid_request_error", "not_found",
                                    "nothing is served at %.*s; %ssee POST "
                                    "/v1/chat/completions, POST /v1/responses, POST "
                                    "/v1/messages, POST /api/chat, GET /v1/models, GET /healthz",
                                    TG_FMT(ask->path), base_hint(ask->path));
    if (found) {
        char allowed[METHODS_TEXT];
        list_methods(ask, allowed);
        e = gw_failure(405, "invalid_request_error", "method_not_allowed",
                       "%.*s takes %s", TG_FMT(ask->path), allowed);
        gw_http_header(rq, "allow", tg_str_of(allowed));
    }
    gw_router_refuse(app, rq, dialect_of(ask, found), &e);
}

/* Before any key is looked at: a preflight brings none. False: nothing is served there, or the
 * admin API has to say. */
static bool on_options(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                       const struct endpoint *found)
{
    const struct cfg_cors *cors = pages_of(app, found);
    char methods[METHODS_TEXT];
    bool here = found ? found->access != GW_BY_ADMIN : tg_str_eq(ask->path, TG_STR("*"));
    if (!here || !tg_str_eq(ask->method, TG_STR("OPTIONS")))
        return false;
    enum gw_origin origin = gw_cors_origin(cors, gw_header_of(ask, "origin"));
    if (gw_cors_is_preflight(ask) && origin == GW_ORIGIN_FOREIGN) {
        struct api_error e = foreign_page();
        gw_router_refuse(app, rq, dialect_of(ask, found), &e);
        return true;
    }
    list_methods(ask, methods);
    if (gw_cors_is_preflight(ask) && origin == GW_ORIGIN_LISTED)
        gw_cors_permit(cors, rq, ask, methods);
    gw_http_header(rq, "allow", tg_str_of(methods));
    gw_http_respond(rq, 204, NULL, TG_STR(""));
    return true;
}

static void *on_request(void *arg, struct gw_request *rq, const struct gw_ask *ask)
{
    struct gw_door *door = arg;
    struct gw_app *app = door->app;
    const struct endpoint *found = find(door, ask);
    struct gw_caller who;
    struct api_error e;
    gw_cors_mark(pages_of(app, found), rq, ask);
    if (on_options(app, rq, ask, found))
        return NULL;
    if (!found || !takes(found, ask)) {
        refuse_path(app, rq, ask, found);
        return NULL;
    }
    if (!gw_gate(door, ask, found->access, &who, &e)) {
        gw_gate_refuse(app, rq, ask, dialect_of(ask, found), &who, &e, 0);
        gw_caller_free(&who);
        return NULL;
    }
    tg_turn_mark(found->path);
    if (found->dialect)
        return on_ask(app, rq, ask, found, &who);
    if (found->govern)
        return on_govern(app, rq, ask, found, dialect_of(ask, found));
    found->answer(app, rq, ask, &who);
    gw_caller_free(&who);
    return NULL;
}

/* Who has no right to ask has none to be listened to, and who is too late for an answer need not
 * send more. */
static bool admits(void *arg, const struct gw_ask *head)
{
    struct gw_door *door = arg;
    const struct endpoint *found = find(door, head);
    struct gw_caller who;
    struct api_error e;
    if (!found || !takes(found, head))
        return true;
    if (door->app->ending && found->dialect)
        return false;
    bool fine = gw_gate(door, head, found->access, &who, &e);
    gw_caller_free(&who);
    return fine;
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
    struct gw_door *door = arg;
    (void)rq;
    if (context && !gw_admin_gone(door->app, context))
        gw_exchange_gone(context);
}

static void on_writable(void *arg, struct gw_request *rq, void *context)
{
    (void)arg;
    (void)rq;
    if (context)
        gw_exchange_writable(context);
}

struct gw_http_handlers gw_router(struct gw_door *door)
{
    return (struct gw_http_handlers){
        .arg = door, .on_request = on_request, .admits = admits, .on_gone = on_gone,
        .on_writable = on_writable, .refusal = print_refusal,
    };
}

#include "gateway/ollama_site.h"

#include <stdio.h>

#include "gateway/api/ollama.h"
#include "gateway/exchange.h"
#include "policy/choose.h"

enum { SITE_TEXT_MAX = 1 << 20, SITE_ARENA_MAX = 1 << 20 };

static void respond(struct gw_app *app, struct gw_request *rq, struct tg_buf *out)
{
    struct api_error e = gw_failure(503, "server_error", NULL, "out of memory");
    if (out->failed)
        gw_router_refuse(app, rq, &oll_chat, &e);
    else
        gw_http_respond(rq, 200, "application/json", tg_buf_str(out));
    tg_buf_free(out);
}

/* Every route begins with the local model, so that it is what all names stand for. */
static struct oll_model model_of(const struct gw_app *app, const char *name)
{
    struct le_engine_facts facts = le_engine_facts(app->engine);
    struct oll_model m = {
        .name = name,
        .family = facts.family,
        .quantization = facts.type,
        .digest = app->model_hash,
        .parameters = facts.parameters,
        .bytes = facts.bytes,
        .modified_s = app->started_s,
        .context = le_engine_context(app->engine),
        .thinks = !app->never_thinks,
        .on_gpu = strcmp(le_engine_device_kind(app->engine), "cpu") != 0,
    };
    struct le_file_id file;
    if (le_engine_file(app->engine, 0, &file))
        m.modified_s = file.modified.tv_sec;
    return m;
}

void gw_ollama_root(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct gw_caller *who)
{
    (void)app;
    (void)ask;
    (void)who;
    gw_http_respond(rq, 200, "text/plain; charset=utf-8",
                    TG_STR("Tollgate, for clients that look for \"Ollama is running\"\n"));
}

void gw_ollama_tags(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct gw_caller *who)
{
    const char *names[POL_NAMES_MAX];
    struct oll_model models[POL_NAMES_MAX];
    struct tg_buf out;
    size_t n = gw_caller_names(who, app->now->settings, false, names);
    (void)ask;
    for (size_t i = 0; i < n; i++)
        models[i] = model_of(app, names[i]);
    tg_buf_init(&out, SITE_TEXT_MAX);
    oll_tags_print(models, n, &out);
    respond(app, rq, &out);
}

void gw_ollama_ps(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                  const struct gw_caller *who)
{
    struct oll_model m = model_of(app, "local");
    struct tg_buf out;
    (void)ask;
    (void)who;
    tg_buf_init(&out, SITE_TEXT_MAX);
    oll_ps_print(&m, &out);
    respond(app, rq, &out);
}

void gw_ollama_version(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                       const struct gw_caller *who)
{
    struct tg_buf out;
    (void)ask;
    (void)who;
    tg_buf_init(&out, SITE_TEXT_MAX);
    oll_version_print(TG_VERSION, &out);
    respond(app, rq, &out);
}

/* What name stands for: the local model, or a provider's, of which no details are known. */
static bool find_model(const struct gw_app *app, const struct gw_caller *who, struct tg_str name,
                       struct oll_model *out)
{
    struct pol_choice choice;
    if (!gw_caller_choose(who, app->now->settings, name, &choice))
        return false;
    *out = choice.provider.n ? (struct oll_model){ .modified_s = app->started_s,
                                                   .remote = choice.model }
                             : model_of(app, "");
    return true;
}

void gw_ollama_show(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct gw_caller *who)
{
    struct tg_arena *arena = tg_arena_new(SITE_ARENA_MAX);
    struct api_error e = gw_failure(503, "server_error", NULL, "out of memory");
    struct tg_str name = { NULL, 0 };
    struct oll_model m;
    enum tg_status status = arena ? oll_show_decode(ask->body, arena, &name, &e) : TG_NOMEM;
    if (status == TG_OK && !find_model(app, who, name, &m)) {
        status = TG_NOTFOUND;
        e = gw_failure(404, "invalid_request_error", "model_not_found",
                       "model \"%.*s\" not found; GET /api/tags lists the models", TG_FMT(name));
    }
    if (status) {
        gw_router_refuse(app, rq, &oll_chat, &e);
    } else {
        struct tg_buf out;
        tg_buf_init(&out, SITE_TEXT_MAX);
        oll_show_print(&m, &out);
        respond(app, rq, &out);
    }
    tg_arena_free(arena);
}

void gw_ollama_not_here(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                        const struct gw_caller *who)
{
    static const struct {
        const char *path, *instead;
    } rows[] = {
        { "/api/pull", "fetch a model with `tollgate pull NAME` and set engine.model in the "
                       "configuration" },
        { "/api/create", "set engine.model in the configuration to a GGUF file" },
        { "/api/delete", "remove the model's file from modelDir" },
        { "/api/copy", "name a route in the configuration" },
        { "/api/push", "Tollgate publishes no models" },
    };
    const char *instead = "";
    (void)who;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (tg_str_eq(ask->path, tg_str_of(rows[i].path)))
            instead = rows[i].instead;
    struct api_error e = gw_failure(501, "invalid_request_error", "not_implemented",
                                    "%.*s is not served: %s", TG_FMT(ask->path), instead);
    gw_router_refuse(app, rq, &oll_chat, &e);
}

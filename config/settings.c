#include "config/settings.h"

#include <stdlib.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/files.h"
#include "config/settings_parts.h"

#define DAY_MS INT64_C(86400000)
#define GIB (INT64_C(1) << 30)

enum { MEMORY_MAX = 16 << 20 };

enum tg_status cfg_read_path(struct cfg_reader *r, const struct tg_json *v, const char **out)
{
    const struct cfg_loading *loading = r->owner;
    const char *text;
    enum tg_status status = cfg_read_text(r, v, 1000, &text);
    if (status)
        return status;
    *out = cfg_join(r->mem, loading->folder, text);
    return *out ? TG_OK : cfg_refuse(r, TG_NOMEM, "out of memory");
}

static enum tg_status read_data_dir(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_settings *s = base;
    return cfg_read_path(r, v, &s->data_dir);
}

static enum tg_status read_model_dir(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_loading *loading = r->owner;
    (void)base;
    return cfg_read_path(r, v, &loading->model_dir);
}

static enum tg_status read_prices(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_loading *loading = r->owner;
    const char *path;
    struct tg_error cause;
    (void)base;
    enum tg_status status = cfg_read_path(r, v, &path);
    if (status)
        return status;
    status = cfg_prices_load(path, &loading->out->prices, &cause);
    return status ? cfg_refuse(r, status, "%s", cause.text) : TG_OK;
}

enum tg_status cfg_read_word(struct cfg_reader *r, const struct tg_json *v,
                             const char *const words[3], const char **out)
{
    const char *text;
    enum tg_status status = cfg_read_text(r, v, 100, &text);
    if (status)
        return status;
    for (size_t i = 0; i < 3 && words[i]; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = words[i];
            return TG_OK;
        }
    return cfg_refuse(r, TG_INVALID, "must be \"%s\"%s%s%s or \"%s\"", words[0],
                      words[2] ? ", \"" : "", words[2] ? words[1] : "", words[2] ? "\"" : "",
                      words[2] ? words[2] : words[1]);
}

static enum tg_status read_time_zone(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const char *const words[3] = { "UTC", "local" };
    struct cfg_settings *s = base;
    return cfg_read_word(r, v, words, &s->time_zone);
}

static enum tg_status read_device(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const char *const words[3] = { "auto", "cpu", "vulkan" };
    struct cfg_settings *s = base;
    return cfg_read_word(r, v, words, &s->engine.device);
}

static enum tg_status read_precision(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const char *const words[3] = { "auto", "exact", "fast" };
    struct cfg_settings *s = base;
    return cfg_read_word(r, v, words, &s->engine.precision);
}

/* Absolute, or beside the configuration file, or in modelDir. */
static enum tg_status read_model(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    const struct cfg_loading *loading = r->owner;
    struct cfg_settings *s = base;
    const char *name, *second;
    enum tg_status status = cfg_read_text(r, v, 1000, &name);
    if (status)
        return status;
    s->engine.model = cfg_join(r->mem, loading->folder, name);
    second = loading->model_dir ? cfg_join(r->mem, loading->model_dir, name) : s->engine.model;
    if (!s->engine.model || !second)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    if (access(s->engine.model, R_OK) == 0)
        return TG_OK;
    if (access(second, R_OK) == 0) {
        s->engine.model = second;
        return TG_OK;
    }
    bool both = strcmp(s->engine.model, second) != 0;
    return cfg_refuse(r, TG_NOTFOUND, "no file that can be read at %s%s%s", s->engine.model,
                      both ? " or " : "", both ? second : "");
}

static enum tg_status read_engine(struct cfg_reader *r, const struct tg_json *v, void *base)
{
#define AT(member) offsetof(struct cfg_settings, engine.member)
    static const struct cfg_field fields[] = {
        { "model", CFG_READ, 0, 0, 0, read_model },
        { "device", CFG_READ, 0, 0, 0, read_device },
        { "context", CFG_COUNT, AT(context), 16, 1 << 20, NULL },
        { "queue", CFG_COUNT, AT(queue), 1, 4096, NULL },
        { "maxTokens", CFG_COUNT, AT(max_tokens), 1, 1 << 20, NULL },
        { "precision", CFG_READ, 0, 0, 0, read_precision },
        { "threads", CFG_COUNT, AT(threads), 1, 512, NULL },
    };
#undef AT
    return CFG_READ_OBJECT(r, v, fields, base);
}

static enum tg_status read_limits(struct cfg_reader *r, const struct tg_json *v, void *base)
{
#define AT(member) offsetof(struct cfg_limits, member)
    static const struct cfg_field fields[] = {
        { "body", CFG_BYTES, AT(body), 1024, GIB, NULL },
        { "headers", CFG_BYTES, AT(headers), 1024, 1 << 20, NULL },
        { "headerTimeout", CFG_TIME, AT(header_timeout_ms), 1, DAY_MS, NULL },
        { "bodyTimeout", CFG_TIME, AT(body_timeout_ms), 1, DAY_MS, NULL },
        { "idleTimeout", CFG_TIME, AT(idle_timeout_ms), 1, DAY_MS, NULL },
        { "writeTimeout", CFG_TIME, AT(write_timeout_ms), 1, DAY_MS, NULL },
        { "connections", CFG_COUNT, AT(connections), 1, CFG_CONNECTIONS_MAX, NULL },
        { "drain", CFG_TIME, AT(drain_ms), 0, DAY_MS, NULL },
        { "bodiesInFlight", CFG_BYTES, AT(bodies_in_flight), 1024, 1024 * GIB, NULL },
        { "media", CFG_READ, 0, 0, 0, cfg_read_media_limits },
    };
#undef AT
    struct cfg_limits *limits = &((struct cfg_settings *)base)->limits;
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, limits);
    if (status || limits->bodies_in_flight >= limits->body)
        return status;
    return cfg_refuse(r, TG_INVALID, "bodiesInFlight must be at least body");
}

static enum tg_status read_responses(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const struct cfg_field fields[] = {
        { "maxBytes", CFG_BYTES, offsetof(struct cfg_responses, max_bytes), 0, 1024 * GIB, NULL },
        { "ttl", CFG_TIME, offsetof(struct cfg_responses, ttl_ms), 1, 366 * DAY_MS, NULL },
    };
    return CFG_READ_OBJECT(r, v, fields, &((struct cfg_settings *)base)->responses);
}

static enum tg_status read_top(struct cfg_reader *r, const struct tg_json *root,
                               struct cfg_settings *s)
{
    /* The order matters: a later one looks up what an earlier one has read. */
    static const struct cfg_field fields[] = {
        { "listen", CFG_READ, 0, 0, 0, cfg_read_listen },
        { "admin", CFG_READ, 0, 0, 0, cfg_read_admin },
        { "tls", CFG_READ, 0, 0, 0, cfg_read_tls },
        { "cors", CFG_READ, 0, 0, 0, cfg_read_cors },
        { "dataDir", CFG_READ, 0, 0, 0, read_data_dir },
        { "modelDir", CFG_READ, 0, 0, 0, read_model_dir },
        { "timeZone", CFG_READ, 0, 0, 0, read_time_zone },
        { "heartbeat", CFG_TIME, offsetof(struct cfg_settings, heartbeat_ms), 10, DAY_MS, NULL },
        { "prices", CFG_READ, 0, 0, 0, read_prices },
        { "engine", CFG_READ, 0, 0, 0, read_engine },
        { "providers", CFG_READ, 0, 0, 0, cfg_read_providers },
        { "routes", CFG_READ, 0, 0, 0, cfg_read_routes },
        { "aliases", CFG_READ, 0, 0, 0, cfg_read_aliases },
        { "limits", CFG_READ, 0, 0, 0, read_limits },
        { "responses", CFG_READ, 0, 0, 0, read_responses },
        { "media", CFG_READ, 0, 0, 0, cfg_read_media },
    };
    return CFG_READ_OBJECT(r, root, fields, s);
}

static void set_defaults(struct cfg_settings *s)
{
    s->listen_host = "127.0.0.1";
    s->listen_port = 8080;
    s->time_zone = "UTC";
    s->heartbeat_ms = 15000;
    s->cors.max_age_ms = 600000;
    s->engine.device = "auto";
    s->engine.precision = "auto";
    s->engine.queue = 1024;
    s->engine.max_tokens = 1024;
    s->limits = (struct cfg_limits){ .body = 32 << 20,
                                     .headers = 64 << 10,
                                     .header_timeout_ms = 10000,
                                     .body_timeout_ms = 60000,
                                     .idle_timeout_ms = 75000,
                                     .write_timeout_ms = 60000,
                                     .drain_ms = 30000,
                                     .connections = 4096,
                                     .bodies_in_flight = 256 << 20 };
    s->responses = (struct cfg_responses){ .max_bytes = 64 << 20, .ttl_ms = DAY_MS };
    cfg_default_media(s);
}

/* What the file left open. */
static enum tg_status complete(struct cfg_reader *r, struct cfg_settings *s)
{
    const struct cfg_loading *loading = r->owner;
    if (!s->engine.model)
        return cfg_refuse(r, TG_INVALID, "engine.model: needed: the GGUF file that answers");
    if (!s->data_dir)
        s->data_dir = cfg_user_folder(r->mem, "XDG_STATE_HOME", ".local/state", "tollgate");
    if (!s->data_dir)
        return cfg_refuse(r, TG_INVALID, "dataDir: needed, since HOME is not set");
    if (s->n_routes == 0)
        cfg_default_route(&s->routes[s->n_routes++]);
    s->prices_version =
        tg_arena_str(r->mem, tg_str_of(cfg_prices_version(loading->out->prices))).p;
    return s->prices_version ? TG_OK : cfg_refuse(r, TG_NOMEM, "out of memory");
}

static enum tg_status read_all(struct cfg_reader *r, struct tg_str text, struct cfg_settings *s)
{
    struct cfg_loading *loading = r->owner;
    struct tg_json *root = NULL;
    struct tg_error cause;
    loading->folder = cfg_folder_of(r->mem, r->file);
    if (!loading->folder)
        return cfg_refuse(r, TG_NOTFOUND, "its folder cannot be found");
    loading->model_dir = cfg_user_folder(r->mem, "XDG_DATA_HOME", ".local/share",
                                         "tollgate/models");
    enum tg_status status = tg_json_parse(text, &root, &cause);
    if (status == TG_OK && !tg_json_get(root, "prices"))
        status = cfg_prices_load(NULL, &loading->out->prices, &cause);
    if (status)
        cfg_refuse(r, status, "%s", cause.text);
    else
        status = read_top(r, root, s);
    if (status == TG_OK)
        status = complete(r, s);
    tg_json_free(root);
    return status;
}

enum tg_status cfg_parse(struct tg_str text, const char *path, struct cfg_settings **out,
                         struct tg_error *err)
{
    *out = NULL;
    struct tg_arena *mem = tg_arena_new(MEMORY_MAX);
    struct cfg_settings *s = mem ? tg_arena_alloc(mem, 1, sizeof(*s)) : NULL;
    const char *name = s ? tg_arena_str(mem, tg_str_of(path)).p : NULL;
    struct cfg_prices *own = name ? tg_arena_alloc(mem, 1, sizeof(*own)) : NULL;
    if (!own) {
        tg_arena_free(mem);
        return tg_fail(err, TG_NOMEM, "%s: out of memory", path);
    }
    s->memory = mem;
    s->path = name;
    s->own_prices = own;
    set_defaults(s);
    struct cfg_loading loading = { .out = s };
    struct cfg_reader r = { .file = name, .mem = mem, .err = err, .owner = &loading };
    enum tg_status status = read_all(&r, text, s);
    if (status)
        cfg_free(s);
    else
        *out = s;
    return status;
}

enum tg_status cfg_load(const char *path, struct cfg_settings **out, struct tg_error *err)
{
    struct tg_buf text;
    const char *cause = NULL;
    *out = NULL;
    tg_buf_init(&text, CFG_FILE_MAX);
    enum tg_status status = cfg_read_file(path, false, &text, &cause);
    if (status)
        tg_fail(err, status, "%s: %s", path, cause);
    else
        status = cfg_parse(tg_buf_str(&text), path, out, err);
    tg_buf_free(&text);
    return status;
}

void cfg_free(struct cfg_settings *s)
{
    if (!s)
        return;
    cfg_prices_free(s->prices);
    tg_arena_free(s->memory);
}

struct cfg_price cfg_price_for(const struct cfg_settings *s, struct tg_str provider,
                               struct tg_str model)
{
    struct cfg_price own = cfg_price_of(s->own_prices, provider, model);
    return own.known ? own : cfg_price_of(s->prices, provider, model);
}

const char *cfg_restart_needed(const struct cfg_settings *now, const struct cfg_settings *next)
{
    if (strcmp(now->listen_host, next->listen_host) != 0 || now->listen_port != next->listen_port)
        return "listen";
    bool admin = now->admin.listen_host && next->admin.listen_host;
    if (!now->admin.listen_host != !next->admin.listen_host ||
        (admin && strcmp(now->admin.listen_host, next->admin.listen_host) != 0) ||
        now->admin.listen_port != next->admin.listen_port)
        return "admin.listen";
    if (strcmp(now->data_dir, next->data_dir) != 0)
        return "dataDir";
    if (strcmp(now->time_zone, next->time_zone) != 0)
        return "timeZone";
    if (strcmp(now->engine.model, next->engine.model) != 0)
        return "engine.model";
    if (strcmp(now->engine.device, next->engine.device) != 0)
        return "engine.device";
    if (strcmp(now->engine.precision, next->engine.precision) != 0)
        return "engine.precision";
    if (now->engine.threads != next->engine.threads)
        return "engine.threads";
    if (now->engine.context != next->engine.context)
        return "engine.context";
    if (now->engine.queue != next->engine.queue)
        return "engine.queue";
    return NULL;
}

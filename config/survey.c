#include "config/survey.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "config/base/json.h"
#include "config/base/log.h"
#include "config/files.h"
#include "config/settings.h"

enum { MEMORY_MAX = 4 << 20, SECRET_MAX = 8192 };

/* The text of a member as a copy; NULL: no string, empty, or out of memory (*failed). */
static const char *text_of(struct tg_arena *mem, const struct tg_json *v, const char *key,
                           bool *failed)
{
    struct tg_str s;
    if (!tg_json_string(tg_json_get(v, key), &s) || s.n == 0)
        return NULL;
    const char *copy = tg_arena_str(mem, s).p;
    *failed = *failed || !copy;
    return copy;
}

static const char *path_of(struct tg_arena *mem, const char *folder, const struct tg_json *v,
                           const char *key, const char *otherwise, bool *failed)
{
    const char *text = text_of(mem, v, key, failed);
    if (!text)
        return otherwise;
    const char *path = cfg_join(mem, folder, text);
    *failed = *failed || !path;
    return path;
}

static void read_listen(struct cfg_survey *s, const struct tg_json *root, bool *failed)
{
    const char *text = text_of(s->memory, root, "listen", failed);
    const char *colon = text ? strrchr(text, ':') : NULL;
    uint64_t port;
    if (!colon || !tg_parse_u64(tg_str_of(colon + 1), &port) || port > 65535)
        return;
    struct tg_str host = { text, (size_t)(colon - text) };
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct tg_str){ text + 1, host.n - 2 };
    if (tg_str_eq(host, TG_STR("localhost")))
        host = TG_STR("127.0.0.1");
    s->listen_host = tg_arena_str(s->memory, host).p;
    s->listen_port = (uint16_t)port;
    *failed = *failed || !s->listen_host;
}

static enum cfg_key_state state_of(struct tg_str secret)
{
    return tg_str_trim(secret).n ? CFG_KEY_SET : CFG_KEY_EMPTY;
}

static enum cfg_key_state look_into(const char *path)
{
    struct tg_buf text;
    const char *cause;
    tg_buf_init(&text, SECRET_MAX);
    enum tg_status status = cfg_read_file(path, true, &text, &cause);
    enum cfg_key_state state = status == TG_OK         ? state_of(tg_buf_str(&text))
                               : status == TG_NOTFOUND ? CFG_KEY_MISSING
                                                       : CFG_KEY_UNREADABLE;
    if (text.p)
        memset(text.p, 0, text.n);
    tg_buf_free(&text);
    return state;
}

/* The reference v that stands at BEFORE NAME AFTER. */
static void read_key(struct cfg_survey *s, const char *folder, const char *const at[3],
                     const struct tg_json *v, bool *failed)
{
    struct cfg_key *key = &s->keys[s->n_keys++];
    struct tg_buf path;
    tg_buf_init(&path, 400);
    tg_buf_addf(&path, "%s%.200s%s", at[0], at[1], at[2]);
    key->path = path.failed ? NULL : tg_arena_str(s->memory, tg_buf_str(&path)).p;
    tg_buf_free(&path);
    const char *env = text_of(s->memory, v, "env", failed);
    const char *file = path_of(s->memory, folder, v, "file", NULL, failed);
    *failed = *failed || !key->path;
    key->is_file = file != NULL;
    key->from = file ? file : env ? env : "";
    key->state = CFG_KEY_ODD;
    if (file && !env)
        key->state = look_into(file);
    if (env && !file) {
        const char *value = getenv(env);
        key->state = value ? state_of(tg_str_of(value)) : CFG_KEY_MISSING;
    }
}

static void read_keys(struct cfg_survey *s, const char *folder, const struct tg_json *root,
                      bool *failed)
{
    const struct tg_json *all = tg_json_get(root, "providers");
    for (const struct tg_json *p = tg_json_first(all); p; p = tg_json_next(p)) {
        const struct tg_json *key = tg_json_get(p, "apiKey");
        const char *const at[] = { "providers.", tg_json_key(p), ".apiKey" };
        if (key && at[1] && s->n_keys < CFG_KEYS_MAX)
            read_key(s, folder, at, key, failed);
    }
    const struct tg_json *admin = tg_json_get(tg_json_get(root, "admin"), "key");
    if (admin && s->n_keys < CFG_KEYS_MAX)
        read_key(s, folder, (const char *const[]){ "", "admin", ".key" }, admin, failed);
}

static bool read_root(struct cfg_survey *s, const char *folder, const struct tg_json *root)
{
    struct tg_arena *mem = s->memory;
    bool failed = false;
    const struct tg_json *engine = tg_json_get(root, "engine");
    s->model_dir = path_of(mem, folder, root, "modelDir", s->model_dir, &failed);
    s->data_dir = path_of(mem, folder, root, "dataDir", s->data_dir, &failed);
    const char *zone = text_of(mem, root, "timeZone", &failed);
    if (zone && strcmp(zone, "local") == 0)
        s->time_zone = zone;
    const char *device = text_of(mem, engine, "device", &failed);
    s->device = device ? device : s->device;
    int64_t context;
    if (tg_json_int(tg_json_get(engine, "context"), &context) && context > 0 &&
        context <= UINT32_MAX)
        s->context = (uint32_t)context;
    s->model = text_of(mem, engine, "model", &failed);
    if (s->model) {
        s->model_found[0] = cfg_join(mem, folder, s->model);
        if (s->model_dir && s->model[0] != '/')
            s->model_found[1] = cfg_join(mem, s->model_dir, s->model);
        failed = failed || !s->model_found[0];
    }
    const struct tg_json *tls = tg_json_get(root, "tls");
    s->tls.certificate = path_of(mem, folder, tls, "certificate", NULL, &failed);
    s->tls.key = path_of(mem, folder, tls, "key", NULL, &failed);
    s->tls.client_ca = path_of(mem, folder, tls, "clientCa", NULL, &failed);
    read_listen(s, root, &failed);
    read_keys(s, folder, root, &failed);
    return !failed;
}

static enum tg_status read_file(struct cfg_survey *s, struct tg_error *err)
{
    struct tg_buf text;
    struct tg_json *root = NULL;
    struct tg_error why;
    const char *cause = NULL;
    tg_buf_init(&text, CFG_FILE_MAX);
    enum tg_status status = cfg_read_file(s->path, false, &text, &cause);
    if (status) {
        tg_fail(err, status, "%s: %s", s->path, cause);
    } else {
        status = tg_json_parse(tg_buf_str(&text), &root, &why);
        if (status)
            tg_fail(err, status, "%s: %s", s->path, why.text);
        else if (!tg_json_is(root, TG_JSON_OBJECT))
            status = tg_fail(err, TG_INVALID, "%s: must be an object", s->path);
    }
    tg_buf_free(&text);
    const char *folder = status ? NULL : cfg_folder_of(s->memory, s->path);
    if (!status && (!folder || !read_root(s, folder, root)))
        status = tg_fail(err, TG_NOMEM, "%s: out of memory", s->path);
    tg_json_free(root);
    return status;
}

enum tg_status cfg_survey(const char *path, struct cfg_survey **out, struct tg_error *err)
{
    *out = NULL;
    struct tg_arena *mem = tg_arena_new(MEMORY_MAX);
    struct cfg_survey *s = mem ? tg_arena_alloc(mem, 1, sizeof(*s)) : NULL;
    if (!s) {
        tg_arena_free(mem);
        return tg_fail(err, TG_NOMEM, "out of memory");
    }
    s->memory = mem;
    s->listen_host = "127.0.0.1";
    s->listen_port = 8080;
    s->time_zone = "UTC";
    s->device = "auto";
    s->model_dir = cfg_user_folder(mem, "XDG_DATA_HOME", ".local/share", "tollgate/models");
    s->data_dir = cfg_user_folder(mem, "XDG_STATE_HOME", ".local/state", "tollgate");
    s->path = path ? tg_arena_str(mem, tg_str_of(path)).p : NULL;
    enum tg_status status = path && !s->path ? tg_fail(err, TG_NOMEM, "out of memory") : TG_OK;
    if (status == TG_OK && path)
        status = read_file(s, err);
    if (status == TG_NOMEM)
        cfg_survey_free(s);
    else
        *out = s;
    return status;
}

void cfg_survey_free(struct cfg_survey *s)
{
    if (s)
        tg_arena_free(s->memory);
}

enum tg_status cfg_token(const char *variable, char **out, struct tg_error *err)
{
    const char *value = getenv(variable);
    *out = NULL;
    struct tg_str token = tg_str_trim(tg_str_of(value ? value : ""));
    if (token.n == 0)
        return TG_OK;
    for (size_t i = 0; i < token.n; i++)
        if (token.p[i] <= 0x20 || token.p[i] >= 0x7F || token.n > SECRET_MAX)
            return tg_fail(err, TG_INVALID,
                           "the environment variable %s has a character that no "
                           "token has, or is too long",
                           variable);
    *out = tg_strndup(token.p, token.n);
    if (*out && tg_log_secret(token) == TG_OK)
        return TG_OK;
    tg_free(*out);
    *out = NULL;
    return tg_fail(err, TG_NOMEM, "out of memory");
}

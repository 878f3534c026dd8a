#include "config/settings_parts.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "config/files.h"
#include "config/host.h"

enum { SECRET_MAX = 8192, NAME_MAX_BYTES = 64, URL_MAX = 1000 };

#define DAY_MS INT64_C(86400000)

enum tg_status cfg_check_name(struct cfg_reader *r, const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX_BYTES || strspn(name, allowed) != n)
        return cfg_refuse(r, TG_INVALID, "a name has 1 to 64 of A-Z a-z 0-9 . _ -");
    return TG_OK;
}

/* A secret goes into a header: printable ASCII without spaces, or the provider would be sent
 * nonsense (and a line break would add a header). */
static enum tg_status keep_secret(struct cfg_reader *r, struct tg_str secret, const char *from,
                                  const char **out)
{
    secret = tg_str_trim(secret);
    if (secret.n == 0)
        return cfg_refuse(r, TG_INVALID, "%s is empty", from);
    for (size_t i = 0; i < secret.n; i++)
        if (secret.p[i] <= 0x20 || secret.p[i] >= 0x7F)
            return cfg_refuse(r, TG_INVALID, "%s has a character that no key has", from);
    *out = tg_arena_str(r->mem, secret).p;
    if (!*out || tg_log_secret(secret))
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    return TG_OK;
}

static enum tg_status secret_from_file(struct cfg_reader *r, const char *name, const char **out)
{
    const struct cfg_loading *loading = r->owner;
    const char *path = cfg_join(r->mem, loading->folder, name), *cause = NULL;
    if (!path)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    struct tg_buf text;
    tg_buf_init(&text, SECRET_MAX);
    enum tg_status status = cfg_read_file(path, true, &text, &cause);
    if (status)
        cfg_refuse(r, status, "%s: %s", path, cause);
    else
        status = keep_secret(r, tg_buf_str(&text), "the file", out);
    tg_buf_free(&text);
    return status;
}

static bool is_variable(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    return strspn(name, allowed) == strlen(name) && !(name[0] >= '0' && name[0] <= '9');
}

struct secret_source {
    const char *env, *file;
};

enum tg_status cfg_read_secret(struct cfg_reader *r, const struct tg_json *v, const char **out)
{
    static const struct cfg_field fields[] = {
        { "env", CFG_TEXT, offsetof(struct secret_source, env), 0, 200, NULL },
        { "file", CFG_TEXT, offsetof(struct secret_source, file), 0, 0, NULL },
    };
    struct secret_source from = { NULL, NULL };
    if (tg_json_is(v, TG_JSON_STRING)) /* and never print it */
        return cfg_refuse(r, TG_INVALID, "a secret is not written here: use {\"env\": \"NAME\"} or "
                                         "{\"file\": \"PATH\"}");
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, &from);
    if (status)
        return status;
    if (!from.env == !from.file)
        return cfg_refuse(r, TG_INVALID, "needs either \"env\" or \"file\"");
    if (from.file)
        return secret_from_file(r, from.file, out);
    if (!is_variable(from.env)) /* surely the key itself: not shown */
        return cfg_refuse(r, TG_INVALID, "\"env\" is not the name of an environment variable "
                                         "(A-Z a-z 0-9 _): the key itself is not written here");
    const char *value = getenv(from.env);
    if (!value)
        return cfg_refuse(r, TG_NOTFOUND, "the environment variable %s is not set", from.env);
    return keep_secret(r, tg_str_of(value), "the environment variable", out);
}

/* HOST or HOST:PORT or [V6]:PORT. False when malformed. */
static bool split_authority(struct tg_str authority, struct tg_str *host)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    const char *end = authority.p + authority.n, *p = authority.p;
    if (authority.n && *p == '[') {
        while (p < end && *p != ']')
            p++;
        *host = (struct tg_str){ authority.p + 1, (size_t)(p - authority.p) - 1 };
        if (p++ == end)
            return false;
    } else {
        while (p < end && *p != ':' && strchr(allowed, *p))
            p++;
        *host = (struct tg_str){ authority.p, (size_t)(p - authority.p) };
    }
    uint64_t port = 1;
    if (p < end && (*p != ':' || !tg_parse_u64((struct tg_str){ p + 1, (size_t)(end - p) - 1 },
                                               &port)))
        return false;
    return host->n > 0 && port >= 1 && port <= 65535;
}

enum tg_status cfg_read_url(struct cfg_reader *r, const struct tg_json *v, const char **out)
{
    const char *url;
    struct tg_str host;
    enum tg_status status = cfg_read_text(r, v, URL_MAX, &url);
    if (status)
        return status;
    bool https = strncmp(url, "https://", 8) == 0, http = strncmp(url, "http://", 7) == 0;
    if (!https && !http)
        return cfg_refuse(r, TG_INVALID, "must begin with https://");
    const char *authority = url + (https ? 8 : 7);
    if (strpbrk(url, "?#@\\ \"<>^`{|}"))
        return cfg_refuse(r, TG_INVALID, "must be scheme, host, port and path only (keys go into "
                                         "apiKey)");
    if (!split_authority((struct tg_str){ authority, strcspn(authority, "/") }, &host))
        return cfg_refuse(r, TG_INVALID, "has no valid host and port");
    if (http && !cfg_is_loopback(host))
        return cfg_refuse(r, TG_INVALID, "http:// is for this machine only; use https://");
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    *out = tg_arena_str(r->mem, (struct tg_str){ url, n }).p;
    return *out ? TG_OK : cfg_refuse(r, TG_NOMEM, "out of memory");
}

static enum tg_status read_kind(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_provider *p = base;
    enum tg_status status = cfg_read_text(r, v, 64, &p->kind);
    if (status || strcmp(p->kind, "openai") == 0)
        return status;
    if (strcmp(p->kind, "anthropic") == 0 || strcmp(p->kind, "gemini") == 0)
        return cfg_refuse(r, TG_UNSUPPORTED, "not in this version; only \"openai\" is");
    return cfg_refuse(r, TG_INVALID, "must be \"openai\"");
}

static enum tg_status read_base_url(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_provider *p = base;
    return cfg_read_url(r, v, &p->base_url);
}

static enum tg_status read_api_key(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_provider *p = base;
    return cfg_read_secret(r, v, &p->api_key);
}

/* {"MODEL": price}: kept in the loading's own table as PROVIDER/MODEL. */
static enum tg_status read_own_prices(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_loading *loading = r->owner;
    const struct cfg_provider *p = base;
    struct cfg_prices *own = loading->out->own_prices;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return cfg_refuse_type(r, v, "an object");
    size_t total = own->n + tg_json_count(v);
    if (total > CFG_PRICES_MAX)
        return cfg_refuse(r, TG_LIMIT, "more than %d prices", CFG_PRICES_MAX);
    struct cfg_price_entry *entries = tg_arena_alloc(r->mem, total, sizeof(*entries));
    if (!entries)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    if (own->n)
        memcpy(entries, own->entries, own->n * sizeof(*entries));
    own->entries = entries;
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        size_t mark = cfg_path_key(r, tg_json_key(m));
        struct cfg_price_entry *entry = &entries[own->n];
        enum tg_status status = cfg_read_price(r, m, &entry->price);
        if (status)
            return status;
        const char *name = cfg_join(r->mem, p->name, tg_json_key(m));
        if (tg_json_key(m)[0] == '/' || !tg_json_key(m)[0])
            return cfg_refuse(r, TG_INVALID, "a model's name must not be empty or begin with '/'");
        if (!name)
            return cfg_refuse(r, TG_NOMEM, "out of memory");
        entry->name = tg_str_of(name);
        own->n++;
        cfg_path_back(r, mark);
    }
    return TG_OK;
}

static enum tg_status read_provider(struct cfg_reader *r, const struct tg_json *v,
                                    struct cfg_provider *p)
{
#define AT(member) offsetof(struct cfg_provider, member)
    static const struct cfg_field fields[] = {
        { "kind", CFG_READ, 0, 0, 0, read_kind },
        { "baseUrl", CFG_READ, 0, 0, 0, read_base_url },
        { "apiKey", CFG_READ, 0, 0, 0, read_api_key },
        { "connectTimeout", CFG_TIME, AT(connect_timeout_ms), 1, DAY_MS, NULL },
        { "idleTimeout", CFG_TIME, AT(idle_timeout_ms), 1, DAY_MS, NULL },
        { "timeout", CFG_TIME, AT(timeout_ms), 1, DAY_MS, NULL },
        { "prices", CFG_READ, 0, 0, 0, read_own_prices },
    };
#undef AT
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, p);
    if (status)
        return status;
    if (!p->kind)
        return cfg_refuse(r, TG_INVALID, "needs \"kind\": \"openai\"");
    if (!p->base_url && !p->api_key)
        return cfg_refuse(r, TG_INVALID,
                          "needs \"apiKey\": {\"env\": \"NAME\"}, or the \"baseUrl\" "
                          "of a server that takes none");
    if (!p->base_url)
        p->base_url = "https://api.openai.com/v1";
    return TG_OK;
}

enum tg_status cfg_read_providers(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_settings *s = base;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return cfg_refuse_type(r, v, "an object");
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        if (s->n_providers == CFG_PROVIDERS_MAX)
            return cfg_refuse(r, TG_LIMIT, "has more than %d entries", CFG_PROVIDERS_MAX);
        struct cfg_provider *p = &s->providers[s->n_providers];
        size_t mark = cfg_path_key(r, tg_json_key(m));
        *p = (struct cfg_provider){ .connect_timeout_ms = 10000,
                                    .idle_timeout_ms = 60000,
                                    .timeout_ms = 600000 };
        enum tg_status status = cfg_check_name(r, tg_json_key(m));
        if (status)
            return status;
        if (strcmp(tg_json_key(m), "local") == 0 || strcmp(tg_json_key(m), "self-hosted") == 0)
            return cfg_refuse(r, TG_INVALID, "this name is taken by Tollgate itself");
        p->name = tg_arena_str(r->mem, tg_str_of(tg_json_key(m))).p;
        p->path = tg_arena_str(r->mem, (struct tg_str){ r->path, r->path_n }).p;
        if (!p->name || !p->path)
            return cfg_refuse(r, TG_NOMEM, "out of memory");
        status = read_provider(r, m, p);
        if (status)
            return status;
        s->n_providers++;
        cfg_path_back(r, mark);
    }
    return TG_OK;
}

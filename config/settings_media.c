#include "config/settings_parts.h"

#include "config/base/log.h"
#include "config/host.h"

/* Limits of images, audio and video, and whom they may be fetched from. */

enum { HOSTS_MAX = 256, HOST_MAX = 253, MEDIA_MAX = 1 << 30, REDIRECTS_MAX = 10 };

void cfg_default_media(struct cfg_settings *s)
{
    s->limits.media = (struct cfg_media_limits){ .part = 20 << 20, .total = 64 << 20, .parts = 32 };
    s->fetch = (struct cfg_fetch){ .max_bytes = 20 << 20, .timeout_ms = 10000, .redirects = 3 };
}

enum tg_status cfg_read_media_limits(struct cfg_reader *r, const struct tg_json *v, void *base)
{
#define AT(member) offsetof(struct cfg_media_limits, member)
    static const struct cfg_field fields[] = {
        { "part", CFG_BYTES, AT(part), 1024, MEDIA_MAX, NULL },
        { "total", CFG_BYTES, AT(total), 1024, MEDIA_MAX, NULL },
        { "parts", CFG_COUNT, AT(parts), 0, 4096, NULL },
    };
#undef AT
    struct cfg_media_limits *limits = &((struct cfg_limits *)base)->media;
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, limits);
    if (status || limits->total >= limits->part)
        return status;
    return cfg_refuse(r, TG_INVALID, "total must be at least part");
}

/* A name of letters, digits, '-' and '.', or an address in brackets. */
static bool is_host(struct tg_str s)
{
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        return cfg_is_address((struct tg_str){ s.p + 1, s.n - 2 });
    char before = '.';
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
        if (!word && (c != '.' || before == '.'))
            return false;
        before = c;
    }
    return s.n > 0 && s.n <= HOST_MAX && before != '.';
}

static enum tg_status read_host(struct cfg_reader *r, const struct tg_json *v,
                                struct cfg_fetch_host *out)
{
    const char *text;
    uint64_t port = 0;
    enum tg_status status = cfg_read_text(r, v, HOST_MAX + 8, &text);
    if (status)
        return status;
    struct tg_str name = tg_str_of(text);
    const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
    if (colon && colon > (bracket ? bracket : text)) {
        name.n = (size_t)(colon - text);
        if (!tg_parse_u64(tg_str_of(colon + 1), &port) || port == 0 || port > 65535)
            return cfg_refuse(r, TG_INVALID, "has a port that is not a number from 1 to 65535");
    }
    out->port = (uint16_t)port;
    out->below = name.n > 2 && name.p[0] == '*' && name.p[1] == '.';
    if (out->below)
        name = (struct tg_str){ name.p + 2, name.n - 2 };
    if (!is_host(name) || (out->below && cfg_is_address(name)))
        return cfg_refuse(r, TG_INVALID,
                          "must be a host in lower case, such as \"images.example.com\", "
                          "\"*.example.org\" or \"images.example.com:8443\", without a scheme or a "
                          "path");
    out->name = name;
    return TG_OK;
}

static enum tg_status read_hosts(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_fetch *f = base;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return cfg_refuse_type(r, v, "a list of hosts");
    size_t n = tg_json_count(v), i = 0;
    if (n == 0 || n > HOSTS_MAX)
        return cfg_refuse(r, TG_INVALID, "must have 1 to %d hosts", HOSTS_MAX);
    struct cfg_fetch_host *hosts = tg_arena_alloc(r->mem, n, sizeof(*hosts));
    if (!hosts)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        size_t mark = cfg_path_index(r, i);
        enum tg_status status = read_host(r, item, &hosts[i]);
        if (status)
            return status;
        cfg_path_back(r, mark);
    }
    f->hosts = hosts;
    f->n_hosts = n;
    return TG_OK;
}

static enum tg_status read_allow_private(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_fetch *f = base;
    return tg_json_bool(v, &f->allow_private) ? TG_OK : cfg_refuse_type(r, v, "true or false");
}

static enum tg_status read_fetch(struct cfg_reader *r, const struct tg_json *v, void *base)
{
#define AT(member) offsetof(struct cfg_fetch, member)
    static const struct cfg_field fields[] = {
        { "hosts", CFG_READ, 0, 0, 0, read_hosts },
        { "maxBytes", CFG_BYTES, AT(max_bytes), 1024, MEDIA_MAX, NULL },
        { "timeout", CFG_TIME, AT(timeout_ms), 1, 600000, NULL },
        { "redirects", CFG_COUNT, AT(redirects), 0, REDIRECTS_MAX, NULL },
        { "allowPrivate", CFG_READ, 0, 0, 0, read_allow_private },
    };
#undef AT
    struct cfg_fetch *f = &((struct cfg_settings *)base)->fetch;
    bool on = true;
    if (tg_json_bool(v, &on))
        return on ? cfg_refuse(r, TG_INVALID, "must be false, or an object with \"hosts\"") : TG_OK;
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, f);
    if (status == TG_OK && f->n_hosts == 0)
        status = cfg_refuse(r, TG_INVALID, "needs \"hosts\": whom media may be fetched from");
    if (status == TG_OK && f->allow_private)
        tg_log(TG_LOG_WARN, "fetch-private", "media.fetch.allowPrivate: requests can reach this "
               "machine and inner networks at the allowed hosts");
    return status;
}

enum tg_status cfg_read_media(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const struct cfg_field fields[] = { { "fetch", CFG_READ, 0, 0, 0, read_fetch } };
    return CFG_READ_OBJECT(r, v, fields, base);
}

/* An address has no names below another. */
static bool is_below(struct tg_str host, struct tg_str name)
{
    if (cfg_is_address(host) || host.n < name.n + 2 || host.p[host.n - name.n - 1] != '.')
        return false;
    return tg_str_ieq((struct tg_str){ host.p + host.n - name.n, name.n }, name);
}

bool cfg_fetch_allows(const struct cfg_fetch *f, struct tg_str host, uint16_t port,
                      uint16_t scheme_port)
{
    for (size_t i = 0; i < f->n_hosts; i++) {
        const struct cfg_fetch_host *h = &f->hosts[i];
        if (port != (h->port ? h->port : scheme_port))
            continue;
        if (h->below ? is_below(host, h->name) : tg_str_ieq(host, h->name))
            return true;
    }
    return false;
}

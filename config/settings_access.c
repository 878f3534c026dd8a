/* Where the gateway listens, and who may administrate it. */
#include <arpa/inet.h>

#include "config/host.h"
#include "config/settings_parts.h"

enum { ADMIN_KEY_MIN = 16 };

/* A numeric address or "localhost", without brackets; NULL: neither, or out of memory. */
static const char *numeric(struct tg_arena *mem, struct tg_str host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (tg_str_eq(host, TG_STR("localhost")))
        host = TG_STR("127.0.0.1");
    const char *text = tg_arena_str(mem, host).p;
    bool fine = text && strlen(text) == host.n &&
                (inet_pton(AF_INET, text, &v4) == 1 || inet_pton(AF_INET6, text, &v6) == 1);
    return fine ? text : NULL;
}

static enum tg_status read_address(struct cfg_reader *r, const struct tg_json *v,
                                   const char **out_host, uint16_t *out_port)
{
    const char *text;
    enum tg_status status = cfg_read_text(r, v, 100, &text);
    if (status)
        return status;
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || !tg_parse_u64(tg_str_of(colon + 1), &port) || port > 65535)
        return cfg_refuse(r, TG_INVALID, "must be ADDRESS:PORT, such as \"127.0.0.1:8080\"");
    struct tg_str host = { text, (size_t)(colon - text) };
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct tg_str){ text + 1, host.n - 2 };
    else if (memchr(host.p, ':', host.n))
        return cfg_refuse(r, TG_INVALID, "an IPv6 address stands in brackets: \"[::1]:8080\"");
    *out_host = numeric(r->mem, host);
    *out_port = (uint16_t)port;
    if (!*out_host)
        return cfg_refuse(r, TG_INVALID, "must be a numeric address: 127.0.0.1 and [::1] are this "
                                         "machine alone, 0.0.0.0 and [::] every network");
    return TG_OK;
}

enum tg_status cfg_read_listen(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_settings *s = base;
    return read_address(r, v, &s->listen_host, &s->listen_port);
}

static enum tg_status read_admin_listen(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_settings *s = base;
    return read_address(r, v, &s->admin.listen_host, &s->admin.listen_port);
}

static enum tg_status read_admin_key(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_settings *s = base;
    enum tg_status status = cfg_read_secret(r, v, &s->admin.key);
    if (status || strlen(s->admin.key) >= ADMIN_KEY_MIN)
        return status;
    return cfg_refuse(r, TG_INVALID, "has less than %d characters: `openssl rand -hex 32` makes a "
                                     "good one", ADMIN_KEY_MIN);
}

enum tg_status cfg_read_admin(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const struct cfg_field fields[] = {
        { "listen", CFG_READ, 0, 0, 0, read_admin_listen },
        { "key", CFG_READ, 0, 0, 0, read_admin_key },
    };
    struct cfg_settings *s = base;
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, s);
    if (status)
        return status;
    if (!s->admin.listen_host && !s->admin.key)
        return cfg_refuse(r, TG_INVALID, "needs \"listen\", \"key\" or both");
    if (s->admin.key || cfg_is_loopback(tg_str_of(s->admin.listen_host)))
        return TG_OK;
    return cfg_refuse(r, TG_INVALID, "listen is not this machine alone, so \"key\" is needed too: "
                                     "{\"env\": \"NAME\"} or {\"file\": \"PATH\"}");
}

#include "gateway/cors.h"

#include <stdio.h>

/* With any port. */
static bool is_local(struct tg_str origin)
{
    static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < 6; i++) {
        char ours[32];
        snprintf(ours, sizeof(ours), "%s%s", schemes[i % 2], hosts[i / 2]);
        size_t n = strlen(ours);
        if (origin.n >= n && memcmp(origin.p, ours, n) == 0 &&
            (origin.n == n || origin.p[n] == ':'))
            return true;
    }
    return false;
}

enum gw_origin gw_cors_origin(const struct cfg_cors *cors, struct tg_str origin)
{
    if (!origin.p)
        return GW_ORIGIN_NONE;
    for (size_t i = 0; i < cors->n_origins; i++)
        if (tg_str_eq(origin, tg_str_of(cors->origins[i])))
            return GW_ORIGIN_LISTED;
    return cors->any ? GW_ORIGIN_LISTED : is_local(origin) ? GW_ORIGIN_LOCAL : GW_ORIGIN_FOREIGN;
}

static bool is_token(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.n > 0;
}

enum tg_status gw_cors_names(struct tg_str list, struct tg_buf *out)
{
    size_t before = out->n, names = 0;
    while (list.n > 0 && names < GW_CORS_NAMES_MAX) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma ? (size_t)(comma - list.p) : list.n;
        struct tg_str name = tg_str_trim((struct tg_str){ list.p, n });
        size_t step = comma ? n + 1 : n;
        list = (struct tg_str){ list.p + step, list.n - step };
        if (!is_token(name) || out->n - before + name.n + 2 > GW_CORS_NAMES_BYTES)
            continue;
        tg_buf_adds(out, names++ ? ", " : "");
        tg_buf_add(out, name.p, name.n);
    }
    return out->failed;
}

void gw_cors_mark(const struct cfg_cors *cors, struct gw_request *rq, const struct gw_ask *ask)
{
    struct tg_str origin = gw_header_of(ask, "origin");
    if (cors->n_origins)
        gw_http_header(rq, "vary", TG_STR("Origin"));
    if (gw_cors_origin(cors, origin) != GW_ORIGIN_LISTED)
        return;
    gw_http_header(rq, "access-control-allow-origin", cors->any ? TG_STR("*") : origin);
    /* All of them: no answer of ours depends on cookies, for which "*" would not hold. */
    gw_http_header(rq, "access-control-expose-headers", TG_STR("*"));
}

bool gw_cors_is_preflight(const struct gw_ask *ask)
{
    return tg_str_eq(ask->method, TG_STR("OPTIONS")) && gw_header_of(ask, "origin").p &&
           gw_header_of(ask, "access-control-request-method").p;
}

void gw_cors_permit(const struct cfg_cors *cors, struct gw_request *rq, const struct gw_ask *ask,
                    const char *methods)
{
    struct tg_str wanted = gw_header_of(ask, "access-control-request-headers");
    struct tg_buf names;
    char age[24];
    tg_buf_init(&names, GW_CORS_NAMES_BYTES);
    gw_http_header(rq, "access-control-allow-methods", tg_str_of(methods));
    if (gw_cors_names(wanted, &names) == TG_OK && names.n)
        gw_http_header(rq, "access-control-allow-headers", tg_buf_str(&names));
    tg_buf_free(&names);
    snprintf(age, sizeof(age), "%lld", (long long)(cors->max_age_ms / 1000));
    gw_http_header(rq, "access-control-max-age", tg_str_of(age));
}

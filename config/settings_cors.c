#include <string.h>

#include "config/settings_parts.h"

#define DAY_MS INT64_C(86400000)

enum { ORIGIN_MAX = 300 };

static bool is_scheme(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool letter = s.p[i] >= 'a' && s.p[i] <= 'z';
        bool later = (s.p[i] >= '0' && s.p[i] <= '9') || strchr("+-.", s.p[i]);
        if (!letter && (i == 0 || !later))
            return false;
    }
    return s.n > 0;
}

/* What may stand behind "://": a host, or the address of an extension, and perhaps a port. */
static bool is_authority(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
              strchr("-._:[]", s.p[i])))
            return false;
    return s.n > 0 && s.p[0] != ':' && s.p[s.n - 1] != ':';
}

static bool ends_with(const char *text, size_t n, const char *end)
{
    size_t m = strlen(end);
    return n > m && memcmp(text + n - m, end, m) == 0;
}

/* Browsers write an origin in lower case and without the port that its scheme implies. */
static size_t normalise(char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    if (strncmp(text, "https://", 8) == 0 && ends_with(text, n, ":443"))
        n -= 4;
    else if (strncmp(text, "http://", 7) == 0 && ends_with(text, n, ":80"))
        n -= 3;
    text[n] = '\0';
    return n;
}

static enum tg_status read_origin(struct cfg_reader *r, const struct tg_json *v,
                                  struct cfg_cors *cors)
{
    const char *given;
    char text[ORIGIN_MAX + 1];
    enum tg_status status = cfg_read_text(r, v, ORIGIN_MAX, &given);
    if (status)
        return status;
    if (strcmp(given, "*") == 0) {
        cors->any = true;
        return TG_OK;
    }
    memcpy(text, given, strlen(given) + 1);
    size_t n = normalise(text);
    const char *colon = strstr(text, "://");
    struct tg_str scheme = { text, colon ? (size_t)(colon - text) : 0 };
    struct tg_str rest = { text + scheme.n + 3, colon ? n - scheme.n - 3 : 0 };
    if (!is_scheme(scheme) || !is_authority(rest))
        return cfg_refuse(r, TG_INVALID,
                          "must be SCHEME://HOST or SCHEME://HOST:PORT without a path, such as "
                          "\"https://app.example.com\", or \"*\"");
    cors->origins[cors->n_origins] = tg_arena_str(r->mem, (struct tg_str){ text, n }).p;
    return cors->origins[cors->n_origins++] ? TG_OK : cfg_refuse(r, TG_NOMEM, "out of memory");
}

static enum tg_status read_origins(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_cors *cors = base;
    size_t at = 0;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return cfg_refuse_type(r, v,
                               "an array of origins, such as [\"https://app.example.com\"] or "
                               "[\"*\"]");
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m), at++) {
        size_t mark = cfg_path_index(r, at);
        if (at == CFG_ORIGINS_MAX)
            return cfg_refuse(r, TG_LIMIT, "at most %d origins are possible", CFG_ORIGINS_MAX);
        enum tg_status status = read_origin(r, m, cors);
        if (status)
            return status;
        cfg_path_back(r, mark);
    }
    if (at == 0)
        return cfg_refuse(r, TG_INVALID, "must not be empty: leave \"cors\" out to switch it off");
    if (cors->any && at > 1)
        return cfg_refuse(r, TG_INVALID, "\"*\" means every origin: it stands alone");
    return TG_OK;
}

enum tg_status cfg_read_cors(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const struct cfg_field fields[] = {
        { "origins", CFG_READ, 0, 0, 0, read_origins },
        { "maxAge", CFG_TIME, offsetof(struct cfg_cors, max_age_ms), 0, DAY_MS, NULL },
    };
    struct cfg_cors *cors = &((struct cfg_settings *)base)->cors;
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, cors);
    if (status || cors->any || cors->n_origins)
        return status;
    return cfg_refuse(r, TG_INVALID,
                      "needs \"origins\": whose pages may call, such as "
                      "[\"https://app.example.com\"]");
}

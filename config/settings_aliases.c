#include "config/settings_parts.h"

enum { ALIAS_NAME_MAX = 200 };

/* What a client may write as a model, with one star at most, at its end. */
static enum tg_status read_name(struct cfg_reader *r, const struct cfg_settings *s,
                                const char *name, struct cfg_alias *alias)
{
    size_t n = strlen(name);
    if (n == 0 || n > ALIAS_NAME_MAX)
        return cfg_refuse(r, TG_INVALID, "a name has 1 to %d characters", ALIAS_NAME_MAX);
    for (size_t i = 0; i < n; i++) {
        if (name[i] <= 0x20 || name[i] >= 0x7F)
            return cfg_refuse(r, TG_INVALID, "a name is printable ASCII without spaces");
        if (name[i] == '*' && i + 1 < n)
            return cfg_refuse(r, TG_INVALID, "'*' may only stand at the end");
    }
    alias->prefix = name[n - 1] == '*';
    alias->name = tg_arena_str(r->mem, (struct tg_str){ name, n - alias->prefix }).p;
    if (!alias->name)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    bool taken = strcmp(name, "local") == 0;
    for (size_t i = 0; i < s->n_routes; i++)
        taken = taken || strcmp(name, s->routes[i].name) == 0;
    return taken ? cfg_refuse(r, TG_INVALID, "a route has this name already") : TG_OK;
}

static enum tg_status read_target(struct cfg_reader *r, const struct cfg_settings *s,
                                  const struct tg_json *v, const char **out)
{
    enum tg_status status = cfg_read_text(r, v, ALIAS_NAME_MAX, out);
    if (status || strcmp(*out, "local") == 0)
        return status;
    for (size_t i = 0; i < s->n_routes; i++)
        if (strcmp(*out, s->routes[i].name) == 0)
            return TG_OK;
    size_t n = strcspn(*out, "/");
    for (size_t i = 0; i < s->n_providers && (*out)[n] && (*out)[n + 1]; i++)
        if (strncmp(*out, s->providers[i].name, n) == 0 && !s->providers[i].name[n])
            return TG_OK;
    return cfg_refuse(r, TG_INVALID, "\"%s\" is no route, not \"local\", and no PROVIDER/MODEL of "
                                     "an entry of \"providers\"", *out);
}

enum tg_status cfg_read_aliases(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_settings *s = base;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return cfg_refuse_type(r, v, "an object");
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        if (s->n_aliases == CFG_ALIASES_MAX)
            return cfg_refuse(r, TG_LIMIT, "has more than %d entries", CFG_ALIASES_MAX);
        struct cfg_alias *alias = &s->aliases[s->n_aliases];
        size_t mark = cfg_path_key(r, tg_json_key(m));
        enum tg_status status = read_name(r, s, tg_json_key(m), alias);
        if (status == TG_OK)
            status = read_target(r, s, m, &alias->target);
        if (status)
            return status;
        s->n_aliases++;
        cfg_path_back(r, mark);
    }
    return TG_OK;
}

#include "policy/choose.h"

#include <string.h>

enum { MAX_TOKENS = 1024, NAME_MAX_BYTES = 265 /* provider, slash, model */ };

/* The route that calls of that model are paid from, and what else it says of it. */
static void choose_payer(const struct cfg_settings *s, struct pol_choice *out)
{
    bool found = false;
    for (size_t i = 0; i < s->n_routes; i++)
        for (size_t k = 0; k < s->routes[i].n_tiers; k++) {
            const struct cfg_tier *tier = &s->routes[i].tiers[k];
            if (!tg_str_eq(out->provider, tg_str_of(tier->provider)))
                continue;
            bool same = tg_str_eq(out->model, tg_str_of(tier->model));
            if (same || !found)
                out->route = i;
            found = true;
            if (!same)
                continue;
            out->max_tokens = tier->max_tokens;
            return;
        }
}

/* It goes into headers: printable ASCII without spaces, as models in the configuration. */
static bool choose_model(const struct cfg_settings *s, struct tg_str name, struct pol_choice *out)
{
    size_t n = 0;
    while (n < name.n && name.p[n] != '/')
        n++;
    struct tg_str provider = { name.p, n };
    if (n + 1 >= name.n || name.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = n + 1; i < name.n; i++)
        if (name.p[i] <= 0x20 || name.p[i] >= 0x7F)
            return false;
    for (size_t i = 0; i < s->n_providers; i++) {
        if (!tg_str_eq(provider, tg_str_of(s->providers[i].name)))
            continue;
        *out = (struct pol_choice){ .provider = provider,
                                    .model = { name.p + n + 1, name.n - n - 1 },
                                    .max_tokens = MAX_TOKENS };
        choose_payer(s, out);
        return true;
    }
    return false;
}

static bool choose_named(const struct cfg_settings *s, struct tg_str name, struct pol_choice *out)
{
    *out = (struct pol_choice){ .route = 0 };
    if (name.n == 0)
        return true;
    for (; out->route < s->n_routes; out->route++)
        if (tg_str_eq(name, tg_str_of(s->routes[out->route].name)))
            return true;
    out->route = 0;
    out->local = tg_str_eq(name, TG_STR("local"));
    return out->local;
}

static const struct cfg_alias *find_alias(const struct cfg_settings *s, struct tg_str name,
                                          bool prefix)
{
    const struct cfg_alias *best = NULL;
    for (size_t i = 0; i < s->n_aliases; i++) {
        const struct cfg_alias *a = &s->aliases[i];
        size_t n = strlen(a->name);
        bool fits = prefix ? n <= name.n && memcmp(name.p, a->name, n) == 0
                           : tg_str_eq(name, tg_str_of(a->name));
        if (a->prefix == prefix && fits && (!best || n > strlen(best->name)))
            best = a;
    }
    return best;
}

bool pol_choose(const struct cfg_settings *s, struct tg_str name, struct pol_choice *out)
{
    if (choose_named(s, name, out))
        return true;
    const struct cfg_alias *alias = find_alias(s, name, false);
    if (!alias && choose_model(s, name, out))
        return true;
    if (!alias)
        alias = find_alias(s, name, true);
    if (!alias)
        return false;
    struct tg_str target = tg_str_of(alias->target);
    return choose_named(s, target, out) || choose_model(s, target, out);
}

static void add_name(const char *names[POL_NAMES_MAX], size_t *n, const char *name)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp(names[i], name) == 0)
            return;
    names[(*n)++] = name;
}

size_t pol_names(const struct cfg_settings *s, bool remote, const char *names[POL_NAMES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_routes; i++)
        add_name(names, &n, s->routes[i].name);
    add_name(names, &n, "local");
    for (size_t i = 0; i < s->n_aliases; i++) {
        const struct cfg_alias *a = &s->aliases[i];
        if (!a->prefix && (remote || !strchr(a->target, '/')))
            add_name(names, &n, a->name);
    }
    for (size_t i = 0; remote && i < s->n_routes; i++)
        for (size_t k = 0; k < s->routes[i].n_tiers; k++)
            add_name(names, &n, s->routes[i].tiers[k].id);
    return n;
}

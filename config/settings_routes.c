#include "config/settings_parts.h"

#include "config/base/log.h"
#include "config/files.h"

#define DAY_MS INT64_C(86400000)

enum { ANSWER_TOKENS_MAX = 1000000 };

void cfg_default_route(struct cfg_route *route)
{
    *route = (struct cfg_route){ .name = "default",
                                 .timeout_ms = 600000,
                                 .alert_millionths = 800000,
                                 .prefer_self_hosted = true,
                                 .hold = { 24, 2000, 4096 } };
}

static enum tg_status read_route_name(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_route *route = base;
    enum tg_status status = cfg_read_text(r, v, 64, &route->name);
    return status ? status : cfg_check_name(r, route->name);
}

static enum tg_status read_primary_provider(struct cfg_reader *r, const struct tg_json *v,
                                            void *base)
{
    const char *name;
    (void)base;
    enum tg_status status = cfg_read_text(r, v, 64, &name);
    if (status || strcmp(name, "local") == 0)
        return status;
    return cfg_refuse(r, TG_UNSUPPORTED, "not in this version; the primary is \"local\"");
}

static enum tg_status read_primary(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const struct cfg_field fields[] = {
        { "provider", CFG_READ, 0, 0, 0, read_primary_provider },
        { "maxLatency", CFG_TIME, offsetof(struct cfg_route, max_latency_ms), 1, DAY_MS, NULL },
        { "endpoint", CFG_LATER, 0, 0, 0, NULL },
        { "model", CFG_LATER, 0, 0, 0, NULL },
    };
    return CFG_READ_OBJECT(r, v, fields, base);
}

static enum tg_status read_tier_provider(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    const struct cfg_loading *loading = r->owner;
    struct cfg_tier *tier = base;
    const char *name;
    enum tg_status status = cfg_read_text(r, v, 64, &name);
    if (status)
        return status;
    if (strcmp(name, "local") == 0)
        return cfg_refuse(r, TG_INVALID, "\"local\" is the primary, and answers anyway when all "
                                         "else fails");
    for (size_t i = 0; i < loading->out->n_providers; i++)
        if (strcmp(loading->out->providers[i].name, name) == 0) {
            tier->provider = loading->out->providers[i].name;
            return TG_OK;
        }
    return cfg_refuse(r, TG_INVALID, "no entry of \"providers\" is named \"%s\"", name);
}

/* The name is sent back in headers. */
static enum tg_status read_tier_model(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_tier *tier = base;
    enum tg_status status = cfg_read_text(r, v, 200, &tier->model);
    if (status)
        return status;
    for (const char *p = tier->model; *p; p++)
        if (*p <= 0x20 || *p >= 0x7F)
            return cfg_refuse(r, TG_INVALID, "a model's name is printable ASCII without spaces");
    return TG_OK;
}

static enum tg_status read_trigger(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_tier *tier = base;
    tier->trigger_path = tg_arena_str(r->mem, (struct tg_str){ r->path, r->path_n }).p;
    if (!tier->trigger_path)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    return cfg_read_text(r, v, 1000, &tier->trigger);
}

static enum tg_status read_tier(struct cfg_reader *r, const struct tg_json *v,
                                struct cfg_route *route)
{
    static const struct cfg_field fields[] = {
        { "provider", CFG_READ, 0, 0, 0, read_tier_provider },
        { "model", CFG_READ, 0, 0, 0, read_tier_model },
        { "trigger", CFG_READ, 0, 0, 0, read_trigger },
        { "maxTokens", CFG_COUNT, offsetof(struct cfg_tier, max_tokens), 1, ANSWER_TOKENS_MAX,
          NULL },
    };
    const struct cfg_loading *loading = r->owner;
    if (route->n_tiers == CFG_TIERS_MAX)
        return cfg_refuse(r, TG_LIMIT, "more than %d tiers", CFG_TIERS_MAX);
    struct cfg_tier *tier = &route->tiers[route->n_tiers];
    *tier = (struct cfg_tier){ .max_tokens = 1024 };
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, tier);
    if (status)
        return status;
    if (!tier->provider || !tier->model)
        return cfg_refuse(r, TG_INVALID, "needs \"%s\"", tier->provider ? "model" : "provider");
    tier->id = cfg_join(r->mem, tier->provider, tier->model);
    if (!tier->id)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    tier->price =
        cfg_price_for(loading->out, tg_str_of(tier->provider), tg_str_of(tier->model));
    route->n_tiers++;
    return TG_OK;
}

static enum tg_status read_fallback(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_route *route = base;
    if (tg_json_is(v, TG_JSON_OBJECT))
        return read_tier(r, v, route);
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return cfg_refuse_type(r, v, "an object or an array of objects");
    for (const struct tg_json *t = tg_json_first(v); t; t = tg_json_next(t)) {
        size_t mark = cfg_path_index(r, route->n_tiers);
        enum tg_status status = read_tier(r, t, route);
        if (status)
            return status;
        cfg_path_back(r, mark);
    }
    return TG_OK;
}

bool cfg_parse_budget(struct tg_str text, int64_t *nano, enum cfg_period *period)
{
    static const struct { const char *name; enum cfg_period period; } periods[] = {
        { "/day", CFG_PERIOD_DAY }, { "/week", CFG_PERIOD_WEEK }, { "/month", CFG_PERIOD_MONTH }
    };
    const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
    size_t n = slash ? (size_t)(slash - text.p) : text.n;
    for (size_t i = 0; i < 3; i++) {
        if (!tg_str_eq((struct tg_str){ text.p + n, text.n - n }, tg_str_of(periods[i].name)))
            continue;
        *period = periods[i].period;
        return tg_parse_money_nano((struct tg_str){ text.p, n }, nano);
    }
    return false;
}

static enum tg_status read_budget(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_route *route = base;
    const char *text;
    enum tg_status status = cfg_read_text(r, v, 64, &text);
    if (status)
        return status;
    if (!cfg_parse_budget(tg_str_of(text), &route->budget_nano, &route->period))
        return cfg_refuse(r, TG_INVALID, "must be an amount for a day, week or month, such as "
                                         "\"$500/month\"");
    route->has_budget = true;
    return TG_OK;
}

static enum tg_status read_true(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    bool on;
    (void)base;
    if (!tg_json_bool(v, &on))
        return cfg_refuse_type(r, v, "true");
    return on ? TG_OK : cfg_refuse(r, TG_UNSUPPORTED, "false is not in this version");
}

static enum tg_status read_false(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    bool on;
    (void)base;
    if (!tg_json_bool(v, &on))
        return cfg_refuse_type(r, v, "false");
    return on ? cfg_refuse(r, TG_UNSUPPORTED, "not in this version") : TG_OK;
}

static enum tg_status read_cost_policy(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const struct cfg_field fields[] = {
        { "preferSelfHosted", CFG_READ, 0, 0, 0, read_true },
        { "cloudBudget", CFG_READ, 0, 0, 0, read_budget },
        { "alertAt", CFG_PERCENT, offsetof(struct cfg_route, alert_millionths), 1, 1000000, NULL },
    };
    struct cfg_route *route = base;
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, route);
    if (status || route->has_budget || !tg_json_get(v, "alertAt"))
        return status;
    cfg_path_key(r, "alertAt");
    return cfg_refuse(r, TG_INVALID, "has no effect without \"cloudBudget\"");
}

static enum tg_status read_hold_back(struct cfg_reader *r, const struct tg_json *v, void *base)
{
#define AT(member) offsetof(struct cfg_route, hold.member)
    static const struct cfg_field fields[] = {
        { "tokens", CFG_COUNT, AT(tokens), 1, 512, NULL },
        { "time", CFG_TIME, AT(time_ms), 1, 600000, NULL },
        { "bytes", CFG_BYTES32, AT(bytes), 1, 1 << 20, NULL },
    };
#undef AT
    return CFG_READ_OBJECT(r, v, fields, base);
}

static enum tg_status read_monitoring(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const struct cfg_field fields[] = {
        { "logAllRequests", CFG_READ, 0, 0, 0, read_true },
        { "compareModels", CFG_READ, 0, 0, 0, read_false },
        { "dashboardUrl", CFG_LATER, 0, 0, 0, NULL },
    };
    return CFG_READ_OBJECT(r, v, fields, base);
}

static enum tg_status check_route(struct cfg_reader *r, const struct cfg_settings *s,
                                  const struct cfg_route *route)
{
    if (!route->name)
        return cfg_refuse(r, TG_INVALID, "needs \"name\"");
    if (strcmp(route->name, "local") == 0)
        return cfg_refuse(r, TG_INVALID, "\"local\" is the built-in name of the local model: give "
                                         "the route another one");
    for (size_t i = 0; i < s->n_routes; i++)
        if (strcmp(s->routes[i].name, route->name) == 0)
            return cfg_refuse(r, TG_INVALID, "routes[%zu] is named \"%s\" too", i, route->name);
    for (size_t i = 0; i < route->n_tiers && route->has_budget; i++)
        if (!route->tiers[i].price.known)
            tg_log(TG_LOG_WARN, "price-unknown",
                   "%s: %s.fallback[%zu]: %s/%s has no price, so it cannot be called under "
                   "cloudBudget; add it to providers.%s.prices",
                   r->file, r->path, i, route->tiers[i].provider, route->tiers[i].model,
                   route->tiers[i].provider);
    return TG_OK;
}

static enum tg_status read_route(struct cfg_reader *r, const struct tg_json *v,
                                 struct cfg_settings *s)
{
    static const struct cfg_field fields[] = {
        { "name", CFG_READ, 0, 0, 0, read_route_name },
        { "primary", CFG_READ, 0, 0, 0, read_primary },
        { "fallback", CFG_READ, 0, 0, 0, read_fallback },
        { "costPolicy", CFG_READ, 0, 0, 0, read_cost_policy },
        { "holdBack", CFG_READ, 0, 0, 0, read_hold_back },
        { "timeout", CFG_TIME, offsetof(struct cfg_route, timeout_ms), 1, DAY_MS, NULL },
        { "monitoring", CFG_READ, 0, 0, 0, read_monitoring },
    };
    struct cfg_route *route = &s->routes[s->n_routes];
    cfg_default_route(route);
    route->name = NULL;
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, route);
    return status ? status : check_route(r, s, route);
}

enum tg_status cfg_read_routes(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_settings *s = base;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return cfg_refuse_type(r, v, "an array");
    if (!tg_json_first(v))
        return cfg_refuse(r, TG_INVALID, "must have at least one route");
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        if (s->n_routes == CFG_ROUTES_MAX)
            return cfg_refuse(r, TG_LIMIT, "has more than %d entries", CFG_ROUTES_MAX);
        size_t mark = cfg_path_index(r, s->n_routes);
        enum tg_status status = read_route(r, m, s);
        if (status)
            return status;
        s->n_routes++;
        cfg_path_back(r, mark);
    }
    return TG_OK;
}

#include "gateway/failures.h"

#include <stdio.h>

#include "config/base/clock.h"
#include "gateway/exchange.h"

static uint64_t hash_of(const char *who, const char *cause, int detail)
{
    const char *const parts[] = { who, cause };
    uint64_t h = 14695981039346656037u ^ (unsigned)detail; /* FNV-1a */
    for (int i = 0; i < 2; i++) {
        for (const char *p = parts[i]; *p; p++)
            h = (h ^ (unsigned char)*p) * 1099511628211u;
        h = (h ^ 0xff) * 1099511628211u; /* no character of UTF-8 */
    }
    return h ? h : 1;
}

/* Its own place; else a free one, or that of what was told the longest time ago; while all are
 * busy, any of them. */
static struct tg_log_seldom *line_of(struct gw_failures *all, uint64_t key, int64_t now_ns)
{
    size_t oldest = 0;
    for (size_t i = 0; i < GW_FAILURES_MAX; i++) {
        if (all->kind[i].key == key)
            return &all->kind[i].line;
        if (all->kind[i].line.next_ns < all->kind[oldest].line.next_ns)
            oldest = i;
    }
    if (now_ns < all->kind[oldest].line.next_ns)
        return &all->kind[key % GW_FAILURES_MAX].line;
    all->kind[oldest].key = key;
    all->kind[oldest].line = (struct tg_log_seldom){ 0 };
    return &all->kind[oldest].line;
}

bool gw_failure_due(struct gw_failures *all, const char *who, const char *cause, int detail,
                    int64_t now_ns, uint64_t *untold)
{
    return tg_log_seldom(line_of(all, hash_of(who, cause, detail), now_ns), now_ns, untold);
}

static void print_more(uint64_t untold, char out[96])
{
    out[0] = '\0';
    if (untold)
        snprintf(out, 96, "; %llu more like it since the last line about it",
                 (unsigned long long)untold);
}

static const char *provider_of(const struct gw_try *t)
{
    return t->step.target == POL_LOCAL ? "local" : gw_try_tier(t)->provider;
}

void gw_failure_tell(const struct gw_try *t, const char *name, const struct api_error *failure)
{
    uint64_t untold;
    char cause[96], more[96];
    int status = t->http_status ? t->http_status : failure->status;
    snprintf(cause, sizeof(cause), "%s %s", name, t->outcome ? t->outcome : "");
    if (!gw_failure_due(&t->x->app->failures, provider_of(t), cause, status, tg_mono_ns(),
                        &untold))
        return;
    print_more(untold, more);
    tg_log(TG_LOG_WARN, "attempt-failed", "request %016llx: %s: %s%s",
           (unsigned long long)t->x->id, name, failure->message, more);
}

void gw_failure_tell_key(const struct gw_try *t, struct tg_str words)
{
    uint64_t untold;
    char who[160], more[96];
    if (!gw_failure_due(&t->x->app->failures, provider_of(t), "provider-key", 0, tg_mono_ns(),
                        &untold))
        return;
    gw_try_route(t, who, sizeof(who));
    print_more(untold, more);
    tg_log(TG_LOG_ERROR, "provider-key",
           "%s answered 401: %.*s; check the provider's apiKey%s", who, TG_FMT(words), more);
}

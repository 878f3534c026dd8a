#include "policy/decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum tg_status pol_route_compile(const struct cfg_route *settings, struct pol_route *out,
                                 struct tg_error *err)
{
    *out = (struct pol_route){ .settings = settings };
    for (size_t i = 0; i < settings->n_tiers; i++) {
        const struct cfg_tier *tier = &settings->tiers[i];
        struct tg_error cause;
        if (!tier->trigger)
            continue;
        enum tg_status status =
            pol_compile(tg_str_of(tier->trigger), &out->trigger[i], NULL, &cause);
        if (status) {
            pol_route_free(out);
            return tg_fail(err, status, "%s: %s",
                           tier->trigger_path ? tier->trigger_path : "trigger", cause.text);
        }
    }
    return TG_OK;
}

void pol_route_free(struct pol_route *r)
{
    for (size_t i = 0; i < CFG_TIERS_MAX; i++)
        pol_expr_free(r->trigger[i]);
    *r = (struct pol_route){ 0 };
}

enum tg_status pol_bound(const struct cfg_price *price, size_t body_bytes, size_t n_messages,
                         uint32_t max_tokens, int64_t *nano)
{
    int64_t tokens, overhead, input, output;
    if (!price->known)
        return TG_UNSUPPORTED;
    if (n_messages > INT64_MAX || body_bytes > INT64_MAX ||
        __builtin_mul_overflow((int64_t)n_messages, price->tokens_per_message, &overhead) ||
        __builtin_add_overflow(overhead, price->tokens_per_request, &overhead) ||
        __builtin_add_overflow((int64_t)body_bytes, overhead, &tokens))
        return TG_LIMIT;
    int64_t rate = price->input > price->cached_input ? price->input : price->cached_input;
    enum tg_status status = cfg_cost(tokens, rate, &input);
    if (status == TG_OK)
        status = cfg_cost(max_tokens, price->output, &output);
    if (status)
        return status;
    return __builtin_add_overflow(input, output, nano) ? TG_LIMIT : TG_OK;
}

/* A reason goes into a header: printable ASCII, cut to fit. */
static void say(char reason[POL_REASON_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void say(char reason[POL_REASON_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, POL_REASON_MAX, fmt, args);
    va_end(args);
    for (char *p = reason; *p; p++)
        if (*p < 0x20 || *p > 0x7E)
            *p = *p == '\t' || *p == '\n' || *p == '\r' ? ' ' : '?';
}

static size_t count_parts(const struct chat_request *r, enum chat_part_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_messages && r->messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            n += r->messages[i].parts[k].kind == kind;
    return n;
}

static int64_t highest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Adds what n parts cost that are at most so many tokens each. */
static enum tg_status add_parts(size_t n, int64_t tokens_each, int64_t rate, int64_t *nano)
{
    int64_t tokens, cost;
    if (n == 0 || rate == 0)
        return TG_OK;
    if (tokens_each == 0)
        return TG_UNSUPPORTED; /* not known, and not free */
    if (n > INT64_MAX || __builtin_mul_overflow((int64_t)n, tokens_each, &tokens))
        return TG_LIMIT;
    enum tg_status status = cfg_cost(tokens, rate, &cost);
    if (status)
        return status;
    return __builtin_add_overflow(*nano, cost, nano) ? TG_LIMIT : TG_OK;
}

/* Bytes bound the tokens of text alone. What an image counts as has nothing to do with its bytes or
 * with the length of its URL, and a second of audio or video may be a few of them. */
static enum tg_status bound_with_media(const struct cfg_price *price,
                                       const struct pol_request_facts *f, uint32_t max_tokens,
                                       int64_t *nano)
{
    const struct chat_request *r = f->request;
    int64_t rate = highest(price->input, price->cached_input);
    size_t parts = r->n_messages + r->n_inputs; /* one of them is 0 */
    enum tg_status status = pol_bound(price, f->body_bytes, parts, max_tokens, nano);
    if (status == TG_OK)
        status = add_parts(count_parts(r, CHAT_PART_IMAGE), price->tokens_per_image, rate, nano);
    if (status == TG_OK)
        status = add_parts(count_parts(r, CHAT_PART_AUDIO), price->tokens_per_audio,
                           highest(rate, price->audio_input), nano);
    if (status == TG_OK) /* its sound may be counted as audio */
        status = add_parts(count_parts(r, CHAT_PART_VIDEO), price->tokens_per_video,
                           highest(rate, price->audio_input), nano);
    return status;
}

/* The step for a tier, when it may be called at all. */
static bool tier_step(const struct pol_route *route, const struct pol_request_facts *f, size_t tier,
                      struct pol_step *step)
{
    const struct cfg_tier *t = &route->settings->tiers[tier];
    *step = (struct pol_step){ .target = POL_TIER, .tier = tier, .max_tokens = t->max_tokens };
    if (f->request->max_tokens)
        step->max_tokens = f->request->max_tokens;
    if (f->request->n_inputs)
        step->max_tokens = 0; /* no token comes out */
    if (f->local_only)
        return false;
    enum tg_status status = bound_with_media(&t->price, f, step->max_tokens, &step->ceiling_nano);
    if (status == TG_OK)
        return true;
    step->ceiling_nano = 0;
    return !route->settings->has_budget && !f->capped; /* nothing to bound without one */
}

static bool is_true(const struct pol_route *route, size_t tier, const struct pol_facts *facts)
{
    return route->trigger[tier] && pol_eval(route->trigger[tier], facts) == POL_TRUE;
}

static void say_why(const struct pol_route *route, size_t tier, const struct pol_facts *facts,
                    char reason[POL_REASON_MAX])
{
    struct tg_str why = pol_why(route->trigger[tier], facts);
    say(reason, "trigger: %.*s", TG_FMT(why));
}

static void say_nobody(const struct pol_route *route, const struct pol_request_facts *f,
                       char reason[POL_REASON_MAX])
{
    const char *cannot = f->local_cannot ? f->local_cannot : "the local model cannot";
    if (f->local_only)
        say(reason, "local-only: %s", cannot);
    else if (route->settings->n_tiers == 0)
        say(reason, "no fallback: %s", cannot);
    else
        say(reason, "no price under the budget: %s", cannot);
}

void pol_decide(const struct pol_route *route, const struct pol_request_facts *f,
                struct pol_plan *plan)
{
    struct pol_step later[CFG_TIERS_MAX];
    size_t n_later = 0;
    bool unpriced = false;
    *plan = (struct pol_plan){ 0 };
    for (size_t i = 0; i < route->settings->n_tiers; i++) {
        struct pol_step step;
        if (!tier_step(route, f, i, &step)) {
            unpriced = true;
            continue;
        }
        if (!is_true(route, i, &f->facts)) {
            later[n_later++] = step;
            continue;
        }
        if (plan->n == 0)
            say_why(route, i, &f->facts, plan->reason);
        plan->step[plan->n++] = step;
    }
    if (plan->n == 0 && f->local_can)
        say(plan->reason, f->local_only ? "local-only"
                          : unpriced    ? "primary, price-unknown"
                                        : "primary");
    else if (plan->n == 0 && n_later)
        say(plan->reason, "local-cannot: %s", f->local_cannot ? f->local_cannot : "");
    else if (plan->n == 0)
        say_nobody(route, f, plan->reason);
    /* Local stands before the tiers that nothing asked for: it costs nothing. */
    if (f->local_can)
        plan->step[plan->n++] =
            (struct pol_step){ .target = POL_LOCAL, .max_tokens = f->request->max_tokens };
    for (size_t i = 0; i < n_later; i++)
        plan->step[plan->n++] = later[i];
}

void pol_decide_named(const struct pol_route *route, const struct pol_request_facts *f,
                      struct pol_plan *plan)
{
    *plan = (struct pol_plan){ 0 };
    plan->n = tier_step(route, f, 0, &plan->step[0]);
    say(plan->reason, plan->n         ? "model-named"
                      : f->local_only ? "local-only"
                                      : "price-unknown");
}

int pol_escalate(const struct pol_route *route, const struct pol_plan *plan,
                 const struct pol_facts *facts, char reason[POL_REASON_MAX])
{
    bool behind_local = false; /* those in front of it have been tried already */
    for (size_t i = 0; i < plan->n; i++) {
        const struct pol_step *step = &plan->step[i];
        if (step->target == POL_LOCAL) {
            behind_local = true;
        } else if (behind_local && is_true(route, step->tier, facts)) {
            say_why(route, step->tier, facts, reason);
            return (int)step->tier;
        }
    }
    say(reason, "primary");
    return -1;
}

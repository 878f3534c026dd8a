#include "policy/decide.h"

#include "config/base/alloc.h"
#include "tests/unit/check.h"

/* $1 and $2 a million tokens: 1000 and 2000 nano-dollars a token. */
static const struct cfg_price known = { .known = true, .input = 1000000000,
                                        .cached_input = 500000000, .output = 2000000000,
                                        .tokens_per_message = 8, .tokens_per_request = 32,
                                        .audio_input = 1000000000 };

struct world {
    struct cfg_route settings;
    struct pol_route route;
    struct chat_request request;
    struct pol_request_facts f;
    struct pol_plan plan;
};

/* Tiers with these triggers (NULL: none), all priced; local can; a budget. */
static void set_up(struct world *w, size_t n, const char *const triggers[])
{
    *w = (struct world){ 0 };
    w->settings = (struct cfg_route){ .name = "r", .n_tiers = n, .has_budget = true,
                                      .budget_nano = 1000, .period = CFG_PERIOD_DAY };
    for (size_t i = 0; i < n; i++)
        w->settings.tiers[i] = (struct cfg_tier){ .provider = "p", .model = "m",
                                                  .trigger = triggers[i],
                                                  .trigger_path = "routes[0].fallback[0].trigger",
                                                  .max_tokens = 1024, .price = known };
    struct tg_error err;
    if (pol_route_compile(&w->settings, &w->route, &err) != TG_OK)
        CHECK_FAIL("%s", err.text);
    w->request.n_messages = 2;
    w->f = (struct pol_request_facts){ .request = &w->request, .body_bytes = 1000,
                                       .local_can = true };
}

/* The plan as text: L for local, a digit for a tier. */
static const char *planned(struct world *w, char out[16])
{
    size_t n = 0;
    pol_decide(&w->route, &w->f, &w->plan);
    for (; n < w->plan.n; n++)
        out[n] = w->plan.step[n].target == POL_LOCAL ? 'L' : (char)('0' + w->plan.step[n].tier);
    out[n] = '\0';
    return out;
}

static void know(struct world *w, enum pol_name name, double value)
{
    w->f.facts.known[name] = true;
    w->f.facts.value[name] = value;
}

#define HARD "complexity > 0.9"
#define BOTH "confidence < 0.85 OR complexity > 0.9"

static void plans(void)
{
    static const struct {
        const char *triggers[3];
        size_t n;
        double complexity; /* -1: unknown */
        bool local_can, local_only, unpriced0;
        const char *plan, *reason;
    } table[] = {
        { { 0 }, 0, -1, true, false, false, "L", "primary" },
        { { 0 }, 0, -1, false, false, false, "", "no fallback: image" },
        { { BOTH }, 1, -1, true, false, false, "L0", "primary" },
        { { BOTH }, 1, 0.2, true, false, false, "L0", "primary" },
        { { BOTH }, 1, 0.95, true, false, false, "0L", "trigger: complexity > 0.9" },
        { { BOTH }, 1, 0.95, true, true, false, "L", "local-only" },
        { { BOTH }, 1, 0.95, false, true, false, "", "local-only: image" },
        { { BOTH }, 1, 0.95, true, false, true, "L", "primary, price-unknown" },
        { { BOTH }, 1, 0.95, false, false, true, "", "no price under the budget: image" },
        { { BOTH }, 1, -1, false, false, false, "0", "local-cannot: image" },
        { { NULL }, 1, 0.95, true, false, false, "L0", "primary" },
        { { NULL, HARD, BOTH }, 3, 0.95, true, false, false, "12L0", "trigger: complexity > 0.9" },
        { { NULL, HARD, BOTH }, 3, 0.5, true, false, false, "L012", "primary" },
        { { HARD, NULL, BOTH }, 3, 0.95, true, false, true, "2L1", "trigger: complexity > 0.9" },
        { { HARD, NULL, NULL }, 3, 0.95, false, false, false, "012", "trigger: complexity > 0.9" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct world w;
        char got[16];
        set_up(&w, table[i].n, table[i].triggers);
        w.f.local_can = table[i].local_can;
        w.f.local_cannot = "image";
        w.f.local_only = table[i].local_only;
        if (table[i].unpriced0)
            w.settings.tiers[0].price.known = false;
        if (table[i].complexity >= 0)
            know(&w, POL_COMPLEXITY, table[i].complexity);
        planned(&w, got);
        if (strcmp(got, table[i].plan) != 0 || strcmp(w.plan.reason, table[i].reason) != 0)
            CHECK_FAIL("case %zu: \"%s\" (%s), want \"%s\" (%s)", i, got, w.plan.reason,
                       table[i].plan, table[i].reason);
        pol_route_free(&w.route);
    }
}

static void without_a_budget_a_price_is_not_needed(void)
{
    static const char *const triggers[] = { HARD };
    struct world w;
    char got[16];
    set_up(&w, 1, triggers);
    w.settings.has_budget = false;
    w.settings.tiers[0].price.known = false;
    know(&w, POL_COMPLEXITY, 1);
    CHECK_STR(planned(&w, got), "0L");
    CHECK_INT(w.plan.step[0].ceiling_nano, 0);
    pol_route_free(&w.route);
}

static void ceilings_and_max_tokens(void)
{
    static const char *const triggers[] = { HARD };
    struct world w;
    char got[16];
    set_up(&w, 1, triggers);
    CHECK_STR(planned(&w, got), "L0");
    CHECK_INT(w.plan.step[0].ceiling_nano, 0);
    CHECK_INT(w.plan.step[1].max_tokens, 1024);
    CHECK_INT(w.plan.step[1].ceiling_nano, (1000 + 2 * 8 + 32) * 1000 + 1024 * 2000);
    w.request.max_tokens = 7;
    planned(&w, got);
    CHECK_INT(w.plan.step[1].max_tokens, 7);
    CHECK_INT(w.plan.step[1].ceiling_nano, (1000 + 2 * 8 + 32) * 1000 + 7 * 2000);
    w.f.body_bytes = SIZE_MAX; /* beyond any bound: not callable under a budget */
    CHECK_STR(planned(&w, got), "L");
    pol_route_free(&w.route);
}

/* 30 bytes of URL may be 48169 tokens: their number, not their length, bounds what images cost. */
static void images_are_bounded_by_the_table(void)
{
    static const char *const triggers[] = { HARD };
    static const struct chat_part parts[] = { { .kind = CHAT_PART_IMAGE },
                                              { .kind = CHAT_PART_IMAGE } };
    static const struct chat_message message = { .role = CHAT_USER, .parts = parts, .n_parts = 2 };
    struct world w;
    char got[16];
    set_up(&w, 1, triggers);
    w.request.messages = &message;
    w.request.n_messages = 1;
    CHECK_STR(planned(&w, got), "L");
    w.settings.tiers[0].price.tokens_per_image = 5000;
    CHECK_STR(planned(&w, got), "L0");
    CHECK_INT(w.plan.step[1].ceiling_nano, (1000 + 2 * 5000 + 8 + 32) * 1000 + 1024 * 2000);
    w.settings.tiers[0].price.tokens_per_image = 0;
    w.settings.has_budget = false;
    CHECK_STR(planned(&w, got), "L0");
    w.settings.has_budget = true;
    w.settings.tiers[0].price.input = w.settings.tiers[0].price.cached_input = 0;
    CHECK_STR(planned(&w, got), "L0"); /* free input: nothing to bound */
    pol_route_free(&w.route);
}

/* A second of sound may be one byte of a WAV file, and cost sixteen times what text does. */
static void audio_and_video_are_bounded_by_the_table(void)
{
    static const char *const triggers[] = { HARD };
    static const struct chat_part parts[] = { { .kind = CHAT_PART_AUDIO },
                                              { .kind = CHAT_PART_AUDIO },
                                              { .kind = CHAT_PART_VIDEO } };
    struct chat_message message = { .role = CHAT_USER, .parts = parts, .n_parts = 2 };
    enum { TEXT = (1000 + 8 + 32) * 1000 + 1024 * 2000 };
    struct world w;
    char got[16];
    set_up(&w, 1, triggers);
    struct cfg_price *price = &w.settings.tiers[0].price;
    w.request.messages = &message;
    w.request.n_messages = 1;
    CHECK_STR(planned(&w, got), "L");
    price->tokens_per_image = 5000; /* says nothing of audio */
    CHECK_STR(planned(&w, got), "L");
    price->tokens_per_audio = 7000;
    CHECK_STR(planned(&w, got), "L0");
    CHECK_INT(w.plan.step[1].ceiling_nano, TEXT + 2 * 7000 * 1000);
    price->audio_input = 16 * price->input;
    planned(&w, got);
    CHECK_INT(w.plan.step[1].ceiling_nano, TEXT + 2 * 7000 * 16000);
    message.n_parts = 3;
    CHECK_STR(planned(&w, got), "L");
    price->tokens_per_video = 10;
    CHECK_STR(planned(&w, got), "L0");
    CHECK_INT(w.plan.step[1].ceiling_nano, TEXT + (2 * 7000 + 10) * 16000);
    price->tokens_per_video = INT64_MAX / 2; /* beyond any bound */
    CHECK_STR(planned(&w, got), "L");
    price->input = price->cached_input = 0; /* its audio is not free */
    price->tokens_per_video = 0;
    CHECK_STR(planned(&w, got), "L");
    price->audio_input = 0;
    CHECK_STR(planned(&w, got), "L0");
    pol_route_free(&w.route);
}

static void bounds(void)
{
    struct cfg_price price = { .known = true, .input = 1, .cached_input = 3, .output = 1 };
    int64_t nano = -1;
    CHECK_INT(pol_bound(&price, 1, 0, 0, &nano), TG_OK);
    CHECK_INT(nano, 1); /* rounded up; the dearer of input and cached input */
    CHECK_INT(pol_bound(&price, 1000000, 0, 1000000, &nano), TG_OK);
    CHECK_INT(nano, 4);
    price.input = INT64_MAX;
    CHECK_INT(pol_bound(&price, 1000001, 0, 0, &nano), TG_LIMIT);
    price.input = 0;
    price.cached_input = 0;
    price.output = INT64_MAX;
    CHECK_INT(pol_bound(&price, 1, 1, 1000000, &nano), TG_OK);
    CHECK_INT(nano, INT64_MAX);
    CHECK_INT(pol_bound(&price, 1, SIZE_MAX, 1, &nano), TG_LIMIT);
    price.input = 1;
    CHECK_INT(pol_bound(&price, 1, 1, 1000000, &nano), TG_LIMIT); /* the sum */
    price = (struct cfg_price){ .known = true }; /* free, and known to be */
    CHECK_INT(pol_bound(&price, 1 << 30, 5, 1000, &nano), TG_OK);
    CHECK_INT(nano, 0);
    price.known = false;
    CHECK_INT(pol_bound(&price, 1, 1, 1, &nano), TG_UNSUPPORTED);
}

static void escalation(void)
{
    static const char *const triggers[] = { NULL, "confidence < 0.5", BOTH };
    struct world w;
    char got[16], reason[POL_REASON_MAX];
    set_up(&w, 3, triggers);
    CHECK_STR(planned(&w, got), "L012");
    struct pol_facts facts = w.f.facts;
    CHECK_INT(pol_escalate(&w.route, &w.plan, &facts, reason), -1); /* unknown pays nothing */
    CHECK_STR(reason, "primary");
    facts.known[POL_CONFIDENCE] = true;
    facts.value[POL_CONFIDENCE] = 0.9;
    CHECK_INT(pol_escalate(&w.route, &w.plan, &facts, reason), -1);
    facts.value[POL_CONFIDENCE] = 0.6;
    CHECK_INT(pol_escalate(&w.route, &w.plan, &facts, reason), 2);
    CHECK_STR(reason, "trigger: confidence < 0.85");
    facts.value[POL_CONFIDENCE] = 0.4;
    CHECK_INT(pol_escalate(&w.route, &w.plan, &facts, reason), 1);
    CHECK_STR(reason, "trigger: confidence < 0.5");
    w.f.local_only = true;
    CHECK_STR(planned(&w, got), "L");
    CHECK_INT(pol_escalate(&w.route, &w.plan, &facts, reason), -1);
    w.f.local_only = false;
    know(&w, POL_COMPLEXITY, 0.95);
    facts.known[POL_COMPLEXITY] = true;
    facts.value[POL_COMPLEXITY] = 0.95;
    facts.value[POL_CONFIDENCE] = 0.7;
    CHECK_STR(planned(&w, got), "2L01"); /* 2 was tried and failed before local ran */
    CHECK_INT(pol_escalate(&w.route, &w.plan, &facts, reason), -1);
    pol_route_free(&w.route);
}

static void bad_triggers_and_memory(void)
{
    struct cfg_route settings = { .n_tiers = 2 };
    settings.tiers[0].trigger = "turns > 1";
    settings.tiers[1] = (struct cfg_tier){ .trigger = "confidense < 1",
                                           .trigger_path = "routes[3].fallback[1].trigger" };
    struct pol_route route;
    struct tg_error err;
    CHECK_INT(pol_route_compile(&settings, &route, &err), TG_INVALID);
    CHECK(strncmp(err.text, "routes[3].fallback[1].trigger: column 1: unknown name", 53) == 0);
    CHECK(!route.trigger[0] && !route.trigger[1]);
    settings.tiers[1].trigger = "turns > 2";
    for (uint64_t nth = 1; nth <= 2; nth++) {
        tg_alloc_fail_nth(nth);
        CHECK_INT(pol_route_compile(&settings, &route, &err), TG_NOMEM);
    }
    tg_alloc_fail_nth(0);
}

static void reasons_are_fit_for_a_header(void)
{
    static const char *const triggers[] = { "tag('\xC3\xA9\"x')\tOR\nturns >\n1" };
    static const struct tg_str tag = { "\xC3\xA9\"x", 4 };
    struct world w;
    char got[16];
    set_up(&w, 1, triggers);
    know(&w, POL_TURNS, 2);
    CHECK_STR(planned(&w, got), "0L");
    CHECK_STR(w.plan.reason, "trigger: turns > 1");
    w.f.facts.tags = &tag;
    w.f.facts.n_tags = 1;
    planned(&w, got);
    CHECK_STR(w.plan.reason, "trigger: tag('?\?\"x')");
    pol_route_free(&w.route);
}

static void a_named_model_or_nobody(void)
{
    static const char *const triggers[] = { "confidence < 0.1", NULL };
    struct world w;
    set_up(&w, 2, triggers);
    pol_decide_named(&w.route, &w.f, &w.plan);
    CHECK_INT(w.plan.n, 1);
    CHECK(w.plan.step[0].target == POL_TIER && w.plan.step[0].tier == 0);
    CHECK(w.plan.step[0].max_tokens == 1024 && w.plan.step[0].ceiling_nano > 1024 * 2000);
    CHECK_STR(w.plan.reason, "model-named");
    w.f.local_only = true;
    pol_decide_named(&w.route, &w.f, &w.plan);
    CHECK_INT(w.plan.n, 0);
    CHECK_STR(w.plan.reason, "local-only");
    w.f.local_only = false;
    w.settings.tiers[0].price.known = false;
    pol_decide_named(&w.route, &w.f, &w.plan);
    CHECK_INT(w.plan.n, 0);
    CHECK_STR(w.plan.reason, "price-unknown");
    w.settings.has_budget = false;
    pol_decide_named(&w.route, &w.f, &w.plan);
    CHECK_INT(w.plan.n, 1);
    pol_route_free(&w.route);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(plans), CASE(without_a_budget_a_price_is_not_needed), CASE(ceilings_and_max_tokens),
        CASE(bounds), CASE(images_are_bounded_by_the_table),
        CASE(audio_and_video_are_bounded_by_the_table), CASE(escalation),
        CASE(bad_triggers_and_memory), CASE(a_named_model_or_nobody),
        CASE(reasons_are_fit_for_a_header),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

#include "policy/trigger.h"

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "tests/unit/check.h"

static const char *const all_names[POL_N_NAMES] = { "confidence", "complexity", "prompt_tokens",
                                                    "max_tokens", "turns",      "tools",
                                                    "images",     "audio",      "queue_ms",
                                                    "ttft_ms",    "budget_used", "hour" };

static bool is_fraction(int name)
{
    return name == POL_CONFIDENCE || name == POL_COMPLEXITY || name == POL_BUDGET_USED;
}

static bool is_time(int name)
{
    return name == POL_QUEUE_MS || name == POL_TTFT_MS;
}

static struct pol_expr *compiled(const char *text)
{
    struct pol_expr *e;
    struct tg_error err;
    if (pol_compile(tg_str_of(text), &e, NULL, &err) != TG_OK)
        CHECK_FAIL("%s: %s", text, err.text);
    return e;
}

static enum pol_truth truth(const char *text, const struct pol_facts *facts)
{
    struct pol_expr *e = compiled(text);
    enum pol_truth value = pol_eval(e, facts);
    pol_expr_free(e);
    return value;
}

static void every_name_with_every_unit(void)
{
    static const struct { const char *text; bool fraction, time; double value; } units[] = {
        { "0.5", false, false, 0.5 }, { "50%", true, false, 0.5 }, { "1", false, false, 1 },
        { "200ms", false, true, 200 }, { "0.2s", false, true, 200 },
    };
    for (int name = 0; name < POL_N_NAMES; name++)
        for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
            struct pol_facts facts = { 0 };
            facts.known[name] = true;
            facts.value[name] = units[u].value;
            struct pol_expr *e;
            size_t column = 0;
            char text[100];
            snprintf(text, sizeof(text), "%s == %s", all_names[name], units[u].text);
            bool fits = (!units[u].fraction || is_fraction(name)) &&
                        (!units[u].time || is_time(name));
            enum tg_status status = pol_compile(tg_str_of(text), &e, &column, NULL);
            if (status != (fits ? TG_OK : TG_INVALID))
                CHECK_FAIL("%s: %s", text, tg_status_name(status));
            if (!fits)
                CHECK_INT(column, strlen(all_names[name]) + 5);
            if (fits && pol_eval(e, &facts) != POL_TRUE)
                CHECK_FAIL("%s is not true", text);
            facts.value[name] += 0.01;
            if (fits && pol_eval(e, &facts) != POL_FALSE)
                CHECK_FAIL("%s is true of another value", text);
            pol_expr_free(e);
        }
}

static void refused_at_the_column(void)
{
    static const struct {
        const char *text;
        size_t column;
    } table[] = {
        { "", 1 },
        { "   ", 4 },
        { "confidence", 11 },
        { "confidence <", 13 },
        { "confidence < 0.85 OR", 21 },
        { "confidence < 0.85 AND OR turns > 1", 23 },
        { "confidense < 0.85", 1 },
        { "confidence = 0.85", 12 },
        { "confidence < 0.85 turns > 1", 19 },
        { "(confidence < 0.85", 19 },
        { "confidence < 0.85)", 18 },
        { "()", 2 },
        { "NOT", 4 },
        { "confidence < 85", 14 },
        { "confidence < 120%", 14 },
        { "budget_used > 80", 15 },
        { "turns > 5%", 9 },
        { "turns > 5ms", 9 },
        { "confidence < 5ms", 14 },
        { "queue_ms > 5%", 12 },
        { "queue_ms > 5m", 12 },
        { "hour >= 9s", 9 },
        { "confidence < .5", 14 },
        { "confidence < 0.", 14 },
        { "confidence < -1", 14 },
        { "turns > 1e3", 9 },
        { "confidence << 1", 13 },
        { "1 < 2", 1 },
        { "confidence < turns", 14 },
        { "queue_ms > confidence", 12 },
        { "tag", 4 },
        { "tag(x)", 5 },
        { "tag('x'", 8 },
        { "tag('x", 5 },
        { "tag('')", 5 },
        { "tag('x') > 1", 10 },
        { "Confidence < 1", 1 },
        { "confidence < 0.5 && turns > 1", 18 },
        { "confidence # 1", 12 },
        { "turns \xC3\xA9", 7 },
        { "turns > 11111111111111111111111111111111111111111", 9 },
        { "turns > 1 OR 5", 15 },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct pol_expr *e = NULL;
        struct tg_error err = { 0 };
        size_t column = 0;
        char want[40];
        snprintf(want, sizeof(want), "column %zu: ", table[i].column);
        if (pol_compile(tg_str_of(table[i].text), &e, &column, &err) != TG_INVALID || e)
            CHECK_FAIL("%s: accepted", table[i].text);
        if (column != table[i].column || strncmp(err.text, want, strlen(want)) != 0)
            CHECK_FAIL("%s: column %zu, \"%s\"; want %s", table[i].text, column, err.text, want);
    }
}

static void bounded(void)
{
    struct tg_buf b;
    struct pol_expr *e;
    struct pol_facts facts = { 0 };
    for (int depth = 31; depth <= 33; depth++) {
        tg_buf_init(&b, 10000);
        for (int i = 0; i < depth; i++)
            tg_buf_adds(&b, i % 2 ? "NOT " : "(");
        tg_buf_adds(&b, "turns>1");
        for (int i = 0; i < depth; i += 2)
            tg_buf_addc(&b, ')');
        CHECK_INT(pol_compile(tg_buf_str(&b), &e, NULL, NULL), depth <= 32 ? TG_OK : TG_INVALID);
        pol_expr_free(e);
        tg_buf_free(&b);
    }
    tg_buf_init(&b, 10000); /* as many nodes as fit */
    tg_buf_adds(&b, "hour<1");
    while (b.n < 990)
        tg_buf_adds(&b, " OR hour<1");
    CHECK_INT(pol_compile(tg_buf_str(&b), &e, NULL, NULL), TG_OK);
    CHECK_INT(pol_eval(e, &facts), POL_UNKNOWN);
    pol_expr_free(e);
    tg_buf_adds(&b, " OR hour<1");
    CHECK_INT(pol_compile(tg_buf_str(&b), &e, NULL, NULL), TG_INVALID);
    tg_buf_free(&b);
    tg_alloc_fail_nth(1);
    CHECK_INT(pol_compile(TG_STR("turns > 1"), &e, NULL, NULL), TG_NOMEM);
    tg_alloc_fail_nth(0);
}

static void three_values(void)
{
    struct pol_facts facts = { 0 };
    facts.known[POL_COMPLEXITY] = facts.known[POL_TURNS] = true;
    facts.value[POL_COMPLEXITY] = 0.95;
    facts.value[POL_TURNS] = 3;
    static const struct { const char *text; enum pol_truth value; } table[] = {
        { "confidence < 0.85", POL_UNKNOWN }, { "NOT confidence < 0.85", POL_UNKNOWN },
        { "confidence < 0.85 OR complexity > 0.9", POL_TRUE },
        { "complexity > 0.9 OR confidence < 0.85", POL_TRUE },
        { "confidence < 0.85 OR complexity > 0.99", POL_UNKNOWN },
        { "confidence < 0.85 AND complexity > 0.9", POL_UNKNOWN },
        { "confidence < 0.85 AND complexity > 0.99", POL_FALSE },
        { "NOT (confidence < 0.85 AND complexity > 0.99)", POL_TRUE },
        { "confidence == confidence", POL_UNKNOWN }, /* unknown is not compared */
        { "turns > 2 AND turns >= 3 AND turns <= 3 AND turns == 3 AND turns < 4", POL_TRUE },
        { "turns != 3 OR turns < 3 OR turns > 3", POL_FALSE },
        { "turns == 3 OR turns == 4 AND turns == 5", POL_TRUE }, /* AND binds tighter */
        { "(turns == 3 OR turns == 4) AND turns == 5", POL_FALSE },
        { "not turns == 4 and not turns == 5", POL_TRUE }, { "NOT NOT turns == 3", POL_TRUE },
        { "3 == turns", POL_TRUE }, { "2 < turns", POL_TRUE }, { "0.9 < complexity", POL_TRUE },
        { "complexity > confidence", POL_UNKNOWN },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (truth(table[i].text, &facts) != table[i].value)
            CHECK_FAIL("%s: not %d", table[i].text, table[i].value);
    facts.value[POL_COMPLEXITY] = (double)NAN; /* no knowledge */
    CHECK_INT(truth("complexity > 0.9", &facts), POL_UNKNOWN);
    CHECK_INT(truth("NOT complexity > 0.9", &facts), POL_UNKNOWN);
}

static void budget_at_its_edges(void)
{
    struct pol_facts facts = { .known[POL_BUDGET_USED] = true };
    static const double used[] = { 0, 0.4 / 15, 0.8, 1, 1.2 };
    for (size_t i = 0; i < 5; i++) {
        facts.value[POL_BUDGET_USED] = used[i];
        CHECK_INT(truth("budget_used >= 80%", &facts), used[i] >= 0.8 ? POL_TRUE : POL_FALSE);
        CHECK_INT(truth("budget_used >= 0.8", &facts), used[i] >= 0.8 ? POL_TRUE : POL_FALSE);
        CHECK_INT(truth("budget_used > 100%", &facts), used[i] > 1 ? POL_TRUE : POL_FALSE);
        CHECK_INT(truth("budget_used > 110%", &facts), used[i] > 1.1 ? POL_TRUE : POL_FALSE);
        CHECK_INT(truth("budget_used <= 0%", &facts), used[i] <= 0 ? POL_TRUE : POL_FALSE);
    }
}

static void tags(void)
{
    static const struct tg_str carried[] = { { "batch", 5 }, { "a b", 3 } };
    struct pol_facts facts = { .tags = carried, .n_tags = 2 };
    CHECK_INT(truth("tag('batch')", &facts), POL_TRUE);
    CHECK_INT(truth("TAG ( 'a b' )", &facts), POL_TRUE);
    CHECK_INT(truth("tag('Batch')", &facts), POL_FALSE);
    CHECK_INT(truth("NOT tag('x') AND tag('batch')", &facts), POL_TRUE);
}

static void why(void)
{
    struct pol_facts facts = { .known[POL_TURNS] = true, .value[POL_TURNS] = 3 };
    static const struct { const char *text, *why; } table[] = {
        { "turns > 2", "turns > 2" },
        { "confidence < 0.85 OR turns>2", "turns>2" },
        { "turns == 1 OR (turns == 2 OR turns == 3)", "turns == 3" },
        { "turns > 1 AND turns > 2", "turns > 1" },
        { "NOT (turns > 9 OR turns > 5)", "turns > 9" },
        { "NOT (turns > 1 AND turns > 5)", "turns > 5" },
        { "NOT NOT turns == 3", "turns == 3" },
        { "turns > 5 OR NOT tag('x')", "tag('x')" },
        { "turns > 5", "" }, { "confidence < 0.5", "" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct pol_expr *e = compiled(table[i].text);
        struct tg_str got = pol_why(e, &facts);
        if (!tg_str_eq(got, tg_str_of(table[i].why)))
            CHECK_FAIL("%s: because %.*s", table[i].text, TG_FMT(got));
        pol_expr_free(e);
    }
    struct pol_expr *e = compiled("confidence < 0.85 OR 0.5 < complexity");
    CHECK(pol_mentions(e, POL_CONFIDENCE) && pol_mentions(e, POL_COMPLEXITY));
    CHECK(!pol_mentions(e, POL_TURNS));
    pol_expr_free(e);
}

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

static void random_expression(struct tg_buf *b, uint64_t *state, int depth)
{
    static const char *const ops[] = { "<", "<=", ">", ">=", "==", "!=" };
    uint64_t kind = draw(state, depth > 0 ? 6 : 2);
    if (kind == 5) {
        tg_buf_adds(b, "NOT ");
        random_expression(b, state, depth - 1);
    } else if (kind >= 2) {
        tg_buf_addc(b, '(');
        random_expression(b, state, depth - 1);
        tg_buf_adds(b, kind == 2 ? " AND " : " OR ");
        random_expression(b, state, depth - 1);
        tg_buf_addc(b, ')');
    } else {
        tg_buf_addf(b, "%s %s %" PRIu64, all_names[2 + draw(state, 6)], ops[draw(state, 6)],
                    draw(state, 4));
    }
}

/* What is TRUE or FALSE with some facts unknown stays so whatever they turn out to be. */
static void unknown_is_sound(void)
{
    uint64_t state = 20261120;
    int settled = 0;
    for (int round = 0; round < 4000; round++) {
        struct tg_buf b;
        struct pol_expr *e;
        struct pol_facts facts = { 0 };
        tg_buf_init(&b, 1000);
        random_expression(&b, &state, 4);
        if (b.failed || pol_compile(tg_buf_str(&b), &e, NULL, NULL) != TG_OK) {
            tg_buf_free(&b);
            continue;
        }
        for (int name = 2; name < 8; name++) {
            facts.known[name] = draw(&state, 2) == 0;
            facts.value[name] = (double)draw(&state, 4);
        }
        enum pol_truth before = pol_eval(e, &facts);
        settled += before != POL_UNKNOWN;
        for (int completion = 0; completion < 20; completion++) {
            struct pol_facts full = facts;
            for (int name = 2; name < 8; name++) {
                if (!facts.known[name])
                    full.value[name] = (double)draw(&state, 5);
                full.known[name] = true;
            }
            enum pol_truth after = pol_eval(e, &full);
            if (after == POL_UNKNOWN || (before != POL_UNKNOWN && after != before))
                CHECK_FAIL("%s: %d became %d", b.p, before, after);
            CHECK_INT(pol_why(e, &full).n > 0, after == POL_TRUE);
        }
        pol_expr_free(e);
        tg_buf_free(&b);
    }
    CHECK(settled > 500);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(every_name_with_every_unit), CASE(refused_at_the_column), CASE(bounded),
        CASE(three_values), CASE(budget_at_its_edges), CASE(tags), CASE(why),
        CASE(unknown_is_sound),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

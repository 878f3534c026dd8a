#include "config/base/alloc.h"
#include "config/settings.h"
#include "tests/unit/check.h"
#include "tests/unit/config/support_config.h"

#define BASE                                                                                       \
    "'engine':{'model':'model.gguf'},'providers':{'mine':{'kind':'openai','baseUrl':"              \
    "'http://127.0.0.1:9/v1','prices':{'free':{'input':'$0','output':'$0'}}},"                     \
    "'openai':{'kind':'openai','baseUrl':'http://127.0.0.1:9/v1'}},"                               \
    "'routes':[{'name':'a','fallback':{'provider':'mine','model':'org/free'}},{'name':'b'}]"
#define WITH(aliases) "{" BASE ",'aliases':" aliases "}"

static void all_targets(void)
{
    struct cfg_settings *s;
    struct tg_error err;
    if (support_parse(WITH("{'gpt-4o':'b','claude-*':'a','*':'local','x/y':'mine/org/free'}"), &s,
                      &err))
        CHECK_FAIL("%s", err.text);
    CHECK_INT(s->n_aliases, 4);
    CHECK_STR(s->aliases[0].name, "gpt-4o");
    CHECK_STR(s->aliases[0].target, "b");
    CHECK(!s->aliases[0].prefix && s->aliases[1].prefix && s->aliases[2].prefix);
    CHECK_STR(s->aliases[1].name, "claude-");
    CHECK_STR(s->aliases[2].name, "");
    CHECK_STR(s->aliases[2].target, "local");
    CHECK_STR(s->aliases[3].target, "mine/org/free");
    CHECK_STR(s->routes[0].tiers[0].id, "mine/org/free");
    cfg_free(s);
}

static void mistakes(void)
{
    static const struct {
        const char *aliases, *error;
        enum tg_status status;
    } table[] = {
        { "[]", "aliases: must be an object", TG_INVALID },
        { "{'':'a'}", "aliases.: a name has 1 to 200 characters", TG_INVALID },
        { "{'a b':'a'}", "aliases.a b: a name is printable ASCII without spaces", TG_INVALID },
        { "{'a*b':'a'}", "aliases.a*b: '*' may only stand at the end", TG_INVALID },
        { "{'**':'a'}", "aliases.**: '*' may only stand at the end", TG_INVALID },
        { "{'b':'a'}", "aliases.b: a route has this name already", TG_INVALID },
        { "{'local':'a'}", "aliases.local: a route has this name already", TG_INVALID },
        { "{'x':'c'}", "aliases.x: \"c\" is no route", TG_INVALID },
        { "{'x':'none/m'}", "aliases.x: \"none/m\" is no route", TG_INVALID },
        { "{'x':'min/m'}", "aliases.x: \"min/m\" is no route", TG_INVALID },
        { "{'x':'mine/'}", "aliases.x: \"mine/\" is no route", TG_INVALID },
        { "{'x':'mine'}", "aliases.x: \"mine\" is no route", TG_INVALID },
        { "{'x':1}", "aliases.x: must be", TG_INVALID },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct cfg_settings *s;
        struct tg_error err;
        char text[1000];
        snprintf(text, sizeof(text), WITH("%s"), table[i].aliases);
        CHECK_INT(support_parse(text, &s, &err), table[i].status);
        if (!strstr(err.text, table[i].error))
            CHECK_FAIL("%s: %s", table[i].aliases, err.text);
    }
}

static void too_many(void)
{
    struct cfg_settings *s;
    struct tg_error err;
    char text[8000];
    size_t n = (size_t)snprintf(text, sizeof(text), "{" BASE ",'aliases':{");
    for (int i = 0; i <= CFG_ALIASES_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s'n%d':'a'", i ? "," : "", i);
    snprintf(text + n, sizeof(text) - n, "}}");
    CHECK_INT(support_parse(text, &s, &err), TG_LIMIT);
    CHECK(strstr(err.text, "aliases: has more than 128 entries"));
}

static void prices_of_any_model(void)
{
    struct cfg_settings *s;
    struct tg_error err;
    if (support_parse(WITH("{}"), &s, &err))
        CHECK_FAIL("%s", err.text);
    CHECK(cfg_price_for(s, TG_STR("mine"), TG_STR("free")).known);
    CHECK_INT(cfg_price_for(s, TG_STR("mine"), TG_STR("free")).input, 0);
    CHECK(!cfg_price_for(s, TG_STR("mine"), TG_STR("gpt-4o")).known);
    CHECK_INT(cfg_price_for(s, TG_STR("openai"), TG_STR("gpt-4o")).input, INT64_C(2500000000));
    cfg_free(s);
}

static void every_allocation_may_fail(void)
{
    static const char text[] = WITH("{'gpt-4o':'b','claude-*':'mine/m'}");
    struct cfg_settings *s;
    struct tg_error err;
    tg_alloc_fail_nth(0);
    CHECK_INT(support_parse(text, &s, &err), TG_OK);
    uint64_t total = tg_alloc_count();
    cfg_free(s);
    for (uint64_t nth = 1; nth <= total; nth++) {
        tg_alloc_fail_nth(nth);
        enum tg_status status = support_parse(text, &s, &err);
        tg_alloc_fail_nth(0);
        CHECK(status != TG_OK && !s);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(all_targets), CASE(mistakes), CASE(too_many), CASE(prices_of_any_model),
        CASE(every_allocation_may_fail),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

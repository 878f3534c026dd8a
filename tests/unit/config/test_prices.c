#include "config/prices.h"

#include "config/base/alloc.h"
#include "tests/unit/check.h"
#include "tests/unit/config/support_config.h"

static void costs_round_up(void)
{
    static const struct { int64_t tokens, rate, nano; enum tg_status status; } table[] = {
        { 0, 1000000000, 0, TG_OK }, { 1, 1, 1, TG_OK }, { 1, 0, 0, TG_OK },
        { 1000000, 2500000000, 2500000000, TG_OK }, { 1, 2500000000, 2500, TG_OK },
        { 3, 333333, 1, TG_OK }, { 3, 333334, 2, TG_OK }, { 999999, 1, 1, TG_OK },
        { 1000000, INT64_MAX, INT64_MAX, TG_OK }, { 1000001, INT64_MAX, 0, TG_LIMIT },
        { INT64_MAX, 1000000, INT64_MAX, TG_OK }, { INT64_MAX, INT64_MAX, 0, TG_LIMIT },
        { INT64_MAX, 1000001, 0, TG_LIMIT }, { -1, 1, 0, TG_INVALID }, { 1, -1, 0, TG_INVALID },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        int64_t nano = 0;
        enum tg_status status = cfg_cost(table[i].tokens, table[i].rate, &nano);
        if (status != table[i].status || (status == TG_OK && nano != table[i].nano))
            CHECK_FAIL("case %zu: %s %" PRId64, i, tg_status_name(status), nano);
    }
}

static void shipped_table(void)
{
    struct cfg_prices *p;
    struct tg_error err;
    if (cfg_prices_load(NULL, &p, &err) != TG_OK)
        CHECK_FAIL("%s", err.text);
    CHECK_INT(strlen(cfg_prices_version(p)), 10);
    struct cfg_price price = cfg_price_of(p, TG_STR("openai"), TG_STR("gpt-4o-mini"));
    CHECK(price.known);
    CHECK_INT(price.input, 150000000);
    CHECK_INT(price.cached_input, 75000000);
    CHECK_INT(price.output, 600000000);
    CHECK_INT(price.tokens_per_message, CFG_TOKENS_PER_MESSAGE);
    CHECK(!cfg_price_of(p, TG_STR("openai"), TG_STR("gpt-9")).known);
    CHECK(!cfg_price_of(p, TG_STR("other"), TG_STR("gpt-4o-mini")).known);
    CHECK(!cfg_price_of(p, TG_STR("openai/gpt-4o"), TG_STR("mini")).known);
    CHECK(!cfg_price_of(p, TG_STR(""), TG_STR("")).known);
    CHECK(!cfg_price_of(NULL, TG_STR("openai"), TG_STR("gpt-4o")).known);
    cfg_prices_free(p);
    cfg_prices_free(NULL);
}

static void a_table_of_ones_own(void)
{
    struct cfg_prices *p;
    const char *path = support_write(
        "prices.json", "{\"version\":\"v1\",\"models\":{\"mine/a/b\":{\"input\":\"$3\","
                       "\"output\":\"$15\",\"tokensPerMessage\":1,"
                       "\"tokensPerRequest\":2,\"tokensPerImage\":3,\"tokensPerAudio\":4,"
                       "\"tokensPerVideo\":5,\"audioInput\":\"$40\"},"
                       "\"mine/free\":{\"input\":\"$0\","
                       "\"cachedInput\":\"$0\",\"output\":\"$0\"}}}");
    CHECK_INT(cfg_prices_load(path, &p, NULL), TG_OK);
    CHECK_STR(cfg_prices_version(p), "v1");
    struct cfg_price price = cfg_price_of(p, TG_STR("mine"), TG_STR("a/b"));
    CHECK(price.known && price.cached_input == price.input && price.input == 3000000000);
    CHECK(price.tokens_per_message == 1 && price.tokens_per_request == 2);
    CHECK_INT(price.tokens_per_image, 3);
    CHECK(price.tokens_per_audio == 4 && price.tokens_per_video == 5);
    CHECK_INT(price.audio_input, 40000000000);
    price = cfg_price_of(p, TG_STR("mine"), TG_STR("free"));
    CHECK(price.audio_input == 0 && !price.tokens_per_audio && !price.tokens_per_video);
    CHECK(price.known && price.input == 0 && price.output == 0); /* declared, not absent */
    cfg_prices_free(p);
    struct tg_error err;
    CHECK_INT(cfg_prices_load("no-such-folder/prices.json", &p, &err), TG_NOTFOUND);
    CHECK(!p && strstr(err.text, "no-such-folder/prices.json: "));
}

static void refused_whole(void)
{
    static const struct { const char *text, *error; } table[] = {
        { "", "T: line 1, column 1: unexpected end" },
        { "[]", "T: must be an object, is an array" },
        { "{}", "T: needs \"version\"" },
        { "{\"version\":\"1\"}", "T: needs \"models\"" },
        { "{\"version\":1,\"models\":{}}", "T: version: must be a string, is a number" },
        { "{\"version\":\"1\",\"models\":{},\"x\":1}", "T: x: unknown key" },
        { "{\"version\":\"1\",\"models\":[]}", "T: models: must be an object, is an array" },
        { "{\"version\":\"1\",\"models\":{\"gpt\":{}}}",
          "T: models.gpt: a name must be PROVIDER/MODEL" },
        { "{\"version\":\"1\",\"models\":{\"a/b\":{\"input\":\"$1\"}}}",
          "T: models.a/b: needs \"output\", dollars per million tokens" },
        { "{\"version\":\"1\",\"models\":{\"a/b\":{\"input\":1,\"output\":\"$1\"}}}",
          "T: models.a/b.input: must be an amount such as \"$2.50\", is a number" },
        { "{\"version\":\"1\",\"models\":{\"a/b\":{\"input\":\"-$1\",\"output\":\"$1\"}}}",
          "T: models.a/b.input: must be an amount such as \"$2.50\"" },
        { "{\"version\":\"1\",\"models\":{\"a/b\":{\"input\":\"$1\",\"ouput\":\"$1\"}}}",
          "T: models.a/b.ouput: unknown key; did you mean \"output\"?" },
        { "{\"version\":\"1\",\"models\":{\"a/b\":{\"input\":\"$9000000\",\"output\":\"$1\"}}}",
          "T: models.a/b.input: must be between $0 and $1000000" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct cfg_prices *p;
        struct tg_error err = { 0 };
        enum tg_status status = cfg_prices_parse(tg_str_of(table[i].text), "T", &p, &err);
        CHECK(status == TG_INVALID && !p);
        CHECK_STR(err.text, table[i].error);
    }
}

static void every_allocation_may_fail(void)
{
    struct cfg_prices *p;
    tg_alloc_fail_nth(0);
    CHECK_INT(cfg_prices_load(NULL, &p, NULL), TG_OK);
    uint64_t total = tg_alloc_count();
    cfg_prices_free(p);
    for (uint64_t nth = 1; nth <= total; nth++) {
        tg_alloc_fail_nth(nth);
        enum tg_status status = cfg_prices_load(NULL, &p, NULL);
        tg_alloc_fail_nth(0);
        CHECK_INT(status, TG_NOMEM);
        CHECK(!p);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(costs_round_up), CASE(shipped_table), CASE(a_table_of_ones_own), CASE(refused_whole),
        CASE(every_allocation_may_fail),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

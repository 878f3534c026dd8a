#include "policy/choose.h"

#include "tests/unit/check.h"

/* Routes a (tiers p/m, q/m), b (p/n), c (none); providers p, q, r. */
static struct cfg_settings settings(void)
{
    static const struct cfg_alias aliases[] = {
        { "gpt-4o", false, "b" },    { "gpt-", true, "c" },     { "gpt-5-", true, "local" },
        { "p/old", false, "q/new" }, { "cloud", false, "p/n" }, { "p/pre", true, "c" },
    };
    struct cfg_settings s = { .n_providers = 3, .n_routes = 3, .n_aliases = 6 };
    static const char *const providers[] = { "p", "q", "r" }, *const routes[] = { "a", "b", "c" };
    for (size_t i = 0; i < 3; i++) {
        s.providers[i].name = providers[i];
        s.routes[i].name = routes[i];
    }
    memcpy(s.aliases, aliases, sizeof(aliases));
    s.routes[0].n_tiers = 2;
    s.routes[0].tiers[0] = (struct cfg_tier){ .provider = "p", .model = "m", .id = "p/m",
                                              .max_tokens = 7 };
    s.routes[0].tiers[1] = (struct cfg_tier){ .provider = "q", .model = "m", .id = "q/m",
                                              .max_tokens = 8 };
    s.routes[1].n_tiers = 1;
    s.routes[1].tiers[0] = (struct cfg_tier){ .provider = "p", .model = "n", .id = "p/n",
                                              .max_tokens = 9 };
    return s;
}

static void names(void)
{
    static const struct {
        const char *name, *got; /* route, L for local, provider/model:max; "" none */
    } table[] = {
        { "", "0" },
        { "a", "0" },
        { "b", "1" },
        { "local", "0 L" },
        { "gpt-4o", "1" },
        { "gpt-4o-mini", "2" },
        { "gpt-5-nano", "0 L" },
        { "gpt-5", "2" },
        { "gpt", "" },
        { "p/m", "0 p/m:7" },
        { "p/n", "1 p/n:9" },
        { "p/else", "0 p/else:1024" },
        { "p/org/else", "0 p/org/else:1024" },
        { "q/m", "0 q/m:8" },
        { "r/m", "0 r/m:1024" },
        { "p/old", "0 q/new:1024" },
        { "p/prefixed", "0 p/prefixed:1024" },
        { "cloud", "1 p/n:9" },
        { "p/", "" },
        { "p", "" },
        { "/m", "" },
        { "s/m", "" },
        { "p/a b", "" },
        { "p/\xC3\xA9", "" },
        { "p/\x7F", "" },
        { "A", "" },
    };
    struct cfg_settings s = settings();
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct pol_choice c;
        char got[64] = "";
        if (pol_choose(&s, tg_str_of(table[i].name), &c)) {
            int n = snprintf(got, sizeof(got), "%zu%s", c.route, c.local ? " L" : "");
            if (c.provider.n)
                snprintf(got + n, sizeof(got) - (size_t)n, " %.*s/%.*s:%u", TG_FMT(c.provider),
                         TG_FMT(c.model), c.max_tokens);
        }
        if (strcmp(got, table[i].got) != 0)
            CHECK_FAIL("%s: %s, not %s", table[i].name, got, table[i].got);
    }
}

static void long_names(void)
{
    struct cfg_settings s = settings();
    struct pol_choice c;
    char name[300] = "p/";
    memset(name + 2, 'x', 263);
    CHECK(pol_choose(&s, (struct tg_str){ name, 265 }, &c));
    name[265] = 'x';
    CHECK(!pol_choose(&s, (struct tg_str){ name, 266 }, &c));
}

static void lists(void)
{
    static const char *const remote[] = { "a", "b", "c", "local", "gpt-4o", "p/old", "cloud",
                                          "p/m", "q/m", "p/n" };
    static const char *const here[] = { "a", "b", "c", "local", "gpt-4o" };
    struct cfg_settings s = settings();
    const char *got[POL_NAMES_MAX];
    CHECK_INT(pol_names(&s, true, got), 10);
    for (size_t i = 0; i < 10; i++)
        CHECK_STR(got[i], remote[i]);
    CHECK_INT(pol_names(&s, false, got), 5);
    for (size_t i = 0; i < 5; i++)
        CHECK_STR(got[i], here[i]);
    s.routes[1].tiers[0] = s.routes[0].tiers[1];
    CHECK_INT(pol_names(&s, true, got), 9); /* q/m once */
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(names), CASE(long_names), CASE(lists) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

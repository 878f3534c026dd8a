#include "gateway/cors.h"

#include "config/base/alloc.h"
#include "tests/unit/check.h"

static const struct cfg_cors off = { .n_origins = 0 }, any = { .any = true },
                             two = { .origins = { "https://app.example.com",
                                                  "http://localhost:3000" },
                                     .n_origins = 2 };

static void origins(void)
{
    static const struct {
        const struct cfg_cors *cors;
        const char *origin;
        enum gw_origin want;
    } table[] = {
        { &off, NULL, GW_ORIGIN_NONE },
        { &off, "http://localhost", GW_ORIGIN_LOCAL },
        { &off, "https://localhost:8443", GW_ORIGIN_LOCAL },
        { &off, "http://127.0.0.1:1", GW_ORIGIN_LOCAL },
        { &off, "https://[::1]:3000", GW_ORIGIN_LOCAL },
        { &off, "http://localhost.evil.example", GW_ORIGIN_FOREIGN },
        { &off, "http://127.0.0.11", GW_ORIGIN_FOREIGN },
        { &off, "http://127.0.0.1.evil.example:80", GW_ORIGIN_FOREIGN },
        { &off, "https://app.example.com", GW_ORIGIN_FOREIGN },
        { &off, "null", GW_ORIGIN_FOREIGN },
        { &off, "", GW_ORIGIN_FOREIGN },
        { &two, NULL, GW_ORIGIN_NONE },
        { &two, "https://app.example.com", GW_ORIGIN_LISTED },
        { &two, "http://app.example.com", GW_ORIGIN_FOREIGN },
        { &two, "https://app.example.com:444", GW_ORIGIN_FOREIGN },
        { &two, "https://app.example.com.evil.example", GW_ORIGIN_FOREIGN },
        { &two, "https://app.example.co", GW_ORIGIN_FOREIGN },
        { &two, "https://x.app.example.com", GW_ORIGIN_FOREIGN },
        { &two, "http://localhost:3000", GW_ORIGIN_LISTED },
        { &two, "http://localhost:3001", GW_ORIGIN_LOCAL },
        { &two, "null", GW_ORIGIN_FOREIGN },
        { &any, NULL, GW_ORIGIN_NONE },
        { &any, "https://anybody.example", GW_ORIGIN_LISTED },
        { &any, "null", GW_ORIGIN_LISTED },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        enum gw_origin got = gw_cors_origin(table[i].cors, tg_str_of(table[i].origin));
        if (got != table[i].want)
            CHECK_FAIL("row %zu (%s): %d", i, table[i].origin, got);
    }
}

static void names(void)
{
    static const struct {
        const char *list, *want;
    } table[] = {
        { "", "" },
        { "authorization", "authorization" },
        { " x-api-key ,anthropic-version,\tX-Stainless-OS", "x-api-key, anthropic-version, "
                                                             "X-Stainless-OS" },
        { ",,a,,b,", "a, b" },
        { "a b, c\"d, e:f, g", "g" },
        { "a\xff, \x01, b", "b" },
    };
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        tg_buf_reset(&out);
        CHECK_INT(gw_cors_names(tg_str_of(table[i].list), &out), TG_OK);
        CHECK_STR(out.n ? out.p : "", table[i].want);
    }
    tg_buf_free(&out);
}

static void names_are_bounded(void)
{
    static char many[4000], longer[4001];
    struct tg_buf out;
    tg_buf_init(&out, GW_CORS_NAMES_BYTES);
    for (size_t i = 0; i < sizeof(many); i++)
        many[i] = i % 2 ? ',' : 'a';
    CHECK_INT(gw_cors_names((struct tg_str){ many, sizeof(many) }, &out), TG_OK);
    CHECK_INT(out.n, 3 * GW_CORS_NAMES_MAX - 2);
    tg_buf_reset(&out);
    for (size_t i = 0; i < 4000; i++)
        longer[i] = i % 100 ? 'a' : ',';
    CHECK_INT(gw_cors_names(tg_str_of(longer), &out), TG_OK);
    CHECK(out.n > GW_CORS_NAMES_BYTES - 150 && out.n <= GW_CORS_NAMES_BYTES);
    tg_buf_free(&out);
    tg_alloc_fail_nth(1);
    CHECK_INT(gw_cors_names(TG_STR("a"), &out), TG_NOMEM);
    tg_alloc_fail_nth(0);
    tg_buf_free(&out);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(origins), CASE(names), CASE(names_are_bounded),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

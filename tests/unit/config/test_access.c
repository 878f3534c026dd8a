/* Where the gateway listens, who administrates it, and budgets as text. */
#include "config/base/alloc.h"
#include "config/settings.h"
#include "config/survey.h"
#include "tests/unit/check.h"
#include "tests/unit/config/support_config.h"

#define WITH(more) "{'engine':{'model':'model.gguf'}," more "}"
#define GOOD_KEY "{'file':'admin-key'}"

static void write_keys(void)
{
    support_folder();
    support_write("admin-key", "0123456789abcdef\n");
    support_write("short-key", "0123456789abcde\n");
}

static void any_numeric_address(void)
{
    static const struct {
        const char *listen, *host;
        int port;
    } table[] = {
        { "0.0.0.0:80", "0.0.0.0", 80 },         { "[::]:8443", "::", 8443 },
        { "192.0.2.7:1", "192.0.2.7", 1 },       { "localhost:9", "127.0.0.1", 9 },
        { "[2001:db8::1]:5", "2001:db8::1", 5 }, { "127.1.2.3:0", "127.1.2.3", 0 },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct cfg_settings *s;
        struct tg_error err;
        char text[300];
        snprintf(text, sizeof(text), WITH("'listen':'%s'"), table[i].listen);
        if (support_parse(text, &s, &err))
            CHECK_FAIL("%s", err.text);
        CHECK_STR(s->listen_host, table[i].host);
        CHECK_INT(s->listen_port, table[i].port);
        CHECK(!s->admin.listen_host && !s->admin.key);
        cfg_free(s);
    }
}

static void admin_is_read(void)
{
    struct cfg_settings *s;
    struct tg_error err;
    write_keys();
    CHECK_INT(support_parse(WITH("'admin':{'listen':'[::1]:81'}"), &s, &err), TG_OK);
    CHECK_STR(s->admin.listen_host, "::1");
    CHECK(s->admin.listen_port == 81 && !s->admin.key);
    cfg_free(s);
    if (support_parse(WITH("'admin':{'listen':'0.0.0.0:81','key':" GOOD_KEY "}"), &s, &err))
        CHECK_FAIL("%s", err.text);
    CHECK_STR(s->admin.key, "0123456789abcdef");
    cfg_free(s);
    CHECK_INT(support_parse(WITH("'admin':{'key':" GOOD_KEY "}"), &s, &err), TG_OK);
    CHECK(!s->admin.listen_host && s->admin.key);
    cfg_free(s);
}

static void mistakes(void)
{
    static const struct {
        const char *members, *error;
    } table[] = {
        { "'listen':'example.com:80'", "listen: must be a numeric address" },
        { "'listen':':80'", "listen: must be a numeric address" },
        { "'listen':'::1:80'", "listen: an IPv6 address stands in brackets" },
        { "'admin':{}", "admin: needs \"listen\", \"key\" or both" },
        { "'admin':{'listen':'8081'}", "admin.listen: must be ADDRESS:PORT" },
        { "'admin':{'listen':'0.0.0.0:81'}", "admin: listen is not this machine alone" },
        { "'admin':{'listen':'192.0.2.1:81'}", "admin: listen is not this machine alone" },
        { "'admin':{'key':'0123456789abcdef'}", "admin.key: a secret is not written here" },
        { "'admin':{'key':{'file':'short-key'}}", "admin.key: has less than 16 characters" },
        { "'admin':{'port':1}", "admin.port: unknown key" },
    };
    write_keys();
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct cfg_settings *s;
        struct tg_error err;
        char text[400];
        snprintf(text, sizeof(text), WITH("%s"), table[i].members);
        CHECK(support_parse(text, &s, &err) != TG_OK);
        if (!strstr(err.text, table[i].error))
            CHECK_FAIL("%s: %s", table[i].members, err.text);
    }
}

static void budgets(void)
{
    static const struct {
        const char *text;
        int64_t nano;
        enum cfg_period period;
    } good[] = {
        { "$20/month", 20000000000, CFG_PERIOD_MONTH },
        { "$0.50/day", 500000000, CFG_PERIOD_DAY },
        { "$0/week", 0, CFG_PERIOD_WEEK },
    };
    static const char *const bad[] = { "", "$20", "20/month", "$20/year", "$/day", "/day", "$1/",
                                       "$-1/day", "$1/day/day", "$1 /day" };
    int64_t nano;
    enum cfg_period period;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        CHECK(cfg_parse_budget(tg_str_of(good[i].text), &nano, &period));
        CHECK(nano == good[i].nano && period == good[i].period);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (cfg_parse_budget(tg_str_of(bad[i]), &nano, &period))
            CHECK_FAIL("%s", bad[i]);
    CHECK(!cfg_parse_budget((struct tg_str){ NULL, 0 }, &nano, &period));
}

static void admin_listen_needs_a_restart_and_its_key_does_not(void)
{
    struct cfg_settings *now, *next;
    struct tg_error err;
    write_keys();
    CHECK_INT(support_parse(WITH("'admin':{'listen':'127.0.0.1:81'}"), &now, &err), TG_OK);
    CHECK_INT(support_parse(WITH("'admin':{'listen':'127.0.0.1:81','key':" GOOD_KEY "}"), &next,
                            &err), TG_OK);
    CHECK(!cfg_restart_needed(now, next));
    cfg_free(next);
    CHECK_INT(support_parse(WITH("'admin':{'listen':'127.0.0.1:82'}"), &next, &err), TG_OK);
    CHECK_STR(cfg_restart_needed(now, next), "admin.listen");
    cfg_free(next);
    CHECK_INT(support_parse(WITH("'heartbeat':'1s'"), &next, &err), TG_OK);
    CHECK_STR(cfg_restart_needed(now, next), "admin.listen");
    CHECK_STR(cfg_restart_needed(next, now), "admin.listen");
    cfg_free(next);
    cfg_free(now);
}

static void doctor_sees_the_admin_key(void)
{
    struct cfg_survey *s;
    struct tg_error err;
    write_keys();
    const char *path = support_write("config.json", "{\"admin\":{\"key\":{\"file\":\"gone\"}}}");
    CHECK_INT(cfg_survey(path, &s, &err), TG_OK);
    CHECK_INT(s->n_keys, 1);
    CHECK_STR(s->keys[0].path, "admin.key");
    CHECK_INT(s->keys[0].state, CFG_KEY_MISSING);
    cfg_survey_free(s);
}

static void allocations_may_fail(void)
{
    write_keys();
    for (uint64_t nth = 1;; nth++) {
        struct cfg_settings *s;
        struct tg_error err;
        tg_alloc_fail_nth(nth);
        enum tg_status status =
            support_parse(WITH("'admin':{'listen':'0.0.0.0:81','key':" GOOD_KEY "}"), &s, &err);
        bool all = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || status == TG_NOMEM || status == TG_INVALID ||
              status == TG_NOTFOUND || status == TG_IO);
        if (status == TG_OK)
            cfg_free(s);
        if (all)
            break;
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(any_numeric_address),
        CASE(admin_is_read),
        CASE(mistakes),
        CASE(budgets),
        CASE(admin_listen_needs_a_restart_and_its_key_does_not),
        CASE(doctor_sees_the_admin_key),
        CASE(allocations_may_fail),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

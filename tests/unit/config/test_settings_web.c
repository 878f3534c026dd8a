/* "tls" and "cors". */
#include "config/settings.h"

#include "config/base/alloc.h"
#include "tests/unit/check.h"
#include "tests/unit/config/support_config.h"

#define WITH(more) "{'engine':{'model':'model.gguf'}," more "}"
#define TLS(more) WITH("'tls':{" more "}")
#define ORIGINS(list) WITH("'cors':{'origins':[" list "]}")

static void off_by_default(void)
{
    struct cfg_settings *s = support_parsed(WITH("'heartbeat':'1s'"));
    CHECK(!s->tls.certificate && !s->tls.key && !s->tls.client_ca && !s->tls.only_13);
    CHECK(!s->cors.any && s->cors.n_origins == 0 && s->cors.max_age_ms == 600000);
    cfg_free(s);
}

static void tls(void)
{
    char path[400];
    struct cfg_settings *s = support_parsed(TLS("'certificate':'a.pem','key':'/k.pem'"));
    snprintf(path, sizeof(path), "%s/a.pem", support_folder());
    CHECK_STR(s->tls.certificate, path);
    CHECK_STR(s->tls.key, "/k.pem");
    CHECK(!s->tls.client_ca && !s->tls.only_13);
    cfg_free(s);
    s = support_parsed(TLS("'certificate':'a','key':'k','clientCa':'/c','minVersion':'1.3'"));
    CHECK_STR(s->tls.client_ca, "/c");
    CHECK(s->tls.only_13);
    cfg_free(s);
    s = support_parsed(TLS("'certificate':'a','key':'k','minVersion':'1.2'"));
    CHECK(!s->tls.only_13);
    cfg_free(s);
}

static void origins(void)
{
    static const char *const want[] = { "https://app.example.com", "https://app.example.com:8443",
                                        "http://localhost", "http://localhost:443",
                                        "http://[::1]:3000", "chrome-extension://abc",
                                        "tauri://localhost" };
    struct cfg_settings *s =
        support_parsed(ORIGINS("'HTTPS://App.Example.com:443','https://app.example.com:8443',"
                       "'http://localhost:80','http://localhost:443','http://[::1]:3000',"
                       "'chrome-extension://abc','tauri://localhost'"));
    CHECK(!s->cors.any);
    CHECK_INT(s->cors.n_origins, sizeof(want) / sizeof(*want));
    for (size_t i = 0; i < s->cors.n_origins; i++)
        CHECK_STR(s->cors.origins[i], want[i]);
    cfg_free(s);
    s = support_parsed(WITH("'cors':{'origins':['*'],'maxAge':'1h'}"));
    CHECK(s->cors.any && s->cors.n_origins == 0 && s->cors.max_age_ms == 3600000);
    cfg_free(s);
}

static void mistakes_are_named(void)
{
    static const struct {
        const char *text, *error;
    } table[] = {
        { TLS(""), "tls: needs \"certificate\" and \"key\": the names of PEM files" },
        { TLS("'certificate':'a'"), "tls: needs \"certificate\" and \"key\"" },
        { TLS("'certificate':'a','kex':'b'"), "tls.kex: unknown key; did you mean \"key\"?" },
        { TLS("'certificate':'a','key':'b','minVersion':'1.1'"),
          "tls.minVersion: must be \"1.2\" or \"1.3\"" },
        { WITH("'tls':true"), "tls: must be an object, is a boolean" },
        { WITH("'cors':{}"), "cors: needs \"origins\": whose pages may call" },
        { ORIGINS(""), "cors.origins: must not be empty" },
        { WITH("'cors':{'origins':'*'}"),
          "cors.origins: must be an array of origins, such as [\"https://app.example.com\"] or "
          "[\"*\"], is a string" },
        { ORIGINS("'*','https://a'"), "cors.origins: \"*\" means every origin: it stands alone" },
        { ORIGINS("'null'"), "cors.origins[0]: must be SCHEME://HOST" },
        { ORIGINS("'https://a','https://a/'"), "cors.origins[1]: must be SCHEME://HOST" },
        { ORIGINS("'https://'"), "cors.origins[0]: must be SCHEME://HOST" },
        { ORIGINS("'://a'"), "cors.origins[0]: must be SCHEME://HOST" },
        { ORIGINS("'https://a:'"), "cors.origins[0]: must be SCHEME://HOST" },
        { ORIGINS("'https://*.example.com'"), "cors.origins[0]: must be SCHEME://HOST" },
        { ORIGINS("'https://u@a'"), "cors.origins[0]: must be SCHEME://HOST" },
        { ORIGINS("7"), "cors.origins[0]: must be a string, is a number" },
        { WITH("'cors':{'origins':['*'],'maxAge':'2d'}"),
          "cors.maxAge: must be between 0s and 86400s" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct cfg_settings *s = NULL;
        struct tg_error err = { 0 };
        if (support_parse(table[i].text, &s, &err) != TG_INVALID || s ||
            !strstr(err.text, table[i].error))
            CHECK_FAIL("%s: %s", table[i].text, err.text);
    }
}

static void every_allocation_may_fail(void)
{
    static const char text[] = WITH("'tls':{'certificate':'a','key':'b','clientCa':'c'},"
                                    "'cors':{'origins':['https://a','https://b']}");
    struct cfg_settings *s;
    tg_alloc_fail_nth(0);
    s = support_parsed(text);
    uint64_t total = tg_alloc_count();
    cfg_free(s);
    for (uint64_t nth = 1; nth <= total; nth++) {
        struct tg_error err = { 0 };
        tg_alloc_fail_nth(nth);
        enum tg_status status = support_parse(text, &s, &err);
        tg_alloc_fail_nth(0);
        CHECK(status != TG_OK && !s && err.text[0]);
    }
}

static void too_many_origins(void)
{
    char text[4000] = "{'cors':{'origins':['https://a'";
    struct cfg_settings *s;
    struct tg_error err;
    for (int i = 0; i < CFG_ORIGINS_MAX; i++)
        strcat(text, ",'https://a'");
    strcat(text, "]}}");
    CHECK_INT(support_parse(text, &s, &err), TG_LIMIT);
    CHECK(strstr(err.text, "cors.origins[64]: at most 64 origins"));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(off_by_default), CASE(tls), CASE(origins), CASE(mistakes_are_named),
        CASE(too_many_origins), CASE(every_allocation_may_fail),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

#include "config/settings.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "tests/unit/check.h"
#include "tests/unit/config/support_config.h"

#define ENGINE "'engine':{'model':'model.gguf'}"
#define PROVIDER "'providers':{'openai':{'kind':'openai','apiKey':{'file':'key'}}}"
#define WITH(more) "{" ENGINE "," more "}"
#define ROUTE(more) "{" ENGINE "," PROVIDER ",'routes':[{'name':'r'," more "}]}"
#define TIER(more) ROUTE("'fallback':[{'provider':'openai','model':'m'" more "}]")
#define OPENAI(more) "{" ENGINE ",'providers':{'x':{'kind':'openai'" more "}}}"

static const char *below(const char *name)
{
    static char path[300];
    snprintf(path, sizeof(path), "%s/%s", support_folder(), name);
    return path;
}

static void defaults(void)
{
    setenv("XDG_STATE_HOME", "/state", 1);
    struct cfg_settings *s = support_parsed("{" ENGINE "}");
    CHECK_STR(s->listen_host, "127.0.0.1");
    CHECK_INT(s->listen_port, 8080);
    CHECK_STR(s->data_dir, "/state/tollgate");
    CHECK_STR(s->time_zone, "UTC");
    CHECK_STR(s->engine.model, below("model.gguf"));
    CHECK_STR(s->engine.device, "auto");
    CHECK_STR(s->engine.precision, "auto");
    CHECK_INT(s->engine.threads, 0);
    CHECK(s->engine.context == 0 && s->engine.queue == 1024 && s->engine.max_tokens == 1024);
    CHECK_INT(s->n_providers, 0);
    CHECK_INT(s->n_routes, 1);
    CHECK_STR(s->routes[0].name, "default");
    CHECK(s->routes[0].n_tiers == 0 && !s->routes[0].has_budget);
    CHECK_INT(s->routes[0].timeout_ms, 600000);
    CHECK(s->routes[0].hold.tokens == 24 && s->routes[0].hold.time_ms == 2000);
    CHECK_INT(s->routes[0].hold.bytes, 4096);
    CHECK_INT(s->limits.body, 32 << 20);
    CHECK_INT(s->limits.bodies_in_flight, 256 << 20);
    CHECK_INT(s->limits.drain_ms, 30000);
    CHECK_INT(s->heartbeat_ms, 15000);
    CHECK(s->responses.max_bytes == 64 << 20 && s->responses.ttl_ms == 86400000);
    cfg_free(s);
    cfg_free(NULL);
}

static void everything(void)
{
    setenv("TOLLGATE_TEST_KEY", " sk-from-the-environment ", 1);
    struct cfg_settings *s = support_parsed(
        "{'listen':'[::1]:0','dataDir':'data','modelDir':'/models','timeZone':'local',"
        "'heartbeat':'200ms','engine':{'model':'model.gguf','device':'cpu','context':512,'queue':2,"
        "'precision':'exact','threads':3,"
        "'maxTokens':9},'providers':{'openai':{'kind':'openai','apiKey':{'env':'TOLLGATE_TEST_KEY'}"
        "},"
        "'mine':{'kind':'openai','baseUrl':'http://127.0.0.1:9999/v1/','connectTimeout':'1s',"
        "'idleTimeout':'2s','timeout':'3s','prices':{'free':{'input':'$0','output':'$0'}}}},"
        "'routes':[{'name':'a','primary':{'provider':'local','maxLatency':'200ms'},'fallback':["
        "{'provider':'openai','model':'gpt-4o','trigger':'confidence < 0.85','maxTokens':5},"
        "{'provider':'mine','model':'free'}],'costPolicy':{'preferSelfHosted':true,"
        "'cloudBudget':'$500/month','alertAt':'90%'},'holdBack':{'tokens':4,'time':'1s',"
        "'bytes':'1KiB'},'timeout':'1m','monitoring':{'logAllRequests':true,'compareModels':false}}"
        ","
        "{'name':'b','fallback':{'provider':'mine','model':'free','trigger':'x'}}],"
        "'limits':{'body':'1MiB','headers':'8KiB','headerTimeout':'1s','bodyTimeout':'2s',"
        "'idleTimeout':'3s','writeTimeout':'4s','connections':5,'drain':'6s',"
        "'bodiesInFlight':'2MiB'},'responses':{'maxBytes':'0B','ttl':'5m'}}");
    CHECK_STR(s->listen_host, "::1");
    CHECK(s->listen_port == 0 && s->heartbeat_ms == 200);
    CHECK_STR(s->data_dir, below("data"));
    CHECK_STR(s->engine.precision, "exact");
    CHECK_INT(s->engine.threads, 3);
    CHECK(s->engine.context == 512 && s->engine.queue == 2 && s->engine.max_tokens == 9);
    CHECK_INT(s->n_providers, 2);
    CHECK_STR(s->providers[0].base_url, "https://api.openai.com/v1");
    CHECK_STR(s->providers[0].api_key, "sk-from-the-environment");
    CHECK_STR(s->providers[1].base_url, "http://127.0.0.1:9999/v1");
    CHECK(!s->providers[1].api_key && s->providers[1].timeout_ms == 3000);
    const struct cfg_route *a = &s->routes[0], *b = &s->routes[1];
    CHECK(a->max_latency_ms == 200 && a->n_tiers == 2 && a->timeout_ms == 60000);
    CHECK_STR(a->tiers[0].trigger_path, "routes[0].fallback[0].trigger");
    CHECK(a->tiers[0].price.known && a->tiers[0].price.output == 10000000000);
    CHECK(a->tiers[0].max_tokens == 5 && a->tiers[1].max_tokens == 1024);
    CHECK(!a->tiers[1].trigger && a->tiers[1].price.known && a->tiers[1].price.input == 0);
    CHECK(a->has_budget && a->budget_nano == 500000000000 && a->period == CFG_PERIOD_MONTH);
    CHECK(a->alert_millionths == 900000 && a->hold.tokens == 4 && a->hold.bytes == 1024);
    CHECK_STR(b->tiers[0].trigger_path, "routes[1].fallback.trigger");
    CHECK(s->limits.connections == 5 && s->limits.headers == 8192);
    CHECK(s->limits.write_timeout_ms == 4000 && s->limits.body_timeout_ms == 2000);
    CHECK(s->responses.max_bytes == 0 && s->responses.ttl_ms == 300000);
    cfg_free(s);
    char text[] = "the key is sk-from-the-environment";
    tg_log_mask(text);
    CHECK(!strstr(text, "sk-from"));
}

struct refusal {
    const char *text, *error; /* behind "FILE: " */
};

static const struct refusal wrong[] = {
    { "", "line 1, column 1: unexpected end" },
    { "{} // no comments", "line 1, column 4: text behind the end of the value" },
    { "[]", "must be an object, is an array" },
    { "{}", "engine.model: needed: the GGUF file that answers" },
    { WITH("'lisen':'x'"), "lisen: unknown key; did you mean \"listen\"?" },
    { WITH("'zzzzz':1"), "zzzzz: unknown key" },
    { WITH("'a\\u0007b':1"), "a?b: unknown key" },
    { WITH("'listen':8080"), "listen: must be a string, is a number" },
    { WITH("'listen':'8080'"), "listen: must be ADDRESS:PORT, such as \"127.0.0.1:8080\"" },
    { WITH("'listen':'127.0.0.1:65536'"),
      "listen: must be ADDRESS:PORT, such as \"127.0.0.1:8080\"" },
    { WITH("'listen':'::1:80'"), "listen: an IPv6 address stands in brackets: \"[::1]:8080\"" },
    { WITH("'timeZone':'Europe/Berlin'"), "timeZone: must be \"UTC\" or \"local\"" },
    { WITH("'heartbeat':15"),
      "heartbeat: must be a duration such as \"10s\" or \"200ms\", is a number" },
    { WITH("'heartbeat':'1ms'"), "heartbeat: must be between 10ms and 86400s" },
    { "{'engine':{'model':'model.gguf','device':'gpu'}}",
      "engine.device: must be \"auto\", \"cpu\" or \"vulkan\"" },
    { "{'engine':{'model':'model.gguf','precision':'low'}}",
      "engine.precision: must be \"auto\", \"exact\" or \"fast\"" },
    { "{'engine':{'model':'model.gguf','threads':0}}",
      "engine.threads: must be between 1 and 512" },
    { "{'engine':{'model':'model.gguf','context':1.5}}", "engine.context: must be a whole number" },
    { "{'engine':{'model':'model.gguf','queue':0}}", "engine.queue: must be between 1 and 4096" },
    { "{'engine':{'model':''}}", "engine.model: must not be empty" },
    { "{'engine':{'model':'a\\nb'}}", "engine.model: has a control character" },
    { WITH("'routes':[]"), "routes: must have at least one route" },
    { WITH("'routes':{}"), "routes: must be an array, is an object" },
    { WITH("'routes':[{}]"), "routes[0]: needs \"name\"" },
    { WITH("'routes':[{'name':'a b'}]"),
      "routes[0].name: a name has 1 to 64 of A-Z a-z 0-9 . _ -" },
    { WITH("'routes':[{'name':'a'},{'name':'a'}]"), "routes[1]: routes[0] is named \"a\" too" },
    { ROUTE("'fallback':7"),
      "routes[0].fallback: must be an object or an array of objects, is a number" },
    { ROUTE("'fallback':[7]"), "routes[0].fallback[0]: must be an object, is a number" },
    { ROUTE("'fallback':[{'provider':'openai','modle':'m'}]"),
      "routes[0].fallback[0].modle: unknown key; did you mean \"model\"?" },
    { ROUTE("'fallback':[{'provider':'openai'}]"), "routes[0].fallback[0]: needs \"model\"" },
    { ROUTE("'fallback':{'model':'m'}"), "routes[0].fallback: needs \"provider\"" },
    { ROUTE("'fallback':{'provider':'nobody','model':'m'}"),
      "routes[0].fallback.provider: no entry of \"providers\" is named \"nobody\"" },
    { ROUTE("'fallback':{'provider':'openai','model':'a b'}"),
      "routes[0].fallback.model: a model's name is printable ASCII without spaces" },
    { TIER(",'maxTokens':0"), "routes[0].fallback[0].maxTokens: must be between 1 and 1000000" },
    { TIER(",'trigger':''"), "routes[0].fallback[0].trigger: must not be empty" },
    { ROUTE("'costPolicy':{'cloudBudget':500}"),
      "routes[0].costPolicy.cloudBudget: must be a string, "
      "is a number" },
    { ROUTE("'costPolicy':{'cloudBudget':'$500'}"),
      "routes[0].costPolicy.cloudBudget: must be an amount for a day, week or month, such as "
      "\"$500/month\"" },
    { ROUTE("'costPolicy':{'cloudBudget':'500/month'}"),
      "routes[0].costPolicy.cloudBudget: must be an amount for a day, week or month, such as "
      "\"$500/month\"" },
    { ROUTE("'costPolicy':{'alertAt':'80%'}"),
      "routes[0].costPolicy.alertAt: has no effect without \"cloudBudget\"" },
    { ROUTE("'costPolicy':{'cloudBudget':'$1/day','alertAt':'101%'}"),
      "routes[0].costPolicy.alertAt: must be between 0.0001% and 100%" },
    { ROUTE("'holdBack':{'bytes':'2MiB'}"),
      "routes[0].holdBack.bytes: must be between 1B and 1MiB" },
    { ROUTE("'primary':{'maxLatency':'soon'}"),
      "routes[0].primary.maxLatency: must be a duration such as \"10s\" or \"200ms\"" },
    { WITH("'limits':{'body':'2MiB','bodiesInFlight':'1MiB'}"),
      "limits: bodiesInFlight must be at least body" },
    { WITH("'responses':{'ttl':'0s'}"),
      "responses.ttl: must be between 1ms and 31622400s" },
    { WITH("'limits':{'connections':'many'}"),
      "limits.connections: must be a whole number, is a string" },
    { WITH("'limits':{'connections':65537}"), "limits.connections: must be between 1 and 65536" },
    { WITH("'providers':{'local':{'kind':'openai'}}"),
      "providers.local: this name is taken by Tollgate itself" },
    { WITH("'providers':{'a/b':{'kind':'openai'}}"),
      "providers.a/b: a name has 1 to 64 of A-Z a-z 0-9 . _ -" },
    { WITH("'providers':{'x':{}}"), "providers.x: needs \"kind\": \"openai\"" },
    { OPENAI(""),
      "providers.x: needs \"apiKey\": {\"env\": \"NAME\"}, or the \"baseUrl\" of a server "
      "that takes none" },
    { OPENAI(",'apiKey':'sk-do-not-print'"),
      "providers.x.apiKey: a secret is not written here: use "
      "{\"env\": \"NAME\"} or {\"file\": \"PATH\"}" },
    { OPENAI(",'apiKey':{'env':'sk-pasted-by-mistake'}"),
      "providers.x.apiKey: \"env\" is not the name of an environment variable (A-Z a-z 0-9 _): the "
      "key itself is not written here" },
    { OPENAI(",'apiKey':{}"), "providers.x.apiKey: needs either \"env\" or \"file\"" },
    { OPENAI(",'apiKey':{'env':'A','file':'key'}"),
      "providers.x.apiKey: needs either \"env\" or \"file\"" },
    { OPENAI(",'apiKey':{'file':'empty'}"), "providers.x.apiKey: the file is empty" },
    { OPENAI(",'baseUrl':'https://h','prices':{'m':{'input':'$1'}}"),
      "providers.x.prices.m: needs \"output\", dollars per million tokens" },
    { OPENAI(",'baseUrl':'https://h','prices':{'':{'input':'$1','output':'$1'}}"),
      "providers.x.prices.: a model's name must not be empty or begin with '/'" },
};

static const struct refusal later[] = {
    { ROUTE("'monitoring':{'compareModels':true}"),
      "routes[0].monitoring.compareModels: not in this version" },
    { ROUTE("'monitoring':{'dashboardUrl':'/x'}"),
      "routes[0].monitoring.dashboardUrl: not in this version" },
    { ROUTE("'monitoring':{'logAllRequests':false}"),
      "routes[0].monitoring.logAllRequests: false is not in this version" },
    { ROUTE("'primary':{'provider':'self-hosted'}"),
      "routes[0].primary.provider: not in this version; the primary is \"local\"" },
    { ROUTE("'primary':{'endpoint':'http://x'}"),
      "routes[0].primary.endpoint: not in this version" },
    { ROUTE("'costPolicy':{'preferSelfHosted':false}"),
      "routes[0].costPolicy.preferSelfHosted: false is not in this version" },
    { WITH("'providers':{'x':{'kind':'anthropic'}}"),
      "providers.x.kind: not in this version; only \"openai\" is" },
    { WITH("'providers':{'x':{'kind':'gemini'}}"),
      "providers.x.kind: not in this version; only \"openai\" is" },
};

static void check_refusals(const struct refusal *table, size_t n, enum tg_status want)
{
    for (size_t i = 0; i < n; i++) {
        struct cfg_settings *s = NULL;
        struct tg_error err = { 0 };
        char text[1000];
        enum tg_status status = support_parse(table[i].text, &s, &err);
        snprintf(text, sizeof(text), "%s: %s", below("config.json"), table[i].error);
        if (status != want || s)
            CHECK_FAIL("%s: %s %s", table[i].text, tg_status_name(status), err.text);
        CHECK_STR(err.text, text);
        CHECK_INT(err.code, want);
    }
}

static void mistakes_are_named(void)
{
    check_refusals(wrong, sizeof(wrong) / sizeof(*wrong), TG_INVALID);
}

static void what_is_not_built_is_refused_as_such(void)
{
    check_refusals(later, sizeof(later) / sizeof(*later), TG_UNSUPPORTED);
}

static void base_urls(void)
{
    static const struct {
        const char *url;
        bool good;
    } table[] = {
        { "https://api.example.com/v1", true },
        { "https://h:8443", true },
        { "http://localhost:11434/v1", true },
        { "http://127.8.8.8", true },
        { "http://[::1]:80/v1", true },
        { "http://example.com/v1", false },
        { "http://127.0.0.1.example.com", false },
        { "http://127.0.0.1@example.com", false },
        { "http://localhost.example.com", false },
        { "http://[::2]/", false },
        { "https://", false },
        { "https:///v1", false },
        { "ftp://h", false },
        { "https://h:0", false },
        { "https://h:99999", false },
        { "https://h:x", false },
        { "https://u:p@h", false },
        { "https://h/?key=1", false },
        { "https://h/#x", false },
        { "https://h\\\\@e", false },
        { "HTTPS://h", false },
        { "https://[::1", false },
        { "https://a b", false },
        { "localhost:1234", false },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct cfg_settings *s;
        struct tg_error err;
        char text[500];
        snprintf(text, sizeof(text), OPENAI(",'baseUrl':'%s'"), table[i].url);
        enum tg_status status = support_parse(text, &s, &err);
        if (status != (table[i].good ? TG_OK : TG_INVALID))
            CHECK_FAIL("%s: %s", table[i].url, tg_status_name(status));
        cfg_free(s);
    }
}

static void files_and_variables_that_are_missing(void)
{
    static const struct { const char *text, *error; } table[] = {
        { "{'engine':{'model':'none.gguf'}}", "engine.model: no file that can be read at " },
        { OPENAI(",'apiKey':{'env':'TOLLGATE_NOT_SET'}"),
          "providers.x.apiKey: the environment variable TOLLGATE_NOT_SET is not set" },
        { OPENAI(",'apiKey':{'file':'nokey'}"), "/nokey: No such file" },
        { WITH("'prices':'no.json'"), "/no.json: No such file" },
    };
    struct cfg_settings *s;
    struct tg_error err;
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        CHECK_INT(support_parse(table[i].text, &s, &err), TG_NOTFOUND);
        if (!strstr(err.text, table[i].error))
            CHECK_FAIL("%s", err.text);
    }
    CHECK_INT(support_parse(OPENAI(",'apiKey':{'file':'.'}"), &s, &err), TG_IO);
    CHECK_INT(cfg_load("no-such-folder/config.json", &s, &err), TG_NOTFOUND);
    CHECK_INT(cfg_parse(TG_STR("{}"), "no-such-folder/config.json", &s, &err), TG_NOTFOUND);
    setenv("TOLLGATE_TEST_KEY", "two\nlines-of-it", 1);
    CHECK_INT(support_parse(OPENAI(",'apiKey':{'env':'TOLLGATE_TEST_KEY'}"), &s, &err), TG_INVALID);
    CHECK(!strstr(err.text, "lines-of-it"));
}

static void models_and_folders(void)
{
    struct tg_error err;
    struct cfg_settings *s;
    char text[600];
    snprintf(text, sizeof(text), "{'engine':{'model':'%s'}}", below("model.gguf"));
    s = support_parsed(text);
    CHECK_STR(s->engine.model, below("model.gguf"));
    cfg_free(s);
    snprintf(text, sizeof(text), "{'modelDir':'%s','engine':{'model':'%s/x'}}",
             TG_SOURCE_DIR "/config", "nowhere");
    CHECK_INT(support_parse(text, &s, &err), TG_NOTFOUND);
    CHECK(strstr(err.text, " or "));
    snprintf(text, sizeof(text), "{'modelDir':'%s','engine':{'model':'settings.h'}}",
             TG_SOURCE_DIR "/config");
    s = support_parsed(text);
    CHECK_STR(s->engine.model, TG_SOURCE_DIR "/config/settings.h");
    cfg_free(s);
    setenv("XDG_STATE_HOME", "relative", 1); /* not absolute: as if it were not set */
    setenv("HOME", "/home/someone", 1);
    s = support_parsed("{" ENGINE "}");
    CHECK_STR(s->data_dir, "/home/someone/.local/state/tollgate");
    cfg_free(s);
    unsetenv("HOME");
    CHECK_INT(support_parse("{" ENGINE "}", &s, &err), TG_INVALID);
    CHECK(strstr(err.text, "dataDir: needed"));
    setenv("HOME", "/home/someone", 1);
}

static void limits_of_the_file(void)
{
    struct cfg_settings *s;
    struct tg_error err;
    char text[20000];
    size_t n = (size_t)snprintf(text, sizeof(text), "{" ENGINE ",'routes':[");
    for (int i = 0; i <= CFG_ROUTES_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{'name':'r%d'}", i ? "," : "", i);
    snprintf(text + n, sizeof(text) - n, "]}");
    CHECK_INT(support_parse(text, &s, &err), TG_LIMIT);
    CHECK(strstr(err.text, "routes: has more than 32 entries"));
    n = (size_t)snprintf(text, sizeof(text), "{" ENGINE "," PROVIDER ",'routes':[{'name':'r',"
                                             "'fallback':[");
    for (int i = 0; i <= CFG_TIERS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{'provider':'openai','model':'m'}",
                              i ? "," : "");
    snprintf(text + n, sizeof(text) - n, "]}]}");
    CHECK_INT(support_parse(text, &s, &err), TG_LIMIT);
    CHECK(strstr(err.text, "routes[0].fallback[8]: more than 8 tiers"));
}

static void restart(void)
{
    static const struct { const char *text, *path; } table[] = {
        { "{" ENGINE "}", NULL },
        { WITH("'listen':'127.0.0.1:1'"), "listen" },
        { WITH("'dataDir':'elsewhere'"), "dataDir" },
        { WITH("'timeZone':'local'"), "timeZone" },
        { "{'engine':{'model':'model.gguf','precision':'exact'}}", "engine.precision" },
        { "{'engine':{'model':'model.gguf','threads':2}}", "engine.threads" },
        { "{'engine':{'model':'key'}}", "engine.model" },
        { "{'engine':{'model':'model.gguf','device':'cpu'}}", "engine.device" },
        { "{'engine':{'model':'model.gguf','context':64}}", "engine.context" },
        { "{'engine':{'model':'model.gguf','queue':1}}", "engine.queue" },
        { "{'engine':{'model':'model.gguf','maxTokens':1}}", NULL },
        { WITH("'heartbeat':'1s'"), NULL },
    };
    struct cfg_settings *now = support_parsed("{" ENGINE "}");
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct cfg_settings *next = support_parsed(table[i].text);
        const char *path = cfg_restart_needed(now, next);
        CHECK_STR(path ? path : "none", table[i].path ? table[i].path : "none");
        cfg_free(next);
    }
    cfg_free(now);
}

static void the_default_configuration_loads(void)
{
    struct cfg_settings *s;
    struct tg_error err;
    if (cfg_load(TG_SOURCE_DIR "/config/default.json", &s, &err) != TG_OK)
        CHECK_FAIL("%s", err.text);
    CHECK_STR(s->engine.model, TG_SOURCE_DIR "/config/models/spark.gguf");
    CHECK_INT(s->n_providers, 0);
    CHECK_STR(s->routes[0].name, "default");
    cfg_free(s);
}

static void every_allocation_may_fail(void)
{
    static const char text[] = TIER(",'trigger':'turns > 1'");
    struct cfg_settings *s;
    cfg_free(support_parsed(text)); /* registers the secret, whose copy the log keeps */
    tg_alloc_fail_nth(0);
    s = support_parsed(text);
    uint64_t total = tg_alloc_count();
    cfg_free(s);
    CHECK(total > 4);
    for (uint64_t nth = 1; nth <= total; nth++) {
        struct tg_error err;
        tg_alloc_fail_nth(nth);
        enum tg_status status = support_parse(text, &s, &err);
        tg_alloc_fail_nth(0);
        CHECK(status != TG_OK && !s);
        CHECK(strlen(err.text) > 0);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(defaults), CASE(everything), CASE(mistakes_are_named),
        CASE(what_is_not_built_is_refused_as_such), CASE(base_urls),
        CASE(files_and_variables_that_are_missing), CASE(models_and_folders),
        CASE(limits_of_the_file), CASE(restart), CASE(the_default_configuration_loads),
        CASE(every_allocation_may_fail),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

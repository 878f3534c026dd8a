#include "config/settings.h"

#include "config/base/alloc.h"
#include "tests/unit/check.h"
#include "tests/unit/config/support_config.h"

#define WITH(more) "{'engine':{'model':'model.gguf'}," more "}"
#define FETCH(more) WITH("'media':{'fetch':{" more "}}")
#define HOSTS(list) FETCH("'hosts':[" list "]")

static struct cfg_settings *parsed(const char *text)
{
    struct cfg_settings *s;
    struct tg_error err;
    if (support_parse(text, &s, &err) != TG_OK)
        CHECK_FAIL("%s: %s", text, err.text);
    return s;
}

static void defaults(void)
{
    struct cfg_settings *s = parsed(WITH("'media':{'fetch':false}"));
    CHECK(s->limits.media.part == 20 << 20 && s->limits.media.total == 64 << 20);
    CHECK_INT(s->limits.media.parts, 32);
    CHECK(s->fetch.n_hosts == 0 && !s->fetch.allow_private);
    CHECK(!cfg_fetch_allows(&s->fetch, TG_STR("example.com"), 443, 443));
    cfg_free(s);
}

static void everything(void)
{
    struct cfg_settings *s = parsed(WITH(
        "'limits':{'media':{'part':'1MiB','total':'2MiB','parts':0}},"
        "'media':{'fetch':{'hosts':['a.example'],'maxBytes':'2KiB','timeout':'3s','redirects':0,"
        "'allowPrivate':true}}"));
    CHECK(s->limits.media.part == 1 << 20 && s->limits.media.total == 2 << 20);
    CHECK_INT(s->limits.media.parts, 0);
    CHECK(s->fetch.n_hosts == 1 && s->fetch.max_bytes == 2048 && s->fetch.timeout_ms == 3000);
    CHECK(s->fetch.redirects == 0 && s->fetch.allow_private);
    cfg_free(s);
}

static void hosts(void)
{
    static const struct {
        const char *host;
        uint16_t port, scheme_port;
        bool allowed;
    } rows[] = {
        { "a.example", 443, 443, true },     { "a.example", 80, 80, true },
        { "A.Example", 443, 443, true },     { "a.example", 8443, 443, false },
        { "a.example", 443, 80, false }, /* http to 443 is not its own port */
        { "a.example.", 443, 443, false },   { "x.a.example", 443, 443, false },
        { "xa.example", 443, 443, false },   { "b.example", 443, 443, false },
        { "x.b.example", 443, 443, true },   { "x.y.B.example", 80, 80, true },
        { ".b.example", 443, 443, false },   { "xb.example", 443, 443, false },
        { "x.b.example.evil", 443, 443, false },
        { "c.example", 8443, 443, true },    { "c.example", 8443, 80, true },
        { "c.example", 443, 443, false },    { "x.d.example", 9, 80, true },
        { "x.d.example", 80, 80, false },    { "127.0.0.1", 81, 80, true },
        { "127.0.0.1", 80, 80, false },      { "[::1]", 82, 80, true },
        { "::1", 82, 80, false },            { "", 443, 443, false },
        { "9.0.0.1", 443, 443, false },      { "x.0.0.1", 443, 443, true },
    };
    struct cfg_settings *s = parsed(HOSTS(
        "'a.example','*.b.example','c.example:8443','*.d.example:9','127.0.0.1:81','[::1]:82',"
        "'*.0.0.1'"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (cfg_fetch_allows(&s->fetch, tg_str_of(rows[i].host), rows[i].port,
                             rows[i].scheme_port) != rows[i].allowed)
            CHECK_FAIL("%s:%u", rows[i].host, (unsigned)rows[i].port);
    cfg_free(s);
}

static void refusals(void)
{
    static const char *const rows[][2] = {
        { WITH("'limits':{'media':{'part':'3MiB','total':'2MiB'}}"),
          "limits.media: total must be at least part" },
        { WITH("'limits':{'media':{'parts':-1}}"), "limits.media.parts" },
        { WITH("'limits':{'media':{'images':1}}"), "limits.media.images: unknown key" },
        { WITH("'media':{'fetch':true}"), "media.fetch: must be false, or an object" },
        { WITH("'media':{'fetch':3}"), "media.fetch: must be an object" },
        { WITH("'media':{'hosts':[]}"), "media.hosts: unknown key" },
        { FETCH(""), "media.fetch: needs \"hosts\"" },
        { FETCH("'allowPrivate':true"), "media.fetch: needs \"hosts\"" },
        { FETCH("'hosts':'a'"), "media.fetch.hosts: must be a list" },
        { HOSTS(""), "media.fetch.hosts: must have 1 to 256 hosts" },
        { HOSTS("3"), "media.fetch.hosts[0]" },
        { HOSTS("'a','*'"), "media.fetch.hosts[1]: must be a host" },
        { HOSTS("'*.'"), "must be a host" },
        { HOSTS("'*.0.0.1'"), NULL },
        { HOSTS("'*.10.0.0.1'"), "must be a host" },
        { HOSTS("'a.*.b'"), "must be a host" },
        { HOSTS("'https://a'"), "hosts[0]: " },
        { HOSTS("'a/b'"), "must be a host" },
        { HOSTS("'A.example'"), "must be a host" },
        { HOSTS("'a..b'"), "must be a host" },
        { HOSTS("'.a'"), "must be a host" },
        { HOSTS("'a.'"), "must be a host" },
        { HOSTS("'a b'"), "must be a host" },
        { HOSTS("'::1'"), "must be a host" },
        { HOSTS("'[::1'"), "must be a host" },
        { HOSTS("'[a]'"), "must be a host" },
        { HOSTS("'a:0'"), "has a port that is not" },
        { HOSTS("'a:65536'"), "has a port that is not" },
        { HOSTS("'a:'"), "has a port that is not" },
        { FETCH("'hosts':['a'],'maxBytes':'1B'"), "media.fetch.maxBytes" },
        { FETCH("'hosts':['a'],'timeout':'0s'"), "media.fetch.timeout" },
        { FETCH("'hosts':['a'],'redirects':11"), "media.fetch.redirects" },
        { FETCH("'hosts':['a'],'allowPrivate':1"), "media.fetch.allowPrivate: must be true or" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct cfg_settings *s;
        struct tg_error err;
        enum tg_status status = support_parse(rows[i][0], &s, &err);
        if (!rows[i][1] ? status != TG_OK : !status || !strstr(err.text, rows[i][1]))
            CHECK_FAIL("%s: %s", rows[i][0], status ? err.text : "accepted");
        cfg_free(s);
    }
}

static void failing_allocations(void)
{
    enum tg_status status = TG_NOMEM;
    for (uint64_t nth = 1; nth < 500 && status; nth++) {
        struct cfg_settings *s;
        struct tg_error err;
        tg_alloc_fail_nth(nth);
        status = support_parse(HOSTS("'a','*.b:9'"), &s, &err);
        tg_alloc_fail_nth(0);
        cfg_free(s);
    }
    CHECK_INT(status, TG_OK);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(defaults), CASE(everything), CASE(hosts),
                                               CASE(refusals), CASE(failing_allocations) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

#include "config/host.h"

#include <arpa/inet.h>

#include "tests/unit/check.h"

static const char *judged(const char *text)
{
    unsigned char bytes[16];
    bool six = strchr(text, ':') != NULL;
    if (inet_pton(six ? AF_INET6 : AF_INET, text, bytes) != 1)
        CHECK_FAIL("%s is no address", text);
    const char *what = cfg_not_public(bytes, six ? 16 : 4);
    return what ? what : "";
}

/* First and last address of each range, and their neighbours outside. */
static void addresses(void)
{
    static const char *const rows[][2] = {
        { "0.0.0.0", "unspecified" },      { "0.255.255.255", "unspecified" },
        { "1.0.0.0", "" },                 { "9.255.255.255", "" },
        { "10.0.0.0", "private" },         { "10.255.255.255", "private" },
        { "11.0.0.0", "" },                { "100.63.255.255", "" },
        { "100.64.0.0", "shared (carrier-grade NAT)" },
        { "100.100.100.200", "shared (carrier-grade NAT)" }, /* a cloud's metadata */
        { "100.127.255.255", "shared (carrier-grade NAT)" },
        { "100.128.0.0", "" },             { "126.255.255.255", "" },
        { "127.0.0.1", "loopback" },       { "127.255.255.255", "loopback" },
        { "128.0.0.0", "" },               { "168.63.129.15", "" },
        { "168.63.129.16", "cloud metadata" },
        { "168.63.129.17", "" },           { "169.253.255.255", "" },
        { "169.254.0.0", "link-local" },   { "169.254.169.254", "link-local" },
        { "169.254.255.255", "link-local" },
        { "169.255.0.0", "" },             { "172.15.255.255", "" },
        { "172.16.0.0", "private" },       { "172.31.255.255", "private" },
        { "172.32.0.0", "" },              { "191.255.255.255", "" },
        { "192.0.0.0", "reserved" },       { "192.0.0.192", "reserved" },
        { "192.0.1.0", "" },               { "192.0.2.1", "documentation" },
        { "192.88.99.1", "reserved" },     { "192.167.255.255", "" },
        { "192.168.0.0", "private" },      { "192.168.255.255", "private" },
        { "192.169.0.0", "" },             { "198.17.255.255", "" },
        { "198.18.0.0", "benchmarking" },  { "198.19.255.255", "benchmarking" },
        { "198.20.0.0", "" },              { "198.51.100.1", "documentation" },
        { "203.0.113.255", "documentation" },
        { "223.255.255.255", "" },         { "224.0.0.1", "multicast" },
        { "239.255.255.255", "multicast" },
        { "240.0.0.0", "reserved" },       { "255.255.255.255", "reserved" },
        { "8.8.8.8", "" },
        { "::", "unspecified" },           { "::1", "loopback" },
        { "::2", "reserved" },             { "::127.0.0.1", "reserved" },
        { "::ffff:127.0.0.1", "loopback" },
        { "::ffff:10.1.2.3", "private" },  { "::ffff:169.254.169.254", "link-local" },
        { "::ffff:8.8.8.8", "" },          { "::fffe:8.8.8.8", "reserved" },
        { "::ffff:0:8.8.8.8", "reserved" },
        { "64:ff9b::7f00:1", "loopback" }, { "64:ff9b::a00:1", "private" },
        { "64:ff9b::a9fe:a9fe", "link-local" },
        { "64:ff9b::808:808", "" },        { "64:ff9b:1::808:808", "reserved" },
        { "100::1", "reserved" },          { "1fff:ffff::1", "reserved" },
        { "2000::1", "" },                 { "2001::1", "reserved" },
        { "2001:1ff:ffff::1", "reserved" },
        { "2001:200::1", "" },             { "2001:db8::1", "documentation" },
        { "2001:db9::1", "" },             { "2002:7f00:1::1", "reserved" },
        { "2003::1", "" },                 { "2606:4700::1111", "" },
        { "3fff::1", "documentation" },    { "3fff:fff:ffff::1", "documentation" },
        { "3fff:1000::1", "" },            { "4000::1", "reserved" },
        { "5f00::1", "reserved" },         { "fc00::1", "private" },
        { "fd00:ec2::254", "private" },    { "fe00::1", "reserved" },
        { "fe80::1", "link-local" },       { "febf::1", "link-local" },
        { "fec0::1", "private" },          { "ff02::1", "multicast" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (strcmp(judged(rows[i][0]), rows[i][1]) != 0)
            CHECK_FAIL("%s: \"%s\", want \"%s\"", rows[i][0], judged(rows[i][0]), rows[i][1]);
    CHECK_STR(cfg_not_public((const unsigned char *)"\1\2\3\4", 3), "unknown");
    CHECK_STR(cfg_not_public(NULL, 0), "unknown");
}

static void texts(void)
{
    CHECK(cfg_is_loopback(TG_STR("LOCALHOST")) && cfg_is_loopback(TG_STR("127.9.9.9")));
    CHECK(cfg_is_loopback(TG_STR("::1")) && !cfg_is_loopback(TG_STR("::2")));
    CHECK(!cfg_is_loopback(TG_STR("128.0.0.1")) && !cfg_is_loopback(TG_STR("")));
    CHECK(cfg_is_address(TG_STR("1.2.3.4")) && cfg_is_address(TG_STR("fe80::1")));
    CHECK(!cfg_is_address(TG_STR("1.2.3")) && !cfg_is_address(TG_STR("a.b")));
    CHECK(!cfg_is_address(TG_STR("[::1]")) && !cfg_is_address(TG_STR("")));
}

static void names_that_no_page_has(void)
{
    static const char *const inside[] = {
        "127.0.0.1", "192.0.2.1", "::1", "2001:db8::1", "localhost", "LocalHost.", "a", "tollgate",
        "app.localhost", "host.docker.internal", "x.INTERNAL.",
    };
    static const char *const others[] = {
        "", ".", "evil.example", "evil.example.", "localhost.evil.example",
        "127.0.0.1.evil.example", "internal.example", "notlocalhost.com", "1.2", "127.1",
        "mybox.local", "a:b", ".internal.com",
    };
    for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++)
        if (!cfg_is_inside(tg_str_of(inside[i])))
            CHECK_FAIL("%s", inside[i]);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (cfg_is_inside(tg_str_of(others[i])))
            CHECK_FAIL("%s", others[i]);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(addresses), CASE(texts),
                                               CASE(names_that_no_page_has) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

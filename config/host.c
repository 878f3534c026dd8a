#include "config/host.h"

#include <arpa/inet.h>

/* The address's bytes, in network order; 0: it is none. */
static size_t address_bytes(struct tg_str host, unsigned char bytes[16])
{
    char text[64];
    if (host.n == 0 || host.n >= sizeof(text))
        return 0;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (inet_pton(AF_INET, text, bytes) == 1)
        return 4;
    return inet_pton(AF_INET6, text, bytes) == 1 ? 16 : 0;
}

bool cfg_is_loopback(struct tg_str host)
{
    static const unsigned char one[16] = { [15] = 1 };
    unsigned char bytes[16];
    if (tg_str_ieq(host, TG_STR("localhost")))
        return true;
    size_t n = address_bytes(host, bytes);
    return n == 4 ? bytes[0] == 127 : n == 16 && memcmp(bytes, one, 16) == 0;
}

bool cfg_is_address(struct tg_str host)
{
    unsigned char bytes[16];
    return address_bytes(host, bytes) > 0;
}

bool cfg_is_inside(struct tg_str host)
{
    static const char *const below[] = { ".localhost", ".internal" };
    if (cfg_is_address(host))
        return true;
    if (host.n && host.p[host.n - 1] == '.')
        host.n--;
    for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++) {
        size_t n = strlen(below[i]);
        if (host.n > n && tg_str_ieq((struct tg_str){ host.p + host.n - n, n },
                                     tg_str_of(below[i])))
            return true;
    }
    return host.n > 0 && !memchr(host.p, '.', host.n) && !memchr(host.p, ':', host.n);
}

struct range {
    unsigned char bytes[16];
    unsigned bits;
    const char *what;
};

static const struct range v4[] = {
    { { 0 }, 8, "unspecified" },
    { { 10 }, 8, "private" },
    { { 100, 64 }, 10, "shared (carrier-grade NAT)" },
    { { 127 }, 8, "loopback" },
    { { 168, 63, 129, 16 }, 32, "cloud metadata" }, /* Azure's, inside public space */
    { { 169, 254 }, 16, "link-local" },             /* 169.254.169.254 is cloud metadata */
    { { 172, 16 }, 12, "private" },
    { { 192, 0, 0 }, 24, "reserved" },
    { { 192, 0, 2 }, 24, "documentation" },
    { { 192, 88, 99 }, 24, "reserved" },
    { { 192, 168 }, 16, "private" },
    { { 198, 18 }, 15, "benchmarking" },
    { { 198, 51, 100 }, 24, "documentation" },
    { { 203, 0, 113 }, 24, "documentation" },
    { { 224 }, 4, "multicast" },
    { { 240 }, 4, "reserved" },
};

/* What is left of it is public only inside 2000::/3. */
static const struct range v6[] = {
    { { 0 }, 128, "unspecified" },
    { { [15] = 1 }, 128, "loopback" },
    { { 0xfc }, 7, "private" },
    { { 0xfe, 0x80 }, 10, "link-local" },
    { { 0xfe, 0xc0 }, 10, "private" },
    { { 0xff }, 8, "multicast" },
    { { 0x20, 0x01, 0x00 }, 23, "reserved" }, /* Teredo, ORCHID and other protocols' */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, "documentation" },
    { { 0x20, 0x02 }, 16, "reserved" }, /* 6to4: holds any IPv4 address */
    { { 0x3f, 0xff }, 20, "documentation" },
};

/* IPv6 addresses that mean the IPv4 address in their last four bytes. */
static const struct range holds_v4[] = {
    { { [10] = 0xff, [11] = 0xff }, 96, NULL },           /* ::ffff:0:0/96, mapped */
    { { 0x00, 0x64, 0xff, 0x9b }, 96, NULL },             /* 64:ff9b::/96, NAT64 */
};

static bool is_in(const unsigned char *bytes, const struct range *r)
{
    size_t whole = r->bits / 8;
    if (memcmp(bytes, r->bytes, whole) != 0)
        return false;
    unsigned rest = r->bits % 8, mask = 0xFF00u >> rest & 0xFF;
    return rest == 0 || ((bytes[whole] ^ r->bytes[whole]) & mask) == 0;
}

static const char *find(const unsigned char *bytes, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_in(bytes, &ranges[i]))
            return ranges[i].what;
    return NULL;
}

const char *cfg_not_public(const unsigned char *bytes, size_t n)
{
    if (n == 4)
        return find(bytes, v4, sizeof(v4) / sizeof(*v4));
    if (n != 16)
        return "unknown";
    for (size_t i = 0; i < sizeof(holds_v4) / sizeof(*holds_v4); i++)
        if (is_in(bytes, &holds_v4[i]))
            return cfg_not_public(bytes + 12, 4);
    const char *what = find(bytes, v6, sizeof(v6) / sizeof(*v6));
    return what || bytes[0] >> 5 == 1 ? what : "reserved";
}

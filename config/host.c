#include "config/host.h"

#include <arpa/inet.h>

bool cfg_is_loopback(struct tg_str host)
{
    char text[64];
    struct in_addr v4;
    struct in6_addr v6;
    if (tg_str_ieq(host, TG_STR("localhost")))
        return true;
    if (host.n == 0 || host.n >= sizeof(text))
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

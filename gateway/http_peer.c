#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "gateway/http_internal.h"

void gw_http_peer(int fd, char out[GW_PEER_MAX])
{
    struct sockaddr_storage address = { 0 };
    socklen_t n = sizeof(address);
    out[0] = '\0';
    if (getpeername(fd, (struct sockaddr *)&address, &n))
        return;
    const void *at = address.ss_family == AF_INET6
                         ? (const void *)&((const struct sockaddr_in6 *)&address)->sin6_addr
                         : (const void *)&((const struct sockaddr_in *)&address)->sin_addr;
    if (!inet_ntop(address.ss_family, at, out, GW_PEER_MAX))
        out[0] = '\0';
}

/* Names and addresses of machines. Pure, any thread. */
#ifndef CONFIG_HOST_H
#define CONFIG_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "config/base/str.h"

/* "localhost", 127.0.0.0/8 or ::1 (without brackets): this machine, whatever a resolver says. */
bool cfg_is_loopback(struct tg_str host);
/* A numeric address of IPv4 or IPv6, without brackets. */
bool cfg_is_address(struct tg_str host);
/* Whether a web page of a stranger cannot have that name as its own: an address, "localhost", a
 * name of one label, one below "localhost" (RFC 6761) or "internal" (reserved by ICANN for private
 * use). Any other may be the stranger's, who has made it lead to this machine (DNS rebinding). */
bool cfg_is_inside(struct tg_str host);
/* Whether an address is one of the public internet. NULL: it is; else what it is instead, static:
 * "loopback", "private", "link-local", ... Sources: IANA's registries of special-purpose addresses
 * for IPv4 and IPv6; of IPv6 only 2000::/3 is public at all. An IPv4 address inside an IPv6 one
 * (mapped, NAT64) is judged as itself. bytes: in network order, n: 4 or 16, else "unknown". */
const char *cfg_not_public(const unsigned char *bytes, size_t n);

#endif

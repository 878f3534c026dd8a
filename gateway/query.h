/* What stands behind the ? of a request's target. Pure. */
#ifndef GATEWAY_QUERY_H
#define GATEWAY_QUERY_H

#include "config/base/str.h"

/* A member's value, still escaped; p NULL when absent. Borrowed from query. */
struct tg_str gw_query_member(struct tg_str query, const char *key);

#endif

/* The query of a target: KEY=VALUE&KEY=VALUE, escaped as forms are. */
#ifndef GATEWAY_QUERY_H
#define GATEWAY_QUERY_H

#include <stdbool.h>

#include "config/base/str.h"

/* The first member of that key (which is compared as it is written), still escaped; p NULL when
 * absent. */
struct tg_str gw_query_member(struct tg_str query, const char *key);
/* Whether an escaped value is that text. */
bool gw_query_is(struct tg_str value, struct tg_str text);

#endif

#include "gateway/query.h"

struct tg_str gw_query_member(struct tg_str query, const char *key)
{
    size_t n_key = strlen(key);
    for (size_t at = 0; at < query.n;) {
        size_t end = at;
        while (end < query.n && query.p[end] != '&')
            end++;
        if (end - at > n_key && memcmp(query.p + at, key, n_key) == 0 &&
            query.p[at + n_key] == '=')
            return (struct tg_str){ query.p + at + n_key + 1, end - at - n_key - 1 };
        at = end + 1;
    }
    return (struct tg_str){ NULL, 0 };
}

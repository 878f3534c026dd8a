#include "gateway/query.h"

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool gw_query_is(struct tg_str value, struct tg_str text)
{
    size_t i = 0, k = 0;
    while (i < value.n && k < text.n) {
        char c = value.p[i++];
        if (c == '+')
            c = ' ';
        if (c == '%' && i + 2 <= value.n) {
            c = (char)(hex(value.p[i]) * 16 + hex(value.p[i + 1]));
            i += 2;
        }
        if (c != text.p[k++])
            return false;
    }
    return i == value.n && k == text.n;
}

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

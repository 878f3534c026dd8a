#include "config/base/str.h"

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool tg_str_ieq(struct tg_str a, struct tg_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (fold(a.p[i]) != fold(b.p[i]))
            return false;
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct tg_str tg_str_trim(struct tg_str s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool tg_parse_u64(struct tg_str s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

/* digits [ '.' digits ] times unit, exactly; false when the product is not whole. */
static bool parse_scaled(struct tg_str s, int64_t unit, int64_t *out)
{
    size_t dot = 0;
    while (dot < s.n && s.p[dot] != '.')
        dot++;
    uint64_t whole;
    if (!tg_parse_u64((struct tg_str){ s.p, dot }, &whole) || whole > INT64_MAX)
        return false;
    int64_t total;
    if (__builtin_mul_overflow((int64_t)whole, unit, &total))
        return false;
    if (dot < s.n) {
        struct tg_str fraction = { s.p + dot + 1, s.n - dot - 1 };
        uint64_t digits;
        if (fraction.n > 9 || !tg_parse_u64(fraction, &digits))
            return false;
        __int128 scale = 1;
        for (size_t i = 0; i < fraction.n; i++)
            scale *= 10;
        __int128 part = (__int128)digits * unit;
        if (part % scale != 0 || __builtin_add_overflow(total, (int64_t)(part / scale), &total))
            return false;
    }
    *out = total;
    return true;
}

struct unit {
    const char *name;
    int64_t factor;
};

static bool parse_with_unit(struct tg_str s, const struct unit *units, size_t n, int64_t *out)
{
    size_t number = 0;
    while (number < s.n && ((s.p[number] >= '0' && s.p[number] <= '9') || s.p[number] == '.'))
        number++;
    struct tg_str name = { s.p + number, s.n - number };
    for (size_t i = 0; i < n; i++)
        if (tg_str_eq(name, tg_str_of(units[i].name)))
            return parse_scaled((struct tg_str){ s.p, number }, units[i].factor, out);
    return false;
}

bool tg_parse_duration_ms(struct tg_str s, int64_t *out)
{
    static const struct unit units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }
    };
    return parse_with_unit(s, units, sizeof(units) / sizeof(*units), out);
}

bool tg_parse_size(struct tg_str s, int64_t *out)
{
    static const struct unit units[] = {
        { "B", 1 }, { "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 }
    };
    return parse_with_unit(s, units, sizeof(units) / sizeof(*units), out);
}

bool tg_parse_money_nano(struct tg_str s, int64_t *out)
{
    if (s.n == 0 || s.p[0] != '$')
        return false;
    return parse_scaled((struct tg_str){ s.p + 1, s.n - 1 }, 1000000000, out);
}

bool tg_parse_percent_millionths(struct tg_str s, int64_t *out)
{
    if (s.n == 0 || s.p[s.n - 1] != '%')
        return false;
    return parse_scaled((struct tg_str){ s.p, s.n - 1 }, 10000, out);
}

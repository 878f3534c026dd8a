/* Strings, units, buffers, UTF-8, arena, status. */
#include <stdio.h>
#include <stdlib.h>
#include "config/base/alloc.h"
#include "config/base/arena.h"
#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "config/base/utf8.h"
#include "tests/unit/check.h"

static void strings(void)
{
    CHECK(tg_str_ieq(TG_STR("Content-LENGTH"), TG_STR("content-length")));
    CHECK(!tg_str_ieq(TG_STR("a"), TG_STR("ab")));
    CHECK(!tg_str_ieq(TG_STR("["), TG_STR("{"))); /* folding touches letters only */
    CHECK(!tg_str_ieq(TG_STR("\xC3\x84"), TG_STR("\xC3\xA4")));
    CHECK(tg_str_eq(tg_str_of(NULL), TG_STR("")));
    CHECK(!tg_str_eq(TG_STR("a"), TG_STR("b")));
    struct tg_str s = tg_str_trim(TG_STR(" \t\r\n a b \n"));
    CHECK(tg_str_eq(s, TG_STR("a b")));
    CHECK_INT(tg_str_trim(TG_STR(" \t ")).n, 0);
    CHECK_INT(tg_str_trim(TG_STR("")).n, 0);
}

static void whole_numbers(void)
{
    static const struct { const char *text; bool good; uint64_t value; } table[] = {
        { "0", true, 0 }, { "007", true, 7 }, { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 }, { "99999999999999999999", false, 0 },
        { "", false, 0 }, { "-1", false, 0 }, { "+1", false, 0 }, { " 1", false, 0 },
        { "1 ", false, 0 }, { "1a", false, 0 }, { "0x1", false, 0 },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        uint64_t value = 0;
        bool good = tg_parse_u64(tg_str_of(table[i].text), &value);
        if (good != table[i].good || (good && value != table[i].value))
            CHECK_FAIL("\"%s\": %d %" PRIu64, table[i].text, good, value);
    }
}

struct unit_case {
    const char *text;
    int64_t value; /* -1: refused */
};

static void check_units(bool (*parse)(struct tg_str, int64_t *), const struct unit_case *table,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t value = -2;
        bool good = parse(tg_str_of(table[i].text), &value);
        if (good != (table[i].value >= 0) || (good && value != table[i].value))
            CHECK_FAIL("\"%s\": %d, %" PRId64, table[i].text, good, value);
    }
}

#define UNITS(parse, table) check_units(parse, table, sizeof(table) / sizeof(*table))

static void units(void)
{
    static const struct unit_case durations[] = {
        { "200ms", 200 },
        { "10s", 10000 },
        { "1.5s", 1500 },
        { "0.001s", 1 },
        { "5m", 300000 },
        { "2h", 7200000 },
        { "30d", 2592000000 },
        { "0ms", 0 },
        { "9223372036854775807ms", INT64_MAX },
        { "9223372036854775808ms", -1 },
        { "9223372036854776s", -1 },
        { "0.0001s", -1 },
        { "1.5ms", -1 },
        { "10", -1 },
        { "s", -1 },
        { "", -1 },
        { "-1s", -1 },
        { "+1s", -1 },
        { "1 s", -1 },
        { "1S", -1 },
        { ".5s", -1 },
        { "1.s", -1 },
        { "1.2.3s", -1 },
        { "1sec", -1 },
        { "1e3s", -1 },
        { "0.1234567891s", -1 },
    };
    static const struct unit_case sizes[] = {
        { "100B", 100 }, { "64KiB", 65536 }, { "32MiB", 33554432 }, { "1GiB", 1073741824 },
        { "0.5KiB", 512 }, { "8589934591GiB", INT64_C(9223372035781033984) },
        { "8589934592GiB", -1 }, { "1KB", -1 }, { "1kib", -1 }, { "0.3B", -1 }, { "1", -1 },
    };
    static const struct unit_case money[] = {
        { "$500", 500000000000 },
        { "$12.50", 12500000000 },
        { "$0", 0 },
        { "$0.000000001", 1 },
        { "$0.0000000001", -1 },
        { "$9223372036.854775807", INT64_MAX },
        { "$9223372036.854775808", -1 },
        { "$", -1 },
        { "500", -1 },
        { "$-1", -1 },
        { "$1,000", -1 },
        { "$ 1", -1 },
        { "1$", -1 },
    };
    static const struct unit_case percent[] = {
        { "80%", 800000 }, { "0%", 0 }, { "100%", 1000000 }, { "0.0001%", 1 }, { "12.5%", 125000 },
        { "0.00001%", -1 }, { "80", -1 }, { "%", -1 }, { "-1%", -1 }, { "80%%", -1 },
    };
    UNITS(tg_parse_duration_ms, durations);
    UNITS(tg_parse_size, sizes);
    UNITS(tg_parse_money_nano, money);
    UNITS(tg_parse_percent_millionths, percent);
}

static void buffer_grows_to_its_maximum(void)
{
    struct tg_buf b;
    tg_buf_init(&b, 1000);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(tg_buf_addc(&b, (char)('a' + i % 26)), TG_OK);
    CHECK_INT(b.n, 1000);
    CHECK_INT(b.p[1000], 0);
    CHECK_INT(tg_buf_addc(&b, 'x'), TG_LIMIT);
    CHECK_INT(b.n, 1000);
    tg_buf_drop(&b, 999);
    CHECK_INT(tg_buf_addc(&b, 'x'), TG_LIMIT); /* sticky */
    tg_buf_reset(&b);
    CHECK_INT(tg_buf_addf(&b, "%d-%s", 7, "x"), TG_OK);
    CHECK_STR(b.p, "7-x");
    tg_buf_drop(&b, 2);
    CHECK_STR(b.p, "x");
    tg_buf_drop(&b, 50);
    CHECK_INT(b.n, 0);
    tg_buf_free(&b);
    CHECK_INT(b.max, 1000);
}

/* Texts that fit, that need room, that are beyond the maximum, and without memory. */
static void formats_fit_or_change_nothing(void)
{
    struct tg_buf b;
    char want[1001] = "";
    tg_buf_init(&b, 1000);
    for (int i = 0, n = 0; n < 1000; i++) {
        int step = i * 7 % 200 < 1000 - n ? i * 7 % 200 : 1000 - n;
        CHECK_INT(tg_buf_addf(&b, "%*d", step, step), TG_OK);
        n += snprintf(want + n, sizeof(want) - (size_t)n, "%*d", step, step);
        CHECK_INT(b.n, n);
        CHECK_STR(b.p, want);
    }
    CHECK_INT(tg_buf_addf(&b, "%s", ""), TG_OK);
    CHECK_INT(tg_buf_addf(&b, "%d", 1), TG_LIMIT);
    CHECK_INT(b.n, 1000);
    CHECK_STR(b.p, want);
    tg_buf_free(&b);
    for (int fail = 1; fail <= 2; fail++) {
        tg_alloc_fail_nth(fail);
        enum tg_status status = tg_buf_addf(&b, "%300d", fail);
        tg_alloc_fail_nth(0);
        CHECK_INT(status, TG_NOMEM);
        CHECK_INT(b.n, 0);
        tg_buf_free(&b);
    }
}

static void numbers_in_decimal(void)
{
    static const uint64_t numbers[] = { 0, 9, 10, 1234567890, UINT64_MAX };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        struct tg_buf b;
        char want[32];
        tg_buf_init(&b, 100);
        snprintf(want, sizeof(want), "%llu", (unsigned long long)numbers[i]);
        CHECK_INT(tg_buf_addu(&b, numbers[i]), TG_OK);
        CHECK_STR(b.p, want);
        tg_buf_free(&b);
    }
}

static void buffer_failures(void)
{
    struct tg_buf b;
    tg_buf_init(&b, SIZE_MAX);
    CHECK_INT(tg_buf_add(&b, "", SIZE_MAX), TG_LIMIT);
    tg_buf_reset(&b);
    tg_alloc_fail_nth(1);
    CHECK_INT(tg_buf_adds(&b, "hello"), TG_NOMEM);
    tg_alloc_fail_nth(0);
    CHECK_INT(b.failed, TG_NOMEM);
    CHECK_INT(b.n, 0);
    tg_buf_reset(&b);
    CHECK_INT(tg_buf_adds(&b, "hello"), TG_OK);
    CHECK_INT(tg_buf_add(&b, NULL, 0), TG_OK);
    tg_buf_free(&b);
}

static void json_strings(void)
{
    static const struct { struct tg_str in; const char *out; } table[] = {
        { { "plain", 5 }, "\"plain\"" },
        { { "", 0 }, "\"\"" },
        { { NULL, 0 }, "\"\"" },
        { { "a\"b\\c\n\t\x01", 8 }, "\"a\\\"b\\\\c\\n\\u0009\\u0001\"" },
        { { "\0", 1 }, "\"\\u0000\"" },
        { { "gr\xC3\xBC\xC3\x9F", 6 }, "\"gr\xC3\xBC\xC3\x9F\"" },
        { { "a\xFFz\xC3", 4 }, "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\"" },
        { { "\xED\xA0\x80", 3 }, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct tg_buf b;
        tg_buf_init(&b, 100);
        tg_buf_add_json(&b, table[i].in);
        CHECK_STR(b.p, table[i].out);
        tg_buf_free(&b);
    }
}

/* The oracle: RFC 3629 by range, written the other way round from the decoder. */
static void utf8_every_code_point(void)
{
    for (uint32_t rune = 0; rune <= 0x10FFFF; rune++) {
        if (rune >= 0xD800 && rune <= 0xDFFF)
            continue;
        char bytes[5] = { 0 };
        size_t n = tg_utf8_encode(rune, bytes);
        uint32_t back = 0;
        if (n != (rune < 0x80 ? 1u : rune < 0x800 ? 2u : rune < 0x10000 ? 3u : 4u) ||
            tg_utf8_decode(bytes, n, &back) != n || back != rune)
            CHECK_FAIL("U+%04" PRIX32 " does not come back", rune);
        for (size_t cut = 1; cut < n; cut++)
            CHECK(tg_utf8_decode(bytes, cut, &back) == 0 && tg_utf8_complete(bytes, cut) == 0);
    }
}

static void utf8_refused(void)
{
    static const char *const bad[] = {
        "\x80",
        "\xBF",
        "\xC0\x80",
        "\xC1\xBF",
        "\xE0\x80\x80",
        "\xE0\x9F\xBF",
        "\xED\xA0\x80",
        "\xED\xBF\xBF",
        "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xFE",
        "\xC3(",
        "\xE2\x82(",
        "\xF0\x9F\x98(",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (tg_utf8_valid(bad[i], strlen(bad[i])))
            CHECK_FAIL("case %zu is accepted", i);
    CHECK(tg_utf8_valid("", 0));
    CHECK(tg_utf8_valid("\0a", 2));
}

/* Every byte at every place of three words, and every length. */
static void utf8_plain_run(void)
{
    char text[24];
    for (int byte = 0; byte < 256; byte++) {
        bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
        for (size_t at = 0; at < sizeof(text); at++) {
            memset(text, 'x', sizeof(text));
            text[at] = (char)byte;
            CHECK_INT(tg_utf8_plain(text, sizeof(text)), plain ? sizeof(text) : at);
            text[sizeof(text) - 1] = 1; /* one behind it makes no difference */
            CHECK_INT(tg_utf8_plain(text, sizeof(text)),
                      plain && at != sizeof(text) - 1 ? sizeof(text) - 1 : at);
        }
    }
    memset(text, 'x', sizeof(text));
    for (size_t n = 0; n <= sizeof(text); n++)
        CHECK_INT(tg_utf8_plain(text, n), n);
}

static void utf8_complete_prefix(void)
{
    static const struct { const char *text; size_t complete; } table[] = {
        { "", 0 }, { "abc", 3 }, { "a\xC3", 1 }, { "a\xC3\xBC", 3 }, { "a\xE2\x82", 1 },
        { "a\xF0\x9F\x98", 1 }, { "a\xF0\x9F", 1 }, { "a\xFF", 2 }, { "a\xE2\xFF", 3 },
        { "a\xED\xA0", 3 },           /* a surrogate: no byte completes it */
        { "a\x80\x80\x80", 4 }, { "\xF0\x9F\x98\x80", 4 }, { "a\xC0", 2 }, { "\xE0\x80", 2 },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        CHECK_INT(tg_utf8_complete(table[i].text, strlen(table[i].text)), table[i].complete);
}

static void arena(void)
{
    struct tg_arena *a = tg_arena_new(100000);
    CHECK(a);
    for (int i = 1; i < 100; i++) {
        unsigned char *p = tg_arena_alloc(a, (size_t)i, 3);
        CHECK(p && (uintptr_t)p % 16 == 0);
        for (int k = 0; k < i * 3; k++)
            CHECK_INT(p[k], 0);
        memset(p, 0xAA, (size_t)i * 3); /* neighbours must not see it */
    }
    CHECK_INT(tg_arena_used(a), 99 * 100 / 2 * 3);
    CHECK(tg_arena_alloc(a, 50000, 1)); /* above one block */
    struct tg_str s = tg_arena_str(a, (struct tg_str){ "ab\0c", 4 });
    CHECK(s.n == 4 && memcmp(s.p, "ab\0c", 5) == 0);
    size_t left = 100000 - tg_arena_used(a);
    CHECK(!tg_arena_alloc(a, left + 1, 1));
    CHECK(!tg_arena_alloc(a, SIZE_MAX, 2));
    CHECK(!tg_arena_alloc(a, SIZE_MAX, 1));
    CHECK(!tg_arena_str(a, (struct tg_str){ "x", SIZE_MAX }).p);
    CHECK(tg_arena_alloc(a, left, 1));
    CHECK(tg_arena_alloc(a, 0, 1));
    CHECK(!tg_arena_alloc(a, 1, 1));
    tg_arena_free(a);
    tg_arena_free(NULL);
}

static void arena_without_memory(void)
{
    tg_alloc_fail_nth(1);
    CHECK(!tg_arena_new(10));
    tg_alloc_fail_nth(2);
    struct tg_arena *a = tg_arena_new(1000);
    CHECK(a);
    CHECK(!tg_arena_alloc(a, 8, 1));
    CHECK(tg_arena_alloc(a, 8, 1)); /* the failure is not remembered */
    tg_alloc_fail_nth(0);
    tg_arena_free(a);
}

/* Short where that is enough, else all that it takes; never what JSON cannot say. */
static void numbers_as_text(void)
{
    static const double exact[] = { 0.1, 1.0 / 3, -0.0001234567890123, 1e300, 5e-324, 0, -7 };
    struct tg_buf b;
    tg_buf_init(&b, 64);
    tg_buf_add_number(&b, 0.1);
    tg_buf_addc(&b, ' ');
    tg_buf_add_number(&b, -3);
    CHECK_INT(tg_buf_add_number(&b, (double)NAN), TG_OK);
    tg_buf_add_number(&b, -(double)INFINITY);
    CHECK_STR(b.p, "0.1 -3");
    for (size_t i = 0; i < sizeof(exact) / sizeof(*exact); i++) {
        tg_buf_reset(&b);
        tg_buf_add_number(&b, exact[i]);
        CHECK(!(strtod(b.p, NULL) < exact[i]) && !(strtod(b.p, NULL) > exact[i]));
    }
    tg_buf_free(&b);
}

static void allocator(void)
{
    tg_alloc_fail_nth(0);
    CHECK_INT(tg_alloc_count(), 0);
    void *p = tg_alloc(0);
    CHECK(p);
    tg_free(p);
    CHECK_INT(tg_alloc_count(), 1);
    CHECK(!tg_realloc_array(NULL, SIZE_MAX / 2, 3));
    char *copy = tg_strndup("hello", 3);
    CHECK_STR(copy, "hel");
    tg_free(copy);
}

static void status_names_and_cut_text(void)
{
    CHECK_STR(tg_status_name(TG_OK), "ok");
    CHECK_STR(tg_status_name(TG_INTERNAL), "internal");
    CHECK_STR(tg_status_name((enum tg_status)99), "unknown");
    struct tg_error err;
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    CHECK_INT(tg_fail(&err, TG_LIMIT, "%s", text), TG_LIMIT);
    CHECK_INT(strlen(err.text), sizeof(err.text) - 1);
    CHECK_INT(err.code, TG_LIMIT);
    CHECK_INT(tg_fail(NULL, TG_IO, "unused"), TG_IO);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(strings), CASE(whole_numbers), CASE(units), CASE(buffer_grows_to_its_maximum),
        CASE(formats_fit_or_change_nothing), CASE(numbers_in_decimal),
        CASE(buffer_failures), CASE(json_strings), CASE(utf8_every_code_point), CASE(utf8_refused),
        CASE(utf8_plain_run),
        CASE(utf8_complete_prefix), CASE(arena), CASE(arena_without_memory), CASE(allocator),
        CASE(numbers_as_text), CASE(status_names_and_cut_text),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

#include "config/base/json.h"

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "tests/unit/check.h"

static struct tg_str bytes(const char *s)
{
    return tg_str_of(s);
}

static void accepted(void)
{
    static const char *const table[] = {
        "0", "-0", "1", "-1", "10", "0.5", "-0.5e+10", "1E-2", "1e0", "9223372036854775807",
        "-9223372036854775808", "true", "false", "null", "\"\"", "[]", "{}", "[[]]", "[{}]",
        " \t\r\n[ 1 , 2 ] \n", "{\"a\":1}", "{ \"a\" : [ ] , \"b\" : { } }", "{\"\":0}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u00e9\\uD83D\\uDE00\"", "\"\\ud834\\udd1e\"",
        "\"\xC3\xA9\xF0\x9F\x98\x80\"", "\"\x7F\"", "[1,true,null,\"x\",{\"k\":[]}]",
        "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}", /* the same name in other objects */
        "[{\"a\":1},{\"a\":2}]", "\"\\u0001\"", "\"\\uFFFF\"", "1.7976931348623157e308",
        "123456789012345678.123456789012345678901234567890123456789012", "1e-999",
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct tg_error err;
        struct tg_json *root;
        if (tg_json_scan(bytes(table[i]), &err) != TG_OK)
            CHECK_FAIL("%s: %s", table[i], err.text);
        if (tg_json_parse(bytes(table[i]), &root, &err) != TG_OK)
            CHECK_FAIL("%s: tree: %s", table[i], err.text);
        tg_json_free(root);
    }
}

struct refusal {
    const char *text;
    int line, column;
};

static const struct refusal refusals[] = {
    { "", 1, 1 },
    { "  ", 1, 3 },
    { "[", 1, 2 },
    { "]", 1, 1 },
    { "{", 1, 2 },
    { "}", 1, 1 },
    { "[1,]", 1, 4 },
    { "[,1]", 1, 2 },
    { "[1 2]", 1, 4 },
    { "[1,,2]", 1, 4 },
    { "[1", 1, 3 },
    { "{\"a\"}", 1, 5 },
    { "{\"a\":}", 1, 6 },
    { "{\"a\":1,}", 1, 8 },
    { "{a:1}", 1, 2 },
    { "{'a':1}", 1, 2 },
    { "{1:1}", 1, 2 },
    { "{\"a\" 1}", 1, 6 },
    { "{\"a\":1 \"b\":2}", 1, 8 },
    { "{\"a\":1]", 1, 7 },
    { "[1}", 1, 3 },
    { "1 2", 1, 3 },
    { "[] []", 1, 4 },
    { "{}x", 1, 3 },
    { "nul", 1, 1 },
    { "truex", 1, 5 },
    { "True", 1, 1 },
    { "NaN", 1, 1 },
    { "Infinity", 1, 1 },
    { "-Infinity", 1, 2 },
    { "-", 1, 2 },
    { "+1", 1, 1 },
    { "01", 1, 3 },
    { "-01", 1, 4 },
    { "1.", 1, 3 },
    { ".5", 1, 1 },
    { "1.e1", 1, 3 },
    { "1e", 1, 3 },
    { "1e+", 1, 4 },
    { "0x10", 1, 2 },
    { "1e999", 1, 1 },
    { "[-1e999]", 1, 2 },
    { "9223372036854775808", 1, 1 },
    { "-9223372036854775809", 1, 1 },
    { "[1,99999999999999999999]", 1, 4 },
    { "0.11111111112222222222333333333344444444445555555555666666666677", 1, 1 },
    { "\"", 1, 1 },
    { "\"abc", 1, 1 },
    { "\"\\\"", 1, 1 },
    { "\"\\", 1, 2 },
    { "\"\\x\"", 1, 2 },
    { "\"\\u12\"", 1, 2 },
    { "\"\\u12G4\"", 1, 2 },
    { "\"\\u0000\"", 1, 2 },
    { "\"a\\ud800\"", 1, 3 },
    { "\"\\udc00\"", 1, 2 },
    { "\"\\ud800\\u0041\"", 1, 2 },
    { "\"\\ud800\\ud800\"", 1, 2 },
    { "\"\\ud800x\"", 1, 2 },
    { "\"\\uD83D\\uDE0\"", 1, 2 },
    { "\"a\tb\"", 1, 3 },
    { "\"a\nb\"", 1, 3 },
    { "\"\xFF\"", 1, 2 },
    { "\"\xC0\x80\"", 1, 2 },
    { "\"\xED\xA0\x80\"", 1, 2 },
    { "\"\xC3\"", 1, 2 },
    { "\xEF\xBB\xBF[]", 1, 1 },
    { "[1] // x", 1, 5 },
    { "/* x */ 1", 1, 1 },
    { "[\n  1,\n  oops\n]", 3, 3 },
    { "{\n\"a\": 1,\n\"a\": 2}", 3, 1 },
    { "{\"a\":1,\"b\":2,\"\\u0061\":3}", 1, 14 },
    { "{\"\\n\":1,\"\\u000a\":2}", 1, 9 },
    { "{\"\xF0\x9F\x98\x80\":1,\"\\ud83d\\ude00\":2}", 1, 11 },
    { "{\"a\":{\"x\":1,\"x\":1}}", 1, 13 },
    { "{\"a\":{},\"a\":{}}", 1, 9 },
    { "\f1", 1, 1 },
};

static void refused_at_the_right_place(void)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        const struct refusal *r = &refusals[i];
        struct tg_error err = { 0 };
        struct tg_json *root = NULL;
        char want[64];
        snprintf(want, sizeof(want), "line %d, column %d: ", r->line, r->column);
        if (tg_json_parse(bytes(r->text), &root, &err) != TG_INVALID || root)
            CHECK_FAIL("%s: not refused", r->text);
        if (strncmp(err.text, want, strlen(want)) != 0)
            CHECK_FAIL("%s: \"%s\", want %s", r->text, err.text, want);
    }
    struct tg_str nul = { "\"a\0b\"", 5 };
    CHECK_INT(tg_json_scan(nul, NULL), TG_INVALID);
    struct tg_str behind = { "1\0", 2 };
    CHECK_INT(tg_json_scan(behind, NULL), TG_INVALID);
}

/* Every prefix of a text that is not itself a value must be refused: the reader never runs over. */
static void every_prefix(void)
{
    static const char text[] =
        "{\"key\": [1.5e3, \"a\\u00e9\\ud83d\\ude00\", {\"x\": null}, false]}";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        char *copy = tg_alloc(n); /* so that ASan sees a byte too far */
        memcpy(copy, text, n);
        enum tg_status status = tg_json_scan((struct tg_str){ copy, n }, NULL);
        tg_free(copy);
        CHECK_INT(status, TG_INVALID);
    }
    CHECK_INT(tg_json_scan(tg_str_of(text), NULL), TG_OK);
}

static enum tg_status nested(size_t depth, const char *open, const char *close)
{
    struct tg_buf b;
    struct tg_json *root;
    tg_buf_init(&b, 10000);
    for (size_t i = 0; i < depth; i++)
        tg_buf_adds(&b, open);
    tg_buf_adds(&b, "1");
    for (size_t i = 0; i < depth; i++)
        tg_buf_adds(&b, close);
    enum tg_status status = tg_json_parse(tg_buf_str(&b), &root, NULL);
    tg_json_free(root);
    tg_buf_free(&b);
    return status;
}

static void depth(void)
{
    CHECK_INT(nested(64, "[", "]"), TG_OK);
    CHECK_INT(nested(65, "[", "]"), TG_LIMIT);
    CHECK_INT(nested(64, "{\"a\":", "}"), TG_OK);
    CHECK_INT(nested(65, "{\"a\":", "}"), TG_LIMIT);
}

static enum tg_status many(size_t n, bool names)
{
    struct tg_buf b;
    tg_buf_init(&b, 64u << 20);
    tg_buf_addc(&b, names ? '{' : '[');
    for (size_t i = 0; i < n; i++) {
        if (names)
            tg_buf_addf(&b, "%s\"k%zu\":1", i ? "," : "", i);
        else
            tg_buf_adds(&b, i ? ",1" : "1");
    }
    tg_buf_addc(&b, names ? '}' : ']');
    enum tg_status status = b.failed ? b.failed : tg_json_scan(tg_buf_str(&b), NULL);
    tg_buf_free(&b);
    return status;
}

static void a_million_values(void)
{
    CHECK_INT(many(999999, false), TG_OK); /* and the array itself */
    CHECK_INT(many(1000000, false), TG_LIMIT);
    CHECK_INT(many(999999, true), TG_OK);
}

/* Names that differ only in bits that an unkeyed multiplicative hash never moves down: with one,
 * this takes minutes, with ours under a second. */
static void chosen_names_do_not_collide(void)
{
    enum { BITS = 19 };
    struct tg_buf b;
    tg_buf_init(&b, 64u << 20);
    tg_buf_addc(&b, '{');
    for (uint32_t i = 0; i < 1u << BITS; i++) {
        tg_buf_adds(&b, i ? ",\"" : "\"");
        for (int bit = 0; bit < BITS; bit++) /* U+0061 or U+100061 */
            tg_buf_adds(&b, i >> bit & 1 ? "\xF4\x80\x81\xA1" : "a");
        tg_buf_adds(&b, "\":1");
    }
    tg_buf_addc(&b, '}');
    CHECK_INT(b.failed, TG_OK);
    int64_t start = tg_mono_ns();
    CHECK_INT(tg_json_scan(tg_buf_str(&b), NULL), TG_OK);
    CHECK(tg_mono_ns() - start < INT64_C(60000000000));
    tg_buf_free(&b);
}

static void tree(void)
{
    static const char text[] = "{\"s\":\"a\\u00e9\",\"n\":-2.5,\"i\":9007199254740991,\"b\":true,"
                               "\"z\":null,\"a\":[1,[2]],\"big\":9007199254740993}";
    struct tg_json *root;
    CHECK_INT(tg_json_parse(tg_str_of(text), &root, NULL), TG_OK);
    struct tg_str s;
    double number;
    int64_t whole;
    bool flag = false;
    CHECK(tg_json_string(tg_json_get(root, "s"), &s) && tg_str_eq(s, TG_STR("a\xC3\xA9")));
    CHECK(tg_json_number(tg_json_get(root, "n"), &number) && number == -2.5);
    CHECK(!tg_json_int(tg_json_get(root, "n"), &whole));
    CHECK(tg_json_int(tg_json_get(root, "i"), &whole) && whole == INT64_C(9007199254740991));
    CHECK(!tg_json_int(tg_json_get(root, "big"), &whole)); /* would be silently another number */
    CHECK(tg_json_bool(tg_json_get(root, "b"), &flag) && flag);
    CHECK(tg_json_is(tg_json_get(root, "z"), TG_JSON_NULL));
    CHECK(!tg_json_get(root, "S")); /* names are exact */
    CHECK_INT(tg_json_count(root), 7);
    const struct tg_json *a = tg_json_get(root, "a"), *second = tg_json_next(tg_json_first(a));
    CHECK_STR(tg_json_key(a), "a");
    CHECK(tg_json_is(second, TG_JSON_ARRAY) && tg_json_count(second) == 1);
    CHECK(!tg_json_next(second));
    struct tg_buf out;
    tg_buf_init(&out, 1000);
    CHECK_INT(tg_json_print(a, &out), TG_OK);
    CHECK_STR(out.p, "[1,[2]]");
    tg_buf_free(&out);
    tg_json_free(root);
}

static void null_is_absent(void)
{
    struct tg_str s;
    double number;
    int64_t whole;
    bool flag;
    CHECK_INT(tg_json_type(NULL), TG_JSON_NULL);
    CHECK(!tg_json_is(NULL, TG_JSON_NULL));
    CHECK(!tg_json_get(NULL, "x") && !tg_json_first(NULL) && !tg_json_next(NULL));
    CHECK(!tg_json_string(NULL, &s) && !tg_json_number(NULL, &number));
    CHECK(!tg_json_int(NULL, &whole) && !tg_json_bool(NULL, &flag));
    CHECK_INT(tg_json_count(NULL), 0);
    CHECK_STR(tg_json_type_name(TG_JSON_OBJECT), "an object");
    struct tg_buf out;
    tg_buf_init(&out, 10);
    CHECK_INT(tg_json_print(NULL, &out), TG_OK);
    CHECK_STR(out.p, "null");
    tg_buf_free(&out);
    tg_json_free(NULL);
}

/* Whatever their size and form, wherever they stand; what looks like one in a string is none. */
static void numbers_are_printed_as_written(void)
{
    static const char *const texts[] = {
        "9007199254740993", "-0", "-9223372036854775808", "0", "-7", "123456789012345",
        "1234567890123456", "-12345678901234", "2147483648", "1.50", "1E5", "1e+5", "-0.0E-3",
        "0.1000000000000000055511151231257827",
        "{\"1.50\":[1.50,\"2.0\\\"3.0\",{\"\\\\\":4.0}],\"a\":[-5,[6.0],7e1]}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct tg_json *root;
        struct tg_buf out;
        tg_buf_init(&out, 1000);
        CHECK_INT(tg_json_parse(tg_str_of(texts[i]), &root, NULL), TG_OK);
        CHECK_INT(tg_json_print(root, &out), TG_OK);
        CHECK_STR(out.p, texts[i]);
        tg_buf_free(&out);
        tg_json_free(root);
    }
    struct tg_json *root;
    double number = 0;
    int64_t whole = 0;
    CHECK_INT(tg_json_parse(TG_STR(" [ 2.0 , 0.25 ] "), &root, NULL), TG_OK);
    const struct tg_json *v = tg_json_first(root);
    CHECK(tg_json_is(v, TG_JSON_NUMBER) && tg_json_int(v, &whole) && whole == 2);
    CHECK(tg_json_number(tg_json_next(v), &number) && number == 0.25);
    tg_json_free(root);
}

/* Any allocation may fail: the answer is TG_NOMEM, and nothing leaks (ASan). */
static void every_allocation_may_fail(void)
{
    struct tg_buf text; /* of many small values, which lie in several blocks */
    tg_buf_init(&text, 100000);
    CHECK_INT(tg_buf_adds(&text, "[{\"d\":\"\\u00e9\",\"e\":null}"), TG_OK);
    for (int i = 0; i < 300; i++)
        CHECK_INT(tg_buf_adds(&text, ",{\"k\":[1.0,\"v\",[]]}"), TG_OK);
    CHECK_INT(tg_buf_adds(&text, "]"), TG_OK);
    struct tg_json *root = NULL;
    tg_alloc_fail_nth(0);
    CHECK_INT(tg_json_parse(tg_buf_str(&text), &root, NULL), TG_OK);
    uint64_t total = tg_alloc_count();
    tg_json_free(root);
    CHECK(total > 3);
    for (uint64_t nth = 1; nth <= total; nth++) {
        struct tg_error err = { 0 };
        tg_alloc_fail_nth(nth);
        enum tg_status status = tg_json_parse(tg_buf_str(&text), &root, &err);
        tg_alloc_fail_nth(0);
        CHECK_INT(status, TG_NOMEM);
        CHECK(!root && strstr(err.text, "memory"));
    }
    tg_buf_free(&text);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(accepted), CASE(refused_at_the_right_place), CASE(every_prefix), CASE(depth),
        CASE(a_million_values), CASE(chosen_names_do_not_collide), CASE(tree),
        CASE(null_is_absent), CASE(numbers_are_printed_as_written), CASE(every_allocation_may_fail),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

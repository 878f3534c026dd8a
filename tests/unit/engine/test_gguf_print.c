/* Metadata as text: every type, what is cut, and bytes that must not reach a terminal. */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "config/base/utf8.h"
#include "tests/unit/engine/support_gguf.h"

enum { FILE_MAX = 1 << 16 };

static struct tg_buf b;
static struct le_gguf *g;

static void start(uint64_t n_kv)
{
    tg_buf_init(&b, FILE_MAX);
    gguf_put_header(&b, 0, n_kv);
}

static void opened(void)
{
    struct tg_error err = { 0 };
    if (le_gguf_open_memory("memory", b.p, b.n, &g, &err))
        CHECK_FAIL("%s", err.text);
}

static void finish(void)
{
    le_gguf_close(g);
    tg_buf_free(&b);
}

static void key(const char *name, uint32_t type, uint64_t v, unsigned n)
{
    gguf_put_key(&b, name, type);
    gguf_put(&b, v, n);
}

static void expect(const char *name, const char *want)
{
    char text[200];
    for (size_t i = 0; i < le_gguf_n_keys(g); i++) {
        struct le_gguf_key k;
        CHECK(le_gguf_key_at(g, i, &k));
        if (!tg_str_eq(k.name, tg_str_of(name)))
            continue;
        size_t n = le_gguf_value_print(g, i, text, sizeof(text));
        CHECK_STR(text, want);
        CHECK_INT(n, strlen(want));
        return;
    }
    CHECK_FAIL("no key %s", name);
}

static void scalars(void)
{
    start(16);
    key("u8", LE_GGUF_U8, 255, 1);
    key("i8", LE_GGUF_I8, 0x80, 1);
    key("u16", LE_GGUF_U16, 65535, 2);
    key("i16", LE_GGUF_I16, 0xfffe, 2);
    key("u32", LE_GGUF_U32, UINT32_MAX, 4);
    key("i32", LE_GGUF_I32, 0x80000000, 4);
    key("u64", LE_GGUF_U64, UINT64_MAX, 8);
    key("i64", LE_GGUF_I64, 1ull << 63, 8);
    key("f32", LE_GGUF_F32, 0x358637bd, 4); /* 1e-6 */
    key("f32.inf", LE_GGUF_F32, 0xff800000, 4);
    key("f32.third", LE_GGUF_F32, 0x3eaaaaab, 4);
    key("f64", LE_GGUF_F64, 0x3fd5555555555555, 8);
    key("f64.nan", LE_GGUF_F64, 0x7ff8000000000000, 8);
    key("no", LE_GGUF_BOOL, 0, 1);
    key("yes", LE_GGUF_BOOL, 1, 1);
    key("neither", LE_GGUF_BOOL, 7, 1);
    opened();
    CHECK_INT(le_gguf_n_keys(g), 16);
    expect("u8", "255");
    expect("i8", "-128");
    expect("u16", "65535");
    expect("i16", "-2");
    expect("u32", "4294967295");
    expect("i32", "-2147483648");
    expect("u64", "18446744073709551615");
    expect("i64", "-9223372036854775808");
    expect("f32", "1e-06");
    expect("f32.inf", "-inf");
    expect("f32.third", "0.33333334");
    expect("f64", "0.3333333333333333");
    expect("f64.nan", "nan");
    expect("no", "false");
    expect("yes", "true");
    expect("neither", "neither true nor false (7)");
    finish();
}

static void keys_are_sorted_with_their_types(void)
{
    struct le_gguf_key k;
    start(3);
    key("z", LE_GGUF_U16, 1, 2);
    gguf_put_array(&b, "a", LE_GGUF_I32, 2);
    gguf_put(&b, 5, 4);
    gguf_put(&b, 6, 4);
    gguf_put_key(&b, "m", LE_GGUF_STRING);
    gguf_put_string(&b, "");
    opened();
    CHECK(le_gguf_key_at(g, 0, &k) && tg_str_eq(k.name, TG_STR("a")));
    CHECK(k.type == LE_GGUF_ARRAY && k.item_type == LE_GGUF_I32 && k.count == 2);
    CHECK(le_gguf_key_at(g, 1, &k) && tg_str_eq(k.name, TG_STR("m")));
    CHECK(k.type == LE_GGUF_STRING && k.item_type == LE_GGUF_STRING && k.count == 1);
    CHECK(le_gguf_key_at(g, 2, &k) && tg_str_eq(k.name, TG_STR("z")));
    CHECK_STR(le_gguf_value_name(k.type), "u16");
    CHECK(!le_gguf_key_at(g, 3, &k));
    expect("a", "[5, 6]");
    expect("m", "\"\"");
    char text[LE_GGUF_PRINT_MIN] = "x";
    CHECK_INT(le_gguf_value_print(g, 3, text, sizeof(text)), 0);
    CHECK_STR(text, "");
    CHECK_INT(le_gguf_value_print(g, 0, text, LE_GGUF_PRINT_MIN - 1), 0);
    CHECK_INT(le_gguf_value_print(g, 0, text, 0), 0);
    finish();
}

static void strings_are_escaped(void)
{
    start(3);
    gguf_put_key(&b, "plain", LE_GGUF_STRING);
    gguf_put_string(&b, "Gemma 4 \xc3\xa4\xe2\x96\x81\xf0\x9f\x99\x82");
    gguf_put_key(&b, "quotes", LE_GGUF_STRING);
    gguf_put_string(&b, "a\"b\\c\nd\te\r\x1b[31m\x7f");
    gguf_put_key(&b, "hostile", LE_GGUF_STRING);
    /* CSI as C1, right-to-left override, zero width space, lone byte, surrogate, cut sequence. */
    gguf_put_string(&b, "\xc2\x9b|\xe2\x80\xae|\xe2\x80\x8b|\xff|\xed\xa0\x80|\xe2\x82");
    opened();
    expect("plain", "\"Gemma 4 \xc3\xa4\xe2\x96\x81\xf0\x9f\x99\x82\"");
    expect("quotes", "\"a\\\"b\\\\c\\nd\\te\\x0d\\x1b[31m\\x7f\"");
    expect("hostile", "\"\\u{9b}|\\u{202e}|\\u{200b}|\\xff|\\xed\\xa0\\x80|\\xe2\\x82\"");
    finish();
}

static void text_for_messages(void)
{
    static const char hostile[] = "a\"b\\\x1b[31m\xc3\xa4\xff\n";
    char text[64], room[6];
    const struct tg_str s = { hostile, sizeof(hostile) - 1 };
    CHECK_STR(le_gguf_text_print(s, text, sizeof(text)), "a\"b\\\\x1b[31m\xc3\xa4\\xff\\n");
    CHECK_STR(le_gguf_text_print(s, room, sizeof(room)), "a\"b\\"); /* no half of an escape */
    CHECK_STR(le_gguf_text_print((struct tg_str){ NULL, 0 }, text, sizeof(text)), "");
    CHECK_STR(le_gguf_text_print(s, room, 1), "");
}

static void long_values_are_cut(void)
{
    char text[LE_GGUF_PRINT_MIN], wide[400];
    start(4);
    gguf_put_key(&b, "a.string", LE_GGUF_STRING);
    gguf_put(&b, 3000, 8);
    for (int i = 0; i < 1000; i++)
        tg_buf_adds(&b, "\xe2\x96\x81");
    gguf_put_array(&b, "b.strings", LE_GGUF_STRING, 1000);
    for (int i = 0; i < 1000; i++)
        gguf_put_string(&b, "a string that is longer than is shown");
    gguf_put_array(&b, "c.numbers", LE_GGUF_F32, 9);
    for (int i = 0; i < 9; i++)
        gguf_put(&b, 0x3f800000, 4);
    gguf_put_array(&b, "d.eight", LE_GGUF_U8, 8);
    for (int i = 0; i < 8; i++)
        gguf_put(&b, (unsigned)i, 1);
    opened();
    size_t n = le_gguf_value_print(g, 0, text, sizeof(text));
    CHECK(n == strlen(text) && n < sizeof(text) && tg_utf8_valid(text, n));
    CHECK(memcmp(text, "\"\xe2\x96\x81\xe2\x96\x81", 7) == 0);
    CHECK(strstr(text, "...\" (3000 bytes)") != NULL);
    n = le_gguf_value_print(g, 1, wide, sizeof(wide));
    CHECK(n < sizeof(wide) && strstr(wide, "[\"a string that is longer ...\", \"a s") == wide);
    CHECK(strstr(wide, ", ... 1000 in all]") != NULL);
    expect("c.numbers", "[1, 1, 1, 1, 1, 1, 1, 1, ... 9 in all]");
    expect("d.eight", "[0, 1, 2, 3, 4, 5, 6, 7]");
    finish();
}

/* Whatever the bytes and the room: terminated, valid UTF-8, nothing below a space. */
static void any_bytes_and_any_room(void)
{
    uint32_t state = 5;
    char items[64];
    start(2);
    gguf_put_key(&b, "string", LE_GGUF_STRING);
    gguf_put(&b, 4000, 8);
    for (int i = 0; i < 4000; i++) {
        state = state * 1664525u + 1013904223u;
        tg_buf_addc(&b, (char)(state >> 24));
    }
    gguf_put_array(&b, "array", LE_GGUF_STRING, 20);
    for (int i = 0; i < 20; i++) {
        for (size_t k = 0; k + 1 < sizeof(items); k++) {
            state = state * 1664525u + 1013904223u;
            items[k] = (char)(state >> 24 | 1);
        }
        items[sizeof(items) - 1] = '\0';
        gguf_put_string(&b, items);
    }
    opened();
    for (size_t room = LE_GGUF_PRINT_MIN; room < 600; room++)
        for (size_t i = 0; i < 2; i++) {
            char *text = malloc(room);
            size_t n = le_gguf_value_print(g, i, text, room);
            CHECK(n > 40 && n < room && text[n] == '\0' && strlen(text) == n);
            CHECK(tg_utf8_valid(text, n));
            for (size_t k = 0; k < n; k++)
                CHECK((unsigned char)text[k] >= 0x20 && text[k] != 0x7f);
            CHECK(text[n - 1] == (i ? '"' : ']') || text[n - 1] == ')');
            free(text);
        }
    finish();
}

static void of_a_model(void)
{
    struct tg_error err = { 0 };
    char text[300];
    tg_buf_init(&b, 1);
    if (le_gguf_open(TG_SOURCE_DIR "/tests/golden/tiny-e-Q4_0.gguf", &g, &err))
        CHECK_FAIL("%s", err.text);
    CHECK(le_gguf_n_keys(g) > 30);
    for (size_t i = 0; i < le_gguf_n_keys(g); i++)
        CHECK(le_gguf_value_print(g, i, text, sizeof(text)) > 0);
    expect("general.architecture", "\"gemma4\"");
    expect("gemma4.attention.layer_norm_rms_epsilon", "1e-06");
    finish();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(scalars),
        CASE(keys_are_sorted_with_their_types),
        CASE(strings_are_escaped), CASE(text_for_messages),
        CASE(long_values_are_cut),
        CASE(any_bytes_and_any_room),
        CASE(of_a_model),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

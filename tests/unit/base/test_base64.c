#include "config/base/base64.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "tests/unit/check.h"

/* The decoded text, or what is wrong; static. */
static const char *decoded(const char *text)
{
    static char out[256];
    size_t n = 0;
    const char *wrong = tg_base64_decode(tg_str_of(text), out, &n);
    CHECK(n <= tg_base64_room(strlen(text)) && n < sizeof(out));
    out[n] = '\0';
    return wrong ? wrong : out;
}

/* RFC 4648 section 10, and what is forgiven. */
static void accepts(void)
{
    static const char *const cases[][2] = {
        { "", "" },
        { "Zg==", "f" },
        { "Zm8=", "fo" },
        { "Zm9v", "foo" },
        { "Zm9vYg==", "foob" },
        { "Zm9vYmE=", "fooba" },
        { "Zm9vYmFy", "foobar" },
        { "Zg", "f" },
        { "Zm8", "fo" },
        { "Zm9vYmE", "fooba" },
        { "Zm9v\nYmFy", "foobar" },
        { "Zm9v\r\nYmFy\r\n", "foobar" },
        { "Z\nm\n9\nv\nY\ng\n=\n=\n", "foob" },
        { "\n\n", "" },
        { "Pz8/", "???" },
        { "fn5+", "~~~" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        CHECK_STR(decoded(cases[i][0]), cases[i][1]);
}

static void refuses(void)
{
    static const char *const cases[][2] = {
        { "Z", "ends inside a byte" },
        { "Zm9vY", "ends inside a byte" },
        { "Zg=", "is not padded" },
        { "Zm8==", "is not padded" },
        { "Zg===", "is not padded" },
        { "Zm9v=", "more padding" },
        { "Zm9v====", "more padding" },
        { "=", "more padding" },
        { "====", "more padding" },
        { "Z===", "more padding" },
        { "Zg==Zg==", "goes on behind" },
        { "Zg=v", "goes on behind" },
        { "Zh==", "bits behind" },
        { "Zm9=", "bits behind" },
        { "Zm9", "bits behind" },
        { "Zm9v Zm9v", "not of base64" },
        { "Zm9v\tZm9v", "not of base64" },
        { "Zm9v-_8=", "not the form for URLs" },
        { "Zm9v_8==", "not the form for URLs" },
        { "Zg%3D%3D", "without escapes" },
        { "data:x", "not of base64" },
        { "Zm9v\xff", "not of base64" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (!strstr(decoded(cases[i][0]), cases[i][1]))
            CHECK_FAIL("\"%s\": %s", cases[i][0], decoded(cases[i][0]));
    size_t n;
    char out[8];
    CHECK(tg_base64_decode((struct tg_str){ "Zm\0v", 4 }, out, &n));
}

/* All bytes, in all lengths around the size of a chunk, there and back, wrapped and not. */
static void there_and_back(void)
{
    enum { MOST = 6200 };
    char *bytes = malloc(MOST), *back = malloc(tg_base64_room(MOST * 2));
    for (size_t i = 0; i < MOST; i++)
        bytes[i] = (char)(i * 7 + (i >> 8));
    for (size_t n = 0; n < MOST; n += n < 8 || (n > 3066 && n < 3080) ? 1 : 97) {
        struct tg_buf text, wrapped;
        size_t got = 0;
        tg_buf_init(&text, 1 << 20);
        tg_buf_init(&wrapped, 1 << 20);
        CHECK_INT(tg_base64_add(&text, (struct tg_str){ bytes, n }), TG_OK);
        CHECK_INT(text.n, (n + 2) / 3 * 4);
        for (size_t i = 0; i < text.n; i += 76) {
            tg_buf_add(&wrapped, text.p + i, text.n - i < 76 ? text.n - i : 76);
            tg_buf_adds(&wrapped, "\r\n");
        }
        CHECK(!tg_base64_decode(tg_buf_str(&text), back, &got));
        CHECK(got == n && memcmp(back, bytes, n) == 0);
        CHECK(!tg_base64_decode(tg_buf_str(&wrapped), back, &got));
        CHECK(got == n && memcmp(back, bytes, n) == 0);
        tg_buf_free(&text);
        tg_buf_free(&wrapped);
    }
    free(bytes);
    free(back);
}

static void failures_stick(void)
{
    struct tg_buf b;
    tg_buf_init(&b, 5);
    CHECK_INT(tg_base64_add(&b, TG_STR("abcd")), TG_LIMIT);
    tg_buf_free(&b);
    tg_buf_init(&b, 100);
    tg_alloc_fail_nth(1);
    CHECK_INT(tg_base64_add(&b, TG_STR("abcd")), TG_NOMEM);
    tg_alloc_fail_nth(0);
    tg_buf_free(&b);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(accepts), CASE(refuses), CASE(there_and_back),
                                               CASE(failures_stick) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

#include "local_engine/engine_stop.h"

#include "tests/unit/check.h"

static struct le_stop stops;
static struct tg_buf out;

static void begin(const char *const *text, uint32_t n)
{
    struct tg_str s[LE_STOPS_MAX];
    for (uint32_t i = 0; i < n; i++)
        s[i] = tg_str_of(text[i]);
    CHECK_INT(le_stop_init(&stops, s, n, NULL), TG_OK);
    tg_buf_init(&out, 1 << 20);
}

static bool feed(const char *text)
{
    bool hit = false;
    CHECK_INT(le_stop_feed(&stops, tg_str_of(text), &out, &hit), TG_OK);
    return hit;
}

static void held_back(void)
{
    static const char *const text[] = { "STOP", "\n\n" };
    begin(text, 2);
    CHECK(!feed("a ST"));
    CHECK_STR(out.p, "a ");
    CHECK(!feed("O"));
    CHECK_STR(out.p, "a ");
    CHECK(!feed("NE\n"));
    CHECK_STR(out.p, "a STONE");
    CHECK_INT(stops.ended_by, 0);
    CHECK(feed("\nrest"));
    CHECK_INT(stops.ended_by, 2);
    CHECK_STR(out.p, "a STONE");
    CHECK_INT(le_stop_flush(&stops, &out), TG_OK);
    CHECK_STR(out.p, "a STONE");
    tg_buf_free(&out);
    begin(text, 2);
    CHECK_INT(stops.ended_by, 0);
    CHECK(!feed("STO"));
    CHECK_INT(out.n, 0);
    CHECK_INT(le_stop_flush(&stops, &out), TG_OK);
    CHECK_STR(out.p, "STO");
    CHECK(!feed("P"));
    CHECK_STR(out.p, "STOP"); /* a flush starts afresh */
    tg_buf_free(&out);
}

static void without_stops(void)
{
    begin(NULL, 0);
    CHECK(!feed("anything"));
    CHECK_STR(out.p, "anything");
    CHECK(!feed(""));
    tg_buf_free(&out);
}

/* Every way to cut a text into two or three pieces gives what the whole gives. */
static void any_cut(void)
{
    static const struct {
        const char *stop[LE_STOPS_MAX];
        uint32_t n;
        const char *text, *want;
        bool hit;
    } table[] = {
        { { "abc", "b" }, 2, "xabcd", "xa", true },     /* "b" is complete first */
        { { "abc", "bc" }, 2, "xabcd", "x", true },     /* together: the longer one */
        { { "aab" }, 1, "aaaaab!", "aaa", true },
        { { "aab" }, 1, "aaaaac", "aaaaac", false },
        { { "abab", "ac" }, 2, "abaabacab", "abaab", true },
        { { "\xE2\x82\xAC" }, 1, "1 \xE2\x82\xAC", "1 ", true },
        { { "\n" }, 1, "\n", "", true },
        { { "zz", "yy", "xx", "ww" }, 4, "zyxwwv", "zyx", true },
    };
    for (size_t k = 0; k < sizeof(table) / sizeof(*table); k++) {
        size_t n = strlen(table[k].text);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++) {
                struct tg_str piece[3] = { { table[k].text, a },
                                           { table[k].text + a, b - a },
                                           { table[k].text + b, n - b } };
                begin(table[k].stop, table[k].n);
                bool hit = false;
                for (int i = 0; i < 3 && !hit; i++)
                    CHECK_INT(le_stop_feed(&stops, piece[i], &out, &hit), TG_OK);
                if (!hit)
                    CHECK_INT(le_stop_flush(&stops, &out), TG_OK);
                CHECK_INT(hit, table[k].hit);
                CHECK_STR(out.p, table[k].want);
                tg_buf_free(&out);
            }
    }
}

static void refused(void)
{
    struct tg_error err;
    char long_text[LE_STOP_BYTES_MAX + 1];
    memset(long_text, 'x', sizeof(long_text));
    struct tg_str s[LE_STOPS_MAX + 1] = { { "a", 1 } };
    CHECK_INT(le_stop_init(&stops, s, 2, &err), TG_INVALID); /* the second is empty */
    CHECK(strstr(err.text, "stop string 2"));
    s[0] = (struct tg_str){ "\xFF", 1 };
    CHECK_INT(le_stop_init(&stops, s, 1, &err), TG_INVALID);
    s[0] = (struct tg_str){ long_text, sizeof(long_text) };
    CHECK_INT(le_stop_init(&stops, s, 1, &err), TG_LIMIT);
    s[0].n--;
    CHECK_INT(le_stop_init(&stops, s, 1, &err), TG_OK);
    CHECK_INT(le_stop_init(&stops, s, LE_STOPS_MAX + 1, &err), TG_LIMIT);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(held_back), CASE(without_stops), CASE(any_cut),
                                               CASE(refused) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

/* The tokenizer against a plain one that merges by looking at every pair, its work on hostile
 * texts, and the streaming decoder. */
#include "config/base/alloc.h"
#include "config/base/utf8.h"
#include "local_engine/tokenizer_internal.h"
#include "tests/unit/check.h"
#include "tests/unit/engine/support_text.h"

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* ---- another encoder ---- */

enum { SYMBOLS_MAX = 4096 };

struct symbols {
    struct tg_str s[SYMBOLS_MAX]; /* U+0020 still as it is */
    size_t n;
};

/* The id of a text with its spaces as U+2581, or -1. */
static int32_t id_of(const struct le_tokenizer *t, struct tg_str s)
{
    struct tg_buf b;
    tg_buf_init(&b, 1 << 16);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ' ')
            tg_buf_adds(&b, "\xE2\x96\x81");
        else
            tg_buf_addc(&b, s.p[i]);
    }
    int32_t id = le_tok_find(t, tg_buf_str(&b));
    tg_buf_free(&b);
    return id;
}

/* Merges the best pair of all, leftmost on ties, until there is none: quadratic, and plain. */
static void merge_plainly(const struct le_tokenizer *t, struct symbols *y)
{
    for (;;) {
        size_t best = y->n;
        uint32_t rank = UINT32_MAX;
        for (size_t i = 0; i + 1 < y->n; i++) {
            const struct le_merge *m = le_merge_find(t, id_of(t, y->s[i]), id_of(t, y->s[i + 1]));
            if (m && m->rank < rank) {
                rank = m->rank;
                best = i;
            }
        }
        if (best == y->n)
            return;
        y->s[best].n += y->s[best + 1].n;
        memmove(&y->s[best + 1], &y->s[best + 2], (y->n - best - 2) * sizeof(*y->s));
        y->n--;
    }
}

/* Ordinary text; no cut at newlines here, so that the cut of the real one is judged too. */
static void encode_plainly(const struct le_tokenizer *t, struct tg_str text, struct le_ids *out)
{
    static struct symbols y;
    y.n = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t rune;
        size_t width = tg_utf8_decode(text.p + i, text.n - i, &rune);
        width = width ? width : 1;
        CHECK(y.n < SYMBOLS_MAX);
        y.s[y.n++] = (struct tg_str){ text.p + i, width };
        i += width;
    }
    merge_plainly(t, &y);
    for (size_t i = 0; i < y.n; i++) {
        int32_t id = id_of(t, y.s[i]);
        bool whole = id >= 0 && tg_utf8_valid(y.s[i].p, y.s[i].n);
        for (size_t b = 0; b < (whole ? 1 : y.s[i].n); b++)
            CHECK_INT(le_ids_add(out, whole ? id : t->byte_id[(unsigned char)y.s[i].p[b]]), TG_OK);
    }
}

static void compare(const struct le_tokenizer *t, struct tg_str text)
{
    struct le_ids got = { 0 }, want = { 0 };
    CHECK_INT(le_tokenizer_encode(t, text, false, &got), TG_OK);
    encode_plainly(t, text, &want);
    if (got.n != want.n || memcmp(got.id, want.id, got.n * sizeof(*got.id)) != 0)
        CHECK_FAIL("\"%.*s\": %zu ids, want %zu", TG_FMT(text), got.n, want.n);
    le_ids_free(&got);
    le_ids_free(&want);
}

static void runs_of_white_space(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    static const char *const units[] = { "\n", " ", "\t", "\r\n", "\n ", "a\n", " \t" };
    for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
        struct tg_buf b;
        tg_buf_init(&b, 1 << 16);
        for (int n = 1; n <= 70; n++) {
            tg_buf_adds(&b, units[u]);
            compare(t, tg_buf_str(&b));
        }
        tg_buf_free(&b);
    }
    le_tokenizer_close(t);
}

static void random_texts(void)
{
    static const char *const pieces[] = {
        "a", "e", "t", "th", "he", "in", "ing", " ", "  ", "\n", "\n\n", "\t", "0", "12", ".", ",",
        "{", "}", "(", "\"", "'", "<", "|", ">", "\xC3\xA9", "\xC3\x9F", "\xE6\x97\xA5",
        "\xF0\x9F\x99\x82", "\xE2\x80\x8D", "\xF0\x9F\x91\xA9", "\xCC\x81", "\xE2\x96\x81",
        "\xFF", "\xC3", "\xE2\x96", "\xED\xA0\x80", "the", "<bos>", "Linus", "Schr\xC3\xB6" "der",
    };
    struct le_tokenizer *t = text_tokenizer_reduced();
    uint32_t random = 99;
    for (int round = 0; round < 3000; round++) {
        struct tg_buf b;
        tg_buf_init(&b, 1 << 16);
        size_t n = 1 + next_random(&random) % 40, few = 1 + next_random(&random) % 40;
        for (size_t i = 0; i < n; i++)
            tg_buf_adds(&b, pieces[(next_random(&random) % few * 7 + few) %
                                   (sizeof(pieces) / sizeof(*pieces))]);
        compare(t, tg_buf_str(&b));
        tg_buf_free(&b);
    }
    le_tokenizer_close(t);
}

/* ---- work ---- */

static uint64_t steps_of(const struct le_tokenizer *t, const char *text, size_t n)
{
    struct le_ids ids = { 0 };
    uint64_t steps = 0;
    CHECK_INT(le_tok_encode(t, (struct tg_str){ text, n }, true, &ids, &steps), TG_OK);
    CHECK(steps > 0 && ids.n > 0);
    le_ids_free(&ids);
    return steps;
}

/* Twice the text may cost a little more than twice the steps (n log n), and no text more than 60 a
 * byte at a megabyte: a quadratic encoder needs 10^11 in all. */
static void work_grows_with_the_text(void)
{
    enum { N = 1 << 20 };
    static const char *const unit[] = { "a", "ab", "aab", "abcdefghij", " ", "\n", "\n ", "<",
                                        "<|turn", "<|tool_response", "\xC3", "e", "\xE6\x97\xA5",
                                        "\xF0\x9F\x99\x82\xE2\x80\x8D", "the quick ", "=", "\t" };
    struct le_tokenizer *t = text_tokenizer_reduced();
    uint32_t random = 5;
    char *text = tg_alloc(N);
    CHECK(text != NULL);
    for (size_t k = 0; k <= sizeof(unit) / sizeof(*unit); k++) {
        for (size_t i = 0; i < N; i++) /* at last letters without any order, and no space */
            text[i] = k < sizeof(unit) / sizeof(*unit) ? unit[k][i % strlen(unit[k])]
                                                       : (char)('a' + next_random(&random) % 26);
        uint64_t half = steps_of(t, text, N / 2), whole = steps_of(t, text, N);
        if ((double)whole > 2.3 * (double)half || whole > (uint64_t)60 * N)
            CHECK_FAIL("text %zu: %llu steps for half of it, %llu for all", k,
                       (unsigned long long)half, (unsigned long long)whole);
    }
    tg_free(text);
    le_tokenizer_close(t);
}

/* ---- the decoder ---- */

/* All ids through a decoder; every piece of text must be whole by itself. */
static void decode(const struct le_tokenizer *t, const int32_t *id, size_t n, struct tg_buf *out)
{
    struct le_decoder d = { .n = 0 };
    tg_buf_init(out, 1 << 20);
    tg_buf_adds(out, "");
    for (size_t i = 0; i <= n; i++) {
        size_t before = out->n;
        CHECK_INT(i < n ? le_decoder_feed(&d, t, id[i], out) : le_decoder_end(&d, out), TG_OK);
        CHECK(tg_utf8_valid(out->p + before, out->n - before));
        CHECK(d.n < sizeof(d.held));
    }
    CHECK_INT(d.n, 0);
}

/* The same text in one piece, in bytes, and in random pieces. */
static void any_cut_gives_the_same_text(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    uint32_t random = 17;
    for (int round = 0; round < 4000; round++) {
        char bytes[64];
        size_t n = 1 + next_random(&random) % sizeof(bytes);
        static const char alphabet[] = "a\xC3\xA9\xE2\x96\x81\xF0\x9F\x99\x82\xFF\x80\xED\xA0\xF4";
        for (size_t i = 0; i < n; i++)
            bytes[i] = alphabet[next_random(&random) % (sizeof(alphabet) - 1)];
        struct tg_buf want, got;
        tg_buf_init(&want, 1 << 16);
        for (size_t i = 0; i < n;) { /* each byte that begins no character is U+FFFD */
            uint32_t rune;
            size_t width = tg_utf8_decode(bytes + i, n - i, &rune);
            tg_buf_add(&want, width ? bytes + i : "\xEF\xBF\xBD", width ? width : 3);
            i += width ? width : 1;
        }
        for (int cut = 0; cut < 3; cut++) {
            struct le_decoder d = { .n = 0 };
            tg_buf_init(&got, 1 << 16);
            for (size_t i = 0, len; i < n; i += len) {
                len = cut == 0 ? n : cut == 1 ? 1 : 1 + next_random(&random) % 6;
                len = len < n - i ? len : n - i;
                struct tg_str part = { bytes + i, len };
                CHECK_INT(le_decoder_bytes(&d, part, &got), TG_OK);
                CHECK(tg_utf8_valid(got.p ? got.p : "", got.n));
            }
            CHECK_INT(le_decoder_end(&d, &got), TG_OK);
            CHECK_INT(got.n, want.n);
            CHECK(memcmp(got.p, want.p, got.n) == 0);
            tg_buf_free(&got);
        }
        tg_buf_free(&want);
    }
    le_tokenizer_close(t);
}

/* Byte tokens: characters put together from them, and bytes that are none. */
static void decodes_byte_tokens(void)
{
    static const char text[] = "na\xC3\xAFve \xF0\x9F\xA6\x99\xF0\x9F\xAB\xA0 "
                               "\xE6\x9D\xB1\xE4\xBA\xAC \xF0\x92\x80\x80\xCD\xB8 end";
    enum { BYTE = 238 };
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct le_ids ids = { 0 };
    struct tg_buf out;
    CHECK_INT(le_tokenizer_encode(t, tg_str_of(text), false, &ids), TG_OK);
    size_t bytes = 0;
    for (size_t i = 0; i < ids.n; i++)
        bytes += ids.id[i] >= BYTE && ids.id[i] < BYTE + 256;
    CHECK(bytes >= 8); /* the text was chosen to need them */
    decode(t, ids.id, ids.n, &out);
    CHECK_STR(out.p, text);
    tg_buf_free(&out);
    static const int32_t bad[] = { BYTE + 0xE2, BYTE + 0x96, 107, BYTE + 0xF0, BYTE + 0xC3,
                                   BYTE + 0xA9, BYTE + 0x9F };
    decode(t, bad, sizeof(bad) / sizeof(*bad), &out);
    CHECK_STR(out.p, "\xEF\xBF\xBD\xEF\xBF\xBD\n\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD");
    tg_buf_free(&out);
    struct le_decoder d = { .n = 0 };
    tg_buf_init(&out, 4);
    CHECK_INT(le_decoder_feed(&d, t, -1, &out), TG_INVALID);
    CHECK_INT(le_decoder_feed(&d, t, 4096, &out), TG_INVALID);
    CHECK_INT(le_decoder_feed(&d, t, 48, &out), TG_LIMIT); /* <|tool_call> does not fit */
    tg_buf_free(&out);
    le_ids_free(&ids);
    le_tokenizer_close(t);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(runs_of_white_space),
        CASE(random_texts),
        CASE(work_grows_with_the_text),
        CASE(any_cut_gives_the_same_text),
        CASE(decodes_byte_tokens),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

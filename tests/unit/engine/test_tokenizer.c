#include "local_engine/tokenizer.h"

#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "tests/unit/check.h"
#include "tests/unit/engine/support_text.h"

static void print_ids(const char *what, const int32_t *id, size_t n)
{
    fprintf(stderr, "%s:", what);
    for (size_t i = 0; i < n && i < 60; i++)
        fprintf(stderr, " %d", (int)id[i]);
    fprintf(stderr, "%s\n", n > 60 ? " ..." : "");
}

static bool same_ids(const struct le_ids *got, const struct tg_json *want, const char *text)
{
    size_t i = 0;
    bool same = got->n == tg_json_count(want);
    for (const struct tg_json *v = tg_json_first(want); v && same; v = tg_json_next(v), i++) {
        int64_t id = -1;
        same = tg_json_int(v, &id) && id == got->id[i];
    }
    if (!same) {
        fprintf(stderr, "text \"%.60s\", want %zu ids\n", text, tg_json_count(want));
        print_ids("got", got->id, got->n);
    }
    return same;
}

/* A literal U+2581 decodes to a space: that is the one loss. */
static void spaces_for_2581(struct tg_buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n;) {
        if (b->n - i >= 3 && memcmp(b->p + i, "\xE2\x96\x81", 3) == 0) {
            b->p[n++] = ' ';
            i += 3;
        } else {
            b->p[n++] = b->p[i++];
        }
    }
    b->p[b->n = n] = '\0';
}

/* Our JSON has no U+0000: the files' escapes of it were read as U+F8FE, which no case uses. */
static void read_text(const struct tg_json *c, struct tg_buf *text)
{
    tg_buf_init(text, 1 << 20);
    struct tg_str s = text_member(c, "text");
    for (size_t i = 0; i < s.n; i++) {
        bool nul = s.n - i >= 3 && memcmp(s.p + i, "\xEF\xA3\xBE", 3) == 0;
        tg_buf_addc(text, nul ? '\0' : s.p[i]);
        i += nul ? 2 : 0;
    }
    tg_buf_addc(text, '\0');
    text->n--;
}

/* Special parsing off. The reference lets user-defined tokens (<|tool_call>, <|"|>...) through; we
 * recognise none, so that no text can forge one. Where the two differ, ours must hold no control id
 * and still decode to the text. */
static void check_special_off(const struct le_tokenizer *t, const struct tg_json *c,
                              const struct tg_buf *text, size_t *stricter)
{
    struct le_ids ids = { 0 };
    CHECK_INT(le_tokenizer_encode(t, tg_buf_str(text), false, &ids), TG_OK);
    for (size_t i = 0; i < ids.n; i++)
        CHECK(!le_tokenizer_is_control(t, ids.id[i]));
    struct tg_buf back = text_decode(t, ids.id, ids.n), want;
    tg_buf_init(&want, 1 << 20);
    tg_buf_add(&want, text->p, text->n + 1);
    want.n--;
    spaces_for_2581(&want);
    CHECK_INT(back.n, want.n);
    CHECK(memcmp(back.p, want.p, want.n) == 0);
    const struct tg_json *off = tg_json_get(c, "ids_no_parse_special");
    const struct tg_json *on = tg_json_get(c, "ids_parse_special");
    bool user_defined = false;
    for (const struct tg_json *v = tg_json_first(off ? off : on); v; v = tg_json_next(v)) {
        int64_t id = 0;
        CHECK(tg_json_int(v, &id));
        user_defined = user_defined || le_tokenizer_is_control(t, (int32_t)id);
    }
    *stricter += user_defined;
    if (!user_defined)
        CHECK(same_ids(&ids, off ? off : on, text->p));
    tg_buf_free(&back);
    tg_buf_free(&want);
    le_ids_free(&ids);
}

/* What the reference hides: control tokens of the file, but not the user-defined ones (all but one
 * of which are only syntax to us). */
static struct tg_buf decode_as_reference(const struct le_tokenizer *t, const struct le_ids *ids)
{
    const struct le_special_ids *s = le_tokenizer_special(t);
    const int32_t shown[] = { s->call_open,    s->call_close,    s->response_close,
                              s->channel_open, s->channel_close, s->quote };
    struct tg_buf out;
    tg_buf_init(&out, 1 << 20);
    tg_buf_adds(&out, "");
    for (size_t i = 0; i < ids->n; i++) {
        bool show = !le_tokenizer_is_control(t, ids->id[i]);
        for (size_t k = 0; k < sizeof(shown) / sizeof(*shown); k++)
            show = show || ids->id[i] == shown[k];
        struct tg_str piece = le_tokenizer_piece(t, ids->id[i]);
        if (show)
            tg_buf_add(&out, piece.p, piece.n);
    }
    return out;
}

static void check_case(const struct le_tokenizer *t, const struct tg_json *c, size_t *stricter)
{
    struct tg_buf text;
    struct le_ids ids = { 0 };
    read_text(c, &text);
    CHECK_INT(le_tokenizer_encode(t, tg_buf_str(&text), true, &ids), TG_OK);
    const struct tg_json *want = tg_json_get(c, "ids_parse_special");
    if (!want)
        want = tg_json_get(c, "ids");
    CHECK(same_ids(&ids, want, text.p));
    if (tg_json_get(c, "decode_without_specials")) {
        struct tg_buf shown = decode_as_reference(t, &ids);
        struct tg_str expected = text_member(c, "decode_without_specials");
        CHECK_INT(shown.n, expected.n);
        CHECK(memcmp(shown.p, expected.p, expected.n) == 0);
        tg_buf_free(&shown);
    }
    struct tg_buf all = text_decode(t, ids.id, ids.n);
    struct tg_str expected = tg_buf_str(&text);
    if (tg_json_get(c, "decode_with_specials"))
        expected = text_member(c, "decode_with_specials");
    CHECK_INT(all.n, expected.n);
    CHECK(memcmp(all.p, expected.p, expected.n) == 0);
    tg_buf_free(&all);
    if (tg_json_get(c, "ids_parse_special"))
        check_special_off(t, c, &text, stricter);
    tg_buf_free(&text);
    le_ids_free(&ids);
}

static void check_cases(const struct le_tokenizer *t, const struct tg_json *cases, size_t count)
{
    size_t n = 0, stricter = 0;
    for (const struct tg_json *c = tg_json_first(cases); c; c = tg_json_next(c), n++)
        check_case(t, c, &stricter);
    CHECK_INT(n, count);
    fprintf(stderr, "%zu cases equal, %zu stricter than the reference with special off\n", n,
            stricter);
}

static void reduced_vocabulary(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct tg_json *golden = text_golden("tokenizer-reduced.json");
    CHECK_INT(le_tokenizer_n(t), 4096);
    check_cases(t, tg_json_get(golden, "cases"), 424);
    tg_json_free(golden);
    golden = text_golden("tokenizer-more.json");
    check_cases(t, tg_json_get(golden, "reduced"), 323);
    tg_json_free(golden);
    le_tokenizer_close(t);
}

/* The build unpacks the real vocabulary where the shared fixtures lie beside the checkout. */
static void full_vocabulary(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
    CHECK(n > 0);
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    CHECK(slash != NULL);
    snprintf(slash, 64, "/golden/ggml-vocab-gemma-4.gguf");
    struct le_tokenizer *t = text_tokenizer(path, true);
    if (!t)
        CHECK_SKIP("the full vocabulary is not in the build directory");
    snprintf(slash, 64, "/golden/tokens-full.json");
    struct tg_json *golden = text_json_file(path);
    CHECK_INT(le_tokenizer_n(t), 262144);
    CHECK_INT(le_tokenizer_special(t)->turn_open, 105);
    CHECK_INT(le_tokenizer_special(t)->image, 258880);
    CHECK_INT(le_tokenizer_special(t)->video, 258884);
    check_cases(t, tg_json_get(golden, "cases"), 424);
    check_cases(t, tg_json_get(tg_json_get(golden, "ggml_inp_out"), "cases"), 46);
    tg_json_free(golden);
    golden = text_golden("tokenizer-more.json"); /* with names that an unguarded merge breaks up */
    check_cases(t, tg_json_get(golden, "full"), 323);
    tg_json_free(golden);
    le_tokenizer_close(t);
}

static void roles_and_flags(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    const struct le_special_ids *s = le_tokenizer_special(t);
    const int32_t got[] = {
        s->pad, s->eos, s->bos, s->turn_open, s->turn_close, s->channel_open, s->channel_close,
        s->think, s->tool_open, s->tool_close, s->call_open, s->call_close, s->response_open,
        s->response_close, s->quote, s->image, s->audio, s->video,
    };
    const int32_t want[] = { 0,  1,  2,  105, 106, 100, 101, 98,   46,
                             47, 48, 49, 50,  51,  52,  4091, 4092, 4095 };
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
        CHECK_INT(got[i], want[i]);
    size_t ends = 0;
    for (int32_t id = -1; id <= 4096; id++)
        ends += le_tokenizer_is_end(t, id);
    CHECK_INT(ends, 3);
    CHECK(le_tokenizer_is_end(t, 1) && le_tokenizer_is_end(t, 106) && le_tokenizer_is_end(t, 50));
    CHECK(le_tokenizer_is_control(t, 3) && le_tokenizer_is_control(t, 52));
    CHECK(!le_tokenizer_is_control(t, 212) && !le_tokenizer_is_control(t, 107));
    CHECK(!le_tokenizer_is_control(t, -1) && !le_tokenizer_is_control(t, 4096));
    CHECK_INT(le_tokenizer_piece(t, -1).n, 0);
    CHECK_INT(le_tokenizer_piece(t, 4096).n, 0);
    CHECK(tg_str_eq(le_tokenizer_piece(t, 139), TG_STR("   ")));
    CHECK(tg_str_eq(le_tokenizer_piece(t, 238 + 0xC3), TG_STR("\xC3")));
    CHECK(tg_str_eq(le_tokenizer_piece(t, 105), TG_STR("<|turn>")));
    le_tokenizer_close(t);
}

static bool is_never(const struct le_tokenizer *t, int32_t id)
{
    size_t n;
    const int32_t *never = le_tokenizer_never(t, &n);
    for (size_t i = 0; i < n; i++)
        if (never[i] == id)
            return true;
    return false;
}

static void never_list(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    const int32_t in[] = { 0,  2,  3,  4,    5,    6,    45,   46,   47,   51,   53,
                           97, 98, 99, 102, 104, 105, 4089, 4090, 4091, 4092, 4093, 4094, 4095 };
    const int32_t out[] = { 1, 48, 49, 50, 52, 100, 101, 106, 107, 138, 212, 238, 493, 3029 };
    for (size_t i = 0; i < sizeof(in) / sizeof(*in); i++)
        if (!is_never(t, in[i]))
            CHECK_FAIL("id %d may be sampled", (int)in[i]);
    for (size_t i = 0; i < sizeof(out) / sizeof(*out); i++)
        if (is_never(t, out[i]))
            CHECK_FAIL("id %d may not be sampled", (int)out[i]);
    size_t n;
    const int32_t *never = le_tokenizer_never(t, &n);
    for (size_t i = 1; i < n; i++)
        CHECK(never[i - 1] < never[i]);
    le_tokenizer_close(t);
}

static void invalid_utf8_becomes_byte_tokens(void)
{
    static const char *const bad[] = {
        "\xFF", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x96", "\x80 x",
        "\xE2\x28\xA1",
    };
    struct le_tokenizer *t = text_tokenizer_reduced();
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct le_ids ids = { 0 };
        CHECK_INT(le_tokenizer_encode(t, tg_str_of(bad[i]), true, &ids), TG_OK);
        struct tg_buf back = text_decode(t, ids.id, ids.n);
        CHECK_STR(back.p, bad[i]);
        tg_buf_free(&back);
        le_ids_free(&ids);
    }
    struct le_ids ids = { 0 };
    CHECK_INT(le_tokenizer_encode(t, TG_STR("\xED\xA0\x80"), false, &ids), TG_OK);
    CHECK_INT(ids.n, 3);
    CHECK_INT(ids.id[0], 238 + 0xED);
    CHECK_INT(ids.id[2], 238 + 0x80);
    le_ids_free(&ids);
    le_tokenizer_close(t);
}

/* Appended to what is there, and nothing is left behind when it fails. */
static void encode_appends(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct le_ids ids = { 0 };
    CHECK_INT(le_tokenizer_encode(t, TG_STR("<bos>"), true, &ids), TG_OK);
    CHECK_INT(le_tokenizer_encode(t, TG_STR(""), true, &ids), TG_OK);
    CHECK_INT(ids.n, 1);
    CHECK_INT(le_tokenizer_encode(t, TG_STR("<|turn>user\n"), true, &ids), TG_OK);
    CHECK_INT(ids.id[0], 2);
    CHECK_INT(ids.id[1], 105);
    size_t n = ids.n;
    struct tg_str huge = { "x", (size_t)INT32_MAX + 1 };
    CHECK_INT(le_tokenizer_encode(t, huge, false, &ids), TG_LIMIT);
    CHECK_INT(ids.n, n);
    le_ids_free(&ids);
    le_tokenizer_close(t);
}

/* A megabyte without a space, and without any cut at all: the worst cases must not be quadratic. A
 * quadratic merge of 2^20 symbols takes hours, so the limit is generous. */
static void long_lines_are_not_quadratic(void)
{
    enum { N = 1 << 20 };
    static const char *const unit[] = { "a", "abcdefghij", " ", "\n", "<", "<|turn", "\xC3", "e" };
    struct le_tokenizer *t = text_tokenizer_reduced();
    char *text = tg_alloc(N);
    CHECK(text != NULL);
    for (size_t k = 0; k < sizeof(unit) / sizeof(*unit); k++) {
        struct le_ids ids = { 0 };
        size_t len = strlen(unit[k]);
        for (size_t i = 0; i < N; i++)
            text[i] = unit[k][i % len];
        int64_t begin = tg_mono_ns();
        CHECK_INT(le_tokenizer_encode(t, (struct tg_str){ text, N }, true, &ids), TG_OK);
        double seconds = (double)(tg_mono_ns() - begin) * 1e-9;
        fprintf(stderr, "1 MiB of \"%s\": %zu ids, %.2f s\n", k == 3 ? "\\n" : unit[k], ids.n,
                seconds);
        CHECK(seconds < 20);
        struct tg_buf back = text_decode(t, ids.id, ids.n);
        CHECK_INT(back.n, N);
        CHECK(memcmp(back.p, text, N) == 0);
        tg_buf_free(&back);
        le_ids_free(&ids);
    }
    tg_free(text);
    le_tokenizer_close(t);
}

static void failing_allocations(void)
{
    struct le_gguf *g;
    struct le_tokenizer *t = NULL;
    struct tg_error err;
    CHECK_INT(le_gguf_open(TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf", &g, &err), TG_OK);
    uint64_t nth = 0;
    enum tg_status status;
    do {
        tg_alloc_fail_nth(++nth);
        status = le_tokenizer_open(g, &t, &err);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || (status == TG_NOMEM && t == NULL));
    } while (status);
    CHECK(nth > 7);
    le_gguf_close(g);
    static const char text[] = /* a line that is too long for the stack */
        "<bos>one two\n\nfour five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty\nthree <|turn>";
    for (nth = 1, status = TG_NOMEM; status; nth++) {
        struct le_ids ids = { 0 };
        tg_alloc_fail_nth(nth);
        status = le_tokenizer_encode(t, tg_str_of(text), true, &ids);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || (status == TG_NOMEM && ids.n == 0));
        le_ids_free(&ids);
    }
    CHECK(nth > 3);
    le_tokenizer_close(t);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(reduced_vocabulary),
        CASE(full_vocabulary),
        CASE(roles_and_flags),
        CASE(never_list),
        CASE(invalid_utf8_becomes_byte_tokens),
        CASE(encode_appends),
        CASE(long_lines_are_not_quadratic),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

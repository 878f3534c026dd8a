/* Made-up vocabularies: what the real ones do not show, and files that must be refused. */
#include "config/base/alloc.h"
#include "local_engine/template.h"
#include "local_engine/tokenizer_internal.h"
#include "tests/unit/check.h"
#include "tests/unit/engine/support_gguf.h"
#include "tests/unit/engine/support_text.h"

enum { LIST = 24 };

/* 256 byte tokens come first, then the listed ones. */
enum { FIRST = 256 };

struct vocabulary {
    const char *model;
    struct {
        const char *text;
        uint32_t type;
    } token[LIST];
    const char *merge[LIST];
    int64_t suppress[4]; /* id + 1, 0 ends */
    struct number {
        const char *key;
        uint32_t value;
    } number[4];
    uint32_t fewer_types, bytes;
};

static const struct vocabulary k_good = {
    .model = "gemma4",
    .token = { { "<eos>", 1 }, { "<|turn>", 3 }, { "[A]", 4 }, { "[A]B", 4 }, { "a", 1 },
               { "b", 1 }, { "ab", 1 }, { "\xE2\x96\x81", 1 }, { "\xE2\x96\x81" "a", 1 },
               { "a", 1 }, { "A", 1 },
               { "]", 1 }, { "<unused7>", 1 }, { "<unused>", 1 }, { "odd", 5 }, { "what", 2 },
               { "[", 1 }, { "\n", 1 }, { "aa", 1 }, { "aaa", 1 } },
    .merge = { "\xE2\x96\x81 a", "a b", "a a", "aa a", "a nothing", "aa b" },
    .suppress = { FIRST + 5 + 1, 0 },
    .bytes = 256,
};

static void put_vocabulary(struct tg_buf *b, const struct vocabulary *v)
{
    uint64_t n_tokens = 0, n_merges = 0, n_suppress = 0;
    while (n_tokens < LIST && v->token[n_tokens].text)
        n_tokens++;
    while (n_merges < LIST && v->merge[n_merges])
        n_merges++;
    while (n_suppress < 4 && v->suppress[n_suppress])
        n_suppress++;
    tg_buf_init(b, 1 << 20);
    size_t n_numbers = 0;
    while (n_numbers < 4 && v->number[n_numbers].key)
        n_numbers++;
    gguf_put_header(b, 0, (n_suppress ? 5 : 4) + n_numbers);
    for (size_t i = 0; i < n_numbers; i++) {
        gguf_put_key(b, v->number[i].key, LE_GGUF_U32);
        gguf_put(b, v->number[i].value, 4);
    }
    gguf_put_key(b, "tokenizer.ggml.model", LE_GGUF_STRING);
    gguf_put_string(b, v->model);
    gguf_put_array(b, "tokenizer.ggml.tokens", LE_GGUF_STRING, v->bytes + n_tokens);
    for (uint32_t i = 0; i < v->bytes; i++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", i & 0xFF);
        gguf_put_string(b, text);
    }
    for (uint64_t i = 0; i < n_tokens; i++)
        gguf_put_string(b, v->token[i].text);
    gguf_put_array(b, "tokenizer.ggml.token_type", LE_GGUF_I32,
                   v->bytes + n_tokens - v->fewer_types);
    for (uint64_t i = 0; i < v->bytes + n_tokens - v->fewer_types; i++)
        gguf_put(b, i < v->bytes ? 6 : v->token[i - v->bytes].type, 4);
    gguf_put_array(b, "tokenizer.ggml.merges", LE_GGUF_STRING, n_merges);
    for (uint64_t i = 0; i < n_merges; i++)
        gguf_put_string(b, v->merge[i]);
    if (n_suppress) {
        gguf_put_array(b, "tokenizer.ggml.suppress_tokens", LE_GGUF_I32, n_suppress);
        for (uint64_t i = 0; i < n_suppress; i++)
            gguf_put(b, (uint64_t)(v->suppress[i] - 1), 4);
    }
    gguf_pad(b, 32);
}

static enum tg_status open_buf(const struct tg_buf *b, struct le_tokenizer **t,
                               struct tg_error *err)
{
    struct le_gguf *g;
    err->text[0] = '\0';
    enum tg_status status = le_gguf_open_memory("made-up", b->p, b->n, &g, err);
    if (status)
        CHECK_FAIL("%s", err->text);
    status = le_tokenizer_open(g, t, err);
    le_gguf_close(g);
    return status;
}

static struct le_tokenizer *open_good(const struct vocabulary *v)
{
    struct tg_buf b;
    struct tg_error err;
    struct le_tokenizer *t;
    put_vocabulary(&b, v);
    if (open_buf(&b, &t, &err))
        CHECK_FAIL("%s", err.text);
    tg_buf_free(&b);
    return t;
}

static void check_ids(const struct le_tokenizer *t, const char *text, bool special,
                      const int32_t *want, size_t n)
{
    struct le_ids ids = { 0 };
    CHECK_INT(le_tokenizer_encode(t, tg_str_of(text), special, &ids), TG_OK);
    for (size_t i = 0; i < ids.n && i < n; i++)
        if (ids.id[i] != want[i])
            CHECK_FAIL("\"%s\": id %zu is %d, want %d", text, i, (int)ids.id[i], (int)want[i]);
    CHECK_INT(ids.n, n);
    le_ids_free(&ids);
}

#define IDS(t, text, special, ...)                                                                 \
    do {                                                                                           \
        static const int32_t ids_want[] = { __VA_ARGS__ };                                         \
        check_ids(t, text, special, ids_want, sizeof(ids_want) / sizeof(*ids_want));               \
    } while (0)

static void longest_special_token_first(void)
{
    struct le_tokenizer *t = open_good(&k_good);
    IDS(t, "[A]B", true, FIRST + 3);
    IDS(t, "[A]a", true, FIRST + 2, FIRST + 4);
    IDS(t, "[[A][A]B]", true, FIRST + 16, FIRST + 2, FIRST + 3, FIRST + 11);
    IDS(t, "[A]", false, FIRST + 16, FIRST + 10, FIRST + 11);
    IDS(t, "<eos>", true, FIRST + 0); /* special by its role, whatever its type says */
    CHECK(le_tokenizer_is_end(t, FIRST + 0) && le_tokenizer_is_control(t, FIRST + 0));
    CHECK(!le_tokenizer_is_control(t, FIRST + 2)); /* user-defined without a role: it is shown */
    CHECK_INT(le_tokenizer_special(t)->turn_open, FIRST + 1);
    CHECK_INT(le_tokenizer_special(t)->bos, -1);
    le_tokenizer_close(t);
}

static void merges_by_rank_then_from_the_left(void)
{
    struct le_tokenizer *t = open_good(&k_good);
    IDS(t, "a", false, FIRST + 4); /* the first of two equal texts */
    IDS(t, "ab", false, FIRST + 6);
    IDS(t, " ab", false, FIRST + 8, FIRST + 5); /* rank 0 takes the a away */
    IDS(t, "aaaa", false, FIRST + 18, FIRST + 18);
    IDS(t, "aaa", false, FIRST + 19);
    IDS(t, "aab", false, FIRST + 4, FIRST + 6); /* "aa b" has no token to become */
    IDS(t, "a\nb", false, FIRST + 4, FIRST + 17, FIRST + 5);
    IDS(t, "\xC3\xA9", false, 0xC3, 0xA9);
    IDS(t, "\xC3" "a", false, 0xC3, FIRST + 4);
    CHECK(tg_str_eq(le_tokenizer_piece(t, FIRST + 8), TG_STR(" a")));
    CHECK(tg_str_eq(le_tokenizer_piece(t, 0), (struct tg_str){ "", 1 }));
    le_tokenizer_close(t);
}

/* Without U+2581 in the vocabulary a space is its own byte. */
static void space_falls_back_to_its_byte(void)
{
    struct vocabulary v = k_good;
    v.token[7].text = "other";
    struct le_tokenizer *t = open_good(&v);
    IDS(t, "a b", false, FIRST + 4, ' ', FIRST + 5);
    le_tokenizer_close(t);
}

/* Published files name <eos>, <turn|> or neither as the end, and as beginning nothing or the wrong
 * thing: roles go by the tokens' texts, whatever the keys and the types say. */
static void ends_go_by_text(void)
{
    static const struct {
        uint32_t eos_type, eos_id, eot_id;
        bool eos_key, eot_key;
    } files[] = {
        { 3, FIRST + 0, 0, true, false },  { 1, FIRST + 0, 0, true, false },
        { 3, FIRST + 1, 0, true, false },  { 3, FIRST + 0, FIRST + 1, true, true },
        { 3, 0, 0, false, false },         { 3, FIRST + 4, 0, true, false },
        { 3, UINT32_MAX, 12345, true, true },
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        struct vocabulary v = k_good;
        size_t n = 0;
        v.token[0].type = files[i].eos_type;
        v.token[1].text = "<turn|>";
        v.token[2].text = "<|tool_response>";
        v.token[3].text = "</s>"; /* a tag of HTML */
        v.token[3].type = 3;
        if (files[i].eos_key)
            v.number[n++] = (struct number){ "tokenizer.ggml.eos_token_id", files[i].eos_id };
        if (files[i].eot_key)
            v.number[n++] = (struct number){ "tokenizer.ggml.eot_token_id", files[i].eot_id };
        v.number[n] = (struct number){ "tokenizer.ggml.add_bos_token", 0 };
        struct le_tokenizer *t = open_good(&v);
        for (int32_t id = 0; id < (int32_t)le_tokenizer_n(t); id++)
            CHECK(le_tokenizer_is_end(t, id) == (id >= FIRST && id <= FIRST + 2));
        CHECK_INT(le_tokenizer_special(t)->eos, FIRST);
        le_tokenizer_close(t);
    }
}

/* Special tokens of every length that begin alike: the scan must not try each at every byte. */
static void special_tokens_of_every_length(void)
{
    enum { N = 200000 };
    static struct vocabulary v;
    static char texts[LIST][256];
    v = k_good;
    memset(v.merge, 0, sizeof(v.merge));
    for (int i = 0; i < LIST; i++) {
        size_t len = 255 - (size_t)i * 10;
        memset(texts[i], '<', len);
        texts[i][len - 1] = '>';
        v.token[i].text = texts[i];
        v.token[i].type = 3;
    }
    struct le_tokenizer *t = open_good(&v);
    static char text[N];
    struct le_ids ids = { 0 };
    uint64_t steps;
    memset(text, '<', sizeof(text));
    CHECK_INT(le_tok_encode(t, (struct tg_str){ text, N }, true, &ids, &steps), TG_OK);
    CHECK_INT(ids.n, N);
    CHECK(steps < (uint64_t)300 * N);
    memcpy(text, texts[3], 226);
    ids.n = 0;
    CHECK_INT(le_tok_encode(t, (struct tg_str){ text, 300 }, true, &ids, &steps), TG_OK);
    CHECK_INT(ids.id[0], FIRST + 3);
    CHECK_INT(ids.n, 1 + 300 - 225);
    le_ids_free(&ids);
    le_tokenizer_close(t);
}

/* A vocabulary without the template's tokens opens, and says what it lacks. */
static void missing_special_tokens_are_named(void)
{
    struct le_tokenizer *t = open_good(&k_good), *whole = text_tokenizer_reduced();
    struct le_message m = { .role = LE_ROLE_USER, .text = TG_STR("a") };
    struct le_chat chat = { .messages = &m, .n = 1 };
    struct le_ids ids = { 0 };
    CHECK_INT(le_template_encode(t, &chat, SIZE_MAX, &ids), TG_UNSUPPORTED);
    CHECK_INT(ids.n, 0);
    CHECK_STR(le_template_missing(t), "<bos>");
    CHECK(le_template_missing(whole) == NULL);
    le_tokenizer_close(t);
    le_tokenizer_close(whole);
}

static void never_list(void)
{
    struct le_tokenizer *t = open_good(&k_good);
    static const int32_t want[] = { FIRST + 1, FIRST + 5, FIRST + 12, FIRST + 14, FIRST + 15 };
    size_t n;
    const int32_t *never = le_tokenizer_never(t, &n);
    CHECK_INT(n, sizeof(want) / sizeof(*want));
    for (size_t i = 0; i < n; i++)
        CHECK_INT(never[i], want[i]);
    le_tokenizer_close(t);
}

static void check_refused(const struct vocabulary *v, enum tg_status status, const char *names)
{
    struct tg_buf b;
    struct tg_error err;
    struct le_tokenizer *t;
    put_vocabulary(&b, v);
    CHECK_INT(open_buf(&b, &t, &err), status);
    CHECK(t == NULL);
    if (!strstr(err.text, names) || !strstr(err.text, "made-up"))
        CHECK_FAIL("error \"%s\" does not name %s", err.text, names);
    tg_buf_free(&b);
}

static void faults_are_named(void)
{
    char longest[300];
    memset(longest, '<', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    struct vocabulary v = k_good;
    v.model = "llama";
    check_refused(&v, TG_UNSUPPORTED, "tokenizer.ggml.model");
    v = k_good;
    v.fewer_types = 1;
    check_refused(&v, TG_INVALID, "tokenizer.ggml.token_type");
    v = k_good;
    v.token[4].type = 7;
    check_refused(&v, TG_INVALID, "tokenizer.ggml.token_type[260]");
    v = k_good;
    v.token[4].type = 6;
    check_refused(&v, TG_INVALID, "tokenizer.ggml.tokens[260]");
    v = k_good;
    v.bytes = 255;
    check_refused(&v, TG_INVALID, "<0xFF>");
    v = k_good;
    v.token[1].text = longest;
    check_refused(&v, TG_INVALID, "257");
    v = k_good;
    v.suppress[0] = FIRST + LIST + 1;
    check_refused(&v, TG_INVALID, "tokenizer.ggml.suppress_tokens[0]");
    static const char *const bad[] = { "", "a", "ab", " a", " aa", "a ", "aa " };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        v = k_good;
        v.merge[1] = bad[i];
        check_refused(&v, TG_INVALID, "tokenizer.ggml.merges[1]");
    }
}

/* Each key renamed in turn. */
static void missing_keys_are_named(void)
{
    static const char *const keys[] = { "tokenizer.ggml.model", "tokenizer.ggml.tokens",
                                        "tokenizer.ggml.token_type", "tokenizer.ggml.merges" };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        struct tg_buf b;
        struct tg_error err;
        struct le_tokenizer *t;
        put_vocabulary(&b, &k_good);
        gguf_patch(&b, gguf_find(&b, keys[i]), 'T', 1);
        CHECK_INT(open_buf(&b, &t, &err), TG_INVALID);
        if (!strstr(err.text, keys[i]))
            CHECK_FAIL("error \"%s\" does not name %s", err.text, keys[i]);
        tg_buf_free(&b);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(longest_special_token_first),
        CASE(merges_by_rank_then_from_the_left),
        CASE(space_falls_back_to_its_byte),
        CASE(ends_go_by_text),
        CASE(special_tokens_of_every_length),
        CASE(missing_special_tokens_are_named),
        CASE(never_list),
        CASE(faults_are_named),
        CASE(missing_keys_are_named),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

/* The tokenizer's keys: taken over from a file, or made up. The made-up vocabulary has the special
 * tokens and byte tokens of the real one at their real ids, and for the rest words of spaces and
 * letters in order of length, each with the merge that makes it. */
#include <stdio.h>
#include <string.h>

#include "tests/bench/synth.h"

enum { NORMAL = 1, CONTROL = 3, USER = 4, BYTE = 6 };
enum { WORD_BYTES_MAX = 32, SYMBOLS = 27 };

static const char space[] = "\xE2\x96\x81"; /* U+2581 */

/* Where a token of the real vocabulary stands. */
static const struct fixed {
    uint32_t id;
    const char *text;
    uint8_t type;
} fixed_tokens[] = {
    { 0, "<pad>", CONTROL }, { 1, "<eos>", CONTROL }, { 2, "<bos>", CONTROL },
    { 3, "<unk>", CONTROL }, { 4, "<mask>", CONTROL }, { 5, "[multimodal]", NORMAL },
    { 46, "<|tool>", CONTROL }, { 47, "<tool|>", CONTROL }, { 48, "<|tool_call>", USER },
    { 49, "<tool_call|>", USER }, { 50, "<|tool_response>", USER },
    { 51, "<tool_response|>", USER }, { 52, "<|\"|>", USER }, { 98, "<|think|>", CONTROL },
    { 100, "<|channel>", USER }, { 101, "<channel|>", USER }, { 105, "<|turn>", CONTROL },
    { 106, "<turn|>", CONTROL }, { 255999, "<|image>", CONTROL }, { 256000, "<|audio>", CONTROL },
    { 258880, "<|image|>", CONTROL }, { 258881, "<|audio|>", CONTROL },
    { 258882, "<image|>", CONTROL }, { 258883, "<audio|>", CONTROL },
    { 258884, "<|video|>", CONTROL },
};

enum {
    N_FIXED = sizeof(fixed_tokens) / sizeof(*fixed_tokens),
    NEWLINES_FIRST = 107, NEWLINES = 31, /* runs of 1 to 31 */
    SPACES_FIRST = 138, SPACES = 30,     /* runs of 2 to 31 */
    BYTES_FIRST = 238,
    WORDS_FIRST = BYTES_FIRST + 256,
};

struct token {
    char text[128];
    uint8_t type;
    uint8_t merge; /* bytes of the left side of its merge; 0: none */
};

/* Word number i of the sequence: letters and the space, then pairs, then triples... */
static void make_word(uint32_t i, struct token *t)
{
    uint32_t length = 1, count = SYMBOLS;
    while (i >= count) {
        i -= count;
        count *= SYMBOLS;
        length++;
    }
    uint32_t digit[8];
    for (uint32_t k = length; k-- > 0; i /= SYMBOLS)
        digit[k] = i % SYMBOLS;
    size_t n = 0;
    for (uint32_t k = 0; k < length; k++) {
        if (k + 1 == length && length > 1)
            t->merge = (uint8_t)n;
        if (digit[k] == 0)
            n += (size_t)snprintf(t->text + n, sizeof(t->text) - n, "%s", space);
        else
            t->text[n++] = (char)('a' + digit[k] - 1);
    }
    t->text[n] = 0;
}

static void make_run(const char *unit, uint32_t n, struct token *t)
{
    size_t bytes = strlen(unit);
    for (uint32_t i = 0; i < n; i++)
        memcpy(t->text + i * bytes, unit, bytes);
    t->text[n * bytes] = 0;
    t->merge = (uint8_t)(n > 1 ? (n - 1) * bytes : 0);
}

static const struct fixed *find_fixed(uint32_t id)
{
    for (size_t i = 0; i < N_FIXED; i++)
        if (fixed_tokens[i].id == id)
            return &fixed_tokens[i];
    return NULL;
}

/* A word of spaces only: it has its place among the runs. */
static bool only_spaces(const char *s)
{
    return strlen(s) > sizeof(space) - 1 && strspn(s, space) == strlen(s);
}

/* The token of an id; *word: the next word's number. Called with rising ids. */
static void make_token(uint32_t id, uint32_t *word, struct token *t)
{
    const struct fixed *fixed = find_fixed(id);
    *t = (struct token){ .type = NORMAL };
    if (fixed) {
        snprintf(t->text, sizeof(t->text), "%s", fixed->text);
        t->type = fixed->type;
    } else if (id >= NEWLINES_FIRST && id < NEWLINES_FIRST + NEWLINES) {
        make_run("\n", id - NEWLINES_FIRST + 1, t);
    } else if (id >= SPACES_FIRST && id < SPACES_FIRST + SPACES) {
        make_run(space, id - SPACES_FIRST + 2, t);
    } else if (id >= BYTES_FIRST && id < BYTES_FIRST + 256) {
        snprintf(t->text, sizeof(t->text), "<0x%02X>", id - BYTES_FIRST);
        t->type = BYTE;
    } else if (id < WORDS_FIRST) {
        snprintf(t->text, sizeof(t->text), "<unused%u>", id);
    } else {
        do
            make_word((*word)++, t);
        while (only_spaces(t->text));
    }
}

static void put_common(struct tg_buf *b, uint64_t *n_kv)
{
    synth_put_text(b, "tokenizer.ggml.model", "gemma4");
    synth_put_u32(b, "tokenizer.ggml.bos_token_id", 2);
    synth_put_u32(b, "tokenizer.ggml.eos_token_id", 1);
    synth_put_u32(b, "tokenizer.ggml.unknown_token_id", 3);
    synth_put_u32(b, "tokenizer.ggml.padding_token_id", 0);
    synth_put_bool(b, "tokenizer.ggml.add_space_prefix", false);
    synth_put_bool(b, "tokenizer.ggml.add_bos_token", true);
    *n_kv += 7;
}

/* Present in released files, and without a meaning. */
static void put_scores(struct tg_buf *b, uint32_t n, uint64_t *n_kv)
{
    synth_put_array(b, "tokenizer.ggml.scores", LE_GGUF_F32, n);
    for (uint32_t i = 0; i < n; i++)
        synth_put(b, 0xC47A0000, 4); /* -1000 */
    ++*n_kv;
}

void synth_vocab_made(uint32_t n_tokens, struct tg_buf *b, uint64_t *n_kv)
{
    struct token t;
    uint32_t word = 0;
    put_common(b, n_kv);
    put_scores(b, n_tokens, n_kv);
    synth_put_array(b, "tokenizer.ggml.tokens", LE_GGUF_STRING, n_tokens);
    for (uint32_t i = 0; i < n_tokens; i++) {
        make_token(i, &word, &t);
        synth_put_string(b, t.text, strlen(t.text));
    }
    synth_put_array(b, "tokenizer.ggml.token_type", LE_GGUF_I32, n_tokens);
    word = 0;
    for (uint32_t i = 0; i < n_tokens; i++) {
        make_token(i, &word, &t);
        synth_put(b, t.type, 4);
    }
    synth_put_array(b, "tokenizer.ggml.merges", LE_GGUF_STRING, 0);
    size_t count_at = b->n - 8;
    uint64_t merges = 0;
    word = 0;
    for (uint32_t i = 0; i < n_tokens; i++) {
        char text[sizeof(t.text) + 2];
        make_token(i, &word, &t);
        if (t.merge == 0)
            continue;
        int n = snprintf(text, sizeof(text), "%.*s %s", t.merge, t.text, t.text + t.merge);
        synth_put_string(b, text, (size_t)n);
        merges++;
    }
    for (unsigned i = 0; !b->failed && i < 8; i++)
        b->p[count_at + i] = (char)(merges >> 8 * i);
    *n_kv += 3;
}

static enum tg_status copy_strings(const struct le_gguf *g, const char *key, struct tg_buf *b,
                                   uint64_t *n, struct tg_error *err)
{
    uint64_t cursor = 0;
    enum tg_status st = le_gguf_array_count(g, key, n, err);
    if (st)
        return st == TG_NOTFOUND
                   ? tg_fail(err, TG_INVALID, "%s: key %s is missing: name a file with a tokenizer",
                             le_gguf_path(g), key)
                   : st;
    synth_put_array(b, key, LE_GGUF_STRING, *n);
    for (uint64_t i = 0; !st && i < *n; i++) {
        struct tg_str s;
        st = le_gguf_array_string_next(g, key, &cursor, &s, err);
        if (!st)
            synth_put_string(b, s.p, s.n);
    }
    return st;
}

static enum tg_status copy_tokenizer(const struct le_gguf *g, struct tg_buf *b, uint64_t *n_kv,
                                     uint32_t *n_tokens, struct tg_error *err)
{
    static const char types[] = "tokenizer.ggml.token_type";
    struct tg_str template;
    uint64_t n, n_types, n_merges;
    enum tg_status st;
    put_common(b, n_kv);
    if ((st = copy_strings(g, "tokenizer.ggml.tokens", b, &n, err)) ||
        (st = copy_strings(g, "tokenizer.ggml.merges", b, &n_merges, err)) ||
        (st = le_gguf_array_count(g, types, &n_types, err)))
        return st;
    if (n < SYNTH_VOCAB_MIN || n > UINT32_MAX || n_types != n)
        return tg_fail(err, TG_INVALID, "%s: %llu tokens and %llu types: that is no tokenizer of "
                       "this family", le_gguf_path(g), (unsigned long long)n,
                       (unsigned long long)n_types);
    synth_put_array(b, types, LE_GGUF_I32, n);
    for (uint64_t i = 0; !st && i < n; i++) {
        uint32_t type;
        st = le_gguf_array_u32(g, types, i, &type, err);
        if (!st)
            synth_put(b, type, 4);
    }
    *n_kv += 3;
    *n_tokens = (uint32_t)n;
    put_scores(b, *n_tokens, n_kv);
    if (st || le_gguf_string(g, "tokenizer.chat_template", &template, NULL))
        return st;
    synth_put_key(b, "tokenizer.chat_template", LE_GGUF_STRING);
    synth_put_string(b, template.p, template.n);
    ++*n_kv;
    return TG_OK;
}

enum tg_status synth_vocab_file(const char *path, struct tg_buf *b, uint64_t *n_kv,
                                uint32_t *n_tokens, struct tg_error *err)
{
    struct le_gguf *g = NULL;
    enum tg_status st = le_gguf_open(path, &g, err);
    if (!st)
        st = copy_tokenizer(g, b, n_kv, n_tokens, err);
    le_gguf_close(g);
    return st;
}

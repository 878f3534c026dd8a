#include "config/base/alloc.h"
#include "local_engine/tokenizer_internal.h"

/* Roles go by text: published files disagree about ids and types (some mark <eos> as normal, some
 * name <turn|> as eos), never about texts. "</s>" is an HTML tag here, no end of anything. */
struct role {
    const char *text;
    size_t member; /* offset in struct le_special_ids */
    bool end, never;
};

#define ROLE(text, member, end, never)                                                             \
    {                                                                                              \
        text, offsetof(struct le_special_ids, member), end, never                                  \
    }

static const struct role k_roles[] = {
    ROLE("<pad>", pad, false, true),
    ROLE("<eos>", eos, true, false),
    ROLE("<bos>", bos, false, true),
    ROLE("<|turn>", turn_open, false, true),
    ROLE("<turn|>", turn_close, true, false),
    ROLE("<|channel>", channel_open, false, false),
    ROLE("<channel|>", channel_close, false, false),
    ROLE("<|think|>", think, false, true),
    ROLE("<|tool>", tool_open, false, true),
    ROLE("<tool|>", tool_close, false, true),
    ROLE("<|tool_call>", call_open, false, false),
    ROLE("<tool_call|>", call_close, false, false),
    ROLE("<|tool_response>", response_open, true, false),
    ROLE("<tool_response|>", response_close, false, true),
    ROLE("<|\"|>", quote, false, false),
    ROLE("<|image|>", image, false, true),
    ROLE("<|audio|>", audio, false, true),
    ROLE("<|video|>", video, false, true),
};

/* No role of their own, and nothing a model should say. */
static const char *const k_never[] = {
    "<unk>", "<mask>", "[multimodal]", "<|image>", "<image|>", "<|audio>", "<audio|>",
};

/* "<unused12>" */
static bool is_unused(struct tg_str s)
{
    static const char head[] = "<unused";
    size_t n = sizeof(head) - 1;
    if (s.n < n + 2 || memcmp(s.p, head, n) != 0 || s.p[s.n - 1] != '>')
        return false;
    for (size_t i = n; i < s.n - 1; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

static enum tg_status add_suppressed(const struct le_gguf *g, uint8_t *never, uint32_t n_tokens,
                                     struct tg_error *err)
{
    static const char key[] = "tokenizer.ggml.suppress_tokens";
    uint64_t n;
    enum tg_status status = le_gguf_array_count(g, key, &n, err);
    if (status == TG_NOTFOUND)
        return TG_OK;
    if (status)
        return status;
    if (n > n_tokens)
        return tg_fail(err, TG_INVALID, "%s: %s has %llu entries, the vocabulary %u",
                       le_gguf_path(g), key, (unsigned long long)n, n_tokens);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t id;
        if ((status = le_gguf_array_u32(g, key, i, &id, err)))
            return status;
        if (id >= n_tokens)
            return tg_fail(err, TG_INVALID, "%s: %s[%llu] is %u, the vocabulary has %u tokens",
                           le_gguf_path(g), key, (unsigned long long)i, id, n_tokens);
        never[id] = 1;
    }
    return TG_OK;
}

static enum tg_status make_never(struct le_tokenizer *t, const struct le_gguf *g, uint8_t *never,
                                 struct tg_error *err)
{
    for (size_t i = 0; i < sizeof(k_never) / sizeof(*k_never); i++) {
        int32_t id = le_tok_find(t, tg_str_of(k_never[i]));
        if (id >= 0)
            never[id] = 1;
    }
    size_t n = 0;
    enum tg_status status = add_suppressed(g, never, t->n, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < t->n; i++) {
        const struct le_tok *tok = &t->tok[i];
        if (tok->type == LE_TOK_UNKNOWN || tok->type == LE_TOK_UNUSED ||
            is_unused((struct tg_str){ t->text + tok->text, tok->text_n }))
            never[i] = 1;
        n += never[i];
    }
    t->never = tg_calloc(n + 1, sizeof(*t->never));
    if (!t->never)
        return tg_fail(err, TG_NOMEM, "out of memory for the tokenizer");
    for (uint32_t i = 0; i < t->n; i++)
        if (never[i])
            t->never[t->n_never++] = (int32_t)i;
    return TG_OK;
}

/* Flags every special token and lists their first bytes and lengths for the scan. */
static enum tg_status index_special(struct le_tokenizer *t, const struct le_gguf *g,
                                    struct tg_error *err)
{
    bool seen[LE_SPECIAL_LEN_MAX + 1] = { false };
    for (uint32_t i = 0; i < t->n; i++) {
        struct le_tok *tok = &t->tok[i];
        if (tok->type == LE_TOK_CONTROL)
            tok->control = true;
        tok->special = tok->special || tok->type == LE_TOK_CONTROL || tok->type == LE_TOK_USER;
        if (!tok->special || tok->text_n == 0)
            continue;
        if (tok->text_n > LE_SPECIAL_LEN_MAX)
            return tg_fail(err, TG_INVALID, "%s: special token %u is longer than %d bytes",
                           le_gguf_path(g), i, LE_SPECIAL_LEN_MAX);
        seen[tok->text_n] = true;
        t->special_first[(unsigned char)t->text[tok->text]] = true;
    }
    size_t n = 0;
    for (size_t len = 1; len <= LE_SPECIAL_LEN_MAX; len++)
        if (seen[len])
            t->special_len[n++] = (uint8_t)len;
    if (n <= LE_SPECIAL_LEN_MAX)
        t->special_len[n] = 0;
    return TG_OK;
}

enum tg_status le_tok_assign_roles(struct le_tokenizer *t, const struct le_gguf *g,
                                   struct tg_error *err)
{
    uint8_t *never = tg_calloc(t->n, 1);
    if (!never)
        return tg_fail(err, TG_NOMEM, "out of memory for the tokenizer");
    for (size_t i = 0; i < sizeof(k_roles) / sizeof(*k_roles); i++) {
        const struct role *role = &k_roles[i];
        int32_t id = le_tok_find(t, tg_str_of(role->text));
        memcpy((char *)&t->special + role->member, &id, sizeof(id));
        if (id < 0)
            continue;
        t->tok[id].special = t->tok[id].control = true;
        t->tok[id].end = role->end;
        never[id] = role->never;
    }
    enum tg_status status = index_special(t, g, err);
    if (!status)
        status = make_never(t, g, never, err);
    tg_free(never);
    return status;
}

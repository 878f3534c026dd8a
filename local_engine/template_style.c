/* Which chat template a file carries. Google has revised it several times, for two groups of models
 * each: the large ones (12B, 26B-A4B, 31B) get an empty thought in the generation prompt while
 * thinking is off, the small ones (E2B, E4B) do not. Each entry was compared with its template run
 * by jinja2 (tests/golden/README.md). */
#include "config/base/log.h"
#include "local_engine/template.h"

/* clang-format off */
#define APRIL_2  .think_inline = true, .media_lines = true
#define APRIL_28 .spaced_system = true, .blank_is_empty = true
#define MAY_18   APRIL_28, .result_media = true
#define JULY_9   MAY_18, .null_word = true, .all_reasoning = true, .joined_turns = true,           \
                 .thought_cue = true
#define SMALL    .bare_prompt = true
/* clang-format on */

static const struct known {
    const char *sha256, *name;
    struct le_template_style style;
} k_known[] = {
    { "85a08664d16d8f3be4416c92427b3ac10df1024ac566cc0b4bc3bab409393f98",
      "2026-04-10, 26B-A4B and 31B", { 0 } },
    { "781d10940fbc44be40064b5d43a056fc486c84ceaa55538226368b57314132bf",
      "2026-04-10, E2B and E4B", { SMALL } },
    { "2dfbfc7d538912f4ea11d29d85b4e25d7bc26386e53f57529f1d707c28b5828c",
      "2026-04-02, 26B-A4B and 31B", { APRIL_2 } },
    { "55572b8d3c8342044e25874c73fe5234b661fa0a57a57f6ef75b58e03d7d959a",
      "2026-04-02, E2B and E4B", { APRIL_2, SMALL } },
    { "94899c0f917d93f6fe81c95744d1e8ddab2d21d39228d2e4aec1fb2a25bff413",
      "2026-04-28, 26B-A4B and 31B", { APRIL_28 } },
    { "33204f1acb5bd0002713e16a593847f24ceeafe711ed88bda2a352dc996a3373",
      "2026-04-28, E2B and E4B", { APRIL_28, SMALL } },
    { "36e3a42e5cf14cd0020e72d92e1fdd9970f59b82170e421f0cbe1bb42bead3f0",
      "2026-05-18, 12B, 26B-A4B and 31B", { MAY_18 } },
    { "2f1b4d75d067bae3fe44e676721c7f077d243bc007156cb9c2f8b5836613d082",
      "2026-05-18, E2B and E4B", { MAY_18, SMALL } },
    { "ae53464bf3be25802b3a5b37def7fd89667067d7577049b3b2d74c4d8de4c6d4",
      "2026-07-09, 12B, 26B-A4B and 31B", { JULY_9 } },
    { "0a2c8073c878ab1da004bee933a998606537bbb62016310352c7285c3f01c5b5",
      "2026-07-09, E2B and E4B", { JULY_9, SMALL } },
    { "845f1ee48e39fc942fe190da9df6a1c5db229e17a96ea08966ad1c9274e73d1b",
      "2026-07-09 as Unsloth has it, 12B, 26B-A4B and 31B", { JULY_9 } },
    { "241c50d86bdfe5e43307da87f559cd2416aacd67a8de46c15acc0105ef2200b7",
      "2026-07-09 as Unsloth has it, E2B and E4B", { JULY_9, SMALL } },
};

static size_t occurrences(struct tg_str text, const char *mark)
{
    size_t n = 0, len = strlen(mark);
    for (const char *p; text.n && (p = memmem(text.p, text.n, mark, len)); n++) {
        text.n -= (size_t)(p - text.p) + len;
        text.p = p + len;
    }
    return n;
}

static bool has(struct tg_str text, const char *mark)
{
    return occurrences(text, mark) > 0;
}

/* Marks are pieces of Jinja source, where a newline in a string is a backslash and an n. */
struct le_template_style le_template_detect(struct tg_str text)
{
    return (struct le_template_style){
        .bare_prompt = !has(text, "<|channel>thought\\n<channel|>"),
        .think_inline = has(text, "<|think|>") && !has(text, "<|think|>\\n"),
        .media_lines = has(text, "\\n\\n<|image|>"),
        .spaced_system = has(text, "| trim + ' '"),
        .blank_is_empty = has(text, "has_content"),
        .result_media = occurrences(text, "<|image|>") > 1,
        .null_word = has(text, "{{- 'null' -}}"),
        .all_reasoning = has(text, "thinking_gate"),
        .joined_turns = has(text, "continues_into_next"),
        .thought_cue = has(text, "== 'tool_response' and enable_thinking"),
        .type_lists = has(text, "format_type_argument"),
    };
}

const char *le_template_default_sha256(void)
{
    return k_known[0].sha256;
}

static const struct known *find_known(const char *sha256)
{
    for (size_t i = 0; i < sizeof(k_known) / sizeof(*k_known); i++)
        if (strcmp(k_known[i].sha256, sha256) == 0)
            return &k_known[i];
    return NULL;
}

/* Copies of a template often lose the newline at its end, or gain one. */
static const struct known *identify(struct tg_str text, const char *sha256)
{
    const struct known *k = find_known(sha256);
    char other[TG_SHA256_HEX + 1];
    if (k)
        return k;
    struct tg_sha256 s;
    unsigned char digest[TG_SHA256_BYTES];
    bool newline = text.n && text.p[text.n - 1] == '\n';
    tg_sha256_init(&s);
    tg_sha256_update(&s, text.p, text.n - newline);
    tg_sha256_update(&s, "\n", !newline);
    tg_sha256_final(&s, digest);
    tg_sha256_hex(digest, other);
    return find_known(other);
}

enum tg_status le_template_read(const struct le_gguf *g, struct le_template_info *out,
                                struct tg_error *err)
{
    struct tg_str text;
    uint32_t per_layer = 0;
    bool thinks = true;
    *out = (struct le_template_info){ .known = NULL };
    enum tg_status status = le_gguf_bool(g, "tollgate.thinking", &thinks, err);
    out->never_thinks = !thinks;
    if (!status || status == TG_NOTFOUND)
        status = le_gguf_string(g, "tokenizer.chat_template", &text, err);
    if (status && status != TG_NOTFOUND)
        return status;
    if (!status)
        tg_sha256_text(text, out->sha256);
    out->old_gemma = !status && has(text, "<start_of_turn>") && !has(text, "<|turn>");
    if (status || out->old_gemma) {
        le_gguf_u32(g, "gemma4.embedding_length_per_layer_input", &per_layer, NULL);
        out->style.bare_prompt = per_layer > 0;
        return TG_OK;
    }
    const struct known *k = identify(text, out->sha256);
    out->known = k ? k->name : NULL;
    out->style = k ? k->style : le_template_detect(text);
    return TG_OK;
}

void le_template_warn(const struct le_template_info *info, const char *path)
{
    if (info->old_gemma)
        tg_log(TG_LOG_WARN, "template-foreign",
               "%s: its chat template (sha256 %s) is of an older Gemma (<start_of_turn>), which a "
               "Gemma 4 model was not trained for; prompts are written as the Gemma 4 template "
               "with sha256 %s writes them", path, info->sha256, le_template_default_sha256());
    else if (info->sha256[0] && !info->known)
        tg_log(TG_LOG_WARN, "template-unknown",
               "%s: its chat template (sha256 %s) is none that this version knows; prompts are "
               "written as the one with sha256 %s writes them, with the differences that were "
               "recognised in its text", path, info->sha256, le_template_default_sha256());
}

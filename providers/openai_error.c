#include "providers/openai_error.h"

#include <strings.h>

#include "config/base/log.h"
#include "providers/openai_reader.h"
#include "providers/openai_reader_internal.h"

static const struct tg_json *object_of(const struct tg_json *root)
{
    const struct tg_json *error = tg_json_get(root, "error");
    return tg_json_is(error, TG_JSON_OBJECT) ? error : root;
}

struct tg_str prov_error_text(const struct tg_json *root)
{
    static const char *const keys[] = { "message", "detail", "type", "code" };
    struct tg_str text = { NULL, 0 };
    if (tg_json_string(tg_json_get(root, "error"), &text))
        return text;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (tg_json_string(tg_json_get(object_of(root), keys[i]), &text))
            return text;
    return TG_STR("");
}

/* What no sentence, address or secret looks like: most keys, and what is repeated of them, have a
 * hyphen. */
static bool is_word(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') && !strchr("_.[]", *p))
            return false;
    return *s != '\0';
}

static struct tg_str take_word(const struct tg_json *error, const char *key,
                               char out[PROV_ERROR_WORD_MAX])
{
    struct tg_str word = { NULL, 0 };
    if (!tg_json_string(tg_json_get(error, key), &word) || !word.n ||
        word.n >= PROV_ERROR_WORD_MAX || memchr(word.p, '\0', word.n))
        return TG_STR("");
    memcpy(out, word.p, word.n);
    out[word.n] = '\0';
    tg_log_mask(out); /* a secret is no word any more */
    return is_word(out) ? tg_str_of(out) : TG_STR("");
}

static bool contains(struct tg_str text, const char *phrase)
{
    size_t n = strlen(phrase);
    for (size_t i = 0; i + n <= text.n; i++)
        if (strncasecmp(text.p + i, phrase, n) == 0)
            return true;
    return false;
}

static bool is_one_of(struct tg_str word, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tg_str_eq(word, tg_str_of(list[i])))
            return true;
    return false;
}

/* Few servers have a code for it; the others are known by the words of their messages. Where one
 * says that it failed, or which field is at fault, that may be about something else. */
static bool tells_of_length(const struct chat_event *e, struct tg_str text)
{
    static const char *const codes[] = { "context_length_exceeded", "exceed_context_size_error",
                                         "model_context_window_exceeded" };
    static const char *const limits[] = { "max_tokens", "max_completion_tokens",
                                          "max_output_tokens" };
    static const char *const phrases[] = {
        "maximum context length", "exceeds the context window",
        "exceeds the available context size", "exceeds the context length",
        /* too common for a failure: */
        "prompt is too long", "maximum prompt length is", "exceeded max context length",
        "the model's context length", "exceeds the maximum number of tokens",
        "reduce the length of the messages", "input is too long",
    };
    enum { CODES = sizeof(codes) / sizeof(*codes), LIMITS = sizeof(limits) / sizeof(*limits) };
    if (is_one_of(e->said_code, codes, CODES) || is_one_of(e->said_type, codes, CODES))
        return true;
    size_t n = e->http_status == 500 ? 4 : sizeof(phrases) / sizeof(*phrases);
    for (size_t i = 0; i < n && !is_one_of(e->said_param, limits, LIMITS); i++)
        if (contains(text, phrases[i]))
            return true;
    return false;
}

void prov_error_read(const struct tg_json *root, struct tg_str text,
                     struct prov_error_words *words, struct chat_event *e)
{
    const struct tg_json *error = object_of(root);
    e->said_type = take_word(error, "type", words->type);
    e->said_code = take_word(error, "code", words->code);
    e->said_param = take_word(error, "param", words->param);
    int status = e->http_status; /* some fail with 500 at it; of our key or a limit it is none */
    if (status != 400 && status != 413 && status != 422 && status != 500)
        return;
    e->overflow.is = tells_of_length(e, text);
    if (!e->overflow.is)
        return;
    struct chat_count prompt = prov_reader_count(tg_json_get(error, "n_prompt_tokens"));
    struct chat_count context = prov_reader_count(tg_json_get(error, "n_ctx")); /* llama.cpp's */
    if (context.n && prompt.n >= context.n) {
        e->overflow.tokens = prompt.n;
        e->overflow.context = context.n;
    }
}

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "config/base/utf8.h"
#include "gateway/api/dialect.h"

/* Clients look for a phrase in the message, since few dialects have a code: then they drop or
 * summarise old messages and ask again, instead of giving up. The phrase comes first, whole, where
 * nothing that a provider says can cut it off. */

static void add(char text[], size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void add(char text[], size_t size, const char *fmt, ...)
{
    size_t n = strlen(text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + n, size - n, fmt, args);
    va_end(args);
}

/* LangChain looks for either half, LiteLLM and many agents for the second, OpenAI's own client of
 * responses for the code. */
static void openai_words(const struct chat_overflow *o, char *text, size_t size)
{
    add(text, size, "the input exceeds the context window");
    if (o->tokens)
        add(text, size,
            ": this model's maximum context length is %" PRIu64 " tokens, and the input has %s%"
            PRIu64 " tokens",
            o->context, o->at_least ? "at least " : "", o->tokens);
}

/* Some read both numbers. The maximum is the prompt's: what is left beside a token of answer. */
static void anthropic_words(const struct chat_overflow *o, char *text, size_t size)
{
    add(text, size, "prompt is too long");
    if (o->tokens)
        add(text, size, ": %" PRIu64 " tokens > %" PRIu64 " maximum%s", o->tokens, o->context - 1,
            o->at_least ? " (at least so many)" : "");
}

static void ollama_words(const struct chat_overflow *o, char *text, size_t size)
{
    add(text, size, "prompt too long; exceeded max context length");
    if (o->tokens)
        add(text, size, " by %" PRIu64 " tokens%s: it has %" PRIu64, o->tokens + 1 - o->context,
            o->at_least ? " at least" : "", o->tokens);
}

void api_overflow(const struct api_dialect *d, const struct chat_overflow *o, const char *says,
                  struct api_error *e)
{
    char *text = e->message;
    size_t size = sizeof(e->message);
    text[0] = '\0';
    switch (d->overflow) {
    case API_OVERFLOW_OPENAI:
        openai_words(o, text, size);
        break;
    case API_OVERFLOW_ANTHROPIC:
        anthropic_words(o, text, size);
        break;
    case API_OVERFLOW_OLLAMA:
        ollama_words(o, text, size);
        break;
    case API_OVERFLOW_OLLAMA_VECTORS:
        add(text, size, "the input length exceeds the context length");
        break;
    }
    if (*says)
        add(text, size, ": %s", says);
    else
        add(text, size,
            ". Tools count, and the local model's context of %" PRIu64 " tokens needs one for the "
            "answer: shorten the prompt, name a model with a larger context, or raise "
            "engine.context",
            o->context);
    text[tg_utf8_complete(text, strlen(text))] = '\0';
    e->status = 400;
    e->type = "invalid_request_error";
    e->code = API_TOO_LONG;
}

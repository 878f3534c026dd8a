#include "policy/trigger_lex.h"

#include <stdlib.h>

enum { NUMBER_MAX = 40 };

static const struct {
    const char *name;
    enum trigger_unit unit;
} names[POL_N_NAMES] = {
    [POL_CONFIDENCE] = { "confidence", UNIT_FRACTION },
    [POL_COMPLEXITY] = { "complexity", UNIT_FRACTION },
    [POL_PROMPT_TOKENS] = { "prompt_tokens", UNIT_PLAIN },
    [POL_MAX_TOKENS] = { "max_tokens", UNIT_PLAIN },
    [POL_TURNS] = { "turns", UNIT_PLAIN },
    [POL_TOOLS] = { "tools", UNIT_PLAIN },
    [POL_IMAGES] = { "images", UNIT_PLAIN },
    [POL_AUDIO] = { "audio", UNIT_PLAIN },
    [POL_QUEUE_MS] = { "queue_ms", UNIT_TIME },
    [POL_TTFT_MS] = { "ttft_ms", UNIT_TIME },
    [POL_BUDGET_USED] = { "budget_used", UNIT_FRACTION },
    [POL_HOUR] = { "hour", UNIT_PLAIN },
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void bad(struct trigger_token *t, const char *cause)
{
    t->word = WORD_BAD;
    t->cause = cause;
}

static void read_word(struct tg_str text, struct trigger_token *t)
{
    static const struct { const char *name; enum trigger_word word; } keywords[] = {
        { "and", WORD_AND }, { "or", WORD_OR }, { "not", WORD_NOT }, { "tag", WORD_TAG }
    };
    while (t->at + t->n < text.n &&
           (is_letter(text.p[t->at + t->n]) || is_digit(text.p[t->at + t->n])))
        t->n++;
    struct tg_str word = { text.p + t->at, t->n };
    for (size_t i = 0; i < 4; i++)
        if (tg_str_ieq(word, tg_str_of(keywords[i].name))) {
            t->word = keywords[i].word;
            return;
        }
    for (size_t i = 0; i < POL_N_NAMES; i++)
        if (tg_str_eq(word, tg_str_of(names[i].name))) {
            t->word = WORD_NAME;
            t->name = (enum pol_name)i;
            t->unit = names[i].unit;
            return;
        }
    bad(t, "unknown name; known are confidence complexity prompt_tokens max_tokens turns tools "
           "images audio queue_ms ttft_ms budget_used hour tag('x')");
}

static size_t digits(struct tg_str text, size_t at)
{
    size_t n = 0;
    while (at + n < text.n && is_digit(text.p[at + n]))
        n++;
    return n;
}

static void read_unit(struct tg_str text, struct trigger_token *t)
{
    size_t end = t->at + t->n, n = 0;
    if (end < text.n && text.p[end] == '%') {
        t->n++;
        t->number /= 100;
        t->unit = UNIT_FRACTION;
        return;
    }
    while (end + n < text.n && is_letter(text.p[end + n]))
        n++;
    struct tg_str unit = { text.p + end, n };
    t->n += n;
    if (n == 0)
        return;
    t->unit = UNIT_TIME;
    if (tg_str_eq(unit, TG_STR("s")))
        t->number *= 1000;
    else if (!tg_str_eq(unit, TG_STR("ms")))
        bad(t, "unknown unit; known are % ms s");
}

static void read_number(struct tg_str text, struct trigger_token *t)
{
    char copy[NUMBER_MAX + 1] = { 0 };
    t->word = WORD_NUMBER;
    t->n = digits(text, t->at);
    if (t->at + t->n < text.n && text.p[t->at + t->n] == '.') {
        size_t fraction = digits(text, t->at + t->n + 1);
        t->n += 1 + fraction;
        if (fraction == 0) {
            bad(t, "a digit was expected behind the point");
            return;
        }
    }
    if (t->n > NUMBER_MAX) {
        bad(t, "the number is too long");
        return;
    }
    memcpy(copy, text.p + t->at, t->n);
    t->number = strtod(copy, NULL);
    read_unit(text, t);
}

static void read_quoted(struct tg_str text, struct trigger_token *t)
{
    const char *end = memchr(text.p + t->at + 1, '\'', text.n - t->at - 1);
    if (!end) {
        bad(t, "the quote is not closed");
        return;
    }
    t->word = WORD_TEXT;
    t->n = (size_t)(end - text.p) - t->at + 1;
}

static void read_sign(struct tg_str text, struct trigger_token *t)
{
    static const struct { const char *text; enum trigger_word word; } signs[] = {
        { "<=", WORD_LE }, { ">=", WORD_GE }, { "==", WORD_EQ }, { "!=", WORD_NE },
        { "<", WORD_LT },  { ">", WORD_GT },  { "(", WORD_OPEN }, { ")", WORD_CLOSE },
    };
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
        size_t n = strlen(signs[i].text);
        if (n <= text.n - t->at && memcmp(text.p + t->at, signs[i].text, n) == 0) {
            t->word = signs[i].word;
            t->n = n;
            return;
        }
    }
    bad(t, text.p[t->at] == '=' ? "'=' is written '=='" : "unexpected character");
}

struct trigger_token pol_trigger_next(struct tg_str text, size_t *at)
{
    while (*at < text.n && strchr(" \t\r\n", text.p[*at]) && text.p[*at])
        ++*at;
    struct trigger_token t = { .word = WORD_END, .at = *at };
    if (*at == text.n)
        return t;
    char c = text.p[*at];
    if (is_letter(c))
        read_word(text, &t);
    else if (is_digit(c))
        read_number(text, &t);
    else if (c == '\'')
        read_quoted(text, &t);
    else
        read_sign(text, &t);
    *at += t.n;
    return t;
}

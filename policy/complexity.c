#include "policy/complexity.h"

#include <math.h>
#include <string.h>

#include "config/base/utf8.h"
#include "policy/words.h"

/* score = 1 / (1 + exp(-(bias + sum of feature x weight))). Fitted to tests/eval/difficulty.jsonl
 * (node tests/eval/difficulty.mjs --fit): reasoning, expertise, mathematics, code, and the bias,
 * shifted from that set, nearly half of which is hard, to one hard request in five. The rest, which
 * the set does not vary, is set by hand. */

enum {
    SCAN_MAX = 32 << 10,  /* bytes of text looked at, newest first: about 2 ms */
    USER_MESSAGES = 3,    /* the newest ones whose words count */
    TERSE_WORDS = 24,     /* below that, silence about difficulty is no sign of ease */
    SCRIPT_LETTERS = 8,   /* of a script before it counts: a few Greek letters are mathematics */
};

enum script { SCRIPT_LATIN, SCRIPT_GREEK, SCRIPT_CYRILLIC, SCRIPT_SEMITIC, SCRIPT_INDIC,
              SCRIPT_EAST_ASIAN, SCRIPT_OTHER, SCRIPT_COUNT };

struct scan {
    size_t left;                    /* of SCAN_MAX */
    size_t bytes, turns, media;
    size_t words, hits[POL_WORD_CLASSES];
    size_t code_marks, math_marks;
    size_t letters[SCRIPT_COUNT];
    double asked_tokens;            /* "800 words" in tokens */
    uint64_t number;                /* the word before was this number; 0: it was none */
};

static enum script script_of(uint32_t rune)
{
    static const struct { uint32_t first, last; enum script script; } ranges[] = {
        { 0x41, 0x24F, SCRIPT_LATIN },       { 0x370, 0x3FF, SCRIPT_GREEK },
        { 0x400, 0x52F, SCRIPT_CYRILLIC },   { 0x590, 0x77F, SCRIPT_SEMITIC },
        { 0x900, 0xDFF, SCRIPT_INDIC },      { 0x1E00, 0x1EFF, SCRIPT_LATIN },
        { 0x2E80, 0x9FFF, SCRIPT_EAST_ASIAN }, { 0xAC00, 0xD7AF, SCRIPT_EAST_ASIAN },
        { 0x20000, 0x3FFFF, SCRIPT_EAST_ASIAN },
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
        if (rune >= ranges[i].first && rune <= ranges[i].last)
            return ranges[i].script;
    return SCRIPT_OTHER;
}

static bool is_math_sign(uint32_t rune)
{
    return (rune >= 0x2200 && rune <= 0x22FF) || (rune >= 0x2070 && rune <= 0x209F) ||
           rune == 0xB1 || rune == 0xB2 || rune == 0xB3 || rune == 0xD7 || rune == 0x3C0;
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80;
}

/* "800 words": how many tokens that asks for. */
static double tokens_asked(uint64_t number, const char *word)
{
    double count = number > 100000 ? 100000 : (double)number;
    switch (word[0] == 'p' ? word[2] : word[0]) {
    case 'w': /* words */
        return count * 1.4;
    case 'g': /* pages */
        return count * 600;
    case 'r': /* paragraphs */
        return count * 150;
    case 'l': /* lines */
        return count * 15;
    default: /* sections, chapters */
        return count * 400;
    }
}

static void note_word(struct scan *s, const char *text, size_t n)
{
    char word[POL_WORD_BYTES];
    uint64_t number;
    s->words++;
    if (tg_parse_u64((struct tg_str){ text, n }, &number)) {
        s->number = number;
        return;
    }
    enum pol_word_class cls = POL_WORD_NONE;
    if (n <= sizeof(word)) {
        for (size_t i = 0; i < n; i++)
            word[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
        cls = pol_word_of(word, n);
    }
    s->hits[cls]++;
    if (cls == POL_WORD_UNIT && s->number)
        s->asked_tokens += tokens_asked(s->number, word);
    s->number = 0;
}

static void scan_words(struct scan *s, struct tg_str text)
{
    for (size_t i = 0; i < text.n;) {
        if (!is_word_byte(text.p[i])) {
            i++;
            continue;
        }
        size_t start = i;
        while (i < text.n && (is_word_byte(text.p[i]) ||
                              ((text.p[i] == '-' || text.p[i] == '\'') && i + 1 < text.n &&
                               is_word_byte(text.p[i + 1]))))
            i++;
        note_word(s, text.p + start, i - start);
    }
}

/* Signs at p that programs and formulas have and prose has not. */
static void scan_marks(struct scan *s, const char *p, size_t n)
{
    static const char *const code[] = { "```", "=>", "->", "::", "();", "==",  "!=",
                                        "&&",  "||", "#i", "</", ");",  "{\n", ";\n" };
    if ((p[0] == '\\' && n > 2 && p[1] >= 'a' && p[1] <= 'z' && p[2] >= 'a' && p[2] <= 'z') ||
        (n > 1 && p[0] == '$' && p[1] == '$') ||
        (n > 1 && p[0] == '^' && p[1] != ' ' && p[1] != '^'))
        s->math_marks++;
    for (size_t i = 0; i < sizeof(code) / sizeof(*code); i++) {
        size_t width = strlen(code[i]);
        if (n >= width && memcmp(p, code[i], width) == 0) {
            s->code_marks++;
            return;
        }
    }
}

static void scan_text(struct scan *s, struct tg_str text, bool words)
{
    s->bytes += text.n;
    if (text.n > s->left)
        text.n = s->left;
    s->left -= text.n;
    if (words)
        scan_words(s, text);
    for (size_t i = 0; i < text.n;) {
        uint32_t rune = 0;
        size_t width = tg_utf8_decode(text.p + i, text.n - i, &rune);
        if (width > 1 && is_math_sign(rune))
            s->math_marks++;
        else if (width > 1 || (rune | 0x20) - 'a' < 26)
            s->letters[script_of(rune)]++;
        else if (width == 1)
            scan_marks(s, text.p + i, text.n - i);
        i += width ? width : 1;
    }
}

static void scan_message(struct scan *s, const struct chat_message *m, bool words)
{
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct chat_part *part = &m->parts[i];
        if (part->kind == CHAT_PART_IMAGE || part->kind == CHAT_PART_AUDIO ||
            part->kind == CHAT_PART_VIDEO)
            s->media++;
        else if (part->kind == CHAT_PART_TEXT && m->role == CHAT_USER)
            scan_text(s, part->text, words);
        else
            s->bytes += part->text.n;
    }
}

static void scan_request(struct scan *s, const struct chat_request *r)
{
    size_t seen = 0;
    for (size_t i = r->n_messages; i-- > 0;) { /* newest first */
        bool user = r->messages[i].role == CHAT_USER;
        scan_message(s, &r->messages[i], user && seen < USER_MESSAGES);
        seen += user;
    }
    s->turns = seen;
    for (size_t i = 0; i < r->n_tools; i++)
        s->bytes += r->tools[i].name.n + r->tools[i].description.n + r->tools[i].parameters.n;
}

static double clip(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* 0 for none, towards 1 with more; each hit closes the given part of what is left. */
static double saturate(double part, double hits)
{
    return 1 - pow(1 - part, hits);
}

static void add_part(struct pol_score *score, const char *name, double value, double weight)
{
    score->part[score->n_parts++] = (struct pol_part){ name, value, weight };
}

static double output_asked(const struct scan *s, const struct chat_request *r)
{
    double tokens = s->asked_tokens;
    double asked = tokens > 256 ? clip(log2(tokens / 256) / 5) : 0;
    /* Many clients always send a large max_tokens: it counts half. */
    double allowed = r->max_tokens > 1024 ? clip(log2((double)r->max_tokens / 1024) / 5) / 2 : 0;
    double wordy = saturate(0.25, (double)s->hits[POL_WORD_LONG]);
    return fmax(asked, fmax(allowed, wordy));
}

static void fill_parts(struct pol_score *score, const struct scan *s, const struct chat_request *r,
                       size_t prompt_tokens)
{
    double tokens = prompt_tokens ? (double)prompt_tokens : (double)s->bytes / 4;
    size_t scripts = 0;
    for (int i = 0; i < SCRIPT_COUNT; i++)
        scripts += i != SCRIPT_OTHER && s->letters[i] >= SCRIPT_LETTERS;
    double languages = (scripts > 1 ? (double)scripts - 1 : 0) + (double)s->hits[POL_WORD_LANGUAGE];
    double talk = s->words ? (double)s->hits[POL_WORD_TALK] / (double)s->words : 0;
    add_part(score, "length", clip(log2(1 + tokens / 256) / 8), 1.2);
    add_part(score, "turns", clip((double)s->turns / 10), 0.5);
    add_part(score, "reasoning", saturate(0.5, (double)s->hits[POL_WORD_REASON]), 5.2);
    add_part(score, "expertise", saturate(0.5, (double)s->hits[POL_WORD_EXPERT]), 2.3);
    add_part(score, "mathematics",
             saturate(0.4, (double)s->hits[POL_WORD_MATH] + (double)s->math_marks), 2.8);
    add_part(score, "code",
             saturate(0.3, (double)s->hits[POL_WORD_CODE] + (double)s->code_marks), 2.6);
    add_part(score, "constraints", saturate(0.2, (double)s->hits[POL_WORD_CONSTRAINT]), 1.6);
    add_part(score, "languages", clip(languages / 3), 0.6);
    add_part(score, "output", output_asked(s, r), 1.2);
    add_part(score, "tools", clip((double)r->n_tools / 8), 1.0);
    add_part(score, "media", clip((double)s->media / 4), 1.0);
    add_part(score, "talk", talk, -2.0);
}

/* Whether there is anything to judge by. A short prompt that says nothing about its difficulty may
 * be the hardest of all ("P = NP?"), so only a high score or plain small talk counts there; and
 * where the words are of a language that the lexicon does not know, only what is not words does. */
static bool can_judge(const struct scan *s, const struct chat_request *r, double value)
{
    if (value >= 0.5)
        return true;
    if (s->media || r->n_tools || s->words == 0)
        return false;
    size_t small = s->hits[POL_WORD_TALK] + s->hits[POL_WORD_COMMON];
    if (s->words < TERSE_WORDS)
        return s->turns == 1 && s->hits[POL_WORD_TALK] > 0 && small == s->words;
    return (double)s->hits[POL_WORD_COMMON] >= 0.2 * (double)s->words;
}

struct pol_score pol_complexity(const struct chat_request *r, size_t prompt_tokens)
{
    struct scan s = { .left = SCAN_MAX };
    scan_request(&s, r);
    struct pol_score score = { .bias = -2.6 };
    fill_parts(&score, &s, r, prompt_tokens);
    double sum = score.bias;
    for (size_t i = 0; i < score.n_parts; i++)
        sum += score.part[i].value * score.part[i].weight;
    double value = 1 / (1 + exp(-sum));
    score.known = can_judge(&s, r, value);
    score.value = score.known ? value : 0;
    return score;
}

enum tg_status pol_score_print(const struct pol_score *score, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"value\":");
    if (score->known)
        tg_buf_addf(out, "%.4f", score->value);
    else
        tg_buf_adds(out, "null");
    tg_buf_addf(out, ",\"bias\":%.4g,\"parts\":[", score->bias);
    for (size_t i = 0; i < score->n_parts; i++)
        tg_buf_addf(out, "%s{\"name\":\"%s\",\"value\":%.4g,\"weight\":%.4g}", i ? "," : "",
                    score->part[i].name, score->part[i].value, score->part[i].weight);
    return tg_buf_adds(out, "]}");
}

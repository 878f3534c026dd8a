/* Words of a trigger expression. Used by trigger*.c only. */
#ifndef POLICY_TRIGGER_LEX_H
#define POLICY_TRIGGER_LEX_H

#include "policy/trigger.h"

enum trigger_word {
    WORD_END,
    WORD_NAME,
    WORD_NUMBER,
    WORD_AND,
    WORD_OR,
    WORD_NOT,
    WORD_TAG,
    WORD_OPEN,
    WORD_CLOSE,
    WORD_TEXT, /* 'x', without its quotes */
    WORD_LT,
    WORD_LE,
    WORD_GT,
    WORD_GE,
    WORD_EQ,
    WORD_NE,
    WORD_BAD,
};

/* What a number or a name measures; a comparison needs the same on both sides. */
enum trigger_unit { UNIT_PLAIN, UNIT_FRACTION, UNIT_TIME };

struct trigger_token {
    enum trigger_word word;
    size_t at, n;           /* place in the source */
    enum pol_name name;     /* WORD_NAME */
    double number;          /* WORD_NUMBER, its unit applied */
    enum trigger_unit unit; /* NAME, NUMBER: PLAIN where the number has none */
    const char *cause;      /* WORD_BAD; static */
};

/* The word at or behind *at, which moves behind it. */
struct trigger_token pol_trigger_next(struct tg_str text, size_t *at);

#endif

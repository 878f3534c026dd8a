/* What a word of a request says about its difficulty: a small English lexicon that forgives one
 * typing mistake. Used by complexity.c only. */
#ifndef POLICY_WORDS_H
#define POLICY_WORDS_H

#include <stddef.h>
#include <stdint.h>

enum pol_word_class {
    POL_WORD_NONE,
    POL_WORD_COMMON,     /* function words: their share tells whether this is English */
    POL_WORD_TALK,       /* greetings, thanks */
    POL_WORD_REASON,     /* asks for a chain of thought */
    POL_WORD_EXPERT,     /* a field where small models fail */
    POL_WORD_MATH,
    POL_WORD_CODE,
    POL_WORD_CONSTRAINT, /* a condition the answer must meet */
    POL_WORD_LANGUAGE,   /* translation, names of languages */
    POL_WORD_LONG,       /* asks for a long answer */
    POL_WORD_UNIT,       /* words, pages: what a number in front of it counts */
    POL_WORD_CLASSES
};

enum { POL_WORD_BYTES = 24 };

/* word: n lower-case bytes. Exact, or from five letters on with one letter wrong, missing, added or
 * swapped with its neighbour behind the same first letter (talk and common words: exact only). Any
 * thread. */
enum pol_word_class pol_word_of(const char *word, size_t n);

#endif

/* The error object of an OpenAI-compatible server: its text, its words, and whether it says that a
 * prompt is too long. Pure, any thread. */
#ifndef PROVIDERS_OPENAI_ERROR_H
#define PROVIDERS_OPENAI_ERROR_H

#include "config/base/json.h"
#include "providers/chat_event.h"

enum { PROV_ERROR_WORD_MAX = 65 }; /* bytes with the end's */

/* What an event's said_* point to. */
struct prov_error_words {
    char type[PROV_ERROR_WORD_MAX], code[PROV_ERROR_WORD_MAX], param[PROV_ERROR_WORD_MAX];
};

/* Where providers put it: error.message, error, message, detail, type, code; empty: nowhere.
 * Borrowed from root, which may be NULL. */
struct tg_str prov_error_text(const struct tg_json *root);
/* Sets said_* and overflow of an ERROR whose http_status is set. root: the answer's tree, or NULL
 * where it is no JSON; text: what it says, as it will be shown. The event borrows words. */
void prov_error_read(const struct tg_json *root, struct tg_str text,
                     struct prov_error_words *words, struct chat_event *e);

#endif

/* What the commands about text share: a file's tokenizer and template, standard input, lists of
 * ids. A model file without weights is enough for them. */
#ifndef LE_CMD_TEXT_H
#define LE_CMD_TEXT_H

#include "config/base/buf.h"
#include "local_engine/template.h"
#include "local_engine/tokenizer.h"

/* Bytes of standard input. Tokenising takes up to 50 times the text; its ids as JSON 8 times. */
enum { LE_TEXT_INPUT_MAX = 16 << 20, LE_TEXT_IDS_MAX = 256 << 20 };

struct le_text_model {
    struct le_tokenizer *tokenizer;
    struct le_template_info template;
};

/* Opens what texts need of a GGUF file. Not TG_OK: said on standard error, with the command's name
 * in front; TG_INVALID without a path. Writes to a closed pipe fail from now on instead of ending
 * the process. *out is to be closed either way. */
enum tg_status le_text_open(const char *command, const char *path, struct le_text_model *out);
void le_text_close(struct le_text_model *m);

/* Standard input to its end, at most max bytes. False: said on standard error. *out is to be freed
 * either way. */
bool le_text_input(const char *command, size_t max, struct tg_buf *out);

/* A list of ids, as a JSON array or with nothing but spaces, commas or lines between them; appended
 * to out. TG_INVALID names the item that is no id, TG_NOMEM. */
enum tg_status le_ids_parse(struct tg_str text, struct le_ids *out, struct tg_error *err);
/* Each id must be one of the vocabulary: TG_INVALID names the first that is not. */
enum tg_status le_ids_check(const struct le_ids *ids, const struct le_tokenizer *t,
                            struct tg_error *err);
/* As a JSON array. */
enum tg_status le_ids_print(const struct le_ids *ids, struct tg_buf *out);

/* Writes and flushes. False: said on standard error. */
bool le_text_write(const char *command, struct tg_str text);

#endif

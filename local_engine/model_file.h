/* A model's file, read and found right as far as that is possible without a device. The engine, and
 * what foretells it (inspect, doctor), judge a file by these same checks. */
#ifndef LE_MODEL_FILE_H
#define LE_MODEL_FILE_H

#include "local_engine/gguf.h"
#include "local_engine/model.h"
#include "local_engine/template.h"
#include "local_engine/tokenizer.h"

struct le_model_file {
    struct le_gguf *g;
    struct le_tokenizer *tokenizer;
    struct le_params params;
    struct le_template_info template;
};
/* Opens the file and checks hyperparameters, tensors, tokenizer and template. Errors as
 * le_gguf_open, le_params_read, le_tokenizer_open, le_tokenizer_match and le_template_read; *out
 * holds nothing then. */
enum tg_status le_model_file_open(const char *path, struct le_model_file *out,
                                  struct tg_error *err);
/* An empty one is allowed. */
void le_model_file_close(struct le_model_file *f);

/* TG_INVALID, with both numbers: the tokenizer has not a token for each row of the embedding. */
enum tg_status le_tokenizer_match(const struct le_gguf *g, const struct le_params *p,
                                  uint32_t n_tokens, struct tg_error *err);
/* The context of a model in which `wanted` was asked for; 0: its own, at most LE_CONTEXT_DEFAULT.
 * TG_INVALID, with what is possible: fewer than 2 positions, or more than it was trained for. */
enum tg_status le_context_choose(const struct le_gguf *g, const struct le_params *p,
                                 uint32_t wanted, uint32_t *out, struct tg_error *err);

#endif

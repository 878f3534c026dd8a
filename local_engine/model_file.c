#include "local_engine/model_file.h"

#include "local_engine/engine.h"

enum tg_status le_tokenizer_match(const struct le_gguf *g, const struct le_params *p,
                                  uint32_t n_tokens, struct tg_error *err)
{
    if (n_tokens == p->n_vocab)
        return TG_OK;
    return tg_fail(err, TG_INVALID, "%s: the tokenizer has %u tokens, the embedding %u",
                   le_gguf_path(g), n_tokens, p->n_vocab);
}

enum tg_status le_context_choose(const struct le_gguf *g, const struct le_params *p,
                                 uint32_t wanted, uint32_t *out, struct tg_error *err)
{
    uint32_t trained = p->context_trained;
    uint32_t context = wanted                         ? wanted
                       : trained < LE_CONTEXT_DEFAULT ? trained
                                                      : (uint32_t)LE_CONTEXT_DEFAULT;
    if (context < 2 || context > trained)
        return tg_fail(err, TG_INVALID, "%s: a context of %u is not possible; the model allows 2 "
                       "to %u", le_gguf_path(g), context, trained);
    *out = context;
    return TG_OK;
}

enum tg_status le_model_file_open(const char *path, struct le_model_file *out, struct tg_error *err)
{
    struct le_model_file *f = out;
    *f = (struct le_model_file){ .g = NULL };
    enum tg_status st = le_gguf_open(path, &f->g, err);
    if (!st)
        st = le_params_read(f->g, &f->params, err);
    if (!st)
        st = le_tokenizer_open(f->g, &f->tokenizer, err);
    if (!st)
        st = le_tokenizer_match(f->g, &f->params, le_tokenizer_n(f->tokenizer), err);
    if (!st)
        st = le_template_read(f->g, &f->template, err);
    if (st)
        le_model_file_close(f);
    return st;
}

void le_model_file_close(struct le_model_file *f)
{
    le_tokenizer_close(f->tokenizer);
    le_gguf_close(f->g);
    f->tokenizer = NULL;
    f->g = NULL;
}

/* The model of the self-test: the loaded one, cut down to a few layers and a small width. */
#ifndef LE_SELFTEST_MODEL_H
#define LE_SELFTEST_MODEL_H

#include "config/base/buf.h"
#include "local_engine/model.h"

enum { LE_SELFTEST_CONTEXT = 512 };

/* Writes a GGUF file into out (to be freed by the caller, also after a failure): of g, whose params
 * are p, a sliding and a global layer, one each of those that share another's keys, and more as
 * long as they bring another type of a tensor; of each matrix the first rows and columns, so that
 * weight types, head sizes, and query heads for each key head are as in g. The
 * smaller model has its own answers, but any backend must agree on them. TG_UNSUPPORTED: the shapes
 * cannot be cut (err says which); TG_NOMEM, TG_LIMIT. */
enum tg_status le_selftest_model(const struct le_gguf *g, const struct le_params *p,
                                 struct tg_buf *out, struct tg_error *err);

#endif

/* The known-answer test of a device, at load: a small model cut out of the loaded one must give
 * what the scalar C kernels give. Drivers and compilers have produced wrong results for one length
 * of prompt, one type of weight or one size of head alone; such a path must not answer. */
#ifndef LE_SELFTEST_H
#define LE_SELFTEST_H

#include "local_engine/backend.h"
#include "local_engine/model.h"

struct le_selftest; /* the small model and what it should answer; immutable */

/* Makes the model and its right answers. TG_UNSUPPORTED: this model cannot be cut down (then there
 * is no test). TG_INTERNAL: its answers are no numbers, so it shows nothing. Otherwise as
 * le_model_open. *out is owned by the caller. */
enum tg_status le_selftest_new(const struct le_gguf *g, const struct le_params *p,
                               const atomic_bool *stop, struct le_selftest **out,
                               struct tg_error *err);
/* NULL allowed. */
void le_selftest_free(struct le_selftest *t);

/* How far the logits were from the right ones: rms of the difference over the standard deviation
 * of the right ones, the worst of the prompts. */
struct le_selftest_report {
    double error, limit;
    uint32_t length; /* tokens of the worst prompt */
};
/* Runs prompts of 1, 13, 33 and 257 tokens and a token after them on a backend that nothing has
 * been loaded on; it can only be closed afterwards. TG_OK: within the limit. TG_INTERNAL: not, or
 * not finite (err says how far). Failures of the backend come out as they are. */
enum tg_status le_selftest_run(const struct le_selftest *t, const struct le_ops *ops,
                               struct le_backend *be, enum le_precision precision,
                               struct le_selftest_report *report, struct tg_error *err);

#endif

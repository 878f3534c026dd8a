/* The golden comparison, once for every backend: logits, top-1 of every position and the greedy
 * continuation of a model file against HF float32 runs on the same dequantised weights (see
 * tests/golden/README.md). Failures come back as text: the caller's CHECK reports them. */
#ifndef TESTS_UNIT_ENGINE_SUPPORT_GOLDEN_H
#define TESTS_UNIT_ENGINE_SUPPORT_GOLDEN_H

#include "local_engine/model.h"

/* Opens a backend; closed with (*ops)->close. */
typedef enum tg_status golden_open_fn(const struct le_ops **ops, struct le_backend **be,
                                      struct tg_error *err);

/* Which arithmetic is judged: the rows of the tolerance table (../shared/fixtures/README.md). */
enum golden_row { GOLDEN_F32, GOLDEN_F16, GOLDEN_INT8, GOLDEN_INT8_K, GOLDEN_ROWS };

struct golden_case {
    const char *dir;    /* holds all of it */
    const char *json;   /* the expectations, laid out as the full set's golden.json */
    const char *model;  /* GGUF file in dir */
    const char *source; /* member of logit_sources and argmax_every_position */
    const char *greedy; /* member of greedy64 */
    enum golden_row row; /* INT8_K: int8 activations on K-quants and IQ4_XS */
};

struct golden_report {
    size_t logit_rows;      /* rows compared in full */
    double kl_mean, kl_median, max_abs;
    size_t top1, top1_near; /* positions compared; of which differ, as far as the row allows */
    size_t clear, clear_others; /* int8 rows: positions with a gap above 0.25; of which differ */
    size_t greedy_steps;    /* steps that agree, all continuations */
    size_t greedy_cut;      /* continuations left at a near-tie, and the gap there */
    double greedy_cut_gap;
};

/* TG_OK when all is within the row's limits for this model (told by the file's name; the limits
 * stand in support_golden.c). The report is filled either way. */
enum tg_status golden_check(const struct golden_case *c, golden_open_fn *open,
                            struct golden_report *report, struct tg_error *err);

/* One line on stderr: the figures, and any continuation that left at a near-tie. */
void golden_print(const struct golden_case *c, const struct golden_report *report);

/* One loaded model, for tests that drive it themselves. */
struct golden_model {
    struct le_gguf *g;
    const struct le_ops *ops;
    struct le_backend *be;
    struct le_model *m;
};
enum tg_status golden_model_open(struct golden_model *out, const char *path, uint32_t context,
                                 golden_open_fn *open, struct tg_error *err);
void golden_model_close(struct golden_model *m);
/* Runs ids in steps of at most chunk tokens from position 0 and copies the logits of every position
 * from `from` on to out [n - from, n_vocab]. */
enum tg_status golden_logits(struct golden_model *m, const int32_t *ids, uint32_t n, uint32_t chunk,
                             uint32_t from, float *out, struct tg_error *err);

#endif

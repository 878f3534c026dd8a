#include "tests/unit/engine/support_gpu_ops.h"

#include "tests/unit/check.h"

enum { ROWS_MOST = LE_STEP_TOKENS_MAX };

struct pair pair;

void open_pair(void)
{
    open_pair_as(LE_EXACT, 0);
}

void open_pair_as(enum le_precision precision, uint64_t alloc_max)
{
    struct tg_error err;
    enum tg_status status = pair_open_as(&pair, precision, alloc_max, &err);
    if (status == TG_NOTFOUND)
        CHECK_SKIP(err.text);
    if (status)
        CHECK_FAIL("gpu_open: %s", err.text);
    if (!gpu_has_validation(pair.be[1]))
        fprintf(stderr, "note: no validation layers installed\n");
}

void close_pair(void)
{
    pair_close(&pair);
    if (pair.messages)
        CHECK_FAIL("%u validation messages, the first: %s", pair.messages, pair.message);
}

void fail_closed(const char *name, const char *cause)
{
    pair_close(&pair);
    CHECK_FAIL("%s: %s", name, cause);
}

static int32_t ids[ROWS_MOST], positions[ROWS_MOST];
static uint32_t outputs[ROWS_MOST];

struct le_step step_of(uint32_t tokens, uint32_t n_outputs, int32_t pos)
{
    for (uint32_t i = 0; i < tokens; i++) {
        ids[i] = (int32_t)(i * 7 % 40);
        positions[i] = pos + (int32_t)i;
    }
    for (uint32_t i = 0; i < n_outputs; i++)
        outputs[i] = tokens - n_outputs + i;
    return (struct le_step){ .n_tokens = tokens, .n_outputs = n_outputs, .id = ids,
                             .pos = positions, .out = outputs };
}

void run_and_compare(const char *name, void (*emit)(struct pair *, int, void *), void *arg,
                     const struct le_step *step, const struct pair_buf *dst, size_t n,
                     double bound)
{
    struct tg_error err;
    if (pair_run(&pair, emit, arg, step, step->n_tokens, step->n_outputs, false, &err))
        fail_closed(name, err.text);
    double error = pair_error(&pair, dst, n);
    fprintf(stderr, "%-44s error %.1e bound %.0e\n", name, error, bound);
    if (!(error <= bound))
        fail_closed(name, "beyond the bound");
}

#include "tests/unit/engine/support_golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/json.h"
#include "local_engine/backend.h"

enum { CONTEXT = 512, IDS_MAX = 512, PATH_BYTES = 1024, FILE_MAX = 64 << 20, GREEDY_STEPS = 64 };

/* The tolerance table of the fixtures: a model's row for each kind of arithmetic. Top-1 may differ
 * at gaps below top1_gap, and elsewhere as often as top1 leaves; greedy ids at gaps below
 * greedy_gap (int8 blocks move single logits of tiny-e by up to 3 and of tiny-moe by up to 7, in
 * llama.cpp as here). clear: the share of top-1 that must agree where the best token leads by more
 * than CLEAR_GAP, by the exact run. 0: no limit of that kind (then the next one holds). */
struct limits {
    double kl_mean, kl_median, max_abs, top1, top1_gap, greedy_gap, clear;
};

#define CLEAR_GAP 0.25

static const struct limits limits[GOLDEN_ROWS][3] = {
    [GOLDEN_F32] = { { 1e-7, 0, 0.01, 1.0, 0.005, 0.01 },
                     { 1e-7, 0, 0.01, 1.0, 0.005, 0.01 },
                     { 1e-6, 1e-7, 0, 0.995, 0, 0.01 } },
    [GOLDEN_F16] = { { 2e-5, 0, 0.1, 0.98, 0, 0.1 },
                     { 1.5e-4, 0, 0.4, 0.98, 0, 0.4 },
                     { 7e-3, 3e-4, 0, 0.95, 0, 0.4 } },
    [GOLDEN_INT8] = { { 1.2e-2, 0, 0, 0.80, 0, 0.3, 0.9 },
                      { 8e-2, 0, 0, 0.80, 0, 1.0, 0.9 },
                      { 1.2e-1, 6e-2, 0, 0.75, 0, 1.0 } },
    [GOLDEN_INT8_K] = { { 2.5e-2, 0, 0, 0.80, 0, 0.3, 0.9 },
                        { 1.2e-1, 0, 0, 0.80, 0, 1.0, 0.9 },
                        { 1.2e-1, 6e-2, 0, 0.75, 0, 1.0 } },
};

enum { ROWS_MAX = 256 };

struct run {
    const struct golden_case *c;
    struct golden_report *report;
    struct tg_error *err;
    struct golden_model model, exact; /* exact: opened where the limits ask for clear positions */
    struct tg_json *json;
    struct tg_buf bin;
    float *logits; /* [IDS_MAX, n_vocab] */
    float *exact_logits; /* likewise; NULL without exact */
    uint32_t n_vocab;
    const struct limits *limits;
    double kl[ROWS_MAX];
};

static const struct limits *find_limits(const struct golden_case *c)
{
    int model = strncmp(c->model, "tiny-moe", 8) == 0 ? 2 : strncmp(c->model, "tiny-e", 6) == 0;
    return &limits[c->row][model];
}

static enum tg_status read_file(const char *dir, const char *name, struct tg_buf *out,
                                struct tg_error *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return tg_fail(err, TG_IO, "%s cannot be opened", path);
    char block[1 << 14];
    size_t n;
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        tg_buf_add(out, block, n);
    fclose(f);
    return out->failed ? tg_fail(err, out->failed, "%s cannot be read", path) : TG_OK;
}

enum tg_status golden_model_open(struct golden_model *out, const char *path, uint32_t context,
                                 golden_open_fn *open, struct tg_error *err)
{
    *out = (struct golden_model){ 0 };
    enum tg_status st = le_gguf_open(path, &out->g, err);
    if (!st)
        st = open(&out->ops, &out->be, err);
    if (!st)
        st = le_model_open(out->g, out->ops, out->be,
                           &(struct le_model_options){ .context = context }, &out->m, err);
    if (st)
        golden_model_close(out);
    return st;
}

void golden_model_close(struct golden_model *m)
{
    le_model_close(m->m);
    if (m->be)
        m->ops->close(m->be);
    le_gguf_close(m->g);
    *m = (struct golden_model){ 0 };
}

enum tg_status golden_logits(struct golden_model *m, const int32_t *ids, uint32_t n, uint32_t chunk,
                             uint32_t from, float *out, struct tg_error *err)
{
    size_t n_vocab = le_model_params(m->m)->n_vocab;
    for (uint32_t pos = 0; pos < n; pos += chunk) {
        uint32_t rows[LE_STEP_TOKENS_MAX], n_out = 0, count = n - pos < chunk ? n - pos : chunk;
        for (uint32_t i = 0; i < count; i++)
            if (pos + i >= from)
                rows[n_out++] = i;
        enum tg_status st = le_model_step(m->m, ids + pos, count, pos, rows, n_out, err);
        if (st)
            return st;
        for (uint32_t r = 0; r < n_out; r++)
            memcpy(out + (pos + rows[r] - from) * n_vocab, le_model_logits(m->m, r),
                   n_vocab * sizeof(float));
    }
    return TG_OK;
}

static int64_t whole(const struct tg_json *v)
{
    int64_t n = -1;
    tg_json_int(v, &n);
    return n;
}

static const struct tg_json *item(const struct tg_json *array, int64_t i)
{
    const struct tg_json *v = tg_json_first(array);
    while (v && i-- > 0)
        v = tg_json_next(v);
    return v;
}

static uint32_t read_ids(const struct tg_json *array, int32_t *ids)
{
    uint32_t n = 0;
    for (const struct tg_json *v = tg_json_first(array); v && n < IDS_MAX; v = tg_json_next(v))
        ids[n++] = (int32_t)whole(v);
    return n;
}

static uint32_t top(const float *logits, uint32_t n, double *gap)
{
    uint32_t best = 0;
    float second = -INFINITY;
    for (uint32_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) {
            second = logits[best];
            best = i;
        } else if (logits[i] > second) {
            second = logits[i];
        }
    }
    *gap = (double)logits[best] - (double)second;
    return best;
}

static double log_sum_exp(const float *x, uint32_t n)
{
    double max = -(double)INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = (double)x[i] > max ? (double)x[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

/* One row against the reference: KL(reference || tested) and the largest difference. */
static void compare_row(struct run *r, const float *want, const float *got)
{
    double zw = log_sum_exp(want, r->n_vocab), zg = log_sum_exp(got, r->n_vocab), kl = 0;
    for (uint32_t i = 0; i < r->n_vocab; i++) {
        double lw = (double)want[i] - zw, lg = (double)got[i] - zg;
        double diff = fabs((double)want[i] - (double)got[i]);
        kl += exp(lw) * (lw - lg);
        r->report->max_abs = diff > r->report->max_abs ? diff : r->report->max_abs;
    }
    if (r->report->logit_rows < ROWS_MAX)
        r->kl[r->report->logit_rows] = kl;
    r->report->logit_rows++;
}

static bool is_clear(const float *exact, uint32_t n)
{
    double gap;
    top(exact, n, &gap);
    return gap > CLEAR_GAP;
}

static enum tg_status compare_top1(struct run *r, int64_t prompt, uint32_t n)
{
    const struct tg_json *list = item(
        tg_json_get(tg_json_get(r->json, "argmax_every_position"), r->c->source), prompt);
    if (tg_json_count(list) != n)
        return tg_fail(r->err, TG_INVALID, "%s: no top-1 ids of prompt %d", r->c->json,
                       (int)prompt);
    uint32_t p = 0;
    for (const struct tg_json *v = tg_json_first(list); v; v = tg_json_next(v), p++) {
        double gap;
        uint32_t got = top(r->logits + (size_t)p * r->n_vocab, r->n_vocab, &gap);
        r->report->top1++;
        if (r->exact_logits && is_clear(r->exact_logits + (size_t)p * r->n_vocab, r->n_vocab)) {
            r->report->clear++;
            r->report->clear_others += got != whole(v);
        }
        if (got == whole(v))
            continue;
        if (r->limits->top1 >= 1.0 && gap >= r->limits->top1_gap)
            return tg_fail(r->err, TG_INVALID, "prompt %d, position %u: top-1 %u, expected %d "
                           "(gap %g)", (int)prompt, p, got, (int)whole(v), gap);
        r->report->top1_near++;
    }
    return TG_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum tg_status judge(struct run *r)
{
    struct golden_report *o = r->report;
    const struct limits *l = r->limits;
    double sum = 0;
    for (size_t i = 0; i < o->logit_rows; i++)
        sum += r->kl[i];
    qsort(r->kl, o->logit_rows, sizeof(*r->kl), by_value);
    o->kl_mean = sum / (double)o->logit_rows;
    o->kl_median = r->kl[o->logit_rows / 2];
    if (!(o->kl_mean <= l->kl_mean) || (l->kl_median > 0 && !(o->kl_median <= l->kl_median)) ||
        (l->max_abs > 0 && !(o->max_abs <= l->max_abs)))
        return tg_fail(r->err, TG_INVALID, "KL mean %.3g (limit %g), median %.3g (%g), max abs "
                       "%.3g (%g; 0: none)", o->kl_mean, l->kl_mean, o->kl_median, l->kl_median,
                       o->max_abs, l->max_abs);
    double share = 1.0 - (double)o->top1_near / (double)o->top1;
    if (l->top1 < 1.0 && share < l->top1)
        return tg_fail(r->err, TG_INVALID, "top-1 equal at %.4f of the positions (limit %g)",
                       share, l->top1);
    share = 1.0 - (double)o->clear_others / (double)o->clear; /* NaN: none was judged */
    if (l->clear > 0 && !(share >= l->clear))
        return tg_fail(r->err, TG_INVALID, "top-1 equal at %.4f of the %zu positions that are "
                       "clear (limit %g)", share, o->clear, l->clear);
    return TG_OK;
}

/* Every position of every prompt: top-1; the stored ones: all logits. */
static enum tg_status check_prompts(struct run *r)
{
    const struct tg_json *source = tg_json_get(tg_json_get(r->json, "logit_sources"), r->c->source);
    const struct tg_json *layout = tg_json_get(source, "layout");
    int64_t prompt = 0;
    for (const struct tg_json *p = tg_json_first(tg_json_get(r->json, "prompts")); p;
         p = tg_json_next(p), prompt++) {
        int32_t ids[IDS_MAX];
        uint32_t n = read_ids(tg_json_get(p, "ids"), ids);
        enum tg_status st = golden_logits(&r->model, ids, n, LE_STEP_TOKENS_MAX, 0, r->logits,
                                          r->err);
        if (!st && r->exact_logits)
            st = golden_logits(&r->exact, ids, n, LE_STEP_TOKENS_MAX, 0, r->exact_logits, r->err);
        if (!st)
            st = compare_top1(r, prompt, n);
        if (st)
            return st;
        for (const struct tg_json *e = tg_json_first(layout); e; e = tg_json_next(e)) {
            int64_t at = whole(tg_json_get(e, "offset"));
            int64_t pos = whole(tg_json_get(e, "position"));
            if (whole(tg_json_get(e, "prompt")) != prompt)
                continue;
            if (pos < 0 || pos >= n || at < 0 || at % 4 != 0 ||
                (size_t)at + r->n_vocab * sizeof(float) > r->bin.n)
                return tg_fail(r->err, TG_INVALID, "%s: a layout entry is out of range",
                               r->c->json);
            const float *want = (const float *)(const void *)(r->bin.p + at);
            compare_row(r, want, r->logits + (size_t)pos * r->n_vocab);
        }
    }
    if (r->report->logit_rows == 0 || r->report->logit_rows > ROWS_MAX ||
        r->report->logit_rows != tg_json_count(layout))
        return tg_fail(r->err, TG_INVALID, "%zu of %zu stored rows were compared",
                       r->report->logit_rows, tg_json_count(layout));
    return judge(r);
}

/* 64 argmax steps, one token a step, the media placeholders excluded. */
static enum tg_status check_greedy(struct run *r, const struct tg_json *entry)
{
    int32_t ids[IDS_MAX], want[IDS_MAX];
    const struct tg_json *prompt = item(tg_json_get(r->json, "prompts"),
                                        whole(tg_json_get(entry, "prompt")));
    uint32_t n = read_ids(tg_json_get(prompt, "ids"), ids), last = n - 1, zero = 0;
    uint32_t n_want = read_ids(tg_json_get(entry, "ids"), want);
    if (n == 0 || n_want != GREEDY_STEPS || n + n_want > CONTEXT)
        return tg_fail(r->err, TG_INVALID, "%s: a greedy entry is unusable", r->c->json);
    enum tg_status st = le_model_step(r->model.m, ids, n, 0, &last, 1, r->err);
    for (uint32_t i = 0; !st && i < n_want; i++) {
        float *logits = le_model_logits(r->model.m, 0);
        const struct tg_json *never = tg_json_get(r->json, "greedy_never_samples");
        for (const struct tg_json *v = tg_json_first(never); v; v = tg_json_next(v))
            logits[whole(v)] = -INFINITY;
        double gap = -1, unused;
        tg_json_number(item(tg_json_get(entry, "top1_gap"), i), &gap);
        int32_t got = (int32_t)top(logits, r->n_vocab, &unused);
        if (got != want[i] && gap >= 0 && gap < r->limits->greedy_gap) {
            r->report->greedy_cut++;
            r->report->greedy_cut_gap = gap;
            return TG_OK;
        }
        if (got != want[i])
            return tg_fail(r->err, TG_INVALID, "greedy step %u: %d, expected %d (gap %g)", i, got,
                           want[i], gap);
        r->report->greedy_steps++;
        st = le_model_step(r->model.m, &got, 1, n + i, &zero, 1, r->err);
    }
    return st;
}

/* The best kernels that run here. */
static enum tg_status open_exact(const struct le_ops **ops, struct le_backend **be,
                                 struct tg_error *err)
{
    return cpu_open(&(struct cpu_options){ .precision = LE_EXACT }, ops, be, err);
}

static enum tg_status load(struct run *r, golden_open_fn *open)
{
    struct tg_buf text;
    struct tg_str bin = { 0 };
    char path[PATH_BYTES];
    tg_buf_init(&text, FILE_MAX);
    enum tg_status st = read_file(r->c->dir, r->c->json, &text, r->err);
    if (!st)
        st = tg_json_parse(tg_buf_str(&text), &r->json, r->err);
    tg_buf_free(&text);
    const struct tg_json *source = tg_json_get(tg_json_get(r->json, "logit_sources"), r->c->source);
    if (!st && !tg_json_string(tg_json_get(source, "file"), &bin))
        st = tg_fail(r->err, TG_INVALID, "%s has no logits of %s", r->c->json,
                     r->c->source);
    if (!st) {
        snprintf(path, sizeof(path), "%.*s", TG_FMT(bin));
        st = read_file(r->c->dir, path, &r->bin, r->err);
    }
    snprintf(path, sizeof(path), "%s/%s", r->c->dir, r->c->model);
    if (!st)
        st = golden_model_open(&r->model, path, CONTEXT, open, r->err);
    if (st)
        return st;
    r->n_vocab = le_model_params(r->model.m)->n_vocab;
    r->logits = tg_calloc((size_t)IDS_MAX * r->n_vocab, sizeof(float));
    if (!r->logits)
        return tg_fail(r->err, TG_NOMEM, "out of memory");
    if (r->limits->clear <= 0)
        return TG_OK;
    r->exact_logits = tg_calloc((size_t)IDS_MAX * r->n_vocab, sizeof(float));
    return r->exact_logits ? golden_model_open(&r->exact, path, CONTEXT, open_exact, r->err)
                           : tg_fail(r->err, TG_NOMEM, "out of memory");
}

enum tg_status golden_check(const struct golden_case *c, golden_open_fn *open,
                            struct golden_report *report, struct tg_error *err)
{
    *report = (struct golden_report){ 0 };
    struct run r = { .c = c, .report = report, .err = err, .limits = find_limits(c) };
    tg_buf_init(&r.bin, FILE_MAX);
    enum tg_status st = load(&r, open);
    if (!st)
        st = check_prompts(&r);
    const struct tg_json *list = tg_json_get(tg_json_get(r.json, "greedy64"), c->greedy);
    if (!st && tg_json_count(list) == 0)
        st = tg_fail(err, TG_INVALID, "%s has no greedy run of %s", c->json, c->greedy);
    for (const struct tg_json *e = tg_json_first(list); !st && e; e = tg_json_next(e))
        st = check_greedy(&r, e);
    golden_model_close(&r.model);
    golden_model_close(&r.exact);
    tg_json_free(r.json);
    tg_buf_free(&r.bin);
    tg_free(r.logits);
    tg_free(r.exact_logits);
    return st;
}

void golden_print(const struct golden_case *c, const struct golden_report *report)
{
    fprintf(stderr, "%s: %zu rows, KL mean %.3g, median %.3g, max abs %.3g; top-1 of %zu "
            "positions, %zu others; greedy %zu steps, %zu left at near-ties", c->model,
            report->logit_rows, report->kl_mean, report->kl_median, report->max_abs, report->top1,
            report->top1_near, report->greedy_steps, report->greedy_cut);
    if (report->clear)
        fprintf(stderr, "; of %zu clear ones %zu others", report->clear, report->clear_others);
    if (report->greedy_cut)
        fprintf(stderr, " (gap %g)", report->greedy_cut_gap);
    fputc('\n', stderr);
}

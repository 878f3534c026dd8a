/* Inner states of the forward pass against the full fixture set, where that lies beside the
 * checkout: what logits cannot see (the factors of the per-layer inputs, a norm before another). An
 * op table between the model and the CPU backend has the result of every op copied. */
#include "tests/unit/check.h"

#include <math.h>
#include <unistd.h>

#include "config/base/buf.h"
#include "config/base/json.h"
#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define FIXTURES TG_SOURCE_DIR "/../shared/fixtures/models/"

enum { ROWS = 24, COPIES_MAX = 512, FILE_MAX = 16 << 20 };

/* What the backend's ops left in their results, [ROWS, width] each. */
static struct {
    const struct le_ops *inner;
    struct le_buf *copy[COPIES_MAX];
    uint32_t width[COPIES_MAX], n;
} spy;

static void keep(struct le_backend *be, struct le_buf *dst, uint32_t width, enum le_rows rows)
{
    CHECK(spy.n < COPIES_MAX);
    struct le_buf *copy = spy.inner->buf_new(be, (size_t)ROWS * width, LE_BUF_OUTPUT, NULL);
    CHECK(copy != NULL);
    spy.inner->scale(be, copy, dst, width, 1.0f, rows);
    spy.copy[spy.n] = copy;
    spy.width[spy.n++] = width;
}

static bool spy_begin(struct le_backend *be, uint32_t class_tokens, uint32_t class_outputs)
{
    spy.n = 0;
    return spy.inner->begin(be, class_tokens, class_outputs);
}

static void spy_embed(struct le_backend *be, struct le_buf *dst, struct le_weight *table,
                      float scale)
{
    spy.inner->embed(be, dst, table, scale);
    keep(be, dst, 256, LE_ROWS_TOKENS);
}

static void spy_rms(struct le_backend *be, const struct le_rms *a)
{
    spy.inner->rms(be, a);
    keep(be, a->dst, a->width * a->per_row, a->rows);
}

static void spy_attention(struct le_backend *be, const struct le_attention *a)
{
    spy.inner->attention(be, a);
    keep(be, a->dst, a->heads * a->kv.head_dim, a->rows);
}

static void spy_route(struct le_backend *be, const struct le_route *a)
{
    spy.inner->route(be, a);
    keep(be, a->weights, a->used, a->rows);
}

static enum tg_status open_spy(const struct le_ops **ops, struct le_backend **be,
                               struct tg_error *err)
{
    static struct le_ops table;
    enum tg_status st = open_cpu(&spy.inner, be, err);
    if (st)
        return st;
    table = *spy.inner;
    table.begin = spy_begin;
    table.embed = spy_embed;
    table.rms = spy_rms;
    table.attention = spy_attention;
    table.route = spy_route;
    *ops = &table;
    return TG_OK;
}

static void read_file(struct tg_buf *b, const char *path)
{
    char block[1 << 14];
    size_t n;
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    tg_buf_init(b, FILE_MAX);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        tg_buf_add(b, block, n);
    fclose(f);
    CHECK_INT(b->failed, TG_OK);
}

static struct tg_json *read_json(const char *path)
{
    struct tg_buf text;
    struct tg_json *json = NULL;
    read_file(&text, path);
    CHECK_INT(tg_json_parse(tg_buf_str(&text), &json, NULL), TG_OK);
    tg_buf_free(&text);
    return json;
}

/* The largest difference of want [ROWS, width] to columns at.. of copy c, in units of the largest
 * value, or of 1 if that is smaller. */
static double distance(uint32_t c, uint32_t at, const float *want, uint32_t width)
{
    const float *got = spy.inner->host(spy.copy[c]);
    double most = 0, unit = 1;
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t i = 0; i < width; i++) {
            double d = fabs((double)got[r * spy.width[c] + at + i] - (double)want[r * width + i]);
            most = d > most ? d : most;
            unit = fmax(unit, fabs((double)want[r * width + i]));
        }
    return most / unit;
}

/* Which op made a state, is told by its values: no two of them are alike. */
static double closest(const float *want, uint32_t width, int layer)
{
    double best = INFINITY;
    for (uint32_t c = 0; c < spy.n; c++) {
        double d = INFINITY;
        if (layer < 0 && spy.width[c] == width)
            d = distance(c, 0, want, width);
        else if (layer >= 0 && spy.width[c] == width * 10) /* a slice a layer */
            d = distance(c, (uint32_t)layer * width, want, width);
        best = d < best ? d : best;
    }
    return best;
}

/* States that are no op's result by themselves: norms that are added in the same op, probabilities
 * before the choice, and indices. */
static bool is_inside(struct tg_str name)
{
    static const char *const inside[] = { "ple_branch_normed", "experts_normed",
                                          "ffn_branch_normed", "router_probs", "topk_index" };
    for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++)
        if (memmem(name.p, name.n, inside[i], strlen(inside[i])))
            return true;
    return false;
}

static uint32_t check_states(const struct tg_json *hidden, const struct tg_buf *bin)
{
    uint32_t checked = 0;
    const struct tg_json *t = tg_json_first(tg_json_get(hidden, "tensors"));
    for (; t; t = tg_json_next(t)) {
        struct tg_str name;
        int64_t rows = 0, width = 0, offset = -1;
        const struct tg_json *shape = tg_json_first(tg_json_get(t, "shape"));
        CHECK(tg_json_string(tg_json_get(t, "name"), &name) && tg_json_int(shape, &rows) &&
              tg_json_int(tg_json_next(shape), &width) &&
              tg_json_int(tg_json_get(t, "offset"), &offset));
        CHECK(rows == ROWS && offset >= 0 && (size_t)(offset + rows * width * 4) <= bin->n);
        bool slice = memmem(name.p, name.n, "per_layer_input", 15) != NULL;
        if (is_inside(name))
            continue;
        double d = closest((const float *)(const void *)(bin->p + offset), (uint32_t)width,
                           slice ? name.p[1] - '0' : -1);
        if (!(d < 3e-5))
            CHECK_FAIL("%.*s: the closest state is %g away", TG_FMT(name), d);
        checked++;
    }
    return checked;
}

static void check_model(const char *dir, const char *file, uint32_t at_least)
{
    char path[1024];
    struct golden_model m;
    struct tg_error err = { .text = "" };
    struct tg_buf bin;
    int32_t ids[ROWS];
    uint32_t out[ROWS], n = 0;
    if (access(FIXTURES, R_OK) != 0)
        CHECK_SKIP("the full fixture set is not beside this checkout");
    snprintf(path, sizeof(path), "%s/golden.json", dir);
    struct tg_json *golden = read_json(path);
    const struct tg_json *prompt = tg_json_next(tg_json_first(tg_json_get(golden, "prompts")));
    const struct tg_json *id = tg_json_first(tg_json_get(prompt, "ids"));
    for (int64_t v; id && n < ROWS && tg_json_int(id, &v); id = tg_json_next(id), n++) {
        ids[n] = (int32_t)v;
        out[n] = n;
    }
    CHECK(n == ROWS && !id);
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    if (golden_model_open(&m, path, 64, open_spy, &err) ||
        le_model_step(m.m, ids, n, 0, out, n, &err))
        CHECK_FAIL("%s", err.text);
    snprintf(path, sizeof(path), "%s/hidden.json", dir);
    struct tg_json *hidden = read_json(path);
    snprintf(path, sizeof(path), "%s/golden/hidden.bin", dir);
    read_file(&bin, path);
    CHECK(check_states(hidden, &bin) >= at_least);
    tg_buf_free(&bin);
    tg_json_free(hidden);
    tg_json_free(golden);
    golden_model_close(&m);
}

static void dense(void) { check_model(FIXTURES "tiny-dense", "tiny-dense-F16.gguf", 17); }
static void per_layer_inputs(void) { check_model(FIXTURES "tiny-e", "tiny-e-F16.gguf", 72); }
static void experts(void) { check_model(FIXTURES "tiny-moe", "tiny-moe-F16.gguf", 26); }

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(dense), CASE(per_layer_inputs), CASE(experts),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

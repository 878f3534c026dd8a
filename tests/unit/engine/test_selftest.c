/* The known-answer test at load: it passes on what works, and catches planted faults. */
#include "tests/unit/check.h"

#include <unistd.h>

#include "local_engine/selftest.h"
#include "local_engine/selftest_model.h"
#include "tests/unit/engine/support_backends.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"

static const char *const models[] = { GOLDEN "tiny-dense-Q8_0.gguf", GOLDEN "tiny-e-Q4_0.gguf",
                                      GOLDEN "tiny-moe-Q4_0.gguf" };
enum { MODELS = sizeof(models) / sizeof(*models) };

static struct le_gguf *g;
static struct le_selftest *test;

static void start(const char *path)
{
    struct le_params p;
    struct tg_error err = { .text = "" };
    if (le_gguf_open(path, &g, &err) || le_params_read(g, &p, &err) ||
        le_selftest_new(g, &p, NULL, &test, &err))
        CHECK_FAIL("%s: %s", path, err.text);
}

static void finish(void)
{
    le_selftest_free(test);
    le_gguf_close(g);
}

static void passes(const char *path, const struct cpu_options *o)
{
    const struct le_ops *ops;
    struct le_backend *be;
    struct le_selftest_report r;
    struct tg_error err = { .text = "" };
    start(path);
    CHECK_INT(cpu_open(o, &ops, &be, &err), TG_OK);
    if (le_selftest_run(test, ops, be, o->precision, &r, &err))
        CHECK_FAIL("%s, %s: %s", path, ops->describe(be), err.text);
    fprintf(stderr, "%s on %s: error %.3g (limit %.3g)\n", path, ops->describe(be), r.error,
            r.limit);
    CHECK(r.error < r.limit / 2 && r.length > 0);
    ops->close(be);
    finish();
}

static void the_cpu_passes(void)
{
    for (int i = 0; i < MODELS; i++) {
        passes(models[i], &(struct cpu_options){ .precision = LE_EXACT });
        passes(models[i], &(struct cpu_options){ .precision = LE_FAST });
    }
}

static void vulkan_passes(void)
{
    for (int i = 0; i < 2; i++) {
        const struct gpu_options o = { .precision = i ? LE_FAST : LE_EXACT, .software = true };
        const struct le_ops *ops;
        struct le_backend *be;
        struct le_selftest_report r;
        struct tg_error err = { .text = "" };
        enum tg_status st = gpu_open(&o, &ops, &be, &err);
        if (st == TG_NOTFOUND)
            CHECK_SKIP(err.text);
        CHECK_INT(st, TG_OK);
        start(models[i ? 2 : 1]);
        if (le_selftest_run(test, ops, be, o.precision, &r, &err))
            CHECK_FAIL("%s: %s", ops->describe(be), err.text);
        fprintf(stderr, "%s on %s: error %.3g (limit %.3g)\n", models[i ? 2 : 1],
                ops->describe(be), r.error, r.limit);
        CHECK(r.error < r.limit / 2);
        ops->close(be);
        finish();
    }
}

/* ---- planted faults: an op table that changes one thing on its way to the scalar kernels ---- */

static const struct le_ops *sound;

/* Sees one key too many. */
static void wide_window(struct le_backend *be, const struct le_attention *a)
{
    struct le_attention b = *a;
    b.window += b.window > 0;
    sound->attention(be, &b);
}

static void no_rope(struct le_backend *be, const struct le_rope *a)
{
    (void)be;
    (void)a;
}

/* In layers that are computed for output rows only, all keys but one are lost. */
static void one_key(struct le_backend *be, const struct le_attention *a)
{
    struct le_attention b = *a;
    if (b.rows == LE_ROWS_OUTPUTS)
        b.window = 1;
    sound->attention(be, &b);
}

static void gate_for_up(struct le_backend *be, const struct le_geglu *a)
{
    struct le_geglu b = *a;
    b.up = b.gate;
    b.up_stride = b.width;
    b.up_offset = 0;
    sound->geglu(be, &b);
}

static void one_expert_less(struct le_backend *be, const struct le_expert_sum *a)
{
    struct le_expert_sum b = *a;
    b.used--;
    sound->expert_sum(be, &b);
}

static void no_number(struct le_backend *be, struct le_buf *x, uint32_t width, float cap,
                      enum le_rows rows)
{
    (void)cap;
    sound->softcap(be, x, width, 0.0f, rows);
}

/* Right for one token: what only prompts show. */
static enum tg_status first_token_alone(struct le_backend *be, const struct le_step *step,
                                        struct tg_error *err)
{
    int32_t ids[LE_STEP_TOKENS_MAX];
    struct le_step s = *step;
    for (uint32_t i = 0; i < s.n_tokens; i++)
        ids[i] = step->id[i > 32 ? 32 : i];
    s.id = ids;
    return sound->run(be, &s, err);
}

static void caught(const char *path, const struct le_ops *faulty)
{
    struct le_backend *be;
    struct le_selftest_report r;
    struct tg_error err = { .text = "" };
    start(path);
    CHECK_INT(cpu_open(NULL, &sound, &be, &err), TG_OK);
    CHECK_INT(le_selftest_run(test, faulty, be, LE_EXACT, &r, &err), TG_INTERNAL);
    fprintf(stderr, "%s\n", err.text);
    CHECK(strstr(err.text, "wrong results at ") || strstr(err.text, "not finite"));
    sound->close(be);
    finish();
}

static void faults_are_caught(void)
{
    struct le_backend *be;
    CHECK_INT(cpu_open(NULL, &sound, &be, NULL), TG_OK);
    sound->close(be);
    for (int fault = 0; fault < 7; fault++) {
        struct le_ops faulty = *sound;
        switch (fault) {
        case 0: faulty.attention = wide_window; break;
        case 1: faulty.rope = no_rope; break;
        case 2: faulty.geglu = gate_for_up; break;
        case 3: faulty.softcap = no_number; break;
        case 4: faulty.run = first_token_alone; break;
        case 5: faulty.attention = one_key; break;
        default: faulty.expert_sum = one_expert_less; break;
        }
        caught(models[fault == 6 ? 2 : fault % 2], &faulty);
    }
}

/* The small model has the loaded one's types, heads and kinds of layers. */
static void the_small_model(void)
{
    struct tg_error err = { .text = "" };
    for (int i = 0; i < MODELS; i++) {
        struct le_params p, s;
        struct tg_buf file;
        struct le_gguf *small;
        CHECK_INT(le_gguf_open(models[i], &g, &err), TG_OK);
        CHECK_INT(le_params_read(g, &p, &err), TG_OK);
        CHECK_INT(le_selftest_model(g, &p, &file, &err), TG_OK);
        if (le_gguf_open_memory("small", file.p, file.n, &small, &err) ||
            le_params_read(small, &s, &err))
            CHECK_FAIL("%s", err.text);
        CHECK(s.n_layers >= 2 && s.n_layers <= 8 && s.n_vocab == 512);
        CHECK(s.ple == p.ple && s.n_used == p.n_used && s.softcap == p.softcap);
        bool kind[2] = { false, false }, sharing[2] = { false, false };
        for (uint32_t j = 0; j < s.n_layers; j++) {
            const struct le_layer_params *l = &s.layer[j];
            kind[l->sliding] = true;
            sharing[l->sliding] = sharing[l->sliding] || !l->owns_kv;
            CHECK_INT(l->head_dim, p.layer[l->sliding ? 0 : p.n_layers - 1].head_dim);
            CHECK_INT(s.n_heads / l->kv_heads,
                      p.n_heads / p.layer[l->sliding ? 0 : p.n_layers - 1].kv_heads);
        }
        CHECK(kind[0] && kind[1]);
        CHECK(sharing[0] == !p.layer[p.n_layers - 1].owns_kv && sharing[1] == sharing[0]);
        for (size_t k = 0; k < le_gguf_n_tensors(g); k++) { /* no type is left out */
            const struct le_tensor *t = le_gguf_tensor_at(g, k);
            bool found = false;
            for (size_t n = 0; n < le_gguf_n_tensors(small); n++)
                found = found || le_gguf_tensor_at(small, n)->type == t->type;
            CHECK(found);
        }
        le_gguf_close(small);
        le_gguf_close(g);
        tg_buf_free(&file);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(the_small_model), CASE(the_cpu_passes), CASE(vulkan_passes), CASE(faults_are_caught),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

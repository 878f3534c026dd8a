/* A model may come with its matrices fused or split, tied or untied, with tensors that are to be
 * ignored, and with vectors of 16 bits: the logits must be the same, bit for bit. */
#include "tests/unit/check.h"

#include <math.h>

#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"
#include "tests/unit/engine/support_rebuild.h"

#define DENSE TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf"
#define TINY_E TG_SOURCE_DIR "/tests/golden/tiny-e-Q4_0.gguf"
#define MOE TG_SOURCE_DIR "/tests/golden/tiny-moe-Q4_0.gguf"

enum { N = 40, VOCAB = 4096, NAME = 96 };

static struct rebuild r;
static float want[N * VOCAB], got[N * VOCAB];

static void start(const char *path)
{
    CHECK(rebuild_start(&r, path));
}

static enum tg_status run(float *out, struct tg_error *err)
{
    struct golden_model m = { 0 };
    struct tg_buf file;
    int32_t ids[N];
    for (uint32_t i = 0; i < N; i++)
        ids[i] = (int32_t)(i == 0 ? 2 : i * 97 % 4000 + 20);
    rebuild_write(&r, &file);
    CHECK_INT(file.failed, TG_OK);
    enum tg_status st = le_gguf_open_memory("memory", file.p, file.n, &m.g, err);
    if (!st)
        st = open_cpu(&m.ops, &m.be, err);
    if (!st)
        st = le_model_open(m.g, m.ops, m.be, &(struct le_model_options){ .context = N }, &m.m,
                           err);
    if (!st)
        st = golden_logits(&m, ids, N, N, 0, out, err);
    golden_model_close(&m);
    tg_buf_free(&file);
    return st;
}

static void runs(float *out)
{
    struct tg_error err = { .text = "" };
    if (run(out, &err))
        CHECK_FAIL("%s", err.text);
}

static void finish_equal(void)
{
    runs(got);
    CHECK(memcmp(want, got, sizeof(want)) == 0);
    rebuild_free(&r);
}

static const char *layer_name(char *out, uint32_t layer, const char *what)
{
    snprintf(out, NAME, "blk.%u.%s.weight", layer, what);
    return out;
}

/* Puts the rows of the named tensors of a layer into one; false where the first is missing. */
static bool fuse(uint32_t layer, const char *const *parts, size_t n, const char *into)
{
    char name[NAME];
    uint64_t rows = 0;
    const struct le_tensor *first = rebuild_find(&r, layer_name(name, layer, parts[0]));
    if (!first)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct le_tensor *t = rebuild_find(&r, layer_name(name, layer, parts[i]));
        CHECK(t == NULL || (t->type == first->type && t->ne[0] == first->ne[0]));
        rows += t ? t->ne[1] : 0;
    }
    struct le_tensor *fused = rebuild_add(&r, layer_name(name, layer, into), first->type,
                                          first->ne[0], rows, first->ne[2]);
    CHECK(fused != NULL);
    uint8_t *to = (uint8_t *)(uintptr_t)fused->data;
    for (uint64_t plane = 0; plane < fused->ne[2]; plane++)
        for (size_t i = 0; i < n; i++) {
            const struct le_tensor *t = rebuild_find(&r, layer_name(name, layer, parts[i]));
            if (!t)
                continue;
            memcpy(to, t->data + plane * t->plane_bytes, t->plane_bytes);
            to += t->plane_bytes;
        }
    for (size_t i = 0; i < n; i++)
        rebuild_remove(&r, layer_name(name, layer, parts[i]));
    return true;
}

static const char *const qkv[] = { "attn_q", "attn_k", "attn_v" };

/* Global layers have no values of their own: their fused tensor has query and keys alone. */
static void query_key_value_fused(void)
{
    start(DENSE);
    runs(want);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(fuse(i, qkv, 3, "attn_qkv"));
    CHECK(!rebuild_find(&r, "blk.0.attn_k.weight") && rebuild_find(&r, "blk.2.attn_qkv.weight"));
    finish_equal();
}

/* A sharing layer's fused tensor holds keys and values that are to be ignored. */
static void fused_on_sharing_layers(void)
{
    char name[NAME];
    start(TINY_E);
    runs(want);
    for (uint32_t i = 0; i < 10; i++) {
        const struct le_tensor *q = rebuild_find(&r, layer_name(name, i, "attn_q"));
        CHECK(q != NULL);
        uint64_t keys = q->ne[1] / 2; /* two query heads, one of keys */
        for (int k = 1; i >= 5 && k < 3; k++) {
            rebuild_remove(&r, layer_name(name, i, qkv[k]));
            struct le_tensor *t = rebuild_add(&r, name, q->type, q->ne[0], keys, 1);
            CHECK(t != NULL);
            memset((void *)(uintptr_t)t->data, 0x55, t->nbytes);
        }
        const struct le_tensor *v = rebuild_find(&r, layer_name(name, i, "attn_v"));
        if (v->type == q->type) /* some are kept in more bits */
            CHECK(fuse(i, qkv, 3, "attn_qkv"));
    }
    CHECK(rebuild_find(&r, "blk.7.attn_qkv.weight") != NULL);
    finish_equal();
}

/* The same without fusing: present and ignored, whatever they hold. */
static void sharing_layers_ignore_keys(void)
{
    char name[NAME];
    start(TINY_E);
    runs(want);
    for (uint32_t i = 5; i < 10; i++)
        for (int k = 1; k < 3; k++) {
            rebuild_remove(&r, layer_name(name, i, qkv[k]));
            CHECK(rebuild_add(&r, name, LE_TYPE_F32, 32, 7, 1) != NULL);
        }
    finish_equal();
}

/* tiny-moe's gate and up are fused; split, one layer of three, then all. */
static void experts_split(void)
{
    char name[NAME];
    start(MOE);
    runs(want);
    for (uint32_t i = 0; i < 3; i++) {
        const struct le_tensor *t = rebuild_find(&r, layer_name(name, i, "ffn_gate_up_exps"));
        CHECK(t != NULL);
        for (uint64_t half = 0; half < 2; half++) {
            struct le_tensor view = le_tensor_rows(t, half * t->ne[1] / 2, t->ne[1] / 2);
            layer_name(name, i, half ? "ffn_up_exps" : "ffn_gate_exps");
            struct le_tensor *part = rebuild_add(&r, name, t->type, t->ne[0], view.ne[1],
                                                 t->ne[2]);
            CHECK(part && part->nbytes == view.nbytes);
            for (uint64_t e = 0; e < t->ne[2]; e++)
                memcpy((uint8_t *)(uintptr_t)part->data + e * part->plane_bytes,
                       view.data + e * view.plane_bytes, part->plane_bytes);
        }
        rebuild_remove(&r, layer_name(name, i, "ffn_gate_up_exps"));
        if (i == 0) {
            runs(got);
            CHECK(memcmp(want, got, sizeof(want)) == 0);
        }
    }
    finish_equal();
}

/* An output of its own, whose rows are the embedding's in opposite order. */
static void untied_output(void)
{
    start(DENSE);
    runs(want);
    const struct le_tensor *embd = rebuild_find(&r, "token_embd.weight");
    struct le_tensor *out = rebuild_add(&r, "output.weight", embd->type, embd->ne[0], VOCAB, 1);
    CHECK(out != NULL);
    size_t row = (size_t)(embd->nbytes / VOCAB);
    for (size_t i = 0; i < VOCAB; i++)
        memcpy((uint8_t *)(uintptr_t)out->data + i * row, embd->data + (VOCAB - 1 - i) * row, row);
    runs(got);
    for (size_t i = 0; i < N * VOCAB; i++)
        CHECK(got[i] == want[i / VOCAB * VOCAB + VOCAB - 1 - i % VOCAB]);
    rebuild_free(&r);
}

/* Norms rounded to BF16: the same whether they are stored so or as F32. */
static void vectors_of_16_bits(void)
{
    char name[NAME];
    start(TINY_E);
    for (uint32_t i = 0; i < 10; i++) {
        struct le_tensor *t = rebuild_find(&r, layer_name(name, i, "ffn_norm"));
        CHECK(t && t->type == LE_TYPE_F32);
        size_t n = (size_t)t->ne[0];
        uint32_t *rounded = rebuild_alloc(&r, n * 4);
        memcpy(rounded, t->data, n * 4);
        for (size_t k = 0; k < n; k++)
            rounded[k] &= 0xffff0000;
        t->data = (const uint8_t *)rounded;
    }
    runs(want);
    for (uint32_t i = 0; i < 10; i++) {
        const struct le_tensor *t = rebuild_find(&r, layer_name(name, i, "ffn_norm"));
        size_t n = (size_t)t->ne[0];
        const uint8_t *bits = t->data;
        rebuild_remove(&r, name);
        struct le_tensor *half = rebuild_add(&r, name, LE_TYPE_BF16, n, 1, 1);
        for (size_t k = 0; k < 2 * n; k++)
            ((uint8_t *)(uintptr_t)half->data)[k] = bits[k / 2 * 4 + 2 + k % 2];
    }
    finish_equal();
}

static void refused(const char *text)
{
    struct tg_error err = { .text = "" };
    CHECK(run(got, &err) != TG_OK);
    if (!strstr(err.text, text))
        CHECK_FAIL("\"%s\" does not say \"%s\"", err.text, text);
    rebuild_free(&r);
}

/* Two forms at once: one of them would be left out. */
static void both_forms_are_refused(void)
{
    start(DENSE);
    CHECK(rebuild_add(&r, "blk.0.attn_qkv.weight", LE_TYPE_F32, 256, 512, 1) != NULL);
    refused("beside the layer's attn_qkv");
    start(MOE);
    CHECK(rebuild_add(&r, "blk.1.ffn_up_exps.weight", LE_TYPE_F32, 256, 32, 16) != NULL);
    refused("blk.1.ffn_up_exps.weight");
    start(DENSE);
    CHECK(fuse(0, qkv, 3, "attn_qkv"));
    rebuild_find(&r, "blk.0.attn_qkv.weight")->ne[1]--; /* and its data then lie elsewhere */
    rebuild_find(&r, "blk.0.attn_qkv.weight")->nbytes -= 272;
    refused("blk.0.attn_qkv.weight: shape");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(query_key_value_fused), CASE(fused_on_sharing_layers),
        CASE(sharing_layers_ignore_keys), CASE(experts_split), CASE(untied_output),
        CASE(vectors_of_16_bits), CASE(both_forms_are_refused),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

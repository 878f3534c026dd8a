#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "local_engine/model.h"
#include "local_engine/params_tensors.h"

#define ARCH "gemma4"

enum {
    EMBD_MAX = 1 << 16,
    HEADS_MAX = 512,
    HEAD_DIM_MAX = 512, /* what the attention kernels hold */
    FF_MAX = 1 << 20,
    PLE_MAX = 4096,
    WINDOW_MAX = 1 << 24,
    CONTEXT_MAX = 1 << 24,
    EXPERTS_MAX = 1024,
    USED_MAX = 64,
    WIDTH_STEP = 32, /* every width is a multiple of it: one quantised block */
    NAME_BYTES = 96,
};

struct source {
    const struct le_gguf *g;
    struct tg_error *err;
};

static enum tg_status range(const struct source *s, const char *key, uint32_t v, uint32_t min,
                            uint32_t max, uint32_t step)
{
    if (v < min || v > max || v % step != 0)
        return tg_fail(s->err, TG_UNSUPPORTED,
                       "%s: key %s: %u is not supported (%u to %u, a multiple of %u)",
                       le_gguf_path(s->g), key, v, min, max, step);
    return TG_OK;
}

/* A required key that is absent makes the file invalid. */
static enum tg_status required(enum tg_status st)
{
    return st == TG_NOTFOUND ? TG_INVALID : st;
}

static enum tg_status get_u32(const struct source *s, const char *key, uint32_t *out, uint32_t min,
                              uint32_t max, uint32_t step)
{
    enum tg_status st = required(le_gguf_u32(s->g, key, out, s->err));
    return st ? st : range(s, key, *out, min, max, step);
}

/* Absent: *out stays. */
static enum tg_status maybe_u32(const struct source *s, const char *key, uint32_t *out)
{
    enum tg_status st = le_gguf_u32(s->g, key, out, s->err);
    return st == TG_NOTFOUND ? TG_OK : st;
}

static enum tg_status get_f32(const struct source *s, const char *key, bool optional, float *out,
                              float min, float max)
{
    enum tg_status st = le_gguf_f32(s->g, key, out, s->err);
    if (st)
        return st == TG_NOTFOUND && optional ? TG_OK : required(st);
    if (!(*out >= min && *out <= max))
        return tg_fail(s->err, TG_INVALID, "%s: key %s: %g is out of range (%g to %g)",
                       le_gguf_path(s->g), key, (double)*out, (double)min, (double)max);
    return TG_OK;
}

/* A value per layer: one for all, or an array of n_layers. */
static enum tg_status get_per_layer(const struct source *s, const char *key, uint32_t n_layers,
                                    uint32_t *out)
{
    uint64_t n;
    if (le_gguf_array_count(s->g, key, &n, NULL) != TG_OK) {
        enum tg_status st = required(le_gguf_u32(s->g, key, &out[0], s->err));
        for (uint32_t i = 1; !st && i < n_layers; i++)
            out[i] = out[0];
        return st;
    }
    if (n != n_layers)
        return tg_fail(s->err, TG_INVALID, "%s: key %s has %" PRIu64 " items for %u layers",
                       le_gguf_path(s->g), key, n, n_layers);
    enum tg_status st = TG_OK;
    for (uint32_t i = 0; !st && i < n_layers; i++)
        st = le_gguf_array_u32(s->g, key, i, &out[i], s->err);
    return st;
}

static enum tg_status read_architecture(const struct source *s)
{
    struct tg_str arch;
    char shown[NAME_BYTES];
    enum tg_status st = required(le_gguf_string(s->g, "general.architecture", &arch, s->err));
    if (st)
        return st;
    return tg_str_eq(arch, TG_STR(ARCH))
               ? TG_OK
               : tg_fail(s->err, TG_UNSUPPORTED,
                         "%s: key general.architecture: this version runs %s, not %s",
                         le_gguf_path(s->g), ARCH,
                         le_gguf_text_print(arch, shown, sizeof(shown)));
}

static enum tg_status read_globals(const struct source *s, struct le_params *p)
{
    enum tg_status st = TG_OK;
    float factor = 1.0f;
    p->rope_base_swa = 1e4f;
    if ((st = get_u32(s, ARCH ".block_count", &p->n_layers, 1, LE_LAYERS_MAX, 1)) ||
        (st = get_u32(s, ARCH ".context_length", &p->context_trained, 1, CONTEXT_MAX, 1)) ||
        (st = get_u32(s, ARCH ".embedding_length", &p->n_embd, WIDTH_STEP, EMBD_MAX,
                      WIDTH_STEP)) ||
        (st = get_u32(s, ARCH ".attention.head_count", &p->n_heads, 1, HEADS_MAX, 1)) ||
        (st = get_u32(s, ARCH ".attention.sliding_window", &p->window, 1, WINDOW_MAX, 1)) ||
        (st = maybe_u32(s, ARCH ".embedding_length_per_layer_input", &p->ple)) ||
        (st = range(s, ARCH ".embedding_length_per_layer_input", p->ple, 0, PLE_MAX,
                    WIDTH_STEP)) ||
        (st = get_f32(s, ARCH ".attention.layer_norm_rms_epsilon", false, &p->rms_eps, 0.0f,
                      1.0f)) ||
        (st = get_f32(s, ARCH ".rope.freq_base", false, &p->rope_base, 1.0f, 1e12f)) ||
        (st = get_f32(s, ARCH ".rope.freq_base_swa", true, &p->rope_base_swa, 1.0f, 1e12f)) ||
        (st = get_f32(s, ARCH ".rope.scaling.factor", true, &factor, 0.0f, 1e6f)) ||
        (st = get_f32(s, ARCH ".final_logit_softcapping", true, &p->softcap, 0.0f, 1e6f)))
        return st;
    if (factor != 1.0f)
        return tg_fail(s->err, TG_UNSUPPORTED,
                       "%s: key " ARCH ".rope.scaling.factor: RoPE scaling is not supported",
                       le_gguf_path(s->g));
    return TG_OK;
}

/* Keys and values of a layer type are equally wide, and RoPE spans the whole head. */
static enum tg_status read_head_dim(const struct source *s, const char *suffix, uint32_t *out)
{
    static const char *const same[] = { "attention.value_length", "rope.dimension_count" };
    char key[NAME_BYTES];
    snprintf(key, sizeof(key), ARCH ".attention.key_length%s", suffix);
    enum tg_status st = get_u32(s, key, out, WIDTH_STEP, HEAD_DIM_MAX, WIDTH_STEP);
    for (size_t i = 0; !st && i < sizeof(same) / sizeof(*same); i++) {
        uint32_t v = *out;
        snprintf(key, sizeof(key), ARCH ".%s%s", same[i], suffix);
        st = maybe_u32(s, key, &v);
        if (!st && v != *out)
            st = tg_fail(s->err, TG_UNSUPPORTED, "%s: key %s: %u differs from the key length %u",
                         le_gguf_path(s->g), key, v, *out);
    }
    return st;
}

/* Mixture of experts: its keys are there together or not at all. Which layers have it, their
 * tensors tell. */
static enum tg_status read_experts(const struct source *s, struct le_params *p)
{
    uint32_t ff[LE_LAYERS_MAX];
    enum tg_status st = maybe_u32(s, ARCH ".expert_count", &p->n_experts);
    if (st || p->n_experts == 0)
        return st;
    if ((st = range(s, ARCH ".expert_count", p->n_experts, 1, EXPERTS_MAX, 1)) ||
        (st = get_u32(s, ARCH ".expert_used_count", &p->n_used, 1,
                      p->n_experts < USED_MAX ? p->n_experts : USED_MAX, 1)) ||
        (st = get_per_layer(s, ARCH ".expert_feed_forward_length", p->n_layers, ff)))
        return st;
    for (uint32_t i = 0; !st && i < p->n_layers; i++) {
        p->layer[i].expert_ff = ff[i];
        if (ff[i] > 0) /* 0: of a layer without experts */
            st = range(s, ARCH ".expert_feed_forward_length", ff[i], WIDTH_STEP, FF_MAX,
                       WIDTH_STEP);
    }
    return st;
}

/* A sharing layer reads the last own-KV layer of its own type. */
static enum tg_status find_donor(const struct source *s, struct le_params *p, uint32_t own,
                                 uint32_t i)
{
    struct le_layer_params *l = &p->layer[i];
    l->owns_kv = i < own;
    l->donor = i;
    if (l->owns_kv)
        return TG_OK;
    for (uint32_t d = own; d-- > 0;) {
        if (p->layer[d].sliding != l->sliding)
            continue;
        l->donor = d;
        if (p->layer[d].kv_heads != l->kv_heads)
            break;
        return TG_OK;
    }
    return tg_fail(s->err, TG_INVALID,
                   "%s: key " ARCH ".attention.shared_kv_layers: layer %u has no earlier layer of "
                   "its kind and shape to share with", le_gguf_path(s->g), i);
}

static enum tg_status read_layers(const struct source *s, struct le_params *p)
{
    uint32_t sliding[LE_LAYERS_MAX], kv[LE_LAYERS_MAX], ff[LE_LAYERS_MAX];
    uint32_t global_dim, sliding_dim, shared = 0;
    enum tg_status st;
    if ((st = read_head_dim(s, "", &global_dim)) ||
        (st = read_head_dim(s, "_swa", &sliding_dim)) ||
        (st = get_per_layer(s, ARCH ".attention.sliding_window_pattern", p->n_layers, sliding)) ||
        (st = get_per_layer(s, ARCH ".attention.head_count_kv", p->n_layers, kv)) ||
        (st = get_per_layer(s, ARCH ".feed_forward_length", p->n_layers, ff)) ||
        (st = maybe_u32(s, ARCH ".attention.shared_kv_layers", &shared)) ||
        (st = range(s, ARCH ".attention.shared_kv_layers", shared, 0, p->n_layers - 1, 1)))
        return st;
    for (uint32_t i = 0; i < p->n_layers; i++) {
        struct le_layer_params *l = &p->layer[i];
        l->sliding = sliding[i] != 0;
        l->head_dim = l->sliding ? sliding_dim : global_dim;
        l->kv_heads = kv[i];
        l->ff = ff[i];
        if (kv[i] == 0 || kv[i] > p->n_heads || p->n_heads % kv[i] != 0)
            return tg_fail(s->err, TG_INVALID,
                           "%s: key " ARCH ".attention.head_count_kv: %u of layer %u does not "
                           "divide the %u query heads", le_gguf_path(s->g), kv[i], i, p->n_heads);
        if ((st = range(s, ARCH ".attention.sliding_window_pattern", sliding[i], 0, 1, 1)) ||
            (st = range(s, ARCH ".feed_forward_length", ff[i], WIDTH_STEP, FF_MAX, WIDTH_STEP)) ||
            (st = find_donor(s, p, p->n_layers - shared, i)))
            return st;
    }
    return TG_OK;
}

enum tg_status le_params_read(const struct le_gguf *g, struct le_params *out, struct tg_error *err)
{
    struct source s = { g, err };
    struct le_params p = { 0 };
    enum tg_status st;
    if ((st = read_architecture(&s)) || (st = read_globals(&s, &p)) ||
        (st = read_layers(&s, &p)) || (st = read_experts(&s, &p)) ||
        (st = le_params_check_tensors(g, &p, err)))
        return st;
    *out = p;
    return TG_OK;
}

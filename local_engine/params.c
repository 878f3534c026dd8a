#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "local_engine/model.h"

#define ARCH "gemma4"

enum {
    EMBD_MAX = 1 << 16,
    HEADS_MAX = 512,
    HEAD_DIM_MAX = 512, /* what the attention kernels hold */
    FF_MAX = 1 << 20,
    VOCAB_MAX = 1 << 22,
    PLE_MAX = 4096,
    WINDOW_MAX = 1 << 24,
    CONTEXT_MAX = 1 << 24,
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
    enum tg_status st = required(le_gguf_string(s->g, "general.architecture", &arch, s->err));
    if (st)
        return st;
    if (!tg_str_eq(arch, TG_STR(ARCH)))
        return tg_fail(s->err, TG_UNSUPPORTED,
                       "%s: key general.architecture: this version runs %s, not %.*s",
                       le_gguf_path(s->g), ARCH, TG_FMT(arch));
    uint32_t experts = 0;
    st = maybe_u32(s, ARCH ".expert_count", &experts);
    if (!st && experts > 0)
        return tg_fail(s->err, TG_UNSUPPORTED,
                       "%s: key " ARCH ".expert_count: mixture-of-experts models (%u experts) are "
                       "not in this version", le_gguf_path(s->g), experts);
    return st;
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

static enum tg_status check_shape(const struct source *s, const char *name, bool vector,
                                  uint64_t in, uint64_t out)
{
    const struct le_tensor *t = le_gguf_tensor(s->g, name);
    uint32_t block, bytes;
    if (!t)
        return tg_fail(s->err, TG_INVALID, "%s: tensor %s is missing", le_gguf_path(s->g), name);
    if (t->ne[0] != in || t->ne[1] != out || t->ne[2] != 1 || t->ne[3] != 1)
        return tg_fail(s->err, TG_INVALID,
                       "%s: tensor %s: shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
                       "], expected [%" PRIu64 ", %" PRIu64 "]", le_gguf_path(s->g), name,
                       t->ne[0], t->ne[1], t->ne[2], t->ne[3], in, out);
    if (vector ? t->type != LE_TYPE_F32 : !le_type_block(t->type, &block, &bytes))
        return tg_fail(s->err, TG_UNSUPPORTED,
                       "%s: tensor %s: %s is not supported here (%s)", le_gguf_path(s->g),
                       name, le_type_name(t->type),
                       vector ? "F32 only" : "F32, F16, Q8_0, Q4_0, Q6_K are");
    return TG_OK;
}

/* What a tensor's width is; the sizes of one layer are in a table indexed by these. */
enum dim { ONE, EMBD, HEAD, QUERY, KEYS, FEED, PLE, N_DIMS };

static const struct layer_tensor {
    const char *name;
    enum dim in, out;
    enum { ALWAYS, OWN_KV, WITH_PLE, VALUES, OPTIONAL } when;
} layer_tensors[] = {
    { "attn_norm", EMBD, ONE, ALWAYS },
    { "attn_q", EMBD, QUERY, ALWAYS },
    { "attn_q_norm", HEAD, ONE, ALWAYS },
    { "attn_k", EMBD, KEYS, OWN_KV },
    { "attn_k_norm", HEAD, ONE, OWN_KV },
    { "attn_v", EMBD, KEYS, VALUES },
    { "attn_output", QUERY, EMBD, ALWAYS },
    { "post_attention_norm", EMBD, ONE, ALWAYS },
    { "ffn_norm", EMBD, ONE, ALWAYS },
    { "ffn_gate", EMBD, FEED, ALWAYS },
    { "ffn_up", EMBD, FEED, ALWAYS },
    { "ffn_down", FEED, EMBD, ALWAYS },
    { "post_ffw_norm", EMBD, ONE, ALWAYS },
    { "layer_output_scale", ONE, ONE, OPTIONAL },
    { "inp_gate", EMBD, PLE, WITH_PLE },
    { "proj", PLE, EMBD, WITH_PLE },
    { "post_norm", EMBD, ONE, WITH_PLE },
};

enum { N_LAYER_TENSORS = sizeof(layer_tensors) / sizeof(*layer_tensors) };

static enum tg_status check_layer(const struct source *s, const struct le_params *p, uint32_t i)
{
    const struct le_layer_params *l = &p->layer[i];
    const uint64_t size[N_DIMS] = {
        [ONE] = 1,
        [EMBD] = p->n_embd,
        [HEAD] = l->head_dim,
        [QUERY] = (uint64_t)p->n_heads * l->head_dim,
        [KEYS] = (uint64_t)l->kv_heads * l->head_dim,
        [FEED] = l->ff,
        [PLE] = p->ple,
    };
    for (size_t k = 0; k < N_LAYER_TENSORS; k++) {
        const struct layer_tensor *t = &layer_tensors[k];
        char name[NAME_BYTES];
        snprintf(name, sizeof(name), "blk.%u.%s.weight", i, t->name);
        bool kv_only = t->out == KEYS || t->when == OWN_KV;
        /* Only global layers may take their raw keys as values. */
        bool optional = t->when == OPTIONAL || (t->when == VALUES && !l->sliding);
        if ((kv_only && !l->owns_kv) || (t->when == WITH_PLE && p->ple == 0) ||
            (optional && !le_gguf_tensor(s->g, name)))
            continue;
        enum tg_status st = check_shape(s, name, t->out == ONE, size[t->in], size[t->out]);
        if (st)
            return st;
    }
    return TG_OK;
}

static enum tg_status check_top(const struct source *s, struct le_params *p)
{
    const struct le_tensor *embd = le_gguf_tensor(s->g, "token_embd.weight");
    uint64_t n_vocab = embd ? embd->ne[1] : 0, ple = (uint64_t)p->ple * p->n_layers;
    if (embd && (n_vocab < 1 || n_vocab > VOCAB_MAX))
        return tg_fail(s->err, TG_UNSUPPORTED,
                       "%s: tensor token_embd.weight: a vocabulary of %" PRIu64 " tokens",
                       le_gguf_path(s->g), n_vocab);
    p->n_vocab = (uint32_t)n_vocab;
    enum tg_status st = check_shape(s, "token_embd.weight", false, p->n_embd, n_vocab);
    if (!st && le_gguf_tensor(s->g, "output.weight"))
        st = check_shape(s, "output.weight", false, p->n_embd, n_vocab);
    if (!st)
        st = check_shape(s, "output_norm.weight", true, p->n_embd, 1);
    for (uint32_t i = 0; !st && i < p->n_layers; i++)
        if (!p->layer[i].sliding) {
            st = check_shape(s, "rope_freqs.weight", true, p->layer[i].head_dim / 2, 1);
            break;
        }
    if (st || ple == 0)
        return st;
    if ((st = check_shape(s, "per_layer_token_embd.weight", false, ple, n_vocab)) ||
        (st = check_shape(s, "per_layer_model_proj.weight", false, p->n_embd, ple)))
        return st;
    return check_shape(s, "per_layer_proj_norm.weight", true, p->ple, 1);
}

static bool has_prefix(struct tg_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* The table's row of a tensor blk.N.*, or NULL. */
static const struct layer_tensor *find_layer_tensor(const struct le_params *p, struct tg_str name)
{
    if (!has_prefix(name, "blk."))
        return NULL;
    struct tg_str rest = { name.p + 4, name.n - 4 };
    const char *dot = memchr(rest.p, '.', rest.n);
    uint64_t layer;
    if (!dot || !tg_parse_u64((struct tg_str){ rest.p, (size_t)(dot - rest.p) }, &layer) ||
        layer >= p->n_layers)
        return NULL;
    rest = (struct tg_str){ dot + 1, rest.n - (size_t)(dot + 1 - rest.p) };
    for (size_t k = 0; k < N_LAYER_TENSORS; k++) {
        size_t n = strlen(layer_tensors[k].name);
        if (has_prefix(rest, layer_tensors[k].name) &&
            tg_str_eq((struct tg_str){ rest.p + n, rest.n - n }, TG_STR(".weight")))
            return &layer_tensors[k];
    }
    return NULL;
}

/* A tensor that the forward pass does not know would be left out of the sum in silence. */
static enum tg_status check_unknown(const struct source *s, const struct le_params *p)
{
    static const char *const top[] = {
        "token_embd.weight", "output.weight", "output_norm.weight", "rope_freqs.weight",
        "per_layer_token_embd.weight", "per_layer_model_proj.weight", "per_layer_proj_norm.weight",
    };
    static const char *const media[] = { "v.", "a.", "mm." }; /* towers: not part of the text */
    for (size_t i = 0; i < le_gguf_n_tensors(s->g); i++) {
        struct tg_str name = le_gguf_tensor_at(s->g, i)->name;
        const struct layer_tensor *row = find_layer_tensor(p, name);
        bool known = row != NULL;
        bool stray = p->ple == 0 &&
                     (row ? row->when == WITH_PLE : has_prefix(name, "per_layer_"));
        for (size_t k = 0; k < sizeof(top) / sizeof(*top); k++)
            known = known || tg_str_eq(name, tg_str_of(top[k]));
        for (size_t k = 0; k < sizeof(media) / sizeof(*media); k++)
            known = known || has_prefix(name, media[k]);
        if (known && !stray)
            continue;
        const char *kind =
            memmem(name.p, name.n, "ffn_gate_inp", 12) ? " (mixture of experts)"
            : memmem(name.p, name.n, "attn_qkv", 8) ? " (fused query, key and value)"
            : stray ? " without key " ARCH ".embedding_length_per_layer_input" : "";
        return tg_fail(s->err, TG_UNSUPPORTED,
                       "%s: tensor %.*s is not understood by this version%s", le_gguf_path(s->g),
                       TG_FMT(name), kind);
    }
    return TG_OK;
}

enum tg_status le_params_read(const struct le_gguf *g, struct le_params *out, struct tg_error *err)
{
    struct source s = { g, err };
    struct le_params p = { 0 };
    enum tg_status st;
    if ((st = read_architecture(&s)) || (st = read_globals(&s, &p)) ||
        (st = read_layers(&s, &p)) || (st = check_unknown(&s, &p)) || (st = check_top(&s, &p)))
        return st;
    for (uint32_t i = 0; !st && i < p.n_layers; i++)
        st = check_layer(&s, &p, i);
    if (!st)
        *out = p;
    return st;
}

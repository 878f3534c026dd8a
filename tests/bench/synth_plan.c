/* The tensors of a model, in the order of the released files: what is where, how large, and with
 * which spread, so that activations keep the size that training gives them. */
#include <math.h>
#include <stdio.h>

#include "tests/bench/synth.h"

enum {
    HEAD_SLIDING = 256,
    HEAD_GLOBAL = 512,
    ALIGNMENT = 32,
    /* Size of what a branch adds to the stream, beside 1 of the embedding: a tied head would else
     * find little but the last token again. */
    BRANCH = 8,
};

/* Adding sticks at the first failure. */
struct adder {
    struct synth_plan *plan;
    struct tg_error *err;
    enum tg_status status;
    uint32_t layer;
    bool in_layer;
};

static uint64_t padded(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct synth_tensor *add(struct adder *a, const char *name, const char *suffix,
                                uint32_t type, uint32_t n_dims, const uint64_t *ne)
{
    struct synth_plan *plan = a->plan;
    uint32_t block, bytes;
    static struct synth_tensor none;
    if (a->status)
        return &none;
    if (plan->n_tensors == SYNTH_TENSORS_MAX || !le_type_block(type, &block, &bytes)) {
        a->status = tg_fail(a->err, TG_INTERNAL, "tensor %s: no room in the plan, or type %s "
                            "without a layout", name, le_type_name(type));
        return &none;
    }
    struct synth_tensor *t = &plan->tensor[plan->n_tensors++];
    *t = (struct synth_tensor){ .type = type, .n_dims = n_dims, .ne = { 1, 1, 1 } };
    if (a->in_layer)
        snprintf(t->name, sizeof(t->name), "blk.%u.%s.%s", a->layer, name, suffix);
    else
        snprintf(t->name, sizeof(t->name), "%s.%s", name, suffix);
    for (uint32_t i = 0; i < n_dims; i++)
        t->ne[i] = ne[i];
    t->nbytes = t->ne[0] / block * bytes * t->ne[1] * t->ne[2];
    plan->total += padded(t->nbytes);
    return t;
}

/* A matrix [out, in], or n of them; std 0: 1 / sqrt(in), which keeps a normed input's size. */
static void matrices(struct adder *a, const char *name, uint64_t in, uint64_t out, uint64_t n,
                     float std)
{
    const struct synth_plan *p = a->plan;
    uint32_t type = synth_mix_type(p->options->mix, name, a->layer, p->layers, in);
    const uint64_t ne[] = { in, out, n };
    struct synth_tensor *t = add(a, name, "weight", type, n > 0 ? 3 : 2, ne);
    t->fill = SYNTH_MATRIX;
    t->value = std > 0 ? std : 1.0f / sqrtf((float)in);
}

static void matrix(struct adder *a, const char *name, uint64_t in, uint64_t out)
{
    matrices(a, name, in, out, 0, 0);
}

static void vector(struct adder *a, const char *name, const char *suffix, uint64_t n, float value)
{
    struct synth_tensor *t = add(a, name, suffix, LE_TYPE_F32, 1, &n);
    t->fill = SYNTH_AROUND;
    t->value = value;
}

static void add_attention(struct adder *a, const struct synth_layer *l)
{
    const struct synth_options *o = a->plan->options;
    const struct synth_shape *s = o->shape;
    uint64_t q = (uint64_t)s->heads * l->head_dim, kv = (uint64_t)l->kv_heads * l->head_dim;
    /* Released files keep the keys and values that a sharing layer has no use for. */
    bool keys = l->owns_kv || !o->omit_unused, values = l->sliding || !s->values_are_keys;
    vector(a, "attn_norm", "weight", s->d, 1);
    if (o->fused_qkv && keys && values) {
        matrix(a, "attn_qkv", s->d, q + 2 * kv);
    } else {
        matrix(a, "attn_q", s->d, q);
        if (keys)
            matrix(a, "attn_k", s->d, kv);
        if (keys && values)
            matrix(a, "attn_v", s->d, kv);
    }
    /* Scores are not scaled: these norms carry it. A quarter each gives scores near 1. */
    vector(a, "attn_q_norm", "weight", l->head_dim, 0.25f);
    if (keys)
        vector(a, "attn_k_norm", "weight", l->head_dim, 0.25f);
    matrix(a, "attn_output", q, s->d);
    vector(a, "post_attention_norm", "weight", s->d, BRANCH);
}

static void add_experts(struct adder *a)
{
    const struct synth_options *o = a->plan->options;
    const struct synth_shape *s = o->shape;
    const uint64_t router[] = { s->d, s->experts };
    struct synth_tensor *t = add(a, "ffn_gate_inp", "weight", LE_TYPE_F32, 2, router);
    t->fill = SYNTH_MATRIX;
    t->value = 2; /* its input has length 1: logits with a spread of 2 */
    vector(a, "ffn_gate_inp", "scale", s->d, 1);
    vector(a, "pre_ffw_norm_2", "weight", s->d, 1);
    vector(a, "post_ffw_norm_1", "weight", s->d, 1);
    vector(a, "post_ffw_norm_2", "weight", s->d, 1);
    if (o->split_experts) {
        matrices(a, "ffn_gate_exps", s->d, s->expert_ff, s->experts, 0);
        matrices(a, "ffn_up_exps", s->d, s->expert_ff, s->experts, 0);
    } else {
        matrices(a, "ffn_gate_up_exps", s->d, 2 * (uint64_t)s->expert_ff, s->experts, 0);
    }
    matrices(a, "ffn_down_exps", s->expert_ff, s->d, s->experts, 0);
    vector(a, "ffn_down_exps", "scale", s->experts, 1);
}

static void add_layer(struct adder *a, uint32_t i)
{
    const struct synth_shape *s = a->plan->options->shape;
    const struct synth_layer *l = &a->plan->layer[i];
    a->layer = i;
    a->in_layer = true;
    add_attention(a, l);
    vector(a, "ffn_norm", "weight", s->d, 1);
    matrix(a, "ffn_gate", s->d, l->ff);
    matrix(a, "ffn_up", s->d, l->ff);
    matrix(a, "ffn_down", l->ff, s->d);
    if (s->experts > 0)
        add_experts(a);
    vector(a, "post_ffw_norm", "weight", s->d, BRANCH);
    if (s->ple > 0) {
        matrix(a, "inp_gate", s->d, s->ple);
        matrix(a, "proj", s->ple, s->d);
        vector(a, "post_norm", "weight", s->d, BRANCH);
    }
    vector(a, "layer_output_scale", "weight", 1, 0.9f);
    a->in_layer = false;
}

static void add_top(struct adder *a)
{
    const struct synth_plan *p = a->plan;
    const struct synth_shape *s = p->options->shape;
    uint64_t ple = (uint64_t)s->ple * p->layers, pairs = HEAD_GLOBAL / 2;
    matrix(a, "token_embd", s->d, p->vocab);
    if (p->options->untied)
        matrix(a, "output", s->d, p->vocab);
    vector(a, "output_norm", "weight", s->d, 3); /* logits with a spread of 3, as trained ones */
    add(a, "rope_freqs", "weight", LE_TYPE_F32, 1, &pairs)->fill = SYNTH_ROPE_FREQS;
    if (ple > 0) {
        matrices(a, "per_layer_token_embd", ple, p->vocab, 0, 1.0f / 16);
        matrix(a, "per_layer_model_proj", s->d, ple);
        vector(a, "per_layer_proj_norm", "weight", s->ple, 1);
    }
}

static void plan_layers(struct synth_plan *p)
{
    const struct synth_shape *s = p->options->shape;
    /* A cut model keeps a layer of each kind that owns its keys, for the others to read. */
    uint32_t most = p->layers > s->period ? p->layers - s->period : 0;
    p->shared = s->shared < most ? s->shared : most;
    for (uint32_t i = 0; i < p->layers; i++) {
        struct synth_layer *l = &p->layer[i];
        l->sliding = (i + 1) % s->period != 0 && i + 1 < p->layers;
        l->owns_kv = i < p->layers - p->shared;
        l->head_dim = l->sliding ? HEAD_SLIDING : HEAD_GLOBAL;
        l->kv_heads = l->sliding ? s->kv_sliding : s->kv_global;
        l->ff = s->ff * (s->wide && !l->owns_kv ? 2 : 1);
    }
}

static void place(struct synth_plan *p)
{
    uint64_t at = 0, most = p->options->split_max_bytes;
    uint32_t part = 0;
    for (uint32_t i = 0; i < p->n_tensors; i++) {
        struct synth_tensor *t = &p->tensor[i];
        if (most > 0 && at > 0 && at + t->nbytes > most) {
            part++;
            at = 0;
        }
        t->part = part;
        t->offset = at;
        at += padded(t->nbytes);
    }
    p->n_parts = part + 1;
}

enum tg_status synth_plan(const struct synth_options *options, uint32_t vocab,
                          struct synth_plan *plan, struct tg_error *err)
{
    const struct synth_shape *s = options->shape;
    *plan = (struct synth_plan){ .options = options, .vocab = vocab,
                                 .layers = options->layers ? options->layers : s->layers };
    if (plan->layers > s->layers)
        return tg_fail(err, TG_INVALID, "%u layers are asked for, %s has %u: ask for fewer",
                       plan->layers, s->name, s->layers);
    if (options->split_experts && s->experts == 0)
        return tg_fail(err, TG_INVALID, "%s has no experts to split: only 26b has", s->name);
    struct adder a = { .plan = plan, .err = err };
    plan_layers(plan);
    add_top(&a);
    for (uint32_t i = 0; i < plan->layers; i++)
        add_layer(&a, i);
    if (!a.status)
        place(plan);
    return a.status;
}

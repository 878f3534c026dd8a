#include "local_engine/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/gemma4.h"
#include "local_engine/params_tensors.h"

enum {
    /* Bounds the logits buffer: 64 MiB, which is 64 rows of the released vocabulary. */
    LOGITS_MAX = 1 << 24,
    NAME_BYTES = 64,
};

/* Loading: the first failure sticks, so that a run of loads is checked once. */
struct loader {
    struct le_model *m;
    const struct le_model_options *o;
    uint64_t done, total; /* bytes of weights */
    enum tg_status st;
    struct tg_error *err;
};

static void fail_with(struct loader *l, struct tg_error cause)
{
    enum tg_status code = cause.code ? cause.code : TG_NOMEM;
    l->st = tg_fail(l->err, code, "%s", cause.text[0] ? cause.text : "out of memory");
}

static struct le_buf *buffer(struct loader *l, size_t rows, size_t width, enum le_buf_kind kind)
{
    struct tg_error err = { 0 };
    struct le_buf *b = NULL;
    if (l->st || rows * width == 0)
        return NULL;
    if (!(b = l->m->ops->buf_new(l->m->be, rows * width, kind, &err)))
        fail_with(l, err);
    return b;
}

static struct le_weight *upload(struct loader *l, const struct le_tensor *t)
{
    struct tg_error err = { 0 };
    if (!l->st && l->m->stop && atomic_load(l->m->stop))
        l->st = tg_fail(l->err, TG_CANCELLED, "loading was cancelled");
    if (!l->st)
        l->st = le_gguf_check_unchanged(l->m->g, l->err);
    if (l->st)
        return NULL;
    struct le_weight *w = l->m->ops->weight_new(l->m->be, t, &err);
    if (!w)
        fail_with(l, err);
    l->done += t->nbytes;
    if (l->o->progress)
        l->o->progress(l->o->arg, l->done, l->total);
    return w;
}

static struct le_weight *weight(struct loader *l, const char *name)
{
    const struct le_tensor *t = le_gguf_tensor(l->m->g, name);
    return t ? upload(l, t) : NULL;
}

/* One of the matrices whose rows a tensor holds one after the other. */
static struct le_weight *part(struct loader *l, const char *name, uint64_t row0, uint64_t rows)
{
    const struct le_tensor *t = le_gguf_tensor(l->m->g, name);
    if (!t)
        return NULL;
    struct le_tensor view = le_tensor_rows(t, row0, rows);
    return upload(l, &view);
}

static struct le_buf *constant(struct loader *l, const float *values, size_t n)
{
    struct tg_error err = { 0 };
    if (l->st)
        return NULL;
    struct le_buf *b = l->m->ops->buf_const(l->m->be, values, n, &err);
    if (!b)
        fail_with(l, err);
    return b;
}

/* A vector of n values as a constant; every one must be a number. */
static struct le_buf *vector(struct loader *l, const char *name, size_t n)
{
    const struct le_tensor *t = le_gguf_tensor(l->m->g, name);
    if (l->st || !t)
        return NULL;
    float *values = tg_alloc(n * sizeof(float));
    if (!values) {
        l->st = tg_fail(l->err, TG_NOMEM, "out of memory");
        return NULL;
    }
    le_dequantise(t->type, t->data, values, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i])) {
            l->st = tg_fail(l->err, TG_INVALID, "%s: tensor %s: element %zu is no number",
                            le_gguf_tensor_path(l->m->g, t), name, i);
            break;
        }
    struct le_buf *b = constant(l, values, n);
    tg_free(values);
    return b;
}

static const char *layer_name(char *out, uint32_t i, const char *what)
{
    snprintf(out, NAME_BYTES, "blk.%u.%s", i, what);
    return out;
}

/* theta[i] = base^(-2i/hd) / factor[i] (RoPE, Su et al. 2021; "proportional" RoPE: the factors are
 * 1 or so large that nothing rotates, which becomes an exact 0). */
static struct le_buf *theta(struct loader *l, uint32_t head_dim, double base,
                            const struct le_tensor *factors)
{
    uint32_t n = head_dim / 2;
    float *values = tg_alloc(2 * n * sizeof(float)), *factor = values + n;
    struct le_buf *b = NULL;
    if (!values) {
        l->st = tg_fail(l->err, TG_NOMEM, "out of memory");
        return NULL;
    }
    if (factors)
        le_dequantise(factors->type, factors->data, factor, n);
    for (uint32_t i = 0; i < n; i++) {
        double f = factors ? (double)factor[i] : 1.0;
        if (!(f > 0)) {
            l->st = tg_fail(l->err, TG_INVALID,
                            "%s: tensor rope_freqs.weight: element %u is not positive",
                            le_gguf_path(l->m->g), i);
            break;
        }
        double v = pow(base, -2.0 * i / head_dim) / f;
        values[i] = v < 1e-20 ? 0.0f : (float)v;
    }
    b = constant(l, values, n);
    tg_free(values);
    return b;
}

static void load_thetas(struct loader *l)
{
    struct le_model *m = l->m;
    const struct le_params *p = &m->params;
    for (uint32_t i = 0; !l->st && i < p->n_layers; i++) {
        const struct le_layer_params *lp = &p->layer[i];
        if (lp->sliding && !m->theta_sliding)
            m->theta_sliding = theta(l, lp->head_dim, (double)p->rope_base_swa, NULL);
        else if (!lp->sliding && !m->theta_global)
            m->theta_global = theta(l, lp->head_dim, (double)p->rope_base,
                                    le_gguf_tensor(m->g, "rope_freqs.weight"));
    }
}

static struct le_kv kv_shape(const struct le_model *m, uint32_t i)
{
    const struct le_layer_params *lp = &m->params.layer[i];
    uint64_t ring = (uint64_t)m->params.window + LE_STEP_TOKENS_MAX;
    if (!lp->sliding || ring > m->context)
        ring = m->context;
    return (struct le_kv){ .kv_heads = lp->kv_heads, .head_dim = lp->head_dim,
                           .ring = (uint32_t)ring };
}

/* Before the weights: a context that does not fit is told at once. */
static void load_kv(struct loader *l)
{
    struct le_model *m = l->m;
    for (uint32_t i = 0; i < m->params.n_layers; i++) {
        if (!m->params.layer[i].owns_kv)
            continue;
        struct le_kv *kv = &m->layer[i].kv;
        *kv = kv_shape(m, i);
        size_t width = (size_t)kv->kv_heads * kv->head_dim;
        kv->k = buffer(l, kv->ring, width, LE_BUF_KV);
        kv->v = buffer(l, kv->ring, width, LE_BUF_KV);
    }
    struct tg_error cause = l->err ? *l->err : (struct tg_error){ 0 };
    if (l->st == TG_NOMEM)
        tg_fail(l->err, l->st, "no memory for the keys and values of a context of %u: set a "
                "smaller context (%.300s)", m->context, cause.text);
}

/* On layers that share another's cache, keys and values may be present, and are to be ignored. */
static void load_attention(struct loader *l, uint32_t i)
{
    struct le_layer *w = &l->m->layer[i];
    const struct le_layer_params *lp = &l->m->params.layer[i];
    uint64_t query = (uint64_t)l->m->params.n_heads * lp->head_dim;
    uint64_t keys = (uint64_t)lp->kv_heads * lp->head_dim;
    char name[NAME_BYTES];
    if (lp->fused_qkv) {
        layer_name(name, i, "attn_qkv.weight");
        w->q = part(l, name, 0, query);
        w->k = lp->owns_kv ? part(l, name, query, keys) : NULL;
        w->v = lp->owns_kv && lp->values ? part(l, name, query + keys, keys) : NULL;
    } else {
        w->q = weight(l, layer_name(name, i, "attn_q.weight"));
        w->k = lp->owns_kv ? weight(l, layer_name(name, i, "attn_k.weight")) : NULL;
        w->v = lp->owns_kv ? weight(l, layer_name(name, i, "attn_v.weight")) : NULL;
    }
    w->attn_norm = vector(l, layer_name(name, i, "attn_norm.weight"), l->m->params.n_embd);
    w->q_norm = vector(l, layer_name(name, i, "attn_q_norm.weight"), lp->head_dim);
    if (lp->owns_kv)
        w->k_norm = vector(l, layer_name(name, i, "attn_k_norm.weight"), lp->head_dim);
    w->o = weight(l, layer_name(name, i, "attn_output.weight"));
    w->post_attn_norm =
        vector(l, layer_name(name, i, "post_attention_norm.weight"), l->m->params.n_embd);
}

static void load_experts(struct loader *l, uint32_t i)
{
    struct le_layer *w = &l->m->layer[i];
    uint32_t n_embd = l->m->params.n_embd, ff = l->m->params.layer[i].expert_ff;
    char name[NAME_BYTES];
    w->router = weight(l, layer_name(name, i, "ffn_gate_inp.weight"));
    w->router_scale = vector(l, layer_name(name, i, "ffn_gate_inp.scale"), n_embd);
    w->dense_post_norm = vector(l, layer_name(name, i, "post_ffw_norm_1.weight"), n_embd);
    w->expert_norm = vector(l, layer_name(name, i, "pre_ffw_norm_2.weight"), n_embd);
    w->expert_post_norm = vector(l, layer_name(name, i, "post_ffw_norm_2.weight"), n_embd);
    w->expert_scale =
        vector(l, layer_name(name, i, "ffn_down_exps.scale"), l->m->params.n_experts);
    if (l->m->params.layer[i].fused_gate_up) {
        layer_name(name, i, "ffn_gate_up_exps.weight");
        w->gate_exps = part(l, name, 0, ff);
        w->up_exps = part(l, name, ff, ff);
    } else {
        w->gate_exps = weight(l, layer_name(name, i, "ffn_gate_exps.weight"));
        w->up_exps = weight(l, layer_name(name, i, "ffn_up_exps.weight"));
    }
    w->down_exps = weight(l, layer_name(name, i, "ffn_down_exps.weight"));
}

static void load_layer(struct loader *l, uint32_t i)
{
    struct le_model *m = l->m;
    struct le_layer *w = &m->layer[i];
    uint32_t n_embd = m->params.n_embd;
    char name[NAME_BYTES];
    load_attention(l, i);
    w->ffn_norm = vector(l, layer_name(name, i, "ffn_norm.weight"), n_embd);
    w->gate = weight(l, layer_name(name, i, "ffn_gate.weight"));
    w->up = weight(l, layer_name(name, i, "ffn_up.weight"));
    w->down = weight(l, layer_name(name, i, "ffn_down.weight"));
    w->post_ffn_norm = vector(l, layer_name(name, i, "post_ffw_norm.weight"), n_embd);
    if (m->params.layer[i].moe)
        load_experts(l, i);
    if (m->params.ple > 0) {
        w->ple_gate = weight(l, layer_name(name, i, "inp_gate.weight"));
        w->ple_proj = weight(l, layer_name(name, i, "proj.weight"));
        w->ple_norm = vector(l, layer_name(name, i, "post_norm.weight"), n_embd);
    }
    w->out_scale = 1.0f;
    const struct le_tensor *scale =
        le_gguf_tensor(m->g, layer_name(name, i, "layer_output_scale.weight"));
    if (scale)
        le_dequantise(scale->type, scale->data, &w->out_scale, 1);
    if (!l->st && !isfinite(w->out_scale))
        l->st = tg_fail(l->err, TG_INVALID, "%s: tensor %s: element 0 is no number",
                        le_gguf_path(m->g), name);
}

static void load_top(struct loader *l)
{
    struct le_model *m = l->m;
    m->embd = weight(l, "token_embd.weight");
    m->head = le_gguf_tensor(m->g, "output.weight") ? weight(l, "output.weight") : m->embd;
    m->output_norm = vector(l, "output_norm.weight", m->params.n_embd);
    if (m->params.ple > 0) {
        m->ple_table = le_gguf_tensor(m->g, "per_layer_token_embd.weight");
        m->ple_context = weight(l, "per_layer_model_proj.weight");
        m->ple_context_norm = vector(l, "per_layer_proj_norm.weight", m->params.ple);
    }
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void make_activations(struct loader *l)
{
    struct le_model *m = l->m;
    const struct le_params *p = &m->params;
    size_t rows = LE_STEP_TOKENS_MAX, q = 0, kv = 0, ff = 0, ple = (size_t)p->ple * p->n_layers;
    size_t chosen = rows * p->n_used, expert_ff = 0;
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct le_layer_params *lp = &p->layer[i];
        q = larger(q, (size_t)p->n_heads * lp->head_dim);
        kv = larger(kv, (size_t)lp->kv_heads * lp->head_dim);
        ff = larger(ff, lp->ff);
        expert_ff = larger(expert_ff, lp->expert_ff);
    }
    m->act = (struct le_activations){
        .x = buffer(l, rows, p->n_embd, LE_BUF_DEVICE),
        .x_out = buffer(l, m->outputs_max, p->n_embd, LE_BUF_DEVICE),
        .h = buffer(l, rows, p->n_embd, LE_BUF_DEVICE),
        .h_out = buffer(l, m->outputs_max, p->n_embd, LE_BUF_DEVICE),
        .t = buffer(l, rows, p->n_embd, LE_BUF_DEVICE),
        .q = buffer(l, rows, q, LE_BUF_DEVICE),
        .attn = buffer(l, rows, q, LE_BUF_DEVICE),
        .k = buffer(l, rows, kv, LE_BUF_DEVICE),
        .v = buffer(l, rows, kv, LE_BUF_DEVICE),
        .gate = buffer(l, rows, ff, LE_BUF_DEVICE),
        .up = buffer(l, rows, ff, LE_BUF_DEVICE),
        .route = buffer(l, rows, p->n_experts, LE_BUF_DEVICE),
        .ids = buffer(l, rows, p->n_used, LE_BUF_DEVICE),
        .route_weights = buffer(l, rows, p->n_used, LE_BUF_DEVICE),
        .gate_exps = buffer(l, chosen, expert_ff, LE_BUF_DEVICE),
        .up_exps = buffer(l, chosen, expert_ff, LE_BUF_DEVICE),
        .down_exps = buffer(l, chosen, p->n_embd, LE_BUF_DEVICE),
        .experts = buffer(l, p->n_used > 0 ? rows : 0, p->n_embd, LE_BUF_DEVICE),
        .ple_token = buffer(l, rows, ple, LE_BUF_INPUT),
        .ple_in = buffer(l, rows, ple, LE_BUF_DEVICE),
        .ple_out = buffer(l, m->outputs_max, ple, LE_BUF_DEVICE),
        .ple_gate = buffer(l, rows, p->ple, LE_BUF_DEVICE),
        .logits = buffer(l, m->outputs_max, p->n_vocab, LE_BUF_OUTPUT),
    };
}

static void load_weights(struct loader *l)
{
    uint32_t n = l->m->params.n_layers;
    for (size_t i = 0; i < le_gguf_n_tensors(l->m->g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(l->m->g, i);
        l->total += le_params_is_weight(&l->m->params, t) ? t->nbytes : 0;
    }
    load_top(l);
    load_thetas(l);
    for (uint32_t i = 0; !l->st && i < n; i++)
        load_layer(l, i);
    if (!l->st && l->done < l->total && l->o->progress) /* parts of fused ones were not wanted */
        l->o->progress(l->o->arg, l->total, l->total);
}

enum tg_status le_model_open(const struct le_gguf *g, const struct le_ops *ops,
                             struct le_backend *be, const struct le_model_options *options,
                             struct le_model **out, struct tg_error *err)
{
    *out = NULL;
    if (options->context == 0)
        return tg_fail(err, TG_INVALID, "the context must be at least 1");
    struct le_model *m = tg_calloc(1, sizeof(*m));
    if (!m)
        return tg_fail(err, TG_NOMEM, "out of memory");
    m->g = g;
    m->ops = ops;
    m->be = be;
    m->context = options->context;
    m->stop = options->stop;
    struct loader l = { .m = m, .o = options, .err = err };
    l.st = le_params_read(g, &m->params, err);
    if (!l.st) {
        uint32_t outputs = LOGITS_MAX / m->params.n_vocab;
        m->outputs_max = outputs > LE_STEP_TOKENS_MAX ? LE_STEP_TOKENS_MAX : outputs;
        load_kv(&l);
        make_activations(&l);
        load_weights(&l);
    }
    if (l.st) {
        le_model_close(m);
        return l.st;
    }
    *out = m;
    return TG_OK;
}

void le_model_close(struct le_model *m)
{
    tg_free(m); /* buffers and weights belong to the backend */
}

const struct le_params *le_model_params(const struct le_model *m)
{
    return &m->params;
}

uint32_t le_model_outputs_max(const struct le_model *m)
{
    return m->outputs_max;
}

static enum tg_status check_step(const struct le_model *m, const int32_t *ids, uint32_t n,
                                 uint32_t pos, const uint32_t *out, uint32_t n_out,
                                 struct tg_error *err)
{
    if (n == 0 || n > LE_STEP_TOKENS_MAX || n_out > n)
        return tg_fail(err, TG_INVALID, "a step of %u tokens with %u outputs", n, n_out);
    if (n_out > m->outputs_max)
        return tg_fail(err, TG_LIMIT, "%u outputs in one step; at most %u", n_out, m->outputs_max);
    if (pos > m->context || n > m->context - pos)
        return tg_fail(err, TG_LIMIT, "position %" PRIu64 " is beyond the context of %u",
                       (uint64_t)pos + n - 1, m->context);
    /* A sliding ring still holds the window of a position only this far behind its newest cell. */
    bool reachable = pos == 0 || (uint64_t)pos + LE_STEP_TOKENS_MAX >= m->highest;
    if (pos > m->n_cached || !reachable)
        return tg_fail(err, TG_INVALID, "a step at position %u does not continue a sequence of %u",
                       pos, m->n_cached);
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= m->params.n_vocab)
            return tg_fail(err, TG_INVALID, "token id %d is not in the vocabulary of %u", ids[i],
                           m->params.n_vocab);
    for (uint32_t r = 0; r < n_out; r++)
        if (out[r] >= n || (r > 0 && out[r] <= out[r - 1]))
            return tg_fail(err, TG_INVALID, "the list of outputs is not ascending");
    return TG_OK;
}

/* The token part of the per-layer inputs: rows of a table that stays in the mapped file. */
static void gather_ple(const struct le_model *m, const int32_t *ids, uint32_t n)
{
    const struct le_tensor *t = m->ple_table;
    float *dst = m->ops->host(m->act.ple_token), scale = sqrtf((float)m->params.ple);
    size_t width = (size_t)t->ne[0], row_bytes = (size_t)(t->nbytes / t->ne[1]);
    for (uint32_t r = 0; r < n; r++, dst += width) {
        le_dequantise(t->type, t->data + (size_t)ids[r] * row_bytes, dst, width);
        for (size_t i = 0; i < width; i++)
            dst[i] *= scale;
    }
}

static enum tg_status check_logits(struct le_model *m, uint32_t n_out, struct tg_error *err)
{
    for (uint32_t r = 0; r < n_out; r++) {
        const float *logits = le_model_logits(m, r);
        for (uint32_t i = 0; i < m->params.n_vocab; i++)
            if (!isfinite(logits[i]))
                return tg_fail(err, TG_INTERNAL,
                               "the logit of token %u is not finite; the file may be damaged "
                               "(compare its SHA-256, or fetch it again)", i);
    }
    return TG_OK;
}

enum tg_status le_model_step(struct le_model *m, const int32_t *ids, uint32_t n, uint32_t pos,
                             const uint32_t *out, uint32_t n_out, struct tg_error *err)
{
    m->n_outputs = 0;
    enum tg_status st = check_step(m, ids, n, pos, out, n_out, err);
    if (!st)
        st = le_gguf_check_unchanged(m->g, err); /* steps read its pages */
    if (st)
        return st;
    for (uint32_t i = 0; i < n; i++)
        m->pos[i] = (int32_t)(pos + i);
    if (m->params.ple > 0)
        gather_ple(m, ids, n);
    struct le_step step = { .n_tokens = n, .n_outputs = n_out, .id = ids, .pos = m->pos,
                            .out = out, .stop = m->stop };
    /* Decoding has a class of its own; prompts of any length share the other. */
    if (m->ops->begin(m->be, n == 1 ? 1 : LE_STEP_TOKENS_MAX, n == 1 ? 1 : m->outputs_max))
        le_gemma4_emit(m);
    m->n_cached = pos;
    m->highest = pos == 0 || m->highest < pos + n ? pos + n : m->highest;
    if ((st = m->ops->run(m->be, &step, err)) || (st = check_logits(m, n_out, err)))
        return st;
    m->n_cached = pos + n;
    m->n_outputs = n_out;
    return TG_OK;
}

float *le_model_logits(struct le_model *m, uint32_t r)
{
    return m->ops->host(m->act.logits) + (size_t)r * m->params.n_vocab;
}

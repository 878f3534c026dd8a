/* The forward pass of Gemma 4, once, over the op table. x is the residual stream; the comments give
 * each stage as a formula. Up to and including the last layer that owns a KV cache every token is
 * needed (its keys and values at least); what follows is computed for output rows only. */
#include "local_engine/gemma4.h"

#include <math.h>
#include <stddef.h>

/* Which rows the pass works on now, and where they live. */
struct stream {
    struct le_buf *x, *h, *ple;
    enum le_rows rows;
};

static void norm(const struct le_model *m, struct le_buf *dst, struct le_buf *src, struct le_buf *w,
                 uint32_t width, uint32_t per_row, enum le_rows rows)
{
    m->ops->rms(m->be, &(struct le_rms){ .dst = dst, .src = src, .w = w, .width = width,
                                         .per_row = per_row, .eps = m->params.rms_eps,
                                         .src_scale = 1.0f, .dst_scale = 1.0f, .rows = rows });
}

/* x = (x + rms(t; w)) * scale */
static void add_normed(const struct le_model *m, const struct stream *s, struct le_buf *w,
                       float scale)
{
    m->ops->rms(m->be, &(struct le_rms){ .dst = s->x, .src = m->act.t, .w = w, .resid = s->x,
                                         .width = m->params.n_embd, .per_row = 1,
                                         .eps = m->params.rms_eps, .src_scale = 1.0f,
                                         .dst_scale = scale, .rows = s->rows });
}

static void rotate(const struct le_model *m, const struct le_layer_params *l, struct le_buf *x,
                   uint32_t heads, enum le_rows rows)
{
    m->ops->rope(m->be,
                 &(struct le_rope){ .x = x,
                                    .theta = l->sliding ? m->theta_sliding : m->theta_global,
                                    .heads = heads, .head_dim = l->head_dim, .rows = rows });
}

/* x = E[id] sqrt(n_embd). Per-layer inputs p = (16 P[id] + rms(C x / sqrt(n_embd); w)) / sqrt(2),
 * per slice of one layer; 16 = sqrt(ple), applied where the host gathers P[id]. */
static void embed(const struct le_model *m)
{
    const struct le_params *p = &m->params;
    const struct le_activations *a = &m->act;
    m->ops->embed(m->be, a->x, m->embd, sqrtf((float)p->n_embd));
    if (p->ple == 0)
        return;
    m->ops->matmul(m->be, a->ple_in, m->ple_context, a->x, LE_ROWS_TOKENS);
    m->ops->rms(m->be, &(struct le_rms){ .dst = a->ple_in, .src = a->ple_in,
                                         .w = m->ple_context_norm, .resid = a->ple_token,
                                         .width = p->ple, .per_row = p->n_layers,
                                         .eps = p->rms_eps,
                                         .src_scale = 1.0f / sqrtf((float)p->n_embd),
                                         .dst_scale = 1.0f / sqrtf(2.0f),
                                         .rows = LE_ROWS_TOKENS });
}

/* k0 = Wk h; v0 = Wv h, or k0 where there is no Wv; k = RoPE(rms(k0; w)), v = rms(v0), per head. */
static void keys_and_values(const struct le_model *m, const struct le_layer *w,
                            const struct le_layer_params *l, struct le_buf *h)
{
    const struct le_activations *a = &m->act;
    struct le_buf *v0 = a->k;
    m->ops->matmul(m->be, a->k, w->k, h, LE_ROWS_TOKENS);
    if (w->v) {
        v0 = a->v;
        m->ops->matmul(m->be, v0, w->v, h, LE_ROWS_TOKENS);
    }
    norm(m, a->v, v0, NULL, l->head_dim, l->kv_heads, LE_ROWS_TOKENS);
    norm(m, a->k, a->k, w->k_norm, l->head_dim, l->kv_heads, LE_ROWS_TOKENS);
    rotate(m, l, a->k, l->kv_heads, LE_ROWS_TOKENS);
    m->ops->kv_store(m->be, &w->kv, a->k, a->v);
}

/* From here on only output rows are wanted. */
static void narrow(const struct le_model *m, struct stream *s)
{
    const struct le_params *p = &m->params;
    const struct le_activations *a = &m->act;
    m->ops->gather(m->be, a->x_out, s->x, p->n_embd);
    m->ops->gather(m->be, a->h_out, s->h, p->n_embd);
    if (p->ple > 0)
        m->ops->gather(m->be, a->ple_out, s->ple, p->ple * p->n_layers);
    *s = (struct stream){ .x = a->x_out, .h = a->h_out, .ple = a->ple_out,
                          .rows = LE_ROWS_OUTPUTS };
}

/* q = RoPE(rms(Wq h; w)) per head; x += rms(Wo softmax(q k) v; w). */
static void attend(const struct le_model *m, const struct le_layer *w,
                   const struct le_layer_params *l, const struct stream *s)
{
    const struct le_activations *a = &m->act;
    uint32_t heads = m->params.n_heads;
    m->ops->matmul(m->be, a->q, w->q, s->h, s->rows);
    norm(m, a->q, a->q, w->q_norm, l->head_dim, heads, s->rows);
    rotate(m, l, a->q, heads, s->rows);
    m->ops->attention(m->be, &(struct le_attention){ .dst = a->attn, .q = a->q,
                                                     .kv = m->layer[l->donor].kv, .heads = heads,
                                                     .window = l->sliding ? m->params.window : 0,
                                                     .rows = s->rows });
    m->ops->matmul(m->be, a->t, w->o, a->attn, s->rows);
    add_normed(m, s, w->post_attn_norm, 1.0f);
}

static void gelu_times(const struct le_model *m, struct le_buf *gate, struct le_buf *up,
                       uint32_t width, enum le_rows rows)
{
    m->ops->geglu(m->be, &(struct le_geglu){ .dst = gate, .gate = gate, .up = up, .width = width,
                                             .up_stride = width, .rows = rows });
}

/* Router: l = Wr (rms(x) * s / sqrt(n_embd)), from the stream itself; the chosen experts' weights
 * w_e are as struct le_route says, with the file's scale of each expert.
 * u = rms(x; w2); t = rms(t; v1) + rms(sum of w_e Wdown_e (gelu(Wgate_e u) * Wup_e u); v2), where
 * t was the dense branch. */
static void experts(const struct le_model *m, const struct le_layer *w,
                    const struct le_layer_params *l, const struct stream *s)
{
    const struct le_activations *a = &m->act;
    const struct le_params *p = &m->params;
    struct le_rms router = { .dst = s->h, .src = s->x, .w = w->router_scale, .width = p->n_embd,
                             .per_row = 1, .eps = p->rms_eps, .src_scale = 1.0f,
                             .dst_scale = 1.0f / sqrtf((float)p->n_embd), .rows = s->rows };
    struct le_expert_matmul e = { .dst = a->gate_exps, .src = s->h, .ids = a->ids,
                                  .w = w->gate_exps, .used = p->n_used, .rows = s->rows };
    norm(m, a->t, a->t, w->dense_post_norm, p->n_embd, 1, s->rows);
    m->ops->rms(m->be, &router);
    m->ops->matmul(m->be, a->route, w->router, s->h, s->rows);
    m->ops->route(m->be, &(struct le_route){ .ids = a->ids, .weights = a->route_weights,
                                             .logits = a->route, .scale = w->expert_scale,
                                             .n_experts = p->n_experts, .used = p->n_used,
                                             .rows = s->rows });
    norm(m, s->h, s->x, w->expert_norm, p->n_embd, 1, s->rows);
    m->ops->expert_matmul(m->be, &e);
    e.dst = a->up_exps;
    e.w = w->up_exps;
    m->ops->expert_matmul(m->be, &e);
    gelu_times(m, a->gate_exps, a->up_exps, l->expert_ff * p->n_used, s->rows);
    e = (struct le_expert_matmul){ .dst = a->down_exps, .src = a->gate_exps, .ids = a->ids,
                                   .w = w->down_exps, .used = p->n_used, .per_expert = true,
                                   .rows = s->rows };
    m->ops->expert_matmul(m->be, &e);
    m->ops->expert_sum(m->be, &(struct le_expert_sum){ .dst = a->experts, .src = a->down_exps,
                                                       .weights = a->route_weights,
                                                       .width = p->n_embd, .used = p->n_used,
                                                       .rows = s->rows });
    m->ops->rms(m->be, &(struct le_rms){ .dst = a->t, .src = a->experts, .w = w->expert_post_norm,
                                         .resid = a->t, .width = p->n_embd, .per_row = 1,
                                         .eps = p->rms_eps, .src_scale = 1.0f, .dst_scale = 1.0f,
                                         .rows = s->rows });
}

/* u = rms(x; w); t = Wdown (gelu(Wgate u) * Wup u), with experts more (above); x += rms(t; v). The
 * layer's output scale multiplies the whole stream after its last sum, which is this one where
 * there is no per-layer input. */
static void feed_forward(const struct le_model *m, const struct le_layer *w,
                         const struct le_layer_params *l, const struct stream *s)
{
    const struct le_activations *a = &m->act;
    norm(m, s->h, s->x, w->ffn_norm, m->params.n_embd, 1, s->rows);
    m->ops->matmul(m->be, a->gate, w->gate, s->h, s->rows);
    m->ops->matmul(m->be, a->up, w->up, s->h, s->rows);
    gelu_times(m, a->gate, a->up, l->ff, s->rows);
    m->ops->matmul(m->be, a->t, w->down, a->gate, s->rows);
    if (l->moe)
        experts(m, w, l, s);
    add_normed(m, s, w->post_ffn_norm, m->params.ple > 0 ? 1.0f : w->out_scale);
}

/* x = (x + rms(Wproj (gelu(Wgate x) * p[layer]); w)) * scale */
static void per_layer_input(const struct le_model *m, uint32_t layer, const struct stream *s)
{
    const struct le_activations *a = &m->act;
    const struct le_layer *w = &m->layer[layer];
    uint32_t ple = m->params.ple;
    m->ops->matmul(m->be, a->ple_gate, w->ple_gate, s->x, s->rows);
    m->ops->geglu(m->be, &(struct le_geglu){ .dst = a->ple_gate, .gate = a->ple_gate,
                                             .up = s->ple, .width = ple,
                                             .up_stride = ple * m->params.n_layers,
                                             .up_offset = ple * layer, .rows = s->rows });
    m->ops->matmul(m->be, a->t, w->ple_proj, a->ple_gate, s->rows);
    add_normed(m, s, w->ple_norm, w->out_scale);
}

/* logits = cap tanh(E rms(x; w) / cap) */
static void head(const struct le_model *m, const struct stream *s)
{
    const struct le_params *p = &m->params;
    norm(m, s->h, s->x, m->output_norm, p->n_embd, 1, s->rows);
    m->ops->matmul(m->be, m->act.logits, m->head, s->h, s->rows);
    if (p->softcap > 0.0f)
        m->ops->softcap(m->be, m->act.logits, p->n_vocab, p->softcap, s->rows);
}

void le_gemma4_emit(const struct le_model *m)
{
    const struct le_params *p = &m->params;
    struct stream s = { .x = m->act.x, .h = m->act.h, .ple = m->act.ple_in,
                        .rows = LE_ROWS_TOKENS };
    uint32_t last_own = 0;
    for (uint32_t i = 0; i < p->n_layers; i++)
        last_own = p->layer[i].owns_kv ? i : last_own;
    embed(m);
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct le_layer_params *l = &p->layer[i];
        const struct le_layer *w = &m->layer[i];
        norm(m, s.h, s.x, w->attn_norm, p->n_embd, 1, s.rows);
        if (l->owns_kv)
            keys_and_values(m, w, l, s.h);
        if (i == last_own)
            narrow(m, &s);
        attend(m, w, l, &s);
        feed_forward(m, w, l, &s);
        if (p->ple > 0)
            per_layer_input(m, i, &s);
    }
    head(m, &s);
}

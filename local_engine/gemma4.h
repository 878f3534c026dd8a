/* What model.c loads and gemma4.c runs. Private to these two. */
#ifndef LE_GEMMA4_H
#define LE_GEMMA4_H

#include "local_engine/model.h"

struct le_layer {
    struct le_weight *q, *o;
    struct le_weight *k, *v; /* own-KV layers; v NULL there: V is the raw K projection */
    struct le_weight *gate, *up, *down;
    struct le_weight *router, *gate_exps, *up_exps, *down_exps; /* layers with experts */
    struct le_weight *ple_gate, *ple_proj;
    struct le_buf *attn_norm, *q_norm, *k_norm, *post_attn_norm;
    struct le_buf *ffn_norm, *post_ffn_norm, *ple_norm;
    struct le_buf *router_scale, *expert_scale; /* [n_embd], [n_experts] */
    struct le_buf *dense_post_norm, *expert_norm, *expert_post_norm;
    float out_scale;
    struct le_kv kv; /* own-KV layers */
};

/* Activations, each with a row per token of the widest step. The tail of the pass works on output
 * rows: x_out, ple_out take over from x, ple_in, and the rest is used for both. */
struct le_activations {
    struct le_buf *x, *x_out, *h, *h_out, *t;
    struct le_buf *q, *attn, *k, *v;
    struct le_buf *gate, *up;
    struct le_buf *route, *ids, *route_weights; /* logits of all experts; those chosen */
    struct le_buf *gate_exps, *up_exps, *down_exps, *experts; /* a row a choice; their sum */
    struct le_buf *ple_token; /* INPUT: the token part of the per-layer inputs, scaled */
    struct le_buf *ple_in, *ple_out, *ple_gate;
    struct le_buf *logits; /* OUTPUT [outputs_max, n_vocab] */
};

struct le_model {
    const struct le_gguf *g;
    const struct le_ops *ops;
    struct le_backend *be;
    struct le_params params;
    uint32_t context, outputs_max;
    const atomic_bool *stop; /* or NULL */
    uint32_t n_cached; /* positions 0 .. n_cached-1 are in the cache */
    uint32_t highest;  /* one above the highest position written since the last start at 0 */
    struct le_weight *embd, *head, *ple_context;
    const struct le_tensor *ple_table;
    struct le_buf *output_norm, *ple_context_norm;
    struct le_buf *theta_global, *theta_sliding;
    struct le_layer layer[LE_LAYERS_MAX];
    struct le_activations act;
    int32_t pos[LE_STEP_TOKENS_MAX];
    uint32_t n_outputs; /* of the last step */
};

/* Emits the whole forward pass (between ops->begin and ops->run). */
void le_gemma4_emit(const struct le_model *m);

#endif

#include "local_engine/params_tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 96, VOCAB_MAX = 1 << 22 };

struct check {
    const struct le_gguf *g;
    struct le_params *p;
    struct tg_error *err;
};

/* What a layer needs a tensor for. */
enum part {
    ALWAYS,
    OPTIONAL,
    WITH_QUERY, /* unless it is fused with the keys and values */
    WITH_KEYS,  /* on layers with a cache of their own; where that is another's: ignored */
    WITH_KEY_NORM, /* the same, fused or not */
    WITH_VALUES, /* as keys; global layers may go without: their raw keys are the values */
    WITH_QKV,    /* the fused form */
    WITH_PLE,
    WITH_MOE,
    WITH_GATE_UP, /* experts' gate and up fused */
    WITH_SPLIT,   /* or not */
};

static const struct layer_tensor {
    struct le_layer_tensor t;
    enum part part;
} layer_tensors[] = {
    { { "attn_norm.weight", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, ALWAYS },
    { { "attn_qkv.weight", LE_DIM_EMBD, LE_DIM_QKV, LE_DIM_ONE }, WITH_QKV },
    { { "attn_q.weight", LE_DIM_EMBD, LE_DIM_QUERY, LE_DIM_ONE }, WITH_QUERY },
    { { "attn_q_norm.weight", LE_DIM_HEAD, LE_DIM_ONE, LE_DIM_ONE }, ALWAYS },
    { { "attn_k.weight", LE_DIM_EMBD, LE_DIM_KEYS, LE_DIM_ONE }, WITH_KEYS },
    { { "attn_k_norm.weight", LE_DIM_HEAD, LE_DIM_ONE, LE_DIM_ONE }, WITH_KEY_NORM },
    { { "attn_v.weight", LE_DIM_EMBD, LE_DIM_KEYS, LE_DIM_ONE }, WITH_VALUES },
    { { "attn_output.weight", LE_DIM_QUERY, LE_DIM_EMBD, LE_DIM_ONE }, ALWAYS },
    { { "post_attention_norm.weight", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, ALWAYS },
    { { "ffn_norm.weight", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, ALWAYS },
    { { "ffn_gate.weight", LE_DIM_EMBD, LE_DIM_FEED, LE_DIM_ONE }, ALWAYS },
    { { "ffn_up.weight", LE_DIM_EMBD, LE_DIM_FEED, LE_DIM_ONE }, ALWAYS },
    { { "ffn_down.weight", LE_DIM_FEED, LE_DIM_EMBD, LE_DIM_ONE }, ALWAYS },
    { { "post_ffw_norm.weight", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, ALWAYS },
    { { "layer_output_scale.weight", LE_DIM_ONE, LE_DIM_ONE, LE_DIM_ONE }, OPTIONAL },
    { { "inp_gate.weight", LE_DIM_EMBD, LE_DIM_PLE, LE_DIM_ONE }, WITH_PLE },
    { { "proj.weight", LE_DIM_PLE, LE_DIM_EMBD, LE_DIM_ONE }, WITH_PLE },
    { { "post_norm.weight", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, WITH_PLE },
    { { "ffn_gate_inp.weight", LE_DIM_EMBD, LE_DIM_EXPERTS, LE_DIM_ONE }, WITH_MOE },
    { { "ffn_gate_inp.scale", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, WITH_MOE },
    { { "pre_ffw_norm_2.weight", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, WITH_MOE },
    { { "post_ffw_norm_1.weight", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, WITH_MOE },
    { { "post_ffw_norm_2.weight", LE_DIM_EMBD, LE_DIM_ONE, LE_DIM_ONE }, WITH_MOE },
    { { "ffn_gate_up_exps.weight", LE_DIM_EMBD, LE_DIM_GATE_UP, LE_DIM_EXPERTS }, WITH_GATE_UP },
    { { "ffn_gate_exps.weight", LE_DIM_EMBD, LE_DIM_EXPERT_FEED, LE_DIM_EXPERTS }, WITH_SPLIT },
    { { "ffn_up_exps.weight", LE_DIM_EMBD, LE_DIM_EXPERT_FEED, LE_DIM_EXPERTS }, WITH_SPLIT },
    { { "ffn_down_exps.weight", LE_DIM_EXPERT_FEED, LE_DIM_EMBD, LE_DIM_EXPERTS }, WITH_MOE },
    { { "ffn_down_exps.scale", LE_DIM_EXPERTS, LE_DIM_ONE, LE_DIM_ONE }, WITH_MOE },
};

enum { N_LAYER_TENSORS = sizeof(layer_tensors) / sizeof(*layer_tensors) };

enum use {
    NEEDED,
    ALLOWED,
    IGNORED,
    STRAY, /* would be left out of the sum in silence */
};

static enum use use_of(const struct le_params *p, const struct le_layer_params *l, enum part part)
{
    switch (part) {
    case ALWAYS: return NEEDED;
    case OPTIONAL: return ALLOWED;
    case WITH_QUERY: return l->fused_qkv ? STRAY : NEEDED;
    case WITH_KEYS: return !l->owns_kv ? IGNORED : l->fused_qkv ? STRAY : NEEDED;
    case WITH_KEY_NORM: return l->owns_kv ? NEEDED : IGNORED;
    case WITH_VALUES:
        return !l->owns_kv ? IGNORED : l->fused_qkv ? STRAY : l->sliding ? NEEDED : ALLOWED;
    case WITH_QKV: return l->fused_qkv ? NEEDED : ALLOWED; /* absent then */
    case WITH_PLE: return p->ple > 0 ? NEEDED : STRAY;
    case WITH_MOE: return l->moe ? NEEDED : STRAY;
    case WITH_GATE_UP: return !l->moe ? STRAY : l->fused_gate_up ? NEEDED : ALLOWED;
    case WITH_SPLIT: return !l->moe || l->fused_gate_up ? STRAY : NEEDED;
    }
    return STRAY;
}

static const struct le_tensor *layer_tensor(const struct check *c, uint32_t i, const char *name)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof(full), "blk.%u.%s", i, name);
    return le_gguf_tensor(c->g, full);
}

/* What the layers' tensors tell by being there. */
static enum tg_status find_forms(const struct check *c)
{
    bool any = false;
    if (le_gguf_n_tensors(c->g) == 0)
        return tg_fail(c->err, TG_INVALID, "%s: the file has no tensors: a vocabulary without its "
                       "model", le_gguf_path(c->g));
    for (uint32_t i = 0; i < c->p->n_layers; i++) {
        struct le_layer_params *l = &c->p->layer[i];
        const struct le_tensor *qkv = layer_tensor(c, i, "attn_qkv.weight");
        uint64_t keys = (uint64_t)l->kv_heads * l->head_dim;
        uint64_t query = (uint64_t)c->p->n_heads * l->head_dim;
        l->fused_qkv = qkv != NULL;
        /* On global layers the fused form may lack values as the split one does. */
        l->values = qkv ? l->sliding || qkv->ne[1] != query + keys
                        : layer_tensor(c, i, "attn_v.weight") != NULL;
        l->moe = layer_tensor(c, i, "ffn_gate_inp.weight") != NULL;
        l->fused_gate_up = l->moe && layer_tensor(c, i, "ffn_gate_up_exps.weight") != NULL;
        any = any || l->moe;
        if (l->moe && c->p->n_experts == 0)
            return tg_fail(c->err, TG_INVALID, "%s: tensor blk.%u.ffn_gate_inp.weight is there, "
                           "but the file has no key gemma4.expert_count", le_gguf_path(c->g), i);
    }
    if (!any && c->p->n_experts > 0)
        return tg_fail(c->err, TG_INVALID, "%s: key gemma4.expert_count is %u, but no layer has a "
                       "tensor ffn_gate_inp.weight", le_gguf_path(c->g), c->p->n_experts);
    return TG_OK;
}

static bool is_float(uint32_t type)
{
    return type == LE_TYPE_F32 || type == LE_TYPE_F16 || type == LE_TYPE_BF16;
}

static enum tg_status check_shape(const struct check *c, const char *name, uint64_t in,
                                  uint64_t out, uint64_t planes)
{
    const struct le_tensor *t = le_gguf_tensor(c->g, name);
    bool vector = out == 1 && planes == 1;
    uint32_t block, bytes;
    if (!t)
        return tg_fail(c->err, TG_INVALID, "%s: tensor %s is missing", le_gguf_path(c->g), name);
    if (t->ne[0] != in || t->ne[1] != out || t->ne[2] != planes || t->ne[3] != 1)
        return tg_fail(c->err, TG_INVALID,
                       "%s: tensor %s: shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
                       "], expected [%" PRIu64 ", %" PRIu64 ", %" PRIu64 "]",
                       le_gguf_tensor_path(c->g, t), name, t->ne[0], t->ne[1], t->ne[2], t->ne[3],
                       in, out, planes);
    if (vector ? !is_float(t->type) : !le_type_block(t->type, &block, &bytes))
        return tg_fail(c->err, TG_UNSUPPORTED, "%s: tensor %s: %s is not supported %s",
                       le_gguf_tensor_path(c->g, t), name, le_type_name(t->type),
                       vector ? "for a vector (F32, F16 and BF16 are)"
                              : "by this version: take the model in another quantisation");
    return TG_OK;
}

void le_layer_dims(const struct le_params *p, uint32_t layer, uint64_t size[LE_DIMS])
{
    const struct le_layer_params *l = &p->layer[layer];
    size[LE_DIM_ONE] = 1;
    size[LE_DIM_EMBD] = p->n_embd;
    size[LE_DIM_HEAD] = l->head_dim;
    size[LE_DIM_QUERY] = (uint64_t)p->n_heads * l->head_dim;
    size[LE_DIM_KEYS] = (uint64_t)l->kv_heads * l->head_dim;
    size[LE_DIM_QKV] = size[LE_DIM_QUERY] + (l->values ? 2 : 1) * size[LE_DIM_KEYS];
    size[LE_DIM_FEED] = l->ff;
    size[LE_DIM_PLE] = p->ple;
    size[LE_DIM_EXPERTS] = p->n_experts;
    size[LE_DIM_EXPERT_FEED] = l->expert_ff;
    size[LE_DIM_GATE_UP] = 2 * (uint64_t)l->expert_ff;
}

const struct le_layer_tensor *le_layer_tensor(const struct le_params *p, uint32_t layer, size_t k)
{
    static const struct le_layer_tensor unused = { NULL, LE_DIM_ONE, LE_DIM_ONE, LE_DIM_ONE };
    if (k >= N_LAYER_TENSORS)
        return NULL;
    enum use use = use_of(p, &p->layer[layer], layer_tensors[k].part);
    return use == NEEDED || use == ALLOWED ? &layer_tensors[k].t : &unused;
}

static enum tg_status check_layer(const struct check *c, uint32_t i)
{
    const struct le_layer_params *l = &c->p->layer[i];
    uint64_t size[LE_DIMS];
    le_layer_dims(c->p, i, size);
    for (size_t k = 0; k < N_LAYER_TENSORS; k++) {
        const struct le_layer_tensor *t = &layer_tensors[k].t;
        char name[NAME_BYTES];
        snprintf(name, sizeof(name), "blk.%u.%s", i, t->name);
        enum use use = use_of(c->p, l, layer_tensors[k].part);
        if (use == NEEDED || (use == ALLOWED && le_gguf_tensor(c->g, name))) {
            enum tg_status st = check_shape(c, name, size[t->in], size[t->out], size[t->planes]);
            if (st)
                return st;
        }
    }
    return TG_OK;
}

static enum tg_status check_top(const struct check *c)
{
    struct le_params *p = c->p;
    const struct le_tensor *embd = le_gguf_tensor(c->g, "token_embd.weight");
    uint64_t n_vocab = embd ? embd->ne[1] : 0, ple = (uint64_t)p->ple * p->n_layers;
    if (embd && (n_vocab < 1 || n_vocab > VOCAB_MAX))
        return tg_fail(c->err, TG_UNSUPPORTED,
                       "%s: tensor token_embd.weight: a vocabulary of %" PRIu64 " tokens",
                       le_gguf_path(c->g), n_vocab);
    p->n_vocab = (uint32_t)n_vocab;
    enum tg_status st = check_shape(c, "token_embd.weight", p->n_embd, n_vocab, 1);
    if (!st && le_gguf_tensor(c->g, "output.weight"))
        st = check_shape(c, "output.weight", p->n_embd, n_vocab, 1);
    if (!st)
        st = check_shape(c, "output_norm.weight", p->n_embd, 1, 1);
    for (uint32_t i = 0; !st && i < p->n_layers; i++)
        if (!p->layer[i].sliding) {
            st = check_shape(c, "rope_freqs.weight", p->layer[i].head_dim / 2, 1, 1);
            break;
        }
    if (st || ple == 0)
        return st;
    if ((st = check_shape(c, "per_layer_token_embd.weight", ple, n_vocab, 1)) ||
        (st = check_shape(c, "per_layer_model_proj.weight", p->n_embd, ple, 1)))
        return st;
    return check_shape(c, "per_layer_proj_norm.weight", p->ple, 1, 1);
}

static bool has_prefix(struct tg_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* The table's row of a tensor blk.N.*, and N; or NULL. */
static const struct layer_tensor *find_layer_tensor(const struct le_params *p, struct tg_str name,
                                                    uint64_t *layer)
{
    if (!has_prefix(name, "blk."))
        return NULL;
    struct tg_str rest = { name.p + 4, name.n - 4 };
    const char *dot = memchr(rest.p, '.', rest.n);
    if (!dot || !tg_parse_u64((struct tg_str){ rest.p, (size_t)(dot - rest.p) }, layer) ||
        *layer >= p->n_layers || (rest.p[0] == '0' && dot != rest.p + 1)) /* 01 is nobody's */
        return NULL;
    rest = (struct tg_str){ dot + 1, rest.n - (size_t)(dot + 1 - rest.p) };
    for (size_t k = 0; k < N_LAYER_TENSORS; k++)
        if (tg_str_eq(rest, tg_str_of(layer_tensors[k].t.name)))
            return &layer_tensors[k];
    return NULL;
}

static const char *stray_reason(enum part part)
{
    switch (part) {
    case WITH_PLE: return " without key gemma4.embedding_length_per_layer_input";
    case WITH_QUERY:
    case WITH_KEYS:
    case WITH_VALUES: return " beside the layer's attn_qkv.weight";
    case WITH_SPLIT: return " without the layer's ffn_gate_inp.weight, or beside its "
                            "ffn_gate_up_exps.weight";
    case WITH_MOE:
    case WITH_GATE_UP: return " without the layer's ffn_gate_inp.weight";
    default: return "";
    }
}

static enum tg_status check_unknown(const struct check *c)
{
    static const char *const top[] = { "token_embd.weight", "output.weight", "output_norm.weight",
                                       "rope_freqs.weight" };
    static const char *const ple[] = { "per_layer_token_embd.weight",
                                       "per_layer_model_proj.weight",
                                       "per_layer_proj_norm.weight" };
    static const char *const media[] = { "v.", "a.", "mm." }; /* towers: not part of the text */
    for (size_t i = 0; i < le_gguf_n_tensors(c->g); i++) {
        struct tg_str name = le_gguf_tensor_at(c->g, i)->name;
        uint64_t layer = 0;
        const struct layer_tensor *row = find_layer_tensor(c->p, name, &layer);
        bool known = row && use_of(c->p, &c->p->layer[layer], row->part) != STRAY;
        bool per_layer = false;
        for (size_t k = 0; k < sizeof(top) / sizeof(*top); k++)
            known = known || tg_str_eq(name, tg_str_of(top[k]));
        for (size_t k = 0; k < sizeof(media) / sizeof(*media); k++)
            known = known || has_prefix(name, media[k]);
        for (size_t k = 0; k < sizeof(ple) / sizeof(*ple); k++)
            per_layer = per_layer || tg_str_eq(name, tg_str_of(ple[k]));
        if (known || (per_layer && c->p->ple > 0))
            continue;
        return tg_fail(c->err, TG_UNSUPPORTED,
                       "%s: tensor %.*s is not understood by this version%s",
                       le_gguf_tensor_path(c->g, le_gguf_tensor_at(c->g, i)), TG_FMT(name),
                       per_layer ? stray_reason(WITH_PLE)
                       : row ? stray_reason(row->part) : "");
    }
    return TG_OK;
}

bool le_params_is_weight(const struct le_params *p, const struct le_tensor *t)
{
    static const char *const top[] = { "token_embd.weight", "output.weight",
                                       "per_layer_model_proj.weight" };
    uint64_t layer = 0;
    const struct layer_tensor *row = find_layer_tensor(p, t->name, &layer);
    for (size_t k = 0; k < sizeof(top) / sizeof(*top); k++)
        if (tg_str_eq(t->name, tg_str_of(top[k])))
            return true;
    if (!row || (row->t.out == LE_DIM_ONE && row->t.planes == LE_DIM_ONE))
        return false;
    enum use use = use_of(p, &p->layer[layer], row->part);
    return use == NEEDED || use == ALLOWED;
}

enum tg_status le_params_check_tensors(const struct le_gguf *g, struct le_params *p,
                                       struct tg_error *err)
{
    const struct check c = { g, p, err };
    enum tg_status st;
    if ((st = find_forms(&c)) || (st = check_unknown(&c)) || (st = check_top(&c)))
        return st;
    for (uint32_t i = 0; !st && i < p->n_layers; i++)
        st = check_layer(&c, i);
    return st;
}

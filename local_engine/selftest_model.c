#include "local_engine/selftest_model.h"

#include <stdio.h>
#include <string.h>

#include "local_engine/params_tensors.h"

enum {
    LAYERS = 8, /* at most: four kinds, and as many for types */
    EMBD = 256,
    WIDTH = 256, /* of a feed-forward, and what is left over of the model's */
    VOCAB = 512,
    WINDOW = 64,
    EXPERTS = 32,
    TENSORS = 256,
    ALIGNMENT = 32,
    NAME_BYTES = 96,
    FILE_MAX = 1 << 28,
};

/* Rows first .. first + n - 1 of each matrix of src. */
struct rows {
    uint64_t first, n;
};

/* A tensor of the small model: some rows of src, of each the first `in` elements. */
struct cut {
    char name[NAME_BYTES];
    const struct le_tensor *src;
    uint64_t in, planes;
    struct rows rows[3];
    uint64_t n_rows;
};

struct maker {
    const struct le_gguf *g;
    const struct le_params *p;
    struct le_params small;
    uint32_t layer[LAYERS]; /* the model's layers taken over */
    struct cut cuts[TENSORS];
    size_t n;
    struct tg_error *err;
};

static uint32_t at_most(uint32_t v, uint32_t most)
{
    return v < most ? v : most;
}

/* A width with the same remainder as the model's, for kernels that go by 256. */
static uint32_t cut_width(uint32_t v)
{
    return v > 2 * WIDTH ? WIDTH + v % WIDTH : v;
}

/* ---- which layers ---- */

static const struct le_tensor *layer_tensor(const struct maker *m, uint32_t layer, const char *name)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof(full), "blk.%u.%s", layer, name);
    return le_gguf_tensor(m->g, full);
}

/* Whether layer i has a tensor of a type that no layer taken so far has there. */
static bool brings_type(const struct maker *m, uint32_t i)
{
    const struct le_layer_tensor *t;
    for (size_t k = 0; (t = le_layer_tensor(m->p, i, k)); k++) {
        const struct le_tensor *src = t->name ? layer_tensor(m, i, t->name) : NULL;
        bool seen = src == NULL;
        for (uint32_t j = 0; !seen && j < m->small.n_layers; j++) {
            const struct le_tensor *other = layer_tensor(m, m->layer[j], t->name);
            seen = other && other->type == src->type;
        }
        if (!seen)
            return true;
    }
    return false;
}

static bool is_taken(const struct maker *m, uint32_t i)
{
    for (uint32_t j = 0; j < m->small.n_layers; j++)
        if (m->layer[j] == i)
            return true;
    return false;
}

/* Keeps the layers in their order, so that those that share a cache stay behind their donors. */
static void take(struct maker *m, uint32_t i)
{
    uint32_t at = m->small.n_layers++;
    for (; at > 0 && m->layer[at - 1] > i; at--)
        m->layer[at] = m->layer[at - 1];
    m->layer[at] = i;
}

/* The first layer of a kind, if there is one. */
static void take_kind(struct maker *m, bool owns_kv, bool sliding)
{
    for (uint32_t i = 0; i < m->p->n_layers; i++)
        if (m->p->layer[i].owns_kv == owns_kv && m->p->layer[i].sliding == sliding) {
            take(m, i);
            return;
        }
}

static void choose_layers(struct maker *m)
{
    for (int kind = 0; kind < 4; kind++)
        take_kind(m, kind < 2, kind % 2 == 1);
    for (uint32_t i = 0; i < m->p->n_layers && m->small.n_layers < LAYERS; i++)
        if (!is_taken(m, i) && brings_type(m, i))
            take(m, i);
}

/* ---- its sizes ---- */

static void choose_sizes(struct maker *m)
{
    const struct le_params *p = m->p;
    struct le_params *s = &m->small;
    uint32_t n_layers = s->n_layers;
    *s = *p;
    s->n_layers = n_layers;
    s->n_embd = at_most(p->n_embd, EMBD);
    s->n_vocab = at_most(p->n_vocab, VOCAB);
    s->window = at_most(p->window, WINDOW);
    s->n_experts = p->n_used < EXPERTS ? at_most(p->n_experts, EXPERTS) : p->n_experts;
    s->n_heads = 1;
    for (uint32_t j = 0; j < n_layers; j++) {
        uint32_t ratio = p->n_heads / p->layer[m->layer[j]].kv_heads;
        s->n_heads = ratio > s->n_heads ? ratio : s->n_heads;
    }
    for (uint32_t j = 0; j < n_layers; j++) /* ratios that do not divide each other */
        if (s->n_heads % (p->n_heads / p->layer[m->layer[j]].kv_heads) != 0)
            s->n_heads = p->n_heads;
    for (uint32_t j = 0; j < n_layers; j++) {
        struct le_layer_params *l = &s->layer[j];
        *l = p->layer[m->layer[j]];
        l->kv_heads = s->n_heads / (p->n_heads / l->kv_heads);
        l->ff = cut_width(l->ff);
        l->expert_ff = cut_width(l->expert_ff);
    }
}

/* ---- its tensors ---- */

static enum tg_status add(struct maker *m, const char *name, const struct le_tensor *src,
                          uint64_t in, uint64_t out, uint64_t planes)
{
    uint32_t block, bytes;
    if (m->n == TENSORS)
        return tg_fail(m->err, TG_LIMIT, "the self-test's model has too many tensors");
    if (!le_type_block(src->type, &block, &bytes) || in % block != 0)
        return tg_fail(m->err, TG_UNSUPPORTED, "tensor %.*s: %s cannot be cut to rows of %u",
                       TG_FMT(src->name), le_type_name(src->type), (unsigned)in);
    struct cut *c = &m->cuts[m->n++];
    *c = (struct cut){ .src = src, .in = in, .planes = planes, .rows = { { 0, out } },
                       .n_rows = out };
    snprintf(c->name, sizeof(c->name), "%s", name);
    return TG_OK;
}

/* The parts of fused matrices begin elsewhere in the model. */
static void split_rows(struct cut *c, enum le_dim out, const uint64_t *full, const uint64_t *cut)
{
    if (out == LE_DIM_GATE_UP) {
        c->rows[0] = (struct rows){ 0, cut[LE_DIM_EXPERT_FEED] };
        c->rows[1] = (struct rows){ full[LE_DIM_EXPERT_FEED], cut[LE_DIM_EXPERT_FEED] };
    } else if (out == LE_DIM_QKV) {
        c->rows[0] = (struct rows){ 0, cut[LE_DIM_QUERY] };
        c->rows[1] = (struct rows){ full[LE_DIM_QUERY], cut[LE_DIM_KEYS] };
        if (full[LE_DIM_QKV] > full[LE_DIM_QUERY] + full[LE_DIM_KEYS])
            c->rows[2] = (struct rows){ full[LE_DIM_QUERY] + full[LE_DIM_KEYS],
                                        cut[LE_DIM_KEYS] };
    }
}

static enum tg_status add_layer(struct maker *m, uint32_t j)
{
    uint64_t full[LE_DIMS], cut[LE_DIMS];
    const struct le_layer_tensor *t;
    le_layer_dims(m->p, m->layer[j], full);
    le_layer_dims(&m->small, j, cut);
    for (size_t k = 0; (t = le_layer_tensor(m->p, m->layer[j], k)); k++) {
        const struct le_tensor *src = t->name ? layer_tensor(m, m->layer[j], t->name) : NULL;
        char name[NAME_BYTES];
        if (!src)
            continue;
        snprintf(name, sizeof(name), "blk.%u.%s", j, t->name);
        enum tg_status st = add(m, name, src, cut[t->in], cut[t->out], cut[t->planes]);
        if (st)
            return st;
        split_rows(&m->cuts[m->n - 1], t->out, full, cut);
    }
    return TG_OK;
}

/* The middle of the vocabulary, where its tokens are ordinary ones. */
static enum tg_status add_table(struct maker *m, const char *name, uint64_t in)
{
    const struct le_tensor *src = le_gguf_tensor(m->g, name);
    enum tg_status st = src ? add(m, name, src, in, m->small.n_vocab, 1) : TG_OK;
    if (src && !st)
        m->cuts[m->n - 1].rows[0].first = (m->p->n_vocab - m->small.n_vocab) / 2;
    return st;
}

static enum tg_status add_vector(struct maker *m, const char *name, uint64_t n)
{
    const struct le_tensor *src = le_gguf_tensor(m->g, name);
    return src ? add(m, name, src, n, 1, 1) : TG_OK;
}

static enum tg_status add_tensors(struct maker *m)
{
    const struct le_params *s = &m->small;
    uint64_t ple = (uint64_t)s->ple * s->n_layers;
    const struct le_tensor *factors = le_gguf_tensor(m->g, "rope_freqs.weight");
    const struct le_tensor *context = le_gguf_tensor(m->g, "per_layer_model_proj.weight");
    enum tg_status st;
    if ((st = add_table(m, "token_embd.weight", s->n_embd)) ||
        (st = add_table(m, "output.weight", s->n_embd)) ||
        (st = add_vector(m, "output_norm.weight", s->n_embd)) ||
        (st = add_vector(m, "rope_freqs.weight", factors ? factors->ne[0] : 0)))
        return st;
    if (s->ple > 0 &&
        ((st = add_table(m, "per_layer_token_embd.weight", ple)) ||
         (st = add(m, "per_layer_model_proj.weight", context, s->n_embd, ple, 1)) ||
         (st = add_vector(m, "per_layer_proj_norm.weight", s->ple))))
        return st;
    for (uint32_t j = 0; !st && j < s->n_layers; j++)
        st = add_layer(m, j);
    return st;
}

/* ---- the file ---- */

static void put(struct tg_buf *b, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        tg_buf_addc(b, (char)(v >> 8 * i));
}

static void put_text(struct tg_buf *b, const char *s)
{
    put(b, strlen(s), 8);
    tg_buf_adds(b, s);
}

static void put_f32(struct tg_buf *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put(b, bits, 4);
}

/* Counts the keys. */
static void put_key(struct tg_buf *b, const char *key, uint32_t type, uint64_t *n)
{
    put_text(b, key);
    put(b, type, 4);
    ++*n;
}

static void put_u32(struct tg_buf *b, const char *key, uint32_t v, uint64_t *n)
{
    put_key(b, key, LE_GGUF_U32, n);
    put(b, v, 4);
}

static void put_float(struct tg_buf *b, const char *key, float v, uint64_t *n)
{
    put_key(b, key, LE_GGUF_F32, n);
    put_f32(b, v);
}

enum member { KV_HEADS, FF, EXPERT_FF, SLIDING };

static void put_per_layer(struct tg_buf *b, const char *key, const struct le_params *s,
                          enum member what, uint64_t *n)
{
    put_key(b, key, LE_GGUF_ARRAY, n);
    put(b, LE_GGUF_U32, 4);
    put(b, s->n_layers, 8);
    for (uint32_t j = 0; j < s->n_layers; j++) {
        const struct le_layer_params *l = &s->layer[j];
        put(b, what == KV_HEADS ? l->kv_heads : what == FF ? l->ff
               : what == EXPERT_FF ? l->expert_ff : l->sliding, 4);
    }
}

static uint64_t put_keys(struct tg_buf *b, const struct maker *m)
{
    const struct le_params *s = &m->small;
    uint32_t shared = 0, dim[2] = { 0, 0 }; /* head sizes: global, sliding */
    uint64_t n = 0;
    for (uint32_t j = 0; j < s->n_layers; j++) {
        shared += !s->layer[j].owns_kv;
        dim[s->layer[j].sliding] = s->layer[j].head_dim;
    }
    put_key(b, "general.architecture", LE_GGUF_STRING, &n);
    put_text(b, "gemma4");
    put_u32(b, "gemma4.block_count", s->n_layers, &n);
    put_u32(b, "gemma4.context_length", LE_SELFTEST_CONTEXT, &n);
    put_u32(b, "gemma4.embedding_length", s->n_embd, &n);
    put_per_layer(b, "gemma4.feed_forward_length", s, FF, &n);
    put_u32(b, "gemma4.attention.head_count", s->n_heads, &n);
    put_per_layer(b, "gemma4.attention.head_count_kv", s, KV_HEADS, &n);
    put_u32(b, "gemma4.attention.key_length", dim[0] ? dim[0] : dim[1], &n);
    put_u32(b, "gemma4.attention.key_length_swa", dim[1] ? dim[1] : dim[0], &n);
    put_float(b, "gemma4.attention.layer_norm_rms_epsilon", s->rms_eps, &n);
    put_u32(b, "gemma4.attention.sliding_window", s->window, &n);
    put_per_layer(b, "gemma4.attention.sliding_window_pattern", s, SLIDING, &n);
    put_u32(b, "gemma4.attention.shared_kv_layers", shared, &n);
    put_u32(b, "gemma4.embedding_length_per_layer_input", s->ple, &n);
    put_float(b, "gemma4.rope.freq_base", s->rope_base, &n);
    put_float(b, "gemma4.rope.freq_base_swa", s->rope_base_swa, &n);
    put_float(b, "gemma4.final_logit_softcapping", s->softcap, &n);
    bool moe = false;
    for (uint32_t j = 0; j < s->n_layers; j++)
        moe = moe || s->layer[j].moe;
    if (moe) {
        put_u32(b, "gemma4.expert_count", s->n_experts, &n);
        put_u32(b, "gemma4.expert_used_count", s->n_used, &n);
        put_per_layer(b, "gemma4.expert_feed_forward_length", s, EXPERT_FF, &n);
    }
    return n;
}

static uint64_t row_bytes(const struct cut *c)
{
    uint32_t block = 1, bytes = 0;
    le_type_block(c->src->type, &block, &bytes);
    return c->in / block * bytes;
}

static void put_infos(struct tg_buf *b, const struct maker *m)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct cut *c = &m->cuts[i];
        put_text(b, c->name);
        put(b, c->src->n_dims, 4);
        const uint64_t ne[4] = { c->in, c->n_rows, c->planes, 1 };
        for (uint32_t k = 0; k < c->src->n_dims; k++)
            put(b, ne[k], 8);
        put(b, c->src->type, 4);
        put(b, offset, 8);
        uint64_t size = row_bytes(c) * c->n_rows * c->planes;
        offset += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}

static void align(struct tg_buf *b)
{
    while (b->n % ALIGNMENT != 0 && !b->failed)
        tg_buf_addc(b, 0);
}

static void put_data(struct tg_buf *b, const struct cut *c)
{
    const struct le_tensor *t = c->src;
    uint64_t file_row = t->plane_bytes / t->ne[1];
    for (uint64_t plane = 0; plane < c->planes; plane++)
        for (size_t part = 0; part < sizeof(c->rows) / sizeof(*c->rows); part++)
            for (uint64_t r = 0; r < c->rows[part].n; r++)
                tg_buf_add(b, (const char *)t->data + plane * t->plane_bytes +
                                  (c->rows[part].first + r) * file_row, (size_t)row_bytes(c));
    align(b);
}

enum tg_status le_selftest_model(const struct le_gguf *g, const struct le_params *p,
                                 struct tg_buf *out, struct tg_error *err)
{
    static const char magic[] = "GGUF";
    struct maker m = { .g = g, .p = p, .err = err };
    struct tg_buf keys;
    tg_buf_init(out, FILE_MAX);
    tg_buf_init(&keys, 1 << 16);
    choose_layers(&m);
    choose_sizes(&m);
    enum tg_status st = add_tensors(&m);
    if (st)
        return st;
    uint64_t n_keys = put_keys(&keys, &m);
    tg_buf_add(out, magic, 4);
    put(out, 3, 4);
    put(out, m.n, 8);
    put(out, n_keys, 8);
    tg_buf_add(out, keys.p, keys.n);
    put_infos(out, &m);
    align(out);
    for (size_t i = 0; i < m.n; i++)
        put_data(out, &m.cuts[i]);
    st = keys.failed ? keys.failed : out->failed;
    tg_buf_free(&keys);
    return st ? tg_fail(err, st, "the self-test's model: %s",
                        st == TG_LIMIT ? "too large" : "out of memory") : TG_OK;
}

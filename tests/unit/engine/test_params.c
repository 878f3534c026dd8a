/* Hyperparameters and tensor checks: the bundled models read correctly, and every fault that can be
 * planted in their files is refused with the name of the key or tensor. */
#include "tests/unit/check.h"

#include "config/base/alloc.h"
#include "local_engine/model.h"
#include "tests/unit/engine/support_gguf.h"

#define DENSE TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf"
#define TINY_E TG_SOURCE_DIR "/tests/golden/tiny-e-Q4_0.gguf"
#define MOE TG_SOURCE_DIR "/tests/golden/tiny-moe-Q4_0.gguf"

enum { FILE_MAX = 16 << 20 };

/* The file's bytes; what a case changes in them is undone by loading again. */
static void load(struct tg_buf *b, const char *path)
{
    char block[1 << 14];
    size_t n;
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    tg_buf_init(b, FILE_MAX);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        tg_buf_add(b, block, n);
    fclose(f);
    CHECK_INT(b->failed, TG_OK);
}

static enum tg_status read(const struct tg_buf *b, struct le_params *p, struct tg_error *err)
{
    struct le_gguf *g;
    *err = (struct tg_error){ 0 };
    enum tg_status st = le_gguf_open_memory("memory", b->p, b->n, &g, err);
    if (!st)
        st = le_params_read(g, p, err);
    le_gguf_close(g);
    return st;
}

static void dense(void)
{
    struct tg_buf b;
    struct le_params p;
    struct tg_error err;
    load(&b, DENSE);
    if (read(&b, &p, &err))
        CHECK_FAIL("%s", err.text);
    CHECK_INT(p.n_layers, 3);
    CHECK_INT(p.n_embd, 256);
    CHECK_INT(p.n_heads, 4);
    CHECK_INT(p.n_vocab, 4096);
    CHECK_INT(p.window, 16);
    CHECK_INT(p.ple, 0);
    CHECK_INT(p.context_trained, 4096);
    CHECK(p.softcap == 30.0f && p.rms_eps == 1e-6f);
    CHECK(p.rope_base == 1e6f && p.rope_base_swa == 1e4f);
    for (uint32_t i = 0; i < 3; i++) {
        const struct le_layer_params *l = &p.layer[i];
        CHECK_INT(l->sliding, i == 0);
        CHECK_INT(l->head_dim, i == 0 ? 64 : 128);
        CHECK_INT(l->kv_heads, i == 0 ? 2 : 1);
        CHECK_INT(l->ff, 256);
        CHECK(l->owns_kv && l->donor == i);
        CHECK(l->values == l->sliding && !l->moe && !l->fused_qkv && !l->fused_gate_up);
    }
    CHECK_INT(p.n_experts, 0);
    tg_buf_free(&b);
}

static void sharing(void)
{
    static const uint32_t donor[10] = { 0, 1, 2, 3, 4, 3, 3, 3, 3, 4 };
    struct tg_buf b;
    struct le_params p;
    struct tg_error err;
    load(&b, TINY_E);
    if (read(&b, &p, &err))
        CHECK_FAIL("%s", err.text);
    CHECK_INT(p.n_layers, 10);
    CHECK_INT(p.ple, 32);
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_INT(p.layer[i].sliding, i % 5 != 4);
        CHECK_INT(p.layer[i].owns_kv, i < 5);
        CHECK_INT(p.layer[i].donor, donor[i]);
        CHECK_INT(p.layer[i].ff, p.layer[0].ff * (i < 5 ? 1 : 2));
    }
    tg_buf_free(&b);
}

static void experts(void)
{
    struct tg_buf b;
    struct le_params p;
    struct tg_error err;
    load(&b, MOE);
    if (read(&b, &p, &err))
        CHECK_FAIL("%s", err.text);
    CHECK_INT(p.n_experts, 16);
    CHECK_INT(p.n_used, 4);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_INT(p.layer[i].expert_ff, 32);
        CHECK_INT(p.layer[i].ff, 128);
        CHECK(p.layer[i].moe && p.layer[i].fused_gate_up && !p.layer[i].fused_qkv);
    }
    tg_buf_free(&b);
}

/* n bytes at delta behind the first place of near are replaced; text: part of the error. */
static void refused(const char *path, const char *near, size_t delta, uint64_t v, unsigned n,
                    enum tg_status want, const char *text)
{
    struct tg_buf b;
    struct le_params p;
    struct tg_error err;
    load(&b, path);
    size_t at = gguf_find(&b, near);
    if (at >= b.n)
        CHECK_FAIL("%s is not in the file", near);
    gguf_patch(&b, at + delta, v, n);
    enum tg_status st = read(&b, &p, &err);
    if (st != want || !strstr(err.text, text))
        CHECK_FAIL("%s = %" PRIu64 ": %s \"%s\", want %s with \"%s\"", near, v, tg_status_name(st),
                   err.text, tg_status_name(want), text);
    tg_buf_free(&b);
}

/* A value of a key of 4 bytes: behind the key and its type. */
static void refused_key(const char *path, const char *key, uint64_t v, enum tg_status want)
{
    refused(path, key, strlen(key) + 4, v, 4, want, key);
}

/* Where s begins as a GGUF string, its length in front, so that no longer one is found. */
static size_t find_string(const struct tg_buf *b, const char *s)
{
    struct tg_buf sought;
    tg_buf_init(&sought, 256);
    gguf_put_string(&sought, s);
    const char *at = memmem(b->p, b->n, sought.p, sought.n);
    tg_buf_free(&sought);
    if (!at)
        CHECK_FAIL("%s is not in the file", s);
    return (size_t)(at - b->p) + 8;
}

static void missing_keys(void)
{
    static const char *const keys[] = {
        "general.architecture",
        "gemma4.block_count",
        "gemma4.context_length",
        "gemma4.embedding_length",
        "gemma4.feed_forward_length",
        "gemma4.attention.head_count",
        "gemma4.attention.head_count_kv",
        "gemma4.attention.key_length",
        "gemma4.attention.key_length_swa",
        "gemma4.attention.layer_norm_rms_epsilon",
        "gemma4.attention.sliding_window",
        "gemma4.attention.sliding_window_pattern",
        "gemma4.rope.freq_base",
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        struct tg_buf b;
        struct le_params p;
        struct tg_error err;
        load(&b, TINY_E);
        b.p[find_string(&b, keys[i])] = '#';
        CHECK_INT(read(&b, &p, &err), TG_INVALID);
        if (!strstr(err.text, keys[i]))
            CHECK_FAIL("\"%s\" does not name %s", err.text, keys[i]);
        tg_buf_free(&b);
    }
}

static void wrong_values(void)
{
    refused(TINY_E, "general.architecture", 20 + 4 + 8, '3', 1, TG_UNSUPPORTED, "not 3emma4");
    refused_key(TINY_E, "gemma4.block_count", 0, TG_UNSUPPORTED);
    refused_key(TINY_E, "gemma4.block_count", 129, TG_UNSUPPORTED);
    refused_key(TINY_E, "gemma4.embedding_length", 250, TG_UNSUPPORTED);
    refused_key(TINY_E, "gemma4.embedding_length", 0x80000000, TG_UNSUPPORTED);
    refused(TINY_E, "gemma4.embedding_length", 23 + 4, 512, 4, TG_INVALID, "tensor");
    refused_key(TINY_E, "gemma4.attention.head_count", 0, TG_UNSUPPORTED);
    refused(TINY_E, "gemma4.attention.head_count", 27 + 4, 4, 4, TG_INVALID, "attn_q.weight");
    refused_key(TINY_E, "gemma4.attention.key_length", 96 + 1, TG_UNSUPPORTED);
    refused_key(TINY_E, "gemma4.attention.value_length", 96, TG_UNSUPPORTED);
    refused_key(TINY_E, "gemma4.rope.dimension_count", 96, TG_UNSUPPORTED);
    refused_key(TINY_E, "gemma4.attention.shared_kv_layers", 10, TG_UNSUPPORTED);
    refused_key(TINY_E, "gemma4.attention.shared_kv_layers", 8, TG_INVALID);
    refused_key(TINY_E, "gemma4.attention.sliding_window", 0, TG_UNSUPPORTED);
    refused_key(TINY_E, "gemma4.attention.layer_norm_rms_epsilon", 0x7fc00000, TG_INVALID);
    refused_key(TINY_E, "gemma4.rope.freq_base", 0, TG_INVALID);
    refused_key(TINY_E, "gemma4.final_logit_softcapping", 0xff800000, TG_INVALID);
    /* Arrays of one item too few, of another type, and with an impossible item. */
    refused(DENSE, "gemma4.attention.head_count_kv", 30 + 4 + 4 + 8, 3, 4, TG_INVALID,
            "gemma4.attention.head_count_kv");
    refused(DENSE, "gemma4.attention.head_count_kv", 30 + 4 + 4 + 8, UINT32_MAX, 4, TG_INVALID,
            "gemma4.attention.head_count_kv");
    refused(DENSE, "gemma4.attention.sliding_window_pattern", 39 + 4 + 4 + 8, 2, 1, TG_INVALID,
            "gemma4.attention.sliding_window_pattern");
}

static void wrong_experts(void)
{
    refused_key(MOE, "gemma4.expert_count", 1025, TG_UNSUPPORTED);
    refused(MOE, "gemma4.expert_count", 19 + 4, 15, 4, TG_INVALID, "ffn_gate_inp.weight");
    refused(MOE, "gemma4.expert_count", 19 + 4, 0, 4, TG_INVALID, "gemma4.expert_count");
    refused(MOE, "gemma4.expert_count", 0, 'x', 1, TG_INVALID, "gemma4.expert_count");
    refused_key(MOE, "gemma4.expert_used_count", 0, TG_UNSUPPORTED);
    refused_key(MOE, "gemma4.expert_used_count", 17, TG_UNSUPPORTED);
    refused(MOE, "gemma4.expert_used_count", 0, 'x', 1, TG_INVALID, "gemma4.expert_used_count");
    refused_key(MOE, "gemma4.expert_feed_forward_length", 40, TG_UNSUPPORTED);
    refused(MOE, "gemma4.expert_feed_forward_length", 33 + 4, 64, 4, TG_INVALID,
            "ffn_gate_up_exps.weight");
    /* A layer whose router has another name has experts that nothing chooses. */
    refused(MOE, "blk.1.ffn_gate_inp.weight", 16, 'x', 1, TG_UNSUPPORTED, "blk.1.ffn_");
}

/* Each tensor in turn: renamed, so that it is missing and another one unknown. */
static void every_tensor_of(const char *path, size_t at_least)
{
    struct tg_buf b;
    struct le_gguf *g;
    struct le_params p;
    struct tg_error err;
    size_t n_refused = 0;
    load(&b, path);
    CHECK_INT(le_gguf_open_memory("memory", b.p, b.n, &g, &err), TG_OK);
    size_t n = le_gguf_n_tensors(g);
    for (size_t i = 0; i < n; i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        char *name = b.p + (t->name.p - b.p), last = name[t->name.n - 1];
        name[t->name.n - 1] = '#';
        CHECK_INT(read(&b, &p, &err), TG_UNSUPPORTED);
        CHECK(memmem(err.text, strlen(err.text), name, t->name.n) != NULL ||
              memmem(name, t->name.n, "ffn_gate_inp.weigh", 18) != NULL);
        name[t->name.n - 1] = last;
        n_refused++;
    }
    if (n_refused <= at_least)
        CHECK_FAIL("only %zu of %s", n_refused, path);
    le_gguf_close(g);
    tg_buf_free(&b);
}

static void every_tensor_is_needed(void)
{
    every_tensor_of(TINY_E, 100);
    every_tensor_of(MOE, 60);
}

/* A tower's name is not ours to judge: the tensor is simply missing then. */
static void missing_tensors(void)
{
    static const char *const names[] = { "token_embd.weight", "output_norm.weight",
                                         "rope_freqs.weight", "per_layer_model_proj.weight",
                                         "blk.0.attn_k.weight", "blk.4.attn_k_norm.weight",
                                         "blk.9.attn_q.weight", "blk.3.post_norm.weight" };
    struct tg_buf b;
    struct le_params p;
    struct tg_error err;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        load(&b, TINY_E);
        size_t at = find_string(&b, names[i]);
        b.p[at] = 'v';
        b.p[at + 1] = '.';
        CHECK_INT(read(&b, &p, &err), TG_INVALID);
        CHECK(strstr(err.text, names[i]) && strstr(err.text, "missing"));
        tg_buf_free(&b);
    }
}

/* What may be absent, or present and is ignored, on layers that share KV. */
static void optional_tensors(void)
{
    static const char *const names[] = { "blk.7.attn_k.weight", "blk.7.attn_k_norm.weight",
                                         "blk.9.attn_v.weight", "blk.4.attn_v.weight",
                                         "blk.2.layer_output_scale.weight" };
    struct tg_buf b;
    struct le_params p;
    struct tg_error err;
    size_t present = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        load(&b, TINY_E);
        size_t at = gguf_find(&b, names[i]);
        if (at < b.n) {
            present++;
            b.p[at] = 'v';
            b.p[at + 1] = '.';
            if (read(&b, &p, &err))
                CHECK_FAIL("%s", err.text);
        }
        tg_buf_free(&b);
    }
    CHECK(present >= 2);
}

/* The last extent of each tensor made smaller by one: no other shape will do. */
static void every_shape_of(const char *path, size_t at_least)
{
    struct tg_buf b;
    struct le_gguf *g;
    struct le_params p;
    struct tg_error err;
    load(&b, path);
    CHECK_INT(le_gguf_open_memory("memory", b.p, b.n, &g, &err), TG_OK);
    size_t n = le_gguf_n_tensors(g), n_checked = 0;
    CHECK_INT(read(&b, &p, &err), TG_OK);
    bool ple = p.ple > 0;
    for (size_t i = 0; i < n; i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        struct tg_str name = t->name;
        uint32_t last = t->n_dims - 1;
        uint64_t extent = t->ne[last];
        size_t at = (size_t)(name.p - b.p) + name.n + 4 + 8 * last;
        bool sharing_kv = memmem(name.p, name.n, "attn_k", 6) && name.p[4] >= '5';
        sharing_kv = sharing_kv || (memmem(name.p, name.n, "attn_v", 6) && name.p[4] >= '5');
        if (extent == 1 || sharing_kv)
            continue;
        gguf_patch(&b, at, extent - 1, 8);
        if (read(&b, &p, &err) != TG_INVALID || !memmem(err.text, sizeof(err.text), name.p, name.n))
            /* A smaller vocabulary shows in the next table of it, if there is one. */
            CHECK(tg_str_eq(name, TG_STR("token_embd.weight")) &&
                  (!ple || strstr(err.text, "per_layer_token_embd.weight")));
        gguf_patch(&b, at, extent, 8);
        n_checked++;
    }
    CHECK(n_checked > at_least);
    CHECK_INT(read(&b, &p, &err), TG_OK);
    le_gguf_close(g);
    tg_buf_free(&b);
}

static void every_shape_is_checked(void)
{
    every_shape_of(TINY_E, 100);
    every_shape_of(MOE, 60);
}

static void types_are_checked(void)
{
    /* name, one or two extents, then the type */
    refused(TINY_E, "blk.1.ffn_up.weight", 19 + 4 + 16, 16, 4, TG_UNSUPPORTED,
            "blk.1.ffn_up.weight: IQ2_XXS");
    refused(TINY_E, "blk.1.ffn_up.weight", 19 + 4 + 16, 99, 4, TG_UNSUPPORTED,
            "blk.1.ffn_up.weight: type 99");
    refused(TINY_E, "blk.1.ffn_norm.weight", 21 + 4 + 8, LE_TYPE_Q8_0, 4, TG_UNSUPPORTED,
            "blk.1.ffn_norm.weight: Q8_0");
}

static void named_kinds(void)
{
    refused(TINY_E, "blk.1.attn_v.weight", 6, 0x766b715f6e747461, 8, TG_UNSUPPORTED,
            "blk.1.attn_qkv");
    refused(TINY_E, "blk.1.ffn_norm.weight", 4, '9' | '9' << 8, 2, TG_UNSUPPORTED, "blk.99ffn");
    refused(TINY_E, "blk.1.ffn_norm.weight", 3, 'x', 1, TG_UNSUPPORTED, "blkx1.ffn_norm.weight");
}

/* Without the key these would be left out of the sum in silence. */
static void per_layer_tensors_need_their_key(void)
{
    static const char key[] = "gemma4.embedding_length_per_layer_input";
    refused(TINY_E, key, strlen(key) + 4, 0, 4, TG_UNSUPPORTED, "without key gemma4.embedding");
    refused(TINY_E, key, 0, 'x', 1, TG_UNSUPPORTED, "without key gemma4.embedding");
}

/* The raw keys are the values on global layers only. */
static void sliding_layers_need_their_values(void)
{
    refused(TINY_E, "blk.2.attn_v.weight", 0, 'v' | '.' << 8, 2, TG_INVALID,
            "blk.2.attn_v.weight is missing");
}

/* A period instead, as other models have it, would make every layer a sliding one. */
static void a_pattern_of_layers_is_flags(void)
{
    static const char key[] = "gemma4.attention.sliding_window_pattern";
    struct tg_buf b;
    struct le_params p;
    struct tg_error err;
    load(&b, TINY_E);
    size_t item_type = gguf_find(&b, key) + strlen(key) + 4;
    gguf_patch(&b, item_type, LE_GGUF_U8, 4);
    CHECK_INT(read(&b, &p, &err), TG_OK);
    gguf_patch(&b, item_type + 12, 6, 1); /* behind the number of items */
    CHECK_INT(read(&b, &p, &err), TG_UNSUPPORTED);
    CHECK(strstr(err.text, key) != NULL);
    tg_buf_free(&b);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(dense), CASE(sharing), CASE(experts), CASE(wrong_experts),          CASE(missing_keys),
        CASE(wrong_values),    CASE(every_tensor_is_needed), CASE(missing_tensors),
        CASE(optional_tensors), CASE(every_shape_is_checked), CASE(types_are_checked),
        CASE(named_kinds),     CASE(per_layer_tensors_need_their_key),
        CASE(sliding_layers_need_their_values), CASE(a_pattern_of_layers_is_flags),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

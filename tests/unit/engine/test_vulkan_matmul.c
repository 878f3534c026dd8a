/* The weights of every type: matmul and embed on Vulkan against the scalar CPU, at shapes of the
 * tiny and the released models and at odd ones. Prints the observed error beside the bound; any
 * validation message fails the case. Errors are relative to the largest value of the reference.
 *
 * A software driver takes up to a second to compile a variant of these shaders, so that not every
 * type is run through every case: what differs by type is one function of theirs. */
#include "tests/unit/check.h"
#include "tests/unit/engine/support_gpu_ops.h"

struct matmul_args {
    struct pair_buf dst, src;
    struct pair_weight w;
    float scale;
    enum le_rows rows;
};

static void emit_matmul(struct pair *p, int side, void *arg)
{
    struct matmul_args *a = arg;
    p->ops[side]->matmul(p->be[side], a->dst.b[side], a->w.w[side], a->src.b[side], a->rows);
}

static void emit_embed(struct pair *p, int side, void *arg)
{
    struct matmul_args *a = arg;
    p->ops[side]->embed(p->be[side], a->dst.b[side], a->w.w[side], a->scale);
}

struct matmul_case {
    uint32_t type, in, out, tokens;
};

static void check_matmul(const struct matmul_case *c)
{
    char name[96];
    snprintf(name, sizeof(name), "matmul %s %ux%u, %u rows", le_type_name(c->type), c->in, c->out,
             c->tokens);
    struct matmul_args a = { .rows = LE_ROWS_TOKENS };
    a.w = pair_weight(&pair, c->type, c->in, c->out);
    a.src = pair_input(&pair, (size_t)c->tokens * c->in, 2.0f);
    a.dst = pair_output(&pair, (size_t)c->tokens * c->out);
    if (!a.w.w[0] || !a.src.b[0] || !a.dst.b[0])
        fail_closed(name, "could not be made");
    struct le_step step = step_of(c->tokens, 0, 0);
    run_and_compare(name, emit_matmul, &a, &step, &a.dst, (size_t)c->tokens * c->out, 5e-6);
}

static const uint32_t all_types[] = {
    LE_TYPE_F32,  LE_TYPE_F16,  LE_TYPE_BF16, LE_TYPE_Q4_0, LE_TYPE_Q4_1,   LE_TYPE_Q5_0,
    LE_TYPE_Q5_1, LE_TYPE_Q8_0, LE_TYPE_Q2_K, LE_TYPE_Q3_K, LE_TYPE_Q4_K,   LE_TYPE_Q5_K,
    LE_TYPE_Q6_K, LE_TYPE_IQ4_NL, LE_TYPE_IQ4_XS, LE_TYPE_MXFP4,
};
enum { N_TYPES = sizeof(all_types) / sizeof(*all_types) };

static bool is_k(uint32_t type) /* blocks of 256 */
{
    uint32_t block = 0, bytes;
    return le_type_block(type, &block, &bytes) && block == 256;
}

/* At a width that is no multiple of 256 where the type has such rows. */
static void check_type(uint32_t type, uint32_t rows)
{
    check_matmul(&(struct matmul_case){ type, is_k(type) ? 512 : 352, 130, rows });
}

/* One row of every type, and many of one of each layout that the cases below leave out. */
static void matmul_every_type(void)
{
    static const uint32_t many[] = { LE_TYPE_BF16, LE_TYPE_Q5_0, LE_TYPE_Q5_1,  LE_TYPE_Q2_K,
                                     LE_TYPE_Q3_K, LE_TYPE_IQ4_XS, LE_TYPE_MXFP4 };
    open_pair();
    for (size_t t = 0; t < N_TYPES; t++)
        check_type(all_types[t], 1);
    for (size_t t = 0; t < sizeof(many) / sizeof(*many); t++)
        check_type(many[t], 37);
    close_pair();
}

static void matmul_every_row_count(void)
{
    static const uint32_t rows[] = { 2, 7, 8, 9, 16, 17, 32, 33, 64, 65, 70, 512 };
    open_pair();
    for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
        check_matmul(&(struct matmul_case){ LE_TYPE_Q4_0, 256, 130, rows[r] });
        check_matmul(&(struct matmul_case){ LE_TYPE_Q6_K, 256, 67, rows[r] });
    }
    close_pair();
}

static void matmul_real_and_odd_shapes(void)
{
    static const struct matmul_case cases[] = {
        { LE_TYPE_Q8_0, 256, 4096, 1 },   { LE_TYPE_Q6_K, 256, 4096, 512 },
        { LE_TYPE_Q8_0, 1536, 2048, 1 },  { LE_TYPE_Q4_0, 1536, 2048, 8 },
        { LE_TYPE_Q6_K, 1536, 2048, 33 }, { LE_TYPE_Q4_0, 2112, 96, 5 },
        { LE_TYPE_Q8_0, 704, 100, 40 },   { LE_TYPE_F16, 2048, 256, 3 },
        { LE_TYPE_F32, 5376, 33, 2 },     { LE_TYPE_Q4_0, 32, 7, 512 },
        { LE_TYPE_F32, 1, 1, 1 },         { LE_TYPE_F32, 33, 5, 9 },
        { LE_TYPE_F16, 37, 3, 4 },        { LE_TYPE_F16, 51, 65, 65 },
        { LE_TYPE_F32, 255, 129, 1 },     { LE_TYPE_Q8_0, 64, 1, 17 },
    };
    open_pair();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_matmul(&cases[i]);
    close_pair();
}

static void matmul_split_into_parts(void)
{
    open_pair();
    gpu_set_part_max(pair.be[1], 10000);
    static const uint32_t types[] = { LE_TYPE_Q4_0, LE_TYPE_Q4_K };
    for (size_t t = 0; t < 2; t++) {
        for (uint32_t tokens = 1; tokens < 40; tokens += 12)
            check_matmul(&(struct matmul_case){ types[t], 256, 203, tokens });
        struct pair_weight w = pair_weight(&pair, types[t], 256, 203);
        if (!w.w[0] || gpu_weight_parts(w.w[1]) < 2)
            fail_closed(le_type_name(types[t]), "was not split");
    }
    close_pair();
}

static void check_embed(uint32_t type, uint32_t width, uint32_t vocab, uint32_t tokens)
{
    char name[96];
    snprintf(name, sizeof(name), "embed %s %ux%u, %u tokens", le_type_name(type), width, vocab,
             tokens);
    struct matmul_args a = { .scale = 16.0f };
    a.w = pair_weight(&pair, type, width, vocab);
    a.dst = pair_output(&pair, (size_t)tokens * width);
    if (!a.w.w[0] || !a.dst.b[0])
        fail_closed(name, "could not be made");
    struct le_step step = step_of(tokens, 0, 0);
    run_and_compare(name, emit_embed, &a, &step, &a.dst, (size_t)tokens * width, 2e-7);
}

static void embed_every_type(void)
{
    open_pair();
    for (size_t t = 0; t < N_TYPES; t++) {
        check_embed(all_types[t], 256, 40, 1);
        check_embed(all_types[t], 1536, 40, 9);
        gpu_set_part_max(pair.be[1], 5000);
        check_embed(all_types[t], 256, 40, 40);
        gpu_set_part_max(pair.be[1], UINT64_MAX);
    }
    check_embed(LE_TYPE_F16, 35, 41, 5);
    close_pair();
}

/* No access leaves its buffer, at shapes that fill no workgroup. */
static void matmul_and_embed_stay_inside_their_buffers(void)
{
    static const uint32_t types[] = { LE_TYPE_F32, LE_TYPE_Q5_1, LE_TYPE_Q2_K, LE_TYPE_Q6_K };
    open_pair();
    gpu_set_check(pair.be[1], true);
    for (size_t t = 0; t < 4; t++) {
        check_matmul(&(struct matmul_case){ types[t], 256, 67, 1 });
        check_embed(types[t], 256, 40, 9);
    }
    check_matmul(&(struct matmul_case){ LE_TYPE_F16, 37, 3, 5 });
    check_matmul(&(struct matmul_case){ LE_TYPE_Q6_K, 256, 67, 19 });
    check_matmul(&(struct matmul_case){ LE_TYPE_Q4_0, 256, 67, 50 });
    close_pair();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(matmul_every_type),
        CASE(matmul_every_row_count),
        CASE(matmul_real_and_odd_shapes),
        CASE(matmul_split_into_parts),
        CASE(embed_every_type),
        CASE(matmul_and_embed_stay_inside_their_buffers),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

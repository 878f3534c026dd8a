/* The three ops of mixture of experts on Vulkan against the scalar CPU: the choice, the matrices of
 * the chosen experts for few and for many rows, also of weights in many parts, and the sum. Any
 * validation message fails the case. Errors are relative to the largest value of the reference. */
#include "tests/unit/check.h"
#include "tests/unit/engine/support_gpu_ops.h"

enum { TOKENS_MOST = LE_STEP_TOKENS_MAX };

struct experts_args {
    struct pair_buf logits, scale, ids, weights, src, hidden, dst;
    struct pair_weight w;
    uint32_t n_experts, used, width;
    bool per_expert, route;
    enum le_rows rows;
};

static void emit_route(struct pair *p, int side, void *arg)
{
    struct experts_args *a = arg;
    const struct le_route route = { .ids = a->ids.b[side], .weights = a->weights.b[side],
                                    .logits = a->logits.b[side], .scale = a->scale.b[side],
                                    .n_experts = a->n_experts, .used = a->used, .rows = a->rows };
    p->ops[side]->route(p->be[side], &route);
}

static void emit_experts(struct pair *p, int side, void *arg)
{
    struct experts_args *a = arg;
    const struct le_expert_matmul matmul = {
        .dst = a->dst.b[side], .src = a->src.b[side], .ids = a->ids.b[side], .w = a->w.w[side],
        .used = a->used, .per_expert = a->per_expert, .rows = a->rows,
    };
    if (a->route)
        emit_route(p, side, arg);
    p->ops[side]->expert_matmul(p->be[side], &matmul);
}

static void emit_sum(struct pair *p, int side, void *arg)
{
    struct experts_args *a = arg;
    const struct le_expert_sum sum = { .dst = a->dst.b[side], .src = a->src.b[side],
                                       .weights = a->weights.b[side], .width = a->width,
                                       .used = a->used, .rows = a->rows };
    p->ops[side]->expert_sum(p->be[side], &sum);
}

/* ---- route ---- */

static bool same_ids(const struct experts_args *a, uint32_t rows)
{
    return memcmp(pair.ops[0]->host(a->ids.b[0]), pair.ops[1]->host(a->ids.b[1]),
                  (size_t)rows * a->used * sizeof(float)) == 0;
}

static void check_route(uint32_t n_experts, uint32_t used, uint32_t tokens, float amplitude,
                        bool scale, bool coarse)
{
    char name[96];
    snprintf(name, sizeof(name), "route %u of %u, %u rows, |x| < %g", used, n_experts, tokens,
             (double)amplitude);
    struct experts_args a = { .n_experts = n_experts, .used = used, .rows = LE_ROWS_TOKENS };
    a.logits = pair_input(&pair, (size_t)tokens * n_experts, amplitude);
    a.ids = pair_output(&pair, (size_t)tokens * used);
    a.weights = pair_output(&pair, (size_t)tokens * used);
    float scales[LE_STEP_TOKENS_MAX];
    for (uint32_t i = 0; i < n_experts; i++)
        scales[i] = 1.5f + pair_random(&pair);
    if (scale)
        a.scale = pair_const(&pair, scales, n_experts);
    for (int side = 0; coarse && side < 2; side++) /* many equal ones */
        for (size_t i = 0; i < (size_t)tokens * n_experts; i++)
            pair.ops[side]->host(a.logits.b[side])[i] =
                roundf(pair.ops[side]->host(a.logits.b[side])[i]);
    struct le_step step = step_of(tokens, 0, 0);
    run_and_compare(name, emit_route, &a, &step, &a.weights, (size_t)tokens * used, 2e-6);
    if (!same_ids(&a, tokens))
        fail_closed(name, "other experts");
}

static void the_choice_of_experts(void)
{
    open_pair();
    check_route(128, 8, 512, 4.0f, true, false);
    check_route(128, 8, 1, 4.0f, true, false);
    check_route(128, 8, 33, 3.0f, false, true); /* of equals the lower index first */
    check_route(16, 4, 9, 80.0f, true, false);  /* all but one are next to nothing */
    check_route(5, 5, 3, 1.0f, true, false);
    check_route(1, 1, 2, 1.0f, false, false);
    check_route(200, 3, 7, 200.0f, false, false); /* below the smallest exponential */
    close_pair();
}

/* What follows must not read outside the weights, whatever the logits are. */
static void logits_that_are_not_numbers_choose_some_expert(void)
{
    open_pair();
    struct experts_args a = { .n_experts = 12, .used = 4, .rows = LE_ROWS_TOKENS };
    a.logits = pair_input(&pair, 12, 1.0f);
    a.ids = pair_output(&pair, 4);
    a.weights = pair_output(&pair, 4);
    for (int i = 0; a.logits.b[0] && i < 12; i++)
        pair.ops[1]->host(a.logits.b[1])[i] = i == 3 ? INFINITY : NAN;
    struct le_step step = step_of(1, 0, 0);
    struct tg_error err = { .text = "" };
    enum tg_status status = pair_run(&pair, emit_route, &a, &step, 1, 0, false, &err);
    bool within = true;
    for (int i = 0; !status && i < 4; i++) {
        uint32_t id;
        memcpy(&id, pair.ops[1]->host(a.ids.b[1]) + i, sizeof(id));
        within = within && id < 12;
    }
    close_pair();
    CHECK_INT(status, TG_OK);
    CHECK(within);
}

/* ---- matrices ---- */

struct matmul_case {
    uint32_t type, in, out, experts, used, tokens;
    bool per_expert;
};

/* Ids of the host's: distinct in a row, a few experts chosen by most rows. */
static void fill_ids(const struct experts_args *a, const struct matmul_case *c)
{
    for (uint32_t r = 0; r < c->tokens; r++) {
        for (uint32_t j = 0; j < c->used; j++) {
            uint32_t id = (j == 0 ? r % 2 : r * 5 + j) % c->experts;
            memcpy(pair.ops[0]->host(a->ids.b[0]) + r * c->used + j, &id, sizeof(id));
            memcpy(pair.ops[1]->host(a->ids.b[1]) + r * c->used + j, &id, sizeof(id));
        }
    }
}

static void check_experts(const struct matmul_case *c)
{
    char name[96];
    snprintf(name, sizeof(name), "experts %s %ux%u, %u of %u, %u rows%s", le_type_name(c->type),
             c->in, c->out, c->used, c->experts, c->tokens, c->per_expert ? ", own" : "");
    size_t pairs = (size_t)c->tokens * c->used, n = pairs * c->out;
    struct experts_args a = { .used = c->used, .per_expert = c->per_expert,
                              .rows = LE_ROWS_TOKENS };
    a.w = pair_experts(&pair, c->type, c->in, c->out, c->experts);
    a.src = pair_input(&pair, (c->per_expert ? pairs : c->tokens) * c->in, 2.0f);
    a.ids = pair_input(&pair, pairs, 1.0f);
    a.dst = pair_output(&pair, n);
    if (!a.w.w[0] || !a.src.b[0] || !a.ids.b[0] || !a.dst.b[0])
        fail_closed(name, "could not be made");
    fill_ids(&a, c);
    struct le_step step = step_of(c->tokens, 0, 0);
    run_and_compare(name, emit_experts, &a, &step, &a.dst, n, 5e-6);
}

static void matrices_of_chosen_experts(void)
{
    static const struct matmul_case cases[] = {
        { LE_TYPE_Q4_0, 256, 130, 16, 4, 1, false }, { LE_TYPE_Q4_0, 256, 130, 16, 4, 8, false },
        { LE_TYPE_Q4_0, 256, 130, 16, 4, 9, false }, { LE_TYPE_Q4_0, 256, 130, 16, 4, 70, false },
        { LE_TYPE_Q5_0, 96, 67, 16, 4, 1, true },    { LE_TYPE_Q5_0, 96, 67, 16, 4, 70, true },
        { LE_TYPE_Q4_K, 256, 40, 128, 8, 3, true },  { LE_TYPE_Q4_K, 256, 40, 128, 8, 512, true },
        { LE_TYPE_F16, 37, 5, 3, 3, 2, false },      { LE_TYPE_F16, 37, 5, 3, 3, 40, false },
        { LE_TYPE_F32, 64, 1, 1, 1, 33, false },
    };
    open_pair();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_experts(&cases[i]);
    close_pair();
}

static void a_weight_split_within_its_experts(void)
{
    static const uint64_t part_bytes[] = { 3000, 9000, 40000 };
    open_pair();
    for (size_t i = 0; i < 3; i++) {
        gpu_set_part_max(pair.be[1], part_bytes[i]);
        check_experts(&(struct matmul_case){ LE_TYPE_Q4_0, 256, 67, 6, 2, 5, true });
        check_experts(&(struct matmul_case){ LE_TYPE_Q4_0, 256, 67, 6, 2, 37, false });
        struct pair_weight w = pair_experts(&pair, LE_TYPE_Q4_0, 256, 67, 6);
        if (!w.w[0] || gpu_weight_parts(w.w[1]) < 2)
            fail_closed("the weight", "was not split");
    }
    close_pair();
}

/* Ids that the device chose, anew in each replay; classes take turns. */
static void replays_follow_the_choice(void)
{
    open_pair();
    struct experts_args a = { .n_experts = 16, .used = 4, .route = true, .rows = LE_ROWS_TOKENS };
    a.w = pair_experts(&pair, LE_TYPE_Q4_0, 64, 40, 16);
    a.logits = pair_input(&pair, 64 * 16, 2.0f);
    a.src = pair_input(&pair, 64 * 64, 1.0f);
    a.ids = pair_output(&pair, 64 * 4);
    a.weights = pair_output(&pair, 64 * 4);
    a.dst = pair_output(&pair, 64 * 4 * 40);
    if (!a.w.w[0] || !a.logits.b[0] || !a.src.b[0] || !a.ids.b[0] || !a.weights.b[0] || !a.dst.b[0])
        fail_closed("replays", "could not be made");
    static const uint32_t tokens[] = { 1, 5, 64, 9, 8, 1, 30 };
    uint64_t calls = 0;
    for (size_t i = 0; i < 2 * 7; i++) {
        uint32_t n = tokens[i % 7];
        for (size_t v = 0; v < 64 * 16; v++)
            pair.ops[0]->host(a.logits.b[0])[v] = pair.ops[1]->host(a.logits.b[1])[v] =
                3.0f * pair_random(&pair);
        struct le_step step = step_of(n, 0, 0);
        struct tg_error err;
        if (i == 7)
            calls = gpu_vkcmd_count(pair.be[1]);
        if (pair_run(&pair, emit_experts, &a, &step, n == 1 ? 1 : 64, 0, i > 0, &err))
            fail_closed("replays", err.text);
        if (!same_ids(&a, n) || !(pair_error(&pair, &a.dst, (size_t)n * 4 * 40) <= 5e-6))
            fail_closed("replays", "beyond the bound");
    }
    bool none = gpu_vkcmd_count(pair.be[1]) == calls;
    close_pair();
    CHECK(none);
}

/* ---- sum ---- */

static void check_sum(uint32_t width, uint32_t used, uint32_t tokens)
{
    char name[96];
    snprintf(name, sizeof(name), "expert_sum %u of %u, %u rows", used, width, tokens);
    struct experts_args a = { .used = used, .width = width, .rows = LE_ROWS_TOKENS };
    a.src = pair_input(&pair, (size_t)tokens * used * width, 3.0f);
    a.weights = pair_input(&pair, (size_t)tokens * used, 1.0f);
    a.dst = pair_output(&pair, (size_t)tokens * width);
    if (!a.src.b[0] || !a.weights.b[0] || !a.dst.b[0])
        fail_closed(name, "could not be made");
    struct le_step step = step_of(tokens, 0, 0);
    run_and_compare(name, emit_sum, &a, &step, &a.dst, (size_t)tokens * width, 1e-6);
}

static void sums_over_experts(void)
{
    open_pair();
    check_sum(2816, 8, 3);
    check_sum(1, 1, TOKENS_MOST);
    check_sum(65, 4, 33);
    close_pair();
}

static void experts_stay_inside_their_buffers(void)
{
    open_pair();
    gpu_set_check(pair.be[1], true);
    check_route(19, 3, 5, 4.0f, true, false);
    check_experts(&(struct matmul_case){ LE_TYPE_Q4_0, 32, 7, 5, 3, 3, false });
    check_experts(&(struct matmul_case){ LE_TYPE_Q4_0, 32, 7, 5, 3, 11, true });
    gpu_set_part_max(pair.be[1], 200);
    check_experts(&(struct matmul_case){ LE_TYPE_Q4_0, 32, 7, 5, 3, 11, true });
    check_sum(33, 3, 5);
    close_pair();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(the_choice_of_experts),
        CASE(logits_that_are_not_numbers_choose_some_expert),
        CASE(matrices_of_chosen_experts),
        CASE(a_weight_split_within_its_experts),
        CASE(replays_follow_the_choice),
        CASE(sums_over_experts),
        CASE(experts_stay_inside_their_buffers),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

/* Device memory: many buffers in few allocations, uploads through a bounded piece of host memory,
 * and tensors cut to what the weakest driver allocates, up to a whole model. */
#include "tests/unit/check.h"
#include "local_engine/vulkan/record.h"
#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"
#include "tests/unit/engine/support_gpu_ops.h"

enum { MANY = 600, STAGING_MOST = 256 << 20 };

static bool overlap(const struct le_buf *a, const struct le_buf *b)
{
    return a->mem.addr < b->mem.addr + b->mem.size && b->mem.addr < a->mem.addr + a->mem.size;
}

static void small_buffers_share_allocations(void)
{
    static struct le_buf *b[MANY];
    open_pair();
    struct le_backend *be = pair.be[1];
    uint32_t before = be->n_allocs;
    uint64_t used = 0, used_before = be->used;
    bool made = true, apart = true;
    for (uint32_t i = 0; made && i < MANY; i++) {
        enum le_buf_kind kind = i % 3 == 0 ? LE_BUF_DEVICE : i % 3 == 1 ? LE_BUF_INPUT
                                                                       : LE_BUF_OUTPUT;
        b[i] = pair.ops[1]->buf_new(be, 1 + i * 37 % 3000, kind, NULL);
        made = b[i] != NULL;
        used += made ? b[i]->mem.size : 0;
    }
    for (uint32_t i = 0; made && i < MANY; i++)
        for (uint32_t k = 0; k < i; k++)
            apart = apart && !overlap(b[i], b[k]);
    uint32_t allocations = be->n_allocs - before;
    bool counted = be->used - used_before == used;
    close_pair();
    CHECK(made && apart && counted);
    CHECK(allocations <= 20);
}

static void a_freed_piece_is_used_again(void)
{
    open_pair();
    struct le_backend *be = pair.be[1];
    struct gpu_mem a, b, c;
    bool made = !gpu_mem_shared(be, GPU_MEM_DEVICE, 1000, &a, NULL) &&
                !gpu_mem_shared(be, GPU_MEM_DEVICE, 1000, &b, NULL);
    uint64_t at = made ? b.addr : 0;
    uint32_t allocations = be->n_allocs;
    gpu_mem_free(be, &b);
    made = made && !gpu_mem_shared(be, GPU_MEM_DEVICE, 500, &c, NULL);
    bool again = made && c.addr == at && be->n_allocs == allocations;
    gpu_mem_free(be, &c);
    gpu_mem_free(be, &a);
    bool returned = be->n_allocs == allocations - 1;
    close_pair();
    CHECK(again);
    CHECK(returned);
}

struct matmul_args {
    struct pair_buf dst, src;
    struct pair_weight w;
};

static void emit_matmul(struct pair *p, int side, void *arg)
{
    struct matmul_args *a = arg;
    p->ops[side]->matmul(p->be[side], a->dst.b[side], a->w.w[side], a->src.b[side],
                         LE_ROWS_TOKENS);
}

static void check_uploaded(uint32_t type, uint32_t in, uint32_t out)
{
    struct matmul_args a;
    a.w = pair_weight(&pair, type, in, out);
    a.src = pair_input(&pair, in, 2.0f);
    a.dst = pair_output(&pair, out);
    if (!a.w.w[0] || !a.src.b[0] || !a.dst.b[0])
        fail_closed(le_type_name(type), "could not be made");
    struct le_step step = step_of(1, 0, 0);
    run_and_compare(le_type_name(type), emit_matmul, &a, &step, &a.dst, out, 5e-6);
}

/* As on a device with memory of its own, which the host cannot write. */
static void uploads_go_through_bounded_host_memory(void)
{
    open_pair();
    pair.be[1]->unified = false;
    check_uploaded(LE_TYPE_F32, 1024, 40000); /* 156 MiB: more than all slots hold */
    check_uploaded(LE_TYPE_Q6_K, 512, 3000);
    float values[1000];
    for (int i = 0; i < 1000; i++)
        values[i] = (float)i;
    struct pair_buf b = pair_const(&pair, values, 1000);
    uint64_t staged = gpu_staging_bytes(pair.be[1]);
    bool unmapped = b.b[1] && !b.b[1]->mem.map;
    close_pair();
    CHECK(unmapped);
    CHECK(staged > 0 && staged <= STAGING_MOST);
}

static void no_allocation_above_the_limit(void)
{
    enum { LIMIT = 1 << 20, ROWS = 36000 };
    open_pair_as(LE_EXACT, LIMIT);
    pair.be[1]->unified = false; /* the slots of host memory are small then, too */
    check_uploaded(LE_TYPE_Q4_0, 256, ROWS);
    struct pair_weight w = pair_weight(&pair, LE_TYPE_Q4_0, 256, ROWS);
    uint32_t parts = w.w[0] ? gpu_weight_parts(w.w[1]) : 0;
    struct tg_error err = { .text = "" };
    struct le_buf *large = pair.ops[1]->buf_new(pair.be[1], LIMIT, LE_BUF_DEVICE, &err);
    close_pair();
    CHECK_INT(parts, 5);
    CHECK(!large && err.code == TG_NOMEM);
}

/* ---- a whole model in small parts ---- */

static enum tg_status open_split(const struct le_ops **ops, struct le_backend **be,
                                 struct tg_error *err)
{
    enum tg_status status = open_vulkan(ops, be, err);
    if (!status)
        gpu_set_part_max(*be, 30000);
    return status;
}

enum { N = 24, VOCAB = 4096 };

static void logits_of(const char *path, golden_open_fn *open, float *out)
{
    struct golden_model m;
    struct tg_error err = { .text = "" };
    int32_t ids[N];
    for (uint32_t i = 0; i < N; i++)
        ids[i] = (int32_t)(i == 0 ? 2 : i * 37 % 4000 + 20);
    enum tg_status status = golden_model_open(&m, path, N, open, &err);
    if (!status)
        status = golden_logits(&m, ids, N, N - 1, N - 2, out, &err);
    golden_model_close(&m);
    if (no_vulkan())
        CHECK_SKIP(err.text);
    if (status)
        CHECK_FAIL("%s: %s", path, err.text);
}

static void a_model_in_small_parts(void)
{
    static float want[2 * VOCAB], got[2 * VOCAB];
    static const char path[] = TG_SOURCE_DIR "/tests/golden/tiny-moe-Q4_0.gguf";
    logits_of(path, open_cpu, want);
    logits_of(path, open_split, got);
    for (size_t i = 0; i < 2 * VOCAB; i++)
        CHECK_NEAR(got[i], want[i], 0.01);
    CHECK_INT(vulkan_messages(), 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(small_buffers_share_allocations),
        CASE(a_freed_piece_is_used_again),
        CASE(uploads_go_through_bounded_host_memory),
        CASE(no_allocation_above_the_limit),
        CASE(a_model_in_small_parts),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

/* The backend's protocol: opening and refusing, replay without commands, classes, failures that
 * stick, the pipeline cache, and that validation is really listening. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "config/base/alloc.h"
#include "local_engine/vulkan/record.h"
#include "tests/unit/engine/support_gpu.h"

static struct pair pair;

static void open_pair(void)
{
    struct tg_error err;
    enum tg_status status = pair_open(&pair, &err);
    if (status == TG_NOTFOUND)
        CHECK_SKIP(err.text);
    if (status)
        CHECK_FAIL("gpu_open: %s", err.text);
}

/* The pair is closed before a failure is told, since telling leaves by longjmp. */
#define CLOSE_AND_CHECK(condition)                                                                 \
    do {                                                                                           \
        bool closing_held = (condition);                                                           \
        pair_close(&pair); /* which has messages about what is left */                             \
        if (pair.messages)                                                                         \
            CHECK_FAIL("validation: %s", pair.message);                                            \
        if (!closing_held)                                                                         \
            CHECK_FAIL("not true: %s", #condition);                                                \
    } while (0)

static int32_t ids[LE_STEP_TOKENS_MAX], positions[LE_STEP_TOKENS_MAX];
static uint32_t outputs[LE_STEP_TOKENS_MAX];

static struct le_step step_of(uint32_t tokens, uint32_t n_outputs)
{
    for (uint32_t i = 0; i < tokens; i++) {
        ids[i] = (int32_t)i;
        positions[i] = (int32_t)i;
        outputs[i] = i;
    }
    return (struct le_step){ .n_tokens = tokens, .n_outputs = n_outputs, .id = ids,
                             .pos = positions, .out = outputs };
}

/* A small pass: logits = softcap(W rms(gather(embed))). */
struct pass {
    struct pair_weight table, head;
    struct pair_buf x, h, n, logits;
};

enum { WIDTH = 64, VOCAB = 600, TOKENS = 48, OUTPUTS = 40 };

static void emit_pass(struct pair *p, int side, void *arg)
{
    struct pass *a = arg;
    const struct le_ops *ops = p->ops[side];
    struct le_backend *be = p->be[side];
    ops->embed(be, a->x.b[side], a->table.w[side], 8.0f);
    ops->gather(be, a->h.b[side], a->x.b[side], WIDTH);
    const struct le_rms rms = { .dst = a->n.b[side], .src = a->h.b[side], .width = WIDTH,
                                .per_row = 1, .eps = 1e-6f, .src_scale = 1.0f, .dst_scale = 1.0f,
                                .rows = LE_ROWS_OUTPUTS };
    ops->rms(be, &rms);
    ops->matmul(be, a->logits.b[side], a->head.w[side], a->n.b[side], LE_ROWS_OUTPUTS);
    ops->softcap(be, a->logits.b[side], VOCAB, 30.0f, LE_ROWS_OUTPUTS);
}

static bool make_pass(struct pass *a)
{
    a->table = pair_weight(&pair, LE_TYPE_Q8_0, WIDTH, VOCAB);
    a->head = pair_weight(&pair, LE_TYPE_Q4_0, WIDTH, VOCAB);
    a->x = pair_device(&pair, TOKENS * WIDTH);
    a->h = pair_device(&pair, OUTPUTS * WIDTH);
    a->n = pair_device(&pair, OUTPUTS * WIDTH);
    a->logits = pair_output(&pair, OUTPUTS * VOCAB);
    return a->table.w[0] && a->head.w[0] && a->x.b[0] && a->h.b[0] && a->n.b[0] && a->logits.b[0];
}

static bool pass_agrees(struct pass *a, uint32_t tokens, uint32_t n_outputs, uint32_t class_tokens,
                        uint32_t class_outputs)
{
    struct le_step step = step_of(tokens, n_outputs);
    struct tg_error err = { .code = TG_OK };
    if (pair_run(&pair, emit_pass, a, &step, class_tokens, class_outputs, true, &err)) {
        fprintf(stderr, "%u of %u tokens: %s\n", tokens, class_tokens, err.text);
        return false;
    }
    double error = n_outputs ? pair_error(&pair, &a->logits, (size_t)n_outputs * VOCAB) : 0;
    if (!(error <= 5e-6))
        fprintf(stderr, "%u of %u tokens, %u of %u outputs: error %.1e\n", tokens, class_tokens,
                n_outputs, class_outputs, error);
    return error <= 5e-6;
}

/* Many segments, submitted one by one at first, then together. */
static void a_pass_in_pieces_is_the_same(void)
{
    open_pair();
    gpu_set_cut(pair.be[1], 10000);
    struct pass a;
    bool held = make_pass(&a);
    for (uint32_t n = 1; held && n <= OUTPUTS; n += 13)
        held = pass_agrees(&a, n, n, TOKENS, OUTPUTS) && pass_agrees(&a, 1, 1, 1, 1);
    CLOSE_AND_CHECK(held);
}

enum { LAYERS = 60, MATRICES = 12 }; /* as many as the largest model has, and more */

static void emit_long_pass(struct pair *p, int side, void *arg)
{
    struct pass *a = arg;
    const struct le_ops *ops = p->ops[side];
    ops->embed(p->be[side], a->x.b[side], a->table.w[side], 8.0f);
    ops->gather(p->be[side], a->h.b[side], a->x.b[side], WIDTH);
    for (int i = 0; i < LAYERS * MATRICES; i++)
        ops->matmul(p->be[side], a->logits.b[side], a->head.w[side], a->h.b[side],
                    LE_ROWS_OUTPUTS);
}

/* A large model on a slow device: each matrix in pieces, each piece a segment. */
static void a_pass_of_thousands_of_pieces(void)
{
    enum { FEW = 2 }; /* the time goes into arithmetic, and that is not what is asked */
    open_pair();
    gpu_set_cut(pair.be[1], 40000);
    struct pass a;
    struct le_step step = step_of(FEW, FEW);
    struct tg_error err = { .text = "" };
    bool held = make_pass(&a) && pair_run(&pair, emit_long_pass, &a, &step, FEW, FEW, true,
                                          &err) == TG_OK;
    if (!held)
        fprintf(stderr, "%s\n", err.text);
    uint32_t segments = held ? pair.be[1]->current->n_segments : 0;
    held = held && pair_error(&pair, &a.logits, (size_t)FEW * VOCAB) <= 5e-6;
    fprintf(stderr, "%u segments\n", segments);
    CLOSE_AND_CHECK(held && segments > 4096);
}

static void a_replayed_step_makes_no_command(void)
{
    open_pair();
    struct pass a;
    bool held = make_pass(&a) && pass_agrees(&a, 1, 1, 1, 1);
    uint64_t recorded = gpu_vkcmd_count(pair.be[1]);
    held = held && recorded > 0;
    for (int i = 0; i < 20; i++)
        held = held && pass_agrees(&a, 1, 1, 1, 1);
    uint64_t replayed = gpu_vkcmd_count(pair.be[1]) - recorded;
    CLOSE_AND_CHECK(held && replayed == 0);
}

static void one_class_runs_every_smaller_step(void)
{
    open_pair();
    struct pass a;
    bool held = make_pass(&a);
    for (uint32_t n = 1; held && n <= OUTPUTS; n += n < 10 ? 1 : 5)
        held = pass_agrees(&a, n, n, TOKENS, OUTPUTS) && pass_agrees(&a, n, 1, TOKENS, OUTPUTS);
    held = held && pass_agrees(&a, TOKENS, OUTPUTS, TOKENS, OUTPUTS) &&
           pass_agrees(&a, 1, 1, 1, 1) && pass_agrees(&a, TOKENS, 0, TOKENS, OUTPUTS) &&
           pass_agrees(&a, 3, 0, 3, 0);
    CLOSE_AND_CHECK(held);
}

static bool refused(const struct le_step *step, const char *with)
{
    struct tg_error err = { .code = TG_OK };
    enum tg_status status = pair.ops[1]->run(pair.be[1], step, &err);
    if (status != TG_INVALID)
        fprintf(stderr, "%s: %s\n", with, tg_status_name(status));
    return status == TG_INVALID;
}

static void a_step_beyond_its_class_is_refused_and_the_next_one_runs(void)
{
    open_pair();
    struct pass a;
    bool held = make_pass(&a) && pass_agrees(&a, 5, 2, TOKENS, OUTPUTS);
    struct le_step step = step_of(TOKENS + 1, 1);
    held = held && refused(&step, "too many tokens");
    step = step_of(0, 0);
    held = held && refused(&step, "no tokens");
    step = step_of(TOKENS, OUTPUTS + 1);
    held = held && refused(&step, "too many outputs");
    step = step_of(3, 3);
    outputs[2] = 3;
    held = held && refused(&step, "an output of no token");
    step = step_of(3, 1);
    positions[1] = -1;
    held = held && refused(&step, "a negative position");
    held = held && pass_agrees(&a, 5, 2, TOKENS, OUTPUTS);
    CLOSE_AND_CHECK(held);
}

static void a_buffer_too_small_for_an_op_fails_the_run(void)
{
    open_pair();
    const struct le_ops *ops = pair.ops[1];
    struct pair_buf small = pair_device(&pair, 100), large = pair_device(&pair, 101);
    struct tg_error err = { .code = TG_OK };
    ops->begin(pair.be[1], 1, 1);
    ops->scale(pair.be[1], small.b[1], large.b[1], 101, 1.0f, LE_ROWS_TOKENS);
    struct le_step step = step_of(1, 1);
    enum tg_status first = ops->run(pair.be[1], &step, &err);
    bool named = strstr(err.text, "scale") != NULL;
    ops->begin(pair.be[1], 1, 1);
    enum tg_status second = ops->run(pair.be[1], &step, &err);
    CLOSE_AND_CHECK(first == TG_INTERNAL && named && second == TG_INTERNAL);
}

/* One map dispatch that reads width floats from addr into dst, declared as nothing. */
static enum tg_status run_stray(uint64_t addr, const struct le_buf *dst, uint32_t width,
                                struct tg_error *err)
{
    struct le_backend *be = pair.be[1];
    const struct gpu_push_map push = { .dst = dst->mem.addr, .src = addr, .step = be->step.addr,
                                       .width = width, .scale = 1.0f };
    const struct gpu_dispatch d = {
        .name = "stray", .shader = GPU_MAP, .spec = { GPU_GROUP, GPU_MAP_SCALE }, .push = &push,
        .push_size = sizeof(push),
        .grid = { .x = 1, .per_group = 1, .least = 1, .most = 1, .rows = LE_ROWS_TOKENS },
    };
    gpu_forget(be);
    pair.ops[1]->begin(be, 1, 0);
    gpu_dispatch(be, &d);
    struct le_step step = step_of(1, 0);
    return pair.ops[1]->run(be, &step, err);
}

static void the_checked_variant_finds_a_stray_address(void)
{
    open_pair();
    gpu_set_check(pair.be[1], true);
    struct pass a;
    bool held = make_pass(&a) && pass_agrees(&a, 5, 2, TOKENS, OUTPUTS);
    struct pair_buf src = pair_input(&pair, 33, 1.0f), dst = pair_output(&pair, 64);
    held = held && src.b[0] && dst.b[0];
    struct tg_error err = { .code = TG_OK };
    held = held && run_stray(src.b[1]->mem.addr, dst.b[1], 33, &err) == TG_OK;
    enum tg_status behind = held ? run_stray(src.b[1]->mem.addr, dst.b[1], 34, &err) : TG_OK;
    bool named = strstr(err.text, "0x") != NULL;
    CLOSE_AND_CHECK(held && behind == TG_INTERNAL && named);
}

static void a_lost_device_is_a_status(void)
{
    open_pair();
    struct pass a;
    bool held = make_pass(&a) && pass_agrees(&a, 5, 2, TOKENS, OUTPUTS);
    gpu_lose(pair.be[1]);
    struct tg_error err = { .code = TG_OK };
    struct le_step step = step_of(1, 1);
    pair.ops[1]->begin(pair.be[1], 1, 1);
    enum tg_status status = pair.ops[1]->run(pair.be[1], &step, &err);
    CLOSE_AND_CHECK(held && status == TG_DEVICE && err.text[0]);
}

/* Memory may be back: the next pass is recorded anew, and the engine's other jobs go on. */
static void a_pass_without_memory_is_no_end(void)
{
    open_pair();
    struct pass a;
    bool held = make_pass(&a);
    for (uint64_t nth = 1; held && nth <= 2; nth++) {
        struct le_step step = step_of(5, 2);
        struct tg_error err = { .code = TG_OK };
        tg_alloc_fail_nth(nth);
        bool recorded = pair.ops[1]->begin(pair.be[1], TOKENS, OUTPUTS);
        tg_alloc_fail_nth(0);
        held = !recorded && pair.ops[1]->run(pair.be[1], &step, &err) == TG_NOMEM;
    }
    held = held && pass_agrees(&a, 5, 2, TOKENS, OUTPUTS);
    CLOSE_AND_CHECK(held);
}

static VKAPI_ATTR VkResult VKAPI_CALL refuse_submit(VkQueue queue, uint32_t n,
                                                    const VkSubmitInfo2 *infos, VkFence fence)
{
    (void)queue;
    (void)n;
    (void)infos;
    (void)fence;
    return VK_ERROR_OUT_OF_HOST_MEMORY;
}

/* Part of a pass may be running: only opening the device again is safe, as TG_DEVICE asks. */
static void a_refused_submit_is_a_lost_device(void)
{
    open_pair();
    struct pass a;
    bool held = make_pass(&a) && pass_agrees(&a, 5, 2, TOKENS, OUTPUTS);
    pair.be[1]->vk.QueueSubmit2 = refuse_submit;
    struct tg_error err = { .code = TG_OK };
    struct le_step step = step_of(5, 2);
    pair.ops[1]->begin(pair.be[1], TOKENS, OUTPUTS);
    enum tg_status status = pair.ops[1]->run(pair.be[1], &step, &err);
    CLOSE_AND_CHECK(held && status == TG_DEVICE && strstr(err.text, "vkQueueSubmit2") != NULL);
}

/* ---- stopping inside a step ---- */

static atomic_bool stop;
static uint32_t submits, stop_after; /* 0: never */
static PFN_vkQueueSubmit2 real_submit;

static VKAPI_ATTR VkResult VKAPI_CALL count_submit(VkQueue queue, uint32_t n,
                                                   const VkSubmitInfo2 *infos, VkFence fence)
{
    if (++submits == stop_after)
        atomic_store(&stop, true);
    return real_submit(queue, n, infos, fence);
}

/* The pass in a step of so many tokens; how many submits it took. */
static enum tg_status stopped_run(struct pass *a, uint32_t after)
{
    struct le_step step = step_of(TOKENS, OUTPUTS);
    struct tg_error err = { .code = TG_OK };
    atomic_store(&stop, false);
    submits = 0;
    stop_after = after;
    step.stop = &stop;
    if (pair.ops[1]->begin(pair.be[1], TOKENS, OUTPUTS))
        emit_pass(&pair, 1, a);
    return pair.ops[1]->run(pair.be[1], &step, &err);
}

static void a_step_is_left_between_two_submits(void)
{
    open_pair();
    gpu_set_cut(pair.be[1], WIDTH * 64.0 * OUTPUTS); /* a tile of the head's rows */
    struct pass a;
    bool held = make_pass(&a) && pass_agrees(&a, TOKENS, OUTPUTS, TOKENS, OUTPUTS);
    real_submit = pair.be[1]->vk.QueueSubmit2;
    pair.be[1]->vk.QueueSubmit2 = count_submit;
    held = held && stopped_run(&a, 0) == TG_OK;
    pair.be[1]->rate = 1; /* the first two segments are a submit each */
    held = held && stopped_run(&a, 0) == TG_OK;
    uint32_t all = submits;
    pair.be[1]->rate = 1;
    held = held && stopped_run(&a, 2) == TG_CANCELLED;
    uint32_t until = submits;
    held = held && pass_agrees(&a, TOKENS, OUTPUTS, TOKENS, OUTPUTS);
    struct le_step step = step_of(5, 2); /* stopped before it began */
    step.stop = &stop;
    atomic_store(&stop, true);
    submits = 0;
    struct tg_error err = { .code = TG_OK };
    pair.ops[1]->begin(pair.be[1], TOKENS, OUTPUTS);
    held = held && pair.ops[1]->run(pair.be[1], &step, &err) == TG_CANCELLED && submits == 0;
    held = held && pass_agrees(&a, 5, 2, TOKENS, OUTPUTS);
    fprintf(stderr, "%u submits, %u until the stop\n", all, until);
    CLOSE_AND_CHECK(held && all > 2 && until == 2);
}

static void validation_is_listening(void)
{
    open_pair();
    if (!gpu_has_validation(pair.be[1])) {
        pair_close(&pair);
        CHECK_SKIP("no validation layers installed");
    }
    struct le_backend *be = pair.be[1];
    const VkBufferCreateInfo wrong = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = 0,
                                       .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT };
    VkBuffer buffer = VK_NULL_HANDLE;
    if (be->vk.CreateBuffer(be->device, &wrong, NULL, &buffer) == VK_SUCCESS)
        be->vk.DestroyBuffer(be->device, buffer, NULL);
    unsigned messages = pair.messages;
    pair.messages = 0;
    CLOSE_AND_CHECK(messages > 0);
}

static enum tg_status open_quietly(bool software, struct tg_error *err)
{
    const struct gpu_options options = { .software = software };
    const struct le_ops *ops = NULL;
    struct le_backend *be = NULL;
    enum tg_status status = gpu_open(&options, &ops, &be, err);
    if (status == TG_OK)
        ops->close(be);
    return status;
}

static void a_software_device_is_taken_only_when_asked_for(void)
{
    open_pair();
    bool is_software = pair.be[1]->props.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    pair_close(&pair);
    struct tg_error err = { .code = TG_OK };
    if (!is_software)
        CHECK_SKIP("there is a real GPU");
    CHECK_INT(open_quietly(false, &err), TG_NOTFOUND);
    CHECK(strstr(err.text, "device cpu") != NULL);
}

static void without_a_driver_it_says_so(void)
{
    CHECK(setenv("VK_DRIVER_FILES", "/nonexistent/driver.json", 1) == 0);
    CHECK(setenv("VK_ICD_FILENAMES", "/nonexistent/driver.json", 1) == 0);
    struct tg_error err = { .code = TG_OK };
    enum tg_status status = open_quietly(true, &err);
    unsetenv("VK_DRIVER_FILES");
    unsetenv("VK_ICD_FILENAMES");
    CHECK_INT(status, TG_NOTFOUND);
    CHECK(strstr(err.text, "device cpu") != NULL);
}

static void failing_allocations_leave_nothing_behind(void)
{
    open_pair();
    pair_close(&pair);
    for (uint64_t nth = 1; nth < 200; nth++) {
        tg_alloc_fail_nth(nth);
        struct tg_error err;
        enum tg_status status = pair_open(&pair, &err);
        struct pass a;
        bool held = status == TG_OK && make_pass(&a) && pass_agrees(&a, 5, 2, TOKENS, OUTPUTS);
        uint64_t made = tg_alloc_count();
        tg_alloc_fail_nth(0);
        pair_close(&pair);
        if (made < nth) {
            CHECK(held); /* nothing failed this time */
            return;
        }
        CHECK(!held);
    }
    CHECK(!"the number of allocations is small");
}

/* ---- the pipeline cache ---- */

static void emit_scale(struct pair *p, int side, void *arg)
{
    struct pair_buf *b = arg;
    p->ops[side]->scale(p->be[side], b[1].b[side], b[0].b[side], WIDTH, 2.0f, LE_ROWS_TOKENS);
}

/* One op, and so one pipeline. */
static bool scale_agrees(void)
{
    struct pair_buf b[2] = { pair_input(&pair, WIDTH, 1.0f), pair_output(&pair, WIDTH) };
    struct le_step step = step_of(1, 0);
    struct tg_error err;
    return b[0].b[0] && b[1].b[0] &&
           pair_run(&pair, emit_scale, b, &step, 1, 0, false, &err) == TG_OK &&
           pair_error(&pair, &b[1], WIDTH) <= 1e-7;
}

static enum tg_status open_cached(const char *dir, bool *held)
{
    struct tg_error err;
    pair_open(&pair, &err);
    pair.ops[1]->close(pair.be[1]);
    pair.be[1] = NULL;
    const struct gpu_options options = { .software = true, .cache_dir = dir };
    enum tg_status status = gpu_open(&options, &pair.ops[1], &pair.be[1], &err);
    *held = status == TG_OK && scale_agrees();
    return status;
}

/* Runs with the cache directory, tells the file's size. */
static bool runs_with_cache(const char *dir, char *path, size_t room, off_t *size)
{
    bool held = false;
    if (open_cached(dir, &held) == TG_OK)
        snprintf(path, room, "%s", pair.be[1]->cache_path);
    pair_close(&pair);
    struct stat st;
    *size = stat(path, &st) ? -1 : st.st_size;
    return held;
}

static void the_pipeline_cache_survives_damage(void)
{
    open_pair();
    pair_close(&pair);
    char dir[] = P_tmpdir "/tollgate-cache-XXXXXX", path[256] = "";
    CHECK(mkdtemp(dir) != NULL);
    off_t size = 0, again = 0;
    bool held = runs_with_cache(dir, path, sizeof(path), &size) && size > 32;
    held = held && runs_with_cache(dir, path, sizeof(path), &again) && again > 32;
    static const long damage[] = { 0, 5, 9, 20, 33, 40, 60 };
    for (size_t i = 0; held && i < sizeof(damage) / sizeof(*damage); i++) {
        FILE *f = fopen(path, "r+b");
        held = f && fseek(f, damage[i], SEEK_SET) == 0 && fputc(0xa5, f) != EOF;
        held = f && fclose(f) == 0 && held && runs_with_cache(dir, path, sizeof(path), &again) &&
               again > 32;
    }
    for (off_t cut = 0; held && cut < size && cut < 70; cut += 16)
        held = truncate(path, cut) == 0 && runs_with_cache(dir, path, sizeof(path), &again) &&
               again > 32;
    unlink(path);
    bool clean = rmdir(dir) == 0; /* no temporary file is left */
    bool nowhere = false;
    CHECK_INT(open_cached("/nonexistent/directory", &nowhere), TG_OK);
    pair_close(&pair);
    CHECK(held && clean && nowhere);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_pass_in_pieces_is_the_same),
        CASE(a_pass_of_thousands_of_pieces),
        CASE(a_replayed_step_makes_no_command),
        CASE(one_class_runs_every_smaller_step),
        CASE(a_step_beyond_its_class_is_refused_and_the_next_one_runs),
        CASE(a_buffer_too_small_for_an_op_fails_the_run),
        CASE(the_checked_variant_finds_a_stray_address),
        CASE(a_lost_device_is_a_status),
        CASE(a_pass_without_memory_is_no_end),
        CASE(a_refused_submit_is_a_lost_device),
        CASE(a_step_is_left_between_two_submits),
        CASE(validation_is_listening),
        CASE(a_software_device_is_taken_only_when_asked_for),
        CASE(without_a_driver_it_says_so),
        CASE(failing_allocations_leave_nothing_behind),
        CASE(the_pipeline_cache_survives_damage),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

/* What a model's buffers may take: a context that the memory cannot hold is refused in words that
 * help, before any of it is touched. */
#include "tests/unit/check.h"

#include <unistd.h>

#include "local_engine/device.h"
#include "local_engine/vulkan/internal.h"
#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define MODEL TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf"

/* Twice the machine's memory in four buffers, each of which the system alone would grant: two
 * global layers with 128 floats of keys and of values a position. */
static uint32_t context_too_large(void)
{
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return bytes / 1024 < UINT32_MAX ? (uint32_t)(bytes / 1024) : UINT32_MAX;
}

static void refused(golden_open_fn *open)
{
    struct golden_model m;
    struct tg_error err = { 0 };
    enum tg_status status = golden_model_open(&m, MODEL, context_too_large(), open, &err);
    golden_model_close(&m);
    if (open == open_vulkan && no_vulkan())
        CHECK_SKIP(err.text);
    CHECK_INT(status, TG_NOMEM);
    if (!strstr(err.text, "keys and values of a context of") ||
        !strstr(err.text, "set a smaller context"))
        CHECK_FAIL("%s", err.text);
}

static void a_context_beyond_the_memory_is_refused(void)
{
    refused(open_cpu);
}

static void a_context_beyond_the_device_is_refused(void)
{
    refused(open_vulkan);
}

static void a_heap_is_never_promised_twice(void)
{
    enum { MOST = 256 };
    static struct gpu_mem mem[MOST];
    const struct le_ops *ops;
    struct le_backend *be;
    struct tg_error err = { 0 };
    enum tg_status status = open_vulkan(&ops, &be, &err);
    if (no_vulkan())
        CHECK_SKIP(err.text);
    CHECK_INT(status, TG_OK);
    uint64_t sum = 0, heap = 0;
    for (uint32_t i = 0; i < be->memory.memoryHeapCount; i++)
        heap = be->memory.memoryHeaps[i].size > heap ? be->memory.memoryHeaps[i].size : heap;
    uint64_t each = heap / 8 < be->alloc_max ? heap / 8 : be->alloc_max;
    uint32_t n = 0;
    while (n < MOST && sum <= heap && !status) {
        status = gpu_mem_new(be, GPU_MEM_DEVICE, each, &mem[n], &err);
        sum += status ? 0 : mem[n++].size;
    }
    bool refused_it = status == TG_NOMEM && sum <= heap && n > 0;
    uint32_t freed = n;
    while (n)
        gpu_mem_free(be, &mem[--n]);
    bool again = gpu_mem_new(be, GPU_MEM_DEVICE, each, &mem[0], NULL) == TG_OK;
    if (again)
        gpu_mem_free(be, &mem[0]);
    ops->close(be);
    if (!refused_it)
        CHECK_FAIL("%u buffers of %llu bytes in a heap of %llu: %s", freed,
                   (unsigned long long)each, (unsigned long long)heap, err.text);
    CHECK(again);
}

/* Heaps without end: what bounds them is the machine, but for a GPU with memory of its own. */
static void an_integrated_gpu_has_what_the_machine_has(void)
{
    const struct le_ops *ops;
    struct le_backend *be;
    const char *where[2];
    struct tg_error err = { 0 };
    enum tg_status status = open_vulkan(&ops, &be, &err);
    if (no_vulkan())
        CHECK_SKIP(err.text);
    CHECK_INT(status, TG_OK);
    bool made = ops->buf_new(be, 1 << 20, LE_BUF_DEVICE, &err) != NULL;
    for (uint32_t i = 0; i < be->memory.memoryHeapCount; i++)
        be->memory.memoryHeaps[i].size = UINT64_MAX / 2;
    be->unified = true;
    uint64_t integrated = le_device_room(ops, be, &where[0]);
    be->unified = false;
    uint64_t discrete = le_device_room(ops, be, &where[1]), used, most;
    ops->memory(be, &used, &most);
    ops->close(be);
    CHECK(integrated <= le_machine_memory());
    CHECK_STR(where[0], "this machine");
    CHECK(made && used > 0 && discrete == UINT64_MAX / 2 - used);
    CHECK_STR(where[1], "the GPU");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_context_beyond_the_memory_is_refused),
        CASE(a_context_beyond_the_device_is_refused),
        CASE(a_heap_is_never_promised_twice),
        CASE(an_integrated_gpu_has_what_the_machine_has),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

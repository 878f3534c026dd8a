/* The checked variant: shaders look every address up in a table of what the backend allocated,
 * because neither validation layers nor drivers see an access through a wrong device address. */
#include <stdlib.h>

#include "local_engine/vulkan/record.h"

struct range {
    uint64_t begin, end;
};

static int by_begin(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static uint32_t count_ranges(const struct le_backend *be)
{
    uint32_t n = 0;
    for (const struct le_buf *b = be->bufs; b; b = b->next)
        n++;
    for (const struct le_weight *w = be->weights; w; w = w->next)
        n += w->n_parts;
    return n;
}

static void fill_ranges(const struct le_backend *be, struct range *out, uint32_t n)
{
    uint32_t i = 0;
    for (const struct le_buf *b = be->bufs; b; b = b->next)
        out[i++] = (struct range){ b->mem.addr, b->mem.addr + b->bytes };
    for (const struct le_weight *w = be->weights; w; w = w->next)
        for (uint32_t part = 0; part < w->n_parts; part++)
            out[i++] = (struct range){ w->parts[part].mem.addr,
                                       w->parts[part].mem.addr + w->parts[part].mem.size };
    qsort(out, n, sizeof(*out), by_begin);
}

enum tg_status gpu_check_begin(struct le_backend *be, struct gpu_step *step, struct tg_error *err)
{
    step->bad = 0;
    if (!be->check)
        return TG_OK;
    uint32_t n = count_ranges(be);
    if (n * sizeof(struct range) > be->ranges.size) {
        gpu_mem_free(be, &be->ranges);
        enum tg_status status =
            gpu_mem_new(be, GPU_MEM_UPLOAD, 2 * n * sizeof(struct range), &be->ranges, err);
        if (status)
            return status;
    }
    if (n)
        fill_ranges(be, be->ranges.map, n);
    step->n_ranges = n;
    step->ranges[0] = (uint32_t)be->ranges.addr;
    step->ranges[1] = (uint32_t)(be->ranges.addr >> 32);
    return TG_OK;
}

enum tg_status gpu_check_end(struct le_backend *be, const struct gpu_step *step,
                             struct tg_error *err)
{
    if (!be->check || !step->bad)
        return TG_OK;
    return tg_fail(err, TG_INTERNAL, "a shader used address 0x%08x%08x, which is in no buffer",
                   step->bad_at[1], step->bad_at[0]);
}

void gpu_set_check(struct le_backend *be, bool on)
{
    gpu_forget(be);
    be->check = on;
}

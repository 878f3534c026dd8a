#include "local_engine/vulkan/recorder.h"

void gpu_recorder_reset(struct gpu_recorder *r)
{
    r->n = 0;
}

static bool conflicts(const struct gpu_access *a, const struct gpu_access *b)
{
    return (a->write || b->write) && a->begin < b->end && b->begin < a->end;
}

static bool hazard(const struct gpu_recorder *r, const struct gpu_access *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < r->n; j++)
            if (conflicts(&a[i], &r->pending[j]))
                return true;
    return false;
}

bool gpu_recorder_op(struct gpu_recorder *r, const struct gpu_access *a, size_t n)
{
    bool barrier = r->n + n > GPU_ACCESSES_MAX || hazard(r, a, n);
    if (barrier)
        r->n = 0;
    for (size_t i = 0; i < n; i++)
        r->pending[r->n++] = a[i];
    return barrier;
}

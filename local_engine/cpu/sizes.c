/* What the backend would take, without opening it: buffers.c and weights.c in numbers. */
#include "local_engine/cpu/cpu.h"

uint64_t cpu_buf_bytes(const struct cpu_options *options, size_t n, enum le_buf_kind kind)
{
    const struct cpu_set *set;
    if (cpu_choose(options->kernels, &set, NULL))
        return 0;
    bool halves = kind == LE_BUF_KV && options->precision == LE_FAST && set->tile > 0;
    return (uint64_t)n * (halves ? sizeof(uint16_t) : sizeof(float));
}

uint64_t cpu_weight_bytes(const struct cpu_options *options, const struct le_tensor *t)
{
    const struct cpu_set *set;
    if (cpu_choose(options->kernels, &set, NULL))
        return 0;
    const struct cpu_pack_kernels *k = cpu_choose_pack(set, options->precision);
    uint64_t bytes = k ? k->group_bytes(t->type, t->ne[0]) : 0;
    return bytes ? bytes * ((t->ne[1] + k->lanes - 1) / k->lanes) * t->ne[2] : 0;
}

void cpu_memory(const struct le_backend *be, uint64_t *used, uint64_t *most)
{
    *used = be->bytes;
    *most = be->bytes_max;
}

bool cpu_shares_memory(const struct le_backend *be)
{
    (void)be;
    return true;
}

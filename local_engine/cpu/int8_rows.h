/* cpu/pack.h's functions about rows of weights and of inputs, over the vectors of one instruction
 * set (one of int8_vec512.h's kind is included before this). */
#ifndef LE_CPU_INT8_ROWS_H
#define LE_CPU_INT8_ROWS_H

#include "local_engine/cpu/pack.h"

static size_t group_bytes(uint32_t type, uint64_t in)
{
    return cpu_int8_group_bytes(type, in, LANES);
}

static void pack(uint32_t type, uint64_t in, const uint8_t *rows, uint64_t row_bytes, uint32_t n,
                 uint8_t *out)
{
    const struct cpu_int8_packing p = { type, LANES, in, SIGNED8 };
    cpu_int8_pack(&p, rows, row_bytes, n, out);
}

static void input(const float *x, uint64_t in, uint8_t *out)
{
    struct cpu_int8_input *b = (struct cpu_int8_input *)(void *)out;
    for (uint64_t i = 0; i < in; i += CPU_INT8_COLUMNS)
        v_round(x + i, b++);
    memset(b, 0, (size_t)(out + cpu_int8_input_bytes(in) - (uint8_t *)b));
}

#endif

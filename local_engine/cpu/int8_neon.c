/* The packed int8 path for NEON with dot products: the vectors first, then what is made of them. */
#if defined(__aarch64__)

#include "local_engine/cpu/int8_vec128.h"
#include "local_engine/cpu/int8_set.h"

const struct cpu_pack_kernels *cpu_int8_neon(void)
{
    static const struct cpu_pack_kernels set = {
        "neon-dotprod", LANES, group_bytes, pack, cpu_int8_input_bytes, input, product,
    };
    return &set;
}

#endif

/* The packed int8 path for AVX2 with AVX-VNNI, which processors without AVX-512 have: the vectors
 * first, then what is made of them. */
#if defined(__x86_64__)

#include "local_engine/cpu/int8_vec256.h"
#include "local_engine/cpu/int8_set.h"

const struct cpu_pack_kernels *cpu_int8_avxvnni(void)
{
    static const struct cpu_pack_kernels set = {
        "avx-vnni", LANES, group_bytes, pack, cpu_int8_input_bytes, input, product,
    };
    return &set;
}

#endif

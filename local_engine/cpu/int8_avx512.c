/* The packed int8 path for AVX-512 with VNNI: the vectors first, then what is made of them. */
#if defined(__x86_64__)

#include "local_engine/cpu/int8_vec512.h"
#include "local_engine/cpu/int8_set.h"

const struct cpu_pack_kernels *cpu_int8_avx512(void)
{
    static const struct cpu_pack_kernels set = {
        "avx512-vnni", LANES, group_bytes, pack, cpu_int8_input_bytes, input, product,
    };
    return &set;
}

#endif


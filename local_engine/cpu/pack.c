/* The kernel sets of the packed int8 path, chosen by name and by what the processor has. */
#include <string.h>

#include "local_engine/cpu/int8_format.h"
#include "local_engine/cpu/pack.h"

const struct cpu_pack_kernels *cpu_pack_kernels(const char *kernels)
{
#if defined(__x86_64__)
    if (strcmp(kernels, "avx512") == 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        return cpu_int8_avx512();
#endif
    (void)kernels;
    return NULL;
}

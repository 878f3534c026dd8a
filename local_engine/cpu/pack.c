/* The kernel sets of the packed int8 path, chosen by name and by what the processor has. */
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include "local_engine/cpu/int8_format.h"
#include "local_engine/cpu/pack.h"

#if defined(__x86_64__)
/* Leaf 7, subleaf 1: EAX bit 4. What else AVX-VNNI needs, AVX2 has needed. */
static bool has_avx_vnni(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

/* F16C: leaf 1, ECX bit 29. It needs the state of AVX, which AVX2 is told to have. */
static bool has_avx2(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}

static bool has_avx512_vnni(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && has_avx2();
}

/* AMX: leaf 7, EDX bits 24 (tiles) and 25 (int8), and the system's permission to have tiles, which
 * this asks for: for all threads of the process. Where it is not given, VNNI does it all. */
static bool has_amx(void)
{
    enum { ARCH_REQUEST = 0x1023, TILE_DATA = 18 }; /* of Linux: ARCH_REQ_XCOMP_PERM */
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 3) == 3 &&
           syscall(SYS_arch_prctl, ARCH_REQUEST, TILE_DATA) == 0;
}
#endif

const struct cpu_pack_kernels *cpu_pack_kernels(const char *kernels)
{
#if defined(__x86_64__)
    if (strcmp(kernels, "avx512") == 0)
        return !has_avx512_vnni() ? NULL : has_amx() ? cpu_int8_amx() : cpu_int8_avx512();
    if (strcmp(kernels, "avx512-plain") == 0 && has_avx512_vnni())
        return cpu_int8_avx512();
    if (strcmp(kernels, "avx2") == 0 && has_avx2())
        return has_avx_vnni() ? cpu_int8_avxvnni() : cpu_int8_avx2();
    if (strcmp(kernels, "avx2-plain") == 0 && has_avx2())
        return cpu_int8_avx2();
#elif defined(__aarch64__) && defined(__linux__)
    enum { DOT_PRODUCTS = 1 << 20 }; /* HWCAP_ASIMDDP of Linux */
    if (strcmp(kernels, "neon") == 0 && (getauxval(AT_HWCAP) & DOT_PRODUCTS))
        return cpu_int8_neon();
#endif
    (void)kernels;
    return NULL;
}

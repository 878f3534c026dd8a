/* Opening: which kernels run on this processor, how many threads, what is kept as halves. */
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/cpu/cpu.h"
#include "local_engine/cpu/packed.h"
#include "local_engine/device.h"

#if defined(__x86_64__)
#include <cpuid.h>

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* Halves (F16C) have no name that every compiler knows. */
static bool has_avx2(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static bool always(void)
{
    return true;
}

/* The best first. A set of another processor is known by name only. */
static const struct choice {
    const char *name;
    const struct cpu_set *set;
    bool (*runs)(void);
} choices[] = {
#if defined(__x86_64__)
    { "avx512", &cpu_set_avx512, has_avx512 },
    { "avx2", &cpu_set_avx2, has_avx2 },
    { "neon", NULL, NULL },
#elif defined(__aarch64__)
    { "neon", &cpu_set_neon, always },
    { "avx512", NULL, NULL },
    { "avx2", NULL, NULL },
#else
    { "avx512", NULL, NULL },
    { "avx2", NULL, NULL },
    { "neon", NULL, NULL },
#endif
    { "scalar", &cpu_set_scalar, always },
};

enum tg_status cpu_choose(const char *kernels, const struct cpu_set **out, struct tg_error *err)
{
    for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
        const struct choice *c = &choices[i];
        bool runs = c->set && c->runs();
        if (kernels ? strcmp(kernels, c->name) == 0 : runs) {
            *out = c->set;
            return runs ? TG_OK
                        : tg_fail(err, TG_UNSUPPORTED, "kernels \"%s\" do not run on this "
                                  "processor: leave the choice out, or say \"scalar\"", kernels);
        }
    }
    return tg_fail(err, TG_INVALID, "kernels \"%s\" are unknown: scalar, avx2, avx512 or neon",
                   kernels);
}

/* AVX-512 without VNNI takes the kernels of AVX2. */
const struct cpu_pack_kernels *cpu_choose_pack(const struct cpu_set *set,
                                               enum le_precision precision)
{
    const struct cpu_pack_kernels *k = NULL;
    if (precision == LE_FAST && set != &cpu_set_scalar)
        k = cpu_pack_kernels(set->name);
    if (precision == LE_FAST && !k && strcmp(set->name, "avx512") == 0)
        k = cpu_pack_kernels("avx2");
    return k && k->lanes <= CPU_LANES_MAX ? k : NULL;
}

static void choose_pack(struct le_backend *be)
{
    be->pack = cpu_choose_pack(be->set, be->precision);
    if (!be->pack)
        return;
    be->op[CPU_ROUND_INPUT] = &cpu_op_round_input;
    be->op[CPU_PACKED_MATMUL] = &cpu_op_packed_matmul;
    be->op[CPU_PACKED_EXPERTS] = &cpu_op_packed_experts;
}

static void describe(struct le_backend *be)
{
    uint32_t threads = cpu_pool_threads(be->pool);
    char count[32] = "one thread";
    if (threads > 1)
        snprintf(count, sizeof(count), "%u threads", threads);
    const char *precision = "exact (F32)";
    if (be->pack)
        precision = "fast (int8 activations, F16 KV)";
    else if (be->precision == LE_FAST && be->set->tile > 0)
        precision = "fast (F16 KV)";
    snprintf(be->text, sizeof(be->text), "CPU, %s, %s, %s",
             be->pack ? be->pack->name : be->set->text, count, precision);
}

void cpu_close(struct le_backend *be)
{
    if (!be)
        return;
    cpu_pool_close(be->pool);
    cpu_memory_free(be);
    tg_free(be->commands);
    tg_free(be->order);
    tg_free(be);
}

const char *cpu_describe(const struct le_backend *be)
{
    return be->text;
}

enum tg_status cpu_open(const struct cpu_options *options, const struct le_ops **ops,
                        struct le_backend **out, struct tg_error *err)
{
    static const struct cpu_options oracle = { .precision = LE_EXACT, .threads = 1,
                                               .kernels = "scalar" };
    const struct cpu_options *o = options ? options : &oracle;
    const struct cpu_set *set = NULL;
    *out = NULL;
    enum tg_status st = cpu_choose(o->kernels, &set, err);
    if (st)
        return st;
    struct le_backend *be = tg_calloc(1, sizeof(*be));
    if (!be)
        return tg_fail(err, TG_NOMEM, "out of memory");
    be->set = set;
    for (int i = 0; i < CPU_KINDS; i++)
        be->op[i] = set->op[i].compute ? &set->op[i] : &cpu_set_scalar.op[i];
    be->precision = o->precision;
    choose_pack(be);
    be->bytes_max = le_machine_memory();
    uint32_t threads = o->threads ? o->threads : cpu_cores();
    threads = threads < CPU_THREADS_MAX ? threads : CPU_THREADS_MAX;
    if ((st = cpu_pool_open(threads, &be->pool, err))) {
        cpu_close(be);
        return st;
    }
    describe(be);
    *ops = &cpu_ops;
    *out = be;
    return TG_OK;
}

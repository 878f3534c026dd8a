/* The scalar C backend: what the files of this folder share. Ops are recorded between begin() and
 * run() and computed, one after the other, inside run(). */
#ifndef LE_CPU_H
#define LE_CPU_H

#include "local_engine/ops.h"

enum { CPU_COMMANDS_MAX = 1 << 14 };

struct le_buf {
    float *p;
    size_t n;
    struct le_buf *next; /* the backend's list, for close */
};

struct le_weight {
    struct le_tensor t;
    uint64_t row_bytes;
    struct le_weight *next;
};

enum cpu_kind {
    CPU_EMBED,
    CPU_MATMUL,
    CPU_RMS,
    CPU_ROPE,
    CPU_KV_STORE,
    CPU_ATTENTION,
    CPU_GEGLU,
    CPU_GATHER,
    CPU_SCALE,
    CPU_SOFTCAP,
    CPU_ROUTE,
    CPU_EXPERT_MATMUL,
    CPU_EXPERT_SUM,
};

/* One recorded op; the members used depend on kind. */
struct cpu_command {
    enum cpu_kind kind;
    union {
        struct {
            struct le_buf *dst, *src, *v;
            struct le_weight *w;
            struct le_kv kv;
            uint32_t width;
            float scale;
            enum le_rows rows;
        } plain;
        struct le_rms rms;
        struct le_rope rope;
        struct le_attention attention;
        struct le_geglu geglu;
        struct le_route route;
        struct le_expert_matmul expert_matmul;
        struct le_expert_sum expert_sum;
    } a;
};

/* Computes one op for a step. scratch: at least as many floats as the widest weight row, the
 * longest KV ring and the most experts of the recorded ops. */
void cpu_execute(const struct cpu_command *c, const struct le_step *step, float *scratch);

#endif

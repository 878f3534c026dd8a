/* The CPU backend: what the files of this folder share. Ops are recorded between begin() and run()
 * (record.c), sorted into levels of ops that do not depend on each other, and computed level by
 * level inside run() (run.c) by the functions of one kernel set: scalar.c, the oracle of all
 * others, or the SIMD sets. An op is cut into units that any thread may compute: each output
 * element is one sum in one order, however the units are shared out and however many rows a step
 * has, so that results are bitwise the same for one kernel set. */
#ifndef LE_CPU_H
#define LE_CPU_H

#include "local_engine/backend.h"
#include "local_engine/cpu/pack.h"
#include "local_engine/cpu/pool.h"
#include "local_engine/ops.h"

enum {
    CPU_COMMANDS_MAX = 1 << 14,
    CPU_ROPES_MAX = 4,       /* theta buffers of one pass */
    CPU_KV_WIDTH_MAX = 1 << 14, /* kv_heads * head_dim of a cache in tiles */
    CPU_ALIGN = 64,
    CPU_LANES_MAX = 16, /* rows of a packed group */
    CPU_USES_MAX = 5,
};

/* Aligned memory that grows. */
struct cpu_block {
    void *raw;
    uint8_t *p; /* in raw, CPU_ALIGN aligned */
    size_t size;
};

struct le_buf {
    void *raw;
    float *p; /* in raw, aligned: n values, or tiles of a cache: floats, or halves if `halves` */
    size_t n;
    bool tiles, halves;
    /* While recording: the levels that have written and read it, plus 1; valid in `epoch`. */
    uint32_t epoch, written, read;
    uint32_t version; /* counts the recorded writes */
    struct le_buf *next; /* the backend's list, for close */
};

struct le_weight {
    struct le_tensor t;
    uint64_t row_bytes;
    const uint8_t *packed; /* matrix after matrix, each `groups` groups; NULL: computed exactly */
    size_t group_bytes;
    uint32_t groups;
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
    CPU_TILE_STORE,     /* kv_store and attention over a cache in tiles */
    CPU_TILE_ATTENTION,
    CPU_ROPE_TABLE,     /* sines and cosines of a step, for all layers of one theta */
    CPU_ROUND_INPUT,    /* rows to int8 blocks (pack.h) */
    CPU_PACKED_MATMUL,
    CPU_PACKED_EXPERTS,
    CPU_KINDS,
};

/* One recorded op; the members used depend on kind. */
struct cpu_command {
    enum cpu_kind kind;
    enum le_rows rows;
    uint32_t level;
    struct le_buf *aux; /* the sines and cosines, or the rounded input */
    union {
        struct {
            struct le_buf *dst, *src, *v;
            struct le_weight *w;
            struct le_kv kv;
            uint32_t width;
            float scale;
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

/* A command in a step: what its functions are given. */
struct cpu_work {
    const struct cpu_command *c;
    const struct le_step *step;
    const struct cpu_pack_kernels *pack; /* NULL without an int8 path */
    uint32_t rows;    /* of the op in this step */
    uint32_t threads;
    uint32_t round;
    uint8_t *shared;  /* the command's own memory, as large as op->shared asked for */
};

/* How a kernel set computes one kind of command. An op with several rounds ends each before the
 * next begins. */
struct cpu_op {
    /* Units begin .. end-1. scratch: this thread's, as large as op->scratch asked for, 64-byte
     * aligned. */
    void (*compute)(const struct cpu_work *w, size_t begin, size_t end, void *scratch);
    size_t (*units)(const struct cpu_work *w);
    uint64_t (*cost)(const struct cpu_work *w); /* of a unit, in ns more or less */
    uint32_t (*rounds)(const struct cpu_work *w);       /* NULL: one */
    size_t (*scratch)(const struct cpu_command *c);     /* NULL: none */
    size_t (*shared)(const struct cpu_work *w);         /* NULL: none */
};

struct cpu_set {
    const char *name;
    const char *text;   /* for describe */
    uint32_t tile;      /* head_dim of a cache in tiles is a multiple of it; 0: no tiles */
    uint32_t tile_keys; /* keys of a tile */
    bool rope_table;
    struct cpu_op op[CPU_KINDS]; /* without compute: the scalar set's */
};

extern const struct cpu_set cpu_set_scalar;
extern const struct cpu_set cpu_set_avx2, cpu_set_avx512; /* x86-64 */
extern const struct cpu_set cpu_set_neon;                 /* aarch64 */

struct cpu_arena;

struct le_backend {
    const struct cpu_set *set;
    const struct cpu_op *op[CPU_KINDS];
    const struct cpu_pack_kernels *pack; /* NULL in `exact`, or where there is none */
    enum le_precision precision;
    struct cpu_pool *pool;
    struct le_buf *bufs;
    struct le_weight *weights;
    struct cpu_arena *arenas;
    uint64_t bytes, bytes_max; /* of buffers and packed weights; the machine's memory */
    char text[128];
    /* record.c */
    struct cpu_command *commands;
    size_t n, cap;
    uint32_t epoch, levels;
    struct le_buf *rounded; /* input rows as int8 blocks: of which buffer, version and rows */
    const struct le_buf *rounded_src;
    uint32_t rounded_version, rounded_width;
    enum le_rows rounded_rows;
    struct le_buf *rope_theta[CPU_ROPES_MAX], *rope_table[CPU_ROPES_MAX];
    enum tg_status failed; /* the first failure while recording; comes out of run() */
    /* run.c */
    uint32_t *order; /* [order_cap] commands by level */
    size_t order_cap;
    struct cpu_block scratch, shared;
    size_t scratch_bytes; /* of one thread */
};

/* buffers.c. A buffer of bytes that only the backend uses. NULL: no memory. */
struct le_buf *cpu_bytes_new(struct le_backend *be, size_t bytes);
/* Memory for packed weights, 64-byte aligned, freed with the backend. NULL, err filled. */
uint8_t *cpu_arena_take(struct le_backend *be, size_t bytes, struct tg_error *err);
/* Whether n more bytes are within the machine's memory; counts them. */
bool cpu_bytes_count(struct le_backend *be, uint64_t n);
/* At least n bytes; what was in them may be lost. false: no memory. */
bool cpu_block_reserve(struct cpu_block *b, size_t n);
void cpu_memory_free(struct le_backend *be);

/* backend.c, record.c, run.c, buffers.c, weights.c: the ops of the table. */
extern const struct le_ops cpu_ops;
void cpu_close(struct le_backend *be);
const char *cpu_describe(const struct le_backend *be);
void cpu_memory(const struct le_backend *be, uint64_t *used, uint64_t *most);
bool cpu_shares_memory(const struct le_backend *be);
enum tg_status cpu_run(struct le_backend *be, const struct le_step *step, struct tg_error *err);

struct le_buf *cpu_buf_new(struct le_backend *be, size_t n, enum le_buf_kind kind,
                           struct tg_error *err);
struct le_buf *cpu_buf_const(struct le_backend *be, const float *values, size_t n,
                             struct tg_error *err);
struct le_weight *cpu_weight_new(struct le_backend *be, const struct le_tensor *t,
                                 struct tg_error *err);

/* The kernel set of a name, NULL: the best that runs here. Errors as cpu_open. */
enum tg_status cpu_choose(const char *kernels, const struct cpu_set **out, struct tg_error *err);
/* The int8 path of a set in `fast`; NULL: none. */
const struct cpu_pack_kernels *cpu_choose_pack(const struct cpu_set *set,
                                               enum le_precision precision);

#endif

/* Pipelines, recording and running of passes: for the files of this folder only. */
#ifndef LE_VULKAN_RECORD_H
#define LE_VULKAN_RECORD_H

#include "local_engine/vulkan/internal.h"

/* Attention: a workgroup for each split of the keys; for each row, if there is more than one split;
 * or if there are keys for the pass. */
enum gpu_split { GPU_SPLIT_NONE, GPU_SPLIT_EACH, GPU_SPLIT_JOIN, GPU_SPLIT_PASS };

/* How many workgroups a dispatch has in a step with n rows: x (folded into z) by y, or none when n
 * is outside [least, most]. y = ceil(n * times / per_group) + min(n * times, extra). */
struct gpu_grid {
    uint32_t x, per_group, least, most;
    enum le_rows rows;
    uint32_t times; /* 0: as 1 */
    uint32_t extra;
    enum gpu_split split;
    uint32_t window, pass; /* of an attention */
    double cost;           /* multiply-adds a row; of an attention, a row and key */
};

/* Recorded dispatches that are submitted together, at least. */
struct gpu_segment {
    VkCommandBuffer cmd;
    uint32_t grids_end; /* behind its last grid */
    double cost;        /* multiply-adds of the step under way */
};

/* One recorded pass for steps of up to max[LE_ROWS_TOKENS] tokens and max[LE_ROWS_OUTPUTS]
 * outputs. */
struct gpu_class {
    uint32_t max[2];
    bool recorded;
    struct gpu_segment *segments; /* [n_segments], of GPU_PARTS_MAX */
    uint32_t n_segments;
    struct gpu_grid *grids; /* [n_grids], of GPU_DISPATCHES_MAX */
    uint32_t n_grids;
    struct gpu_mem args; /* VkDispatchIndirectCommand for each grid */
    double cost;         /* multiply-adds in a full step since the current segment began */
    const struct le_buf *grouped; /* ids whose groups are up to date, or NULL */
    uint32_t grouped_experts, grouped_used;
};

/* One dispatch. */
struct gpu_dispatch {
    const char *name; /* of the op, for errors */
    enum gpu_shader shader;
    uint32_t spec[GPU_SPECS_MAX]; /* [0] is the workgroup's size */
    const void *push;
    uint32_t push_size;
    struct gpu_grid grid;
    struct gpu_access access[GPU_OP_ACCESSES_MAX];
    uint32_t n_access;
    double cost; /* multiply-adds in a full step */
};

/* pipeline.c, cache.c */
enum tg_status gpu_pipelines_open(struct le_backend *be, struct tg_error *err);
void gpu_pipelines_close(struct le_backend *be);
/* VK_NULL_HANDLE after a failure, which sticks. */
VkPipeline gpu_pipeline(struct le_backend *be, enum gpu_shader shader, const uint32_t *spec);
enum tg_status gpu_cache_open(struct le_backend *be, const char *dir, struct tg_error *err);
/* Writes the cache when pipelines were made since the last time. A failure is only a lost cache. */
void gpu_cache_save(struct le_backend *be);

/* record.c */
uint32_t gpu_rows_max(const struct le_backend *be, enum le_rows rows);
/* x workgroups for each row. */
struct gpu_grid gpu_per_row(const struct le_backend *be, uint32_t x, enum le_rows rows);
/* Workgroups of GPU_GROUP for so many threads. */
uint32_t gpu_groups(uint32_t threads);
/* Declares that d reads or writes the first n floats of buf; a range beyond it fails the
 * backend. */
void gpu_uses(struct le_backend *be, struct gpu_dispatch *d, const struct le_buf *buf, uint64_t n,
              bool write);
void gpu_dispatch(struct le_backend *be, const struct gpu_dispatch *d);
bool gpu_begin(struct le_backend *be, uint32_t class_tokens, uint32_t class_outputs);
enum tg_status gpu_record_end(struct le_backend *be);
void gpu_class_free(struct le_backend *be, struct gpu_class *c);
/* One command buffer for copies and fills, submitted and waited for. */
enum tg_status gpu_once_begin(struct le_backend *be, VkCommandBuffer *cmd, struct tg_error *err);
enum tg_status gpu_once_end(struct le_backend *be, VkCommandBuffer cmd, struct tg_error *err);
/* Ends and submits it only: the fence is signalled later, the caller frees the command buffer. */
enum tg_status gpu_once_submit(struct le_backend *be, VkCommandBuffer cmd, VkFence fence,
                               struct tg_error *err);

/* check.c: before a step (fills its table), and after (TG_INTERNAL names a bad address). */
enum tg_status gpu_check_begin(struct le_backend *be, struct gpu_step *step, struct tg_error *err);
enum tg_status gpu_check_end(struct le_backend *be, const struct gpu_step *step,
                             struct tg_error *err);

/* run.c */
enum tg_status gpu_run(struct le_backend *be, const struct le_step *step, struct tg_error *err);
/* For the fence, which is reset. */
enum tg_status gpu_wait(struct le_backend *be, VkFence fence, struct tg_error *err);

/* open.c */
void gpu_close(struct le_backend *be);
/* ops_matmul.c, ops_attention.c, ops.c */
void gpu_op_embed(struct le_backend *be, struct le_buf *dst, struct le_weight *table, float scale);
void gpu_op_matmul(struct le_backend *be, struct le_buf *dst, struct le_weight *w,
                   struct le_buf *src, enum le_rows rows);
void gpu_op_kv_store(struct le_backend *be, const struct le_kv *kv, struct le_buf *k,
                     struct le_buf *v);
void gpu_op_attention(struct le_backend *be, const struct le_attention *a);
void gpu_op_expert_matmul(struct le_backend *be, const struct le_expert_matmul *a);
extern const struct le_ops gpu_ops;

#endif

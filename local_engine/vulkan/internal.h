/* The Vulkan backend's own structs and functions: for the files of this folder only. */
#ifndef LE_VULKAN_INTERNAL_H
#define LE_VULKAN_INTERNAL_H

#include "local_engine/backend.h"
#include "local_engine/shaders/shared.h"
#include "local_engine/vulkan/gpu.h"
#include "local_engine/vulkan/loader.h"
#include "local_engine/vulkan/mem.h"
#include "local_engine/vulkan/recorder.h"

enum {
    GPU_CLASSES_MAX = 16,
    GPU_PARTS_MAX = 1 << 16,    /* command buffers of a class: as many as dispatches */
    GPU_PIECES_MAX = 32,        /* dispatches that a matmul is cut into */
    GPU_IN_FLIGHT = 2,          /* submits at a time */
    GPU_DISPATCHES_MAX = 1 << 16, /* of a class: 60 layers of matmuls, in pieces for each kernel */
    GPU_PIPELINES_MAX = 256,
    GPU_SPECS_MAX = 8,         /* the last is CHECK of access.glsl */
    GPU_GRID_MAX = 32768,       /* workgroups in x; longer grids fold into z */
    GPU_THETA_MAX = 1024,       /* longest constant that can be a theta table */
    GPU_GROUP = 64,             /* threads of the workgroups that are no matvec */
};

struct le_buf {
    struct le_backend *be;
    struct gpu_mem mem;
    uint64_t bytes;      /* as asked for; mem.size may be more */
    bool half;           /* keys or values as halves */
    float *theta;        /* host copy of a short constant, or NULL */
    size_t n_theta;
    struct le_buf *turns; /* rope.comp's table made from theta, or NULL */
    struct le_buf *groups; /* group.comp's table of these expert ids, or NULL */
    uint32_t groups_experts; /* that the table has room for */
    struct le_buf *next;
};

struct gpu_part {
    struct gpu_mem mem;
    uint32_t row0, rows; /* of the rows of all experts, one expert after the other */
    uint64_t q, s, h, d; /* addresses of the planes */
};

struct le_weight {
    uint32_t type; /* GPU_W_..., enum le_type */
    uint32_t in, out, experts, chunks;
    uint32_t s_stride, d_stride; /* words a row */
    uint32_t n_parts;
    struct gpu_part *parts;
    struct le_weight *next;
};

enum gpu_shader {
    GPU_ATTENTION,
    GPU_ATTENTION_JOIN,
    GPU_EMBED,
    GPU_EXPERT_SUM,
    GPU_GEGLU,
    GPU_GROUP_EXPERTS,
    GPU_KV_STORE,
    GPU_MAP,
    GPU_MATMUL,
    GPU_MATVEC,
    GPU_RMS,
    GPU_ROPE,
    GPU_ROUTE,
    GPU_SHADERS
};

struct gpu_pipeline {
    enum gpu_shader shader;
    uint32_t spec[GPU_SPECS_MAX];
    VkPipeline handle;
};

struct le_backend {
    struct gpu_vk vk;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    VkCommandPool pool;
    VkFence fences[GPU_IN_FLIGHT];
    double cut_cost; /* multiply-adds of a segment, in a full step */
    double rate;     /* multiply-adds a second: measured while running */
    VkPipelineLayout layout;
    VkPipelineCache cache;
    VkDebugUtilsMessengerEXT messenger;
    void (*on_message)(void *arg, const char *text);
    void *message_arg;
    bool validation_wanted, validation; /* asked for; on */
    bool lost;
    bool check; /* shaders check every address */
    bool fast;  /* keys and values as halves */
    uint32_t family;
    VkPhysicalDeviceProperties props;
    VkPhysicalDeviceMemoryProperties memory;
    uint8_t cache_uuid[VK_UUID_SIZE];
    bool unified;         /* device memory is the host's */
    uint32_t subgroup;
    bool can_spread, spreads; /* a processor whose subgroups hand values round: matrow.comp */
    bool small;               /* less code in kernels */
    uint64_t alloc_wanted, alloc_max; /* bytes of one allocation: 0 or the option; in force */
    uint64_t part_max;    /* bytes of one weight part */
    uint32_t n_allocs;
    struct gpu_block *blocks; /* shared ones */
    uint64_t used;        /* bytes of buffers and weights */
    uint64_t heap_used[VK_MAX_MEMORY_HEAPS]; /* bytes */
    char *cache_path;     /* NULL: not kept */
    char description[512];

    VkShaderModule modules[GPU_SHADERS];
    struct gpu_pipeline pipelines[GPU_PIPELINES_MAX];
    uint32_t n_pipelines, n_pipelines_saved;

    struct le_buf *bufs;
    struct le_weight *weights;
    struct gpu_slot slots[GPU_SLOTS]; /* stage.c */
    uint32_t next_slot;
    uint64_t staging_bytes; /* host memory of the slots; never less than in use before */
    struct gpu_mem step; /* struct gpu_step */
    struct gpu_mem ranges; /* check.c */
    struct le_buf *partial, *sums; /* of attention's splits */
    struct gpu_class *classes[GPU_CLASSES_MAX];
    uint32_t n_classes;
    struct gpu_class *current;
    struct gpu_recorder recorder;
    uint64_t n_cmd_calls;
    struct tg_error failed; /* code TG_OK until the first failure */
};

/* debug.c, device.c */
enum tg_status gpu_messenger_new(struct le_backend *be, struct tg_error *err);
void gpu_messenger_info(struct le_backend *be, VkDebugUtilsMessengerCreateInfoEXT *info);
enum tg_status gpu_instance_new(struct le_backend *be, const struct gpu_options *options,
                                struct tg_error *err);
enum tg_status gpu_device_new(struct le_backend *be, bool software, struct tg_error *err);
/* TG_OK, or the status and text for a VkResult: what names the call. */
enum tg_status gpu_check(struct le_backend *be, VkResult result, const char *what,
                         struct tg_error *err);
/* Makes a failure stick; the first one wins. */
void gpu_fail(struct le_backend *be, enum tg_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* buf.c */
struct le_buf *gpu_buf_new(struct le_backend *be, size_t n, enum le_buf_kind kind,
                           struct tg_error *err);
struct le_buf *gpu_buf_const(struct le_backend *be, const float *values, size_t n,
                             struct tg_error *err);
float *gpu_buf_host(struct le_buf *buf);
/* rope.comp's table for a constant theta of n values: per pair theta / 2 pi as a binary fraction
 * of 64 bits. NULL after a failure, which sticks. */
const struct le_buf *gpu_buf_turns(struct le_backend *be, struct le_buf *theta, size_t n);
/* Word of the groups at which the list of pairs begins: behind the most tiles there can be. */
uint64_t gpu_groups_list_at(uint64_t pairs, uint32_t experts);
/* Room for the groups of the experts in ids. NULL after a failure, which sticks. */
const struct le_buf *gpu_buf_groups(struct le_backend *be, struct le_buf *ids, uint32_t experts);
/* weight.c */
struct le_weight *gpu_weight_new(struct le_backend *be, const struct le_tensor *t,
                                 struct tg_error *err);
void gpu_weight_free(struct le_backend *be, struct le_weight *w);

/* sizes.c: of the ops table. */
void gpu_memory(const struct le_backend *be, uint64_t *used, uint64_t *most);
bool gpu_shares_memory(const struct le_backend *be);

#endif

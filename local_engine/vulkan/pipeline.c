#include <string.h>

#include "local_engine/vulkan/record.h"

#include "shaders/attention.h"
#include "shaders/attention_join.h"
#include "shaders/embed.h"
#include "shaders/expert_sum.h"
#include "shaders/geglu.h"
#include "shaders/group.h"
#include "shaders/kv_store.h"
#include "shaders/map.h"
#include "shaders/matmul.h"
#include "shaders/matvec.h"
#include "shaders/rms.h"
#include "shaders/rope.h"
#include "shaders/route.h"

#define PUSH_FITS(type) _Static_assert(sizeof(struct type) <= GPU_PUSH_MAX, #type)
PUSH_FITS(gpu_push_matmul);
PUSH_FITS(gpu_push_embed);
PUSH_FITS(gpu_push_group);
PUSH_FITS(gpu_push_route);
PUSH_FITS(gpu_push_expert_sum);
PUSH_FITS(gpu_push_rms);
PUSH_FITS(gpu_push_rope);
PUSH_FITS(gpu_push_kv_store);
PUSH_FITS(gpu_push_attention);
PUSH_FITS(gpu_push_geglu);
PUSH_FITS(gpu_push_map);
/* std430 and C agree because nothing needs padding. */
_Static_assert(sizeof(struct gpu_push_matmul) == 8 * 8 + 12 * 4, "matmul");
_Static_assert(sizeof(struct gpu_push_group) == 3 * 8 + 4 * 4, "group");
_Static_assert(sizeof(struct gpu_push_route) == 5 * 8 + 2 * 4, "route");
_Static_assert(sizeof(struct gpu_push_expert_sum) == 4 * 8 + 2 * 4, "expert_sum");
_Static_assert(sizeof(struct gpu_push_embed) == 6 * 8 + 8 * 4, "embed");
_Static_assert(sizeof(struct gpu_push_rms) == 5 * 8 + 6 * 4, "rms");
_Static_assert(sizeof(struct gpu_push_rope) == 3 * 8 + 4 * 4, "rope");
_Static_assert(sizeof(struct gpu_push_kv_store) == 5 * 8 + 2 * 4, "kv_store");
_Static_assert(sizeof(struct gpu_push_attention) == 7 * 8 + 6 * 4, "attention");
_Static_assert(sizeof(struct gpu_push_geglu) == 4 * 8 + 4 * 4, "geglu");
_Static_assert(sizeof(struct gpu_push_map) == 3 * 8 + 2 * 4, "map");
_Static_assert(sizeof(struct gpu_step) == 32 + 3 * 4 * GPU_STEP_TOKENS, "step");
_Static_assert(GPU_STEP_TOKENS == LE_STEP_TOKENS_MAX, "step");

struct code {
    const uint32_t *words;
    size_t bytes;
};

static struct code code_of(enum gpu_shader shader)
{
#define CODE(name) (struct code){ gpu_spirv_##name, sizeof(gpu_spirv_##name) }
    switch (shader) {
    case GPU_ATTENTION: return CODE(attention);
    case GPU_ATTENTION_JOIN: return CODE(attention_join);
    case GPU_EMBED: return CODE(embed);
    case GPU_EXPERT_SUM: return CODE(expert_sum);
    case GPU_GEGLU: return CODE(geglu);
    case GPU_GROUP_EXPERTS: return CODE(group);
    case GPU_KV_STORE: return CODE(kv_store);
    case GPU_MAP: return CODE(map);
    case GPU_MATMUL: return CODE(matmul);
    case GPU_MATVEC: return CODE(matvec);
    case GPU_RMS: return CODE(rms);
    case GPU_ROPE: return CODE(rope);
    case GPU_ROUTE:
    case GPU_SHADERS: break;
    }
    return CODE(route);
#undef CODE
}

enum tg_status gpu_pipelines_open(struct le_backend *be, struct tg_error *err)
{
    const VkPushConstantRange range = {
        .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        .size = GPU_PUSH_MAX,
    };
    const VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &range,
    };
    return gpu_check(be, be->vk.CreatePipelineLayout(be->device, &info, NULL, &be->layout),
                     "vkCreatePipelineLayout", err);
}

void gpu_pipelines_close(struct le_backend *be)
{
    for (uint32_t i = 0; i < be->n_pipelines; i++)
        be->vk.DestroyPipeline(be->device, be->pipelines[i].handle, NULL);
    be->n_pipelines = 0;
    for (int i = 0; i < GPU_SHADERS; i++)
        if (be->modules[i])
            be->vk.DestroyShaderModule(be->device, be->modules[i], NULL);
    if (be->cache)
        be->vk.DestroyPipelineCache(be->device, be->cache, NULL);
    if (be->layout)
        be->vk.DestroyPipelineLayout(be->device, be->layout, NULL);
}

static VkShaderModule module_of(struct le_backend *be, enum gpu_shader shader)
{
    if (be->modules[shader])
        return be->modules[shader];
    struct code code = code_of(shader);
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = code.bytes,
        .pCode = code.words,
    };
    struct tg_error err = { .code = TG_OK };
    if (gpu_check(be,
                  be->vk.CreateShaderModule(be->device, &info, NULL, &be->modules[shader]),
                  "vkCreateShaderModule", &err))
        gpu_fail(be, err.code, "%s", err.text);
    return be->modules[shader];
}

static VkPipeline create(struct le_backend *be, enum gpu_shader shader, const uint32_t *spec)
{
    VkShaderModule module = module_of(be, shader);
    if (be->failed.code)
        return VK_NULL_HANDLE;
    VkSpecializationMapEntry entries[GPU_SPECS_MAX];
    for (uint32_t i = 0; i < GPU_SPECS_MAX; i++)
        entries[i] = (VkSpecializationMapEntry){ .constantID = i, .offset = 4 * i, .size = 4 };
    const VkSpecializationInfo specialisation = {
        .mapEntryCount = GPU_SPECS_MAX,
        .pMapEntries = entries,
        .dataSize = sizeof(*spec) * GPU_SPECS_MAX,
        .pData = spec,
    };
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .module = module,
            .pName = "main",
            .pSpecializationInfo = &specialisation,
        },
        .layout = be->layout,
    };
    VkPipeline handle = VK_NULL_HANDLE;
    struct tg_error err = { .code = TG_OK };
    VkResult result =
        be->vk.CreateComputePipelines(be->device, be->cache, 1, &info, NULL, &handle);
    if (gpu_check(be, result, "vkCreateComputePipelines", &err))
        gpu_fail(be, err.code, "%s", err.text);
    return be->failed.code ? VK_NULL_HANDLE : handle;
}

VkPipeline gpu_pipeline(struct le_backend *be, enum gpu_shader shader, const uint32_t *wanted)
{
    uint32_t spec[GPU_SPECS_MAX];
    memcpy(spec, wanted, sizeof(spec));
    spec[GPU_SPECS_MAX - 1] = be->check;
    for (uint32_t i = 0; i < be->n_pipelines; i++) {
        const struct gpu_pipeline *p = &be->pipelines[i];
        if (p->shader == shader && memcmp(p->spec, spec, sizeof(p->spec)) == 0)
            return p->handle;
    }
    if (be->n_pipelines == GPU_PIPELINES_MAX) {
        gpu_fail(be, TG_LIMIT, "a pass needs more than %d pipelines", GPU_PIPELINES_MAX);
        return VK_NULL_HANDLE;
    }
    struct gpu_pipeline p = { .shader = shader };
    memcpy(p.spec, spec, sizeof(p.spec));
    p.handle = create(be, shader, spec);
    if (p.handle)
        be->pipelines[be->n_pipelines++] = p;
    return p.handle;
}

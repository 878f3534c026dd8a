#include "config/base/alloc.h"
#include "local_engine/vulkan/record.h"

static void free_device(struct le_backend *be)
{
    be->vk.DeviceWaitIdle(be->device); /* a lost device answers at once */
    for (uint32_t i = 0; i < be->n_classes; i++)
        gpu_class_free(be, be->classes[i]);
    while (be->weights) {
        struct le_weight *next = be->weights->next;
        gpu_weight_free(be, be->weights);
        be->weights = next;
    }
    while (be->bufs) {
        struct le_buf *next = be->bufs->next;
        gpu_mem_free(be, &be->bufs->mem);
        tg_free(be->bufs->theta);
        tg_free(be->bufs);
        be->bufs = next;
    }
    gpu_stage_free(be);
    gpu_mem_free(be, &be->step);
    gpu_mem_free(be, &be->ranges);
    gpu_pipelines_close(be);
    for (int i = 0; i < GPU_IN_FLIGHT; i++)
        if (be->fences[i])
            be->vk.DestroyFence(be->device, be->fences[i], NULL);
    if (be->pool)
        be->vk.DestroyCommandPool(be->device, be->pool, NULL);
}

void gpu_close(struct le_backend *be)
{
    if (!be)
        return;
    if (be->device) {
        if (be->vk.DestroyDevice && be->vk.CmdFillBuffer) { /* all functions were found */
            free_device(be);
        }
        if (be->vk.DestroyDevice)
            be->vk.DestroyDevice(be->device, NULL);
    }
    if (be->messenger)
        be->vk.DestroyDebugUtilsMessengerEXT(be->instance, be->messenger, NULL);
    if (be->instance && be->vk.DestroyInstance)
        be->vk.DestroyInstance(be->instance, NULL);
    gpu_loader_close(&be->vk);
    tg_free(be->cache_path);
    tg_free(be);
}

static enum tg_status open_all(struct le_backend *be, const struct gpu_options *options,
                               struct tg_error *err)
{
    enum tg_status status = gpu_loader_open(&be->vk, err);
    if (!status)
        status = gpu_instance_new(be, options, err);
    if (!status)
        status = gpu_device_new(be, options->software, err);
    if (!status)
        status = gpu_pipelines_open(be, err);
    if (!status)
        status = gpu_cache_open(be, options->cache_dir, err);
    if (!status)
        status = gpu_mem_new(be, GPU_MEM_UPLOAD, sizeof(struct gpu_step), &be->step, err);
    return status;
}

enum tg_status gpu_open(const struct gpu_options *options, const struct le_ops **ops,
                        struct le_backend **out, struct tg_error *err)
{
    *ops = NULL;
    *out = NULL;
    struct le_backend *be = tg_calloc(1, sizeof(*be));
    if (!be)
        return tg_fail(err, TG_NOMEM, "out of memory");
    be->alloc_wanted = options->alloc_max;
    be->fast = options->precision == LE_FAST;
    enum tg_status status = open_all(be, options, err);
    if (status) {
        gpu_close(be);
        return status;
    }
    *ops = &gpu_ops;
    *out = be;
    return TG_OK;
}

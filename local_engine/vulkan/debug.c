#include <stdarg.h>
#include <stdio.h>

#include "local_engine/vulkan/internal.h"

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *arg)
{
    struct le_backend *be = arg;
    (void)severity;
    (void)types;
    if (be->on_message)
        be->on_message(be->message_arg, data->pMessage);
    return VK_FALSE;
}

void gpu_messenger_info(struct le_backend *be, VkDebugUtilsMessengerCreateInfoEXT *info)
{
    *info = (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        /* GENERAL is the loader's talk about drivers and layers, none of it about our calls. */
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = be,
    };
}

enum tg_status gpu_messenger_new(struct le_backend *be, struct tg_error *err)
{
    if (!be->validation || !be->vk.CreateDebugUtilsMessengerEXT)
        return TG_OK;
    VkDebugUtilsMessengerCreateInfoEXT info;
    gpu_messenger_info(be, &info);
    return gpu_check(be,
                     be->vk.CreateDebugUtilsMessengerEXT(be->instance, &info, NULL,
                                                         &be->messenger),
                     "vkCreateDebugUtilsMessengerEXT", err);
}

static const char *result_name(VkResult result)
{
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "out of device memory";
    case VK_ERROR_DEVICE_LOST: return "device lost";
    case VK_ERROR_INITIALIZATION_FAILED: return "initialisation failed";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "no usable driver";
    case VK_ERROR_LAYER_NOT_PRESENT: return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "feature not present";
    case VK_ERROR_TOO_MANY_OBJECTS: return "too many objects";
    case VK_TIMEOUT: return "no answer in time";
    default: return "failed";
    }
}

enum tg_status gpu_check(struct le_backend *be, VkResult result, const char *what,
                         struct tg_error *err)
{
    if (result == VK_SUCCESS)
        return TG_OK;
    enum tg_status status = TG_DEVICE;
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        status = TG_NOMEM;
    else if (result == VK_ERROR_DEVICE_LOST || result == VK_TIMEOUT)
        be->lost = true;
    return tg_fail(err, status, "%s: %s (VkResult %d)", what, result_name(result), (int)result);
}

void gpu_fail(struct le_backend *be, enum tg_status code, const char *fmt, ...)
{
    if (be->failed.code)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(be->failed.text, sizeof(be->failed.text), fmt, args);
    va_end(args);
    be->failed.code = code;
}

bool gpu_has_validation(const struct le_backend *be)
{
    return be->validation;
}

uint64_t gpu_vkcmd_count(const struct le_backend *be)
{
    return be->n_cmd_calls;
}

void gpu_set_part_max(struct le_backend *be, uint64_t bytes)
{
    be->part_max = bytes < be->alloc_max ? bytes : be->alloc_max;
}

void gpu_set_cut(struct le_backend *be, double cost)
{
    gpu_forget(be);
    be->cut_cost = cost;
    be->rate = cost;
}

uint64_t gpu_staging_bytes(const struct le_backend *be)
{
    return be->staging_bytes;
}

uint32_t gpu_weight_parts(const struct le_weight *w)
{
    return w->n_parts;
}

void gpu_lose(struct le_backend *be)
{
    be->lost = true;
    gpu_fail(be, TG_DEVICE, "the device was lost");
}

#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/vulkan/internal.h"

enum { LAYERS_MAX = 256 };
static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

static enum tg_status find_validation_layer(struct le_backend *be, struct tg_error *err)
{
    uint32_t n = 0;
    if (be->vk.EnumerateInstanceLayerProperties(&n, NULL) != VK_SUCCESS || n == 0)
        return TG_OK;
    n = n < LAYERS_MAX ? n : LAYERS_MAX;
    VkLayerProperties *layers = tg_calloc(n, sizeof(*layers));
    if (!layers)
        return tg_fail(err, TG_NOMEM, "out of memory");
    if (be->vk.EnumerateInstanceLayerProperties(&n, layers) >= VK_SUCCESS)
        for (uint32_t i = 0; i < n; i++)
            be->validation |= strcmp(layers[i].layerName, validation_layer) == 0;
    tg_free(layers);
    return TG_OK;
}

enum tg_status gpu_instance_new(struct le_backend *be, const struct gpu_options *options,
                                struct tg_error *err)
{
    uint32_t version = 0;
    if (be->vk.EnumerateInstanceVersion(&version) != VK_SUCCESS || version < VK_API_VERSION_1_3)
        return tg_fail(err, TG_UNSUPPORTED, "the Vulkan loader is older than 1.3");
    be->on_message = options->on_message;
    be->message_arg = options->arg;
    be->validation_wanted = options->validation;
    if (options->validation && find_validation_layer(be, err))
        return TG_NOMEM;
    const char *layers[] = { validation_layer };
    const char *extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME };
    VkDebugUtilsMessengerCreateInfoEXT messenger;
    gpu_messenger_info(be, &messenger);
    const VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "tollgate",
        .apiVersion = VK_API_VERSION_1_3,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = be->validation ? &messenger : NULL,
        .pApplicationInfo = &app,
        .enabledLayerCount = be->validation,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = be->validation,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = be->vk.CreateInstance(&info, NULL, &be->instance);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return tg_fail(err, TG_NOTFOUND, "no Vulkan driver is installed: install the driver of "
                       "the GPU, or use device cpu");
    enum tg_status status = gpu_check(be, result, "vkCreateInstance", err);
    if (!status)
        status = gpu_loader_instance(&be->vk, be->instance, err);
    if (!status)
        status = gpu_messenger_new(be, err);
    return status;
}

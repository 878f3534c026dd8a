#include "local_engine/vulkan/loader.h"

#include <dlfcn.h>
#include <string.h>

enum tg_status gpu_loader_open(struct gpu_vk *vk, struct tg_error *err)
{
    memset(vk, 0, sizeof(*vk));
    vk->lib = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!vk->lib)
        return tg_fail(err, TG_NOTFOUND, "no Vulkan loader (libvulkan.so.1): install libvulkan1 "
                       "and the driver of the GPU, or use device cpu");
    vk->GetInstanceProcAddr = (PFN_vkGetInstanceProcAddr)dlsym(vk->lib, "vkGetInstanceProcAddr");
    if (!vk->GetInstanceProcAddr)
        return tg_fail(err, TG_UNSUPPORTED, "libvulkan.so.1 has no vkGetInstanceProcAddr");
#define LOAD(name)                                                                                 \
    vk->name = (PFN_vk##name)vk->GetInstanceProcAddr(NULL, "vk" #name);                            \
    if (!vk->name)                                                                                 \
        return tg_fail(err, TG_UNSUPPORTED, "the Vulkan loader has no vk%s", #name);
    GPU_VK_GLOBAL(LOAD)
#undef LOAD
    return TG_OK;
}

enum tg_status gpu_loader_instance(struct gpu_vk *vk, VkInstance instance, struct tg_error *err)
{
#define LOAD(name)                                                                                 \
    vk->name = (PFN_vk##name)vk->GetInstanceProcAddr(instance, "vk" #name);                        \
    if (!vk->name)                                                                                 \
        return tg_fail(err, TG_UNSUPPORTED, "the Vulkan instance has no vk%s", #name);
    GPU_VK_INSTANCE(LOAD)
#undef LOAD
#define LOAD(name) vk->name = (PFN_vk##name)vk->GetInstanceProcAddr(instance, "vk" #name);
    GPU_VK_DEBUG(LOAD)
#undef LOAD
    return TG_OK;
}

enum tg_status gpu_loader_device(struct gpu_vk *vk, VkDevice device, struct tg_error *err)
{
#define LOAD(name)                                                                                 \
    vk->name = (PFN_vk##name)vk->GetDeviceProcAddr(device, "vk" #name);                            \
    if (!vk->name)                                                                                 \
        return tg_fail(err, TG_UNSUPPORTED, "the Vulkan device has no vk%s", #name);
    GPU_VK_DEVICE(LOAD)
#undef LOAD
    return TG_OK;
}

void gpu_loader_close(struct gpu_vk *vk)
{
    if (vk->lib)
        dlclose(vk->lib);
    vk->lib = NULL;
}

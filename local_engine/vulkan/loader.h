/* The Vulkan functions in use, loaded at run time: no link-time dependency on libvulkan. */
#ifndef LE_VULKAN_LOADER_H
#define LE_VULKAN_LOADER_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include "config/base/status.h"

#define GPU_VK_GLOBAL(X)                                                                           \
    X(EnumerateInstanceVersion)                                                                    \
    X(EnumerateInstanceLayerProperties)                                                            \
    X(CreateInstance)

#define GPU_VK_INSTANCE(X)                                                                         \
    X(DestroyInstance)                                                                             \
    X(EnumeratePhysicalDevices)                                                                    \
    X(GetPhysicalDeviceProperties2)                                                                \
    X(GetPhysicalDeviceFeatures2)                                                                  \
    X(GetPhysicalDeviceMemoryProperties)                                                           \
    X(GetPhysicalDeviceQueueFamilyProperties)                                                      \
    X(CreateDevice)                                                                                \
    X(GetDeviceProcAddr)

/* Only with VK_EXT_debug_utils; NULL without. */
#define GPU_VK_DEBUG(X)                                                                            \
    X(CreateDebugUtilsMessengerEXT)                                                                \
    X(DestroyDebugUtilsMessengerEXT)

#define GPU_VK_DEVICE(X)                                                                           \
    X(DestroyDevice)                                                                               \
    X(GetDeviceQueue)                                                                              \
    X(DeviceWaitIdle)                                                                              \
    X(QueueSubmit2)                                                                                \
    X(CreateFence)                                                                                 \
    X(DestroyFence)                                                                                \
    X(ResetFences)                                                                                 \
    X(WaitForFences)                                                                               \
    X(CreateBuffer)                                                                                \
    X(DestroyBuffer)                                                                               \
    X(GetBufferMemoryRequirements)                                                                 \
    X(GetBufferDeviceAddress)                                                                      \
    X(AllocateMemory)                                                                              \
    X(FreeMemory)                                                                                  \
    X(BindBufferMemory)                                                                            \
    X(MapMemory)                                                                                   \
    X(CreateShaderModule)                                                                          \
    X(DestroyShaderModule)                                                                         \
    X(CreatePipelineLayout)                                                                        \
    X(DestroyPipelineLayout)                                                                       \
    X(CreatePipelineCache)                                                                         \
    X(DestroyPipelineCache)                                                                        \
    X(GetPipelineCacheData)                                                                        \
    X(CreateComputePipelines)                                                                      \
    X(DestroyPipeline)                                                                             \
    X(CreateCommandPool)                                                                           \
    X(DestroyCommandPool)                                                                          \
    X(AllocateCommandBuffers)                                                                      \
    X(FreeCommandBuffers)                                                                          \
    X(BeginCommandBuffer)                                                                          \
    X(EndCommandBuffer)                                                                            \
    X(CmdBindPipeline)                                                                             \
    X(CmdPushConstants)                                                                            \
    X(CmdDispatchIndirect)                                                                         \
    X(CmdPipelineBarrier2)                                                                         \
    X(CmdCopyBuffer)                                                                               \
    X(CmdFillBuffer)

struct gpu_vk {
    void *lib;
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define GPU_VK_MEMBER(name) PFN_vk##name name;
    GPU_VK_GLOBAL(GPU_VK_MEMBER)
    GPU_VK_INSTANCE(GPU_VK_MEMBER)
    GPU_VK_DEBUG(GPU_VK_MEMBER)
    GPU_VK_DEVICE(GPU_VK_MEMBER)
#undef GPU_VK_MEMBER
};

/* Opens the loader and fills the global functions. TG_NOTFOUND with the remedy, TG_UNSUPPORTED. */
enum tg_status gpu_loader_open(struct gpu_vk *vk, struct tg_error *err);
/* TG_UNSUPPORTED names the first function that is missing. */
enum tg_status gpu_loader_instance(struct gpu_vk *vk, VkInstance instance, struct tg_error *err);
enum tg_status gpu_loader_device(struct gpu_vk *vk, VkDevice device, struct tg_error *err);
void gpu_loader_close(struct gpu_vk *vk);

#endif

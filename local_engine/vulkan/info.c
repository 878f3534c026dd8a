#include <stdio.h>
#include <string.h>

#include "local_engine/vulkan/internal.h"

void gpu_tell(const struct le_backend *be, struct gpu_info *out)
{
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
    };
    VkPhysicalDeviceProperties2 props = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
        .pNext = &driver,
    };
    be->vk.GetPhysicalDeviceProperties2(be->physical, &props);
    const VkPhysicalDeviceProperties *p = &props.properties;
    *out = (struct gpu_info){
        .api = { VK_API_VERSION_MAJOR(p->apiVersion), VK_API_VERSION_MINOR(p->apiVersion),
                 VK_API_VERSION_PATCH(p->apiVersion) },
        .subgroup = be->subgroup,
        .software = p->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU,
    };
    snprintf(out->name, sizeof(out->name), "%s", p->deviceName);
    snprintf(out->driver, sizeof(out->driver), "%.100s %.150s", driver.driverName,
             driver.driverInfo);
    for (uint32_t i = 0; i < be->memory.memoryHeapCount && i < GPU_HEAPS_MAX; i++) {
        const VkMemoryHeap *heap = &be->memory.memoryHeaps[i];
        out->heaps[i].bytes = heap->size;
        out->heaps[i].on_device = (heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
        out->n_heaps = i + 1;
    }
}

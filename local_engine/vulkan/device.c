#include <stdio.h>
#include <string.h>

#include "local_engine/device.h"
#include "local_engine/vulkan/internal.h"

enum { DEVICES_MAX = 32, FAMILIES_MAX = 32 };

/* Multiply-adds a second to begin with: a weak GPU, two cores of a processor. A step is recorded in
 * segments of so many seconds at that rate, which are what a submit is made of. */
static const double GPU_RATE = 1e12, SOFTWARE_RATE = 5e9, CUT_SECONDS = 0.05;

/* What is known of one physical device while choosing. */
struct candidate {
    VkPhysicalDevice handle;
    VkPhysicalDeviceProperties2 props;
    VkPhysicalDeviceVulkan11Properties props11;
    VkPhysicalDeviceVulkan13Properties props13;
    uint32_t family;
};

/* Higher is better; 0: not to be used. */
static int rank(VkPhysicalDeviceType type, bool software)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return 5;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return 4;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return 3;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return software ? 1 : 0;
    default: return 2;
    }
}

static bool find_family(struct le_backend *be, struct candidate *c)
{
    VkQueueFamilyProperties families[FAMILIES_MAX];
    uint32_t n = FAMILIES_MAX;
    be->vk.GetPhysicalDeviceQueueFamilyProperties(c->handle, &n, families);
    for (uint32_t i = 0; i < n; i++) {
        if (families[i].queueCount && (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) {
            c->family = i;
            return true;
        }
    }
    return false;
}

/* NULL, or what the device lacks. */
static const char *lacks(struct le_backend *be, struct candidate *c)
{
    if (c->props.properties.apiVersion < VK_API_VERSION_1_3)
        return "Vulkan 1.3";
    VkPhysicalDeviceVulkan13Features f13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
    };
    VkPhysicalDeviceVulkan12Features f12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .pNext = &f13,
    };
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .pNext = &f12,
    };
    be->vk.GetPhysicalDeviceFeatures2(c->handle, &features);
    if (!features.features.shaderInt64)
        return "shaderInt64";
    if (!f12.bufferDeviceAddress)
        return "bufferDeviceAddress";
    if (!f13.synchronization2)
        return "synchronization2";
    if (!f13.maintenance4)
        return "maintenance4"; /* workgroup sizes by specialisation constant */
    if (!(c->props11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) ||
        !(c->props11.subgroupSupportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT))
        return "subgroup arithmetic";
    if (!find_family(be, c))
        return "a compute queue";
    return NULL;
}

static void query(struct le_backend *be, VkPhysicalDevice handle, struct candidate *c)
{
    *c = (struct candidate){ .handle = handle };
    c->props.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    be->vk.GetPhysicalDeviceProperties2(handle, &c->props);
    if (c->props.properties.apiVersion < VK_API_VERSION_1_3)
        return;
    c->props.pNext = &c->props11;
    c->props11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES;
    c->props11.pNext = &c->props13;
    c->props13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES;
    be->vk.GetPhysicalDeviceProperties2(handle, &c->props);
}

static enum tg_status choose(struct le_backend *be, bool software, struct candidate *best,
                             struct tg_error *err)
{
    VkPhysicalDevice devices[DEVICES_MAX];
    uint32_t n = DEVICES_MAX;
    VkResult result = be->vk.EnumeratePhysicalDevices(be->instance, &n, devices);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE)
        return gpu_check(be, result, "vkEnumeratePhysicalDevices", err);
    int best_rank = 0;
    bool refused = false;
    for (uint32_t i = 0; i < n; i++) {
        struct candidate c;
        query(be, devices[i], &c);
        int r = rank(c.props.properties.deviceType, software);
        const char *missing = r > best_rank ? lacks(be, &c) : NULL;
        if (missing && !refused) {
            refused = true;
            tg_fail(err, TG_UNSUPPORTED, "%s lacks %s: update its driver, or use device cpu",
                    c.props.properties.deviceName, missing);
        }
        if (r > best_rank && !missing) {
            best_rank = r;
            *best = c;
        }
    }
    if (best_rank == 0 && refused)
        return TG_UNSUPPORTED;
    if (best_rank == 0)
        return tg_fail(err, TG_NOTFOUND, "no Vulkan device%s: use device cpu",
                       software ? "" : " that is a GPU");
    return TG_OK;
}

static void note_limits(struct le_backend *be, const struct candidate *c)
{
    be->physical = c->handle;
    be->family = c->family;
    be->props = c->props.properties;
    be->subgroup = c->props11.subgroupSize;
    be->vk.GetPhysicalDeviceMemoryProperties(c->handle, &be->memory);
    uint64_t most = c->props11.maxMemoryAllocationSize;
    if (c->props13.maxBufferSize && c->props13.maxBufferSize < most)
        most = c->props13.maxBufferSize;
    /* Shaders index with 32 bits: at most 2^31 bytes a part leaves no index in doubt. */
    if (be->alloc_wanted && be->alloc_wanted < most)
        most = be->alloc_wanted;
    be->alloc_max = most;
    be->part_max = most < (uint64_t)1 << 31 ? most : (uint64_t)1 << 31;
    VkPhysicalDeviceType type = be->props.deviceType;
    be->unified = type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU ||
                  type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    /* Software drivers make up their heap's size; what bounds them is the machine. */
    for (uint32_t i = 0; type == VK_PHYSICAL_DEVICE_TYPE_CPU && i < be->memory.memoryHeapCount; i++)
        be->memory.memoryHeaps[i].size = le_machine_memory();
    memcpy(be->cache_uuid, be->props.pipelineCacheUUID, VK_UUID_SIZE);
    snprintf(be->description, sizeof(be->description),
             "Vulkan, %s, driver 0x%x, subgroup %u, %s%s", be->props.deviceName,
             be->props.driverVersion, be->subgroup,
             be->fast ? "fast (F32, F16 KV)" : "exact (F32)",
             be->validation ? ", validation layers"
             : be->validation_wanted ? ", no validation layers" : "");
}

static enum tg_status create(struct le_backend *be, struct tg_error *err)
{
    VkPhysicalDeviceVulkan13Features f13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
        .synchronization2 = VK_TRUE,
        .maintenance4 = VK_TRUE,
    };
    VkPhysicalDeviceVulkan12Features f12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .pNext = &f13,
        .bufferDeviceAddress = VK_TRUE,
    };
    const VkPhysicalDeviceFeatures features = { .shaderInt64 = VK_TRUE };
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = be->family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &f12,
        .pEnabledFeatures = &features,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
    };
    enum tg_status status = gpu_check(
        be, be->vk.CreateDevice(be->physical, &info, NULL, &be->device), "vkCreateDevice", err);
    if (!status)
        status = gpu_loader_device(&be->vk, be->device, err);
    if (!status)
        be->vk.GetDeviceQueue(be->device, be->family, 0, &be->queue);
    return status;
}

static enum tg_status create_pool(struct le_backend *be, struct tg_error *err)
{
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .queueFamilyIndex = be->family,
    };
    const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    bool software = be->props.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    be->rate = software ? SOFTWARE_RATE : GPU_RATE;
    be->cut_cost = be->rate * CUT_SECONDS;
    enum tg_status status = gpu_check(
        be, be->vk.CreateCommandPool(be->device, &pool, NULL, &be->pool), "vkCreateCommandPool",
        err);
    for (int i = 0; !status && i < GPU_IN_FLIGHT; i++)
        status = gpu_check(be, be->vk.CreateFence(be->device, &fence, NULL, &be->fences[i]),
                           "vkCreateFence", err);
    return status;
}

enum tg_status gpu_device_new(struct le_backend *be, bool software, struct tg_error *err)
{
    struct candidate best = { .handle = VK_NULL_HANDLE };
    enum tg_status status = choose(be, software, &best, err);
    if (status)
        return status;
    note_limits(be, &best);
    status = create(be, err);
    return status ? status : create_pool(be, err);
}

/* The pipeline cache on disk: our header (magic, length, checksum) before the driver's data,
 * because drivers need not survive a damaged file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "local_engine/vulkan/record.h"

enum { CACHE_BYTES_MAX = 64 << 20, HEADER_BYTES = 32 };
static const char magic[8] = "TGVKPC1";

static uint64_t checksum(const uint8_t *p, size_t n) /* FNV-1a */
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 0x100000001b3u;
    return sum;
}

/* The driver's own header (VkPipelineCacheHeaderVersionOne) must name this device and driver. */
static bool ours(const struct le_backend *be, const uint8_t *p, size_t n)
{
    uint32_t words[4];
    if (n < sizeof(words) + VK_UUID_SIZE)
        return false;
    memcpy(words, p, sizeof(words));
    return words[0] >= 32 && words[0] <= n && words[1] == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           words[2] == be->props.vendorID && words[3] == be->props.deviceID &&
           memcmp(p + sizeof(words), be->cache_uuid, VK_UUID_SIZE) == 0;
}

static void header_of(uint8_t out[HEADER_BYTES], const uint8_t *p, uint64_t n)
{
    uint64_t sum = checksum(p, n);
    memset(out, 0, HEADER_BYTES);
    memcpy(out, magic, sizeof(magic));
    memcpy(out + 8, &n, 8);
    memcpy(out + 16, &sum, 8);
}

/* The file's driver data in owned memory, NULL when there is none that is sound and ours. */
static uint8_t *load(const struct le_backend *be, size_t *n)
{
    int fd = open(be->cache_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct stat st;
    uint8_t *p = NULL;
    if (fstat(fd, &st) || st.st_size <= HEADER_BYTES || st.st_size > CACHE_BYTES_MAX)
        goto out;
    size_t size = (size_t)st.st_size, got = 0;
    p = tg_alloc(size);
    while (p && got < size) {
        ssize_t r = read(fd, p + got, size - got);
        if (r <= 0)
            break;
        got += (size_t)r;
    }
    uint8_t header[HEADER_BYTES];
    if (p && got == size) {
        *n = size - HEADER_BYTES;
        header_of(header, p + HEADER_BYTES, *n);
        if (memcmp(header, p, HEADER_BYTES) == 0 && ours(be, p + HEADER_BYTES, *n))
            goto out;
    }
    tg_free(p);
    p = NULL;
out:
    close(fd);
    return p;
}

enum tg_status gpu_cache_open(struct le_backend *be, const char *dir, struct tg_error *err)
{
    uint8_t *p = NULL;
    size_t n = 0;
    if (dir) {
        size_t room = strlen(dir) + 64;
        be->cache_path = tg_alloc(room);
        if (!be->cache_path)
            return tg_fail(err, TG_NOMEM, "out of memory");
        snprintf(be->cache_path, room, "%s/vulkan-%08x-%08x.cache", dir, be->props.vendorID,
                 be->props.deviceID);
        p = load(be, &n);
    }
    const VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = p ? n : 0,
        .pInitialData = p ? p + HEADER_BYTES : NULL,
    };
    VkResult result = be->vk.CreatePipelineCache(be->device, &info, NULL, &be->cache);
    tg_free(p);
    return gpu_check(be, result, "vkCreatePipelineCache", err);
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

/* A whole file appears under the name, or nothing changes. */
static void replace_file(const char *path, const uint8_t *p, size_t n)
{
    size_t room = strlen(path) + 32;
    char *temporary = tg_alloc(room);
    if (!temporary)
        return;
    snprintf(temporary, room, "%s.%ld", path, (long)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write_all(fd, p, n);
    if (fd >= 0 && close(fd))
        written = false;
    if (fd >= 0 && (!written || rename(temporary, path)))
        unlink(temporary);
    tg_free(temporary);
}

void gpu_cache_save(struct le_backend *be)
{
    if (!be->cache_path || !be->cache || be->lost || be->n_pipelines == be->n_pipelines_saved)
        return;
    be->n_pipelines_saved = be->n_pipelines;
    size_t n = 0;
    if (be->vk.GetPipelineCacheData(be->device, be->cache, &n, NULL) != VK_SUCCESS || n == 0 ||
        n > CACHE_BYTES_MAX - HEADER_BYTES)
        return;
    uint8_t *p = tg_alloc(HEADER_BYTES + n);
    if (p &&
        be->vk.GetPipelineCacheData(be->device, be->cache, &n, p + HEADER_BYTES) == VK_SUCCESS) {
        header_of(p, p + HEADER_BYTES, n);
        replace_file(be->cache_path, p, HEADER_BYTES + n);
    }
    tg_free(p);
}

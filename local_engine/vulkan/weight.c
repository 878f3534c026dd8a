#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/vulkan/internal.h"
#include "local_engine/vulkan/repack.h"

static const uint64_t DROP_BYTES = 16 << 20; /* of the file, repacked before its pages go */

/* How the rows of a tensor are repacked. */
struct upload {
    struct gpu_planes planes;
    uint64_t file_row, row;      /* bytes in the file; in all planes */
    uint64_t offset[GPU_PLANES]; /* of each plane in the part */
};

static void upload_init(struct upload *u, const struct le_tensor *t)
{
    uint32_t block, bytes;
    le_type_block(t->type, &block, &bytes);
    u->file_row = t->ne[0] / block * bytes;
    u->row = 0;
    for (int i = 0; i < GPU_PLANES; i++)
        u->row += u->planes.stride[i];
}

/* n rows from row on of the rows of all matrices, which lie in one matrix, to n rows at each of
 * out. The file's pages are not needed again. */
static void repack_rows(const struct upload *u, const struct le_tensor *t, uint64_t row, uint64_t n,
                        uint8_t *const out[GPU_PLANES])
{
    const uint8_t *from =
        t->data + row / t->ne[1] * t->plane_bytes + row % t->ne[1] * u->file_row;
    uint8_t *to[GPU_PLANES];
    memcpy(to, out, sizeof(to));
    for (uint64_t r = 0; r < n; r++) {
        gpu_repack_row(&u->planes, from + r * u->file_row, t->ne[0], to);
        for (int i = 0; i < GPU_PLANES; i++)
            to[i] += u->planes.stride[i];
    }
    le_tensor_drop(t, from, n * u->file_row);
}

/* By way of a slot of host memory. */
static enum tg_status stage_rows(struct le_backend *be, const struct upload *u,
                                 const struct gpu_part *part, const struct le_tensor *t,
                                 uint64_t done, uint64_t *n, struct tg_error *err)
{
    struct gpu_staged s;
    enum tg_status status = gpu_stage_begin(be, &s, err);
    if (status)
        return status;
    if (u->row > s.size)
        return tg_fail(err, TG_UNSUPPORTED, "tensor %.*s: a row of %llu bytes is more than the "
                       "device takes at once", TG_FMT(t->name), (unsigned long long)u->row);
    *n = *n < s.size / u->row ? *n : s.size / u->row;
    uint8_t *out[GPU_PLANES];
    VkBufferCopy regions[GPU_PLANES];
    uint32_t n_regions = 0;
    uint64_t at = 0;
    for (int i = 0; i < GPU_PLANES; i++) {
        uint64_t stride = u->planes.stride[i];
        out[i] = s.p + at;
        if (stride)
            regions[n_regions++] = (VkBufferCopy){
                .srcOffset = s.offset + at,
                .dstOffset = part->mem.offset + u->offset[i] + done * stride,
                .size = *n * stride,
            };
        at += *n * stride;
    }
    repack_rows(u, t, part->row0 + done, *n, out);
    return gpu_stage_copy(be, &part->mem, regions, n_regions, err);
}

static enum tg_status upload_rows(struct le_backend *be, const struct upload *u,
                                  const struct gpu_part *part, const struct le_tensor *t,
                                  struct tg_error *err)
{
    enum tg_status status = TG_OK;
    for (uint64_t done = 0, n; !status && done < part->rows; done += n) {
        uint64_t row = part->row0 + done, left = part->rows - done;
        uint64_t matrix = t->ne[1] - row % t->ne[1];
        n = left < matrix ? left : matrix;
        n = n * u->file_row <= DROP_BYTES ? n : DROP_BYTES / u->file_row + 1;
        if (!part->mem.map) {
            status = stage_rows(be, u, part, t, done, &n, err);
            continue;
        }
        uint8_t *out[GPU_PLANES];
        for (int i = 0; i < GPU_PLANES; i++)
            out[i] = (uint8_t *)part->mem.map + u->offset[i] + done * u->planes.stride[i];
        repack_rows(u, t, row, n, out);
    }
    enum tg_status ended = gpu_stage_end(be, status ? NULL : err); /* copies may be under way */
    return status ? status : ended;
}

static enum tg_status part_new(struct le_backend *be, struct upload *u, const struct le_tensor *t,
                               uint64_t row0, uint64_t rows, struct gpu_part *part,
                               struct tg_error *err)
{
    part->row0 = (uint32_t)row0;
    part->rows = (uint32_t)rows;
    uint64_t at = 0;
    for (int i = 0; i < GPU_PLANES; i++) {
        u->offset[i] = at;
        at += (rows * u->planes.stride[i] + 15) / 16 * 16;
    }
    enum tg_status status = gpu_mem_shared(be, GPU_MEM_DEVICE, at, &part->mem, err);
    if (status)
        return status;
    be->used += part->mem.size;
    part->q = part->mem.addr + u->offset[GPU_PLANE_Q];
    part->s = part->mem.addr + u->offset[GPU_PLANE_S];
    part->h = part->mem.addr + u->offset[GPU_PLANE_H];
    part->d = part->mem.addr + u->offset[GPU_PLANE_D];
    return upload_rows(be, u, part, t, err);
}

static enum tg_status upload_all(struct le_backend *be, struct le_weight *w, struct upload *u,
                                 const struct le_tensor *t, struct tg_error *err)
{
    uint64_t rows = t->ne[1] * t->ne[2];
    uint64_t limit = be->part_max > 64 ? be->part_max - 64 : be->part_max; /* planes' alignment */
    uint64_t per_part = limit / u->row ? limit / u->row : 1;
    uint64_t n_parts = (rows + per_part - 1) / per_part;
    w->parts = tg_calloc(n_parts, sizeof(*w->parts));
    if (!w->parts)
        return tg_fail(err, TG_NOMEM, "out of memory");
    enum tg_status status = TG_OK;
    for (uint64_t i = 0; !status && i < n_parts; i++) {
        uint64_t row0 = i * per_part, left = rows - row0;
        w->n_parts++;
        status = part_new(be, u, t, row0, left < per_part ? left : per_part, &w->parts[i], err);
    }
    return status;
}

struct le_weight *gpu_weight_new(struct le_backend *be, const struct le_tensor *t,
                                 struct tg_error *err)
{
    struct upload u = { .row = 0 };
    if (t->ne[0] > UINT32_MAX || t->ne[1] == 0 || t->ne[1] > INT32_MAX || t->ne[2] == 0 ||
        t->ne[2] > GPU_EXPERTS_MAX || t->ne[1] * t->ne[2] > INT32_MAX || t->ne[3] > 1 ||
        !gpu_planes_of(t->type, t->ne[0], &u.planes)) {
        tg_fail(err, TG_UNSUPPORTED, "tensor %.*s: no Vulkan layout for type %s and its shape",
                TG_FMT(t->name), le_type_name(t->type));
        return NULL;
    }
    struct le_weight *w = tg_calloc(1, sizeof(*w));
    if (!w) {
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    w->type = u.planes.type;
    w->in = (uint32_t)t->ne[0];
    w->out = (uint32_t)t->ne[1];
    w->experts = (uint32_t)t->ne[2];
    w->chunks = u.planes.chunks;
    w->s_stride = (uint32_t)(u.planes.stride[GPU_PLANE_S] / 4);
    w->d_stride = (uint32_t)(u.planes.stride[GPU_PLANE_D] / 4);
    upload_init(&u, t);
    if (upload_all(be, w, &u, t, err)) {
        gpu_weight_free(be, w);
        return NULL;
    }
    w->next = be->weights;
    be->weights = w;
    return w;
}

void gpu_weight_free(struct le_backend *be, struct le_weight *w)
{
    for (uint32_t i = w->n_parts; i-- > 0;) { /* newest first */
        be->used -= w->parts[i].mem.size;
        gpu_mem_free(be, &w->parts[i].mem);
    }
    tg_free(w->parts);
    tg_free(w);
}

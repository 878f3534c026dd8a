#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/vulkan/internal.h"
#include "local_engine/vulkan/repack.h"

static const uint64_t CHUNK_BYTES = 16 << 20; /* host memory for repacking, at most */

/* Repacked rows on their way to the device: one scratch array per plane. */
struct upload {
    struct gpu_planes planes;
    uint64_t rows_at_once;
    uint8_t *scratch[GPU_PLANES];
    uint64_t offset[GPU_PLANES]; /* of each plane in the part */
};

static void upload_free(struct upload *u)
{
    for (int i = 0; i < GPU_PLANES; i++)
        tg_free(u->scratch[i]);
}

static uint64_t row_bytes(const struct gpu_planes *planes)
{
    uint64_t sum = 0;
    for (int i = 0; i < GPU_PLANES; i++)
        sum += planes->stride[i];
    return sum;
}

static enum tg_status upload_init(struct upload *u, uint64_t rows)
{
    uint64_t at_once = CHUNK_BYTES / row_bytes(&u->planes);
    u->rows_at_once = at_once == 0 ? 1 : at_once < rows ? at_once : rows;
    for (int i = 0; i < GPU_PLANES; i++) {
        if (u->planes.stride[i] == 0)
            continue;
        u->scratch[i] = tg_calloc(u->rows_at_once, u->planes.stride[i]);
        if (!u->scratch[i])
            return TG_NOMEM;
    }
    return TG_OK;
}

static uint64_t file_row_bytes(const struct le_tensor *t)
{
    uint32_t block, bytes;
    le_type_block(t->type, &block, &bytes);
    return t->ne[0] / block * bytes;
}

/* Row r of the rows of all matrices. */
static const uint8_t *file_row(const struct le_tensor *t, uint64_t r)
{
    return t->data + r / t->ne[1] * t->plane_bytes + r % t->ne[1] * file_row_bytes(t);
}

/* The file's pages of n rows: the device has them now. */
static void drop_rows(const struct le_tensor *t, uint64_t r, uint64_t n)
{
    while (n > 0) {
        uint64_t left = t->ne[1] - r % t->ne[1], some = n < left ? n : left;
        le_tensor_drop(t, file_row(t, r), some * file_row_bytes(t));
        r += some;
        n -= some;
    }
}

static enum tg_status upload_rows(struct le_backend *be, struct upload *u, struct gpu_part *part,
                                  const struct le_tensor *t, struct tg_error *err)
{
    for (uint64_t done = 0; done < part->rows; done += u->rows_at_once) {
        uint64_t n = part->rows - done < u->rows_at_once ? part->rows - done : u->rows_at_once;
        for (uint64_t r = 0; r < n; r++) {
            uint8_t *out[GPU_PLANES];
            for (int i = 0; i < GPU_PLANES; i++)
                out[i] = u->scratch[i] ? u->scratch[i] + r * u->planes.stride[i] : NULL;
            gpu_repack_row(&u->planes, file_row(t, part->row0 + done + r), t->ne[0], out);
        }
        for (int i = 0; i < GPU_PLANES; i++) {
            uint64_t stride = u->planes.stride[i];
            enum tg_status status =
                stride == 0 ? TG_OK
                            : gpu_mem_write(be, &part->mem, u->offset[i] + done * stride,
                                            u->scratch[i], n * stride, err);
            if (status)
                return status;
        }
        drop_rows(t, part->row0 + done, n);
    }
    return TG_OK;
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
    enum tg_status status = gpu_mem_new(be, GPU_MEM_DEVICE, at, &part->mem, err);
    if (status)
        return status;
    part->q = part->mem.addr + u->offset[GPU_PLANE_Q];
    part->s = part->mem.addr + u->offset[GPU_PLANE_S];
    part->h = part->mem.addr + u->offset[GPU_PLANE_H];
    part->d = part->mem.addr + u->offset[GPU_PLANE_D];
    return upload_rows(be, u, part, t, err);
}

static enum tg_status upload_all(struct le_backend *be, struct le_weight *w, struct upload *u,
                                 const struct le_tensor *t, struct tg_error *err)
{
    uint64_t rows = t->ne[1] * t->ne[2], per_row = row_bytes(&u->planes);
    uint64_t limit = be->part_max > 64 ? be->part_max - 64 : be->part_max; /* planes' alignment */
    uint64_t per_part = limit / per_row ? limit / per_row : 1;
    uint64_t n_parts = (rows + per_part - 1) / per_part;
    if (upload_init(u, rows < per_part ? rows : per_part))
        return tg_fail(err, TG_NOMEM, "out of memory");
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
    struct upload u = { .rows_at_once = 0 };
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
    enum tg_status status = upload_all(be, w, &u, t, err);
    upload_free(&u);
    if (status) {
        gpu_weight_free(be, w);
        return NULL;
    }
    w->next = be->weights;
    be->weights = w;
    return w;
}

void gpu_weight_free(struct le_backend *be, struct le_weight *w)
{
    for (uint32_t i = 0; i < w->n_parts; i++)
        gpu_mem_free(be, &w->parts[i].mem);
    tg_free(w->parts);
    tg_free(w);
}

#include "local_engine/plan.h"

#include <stdio.h>
#include <string.h>

#include "local_engine/model.h"

enum { CONTEXT_LEAST = 1024 };

/* The backend that only counts. Its buffers and weights are never looked into: any address will
 * do. */
struct le_backend {
    const struct le_plan_device *device;
    struct le_plan plan;
};

static void *something(struct le_backend *be)
{
    return be;
}

static struct le_buf *count_buf(struct le_backend *be, size_t n, enum le_buf_kind kind,
                                struct tg_error *err)
{
    const struct cpu_options cpu = { .precision = be->device->precision,
                                     .kernels = be->device->kernels };
    const struct gpu_options gpu = { .precision = be->device->precision };
    uint64_t bytes = be->device->gpu ? gpu_buf_bytes(&gpu, n, kind) : cpu_buf_bytes(&cpu, n, kind);
    (void)err;
    *(kind == LE_BUF_KV       ? &be->plan.kv
      : kind == LE_BUF_OUTPUT ? &be->plan.logits
                              : &be->plan.scratch) += bytes;
    return something(be);
}

static struct le_buf *count_const(struct le_backend *be, const float *values, size_t n,
                                  struct tg_error *err)
{
    (void)values;
    return count_buf(be, n, LE_BUF_DEVICE, err);
}

static struct le_weight *count_weight(struct le_backend *be, const struct le_tensor *t,
                                      struct tg_error *err)
{
    const struct cpu_options cpu = { .precision = be->device->precision,
                                     .kernels = be->device->kernels };
    const struct gpu_options gpu = { .precision = be->device->precision };
    uint64_t bytes = be->device->gpu ? gpu_weight_bytes(&gpu, t) : cpu_weight_bytes(&cpu, t);
    if (bytes == 0 && be->device->gpu) {
        tg_fail(err, TG_UNSUPPORTED, "tensor %.*s: no Vulkan layout for type %s and its shape",
                TG_FMT(t->name), le_type_name(t->type));
        return NULL;
    }
    be->plan.mapped += bytes ? 0 : t->nbytes;
    be->plan.weights += bytes ? bytes : t->nbytes;
    return something(be);
}

static const struct le_ops counting = {
    .name = "plan",
    .buf_new = count_buf,
    .buf_const = count_const,
    .weight_new = count_weight,
};

enum tg_status le_plan(const struct le_gguf *g, const struct le_plan_device *device,
                       uint32_t context, struct le_plan *out, struct tg_error *err)
{
    struct le_backend be = { .device = device };
    const struct le_model_options options = { .context = context };
    struct le_model *m = NULL;
    enum tg_status st = le_model_open(g, &counting, &be, &options, &m, err);
    le_model_close(m);
    be.plan.total = be.plan.weights + be.plan.kv + be.plan.scratch + be.plan.logits;
    *out = be.plan;
    return st;
}

const char *le_size_text(char out[LE_SIZE_TEXT], uint64_t bytes)
{
    static const struct {
        const char *name;
        uint64_t size;
    } units[] = { { "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 } };
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (bytes >= units[i].size) {
            snprintf(out, LE_SIZE_TEXT, "%.1f %s", (double)bytes / (double)units[i].size,
                     units[i].name);
            return out;
        }
    snprintf(out, LE_SIZE_TEXT, "%u bytes", (unsigned)bytes);
    return out;
}

/* What would fit: the next smaller power of two and so on, down to CONTEXT_LEAST. */
static enum tg_status advise(const struct le_gguf *g, const struct le_plan_device *device,
                             uint32_t context, uint64_t available, char *out, size_t n)
{
    char size[LE_SIZE_TEXT];
    struct le_plan p = { .total = UINT64_MAX };
    uint32_t less = 1u << 31;
    while (less >= context && less > 1)
        less /= 2;
    for (; less >= CONTEXT_LEAST && p.total > available; less /= 2) {
        enum tg_status st = le_plan(g, device, less, &p, NULL);
        if (st)
            return st;
        context = less;
    }
    if (p.total <= available)
        snprintf(out, n, "set a smaller context (%u needs %s), or take a smaller file", context,
                 le_size_text(size, p.total));
    else
        snprintf(out, n, "take a smaller file%s", p.total == UINT64_MAX ? "" :
                 "; no context is small enough");
    return TG_OK;
}

enum tg_status le_plan_check(const struct le_gguf *g, const struct le_plan_device *device,
                             uint32_t context, uint64_t available, const char *where,
                             struct tg_error *err)
{
    char total[LE_SIZE_TEXT], weights[LE_SIZE_TEXT], kv[LE_SIZE_TEXT], scratch[LE_SIZE_TEXT];
    char have[LE_SIZE_TEXT], advice[128];
    struct le_plan p;
    enum tg_status st = le_plan(g, device, context, &p, err);
    if (st || p.total <= available)
        return st;
    st = advise(g, device, context, available, advice, sizeof(advice));
    if (st)
        return tg_fail(err, st, "out of memory");
    return tg_fail(err, TG_NOMEM,
                   "%s needs %s (weights %s, keys and values %s at context %u, scratch %s) but %s "
                   "has %s free: %s", le_gguf_path(g), le_size_text(total, p.total),
                   le_size_text(weights, p.weights), le_size_text(kv, p.kv), context,
                   le_size_text(scratch, p.scratch + p.logits), where,
                   le_size_text(have, available), advice);
}

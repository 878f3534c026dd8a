#include "tests/unit/engine/support_gpu.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"

static void on_message(void *arg, const char *text)
{
    struct pair *p = arg;
    if (p->messages++ == 0)
        snprintf(p->message, sizeof(p->message), "%s", text);
}

enum tg_status pair_open(struct pair *p, struct tg_error *err)
{
    return pair_open_as(p, LE_EXACT, 0, err);
}

enum tg_status pair_open_as(struct pair *p, enum le_precision precision, uint64_t alloc_max,
                            struct tg_error *err)
{
    memset(p, 0, sizeof(*p));
    p->random = 0x9e3779b97f4a7c15u;
    if (cpu_open(NULL, &p->ops[0], &p->be[0], err))
        return TG_NOMEM;
    const struct gpu_options options = {
        .software = true, .validation = true, .on_message = on_message, .arg = p,
        .precision = precision, .alloc_max = alloc_max,
    };
    enum tg_status status = gpu_open(&options, &p->ops[1], &p->be[1], err);
    if (status)
        pair_close(p);
    return status;
}

void pair_close(struct pair *p)
{
    for (int side = 0; side < 2; side++)
        if (p->be[side])
            p->ops[side]->close(p->be[side]);
    while (p->n_memory)
        tg_free(p->memory[--p->n_memory]);
    p->be[0] = p->be[1] = NULL;
}

static uint64_t next_random(struct pair *p) /* xorshift64* */
{
    uint64_t x = p->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    p->random = x;
    return x * 0x2545f4914f6cdd1du;
}

float pair_random(struct pair *p)
{
    return (float)(next_random(p) >> 40) / 8388608.0f - 1.0f;
}

static struct pair_buf buf_of(struct pair *p, size_t n, enum le_buf_kind kind)
{
    struct pair_buf b = { .n = n };
    for (int side = 0; side < 2; side++)
        b.b[side] = p->ops[side]->buf_new(p->be[side], n, kind, NULL);
    if (!b.b[1])
        b.b[0] = NULL;
    return b;
}

struct pair_buf pair_input(struct pair *p, size_t n, float amplitude)
{
    struct pair_buf b = buf_of(p, n, LE_BUF_INPUT);
    for (size_t i = 0; b.b[0] && i < n; i++) {
        float v = pair_random(p) * amplitude;
        p->ops[0]->host(b.b[0])[i] = v;
        p->ops[1]->host(b.b[1])[i] = v;
    }
    return b;
}

struct pair_buf pair_output(struct pair *p, size_t n)
{
    return buf_of(p, n, LE_BUF_OUTPUT);
}

struct pair_buf pair_device(struct pair *p, size_t n)
{
    return buf_of(p, n, LE_BUF_DEVICE);
}

struct pair_buf pair_kv(struct pair *p, size_t n)
{
    return buf_of(p, n, LE_BUF_KV);
}

struct pair_buf pair_const(struct pair *p, const float *values, size_t n)
{
    struct pair_buf b = { .n = n };
    for (int side = 0; side < 2; side++)
        b.b[side] = p->ops[side]->buf_const(p->be[side], values, n, NULL);
    if (!b.b[1])
        b.b[0] = NULL;
    return b;
}

/* A half-precision number of either sign between 2^-8 and 2^-4; one of eight is subnormal, as the
 * block scales of K-quants often are. */
static void put_half(struct pair *p, uint8_t *out)
{
    uint64_t r = next_random(p) >> 32;
    uint16_t h = (uint16_t)((r & 0x83ff) | ((7 + (r >> 16 & 3)) << 10));
    if ((r >> 20 & 7) == 0)
        h &= 0x83ff;
    memcpy(out, &h, 2);
}

/* One block of the type at out: random bits, with scales that are sane numbers. */
static void put_block(struct pair *p, uint32_t type, uint8_t *out, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(next_random(p) >> 56);
    float v = pair_random(p) * 0.05f;
    switch (type) {
    case LE_TYPE_F32:
        memcpy(out, &v, sizeof(v));
        break;
    case LE_TYPE_BF16:
        memcpy(out, (uint8_t *)&v + 2, 2);
        break;
    case LE_TYPE_MXFP4:
        out[0] = (uint8_t)(118 + out[0] % 8);
        break;
    case LE_TYPE_Q2_K:
        put_half(p, out + 80);
        put_half(p, out + 82);
        break;
    case LE_TYPE_Q3_K:
        put_half(p, out + 108);
        break;
    case LE_TYPE_Q6_K:
        put_half(p, out + 208);
        break;
    default:
        put_half(p, out);
        if (type == LE_TYPE_Q4_1 || type == LE_TYPE_Q5_1 || type == LE_TYPE_Q4_K ||
            type == LE_TYPE_Q5_K)
            put_half(p, out + 2);
        break;
    }
}

struct pair_weight pair_weight(struct pair *p, uint32_t type, uint32_t in, uint32_t out)
{
    return pair_experts(p, type, in, out, 1);
}

struct pair_weight pair_experts(struct pair *p, uint32_t type, uint32_t in, uint32_t out,
                                uint32_t experts)
{
    struct pair_weight w = { .t = { .name = TG_STR("test.weight"), .type = type, .n_dims = 3,
                                    .ne = { in, out, experts, 1 } } };
    uint32_t block = 1, bytes = 0;
    if (!le_type_block(type, &block, &bytes) || in % block || p->n_memory == PAIR_MEMORY_MAX)
        return w;
    uint64_t blocks = (uint64_t)in / block * out * experts;
    uint8_t *data = tg_alloc(blocks * bytes);
    if (!data)
        return w;
    p->memory[p->n_memory++] = data;
    for (uint64_t i = 0; i < blocks; i++)
        put_block(p, type, data + i * bytes, bytes);
    w.t.data = data;
    w.t.nbytes = blocks * bytes;
    w.t.plane_bytes = w.t.nbytes / experts;
    for (int side = 0; side < 2; side++)
        w.w[side] = p->ops[side]->weight_new(p->be[side], &w.t, NULL);
    if (!w.w[1])
        w.w[0] = NULL;
    return w;
}

enum tg_status pair_run(struct pair *p, void (*emit)(struct pair *p, int side, void *arg),
                        void *arg, const struct le_step *step, uint32_t class_tokens,
                        uint32_t class_outputs, bool keep, struct tg_error *err)
{
    if (!keep)
        gpu_forget(p->be[1]);
    for (int side = 0; side < 2; side++) {
        if (p->ops[side]->begin(p->be[side], class_tokens, class_outputs))
            emit(p, side, arg);
        enum tg_status status = p->ops[side]->run(p->be[side], step, err);
        if (status)
            return status;
    }
    return TG_OK;
}

double pair_error(struct pair *p, const struct pair_buf *b, size_t n)
{
    const float *want = p->ops[0]->host(b->b[0]), *got = p->ops[1]->host(b->b[1]);
    double most = 0, error = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(got[i]) || !isfinite(want[i]))
            return (double)INFINITY;
        most = fmax(most, fabs((double)want[i]));
        error = fmax(error, fabs((double)got[i] - (double)want[i]));
    }
    return most > 0 ? error / most : (double)INFINITY;
}

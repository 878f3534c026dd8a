/* The ops in plain C, the oracle of all other kernels. Each output element is computed in one fixed
 * order that does not depend on how many rows a step has or which thread computes it. */
#include <math.h>
#include <string.h>

#include "local_engine/cpu/cpu.h"
#include "local_engine/cpu/units.h"

enum { LANES = 8 };

/* Eight partial sums: more exact than one, and what a compiler can keep in vector registers. */
static inline __attribute__((always_inline)) float sum_of(const float *a, const float *b, size_t n)
{
    float sum[LANES] = { 0 };
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        sum[i % LANES] += a[i] * b[i];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

static float dot(const float *a, const float *b, size_t n)
{
    return sum_of(a, b, n);
}

/* Of the products that no other kernel set takes from here: TSan does not watch them, since they
 * are most of each self-test, and that runs them on one thread. */
#ifdef __SANITIZE_THREAD__
__attribute__((no_sanitize_thread))
#endif
static float oracle_dot(const float *a, const float *b, size_t n)
{
    return sum_of(a, b, n);
}

/* Unit: a row. */
static void embed(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_weight *table = w->c->a.plain.w;
    size_t width = (size_t)table->t.ne[0];
    (void)scratch;
    for (size_t r = begin; r < end; r++) {
        float *dst = w->c->a.plain.dst->p + r * width;
        le_dequantise(table->t.type, cpu_weight_row(table, (uint64_t)w->step->id[r]), dst, width);
        for (size_t i = 0; i < width; i++)
            dst[i] *= w->c->a.plain.scale;
    }
}

/* Unit: a row of the weight, for all rows of the input. */
static void matmul(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_weight *m = w->c->a.plain.w;
    const float *src = w->c->a.plain.src->p;
    float *dst = w->c->a.plain.dst->p, *row = scratch;
    size_t in = (size_t)m->t.ne[0], out = (size_t)m->t.ne[1];
    for (size_t o = begin; o < end; o++) {
        le_dequantise(m->t.type, cpu_weight_row(m, o), row, in);
        for (uint32_t r = 0; r < w->rows; r++)
            dst[r * out + o] = oracle_dot(src + r * in, row, in);
    }
}

/* Unit: a vector. */
static void rms(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_rms *a = &w->c->a.rms;
    (void)scratch;
    for (size_t v = begin; v < end; v++) {
        const float *src = a->src->p + v * a->width;
        const float *resid = a->resid ? a->resid->p + v * a->width : NULL;
        float *dst = a->dst->p + v * a->width;
        double sum = 0;
        for (uint32_t i = 0; i < a->width; i++) {
            double x = (double)src[i] * (double)a->src_scale;
            sum += x * x;
        }
        float norm = (float)((double)a->src_scale / sqrt(sum / a->width + (double)a->eps));
        for (uint32_t i = 0; i < a->width; i++) {
            float x = src[i] * norm;
            if (a->w)
                x *= a->w->p[i];
            if (resid)
                x += resid[i];
            dst[i] = x * a->dst_scale;
        }
    }
}

/* Unit: a row. */
static void rope(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_rope *a = &w->c->a.rope;
    uint32_t half = a->head_dim / 2;
    (void)scratch;
    for (size_t r = begin; r < end; r++) {
        double pos = w->step->pos[cpu_row_token(w, (uint32_t)r)];
        for (uint32_t i = 0; i < half; i++) {
            double angle = pos * (double)a->theta->p[i];
            float co = (float)cos(angle), si = (float)sin(angle);
            for (uint32_t h = 0; h < a->heads; h++) {
                float *x = a->x->p + (r * a->heads + h) * a->head_dim + i;
                float lo = x[0], hi = x[half];
                x[0] = lo * co - hi * si;
                x[half] = hi * co + lo * si;
            }
        }
    }
}

/* Unit: a row. */
static void kv_store(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_kv *kv = &w->c->a.plain.kv;
    size_t width = (size_t)kv->kv_heads * kv->head_dim;
    (void)scratch;
    for (size_t r = begin; r < end; r++) {
        size_t cell = (uint32_t)w->step->pos[r] % kv->ring;
        memcpy(kv->k->p + cell * width, w->c->a.plain.src->p + r * width, width * sizeof(float));
        memcpy(kv->v->p + cell * width, w->c->a.plain.v->p + r * width, width * sizeof(float));
    }
}

/* One query head: keys first .. last (positions), scores in scratch. */
static void attend(const struct le_kv *kv, uint32_t head, const float *q, float *dst,
                   uint32_t first, uint32_t last, float *scratch)
{
    size_t hd = kv->head_dim, stride = (size_t)kv->kv_heads * hd, at = head * hd;
    float top = -INFINITY;
    for (uint32_t p = first; p <= last; p++) {
        float score = dot(q, kv->k->p + (p % kv->ring) * stride + at, hd);
        scratch[p - first] = score;
        top = score > top ? score : top;
    }
    double sum = 0;
    for (uint32_t i = 0; i <= last - first; i++) {
        scratch[i] = expf(scratch[i] - top);
        sum += (double)scratch[i];
    }
    float norm = (float)(1.0 / sum);
    memset(dst, 0, hd * sizeof(float));
    for (uint32_t p = first; p <= last; p++) {
        const float *v = kv->v->p + (p % kv->ring) * stride + at;
        float weight = scratch[p - first] * norm;
        for (size_t i = 0; i < hd; i++)
            dst[i] += weight * v[i];
    }
}

/* Unit: a head of a row. */
static void attention(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_attention *a = &w->c->a.attention;
    uint32_t group = a->heads / a->kv.kv_heads;
    for (size_t i = begin; i < end; i++) {
        uint32_t first, last;
        cpu_keys(w, (uint32_t)(i / a->heads), &first, &last);
        attend(&a->kv, (uint32_t)(i % a->heads) / group, a->q->p + i * a->kv.head_dim,
               a->dst->p + i * a->kv.head_dim, first, last, scratch);
    }
}

/* 0.5 z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) (Hendrycks & Gimpel 2016). */
static float gelu_tanh(float z)
{
    return 0.5f * z * (1.0f + tanhf(0.7978845608028654f * (z + 0.044715f * z * z * z)));
}

/* Unit: a row. */
static void geglu(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_geglu *a = &w->c->a.geglu;
    (void)scratch;
    for (size_t r = begin; r < end; r++) {
        size_t at = r * a->width;
        const float *up = a->up->p + r * a->up_stride + a->up_offset;
        for (uint32_t i = 0; i < a->width; i++)
            a->dst->p[at + i] = gelu_tanh(a->gate->p[at + i]) * up[i];
    }
}

/* Unit: a row. */
static void gather(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    size_t width = w->c->a.plain.width;
    (void)scratch;
    for (size_t r = begin; r < end; r++)
        memcpy(w->c->a.plain.dst->p + r * width, w->c->a.plain.src->p + w->step->out[r] * width,
               width * sizeof(float));
}

/* Unit: a row. */
static void scale(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    size_t width = w->c->a.plain.width;
    (void)scratch;
    for (size_t i = begin * width; i < end * width; i++)
        w->c->a.plain.dst->p[i] = w->c->a.plain.src->p[i] * w->c->a.plain.scale;
}

/* Unit: a row. */
static void softcap(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    size_t width = w->c->a.plain.width;
    float cap = w->c->a.plain.scale, *x = w->c->a.plain.dst->p;
    (void)scratch;
    for (size_t i = begin * width; i < end * width; i++)
        x[i] = isfinite(x[i]) ? cap * tanhf(x[i] / cap) : x[i];
}

/* Unit: a row. scratch: the probabilities; one that has been chosen becomes negative. */
static void route(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_route *a = &w->c->a.route;
    float *p = scratch;
    for (size_t r = begin; r < end; r++) {
        const float *logits = a->logits->p + r * a->n_experts;
        float *weights = a->weights->p + r * a->used, top = -INFINITY;
        for (uint32_t e = 0; e < a->n_experts; e++)
            top = logits[e] > top ? logits[e] : top;
        double sum = 0, chosen = 0;
        for (uint32_t e = 0; e < a->n_experts; e++) {
            p[e] = expf(logits[e] - top);
            sum += (double)p[e];
        }
        for (uint32_t j = 0; j < a->used; j++) {
            uint32_t best = 0;
            for (uint32_t e = 1; e < a->n_experts; e++)
                best = p[e] > p[best] ? e : best;
            memcpy(a->ids->p + r * a->used + j, &best, sizeof(best));
            weights[j] = (float)((double)p[best] / sum);
            chosen += (double)weights[j];
            p[best] = -1.0f;
        }
        float norm = (float)(1.0 / (chosen > 6.1e-5 ? chosen : 6.1e-5));
        for (uint32_t j = 0; j < a->used; j++) {
            uint32_t e = cpu_expert_id(a->ids, r * a->used + j);
            weights[j] *= a->scale ? norm * a->scale->p[e] : norm;
        }
    }
}

/* Unit: a row of each expert's matrix. Expert by expert, so that each of its rows is dequantised
 * once for all the tokens that chose it. */
static void expert_matmul(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    size_t in = (size_t)a->w->t.ne[0], out = (size_t)a->w->t.ne[1];
    size_t pairs = (size_t)w->rows * a->used;
    float *row = scratch;
    for (uint32_t e = 0; e < a->w->t.ne[2]; e++) {
        size_t first = 0;
        while (first < pairs && cpu_expert_id(a->ids, first) != e)
            first++;
        for (size_t o = begin; first < pairs && o < end; o++) {
            le_dequantise(a->w->t.type, cpu_expert_row(a->w, e, o), row, in);
            for (size_t i = first; i < pairs; i++)
                if (cpu_expert_id(a->ids, i) == e)
                    a->dst->p[i * out + o] =
                        oracle_dot(a->src->p + (a->per_expert ? i : i / a->used) * in, row, in);
        }
    }
}

/* Unit: a row. */
static void expert_sum(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_expert_sum *a = &w->c->a.expert_sum;
    (void)scratch;
    for (size_t r = begin; r < end; r++) {
        const float *weights = a->weights->p + r * a->used;
        const float *src = a->src->p + r * a->used * a->width;
        float *dst = a->dst->p + r * a->width;
        for (uint32_t i = 0; i < a->width; i++)
            dst[i] = weights[0] * src[i];
        for (uint32_t j = 1; j < a->used; j++)
            for (uint32_t i = 0; i < a->width; i++)
                dst[i] += weights[j] * src[(size_t)j * a->width + i];
    }
}

static size_t matmul_units(const struct cpu_work *w)
{
    return (size_t)w->c->a.plain.w->t.ne[1];
}

static size_t expert_units(const struct cpu_work *w)
{
    return (size_t)w->c->a.expert_matmul.w->t.ne[1];
}

static size_t matmul_scratch(const struct cpu_command *c)
{
    return (size_t)c->a.plain.w->t.ne[0] * sizeof(float);
}

static size_t attention_scratch(const struct cpu_command *c)
{
    return c->a.attention.kv.ring * sizeof(float);
}

static size_t route_scratch(const struct cpu_command *c)
{
    return c->a.route.n_experts * sizeof(float);
}

static size_t expert_scratch(const struct cpu_command *c)
{
    return (size_t)c->a.expert_matmul.w->t.ne[0] * sizeof(float);
}

/* Costs: 1 ns for each element that is touched, 1 for two products. */
static uint64_t width_cost(const struct cpu_work *w)
{
    return w->c->a.plain.width;
}

static uint64_t embed_cost(const struct cpu_work *w)
{
    return w->c->a.plain.w->t.ne[0];
}

static uint64_t matmul_cost(const struct cpu_work *w)
{
    return w->c->a.plain.w->t.ne[0] * (2 + w->rows) / 2;
}

static uint64_t rms_cost(const struct cpu_work *w)
{
    return w->c->a.rms.width;
}

static uint64_t rope_cost(const struct cpu_work *w)
{
    return w->c->a.rope.head_dim * (20 + w->c->a.rope.heads);
}

static uint64_t kv_cost(const struct cpu_work *w)
{
    return w->c->a.plain.kv.kv_heads * w->c->a.plain.kv.head_dim / 4;
}

static uint64_t attention_cost(const struct cpu_work *w)
{
    uint32_t first, last;
    cpu_keys(w, w->rows - 1, &first, &last);
    return (uint64_t)(last - first + 1) * (w->c->a.attention.kv.head_dim + 10);
}

static uint64_t geglu_cost(const struct cpu_work *w)
{
    return (uint64_t)w->c->a.geglu.width * 10;
}

static uint64_t softcap_cost(const struct cpu_work *w)
{
    return (uint64_t)w->c->a.plain.width * 10;
}

static uint64_t route_cost(const struct cpu_work *w)
{
    return (uint64_t)w->c->a.route.n_experts * (10 + w->c->a.route.used);
}

static uint64_t expert_cost(const struct cpu_work *w)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    return a->w->t.ne[0] * w->rows * a->used;
}

static uint64_t expert_sum_cost(const struct cpu_work *w)
{
    return (uint64_t)w->c->a.expert_sum.width * w->c->a.expert_sum.used;
}

const struct cpu_set cpu_set_scalar = {
    .name = "scalar",
    .text = "scalar C",
    .op = {
        [CPU_EMBED] = { embed, cpu_units_rows, embed_cost },
        [CPU_MATMUL] = { matmul, matmul_units, matmul_cost, .scratch = matmul_scratch },
        [CPU_RMS] = { rms, cpu_units_vectors, rms_cost },
        [CPU_ROPE] = { rope, cpu_units_rows, rope_cost },
        [CPU_KV_STORE] = { kv_store, cpu_units_rows, kv_cost },
        [CPU_ATTENTION] = { attention, cpu_units_heads, attention_cost,
                            .scratch = attention_scratch },
        [CPU_GEGLU] = { geglu, cpu_units_rows, geglu_cost },
        [CPU_GATHER] = { gather, cpu_units_rows, width_cost },
        [CPU_SCALE] = { scale, cpu_units_rows, width_cost },
        [CPU_SOFTCAP] = { softcap, cpu_units_rows, softcap_cost },
        [CPU_ROUTE] = { route, cpu_units_rows, route_cost, .scratch = route_scratch },
        [CPU_EXPERT_MATMUL] = { expert_matmul, expert_units, expert_cost,
                                .scratch = expert_scratch },
        [CPU_EXPERT_SUM] = { expert_sum, cpu_units_rows, expert_sum_cost },
    },
};

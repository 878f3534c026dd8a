/* The ops in plain C. Each output element is computed in one fixed order that does not depend on
 * how many rows a step has, so that results are bitwise independent of where a prompt is split. */
#include <math.h>
#include <string.h>

#include "local_engine/cpu/cpu.h"

enum { LANES = 8 };

static uint32_t row_count(const struct le_step *s, enum le_rows rows)
{
    return rows == LE_ROWS_TOKENS ? s->n_tokens : s->n_outputs;
}

static uint32_t row_token(const struct le_step *s, enum le_rows rows, uint32_t r)
{
    return rows == LE_ROWS_TOKENS ? r : s->out[r];
}

/* Eight partial sums: more exact than one, and what a compiler can keep in vector registers. */
static float dot(const float *a, const float *b, size_t n)
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

static const uint8_t *weight_row(const struct le_weight *w, uint64_t row)
{
    return w->t.data + row * w->row_bytes;
}

static const uint8_t *expert_row(const struct le_weight *w, uint32_t expert, uint64_t row)
{
    return w->t.data + expert * w->t.plane_bytes + row * w->row_bytes;
}

static void embed(const struct cpu_command *c, const struct le_step *s)
{
    size_t width = (size_t)c->a.plain.w->t.ne[0];
    for (uint32_t r = 0; r < s->n_tokens; r++) {
        float *dst = c->a.plain.dst->p + r * width;
        le_dequantise(c->a.plain.w->t.type, weight_row(c->a.plain.w, (uint64_t)s->id[r]), dst,
                      width);
        for (size_t i = 0; i < width; i++)
            dst[i] *= c->a.plain.scale;
    }
}

static void matmul(const struct cpu_command *c, const struct le_step *s, float *scratch)
{
    const struct le_weight *w = c->a.plain.w;
    size_t in = (size_t)w->t.ne[0], out = (size_t)w->t.ne[1];
    uint32_t rows = row_count(s, c->a.plain.rows);
    for (size_t o = 0; rows > 0 && o < out; o++) {
        le_dequantise(w->t.type, weight_row(w, o), scratch, in);
        for (uint32_t r = 0; r < rows; r++)
            c->a.plain.dst->p[r * out + o] = dot(c->a.plain.src->p + r * in, scratch, in);
    }
}

static void rms(const struct le_rms *a, const struct le_step *s)
{
    size_t vectors = (size_t)row_count(s, a->rows) * a->per_row;
    for (size_t v = 0; v < vectors; v++) {
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

static void rope(const struct le_rope *a, const struct le_step *s)
{
    uint32_t half = a->head_dim / 2, rows = row_count(s, a->rows);
    for (uint32_t r = 0; r < rows; r++) {
        double pos = s->pos[row_token(s, a->rows, r)];
        for (uint32_t i = 0; i < half; i++) {
            double angle = pos * (double)a->theta->p[i];
            float co = (float)cos(angle), si = (float)sin(angle);
            for (uint32_t h = 0; h < a->heads; h++) {
                float *x = a->x->p + ((size_t)r * a->heads + h) * a->head_dim + i;
                float lo = x[0], hi = x[half];
                x[0] = lo * co - hi * si;
                x[half] = hi * co + lo * si;
            }
        }
    }
}

static void kv_store(const struct cpu_command *c, const struct le_step *s)
{
    const struct le_kv *kv = &c->a.plain.kv;
    size_t width = (size_t)kv->kv_heads * kv->head_dim;
    for (uint32_t r = 0; r < s->n_tokens; r++) {
        size_t cell = (uint32_t)s->pos[r] % kv->ring;
        memcpy(kv->k->p + cell * width, c->a.plain.src->p + r * width, width * sizeof(float));
        memcpy(kv->v->p + cell * width, c->a.plain.v->p + r * width, width * sizeof(float));
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

static void attention(const struct le_attention *a, const struct le_step *s, float *scratch)
{
    uint32_t rows = row_count(s, a->rows), group = a->heads / a->kv.kv_heads;
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t last = (uint32_t)s->pos[row_token(s, a->rows, r)];
        uint32_t first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
        for (uint32_t h = 0; h < a->heads; h++) {
            size_t at = ((size_t)r * a->heads + h) * a->kv.head_dim;
            attend(&a->kv, h / group, a->q->p + at, a->dst->p + at, first, last, scratch);
        }
    }
}

/* 0.5 z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) (Hendrycks & Gimpel 2016). */
static float gelu_tanh(float z)
{
    return 0.5f * z * (1.0f + tanhf(0.7978845608028654f * (z + 0.044715f * z * z * z)));
}

static void geglu(const struct le_geglu *a, const struct le_step *s)
{
    uint32_t rows = row_count(s, a->rows);
    for (uint32_t r = 0; r < rows; r++) {
        size_t at = (size_t)r * a->width;
        const float *up = a->up->p + (size_t)r * a->up_stride + a->up_offset;
        for (uint32_t i = 0; i < a->width; i++)
            a->dst->p[at + i] = gelu_tanh(a->gate->p[at + i]) * up[i];
    }
}

static void gather(const struct cpu_command *c, const struct le_step *s)
{
    size_t width = c->a.plain.width;
    for (uint32_t r = 0; r < s->n_outputs; r++)
        memcpy(c->a.plain.dst->p + r * width, c->a.plain.src->p + s->out[r] * width,
               width * sizeof(float));
}

static void scale(const struct cpu_command *c, const struct le_step *s)
{
    size_t n = (size_t)row_count(s, c->a.plain.rows) * c->a.plain.width;
    for (size_t i = 0; i < n; i++)
        c->a.plain.dst->p[i] = c->a.plain.src->p[i] * c->a.plain.scale;
}

static void softcap(const struct cpu_command *c, const struct le_step *s)
{
    size_t n = (size_t)row_count(s, c->a.plain.rows) * c->a.plain.width;
    float cap = c->a.plain.scale, *x = c->a.plain.dst->p;
    for (size_t i = 0; i < n; i++)
        x[i] = cap * tanhf(x[i] / cap);
}

/* scratch: the probabilities; one that has been chosen becomes negative. */
static void route(const struct le_route *a, const struct le_step *s, float *scratch)
{
    uint32_t rows = row_count(s, a->rows);
    for (uint32_t r = 0; r < rows; r++) {
        const float *logits = a->logits->p + (size_t)r * a->n_experts;
        float *weights = a->weights->p + (size_t)r * a->used, top = -INFINITY;
        for (uint32_t e = 0; e < a->n_experts; e++)
            top = logits[e] > top ? logits[e] : top;
        double sum = 0, chosen = 0;
        for (uint32_t e = 0; e < a->n_experts; e++) {
            scratch[e] = expf(logits[e] - top);
            sum += (double)scratch[e];
        }
        for (uint32_t j = 0; j < a->used; j++) {
            uint32_t best = 0;
            for (uint32_t e = 1; e < a->n_experts; e++)
                best = scratch[e] > scratch[best] ? e : best;
            memcpy(a->ids->p + (size_t)r * a->used + j, &best, sizeof(best));
            weights[j] = (float)((double)scratch[best] / sum);
            chosen += (double)weights[j];
            scratch[best] = -1.0f;
        }
        float norm = (float)(1.0 / (chosen > 6.1e-5 ? chosen : 6.1e-5));
        for (uint32_t j = 0; j < a->used; j++) {
            uint32_t e;
            memcpy(&e, a->ids->p + (size_t)r * a->used + j, sizeof(e));
            weights[j] *= a->scale ? norm * a->scale->p[e] : norm;
        }
    }
}

/* Expert by expert, so that each of its rows is dequantised once for all the tokens that chose
 * it. */
static void expert_matmul(const struct le_expert_matmul *a, const struct le_step *s, float *scratch)
{
    const struct le_weight *w = a->w;
    size_t in = (size_t)w->t.ne[0], out = (size_t)w->t.ne[1];
    size_t pairs = (size_t)row_count(s, a->rows) * a->used;
    for (uint32_t e = 0; e < w->t.ne[2]; e++) {
        size_t first = 0;
        while (first < pairs && memcmp(a->ids->p + first, &e, sizeof(e)) != 0)
            first++;
        for (size_t o = 0; first < pairs && o < out; o++) {
            le_dequantise(w->t.type, expert_row(w, e, o), scratch, in);
            for (size_t i = first; i < pairs; i++)
                if (memcmp(a->ids->p + i, &e, sizeof(e)) == 0)
                    a->dst->p[i * out + o] =
                        dot(a->src->p + (a->per_expert ? i : i / a->used) * in, scratch, in);
        }
    }
}

static void expert_sum(const struct le_expert_sum *a, const struct le_step *s)
{
    uint32_t rows = row_count(s, a->rows);
    for (uint32_t r = 0; r < rows; r++) {
        const float *weights = a->weights->p + (size_t)r * a->used;
        const float *src = a->src->p + (size_t)r * a->used * a->width;
        float *dst = a->dst->p + (size_t)r * a->width;
        for (uint32_t i = 0; i < a->width; i++)
            dst[i] = weights[0] * src[i];
        for (uint32_t j = 1; j < a->used; j++)
            for (uint32_t i = 0; i < a->width; i++)
                dst[i] += weights[j] * src[(size_t)j * a->width + i];
    }
}

void cpu_execute(const struct cpu_command *c, const struct le_step *step, float *scratch)
{
    switch (c->kind) {
    case CPU_EMBED: embed(c, step); break;
    case CPU_MATMUL: matmul(c, step, scratch); break;
    case CPU_RMS: rms(&c->a.rms, step); break;
    case CPU_ROPE: rope(&c->a.rope, step); break;
    case CPU_KV_STORE: kv_store(c, step); break;
    case CPU_ATTENTION: attention(&c->a.attention, step, scratch); break;
    case CPU_GEGLU: geglu(&c->a.geglu, step); break;
    case CPU_GATHER: gather(c, step); break;
    case CPU_SCALE: scale(c, step); break;
    case CPU_SOFTCAP: softcap(c, step); break;
    case CPU_ROUTE: route(&c->a.route, step, scratch); break;
    case CPU_EXPERT_MATMUL: expert_matmul(&c->a.expert_matmul, step, scratch); break;
    case CPU_EXPERT_SUM: expert_sum(&c->a.expert_sum, step); break;
    }
}

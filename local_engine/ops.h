/* The op table: what the forward pass (gemma4.c) is written against, and what cpu/ and vulkan/
 * implement. Activations are F32; weights are dequantised exactly (precision `exact`).
 *
 * A step runs at most max_tokens tokens of one sequence. Everything that changes from step to step
 * lives in struct le_step: an op never takes a token, a position or a length as an argument, so
 * that a device can record the emitted ops once per class and replay them. Protocol, one thread at
 * a time:
 *
 *     if (ops->begin(be, class_tokens, class_outputs))   true: nothing recorded for this class yet
 *         emit every op of the pass, in order
 *     status = ops->run(be, step)                        fills the step block, runs, waits
 *
 * The CPU backend answers true each time and computes inside run() from its recorded list.
 *
 * Rows. Each op works on a number of rows given by enum le_rows: LE_ROWS_TOKENS = step->n_tokens
 * rows, or LE_ROWS_OUTPUTS = step->n_outputs rows, of which row r belongs to token step->out[r].
 * Buffers are dense, row-major, F32: [rows, width].
 *
 * Ops return nothing: failures (no memory, device lost) stick and come out of run(). After one for
 * want of memory the next begin() starts anew; any other is the end of a device's backend. */
#ifndef LE_OPS_H
#define LE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"
#include "local_engine/gguf.h"

enum { LE_STEP_TOKENS_MAX = 512 };

enum le_rows { LE_ROWS_TOKENS, LE_ROWS_OUTPUTS };

struct le_step {
    uint32_t n_tokens;  /* 1 .. class_tokens */
    uint32_t n_outputs; /* 0 .. class_outputs */
    const int32_t *id;  /* [n_tokens] token ids, each below the vocabulary size */
    const int32_t *pos; /* [n_tokens] positions, ascending by 1 */
    const uint32_t *out; /* [n_outputs] index into the step's tokens, ascending */
};

enum le_buf_kind {
    LE_BUF_DEVICE, /* activations, KV: never touched by the host, zeroed at creation */
    LE_BUF_INPUT,  /* the host writes it between runs (ops->host) */
    LE_BUF_OUTPUT, /* the host reads it after run */
};

struct le_backend; /* opaque; one device, one thread at a time */
struct le_buf;     /* opaque; owned by its backend's creator */
struct le_weight;  /* opaque; a tensor made ready for the device */

/* dst = (resid + rms(src * src_scale; w)) * dst_scale, per row of width elements, where
 * rms(v; w) = v / sqrt(mean(v^2) + eps) * w (docs: RMSNorm, Zhang & Sennrich 2019). w NULL: no
 * weight; resid NULL: no sum. A row of the op is `per_row` consecutive vectors of width elements
 * (heads). dst may be src or resid. */
struct le_rms {
    struct le_buf *dst, *src;
    struct le_buf *w;     /* [width] or NULL */
    struct le_buf *resid; /* as dst, or NULL */
    uint32_t width, per_row;
    float eps, src_scale, dst_scale;
    enum le_rows rows;
};

/* In place on x [rows, heads, head_dim]: rotate-half RoPE (Su et al. 2021) of pair (i, i + hd/2) by
 * angle pos * theta[i]; theta [hd/2] F32 holds base^(-2i/hd) / factor, 0 where nothing rotates. */
struct le_rope {
    struct le_buf *x, *theta;
    uint32_t heads, head_dim;
    enum le_rows rows;
};

/* The KV cache of one layer: two device buffers [ring, kv_heads, head_dim]; position p is in cell
 * p % ring. ring >= window + LE_STEP_TOKENS_MAX, or the whole context. */
struct le_kv {
    struct le_buf *k, *v;
    uint32_t kv_heads, head_dim, ring;
};

/* dst [rows, heads, head_dim] = softmax(q . k) v over keys with 0 <= p_q - p_k and, if window > 0,
 * p_q - p_k < window; scale 1; query head i reads kv head i / (heads / kv_heads). A whole step's
 * keys are in the cache before attention runs. */
struct le_attention {
    struct le_buf *dst, *q;
    struct le_kv kv;
    uint32_t heads, window;
    enum le_rows rows;
};

/* dst[r, i] = gelu_tanh(gate[r, i]) * up[r * up_stride + up_offset + i], i < width. dst may be
 * gate. */
struct le_geglu {
    struct le_buf *dst, *gate, *up;
    uint32_t width, up_stride, up_offset;
    enum le_rows rows;
};

struct le_ops {
    const char *name; /* "cpu", "vulkan" */

    void (*close)(struct le_backend *be); /* frees all buffers and weights too; NULL allowed */
    /* One line for people: device name, driver, kernel paths in use. Borrowed until close. */
    const char *(*describe)(const struct le_backend *be);

    /* n F32 elements. NULL on failure, err filled. */
    struct le_buf *(*buf_new)(struct le_backend *be, size_t n, enum le_buf_kind kind,
                              struct tg_error *err);
    /* A read-only buffer with n F32 values from the host (norm weights, theta). */
    struct le_buf *(*buf_const)(struct le_backend *be, const float *values, size_t n,
                                struct tg_error *err);
    /* Host address of an INPUT or OUTPUT buffer; stable until close. */
    float *(*host)(struct le_buf *buf);
    /* A matrix [out, in] (ne[0] = in). The tensor's data must stay mapped until close. */
    struct le_weight *(*weight_new)(struct le_backend *be, const struct le_tensor *t,
                                    struct tg_error *err);

    bool (*begin)(struct le_backend *be, uint32_t class_tokens, uint32_t class_outputs);

    /* dst [tokens, width] = row step->id[t] of table, times scale. */
    void (*embed)(struct le_backend *be, struct le_buf *dst, struct le_weight *table, float scale);
    /* dst [rows, out] = src [rows, in] x W^T. dst is not src. */
    void (*matmul)(struct le_backend *be, struct le_buf *dst, struct le_weight *w,
                   struct le_buf *src, enum le_rows rows);
    void (*rms)(struct le_backend *be, const struct le_rms *a);
    void (*rope)(struct le_backend *be, const struct le_rope *a);
    /* Writes k and v [tokens, kv_heads, head_dim] to the cells of the step's positions. */
    void (*kv_store)(struct le_backend *be, const struct le_kv *kv, struct le_buf *k,
                     struct le_buf *v);
    void (*attention)(struct le_backend *be, const struct le_attention *a);
    void (*geglu)(struct le_backend *be, const struct le_geglu *a);
    /* dst [outputs, width] = the rows step->out of src [tokens, width]. */
    void (*gather)(struct le_backend *be, struct le_buf *dst, struct le_buf *src, uint32_t width);
    /* dst[r] = x * scale, over [rows, width]. dst may be src. */
    void (*scale)(struct le_backend *be, struct le_buf *dst, struct le_buf *src, uint32_t width,
                  float scale, enum le_rows rows);
    /* In place: x = cap * tanh(x / cap). */
    void (*softcap)(struct le_backend *be, struct le_buf *x, uint32_t width, float cap,
                    enum le_rows rows);

    /* TG_OK: outputs are readable. TG_DEVICE: the device was lost, or stopped within a step; the
     * backend must be closed.
     * TG_NOMEM, TG_INTERNAL. err filled. */
    enum tg_status (*run)(struct le_backend *be, const struct le_step *step, struct tg_error *err);
};

/* The scalar C backend: the oracle. NULL when out of memory. */
struct le_backend *cpu_open(const struct le_ops **ops, struct tg_error *err);

struct gpu_options {
    bool software;   /* accept a CPU-type device (lavapipe): only when asked for by name */
    bool validation; /* enable the validation layers if installed; messages go to on_message */
    void (*on_message)(void *arg, const char *text); /* any thread; errors and warnings */
    void *arg;
    const char *cache_dir; /* where the pipeline cache is kept, NULL: not kept */
};
/* The Vulkan backend. TG_NOTFOUND when there is no loader or no acceptable device, TG_UNSUPPORTED
 * when the device lacks a needed feature (named), TG_DEVICE, TG_NOMEM. */
enum tg_status gpu_open(const struct gpu_options *options, const struct le_ops **ops,
                        struct le_backend **be, struct tg_error *err);

#endif

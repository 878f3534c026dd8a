/* The op table: what the forward pass (gemma4.c) is written against, and what cpu/ and vulkan/
 * implement. Activations are F32. A backend is opened (backend.h) with a precision: `exact`
 * dequantises weights exactly and computes in F32; `fast` may round a matmul's input to int8
 * blocks and hold keys and values as halves, nothing else.
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

#include <stdatomic.h>
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
    const atomic_bool *stop; /* NULL, or set by any thread: run() then ends within about 50 ms with
                              * TG_CANCELLED (the backend stays usable; the outputs mean nothing) */
};

enum le_buf_kind {
    LE_BUF_DEVICE, /* activations, KV: never touched by the host, zeroed at creation */
    LE_BUF_INPUT,  /* the host writes it between runs (ops->host) */
    LE_BUF_OUTPUT, /* the host reads it after run */
    LE_BUF_KV,     /* as DEVICE, for kv_store and attention alone: `fast` may hold halves */
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

/* The choice of experts, per row r of logits [rows, n_experts]: softmax over all, the `used`
 * largest in falling order (of equals the lower index first), their probabilities divided by their
 * sum (at least 6.1e-5) and multiplied by scale[e]. ids holds uint32 bits. */
struct le_route {
    struct le_buf *ids, *weights; /* [rows, used] */
    struct le_buf *logits;
    struct le_buf *scale; /* [n_experts] or NULL */
    uint32_t n_experts, used;
    enum le_rows rows;
};

/* dst [rows, used, out]: dst[r, j] = W[ids[r, j]] x src[r], or x src[r, j] if per_expert; W is a
 * weight of n_experts matrices. dst is not src. */
struct le_expert_matmul {
    struct le_buf *dst, *src, *ids;
    struct le_weight *w;
    uint32_t used;
    bool per_expert;
    enum le_rows rows;
};

/* dst [rows, width]: dst[r] = sum over j of weights[r, j] src[r, j]. */
struct le_expert_sum {
    struct le_buf *dst, *src, *weights;
    uint32_t width, used;
    enum le_rows rows;
};

struct le_ops {
    const char *name; /* "cpu", "vulkan" */
    bool int8;        /* precision `fast` may round inputs to int8 here */

    void (*close)(struct le_backend *be); /* frees all buffers and weights too; NULL allowed */
    /* One line for people: device name, driver, kernel paths in use. Borrowed until close. */
    const char *(*describe)(const struct le_backend *be);
    /* Bytes of buffers and weights that it has allocated so far, and the most it may: what the
     * machine or the device has. */
    void (*memory)(const struct le_backend *be, uint64_t *used, uint64_t *most);
    /* Whether that memory is the machine's, which others use too. */
    bool (*shares_memory)(const struct le_backend *be);

    /* n F32 elements. NULL on failure, err filled. */
    struct le_buf *(*buf_new)(struct le_backend *be, size_t n, enum le_buf_kind kind,
                              struct tg_error *err);
    /* A read-only buffer with n F32 values from the host (norm weights, theta). */
    struct le_buf *(*buf_const)(struct le_backend *be, const float *values, size_t n,
                                struct tg_error *err);
    /* Host address of an INPUT or OUTPUT buffer; stable until close. */
    float *(*host)(struct le_buf *buf);
    /* A matrix [out, in] (ne[0] = in, ne[1] = out), or ne[2] of them (experts), plane_bytes apart.
     * The tensor's data must stay mapped until close. A backend that makes a copy of its own drops
     * the file's pages behind it (le_tensor_drop). */
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
    void (*route)(struct le_backend *be, const struct le_route *a);
    void (*expert_matmul)(struct le_backend *be, const struct le_expert_matmul *a);
    void (*expert_sum)(struct le_backend *be, const struct le_expert_sum *a);

    /* TG_OK: outputs are readable. TG_CANCELLED: step->stop was set. TG_DEVICE: the device was
     * lost, or stopped within a step; the backend must be closed. TG_NOMEM, TG_INTERNAL. err
     * filled. Keys and values of a cancelled or failed step are undefined for its own positions
     * only. */
    enum tg_status (*run)(struct le_backend *be, const struct le_step *step, struct tg_error *err);
};

#endif

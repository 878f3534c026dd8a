/* A Gemma 4 text model: hyperparameters from a GGUF file, validated once at load, its weights on
 * one backend, and the forward pass over the op table (the architecture that GGUF calls "gemma4";
 * its formulas stand in gemma4.c). */
#ifndef LE_MODEL_H
#define LE_MODEL_H

#include "config/base/status.h"
#include "local_engine/gguf.h"
#include "local_engine/ops.h"

enum { LE_LAYERS_MAX = 128 };

struct le_layer_params {
    bool sliding;
    bool owns_kv;      /* false: reads the cache of layer donor */
    uint32_t donor;    /* its own index when owns_kv */
    uint32_t head_dim, kv_heads;
    uint32_t ff;       /* feed-forward width */
    bool values;       /* has Wv; false: the raw keys are the values (global layers) */
    bool moe;          /* experts beside the dense feed-forward */
    uint32_t expert_ff;           /* width of one expert; 0 in a file without experts */
    bool fused_qkv, fused_gate_up; /* one tensor holds the rows of several matrices */
};

struct le_params {
    uint32_t n_layers, n_embd, n_heads, n_vocab;
    uint32_t context_trained;
    uint32_t window;   /* W: keys a sliding layer sees, itself included */
    uint32_t ple;      /* per-layer embedding width, 0: none */
    uint32_t n_experts, n_used; /* experts of a layer, and those a token uses; 0: none */
    float rms_eps, softcap; /* softcap 0: none */
    float rope_base, rope_base_swa;
    struct le_layer_params layer[LE_LAYERS_MAX];
};

/* Reads and checks the hyperparameters and every tensor's presence, shape and type. TG_INVALID or
 * TG_UNSUPPORTED name the key or tensor in err. */
enum tg_status le_params_read(const struct le_gguf *g, struct le_params *out, struct tg_error *err);

struct le_model; /* opaque: weights and buffers on a backend, one sequence's KV cache */

/* Told while weights are loaded: done of total bytes, growing to total. */
typedef void le_progress_fn(void *arg, uint64_t done, uint64_t total);

struct le_model_options {
    uint32_t context;        /* positions the KV cache holds, at least 1 */
    const atomic_bool *stop; /* NULL, or ends loading and steps early when it is set, by any thread,
                              * with TG_CANCELLED (struct le_step) */
    le_progress_fn *progress; /* NULL, or called by the loading thread */
    void *arg;
};

/* g must stay open, and be, until le_model_close; both stay the caller's. One model a backend: its
 * buffers and weights are freed with the backend. TG_INVALID, TG_UNSUPPORTED, TG_NOMEM, TG_DEVICE,
 * TG_CANCELLED, TG_IO (the file was changed since g was opened). */
enum tg_status le_model_open(const struct le_gguf *g, const struct le_ops *ops,
                             struct le_backend *be, const struct le_model_options *options,
                             struct le_model **out, struct tg_error *err);
/* NULL allowed. */
void le_model_close(struct le_model *m);
const struct le_params *le_model_params(const struct le_model *m);
/* Outputs a step may ask for: what fits 64 MiB of logits, at most LE_STEP_TOKENS_MAX (64 rows of a
 * vocabulary of 262144). */
uint32_t le_model_outputs_max(const struct le_model *m);

/* Runs n tokens (1 .. LE_STEP_TOKENS_MAX) whose first has position pos; the cache must hold
 * positions 0 .. pos-1 of the same sequence. Going back is allowed (later positions are
 * overwritten) to 0, or to within LE_STEP_TOKENS_MAX of the highest position since the last start
 * at 0. Logits after softcap are computed for the tokens listed in out (ascending indices, may be
 * none, at most le_model_outputs_max) and can be read with le_model_logits. TG_INVALID (an id
 * outside the vocabulary, a position that does not continue the sequence, a bad list), TG_LIMIT
 * (beyond the context, too many outputs), TG_IO (the file was changed), TG_CANCELLED (the stop
 * flag), TG_DEVICE, TG_NOMEM, TG_INTERNAL on NaN or infinity in the logits. After a failed run the
 * sequence ends at pos. */
enum tg_status le_model_step(struct le_model *m, const int32_t *ids, uint32_t n, uint32_t pos,
                             const uint32_t *out, uint32_t n_out, struct tg_error *err);
/* [n_vocab] of output row r of the last step; borrowed until the next one. The caller may write
 * into it (suppression, penalties). */
float *le_model_logits(struct le_model *m, uint32_t r);

#endif

/* The tensors of a Gemma 4 text model: which there must and may be, and their shapes. Between
 * params.c, which reads the keys, and its user model.c. */
#ifndef LE_PARAMS_TENSORS_H
#define LE_PARAMS_TENSORS_H

#include "local_engine/model.h"

/* What a tensor's extent is. QKV: the rows of query, keys and values in one; GATE_UP: those of an
 * expert's gate and up. */
enum le_dim {
    LE_DIM_ONE,
    LE_DIM_EMBD,
    LE_DIM_HEAD,
    LE_DIM_QUERY,
    LE_DIM_KEYS,
    LE_DIM_QKV,
    LE_DIM_FEED,
    LE_DIM_PLE,
    LE_DIM_EXPERTS,
    LE_DIM_EXPERT_FEED,
    LE_DIM_GATE_UP,
    LE_DIMS
};
void le_layer_dims(const struct le_params *p, uint32_t layer, uint64_t size[LE_DIMS]);

/* The tensors of a layer: [in, out, planes] elements of "blk.N.<name>". */
struct le_layer_tensor {
    const char *name;
    enum le_dim in, out, planes;
};
/* The k-th tensor a layer may have; its name is NULL when this layer has no use for it. NULL behind
 * the last. */
const struct le_layer_tensor *le_layer_tensor(const struct le_params *p, uint32_t layer, size_t k);

/* Checks every tensor's presence, shape and type against the hyperparameters in p, and fills what
 * only the tensors tell: n_vocab, and each layer's moe, values, fused_qkv and fused_gate_up. A
 * tensor that the forward pass would leave out of the sum is refused too. TG_INVALID or
 * TG_UNSUPPORTED name the tensor. */
enum tg_status le_params_check_tensors(const struct le_gguf *g, struct le_params *p,
                                       struct tg_error *err);

/* Whether the forward pass has t made ready by the backend as a matrix (weight_new), the two uses
 * of a tied token_embd counted once: not vectors, tables that stay in the file, towers, and what
 * sharing layers ignore. t: a tensor of the file that p was read from. */
bool le_params_is_weight(const struct le_params *p, const struct le_tensor *t);

#endif

/* What a GGUF file holds and whether its model would run here: the facts behind `inspect`. */
#ifndef LE_INSPECT_H
#define LE_INSPECT_H

#include "local_engine/gguf.h"
#include "local_engine/model.h"
#include "local_engine/plan.h"
#include "local_engine/template.h"

enum { LE_INSPECT_TYPES = 64, LE_INSPECT_CONTEXTS = 5 };

/* Tensors of one type. */
struct le_type_use {
    uint32_t type;
    bool known;         /* this version runs it; else bytes is unknown, and 0 */
    uint64_t tensors, elements, bytes;
};

/* Where the model might run. */
struct le_place {
    const char *name;   /* "cpu", "vulkan" */
    char device[256];   /* as describe; of no device: why there is none */
    bool present;
    uint64_t available; /* bytes free (le_device_room) */
    const char *where;  /* that is, in whose memory */
    bool runs;          /* at the default context */
    struct tg_error why; /* otherwise */
    struct le_plan plan[LE_INSPECT_CONTEXTS];
};

enum { LE_PLACE_CPU, LE_PLACE_VULKAN, LE_PLACES };

struct le_inspection {
    struct le_type_use type[LE_INSPECT_TYPES]; /* most bytes first */
    uint32_t n_types;
    uint64_t elements;      /* of all tensors */
    enum tg_status status;  /* of the model: hyperparameters, tensors, tokenizer */
    struct tg_error why;    /* when it is not TG_OK */
    bool has_params;
    struct le_params params;
    uint32_t n_tokens;      /* of the tokenizer; 0: none that can be used */
    struct le_template_info template;
    uint32_t context[LE_INSPECT_CONTEXTS], n_contexts, context_default;
    struct le_place place[LE_PLACES];
};

/* Looks at everything but the weights' values. context: one more to plan for; 0: none. precision:
 * of the plans. What is wrong with the file is in *out; fails for lack of memory (TG_NOMEM), and
 * for a context that the model does not allow (TG_INVALID, le_context_choose). Opens a GPU, if
 * there is one, to ask for its memory; never a software driver. */
enum tg_status le_inspect(const struct le_gguf *g, enum le_precision precision, uint32_t context,
                          struct le_inspection *out, struct tg_error *err);

#endif

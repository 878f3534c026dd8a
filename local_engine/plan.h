/* What memory a model will take, before any of it is loaded: the loader of model.c runs over an op
 * table that only counts. */
#ifndef LE_PLAN_H
#define LE_PLAN_H

#include "local_engine/backend.h"
#include "local_engine/gguf.h"

/* Where it would run. */
struct le_plan_device {
    bool gpu; /* Vulkan; else the cpu */
    enum le_precision precision;
    const char *kernels; /* of the cpu (struct cpu_options) */
};

/* Bytes. */
struct le_plan {
    uint64_t weights; /* matrices, repacked or as they lie in the file */
    uint64_t mapped;  /* of these: pages of the file, which the system may drop and read again */
    uint64_t kv;      /* keys and values of the context */
    uint64_t scratch; /* activations, norms */
    uint64_t logits;
    uint64_t total;   /* weights + kv + scratch + logits */
};

/* context: at least 1. Tables of per-layer embeddings are not counted: rows of them are read where
 * they lie in the file. Errors as le_model_open. */
enum tg_status le_plan(const struct le_gguf *g, const struct le_plan_device *device,
                       uint32_t context, struct le_plan *out, struct tg_error *err);

/* TG_OK when the plan for the context is at most `available` bytes. Else TG_NOMEM, with one
 * sentence in err: what is needed and for what, that `where` ("this machine") has less, and what
 * would fit. Errors of le_plan too. */
enum tg_status le_plan_check(const struct le_gguf *g, const struct le_plan_device *device,
                             uint32_t context, uint64_t available, const char *where,
                             struct tg_error *err);

/* "17.2 GiB", "640 MiB", "12 KiB"; returns out. */
enum { LE_SIZE_TEXT = 32 };
const char *le_size_text(char out[LE_SIZE_TEXT], uint64_t bytes);

#endif

/* Backends: what opens an implementation of the op table. */
#ifndef LE_BACKEND_H
#define LE_BACKEND_H

#include "local_engine/ops.h"

enum le_precision {
    LE_EXACT, /* F32 activations and KV, weights dequantised exactly */
    LE_FAST,  /* int8 activations where a kernel has them, F16 KV */
};

struct cpu_options {
    enum le_precision precision;
    uint32_t threads;    /* compute threads, the caller's included; 0: one for each core */
    const char *kernels; /* "scalar", "avx2", "avx512", "neon"; NULL: the best that runs here */
};
/* The CPU backend. With kernels "scalar", precision LE_EXACT and one thread it is the oracle of all
 * others. options NULL: exactly that. TG_UNSUPPORTED: the kernels do not run on this processor;
 * TG_INVALID: no kernels of that name; TG_NOMEM. */
enum tg_status cpu_open(const struct cpu_options *options, const struct le_ops **ops,
                        struct le_backend **be, struct tg_error *err);

/* Bytes of its own that such a backend would take for a buffer of n elements and for a weight; 0
 * for a weight that it reads where it lies in the file. options as for cpu_open; 0 for kernels that
 * do not run here. Nothing is opened. */
uint64_t cpu_buf_bytes(const struct cpu_options *options, size_t n, enum le_buf_kind kind);
uint64_t cpu_weight_bytes(const struct cpu_options *options, const struct le_tensor *t);

struct gpu_options {
    enum le_precision precision;
    bool software;   /* accept a CPU-type device (lavapipe): only when asked for by name */
    bool validation; /* enable the validation layers if installed; messages go to on_message */
    void (*on_message)(void *arg, const char *text); /* any thread; errors and warnings */
    void *arg;
    const char *cache_dir; /* where the pipeline cache is kept, NULL: not kept */
    uint64_t alloc_max;    /* tests: bytes of one allocation at most; 0: what the driver allows */
};
/* The Vulkan backend. TG_NOTFOUND when there is no loader or no acceptable device, TG_UNSUPPORTED
 * when the device lacks a needed feature (named), TG_DEVICE, TG_NOMEM. */
enum tg_status gpu_open(const struct gpu_options *options, const struct le_ops **ops,
                        struct le_backend **be, struct tg_error *err);

/* The same of the Vulkan backend, on any device: up to the alignment of each allocation. */
uint64_t gpu_buf_bytes(const struct gpu_options *options, size_t n, enum le_buf_kind kind);
uint64_t gpu_weight_bytes(const struct gpu_options *options, const struct le_tensor *t);

#endif

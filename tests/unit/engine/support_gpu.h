/* The same ops on two backends: 0 is the scalar CPU (the oracle), 1 is Vulkan on whatever device
 * there is, with validation. Everything is made on both sides and freed by pair_close. */
#ifndef TESTS_SUPPORT_GPU_H
#define TESTS_SUPPORT_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "local_engine/backend.h"
#include "local_engine/vulkan/gpu.h"

enum { PAIR_MEMORY_MAX = 1024 };

struct pair {
    const struct le_ops *ops[2];
    struct le_backend *be[2];
    uint64_t random;
    unsigned messages;   /* of the validation layers */
    char message[2048];  /* the first */
    void *memory[PAIR_MEMORY_MAX]; /* tensor data, freed at close */
    size_t n_memory;
};

struct pair_buf {
    struct le_buf *b[2];
    size_t n;
};

struct pair_weight {
    struct le_weight *w[2];
    struct le_tensor t;
};

/* TG_NOTFOUND: no Vulkan here. */
enum tg_status pair_open(struct pair *p, struct tg_error *err);
/* Vulkan in this precision, with no allocation above alloc_max bytes (0: as the driver allows). */
enum tg_status pair_open_as(struct pair *p, enum le_precision precision, uint64_t alloc_max,
                            struct tg_error *err);
void pair_close(struct pair *p);

/* Uniform in [-1, 1). */
float pair_random(struct pair *p);
/* INPUT with random values times amplitude, OUTPUT, DEVICE and KV with zeros. b[0] NULL: out of
 * memory. */
struct pair_buf pair_input(struct pair *p, size_t n, float amplitude);
struct pair_buf pair_output(struct pair *p, size_t n);
struct pair_buf pair_device(struct pair *p, size_t n);
struct pair_buf pair_kv(struct pair *p, size_t n);
struct pair_buf pair_const(struct pair *p, const float *values, size_t n);
/* A random matrix [out, in] of a file type; values of about 1 / sqrt(in). w[0] NULL: failure. */
struct pair_weight pair_weight(struct pair *p, uint32_t type, uint32_t in, uint32_t out);
/* As many such matrices as there are experts, in one weight. */
struct pair_weight pair_experts(struct pair *p, uint32_t type, uint32_t in, uint32_t out,
                                uint32_t experts);

/* Begins a class of n_tokens (at least the step's) and outputs on both sides, emits the ops with
 * emit(side), runs. The recordings of Vulkan are forgotten first unless keep. */
enum tg_status pair_run(struct pair *p, void (*emit)(struct pair *p, int side, void *arg),
                        void *arg, const struct le_step *step, uint32_t class_tokens,
                        uint32_t class_outputs, bool keep, struct tg_error *err);
/* Largest |vulkan - cpu| over the first n values, divided by the largest |cpu|. Infinity when a
 * value is not finite, or when the CPU gave only zeros. */
double pair_error(struct pair *p, const struct pair_buf *b, size_t n);

#endif

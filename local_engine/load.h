/* A model made ready to run: a device chosen and opened, its memory checked, the weights loaded. */
#ifndef LE_LOAD_H
#define LE_LOAD_H

#include "local_engine/device.h"
#include "local_engine/model.h"

/* What is found out on the way. */
enum le_load_event {
    LE_LOAD_FITS,     /* what is needed of the device, and what is free */
    LE_LOAD_UNTESTED, /* there is no self-test for this model, and why; it is loaded all the same */
    LE_LOAD_RIGHT,    /* the device passed its self-test */
    LE_LOAD_WRONG,    /* it did not: how far off it is, and what is tried instead */
    LE_LOAD_UNFIT,    /* it has not the memory, or is lost: the same */
};
/* gpu: whether it is about a GPU. text is valid during the call. */
typedef void le_load_fn(void *arg, enum le_load_event event, bool gpu, const char *text);

typedef enum tg_status le_open_fn(const struct le_device_options *options,
                                  const struct le_ops **ops, struct le_backend **be,
                                  struct tg_error *err);

struct le_load_options {
    struct le_device_options device;
    struct le_model_options model;
    bool no_selftest;
    bool dry;          /* all but the loading itself: out->model stays NULL */
    le_load_fn *event; /* NULL: to the log */
    void *arg;         /* of event */
    le_open_fn *open;  /* tests: instead of le_device_open */
};

struct le_loaded {
    const struct le_ops *ops;
    struct le_backend *be;
    struct le_model *model;
};

/* Opens the device, checks that the model fits its memory (le_plan_check), that the device computes
 * rightly (selftest.h), and loads the model.
 *
 * What fails its test is not used: `fast` makes way for `exact`, a GPU (LE_DEVICE_AUTO) for the
 * cpu, a kernel set of the cpu for the next lower one, down to scalar C in `exact`. With
 * LE_DEVICE_AUTO a GPU that has not the memory, or is lost, makes way for the cpu too. Each is
 * told with the reason.
 *
 * g must stay open until le_unload. TG_NOMEM: err is the sentence of le_plan_check, or the
 * device's. TG_INTERNAL: an LE_DEVICE_VULKAN that computes wrongly. Errors of le_device_open and
 * le_model_open; *out is empty then. */
enum tg_status le_load(const struct le_gguf *g, const struct le_load_options *options,
                       struct le_loaded *out, struct tg_error *err);
/* An empty one is allowed. */
void le_unload(struct le_loaded *l);

/* The precision that the open device computes in: not always the one that was asked for. */
enum le_precision le_loaded_precision(const struct le_loaded *l);

#endif

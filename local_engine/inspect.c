#include "local_engine/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local_engine/device.h"
#include "local_engine/memory.h"
#include "local_engine/model_file.h"

static struct le_type_use *use_of(struct le_inspection *o, uint32_t type)
{
    uint32_t block, bytes;
    for (uint32_t i = 0; i < o->n_types; i++)
        if (o->type[i].type == type)
            return &o->type[i];
    if (o->n_types == LE_INSPECT_TYPES) /* no real file has so many: the rest goes to the last */
        return &o->type[LE_INSPECT_TYPES - 1];
    struct le_type_use *u = &o->type[o->n_types++];
    *u = (struct le_type_use){ .type = type, .known = le_type_block(type, &block, &bytes) };
    return u;
}

static int by_bytes(const void *a, const void *b)
{
    const struct le_type_use *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->type < y->type ? -1 : x->type > y->type;
}

static void count_types(const struct le_gguf *g, struct le_inspection *o)
{
    for (size_t i = 0; i < le_gguf_n_tensors(g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        struct le_type_use *u = use_of(o, t->type);
        uint64_t elements = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        u->tensors++;
        u->elements += elements;
        u->bytes += t->nbytes;
        o->elements += elements;
    }
    qsort(o->type, o->n_types, sizeof(*o->type), by_bytes);
}

/* The first thing that is wrong with the model is told. */
static void found_wrong(struct le_inspection *o, enum tg_status st, const struct tg_error *why)
{
    if (!st || o->status)
        return;
    o->status = st;
    o->why = *why;
}

static void check_tokenizer(const struct le_gguf *g, struct le_inspection *o)
{
    struct le_tokenizer *t = NULL;
    struct tg_error why = { .text = "" };
    enum tg_status st = le_tokenizer_open(g, &t, &why);
    if (!st)
        o->n_tokens = le_tokenizer_n(t);
    le_tokenizer_close(t);
    if (!st && o->has_params)
        st = le_tokenizer_match(g, &o->params, o->n_tokens, &why);
    found_wrong(o, st, &why);
}

/* Fails when `wanted` is not possible; 0: none. */
static enum tg_status choose_contexts(const struct le_gguf *g, uint32_t wanted,
                                      struct le_inspection *o, struct tg_error *err)
{
    struct tg_error why = { .text = "" };
    uint32_t trained = o->params.context_trained;
    enum tg_status st = wanted ? le_context_choose(g, &o->params, wanted, &wanted, err) : TG_OK;
    if (st)
        return st;
    found_wrong(o, le_context_choose(g, &o->params, 0, &o->context_default, &why), &why);
    const uint32_t all[] = { 4096, o->context_default, trained, wanted };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        uint32_t at = o->n_contexts;
        bool there = all[i] == 0 || all[i] > trained;
        for (uint32_t k = 0; k < o->n_contexts; k++)
            there = there || o->context[k] == all[i];
        if (there)
            continue;
        for (; at > 0 && o->context[at - 1] > all[i]; at--)
            o->context[at] = o->context[at - 1];
        o->context[at] = all[i];
        o->n_contexts++;
    }
    return TG_OK;
}

static void find_cpu(struct le_place *p)
{
    struct le_memory memory;
    le_memory_read("", &memory);
    p->name = "cpu";
    p->present = true;
    p->available = memory.available;
    p->where = "this machine";
    snprintf(p->device, sizeof(p->device), "%s", p->where);
}

static void find_gpu(struct le_place *p, enum le_precision precision)
{
    const struct gpu_options o = { .precision = precision };
    const struct le_ops *ops = NULL;
    struct le_backend *be = NULL;
    struct tg_error why = { .text = "" };
    p->name = "vulkan";
    p->present = gpu_open(&o, &ops, &be, &why) == TG_OK;
    if (!p->present) {
        snprintf(p->device, sizeof(p->device), "%.*s", (int)sizeof(p->device) - 1, why.text);
        tg_fail(&p->why, TG_NOTFOUND, "%s", p->device);
        return;
    }
    snprintf(p->device, sizeof(p->device), "%s", ops->describe(be));
    p->available = le_device_room(ops, be, &p->where);
    ops->close(be);
}

static enum tg_status plan_place(const struct le_gguf *g, enum le_precision precision,
                                 struct le_inspection *o, struct le_place *p, bool gpu)
{
    const struct le_plan_device device = { .gpu = gpu, .precision = precision };
    struct tg_error why = { .text = "" };
    enum tg_status st = TG_OK;
    for (uint32_t i = 0; o->has_params && !st && i < o->n_contexts; i++)
        st = le_plan(g, &device, o->context[i], &p->plan[i], &why);
    if (st == TG_NOMEM)
        return st;
    st = o->status ? o->status : st;
    if (!st && p->present)
        st = le_plan_check(g, &device, o->context_default, p->available, p->where, &why);
    p->runs = !st && p->present;
    if (st && p->present)
        p->why = o->status ? o->why : why;
    return TG_OK;
}

enum tg_status le_inspect(const struct le_gguf *g, enum le_precision precision, uint32_t context,
                          struct le_inspection *out, struct tg_error *err)
{
    struct le_inspection *o = out;
    *o = (struct le_inspection){ .n_types = 0 };
    count_types(g, o);
    o->status = le_params_read(g, &o->params, &o->why);
    o->has_params = !o->status;
    enum tg_status st = o->has_params ? choose_contexts(g, context, o, err) : TG_OK;
    if (st)
        return st;
    check_tokenizer(g, o);
    struct tg_error why = { .text = "" };
    st = le_template_read(g, &o->template, &why);
    found_wrong(o, st, &why);
    if (o->status == TG_NOMEM)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", le_gguf_path(g));
    find_cpu(&o->place[LE_PLACE_CPU]);
    find_gpu(&o->place[LE_PLACE_VULKAN], precision);
    st = plan_place(g, precision, o, &o->place[LE_PLACE_CPU], false);
    if (!st)
        st = plan_place(g, precision, o, &o->place[LE_PLACE_VULKAN], true);
    return st ? tg_fail(err, st, "%s: out of memory", le_gguf_path(g)) : TG_OK;
}

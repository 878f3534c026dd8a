/* The engine's runner for a model in a GGUF file: one model on one device, opened and closed by the
 * engine's thread. */
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/engine_internal.h"
#include "local_engine/load.h"
#include "local_engine/model_file.h"
#include "local_engine/plan.h"

struct sequence {
    struct le_model_file file;
    struct le_engine_info info;
    struct le_device_options device; /* cache_dir owned */
    uint32_t context, chunk; /* chunk 0: the largest step */
    bool no_selftest;
    le_progress_fn *progress; /* of the first open only */
    void *progress_arg;
    struct le_loaded loaded;
};

static void sequence_close(void *arg)
{
    struct sequence *s = arg;
    le_unload(&s->loaded);
}

/* Of the device that was opened; 0 when it cannot be said. */
static uint64_t kv_bytes(const struct sequence *s)
{
    const struct le_plan_device device = { .gpu = strcmp(s->info.kind, "vulkan") == 0,
                                           .precision = s->info.precision };
    struct le_plan plan;
    return le_plan(s->file.g, &device, s->context, &plan, NULL) ? 0 : plan.kv;
}

static enum tg_status sequence_open(void *arg, const atomic_bool *stop, struct tg_error *err)
{
    struct sequence *s = arg;
    const struct le_load_options options = {
        .device = s->device,
        .model = { .context = s->context, .stop = stop, .progress = s->progress,
                   .arg = s->progress_arg },
        .no_selftest = s->no_selftest,
    };
    enum tg_status status = le_load(s->file.g, &options, &s->loaded, err);
    s->progress = NULL;
    if (status)
        return status;
    const struct le_loaded *l = &s->loaded;
    if (!s->info.kind[0]) { /* the first time only: others read it from then on */
        snprintf(s->info.device, sizeof(s->info.device), "%s", l->ops->describe(l->be));
        snprintf(s->info.kind, sizeof(s->info.kind), "%s", l->ops->name);
        s->info.precision = le_loaded_precision(l);
        s->info.kv_bytes = kv_bytes(s);
    }
    return TG_OK;
}

static uint32_t sequence_chunk(void *arg)
{
    const struct sequence *s = arg;
    return s->chunk ? s->chunk : LE_STEP_TOKENS_MAX;
}

static enum tg_status sequence_step(void *arg, const int32_t *ids, uint32_t n, uint32_t pos,
                                    bool logits, struct tg_error *err)
{
    struct sequence *s = arg;
    uint32_t last = n - 1;
    return le_model_step(s->loaded.model, ids, n, pos, &last, logits ? 1 : 0, err);
}

static const float *sequence_logits(void *arg)
{
    const struct sequence *s = arg;
    return le_model_logits(s->loaded.model, 0);
}

static void sequence_destroy(void *arg)
{
    struct sequence *s = arg;
    le_model_file_close(&s->file);
    tg_free((void *)(uintptr_t)s->device.cache_dir);
    tg_free(s);
}

static void copy_name(struct sequence *s, const char *path)
{
    struct tg_str name;
    const char *slash = strrchr(path, '/');
    if (le_gguf_string(s->file.g, "general.name", &name, NULL) || name.n == 0)
        name = tg_str_of(slash ? slash + 1 : path);
    le_gguf_text_print(name, s->info.name, sizeof(s->info.name)); /* commands print it */
}

static uint64_t elements(const struct le_tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

/* A file mixes types: it is called by the one that most of its elements have. */
static void read_facts(struct sequence *s)
{
    enum { TYPES = 64 }; /* the loader runs none above */
    uint64_t of_type[TYPES] = { 0 };
    struct tg_str family = TG_STR("");
    uint32_t most = 0;
    for (size_t i = 0; i < le_gguf_n_tensors(s->file.g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(s->file.g, i);
        s->info.parameters += elements(t);
        if (t->type < TYPES)
            of_type[t->type] += elements(t);
    }
    for (uint32_t i = 1; i < TYPES; i++)
        if (of_type[i] > of_type[most])
            most = i;
    snprintf(s->info.type, sizeof(s->info.type), "%s", le_type_name(most));
    le_gguf_string(s->file.g, "general.architecture", &family, NULL);
    le_gguf_text_print(family, s->info.family, sizeof(s->info.family));
    s->info.bytes = le_gguf_file_size(s->file.g);
}

/* The file's own defaults; what is absent or out of range is Gemma's recommendation. */
static void read_sampling(struct sequence *s)
{
    struct le_sampling o = { .temperature = 1, .top_k = 64, .top_p = 0.95f };
    le_gguf_f32(s->file.g, "general.sampling.temp", &o.temperature, NULL);
    le_gguf_u32(s->file.g, "general.sampling.top_k", &o.top_k, NULL);
    le_gguf_f32(s->file.g, "general.sampling.top_p", &o.top_p, NULL);
    if (le_sampling_check(&o, NULL))
        o = (struct le_sampling){ .temperature = 1, .top_k = 64, .top_p = 0.95f };
    s->info.sampling = o;
}

static enum tg_status check_sizes(const struct le_engine_options *o, struct tg_error *err)
{
    if (o->prefill_chunk > LE_STEP_TOKENS_MAX)
        return tg_fail(err, TG_INVALID, "a prefill chunk of %u is not possible; at most %d",
                       o->prefill_chunk, LE_STEP_TOKENS_MAX);
    if (o->threads > LE_THREADS_MAX)
        return tg_fail(err, TG_INVALID, "%u compute threads are not possible; at most %d",
                       o->threads, LE_THREADS_MAX);
    if (o->jobs_max > LE_JOBS_MAX || o->credit > LE_CREDIT_MAX)
        return tg_fail(err, TG_INVALID, "%u jobs and a credit of %u are not possible; at most %d "
                       "and %d", o->jobs_max, o->credit, LE_JOBS_MAX, LE_CREDIT_MAX);
    return TG_OK;
}

static enum tg_status sequence_new(const struct le_engine_options *o, struct sequence *s,
                                   struct tg_error *err)
{
    enum tg_status status = le_model_file_open(o->model, &s->file, err);
    if (!status)
        status = le_context_choose(s->file.g, &s->file.params, o->context, &s->context, err);
    if (!status)
        status = check_sizes(o, err);
    if (status)
        return status;
    s->info.template = s->file.template;
    s->info.files = s->file.g;
    s->chunk = o->prefill_chunk;
    copy_name(s, o->model);
    read_sampling(s);
    read_facts(s);
    s->device = (struct le_device_options){ .device = o->device, .precision = o->precision,
                                            .threads = o->threads };
    s->no_selftest = o->no_selftest;
    s->progress = o->progress;
    s->progress_arg = o->progress_arg;
    if (o->cache_dir && !(s->device.cache_dir = tg_strdup(o->cache_dir)))
        return tg_fail(err, TG_NOMEM, "the engine: out of memory");
    le_template_warn(&s->info.template, o->model);
    return TG_OK;
}

enum tg_status le_engine_open(const struct le_engine_options *options, struct le_engine **out,
                              struct tg_error *err)
{
    *out = NULL;
    struct sequence *s = tg_calloc(1, sizeof(*s));
    if (!s)
        return tg_fail(err, TG_NOMEM, "the engine: out of memory");
    enum tg_status status = sequence_new(options, s, err);
    if (status) {
        sequence_destroy(s);
        return status;
    }
    const struct le_engine_setup setup = {
        .runner = {
            .arg = s,
            .n_vocab = s->file.params.n_vocab,
            .open = sequence_open,
            .close = sequence_close,
            .chunk = sequence_chunk,
            .step = sequence_step,
            .logits = sequence_logits,
            .destroy = sequence_destroy,
        },
        .tokenizer = s->file.tokenizer,
        .info = &s->info,
        .context = s->context,
        .jobs_max = options->jobs_max,
        .credit = options->credit,
    };
    return le_engine_start(&setup, out, err);
}

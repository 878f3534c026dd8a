#include "gateway/api/ollama_internal.h"

/* The options of a model's run, one reader each: honoured, accepted where they have no effect on
 * what is answered, or refused by name. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* -1 asks for one at random, as its absence does. */
static enum tg_status read_seed(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0, most = (int64_t)1 << 53; /* what a JSON number carries exactly */
    enum tg_status status = api_integer(d, v, -most, most, &value);
    d->out->sampling.has_seed = value != -1;
    d->out->sampling.seed = value != -1 ? (uint64_t)value : 0;
    return status;
}

/* -1: without a limit; -2: until the context is full. Nothing is ever dropped from the context, so
 * that both are the same. */
static enum tg_status read_num_predict(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, -2, OLL_TOKENS_MAX, &value);
    if (status == TG_OK && value == 0)
        return api_bad(d, "must not be 0; -1 is without a limit");
    d->out->no_limit = value < 0;
    d->out->max_tokens = value > 0 ? (uint32_t)value : 0;
    return status;
}

/* A hint: the model's context is what it is, and clients ask for more than that unasked. What does
 * not fit is told; nothing is ever cut. */
static enum tg_status read_num_ctx(struct api_read *d, const struct tg_json *v)
{
    int64_t value;
    return api_integer(d, v, 1, INT32_MAX, &value);
}

/* How the work is spread over the machine, which is the configuration's business: a hint. */
static enum tg_status read_hint(struct api_read *d, const struct tg_json *v)
{
    double number;
    bool mark;
    if (tg_json_number(v, &number) || tg_json_bool(v, &mark))
        return TG_OK;
    return api_bad(d, "a number or a boolean was expected, not %s",
                   tg_json_type_name(tg_json_type(v)));
}

/* Accepts the value at which a sampler is off. */
static enum tg_status only(struct api_read *d, const struct tg_json *v, double off)
{
    double value;
    if (!tg_json_number(v, &value))
        return api_wrong_type(d, v, TG_JSON_NUMBER);
    return value >= off && value <= off ? TG_OK : api_unsupported(d);
}

static enum tg_status only_one(struct api_read *d, const struct tg_json *v)
{
    return only(d, v, 1);
}

static enum tg_status only_zero(struct api_read *d, const struct tg_json *v)
{
    return only(d, v, 0);
}

static enum tg_status only_true(struct api_read *d, const struct tg_json *v)
{
    return api_only_bool(d, v, true);
}

static const struct api_field options[] = {
    { "temperature", api_read_temperature },
    { "top_p", api_read_top_p },
    { "top_k", api_read_top_k },
    { "min_p", api_read_min_p },
    { "seed", read_seed },
    { "num_predict", read_num_predict },
    { "num_ctx", read_num_ctx },
    { "stop", api_read_stop },
    { "presence_penalty", api_read_presence },
    { "frequency_penalty", api_read_frequency },
    { "num_keep", read_hint }, /* of a context that is cut; here none is */
    { "num_batch", read_hint },
    { "num_gpu", read_hint },
    { "main_gpu", read_hint },
    { "num_thread", read_hint },
    { "numa", read_hint },
    { "low_vram", read_hint },
    { "f16_kv", read_hint },
    { "use_mmap", read_hint },
    { "use_mlock", read_hint },
    { "embedding_only", api_only_false },
    { "logits_all", api_only_false },
    { "vocab_only", api_only_false },
    { "repeat_penalty", only_one },
    { "repeat_last_n", read_hint }, /* of penalties; see oll_read_options */
    { "typical_p", only_one },
    { "tfs_z", only_one },
    { "mirostat", only_zero },
    { "mirostat_eta", read_hint }, /* of mirostat, which is off */
    { "mirostat_tau", read_hint },
    { "penalize_newline", only_true },
};

enum tg_status oll_read_options(struct api_read *d, const struct tg_json *v)
{
    enum tg_status status = api_read_object(d, v, options, COUNT(options));
    const struct chat_sampling *s = &d->out->sampling;
    bool penalty = s->presence < 0 || s->presence > 0 || s->frequency < 0 || s->frequency > 0;
    if (status || !penalty || !api_member(v, "repeat_last_n"))
        return status;
    api_enter(d, "repeat_last_n"); /* penalties are of all that was said */
    return api_unsupported(d);
}

#include "gateway/api/vectors.h"

#include <stdio.h>

#include "config/base/base64.h"

enum { DIMENSIONS_MAX = 65536 };

static enum tg_status read_text(struct api_read *d, const struct tg_json *v,
                                struct chat_input *out)
{
    return api_copy(d, v, 1, SIZE_MAX, &out->text);
}

static enum tg_status read_ids(struct api_read *d, const struct tg_json *v,
                               struct chat_input *out)
{
    size_t n = tg_json_count(v);
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    if (n == 0)
        return api_bad(d, "is empty");
    uint32_t *ids = tg_arena_alloc(d->arena, n, sizeof(*ids));
    if (!ids)
        return api_no_memory(d);
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item)) {
        int64_t id = 0;
        size_t mark = api_enter_at(d, out->n_ids);
        enum tg_status status = api_integer(d, item, 0, INT32_MAX, &id);
        api_leave(d, mark);
        if (status)
            return status;
        ids[out->n_ids++] = (uint32_t)id;
    }
    out->ids = ids;
    return TG_OK;
}

typedef enum tg_status (*input_reader)(struct api_read *d, const struct tg_json *v,
                                       struct chat_input *out);

/* So many inputs as v has members, or v alone. */
static enum tg_status read_list(struct api_read *d, const struct tg_json *v, bool alone,
                                input_reader read)
{
    size_t n = alone ? 1 : tg_json_count(v);
    enum tg_status status = TG_OK;
    if (n > API_INPUTS_MAX)
        return api_bad(d, "has more than %d inputs", API_INPUTS_MAX);
    struct chat_input *inputs = tg_arena_alloc(d->arena, n, sizeof(*inputs));
    if (!inputs)
        return api_no_memory(d);
    d->out->inputs = inputs;
    d->out->n_inputs = n;
    if (alone)
        return read(d, v, inputs);
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item && !status;
         item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        status = read(d, item, &inputs[i]);
        api_leave(d, mark);
    }
    return status;
}

enum tg_status api_read_texts(struct api_read *d, const struct tg_json *v)
{
    if (v && tg_json_is(v, TG_JSON_STRING))
        return read_list(d, v, true, read_text);
    if (!v || !tg_json_is(v, TG_JSON_ARRAY))
        return v ? api_bad(d, "a string or an array of strings was expected, not %s",
                           tg_json_type_name(tg_json_type(v)))
                 : api_wrong_type(d, v, TG_JSON_STRING);
    if (!tg_json_first(v))
        return api_bad(d, "is empty");
    return read_list(d, v, false, read_text);
}

enum tg_status api_read_inputs(struct api_read *d, const struct tg_json *v)
{
    const struct tg_json *first = tg_json_is(v, TG_JSON_ARRAY) ? tg_json_first(v) : NULL;
    if (tg_json_is(first, TG_JSON_NUMBER))
        return read_list(d, v, true, read_ids);
    if (tg_json_is(first, TG_JSON_ARRAY))
        return read_list(d, v, false, read_ids);
    return api_read_texts(d, v);
}

enum tg_status api_read_dimensions(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 1, DIMENSIONS_MAX, &value);
    d->out->dimensions = (uint32_t)value;
    return status;
}

void api_add_vector(struct tg_buf *out, const struct api_vector *v, bool base64)
{
    char number[24];
    if (base64) {
        tg_buf_addc(out, '"');
        tg_base64_add(out, (struct tg_str){ (const char *)v->v, v->n * sizeof(*v->v) });
        tg_buf_addc(out, '"');
        return;
    }
    tg_buf_addc(out, '[');
    for (size_t i = 0; i < v->n && !out->failed; i++) {
        int n = snprintf(number, sizeof(number), i ? ",%.9g" : "%.9g", (double)v->v[i]);
        tg_buf_add(out, number, (size_t)n);
    }
    tg_buf_addc(out, ']');
}

#include "providers/openai_vectors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/base/base64.h"
#include "config/base/json.h"
#include "providers/openai_reader_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats travel in this order");

/* Numbers of one vector, and bytes of all of an answer's: well above what models give. */
enum { VECTOR_MAX = 1 << 16, MEMORY_MAX = 128 << 20 };

enum tg_status prov_vectors_body(const struct prov_call *call, struct tg_buf *out)
{
    const struct chat_request *r = call->request;
    tg_buf_adds(out, "{\"model\":");
    tg_buf_add_json(out, call->model);
    tg_buf_adds(out, ",\"input\":[");
    for (size_t i = 0; i < r->n_inputs; i++) {
        const struct chat_input *in = &r->inputs[i];
        if (i)
            tg_buf_addc(out, ',');
        if (!in->n_ids) {
            tg_buf_add_json(out, in->text);
            continue;
        }
        for (size_t k = 0; k < in->n_ids; k++)
            tg_buf_addf(out, k ? ",%u" : "[%u", (unsigned)in->ids[k]);
        tg_buf_addc(out, ']');
    }
    tg_buf_adds(out, "],\"encoding_format\":\"base64\"");
    if (r->dimensions)
        tg_buf_addf(out, ",\"dimensions\":%u", (unsigned)r->dimensions);
    if (r->user.n) {
        tg_buf_adds(out, ",\"user\":");
        tg_buf_add_json(out, r->user);
    }
    return tg_buf_addc(out, '}');
}

struct vector {
    const float *v; /* NULL: has not come */
    size_t n;
};

/* What was wrong with an answer; NULL: nothing. */
static const char *read_numbers(struct tg_arena *arena, const struct tg_json *v,
                                struct vector *out)
{
    size_t n = tg_json_count(v), i = 0;
    float *list = n && n <= VECTOR_MAX ? tg_arena_alloc(arena, n, sizeof(*list)) : NULL;
    if (!list)
        return "a vector is empty or too large";
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item)) {
        double number;
        if (!tg_json_number(item, &number) || !isfinite((float)number))
            return "a vector holds what is no number";
        list[i++] = (float)number;
    }
    *out = (struct vector){ list, n };
    return NULL;
}

static const char *read_base64(struct tg_arena *arena, struct tg_str text, struct vector *out)
{
    size_t n = 0;
    if (text.n > VECTOR_MAX * sizeof(float) * 2)
        return "a vector is too large";
    char *bytes = tg_arena_alloc(arena, tg_base64_room(text.n), 1);
    if (!bytes)
        return "the vectors are too large";
    if (tg_base64_decode(text, bytes, &n) || n == 0 || n % sizeof(float))
        return "a vector is no base64 of numbers";
    const float *list = (const float *)(const void *)bytes; /* the arena aligns */
    *out = (struct vector){ list, n / sizeof(float) };
    for (size_t i = 0; i < out->n; i++)
        if (!isfinite(list[i]))
            return "a vector holds what is no number";
    return NULL;
}

static const char *read_item(struct tg_arena *arena, const struct tg_json *item, size_t place,
                             const struct chat_request *request, struct vector *vectors)
{
    const struct tg_json *given = tg_json_get(item, "index"), *v = tg_json_get(item, "embedding");
    int64_t index = (int64_t)place; /* where a server leaves it out */
    struct tg_str text;
    if (given && !tg_json_int(given, &index))
        return "an index is no whole number";
    if (index < 0 || (uint64_t)index >= request->n_inputs || vectors[index].v)
        return "an index is out of range, or there twice";
    struct vector *out = &vectors[index];
    if (tg_json_string(v, &text))
        return read_base64(arena, text, out);
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return "an embedding is neither a list nor base64";
    return read_numbers(arena, v, out);
}

static const char *read_all(struct tg_arena *arena, const struct tg_json *data,
                            const struct chat_request *request, struct vector *vectors)
{
    size_t place = 0, wanted = request->dimensions;
    if (!tg_json_is(data, TG_JSON_ARRAY) || tg_json_count(data) != request->n_inputs)
        return "there are not as many embeddings as inputs";
    for (const struct tg_json *d = tg_json_first(data); d; d = tg_json_next(d)) {
        const char *wrong = read_item(arena, d, place++, request, vectors);
        if (wrong)
            return wrong;
    }
    for (size_t i = 0; i < request->n_inputs; i++) {
        wanted = wanted ? wanted : vectors[i].n;
        if (vectors[i].n != wanted)
            return request->dimensions ? "the provider does not keep to dimensions"
                                       : "the vectors differ in length";
    }
    return NULL;
}

static void emit_all(struct prov_reader *r, const struct tg_json *usage,
                     const struct vector *vectors, size_t n)
{
    struct chat_event event = { .kind = CHAT_EVENT_USAGE };
    for (size_t i = 0; i < n && !r->dead; i++)
        r->emit(r->arg, &(struct chat_event){ .kind = CHAT_EVENT_VECTOR, .index = (uint32_t)i,
                                              .vector = vectors[i].v, .n_vector = vectors[i].n });
    event.usage.input = prov_reader_count(tg_json_get(usage, "prompt_tokens"));
    event.usage.output = (struct chat_count){ event.usage.input.present, 0 };
    if (event.usage.input.present && !r->dead)
        r->emit(r->arg, &event);
    if (r->dead)
        return;
    r->ended = true;
    r->emit(r->arg, &(struct chat_event){ .kind = CHAT_EVENT_FINISH });
}

void prov_vectors_read(struct prov_reader *r, struct tg_str body,
                       const struct chat_request *request, struct tg_arena **arena)
{
    struct tg_json *root = r->ended || r->dead ? NULL : prov_reader_root(r, body);
    char text[160];
    if (root && !prov_reader_error_in(r, root)) {
        *arena = tg_arena_new(MEMORY_MAX);
        struct vector *vectors =
            *arena ? tg_arena_alloc(*arena, request->n_inputs, sizeof(*vectors)) : NULL;
        const char *wrong =
            vectors ? read_all(*arena, tg_json_get(root, "data"), request, vectors)
                    : "out of memory";
        if (wrong) {
            snprintf(text, sizeof(text), "the provider's embeddings: %s", wrong);
            prov_reader_fail(r, vectors ? CHAT_ERROR_MALFORMED : CHAT_ERROR_LIMIT, true,
                             tg_str_of(text));
        } else {
            emit_all(r, tg_json_get(root, "usage"), vectors, request->n_inputs);
        }
    }
    tg_json_free(root);
}

#include <inttypes.h>
#include <stdio.h>

#include "gateway/api/ollama_internal.h"

/* What clients ask about models. */

static void add_text(struct tg_buf *out, const char *key, const char *value)
{
    tg_buf_adds(out, key);
    tg_buf_add_json(out, tg_str_of(value));
}

/* "4.3M": to a tenth below a thousand of its unit. */
static void add_parameters(uint64_t n, struct tg_buf *out)
{
    static const struct {
        uint64_t unit;
        char letter;
    } units[] = { { 1000000000, 'B' }, { 1000000, 'M' }, { 1000, 'K' } };
    char text[32] = "";
    for (size_t i = 0; i < sizeof(units) / sizeof(*units) && !text[0]; i++)
        if (n >= units[i].unit)
            snprintf(text, sizeof(text), "%.1f%c", (double)n / (double)units[i].unit,
                     units[i].letter);
    if (n && !text[0])
        snprintf(text, sizeof(text), "%" PRIu64, n);
    add_text(out, ",\"parameter_size\":", text);
}

static void add_details(const struct oll_model *m, struct tg_buf *out)
{
    add_text(out, "\"details\":{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":", m->family);
    add_text(out, ",\"families\":[", m->family);
    tg_buf_adds(out, "]");
    add_parameters(m->parameters, out);
    add_text(out, ",\"quantization_level\":", m->quantization);
    tg_buf_adds(out, "}");
}

/* Names have a tag in this API. */
static void add_names(const struct oll_model *m, struct tg_buf *out)
{
    char name[API_MODEL_MAX + 16];
    snprintf(name, sizeof(name), "%s:latest", m->name);
    add_text(out, "{\"name\":", name);
    add_text(out, ",\"model\":", name);
}

enum tg_status oll_tags_print(const struct oll_model *models, size_t n, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"models\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            tg_buf_adds(out, ",");
        add_names(&models[i], out);
        tg_buf_adds(out, ",\"modified_at\":");
        oll_add_time(models[i].modified_s * 1000, out);
        tg_buf_addf(out, ",\"size\":%" PRIu64, models[i].bytes);
        add_text(out, ",\"digest\":", models[i].digest);
        tg_buf_adds(out, ",");
        add_details(&models[i], out);
        tg_buf_adds(out, "}");
    }
    return tg_buf_adds(out, "]}");
}

enum tg_status oll_ps_print(const struct oll_model *m, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"models\":[");
    add_names(m, out);
    tg_buf_addf(out, ",\"size\":%" PRIu64, m->bytes);
    add_text(out, ",\"digest\":", m->digest);
    tg_buf_adds(out, ",");
    add_details(m, out);
    return tg_buf_addf(out,
                       ",\"expires_at\":\"9000-01-01T00:00:00Z\",\"size_vram\":%" PRIu64
                       ",\"context_length\":%" PRIu32 "}]}",
                       m->on_gpu ? m->bytes : 0, m->context);
}

enum tg_status oll_version_print(const char *version, struct tg_buf *out)
{
    add_text(out, "{\"version\":", OLL_API_VERSION);
    add_text(out, ",\"tollgate\":", version);
    return tg_buf_adds(out, "}");
}

static void show_remote(const struct oll_model *m, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"details\":{\"parent_model\":\"\",\"format\":\"\",\"family\":\"\","
                     "\"families\":[],\"parameter_size\":\"\",\"quantization_level\":\"\"},"
                     "\"model_info\":{},\"remote_model\":");
    tg_buf_add_json(out, m->remote);
    tg_buf_adds(out, ",\"capabilities\":[\"completion\",\"tools\",\"vision\",\"thinking\","
                     "\"embedding\"]");
}

static void show_local(const struct oll_model *m, struct tg_buf *out)
{
    tg_buf_adds(out, "{");
    add_details(m, out);
    add_text(out, ",\"model_info\":{\"general.architecture\":", m->family);
    tg_buf_addf(out, ",\"general.parameter_count\":%" PRIu64 ",", m->parameters);
    char key[64];
    snprintf(key, sizeof(key), "%.40s.context_length", m->family);
    tg_buf_add_json(out, tg_str_of(key));
    tg_buf_addf(out, ":%" PRIu32 "},\"capabilities\":[\"completion\",\"tools\"%s]", m->context,
                m->thinks ? ",\"thinking\"" : "");
}

enum tg_status oll_show_print(const struct oll_model *m, struct tg_buf *out)
{
    if (m->remote.n)
        show_remote(m, out);
    else
        show_local(m, out);
    tg_buf_adds(out, ",\"modified_at\":");
    oll_add_time(m->modified_s * 1000, out);
    return tg_buf_adds(out, "}");
}

#include <math.h>
#include <string.h>

#include "config/base/base64.h"
#include "config/base/json.h"
#include "providers/backend.h"
#include "providers/media.h"

/* Reasoning of earlier turns stays here: providers refuse what is not their own. top_k and min_p
 * are not of this dialect and are left out. A developer message travels as system, which every
 * compatible server knows. */

static void add_member(struct tg_buf *out, const char *key, struct tg_str value)
{
    tg_buf_addc(out, '"');
    tg_buf_adds(out, key);
    tg_buf_adds(out, "\":");
    tg_buf_add_json(out, value);
}

/* Left out when it is not a number. */
static void add_number(struct tg_buf *out, const char *key, double value)
{
    if (!isfinite(value))
        return;
    tg_buf_addf(out, ",\"%s\":", key);
    tg_buf_add_number(out, value);
}

static bool is_content(const struct chat_part *p)
{
    return p->kind == CHAT_PART_TEXT || p->kind == CHAT_PART_IMAGE || p->kind == CHAT_PART_AUDIO ||
           p->kind == CHAT_PART_VIDEO;
}

/* An image: its URL as the client wrote it, or its bytes as a data URL. */
static enum tg_status add_image(struct tg_buf *out, const struct chat_media *m)
{
    tg_buf_adds(out, "{\"type\":\"image_url\",\"image_url\":{");
    if (m->data.p) {
        tg_buf_addf(out, "\"url\":\"data:%s;base64,", m->type->name);
        tg_base64_add(out, m->data);
        tg_buf_addc(out, '"');
    } else {
        add_member(out, "url", m->url);
    }
    if (m->detail.n) {
        tg_buf_addc(out, ',');
        add_member(out, "detail", m->detail);
    }
    return tg_buf_adds(out, "}}");
}

static enum tg_status add_audio(struct tg_buf *out, const struct chat_media *m)
{
    tg_buf_adds(out, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"");
    tg_base64_add(out, m->data);
    return tg_buf_addf(out, "\",\"format\":\"%s\"}}", m->type->word);
}

bool prov_openai_takes(const struct chat_part *p)
{
    return p->kind != CHAT_PART_VIDEO && (p->kind != CHAT_PART_AUDIO || p->media->data.p);
}

static enum tg_status add_part(struct tg_buf *out, const struct chat_part *p)
{
    switch (p->kind) {
    case CHAT_PART_TEXT:
        tg_buf_adds(out, "{\"type\":\"text\",");
        add_member(out, "text", p->text);
        return tg_buf_addc(out, '}');
    case CHAT_PART_IMAGE:
        return add_image(out, p->media);
    case CHAT_PART_AUDIO:
        return prov_openai_takes(p) ? add_audio(out, p->media) : TG_UNSUPPORTED;
    default:
        return TG_UNSUPPORTED;
    }
}

/* "content": a string for one text, null for nothing at all, else the list of parts. */
static enum tg_status add_content(struct tg_buf *out, const struct chat_message *m, bool null_ok)
{
    const struct chat_part *only = NULL;
    size_t n = 0;
    for (size_t i = 0; i < m->n_parts; i++) {
        if (is_content(&m->parts[i])) {
            only = &m->parts[i];
            n++;
        }
    }
    if (n == 0)
        return tg_buf_adds(out, null_ok ? "\"content\":null" : "\"content\":\"\"");
    if (n == 1 && only->kind == CHAT_PART_TEXT) {
        add_member(out, "content", only->text);
        return out->failed;
    }
    tg_buf_adds(out, "\"content\":[");
    bool first = true;
    for (size_t i = 0; i < m->n_parts; i++) {
        if (!is_content(&m->parts[i]))
            continue;
        if (!first)
            tg_buf_addc(out, ',');
        first = false;
        enum tg_status status = add_part(out, &m->parts[i]);
        if (status)
            return status;
    }
    return tg_buf_addc(out, ']');
}

static size_t count_parts(const struct chat_message *m, enum chat_part_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_parts; i++)
        n += m->parts[i].kind == kind;
    return n;
}

static void add_calls(struct tg_buf *out, const struct chat_message *m)
{
    bool first = true;
    tg_buf_adds(out, ",\"tool_calls\":[");
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct chat_part *p = &m->parts[i];
        if (p->kind != CHAT_PART_TOOL_CALL)
            continue;
        tg_buf_adds(out, first ? "{" : ",{");
        first = false;
        add_member(out, "id", p->id);
        tg_buf_adds(out, ",\"type\":\"function\",\"function\":{");
        add_member(out, "name", p->name);
        tg_buf_addc(out, ',');
        add_member(out, "arguments", p->text.n ? p->text : TG_STR("{}"));
        tg_buf_adds(out, "}}");
    }
    tg_buf_addc(out, ']');
}

/* Each result is a message of its own in this dialect. */
static void add_results(struct tg_buf *out, const struct chat_message *m, bool *first)
{
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct chat_part *p = &m->parts[i];
        if (p->kind != CHAT_PART_TOOL_RESULT)
            continue;
        tg_buf_adds(out, *first ? "{\"role\":\"tool\"," : ",{\"role\":\"tool\",");
        *first = false;
        add_member(out, "tool_call_id", p->id);
        tg_buf_addc(out, ',');
        add_member(out, "content", p->text);
        tg_buf_addc(out, '}');
    }
}

static enum tg_status add_message(struct tg_buf *out, const struct chat_message *m, bool *first)
{
    size_t calls = count_parts(m, CHAT_PART_TOOL_CALL);
    if (count_parts(m, CHAT_PART_TOOL_RESULT) > 0) {
        add_results(out, m, first);
        bool more = calls > 0;
        for (size_t i = 0; i < m->n_parts; i++)
            more = more || is_content(&m->parts[i]);
        if (!more)
            return out->failed;
    }
    enum chat_role role = m->role == CHAT_DEVELOPER ? CHAT_SYSTEM
                          : m->role == CHAT_TOOL    ? CHAT_USER
                                                    : m->role;
    tg_buf_adds(out, *first ? "{" : ",{");
    *first = false;
    add_member(out, "role", tg_str_of(chat_role_name(role)));
    tg_buf_addc(out, ',');
    enum tg_status status = add_content(out, m, calls > 0);
    if (status)
        return status;
    if (m->name.n) {
        tg_buf_addc(out, ',');
        add_member(out, "name", m->name);
    }
    if (calls)
        add_calls(out, m);
    return tg_buf_addc(out, '}');
}

static enum tg_status add_tools(struct tg_buf *out, const struct chat_request *r)
{
    tg_buf_adds(out, ",\"tools\":[");
    for (size_t i = 0; i < r->n_tools; i++) {
        const struct chat_tool *t = &r->tools[i];
        tg_buf_adds(out, i ? ",{" : "{");
        tg_buf_adds(out, "\"type\":\"function\",\"function\":{");
        add_member(out, "name", t->name);
        if (t->description.n) {
            tg_buf_addc(out, ',');
            add_member(out, "description", t->description);
        }
        if (t->parameters.n) {
            enum tg_status status = tg_json_scan(t->parameters, NULL);
            if (status)
                return status; /* it goes in as it is, so it must be JSON */
            tg_buf_adds(out, ",\"parameters\":");
            tg_buf_add(out, t->parameters.p, t->parameters.n);
        }
        if (t->has_strict)
            tg_buf_addf(out, ",\"strict\":%s", t->strict ? "true" : "false");
        tg_buf_adds(out, "}}");
    }
    return tg_buf_addc(out, ']');
}

static void add_choice(struct tg_buf *out, const struct chat_request *r)
{
    if (r->tool_choice == CHAT_CHOICE_REQUIRED) {
        tg_buf_adds(out, ",\"tool_choice\":\"required\"");
    } else if (r->tool_choice == CHAT_CHOICE_NAMED) {
        tg_buf_adds(out, ",\"tool_choice\":{\"type\":\"function\",\"function\":{");
        add_member(out, "name", r->tool_name);
        tg_buf_adds(out, "}}");
    }
    if (r->one_call)
        tg_buf_adds(out, ",\"parallel_tool_calls\":false");
}

static enum tg_status add_format(struct tg_buf *out, const struct chat_request *r)
{
    if (r->format == CHAT_FORMAT_TEXT)
        return TG_OK;
    if (r->format == CHAT_FORMAT_JSON)
        return tg_buf_adds(out, ",\"response_format\":{\"type\":\"json_object\"}");
    enum tg_status status = tg_json_scan(r->schema.text, NULL);
    if (status)
        return status; /* it goes in as it is, so it must be JSON */
    tg_buf_adds(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{");
    add_member(out, "name", r->schema.name);
    if (r->schema.description.n) {
        tg_buf_addc(out, ',');
        add_member(out, "description", r->schema.description);
    }
    if (r->schema.has_strict)
        tg_buf_addf(out, ",\"strict\":%s", r->schema.strict ? "true" : "false");
    tg_buf_adds(out, ",\"schema\":");
    tg_buf_add(out, r->schema.text.p, r->schema.text.n);
    return tg_buf_adds(out, "}}");
}

static void add_settings(struct tg_buf *out, const struct prov_call *call)
{
    const struct chat_request *r = call->request;
    const struct chat_sampling *s = &r->sampling;
    tg_buf_adds(out, call->by_vendor ? ",\"max_completion_tokens\":" : ",\"max_tokens\":");
    tg_buf_addu(out, call->max_tokens);
    if (s->has_temperature)
        add_number(out, "temperature", s->temperature);
    if (s->has_top_p)
        add_number(out, "top_p", s->top_p);
    if (s->has_top_k)
        tg_buf_addf(out, ",\"top_k\":%u", (unsigned)s->top_k);
    if (s->has_min_p)
        add_number(out, "min_p", s->min_p);
    if (s->has_presence)
        add_number(out, "presence_penalty", s->presence);
    if (s->has_frequency)
        add_number(out, "frequency_penalty", s->frequency);
    if (s->has_seed)
        tg_buf_addf(out, ",\"seed\":%lld", (long long)(int64_t)s->seed);
    if (r->n_stops) {
        tg_buf_adds(out, ",\"stop\":[");
        for (size_t i = 0; i < r->n_stops; i++) {
            if (i)
                tg_buf_addc(out, ',');
            tg_buf_add_json(out, r->stop[i]);
        }
        tg_buf_addc(out, ']');
    }
    if (r->effort.n) {
        tg_buf_addc(out, ',');
        add_member(out, "reasoning_effort", r->effort);
    }
    if (r->verbosity.n) {
        tg_buf_addc(out, ',');
        add_member(out, "verbosity", r->verbosity);
    }
    if (r->logprobs)
        tg_buf_adds(out, ",\"logprobs\":true");
    if (r->logprobs && r->top_logprobs)
        tg_buf_addf(out, ",\"top_logprobs\":%u", (unsigned)r->top_logprobs);
    if (r->user.n) {
        tg_buf_addc(out, ',');
        add_member(out, "user", r->user);
    }
    if (r->stream)
        tg_buf_adds(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    else
        tg_buf_adds(out, ",\"stream\":false");
}

bool prov_openai_is_vendor(const char *base_url)
{
    const char *at = strstr(base_url, "://");
    size_t n = at ? strcspn(at + 3, ":/") : 0;
    return n > 0 && tg_str_ieq((struct tg_str){ at + 3, n }, TG_STR("api.openai.com"));
}

enum tg_status prov_openai_body(const struct prov_call *call, struct tg_buf *out)
{
    const struct chat_request *r = call->request;
    bool first = true;
    if (call->by_vendor && (r->sampling.has_top_k || r->sampling.has_min_p))
        return TG_UNSUPPORTED;
    tg_buf_addc(out, '{');
    add_member(out, "model", call->model);
    tg_buf_adds(out, ",\"messages\":[");
    for (size_t i = 0; i < r->n_messages; i++) {
        enum tg_status status = add_message(out, &r->messages[i], &first);
        if (status)
            return status;
    }
    tg_buf_addc(out, ']');
    if (r->n_tools) {
        enum tg_status status = add_tools(out, r);
        if (status)
            return status;
        add_choice(out, r);
    }
    enum tg_status status = add_format(out, r);
    if (status)
        return status;
    add_settings(out, call);
    return tg_buf_addc(out, '}');
}

#include "providers/openai_reader.h"

#include <stdio.h>
#include <string.h>

#include "config/base/json.h"
#include "config/base/log.h"
#include "config/base/utf8.h"
#include "providers/backend_internal.h"
#include "providers/openai_error.h"
#include "providers/openai_logprobs.h"
#include "providers/openai_reader_internal.h"

enum { SSE_EVENT_MAX = 1 << 20 };

void prov_reader_init(struct prov_reader *r, size_t answer_max, prov_event_fn emit, void *arg)
{
    *r = (struct prov_reader){ .emit = emit, .arg = arg, .left = answer_max };
    size_t event_max = answer_max < SSE_EVENT_MAX ? answer_max : SSE_EVENT_MAX;
    prov_sse_init(&r->sse, event_max + 64, event_max);
}

void prov_reader_free(struct prov_reader *r)
{
    prov_sse_free(&r->sse);
}

/* ---- errors ---- */

/* Cut to fit between two code points; what is not text becomes '?'. */
static void plain_text(char out[PROV_ERROR_TEXT_MAX], struct tg_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t rune;
        size_t width = tg_utf8_decode(text.p + i, text.n - i, &rune);
        size_t take = width ? width : 1;
        if (n + take >= PROV_ERROR_TEXT_MAX)
            break;
        if (!width || rune < 0x20 || rune == 0x7F)
            out[n] = width ? ' ' : '?';
        else
            memcpy(out + n, text.p + i, width);
        n += take;
        i += take;
    }
    out[n] = '\0';
    tg_log_mask(out);
}

/* root: of an error that the provider tells, as far as that is JSON; NULL: of others. */
static void emit_error(struct prov_reader *r, struct chat_event *event,
                       const struct tg_json *root, struct tg_str text)
{
    char shown[PROV_ERROR_TEXT_MAX];
    struct prov_error_words words;
    if (r->ended || r->dead)
        return;
    r->ended = true;
    plain_text(shown, text);
    event->kind = CHAT_EVENT_ERROR;
    event->text = tg_str_of(shown);
    if (event->error == CHAT_ERROR_STATUS)
        prov_error_read(root, event->text, &words, event);
    r->emit(r->arg, event);
}

void prov_reader_fail(struct prov_reader *r, enum chat_error_kind kind, bool billed,
                      struct tg_str text)
{
    struct chat_event event = { .error = kind, .billed = billed, .retry_after_ms = -1 };
    emit_error(r, &event, NULL, text);
}

/* A proxy in front of the model may lose it after the work was done; the server's own refusals and
 * failures are not billed. */
static bool status_billed(int status)
{
    return status >= 500 && status != 500 && status != 501 && status != 503 && status != 529;
}

void prov_reader_status(struct prov_reader *r, int http_status, int64_t retry_after_ms,
                        struct tg_str body)
{
    struct chat_event event = { .error = CHAT_ERROR_STATUS,
                                .http_status = http_status,
                                .retry_after_ms = retry_after_ms,
                                .billed = status_billed(http_status) };
    struct tg_json *root = NULL;
    if (http_status >= 300 && http_status < 400) {
        emit_error(r, &event, NULL, TG_STR("a redirect, which is not followed: check baseUrl"));
        return;
    }
    if (tg_json_parse(body, &root, NULL))
        root = NULL;
    struct tg_str text = prov_error_text(root);
    emit_error(r, &event, root, text.n ? text : body);
    tg_json_free(root);
}

/* An error object inside a 200 answer. It may have come after work was done. */
static void fail_inside(struct prov_reader *r, const struct tg_json *root)
{
    const struct tg_json *error = tg_json_get(root, "error");
    struct chat_event event = { .error = CHAT_ERROR_STATUS,
                                .http_status = 500,
                                .retry_after_ms = -1,
                                .billed = true };
    static const char *const keys[] = { "code", "status" };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        int64_t code;
        if (tg_json_int(tg_json_get(error, keys[i]), &code) && code >= 400 && code <= 599)
            event.http_status = (int)code;
    }
    emit_error(r, &event, root, prov_error_text(root));
}

static void malformed(struct prov_reader *r, const char *what)
{
    prov_reader_fail(r, CHAT_ERROR_MALFORMED, true, tg_str_of(what));
}

static bool over(const struct prov_reader *r)
{
    return r->ended || r->dead;
}

struct tg_json *prov_reader_root(struct prov_reader *r, struct tg_str text)
{
    struct tg_json *root = NULL;
    struct tg_error err;
    char message[600];
    enum tg_status status = tg_json_parse(text, &root, &err);
    if (status == TG_NOMEM) {
        prov_reader_fail(r, CHAT_ERROR_LIMIT, true, TG_STR("out of memory"));
    } else if (status) {
        snprintf(message, sizeof(message), "the provider's JSON: %s", err.text);
        malformed(r, message);
    } else if (!tg_json_is(root, TG_JSON_OBJECT)) {
        malformed(r, "the provider's JSON is not an object");
    } else {
        return root;
    }
    tg_json_free(root);
    return NULL;
}

/* ---- usage: absent is not zero ---- */

struct chat_count prov_reader_count(const struct tg_json *v)
{
    int64_t n;
    if (!tg_json_int(v, &n) || n < 0)
        return (struct chat_count){ false, 0 };
    return (struct chat_count){ true, (uint64_t)n };
}

static void take_usage(struct prov_reader *r, const struct tg_json *usage)
{
    if (!tg_json_is(usage, TG_JSON_OBJECT) || over(r))
        return;
    struct chat_event event = { .kind = CHAT_EVENT_USAGE };
    const struct tg_json *in = tg_json_get(usage, "prompt_tokens_details");
    const struct tg_json *out = tg_json_get(usage, "completion_tokens_details");
    event.usage.input = prov_reader_count(tg_json_get(usage, "prompt_tokens"));
    event.usage.output = prov_reader_count(tg_json_get(usage, "completion_tokens"));
    event.usage.cached_input = prov_reader_count(tg_json_get(in, "cached_tokens"));
    event.usage.audio_input = prov_reader_count(tg_json_get(in, "audio_tokens"));
    event.usage.reasoning = prov_reader_count(tg_json_get(out, "reasoning_tokens"));
    r->emit(r->arg, &event);
}

/* ---- deltas and messages: they differ only in that a delta's call has an index ---- */

/* False: there, but neither a string nor null. */
static bool take_text(struct prov_reader *r, const struct tg_json *v, enum chat_event_kind kind)
{
    struct chat_event event = { .kind = kind };
    if (!v || tg_json_is(v, TG_JSON_NULL))
        return true;
    if (!tg_json_string(v, &event.text))
        return false;
    if (event.text.n && !over(r))
        r->emit(r->arg, &event);
    return true;
}

/* Content as a list (Mistral's reasoning models): texts, and thoughts that are lists of texts. What
 * else is in it, such as references, has no words here. */
static bool take_parts(struct prov_reader *r, const struct tg_json *list,
                       enum chat_event_kind kind)
{
    for (const struct tg_json *p = tg_json_first(list); p && !over(r); p = tg_json_next(p)) {
        const struct tg_json *thoughts = tg_json_get(p, "thinking");
        bool fine = tg_json_is(thoughts, TG_JSON_ARRAY)
                        ? take_parts(r, thoughts, CHAT_EVENT_REASONING)
                        : take_text(r, tg_json_get(p, "text"), kind);
        if (!fine)
            return false;
    }
    return true;
}

/* Content with its tokens, if they are asked for. Some servers tell those of thoughts, calls and
 * refusals too: what comes without content beside one of these is no token of the text. */
static void take_content(struct prov_reader *r, const struct tg_json *content, bool beside,
                         const struct tg_json *logprobs)
{
    struct chat_event event = { .kind = CHAT_EVENT_TEXT };
    struct tg_arena *arena = NULL;
    enum tg_status status = TG_OK;
    bool list = tg_json_is(content, TG_JSON_ARRAY);
    bool fine = list ? take_parts(r, content, CHAT_EVENT_TEXT)
                     : !content || tg_json_is(content, TG_JSON_NULL) ||
                           tg_json_string(content, &event.text);
    if (!fine) {
        malformed(r, "content is neither a string nor null nor a list of texts");
        return;
    }
    if (r->logprobs && (event.text.n || !beside))
        status = prov_logprobs_read(tg_json_get(logprobs, "content"), &arena, &event);
    if (status == TG_INVALID)
        malformed(r, "logprobs are not in the form that was asked for");
    else if (status)
        prov_reader_fail(r, CHAT_ERROR_LIMIT, true, TG_STR("no memory for the logprobs"));
    else if ((event.text.n || event.n_logprobs) && !over(r))
        r->emit(r->arg, &event);
    tg_arena_free(arena);
}

/* FNV-1a (draft-eastlake-fnv), to know an id again; 0: there is none. */
static uint64_t sum_of(struct tg_str id)
{
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < id.n; i++)
        sum = (sum ^ (unsigned char)id.p[i]) * 1099511628211u;
    return id.n ? sum | 1 : 0;
}

/* Which call a piece belongs to; r->n_calls: it begins here. In a whole answer each is a piece.
 * Some servers leave the index out: then another id begins a call. Some give all calls of a stream
 * the same one (Gemini's): then another id with a name does. */
static bool call_index(struct prov_reader *r, const struct tg_json *call, bool whole,
                       uint32_t *index)
{
    struct tg_str id = { NULL, 0 }, name = { NULL, 0 };
    int64_t told = 0;
    bool given = !whole && tg_json_int(tg_json_get(call, "index"), &told);
    if (given && (told < 0 || told > r->n_told))
        return false;
    tg_json_string(tg_json_get(call, "id"), &id);
    tg_json_string(tg_json_get(tg_json_get(call, "function"), "name"), &name);
    *index = !given ? r->last_call : told < r->n_told ? r->call_of[told] : r->n_calls;
    uint64_t sum = sum_of(id), was = r->id_sum[*index < CHAT_CALLS_MAX ? *index : 0];
    bool other = sum && sum != was && (!given || (name.n && was));
    if (!whole && *index < r->n_calls && !other)
        return true;
    *index = r->n_calls;
    if (*index >= CHAT_CALLS_MAX)
        return false;
    r->id_sum[*index] = sum;
    r->call_of[given && told < r->n_told ? told : r->n_told++] = (uint8_t)*index;
    return true;
}

static void take_call(struct prov_reader *r, const struct tg_json *call, bool whole)
{
    struct chat_event event = { .kind = CHAT_EVENT_TOOL_CALL };
    const struct tg_json *function = tg_json_get(call, "function");
    const struct tg_json *arguments = tg_json_get(function, "arguments");
    char id[PROV_CALL_ID_MAX];
    struct tg_buf printed;
    if (!call_index(r, call, whole, &event.index)) {
        malformed(r, "tool_calls: an index is out of order, or beyond 127");
        return;
    }
    tg_buf_init(&printed, SSE_EVENT_MAX);
    if (!tg_json_string(arguments, &event.text) && tg_json_is(arguments, TG_JSON_OBJECT)) {
        tg_json_print(arguments, &printed);
        event.text = tg_buf_str(&printed);
    }
    bool first = event.index == r->n_calls;
    if (first) { /* some servers repeat both; clients join what they get */
        tg_json_string(tg_json_get(call, "id"), &event.id);
        tg_json_string(tg_json_get(function, "name"), &event.name);
    }
    if (first && !event.id.n) {
        if (!r->salt)
            prov_salt(&r->salt);
        prov_call_id(id, r->salt, event.index);
        event.id = tg_str_of(id);
    }
    r->last_call = event.index;
    r->n_calls += first;
    r->has_arguments[event.index] |= event.text.n > 0;
    if (first && !event.name.n)
        malformed(r, "tool_calls: a call without a function name");
    else if (printed.failed)
        prov_reader_fail(r, CHAT_ERROR_LIMIT, true, TG_STR("a tool call above 1 MiB"));
    else if (first || event.text.n)
        r->emit(r->arg, &event);
    tg_buf_free(&printed);
}

static void take_delta(struct prov_reader *r, const struct tg_json *choice, const char *member)
{
    const struct tg_json *delta = tg_json_get(choice, member);
    const struct tg_json *calls = tg_json_get(delta, "tool_calls");
    const struct tg_json *refusal = tg_json_get(delta, "refusal");
    const struct tg_json *reasoning = tg_json_get(delta, "reasoning_content");
    struct tg_str declined = { NULL, 0 };
    if (!tg_json_is(reasoning, TG_JSON_STRING))
        reasoning = tg_json_get(delta, "reasoning");
    if (!tg_json_is(reasoning, TG_JSON_STRING))
        reasoning = NULL; /* some servers put an object there, with nothing to show */
    take_text(r, reasoning, CHAT_EVENT_REASONING);
    tg_json_string(refusal, &declined);
    take_content(r, tg_json_get(delta, "content"),
                 reasoning || declined.n || tg_json_first(calls), tg_json_get(choice, "logprobs"));
    if (!take_text(r, refusal, CHAT_EVENT_REFUSAL)) {
        malformed(r, "refusal is neither a string nor null");
        return;
    }
    if (!tg_json_is(calls, TG_JSON_ARRAY))
        return;
    for (const struct tg_json *c = tg_json_first(calls); c && !over(r); c = tg_json_next(c))
        take_call(r, c, strcmp(member, "message") == 0);
}

/* False: the provider says that it broke off. */
static bool finish_of(struct tg_str reason, enum chat_finish *finish)
{
    static const struct {
        const char *name;
        enum chat_finish finish;
    } known[] = { { "length", CHAT_FINISH_LENGTH },
                  { "max_tokens", CHAT_FINISH_LENGTH },
                  { "tool_calls", CHAT_FINISH_TOOL_CALLS },
                  { "function_call", CHAT_FINISH_TOOL_CALLS },
                  { "content_filter", CHAT_FINISH_FILTER } };
    static const char *const broken[] = { "error", "abort", "insufficient_system_resource" };
    *finish = CHAT_FINISH_STOP;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (tg_str_eq(reason, tg_str_of(known[i].name)))
            *finish = known[i].finish;
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        if (tg_str_eq(reason, tg_str_of(broken[i])))
            return false;
    return true;
}

static void take_choice(struct prov_reader *r, const struct tg_json *choice, const char *member)
{
    struct tg_str reason;
    int64_t index;
    if (tg_json_int(tg_json_get(choice, "index"), &index) && index != 0)
        return; /* one answer was asked for */
    take_delta(r, choice, member);
    if (over(r) || !tg_json_string(tg_json_get(choice, "finish_reason"), &reason) || !reason.n)
        return;
    r->has_finish = true;
    if (!finish_of(reason, &r->finish))
        prov_reader_fail(r, CHAT_ERROR_TRUNCATED, true,
                         TG_STR("the provider broke the answer off"));
}

bool prov_reader_error_in(struct prov_reader *r, const struct tg_json *root)
{
    const struct tg_json *error = tg_json_get(root, "error");
    if (!error || tg_json_is(error, TG_JSON_NULL))
        return false;
    fail_inside(r, root);
    return true;
}

static void take_object(struct prov_reader *r, const struct tg_json *root, const char *member)
{
    if (prov_reader_error_in(r, root))
        return;
    const struct tg_json *choices = tg_json_get(root, "choices");
    if (choices && !tg_json_is(choices, TG_JSON_ARRAY) && !tg_json_is(choices, TG_JSON_NULL)) {
        malformed(r, "choices is not an array");
        return;
    }
    const struct tg_json *c = tg_json_is(choices, TG_JSON_ARRAY) ? tg_json_first(choices) : NULL;
    for (; c && !over(r); c = tg_json_next(c))
        take_choice(r, c, member);
    take_usage(r, tg_json_get(root, "usage"));
}

/* A call without arguments is a call with none: {}. */
static void complete_calls(struct prov_reader *r)
{
    for (uint32_t i = 0; i < r->n_calls && !over(r); i++) {
        struct chat_event event = { .kind = CHAT_EVENT_TOOL_CALL,
                                    .index = i,
                                    .text = TG_STR("{}") };
        if (!r->has_arguments[i])
            r->emit(r->arg, &event);
    }
}

static void complete(struct prov_reader *r)
{
    if (!r->has_finish) {
        prov_reader_fail(r, CHAT_ERROR_TRUNCATED, true, TG_STR("the answer has no finish reason"));
        return;
    }
    complete_calls(r);
    if (over(r))
        return;
    struct chat_event event = { .kind = CHAT_EVENT_FINISH, .finish = r->finish };
    if (r->n_calls && r->finish == CHAT_FINISH_STOP)
        event.finish = CHAT_FINISH_TOOL_CALLS;
    r->ended = true;
    r->emit(r->arg, &event);
}

/* ---- the two forms ---- */

static void take_event(struct prov_reader *r, const struct prov_sse_event *event)
{
    if (tg_str_eq(tg_str_trim(event->data), TG_STR("[DONE]"))) {
        complete(r);
        return;
    }
    struct tg_json *root = prov_reader_root(r, event->data);
    if (root && tg_str_eq(event->event, TG_STR("error")))
        fail_inside(r, root);
    else if (root)
        take_object(r, root, "delta");
    tg_json_free(root);
}

size_t prov_reader_feed(struct prov_reader *r, struct tg_str data)
{
    struct tg_str rest = data;
    struct prov_sse_event event;
    while (rest.n && !r->dead && !r->held) {
        if (r->ended)
            return data.n;
        const char *at = rest.p;
        enum tg_status status = prov_sse_next(&r->sse, &rest, &event);
        size_t taken = (size_t)(rest.p - at);
        if (status == TG_LIMIT || taken > r->left)
            prov_reader_fail(r, CHAT_ERROR_LIMIT, true, TG_STR("the answer is too large"));
        else if (status == TG_NOMEM)
            prov_reader_fail(r, CHAT_ERROR_LIMIT, true, TG_STR("out of memory"));
        else if (status == TG_OK)
            take_event(r, &event);
        r->left -= taken < r->left ? taken : r->left;
    }
    return data.n - rest.n;
}

void prov_reader_end(struct prov_reader *r)
{
    struct prov_sse_event event;
    if (over(r))
        return;
    /* [DONE] whose blank line is missing is an end all the same. */
    if (prov_sse_end(&r->sse, &event) == TG_OK && tg_str_eq(event.data, TG_STR("[DONE]")))
        complete(r);
    prov_reader_fail(r, CHAT_ERROR_TRUNCATED, true, TG_STR("the stream ended without [DONE]"));
}

void prov_reader_whole(struct prov_reader *r, struct tg_str body)
{
    if (over(r))
        return;
    struct tg_json *root = prov_reader_root(r, body);
    if (root)
        take_object(r, root, "message");
    if (root && !over(r)) {
        bool none = !tg_json_first(tg_json_get(root, "choices"));
        if (none)
            malformed(r, "the answer has no choices");
        else
            complete(r);
    }
    tg_json_free(root);
}

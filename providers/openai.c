#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "providers/backend_internal.h"
#include "providers/http_client.h"
#include "providers/media.h"
#include "providers/openai_reader.h"
#include "providers/answer_reads.h"

/* An attempt: SENT -> (head) -> STREAMING, WHOLE or REFUSED by status and content type -> ended.
 * Its memory outlives the callback that frees it: `depth` counts the callbacks under way. */

enum {
    BODY_MAX = 64 << 20,       /* of a request; the gateway's own limit is far below */
    ERROR_BODY_MAX = 64 << 10, /* of an HTTP error: what is beyond is cut */
    KEY_MAX = 4096,
    VECTORS_FACTOR = 3, /* answers with vectors may be so many times as large */
};

struct openai {
    struct prov_backend base;
    struct prov_http *http;
    char *url, *vectors_url, *authorization; /* owned; authorization may be NULL */
    bool by_vendor;
    struct prov_openai_options options; /* its strings are not kept */
    uint32_t running;
};

enum state { SENT, STREAMING, WHOLE, REFUSED };

struct attempt {
    struct prov_attempt base;
    struct openai *openai;
    struct prov_transfer *transfer;
    struct prov_reader reader;
    struct prov_read *read; /* a worker is at the answer; NULL: none is */
    const struct chat_request *request; /* borrowed */
    prov_event_fn fn;
    void *arg;
    enum state state;
    bool wants_stream, dead;
    unsigned depth;
    int status;
    int64_t retry_after_ms;
    struct tg_buf body; /* WHOLE and REFUSED */
};

static struct attempt *attempt_of(struct prov_attempt *a)
{
    return (struct attempt *)(void *)a;
}

static struct openai *openai_of(struct prov_backend *b)
{
    return (struct openai *)(void *)b;
}

static void attempt_release(struct attempt *a)
{
    prov_reader_free(&a->reader);
    tg_buf_free(&a->body);
    tg_free(a);
}

static void enter(struct attempt *a)
{
    a->depth++;
}

static void leave(struct attempt *a)
{
    if (--a->depth == 0 && a->dead)
        attempt_release(a);
}

static void emit(void *arg, const struct chat_event *event)
{
    struct attempt *a = arg;
    a->fn(a->arg, event);
}

static void on_head(void *arg, const struct prov_http_head *head)
{
    static const struct tg_str sse = { "text/event-stream", 17 };
    struct attempt *a = arg;
    struct tg_str type = head->content_type;
    const char *semicolon = type.n ? memchr(type.p, ';', type.n) : NULL;
    if (semicolon)
        type.n = (size_t)(semicolon - type.p);
    type = tg_str_trim(type);
    a->status = head->status;
    a->retry_after_ms = head->retry_after_ms;
    /* A server may not know streaming, or know nothing else: its type decides where it says one. */
    bool streams = tg_str_ieq(type, sse) ||
                   (a->wants_stream && !tg_str_ieq(type, TG_STR("application/json")));
    a->state = head->status < 200 || head->status > 299 ? REFUSED : streams ? STREAMING : WHOLE;
    a->body.max = a->openai->options.answer_max * (a->request->n_inputs ? VECTORS_FACTOR : 1);
    if (a->state == REFUSED)
        a->body.max = ERROR_BODY_MAX;
    if (a->state == REFUSED)
        return;
    enter(a);
    emit(a, &(struct chat_event){ .kind = CHAT_EVENT_STARTED });
    leave(a);
}

static size_t on_body(void *arg, struct tg_str data)
{
    struct attempt *a = arg;
    size_t taken = data.n;
    enter(a);
    if (a->reader.ended) {
        ; /* the owner has its last event and has not freed yet */
    } else if (a->state == STREAMING) {
        taken = prov_reader_feed(&a->reader, data);
    } else if (a->state == REFUSED) {
        size_t room = a->body.max - a->body.n;
        tg_buf_add(&a->body, data.p, data.n < room ? data.n : room);
        if (a->body.n == a->body.max) /* enough for a message; do not wait for the rest */
            prov_reader_status(&a->reader, a->status, a->retry_after_ms, tg_buf_str(&a->body));
    } else if (tg_buf_add(&a->body, data.p, data.n)) {
        bool limit = a->body.failed == TG_LIMIT;
        prov_reader_fail(&a->reader, CHAT_ERROR_LIMIT, true,
                         limit ? TG_STR("the answer is too large") : TG_STR("out of memory"));
    }
    leave(a);
    return taken;
}

static void on_failed(struct attempt *a, const struct prov_http_result *result)
{
    static const enum chat_error_kind kinds[] = {
        [PROV_HTTP_CONNECT] = CHAT_ERROR_CONNECT, [PROV_HTTP_TIMEOUT] = CHAT_ERROR_TIMEOUT,
        [PROV_HTTP_BROKEN] = CHAT_ERROR_TRUNCATED, [PROV_HTTP_LIMIT] = CHAT_ERROR_LIMIT,
        [PROV_HTTP_NOMEM] = CHAT_ERROR_LIMIT,
    };
    prov_reader_fail(&a->reader, kinds[result->end], result->sent, tg_str_of(result->text));
}

/* What a worker has read. */
static void on_read(void *arg, const struct chat_event *event)
{
    struct attempt *a = arg;
    if (event->kind == CHAT_EVENT_FINISH || event->kind == CHAT_EVENT_ERROR)
        a->read = NULL; /* it frees itself */
    enter(a);
    emit(a, event);
    leave(a);
}

static void read_whole(struct attempt *a)
{
    struct tg_arena *arena = NULL;
    a->read = prov_read_start(a->openai->options.reads, &a->body, a->request, on_read, a);
    if (a->read)
        return;
    if (a->request->n_inputs)
        prov_vectors_read(&a->reader, tg_buf_str(&a->body), a->request, &arena);
    else
        prov_reader_whole(&a->reader, tg_buf_str(&a->body));
    tg_arena_free(arena);
}

static void on_done(void *arg, const struct prov_http_result *result)
{
    struct attempt *a = arg;
    enter(a);
    if (a->state == REFUSED)
        prov_reader_status(&a->reader, a->status, a->retry_after_ms, tg_buf_str(&a->body));
    else if (result->end != PROV_HTTP_DONE)
        on_failed(a, result);
    else if (a->state == STREAMING)
        prov_reader_end(&a->reader);
    else
        read_whole(a);
    leave(a);
}

/* The part or field that the server has no words for, by the name that the client gave it. */
static enum tg_status lacks_words(const struct openai *o, const struct chat_request *r,
                                  struct tg_error *err)
{
    if (o->by_vendor && (r->sampling.has_top_k || r->sampling.has_min_p))
        return tg_fail(err, TG_UNSUPPORTED, "%s: provider %s, OpenAI itself, does not take it",
                       r->sampling.has_top_k ? "top_k" : "min_p", o->base.name);
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            const struct chat_part *p = &r->messages[i].parts[k];
            if (p->media && !prov_openai_takes(p))
                return tg_fail(err, TG_UNSUPPORTED, "%.*s: provider %s takes no %s%s",
                               TG_FMT(p->media->field), o->base.name, chat_media_noun(p->kind),
                               p->kind == CHAT_PART_AUDIO ? " by URL" : "");
        }
    return tg_fail(err, TG_UNSUPPORTED, "%s: the request cannot be sent in the OpenAI dialect",
                   o->base.name);
}

static enum tg_status write_call(const struct prov_backend *b, const struct prov_call *call,
                                 struct tg_buf *out)
{
    const struct openai *o = (const struct openai *)(const void *)b;
    struct prov_call named = *call;
    named.by_vendor = o->by_vendor;
    tg_buf_init(out, BODY_MAX);
    enum tg_status status =
        call->request->n_inputs ? prov_vectors_body(call, out) : prov_openai_body(&named, out);
    return status ? status : out->failed;
}

static enum tg_status send_call(struct attempt *a, const struct prov_call *call,
                                struct tg_error *err)
{
    const struct openai *o = a->openai;
    int64_t total = o->options.timeout_ms;
    struct tg_buf here = { 0 }, *body = call->body ? call->body : &here;
    bool vectors = call->request->n_inputs > 0;
    enum tg_status status = call->body ? TG_OK : write_call(&o->base, call, &here);
    if (status) {
        tg_buf_free(&here);
        if (status == TG_UNSUPPORTED)
            return lacks_words(o, call->request, err);
        return tg_fail(err, status, "%s: the request cannot be sent in the OpenAI dialect (%s)",
                       o->base.name, tg_status_name(status));
    }
    if (call->timeout_ms > 0 && call->timeout_ms < total)
        total = call->timeout_ms;
    const char *headers[] = { "Content-Type: application/json",
                              a->wants_stream ? "Accept: text/event-stream"
                                              : "Accept: application/json",
                              "User-Agent: tollgate/" TG_VERSION, o->authorization };
    struct prov_http_request request = {
        .url = vectors ? o->vectors_url : o->url,
        .headers = headers,
        .n_headers = o->authorization ? 4 : 3,
        .body = body,
        .connect_timeout_ms = o->options.connect_timeout_ms,
        .idle_timeout_ms = o->options.idle_timeout_ms,
        .timeout_ms = total,
        .handlers = { on_head, on_body, on_done },
        .arg = a,
    };
    a->transfer = prov_transfer_start(o->http, &request, err);
    return a->transfer ? TG_OK : TG_NOMEM;
}

static struct prov_attempt *start(struct prov_backend *b, const struct prov_call *call,
                                  prov_event_fn fn, void *arg, struct tg_error *err)
{
    struct openai *o = openai_of(b);
    if (o->running >= o->options.transfers_max) {
        tg_fail(err, TG_LIMIT, "%s: %u transfers run already", b->name,
                (unsigned)o->options.transfers_max);
        return NULL;
    }
    struct attempt *a = tg_calloc(1, sizeof(*a));
    if (!a) {
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    a->openai = o;
    a->fn = fn;
    a->arg = arg;
    a->request = call->request;
    a->wants_stream = call->request->stream;
    a->retry_after_ms = -1;
    prov_reader_init(&a->reader, o->options.answer_max, emit, a);
    a->reader.logprobs = call->request->logprobs;
    tg_buf_init(&a->body, 0);
    if (send_call(a, call, err)) {
        attempt_release(a);
        return NULL;
    }
    o->running++;
    return &a->base;
}

static void pause_attempt(struct prov_attempt *base, bool paused)
{
    struct attempt *a = attempt_of(base);
    a->reader.held = paused;
    prov_transfer_pause(a->transfer, paused);
}

static void end_attempt(struct prov_attempt *base)
{
    struct attempt *a = attempt_of(base);
    struct openai *o = a->openai;
    bool whole = a->reader.ended && a->state == STREAMING && a->reader.has_finish;
    prov_read_drop(a->read);
    a->read = NULL;
    a->reader.dead = true;
    a->dead = true;
    if (whole)
        prov_transfer_linger(a->transfer); /* only the end of the message is missing */
    else
        prov_transfer_free(a->transfer);
    a->transfer = NULL;
    if (a->depth == 0)
        attempt_release(a);
    o->running--;
    prov_unref(&o->base);
}

static bool may_be_billed(const struct prov_attempt *base)
{
    const struct attempt *a = (const struct attempt *)(const void *)base;
    return prov_transfer_sent(a->transfer);
}

static void destroy(struct prov_backend *b)
{
    struct openai *o = openai_of(b);
    tg_free(o->url);
    tg_free(o->vectors_url);
    tg_free(o->authorization);
    tg_free(o);
}

static enum tg_status check_options(const struct prov_openai_options *options,
                                    struct tg_error *err)
{
    const char *url = options->base_url, *key = options->api_key;
    if (!url || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
        return tg_fail(err, TG_INVALID, "%s: the base URL must begin with https:// or http://",
                       options->name);
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7F || *p == '?' || *p == '#')
            return tg_fail(err, TG_INVALID, "%s: the base URL holds a space, '?' or '#'",
                           options->name);
    for (const char *p = key ? key : ""; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7F || p - key >= KEY_MAX)
            return tg_fail(err, TG_INVALID,
                           "%s: the API key holds a space or a control character, or is above 4096 "
                           "bytes",
                           options->name);
    return TG_OK;
}

static struct prov_openai_options with_defaults(const struct prov_openai_options *given)
{
    struct prov_openai_options o = *given;
    o.name = o.base_url = o.api_key = NULL;
    o.connect_timeout_ms = o.connect_timeout_ms > 0 ? o.connect_timeout_ms : 10000;
    o.idle_timeout_ms = o.idle_timeout_ms > 0 ? o.idle_timeout_ms : 60000;
    o.timeout_ms = o.timeout_ms > 0 ? o.timeout_ms : 600000;
    o.answer_max = o.answer_max > 0 ? o.answer_max : 16 << 20;
    o.transfers_max = o.transfers_max > 0 ? o.transfers_max : 256;
    return o;
}

static char *url_of(const char *base, const char *path)
{
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    size_t size = n + strlen(path) + 1;
    char *url = tg_alloc(size);
    if (url)
        snprintf(url, size, "%.*s%s", (int)n, base, path);
    return url;
}

/* Copies URLs and key in the form they are sent in. */
static enum tg_status copy_strings(struct openai *o, const struct prov_openai_options *options)
{
    static const char scheme[] = "Authorization: Bearer ";
    o->url = url_of(options->base_url, "/chat/completions");
    o->vectors_url = url_of(options->base_url, "/embeddings");
    if (!o->url || !o->vectors_url)
        return TG_NOMEM;
    if (!options->api_key || !options->api_key[0])
        return TG_OK;
    size_t size = sizeof(scheme) + strlen(options->api_key);
    o->authorization = tg_alloc(size);
    if (!o->authorization)
        return TG_NOMEM;
    snprintf(o->authorization, size, "%s%s", scheme, options->api_key);
    return TG_OK;
}

struct prov_backend *prov_openai_new(struct prov_http *http,
                                     const struct prov_openai_options *options,
                                     struct tg_error *err)
{
    static const struct prov_ops ops = { start, pause_attempt, end_attempt,
                                         destroy, may_be_billed, write_call };
    if (check_options(options, err))
        return NULL;
    struct openai *o = tg_calloc(1, sizeof(*o));
    if (!o || prov_backend_init(&o->base, &ops, options->name, false)) {
        tg_free(o);
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    o->http = http;
    o->options = with_defaults(options);
    o->by_vendor = prov_openai_is_vendor(options->base_url);
    if (copy_strings(o, options)) {
        prov_unref(&o->base);
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    return &o->base;
}

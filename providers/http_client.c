#include "providers/http_client.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/base/turn.h"
#include "providers/curl_events.h"
#include "providers/http_client_handles.h"

/* Life of a transfer: STARTED -> (head) -> (body) -> done, each of the three put on the ready
 * list by what curl reports and delivered to the owner only after curl has returned. `easy` is
 * NULL from the moment curl is through with it; `owner` is false from the moment the owner gave
 * it up. */

enum {
    CONNECTIONS_KEPT = 256,
    READ_SIZE = 8 << 10, /* curl keeps so much for each transfer that is open */
    AT_ONCE_MAX = 32 << 10, /* a body up to here leaves together with the head */
    NS_PER_MS = 1000000,
};

struct prov_http {
    struct event_base *base;
    struct prov_curl_events events;
    struct event *kick;  /* delivers what became ready outside of curl */
    TAILQ_HEAD(, prov_transfer) all;
    TAILQ_HEAD(, prov_transfer) ready;
    struct prov_transfer *delivering; /* its callbacks run; memory kept until they returned */
    struct prov_handles handles;
    uint64_t opened;
    size_t n_all;
};

struct prov_transfer {
    TAILQ_ENTRY(prov_transfer) in_all, in_ready;
    struct prov_http *http;
    CURL *easy;
    struct curl_slist *headers;
    struct prov_http_handlers handlers;
    bool (*may_connect)(void *arg, const struct sockaddr *address);
    void *arg;
    bool get;
    struct tg_buf body; /* of the request */
    size_t body_read;   /* handed to curl; with a body that leaves at once: all, when it may go */
    struct tg_buf in;   /* body of the answer that the owner has not taken yet */
    struct event *timer;
    int64_t idle_ns, active_ns, deadline_ns;
    struct prov_http_head_reader head;
    size_t discarded;
    bool owner;   /* still wants callbacks */
    bool doomed;  /* freed inside its own callback */
    bool ready, head_given, held, curl_paused, done;
    struct prov_http_result result;
    char text[CURL_ERROR_SIZE + 64];
    char curl_text[CURL_ERROR_SIZE];
};

static void make_ready(struct prov_transfer *t)
{
    if (t->ready)
        return;
    t->ready = true;
    TAILQ_INSERT_TAIL(&t->http->ready, t, in_ready);
}

/* ready lists filled outside of curl's callbacks are delivered by the loop's next turn. */
static void kick(struct prov_http *http)
{
    event_active(http->kick, EV_TIMEOUT, 0);
}

static void drop_easy(struct prov_transfer *t)
{
    if (t->easy) {
        curl_multi_remove_handle(t->http->events.multi, t->easy);
        curl_easy_cleanup(t->easy);
        t->easy = NULL;
    }
}

/* The same behind an answer that came whole: the handle is kept, and points to nothing of t's. */
static void keep_easy(struct prov_transfer *t)
{
    struct prov_http *http = t->http;
    if (!t->easy)
        return;
    curl_multi_remove_handle(http->events.multi, t->easy);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, NULL);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, NULL);
    prov_handles_keep(&http->handles, t->easy);
    t->easy = NULL;
}

static void release(struct prov_transfer *t)
{
    drop_easy(t);
    if (t->ready)
        TAILQ_REMOVE(&t->http->ready, t, in_ready);
    TAILQ_REMOVE(&t->http->all, t, in_all);
    t->http->n_all--;
    if (t->timer)
        event_free(t->timer);
    curl_slist_free_all(t->headers);
    tg_buf_free(&t->body);
    tg_buf_free(&t->in);
    tg_free(t);
}

static void finish(struct prov_transfer *t, enum prov_http_end end, const char *text)
{
    if (t->done)
        return;
    snprintf(t->text, sizeof(t->text), "%s", text);
    t->result = (struct prov_http_result){ end, t->body_read > 0, t->text };
    t->done = true;
    event_del(t->timer);
    make_ready(t);
}

/* ---- delivery ---- */

static void deliver_body(struct prov_transfer *t)
{
    size_t taken = t->handlers.on_body(t->arg, tg_buf_str(&t->in));
    if (taken < t->in.n)
        t->held = true;
    tg_buf_drop(&t->in, taken);
}

/* Each callback may free t or give it up: owner is then false. */
static void deliver_to_owner(struct prov_transfer *t)
{
    if (t->head.whole && !t->head_given) {
        t->head_given = true;
        t->handlers.on_head(t->arg, &t->head.head);
    }
    if (t->owner && t->in.n && !t->held)
        deliver_body(t);
    if (!t->owner)
        return;
    if (t->curl_paused && t->easy && !t->held && t->in.n == 0) {
        t->curl_paused = false;
        t->active_ns = tg_mono_ns();
        curl_easy_pause(t->easy, CURLPAUSE_CONT); /* may write, and make t ready again */
    }
    if (t->done && (t->in.n == 0 || t->result.end == PROV_HTTP_TIMEOUT)) {
        drop_easy(t);
        t->handlers.on_done(t->arg, &t->result);
    }
}

static void deliver_ready(struct prov_http *http)
{
    struct prov_transfer *t;
    tg_turn_mark("upstream");
    while ((t = TAILQ_FIRST(&http->ready))) {
        TAILQ_REMOVE(&http->ready, t, in_ready);
        t->ready = false;
        http->delivering = t;
        if (t->owner)
            deliver_to_owner(t);
        http->delivering = NULL;
        if (t->doomed || (t->done && !t->owner))
            release(t);
    }
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    deliver_ready(arg);
}

/* ---- curl to libevent ---- */

static const char *describe(struct prov_transfer *t, CURLcode code)
{
    return t->curl_text[0] ? t->curl_text : curl_easy_strerror(code);
}

static void finish_from_curl(struct prov_transfer *t, CURLcode code)
{
    if (code == CURLE_OK && t->head.whole)
        finish(t, PROV_HTTP_DONE, "");
    else if (code == CURLE_OK) /* curl takes a head that breaks off for a whole answer */
        finish(t, PROV_HTTP_BROKEN, "the connection was closed within the response headers");
    else if (code == CURLE_OUT_OF_MEMORY)
        finish(t, PROV_HTTP_NOMEM, "out of memory");
    else if (code == CURLE_OPERATION_TIMEDOUT)
        finish(t, PROV_HTTP_TIMEOUT, describe(t, code));
    else if (code == CURLE_SEND_FAIL_REWIND || code == CURLE_ABORTED_BY_CALLBACK)
        finish(t, PROV_HTTP_BROKEN, "a reused connection was closed before the answer");
    else
        finish(t, t->body_read > 0 ? PROV_HTTP_BROKEN : PROV_HTTP_CONNECT, describe(t, code));
}

static void fail_all(struct prov_http *http)
{
    struct prov_transfer *t;
    TAILQ_FOREACH(t, &http->all, in_all) {
        finish(t, PROV_HTTP_NOMEM, "out of memory");
        drop_easy(t);
    }
}

/* Moves what waits on fd, or on a timer, and delivers what came of it. */
static void drive(void *arg, curl_socket_t fd, int mask)
{
    struct prov_http *http = arg;
    int running;
    tg_turn_mark("upstream");
    CURLMcode status = curl_multi_socket_action(http->events.multi, fd, mask, &running);
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->events.multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct prov_transfer *t = (struct prov_transfer *)(void *)private;
        finish_from_curl(t, code);
        if (code == CURLE_OK) /* the connection goes back to the pool, or is closed */
            keep_easy(t);
        else
            drop_easy(t);
    }
    if (status == CURLM_OUT_OF_MEMORY) /* some socket is not watched, and nobody knows which */
        fail_all(http);
    deliver_ready(http);
}

static void on_lost(void *arg, CURL *easy)
{
    char *private = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    if (!private)
        return;
    finish((struct prov_transfer *)(void *)private, PROV_HTTP_NOMEM, "out of memory");
    kick(arg);
}

static curl_socket_t curl_opens(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct prov_transfer *t = arg;
    (void)purpose;
    if (t->may_connect && !t->may_connect(t->arg, &a->addr))
        return CURL_SOCKET_BAD;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    t->http->opened++;
    prov_curl_events_opened(&t->http->events, fd);
    return fd;
}

/* ---- what curl reads and writes ---- */

static size_t curl_reads(char *out, size_t size, size_t n, void *arg)
{
    struct prov_transfer *t = arg;
    size_t left = t->body.n - t->body_read, take = size * n < left ? size * n : left;
    if (take)
        memcpy(out, t->body.p + t->body_read, take);
    t->body_read += take;
    t->active_ns = tg_mono_ns();
    return take;
}

static bool goes_at_once(const struct prov_transfer *t)
{
    return t->body.n > 0 && t->body.n <= AT_ONCE_MAX;
}

/* A connection is there, and curl is about to send. It asks again when a kept connection turned out
 * to be closed, and it is about to send all of it on another one: a body that it has whole it would
 * not have to rewind, so this is the place to forbid that. */
static int curl_may_send(void *arg, char *to, char *from, int to_port, int from_port)
{
    struct prov_transfer *t = arg;
    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    if (t->body_read > 0)
        return CURL_PREREQFUNC_ABORT;
    if (goes_at_once(t))
        t->body_read = t->body.n;
    return CURL_PREREQFUNC_OK;
}

/* curl rewinds to send again on a fresh connection: only what was never begun may be sent again. */
static int curl_seeks(void *arg, curl_off_t offset, int origin)
{
    struct prov_transfer *t = arg;
    bool at_start = origin == SEEK_SET && offset == 0 && t->body_read == 0;
    return at_start ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static size_t curl_writes(char *data, size_t size, size_t n, void *arg)
{
    struct prov_transfer *t = arg;
    size_t bytes = size * n;
    t->active_ns = tg_mono_ns();
    if (!t->owner) {
        t->discarded += bytes;
        return t->discarded > PROV_HTTP_LINGER_BYTES ? 0 : bytes;
    }
    if (bytes > t->in.max - t->in.n) {
        t->curl_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (tg_buf_add(&t->in, data, bytes)) {
        finish(t, PROV_HTTP_NOMEM, "out of memory");
        return 0;
    }
    make_ready(t);
    return bytes;
}

static size_t curl_heads(char *data, size_t size, size_t n, void *arg)
{
    struct prov_transfer *t = arg;
    t->active_ns = tg_mono_ns();
    struct tg_str line = { data, size * n };
    enum tg_status status = prov_http_head_line(&t->head, line, tg_wall_ms());
    if (status == TG_LIMIT) {
        finish(t, PROV_HTTP_LIMIT, "the response headers are larger than 64 KiB");
        return 0;
    }
    if (status == TG_OK)
        make_ready(t);
    return line.n;
}

/* ---- deadlines: connect is curl's, idle and total are ours ---- */

static void arm(struct prov_transfer *t, int64_t now)
{
    int64_t at = t->active_ns + t->idle_ns;
    if (at <= now)
        at = now + t->idle_ns;
    if (t->deadline_ns < at)
        at = t->deadline_ns;
    int64_t us = at > now ? (at - now) / 1000 + 1 : 0;
    struct timeval tv = { us / 1000000, us % 1000000 };
    event_add(t->timer, &tv);
}

static void finish_idle(struct prov_transfer *t)
{
    char text[64];
    snprintf(text, sizeof(text), "no byte came for %.3g s", (double)t->idle_ns / 1e9);
    finish(t, PROV_HTTP_TIMEOUT, text);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct prov_transfer *t = arg;
    struct prov_http *http = t->http;
    int64_t now = tg_mono_ns();
    curl_off_t connected = 0;
    (void)fd;
    (void)what;
    if (t->easy)
        curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    bool waiting = connected > 0 && !t->curl_paused && !t->held;
    if (now >= t->deadline_ns)
        finish(t, PROV_HTTP_TIMEOUT, "the answer was not complete in time");
    else if (waiting && now >= t->active_ns + t->idle_ns)
        finish_idle(t);
    else
        arm(t, now);
    if (t->done)
        drop_easy(t);
    deliver_ready(http);
}

/* ---- start and end ---- */

#define SET(option, value) (code = code ? code : curl_easy_setopt(easy, option, value))

/* What is alike in all transfers. */
static CURLcode configure_handle(CURL *easy)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_BUFFERSIZE, (long)READ_SIZE);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver thread */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, curl_opens);
    SET(CURLOPT_CLOSESOCKETFUNCTION, prov_curl_events_close_socket);
    SET(CURLOPT_PREREQFUNCTION, curl_may_send);
    SET(CURLOPT_READFUNCTION, curl_reads);
    SET(CURLOPT_SEEKFUNCTION, curl_seeks);
    SET(CURLOPT_WRITEFUNCTION, curl_writes);
    SET(CURLOPT_HEADERFUNCTION, curl_heads);
    return code;
}

static CURLcode configure(struct prov_transfer *t, const struct prov_http_request *request)
{
    CURL *easy = t->easy;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->curl_text);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_CLOSESOCKETDATA, &t->http->events); /* the connection outlives t */
    SET(CURLOPT_FRESH_CONNECT, t->may_connect ? 1L : 0L);
    SET(CURLOPT_FORBID_REUSE, t->may_connect ? 1L : 0L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.n);
    SET(CURLOPT_POSTFIELDS, goes_at_once(t) ? t->body.p : NULL); /* one write; not copied */
    SET(CURLOPT_PREREQDATA, t);
    SET(t->get ? CURLOPT_HTTPGET : CURLOPT_POST, 1L);
    SET(CURLOPT_READDATA, t);
    SET(CURLOPT_SEEKDATA, t);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_HTTPHEADER, t->headers);
    return code;
}

static bool add_header(struct prov_transfer *t, const char *line)
{
    struct curl_slist *more = curl_slist_append(t->headers, line);
    if (more)
        t->headers = more;
    return more;
}

static enum tg_status prepare(struct prov_transfer *t, const struct prov_http_request *request)
{
    bool ok = add_header(t, "Expect:"); /* no waiting for 100 Continue */
    for (size_t i = 0; ok && i < request->n_headers; i++)
        ok = add_header(t, request->headers[i]);
    t->timer = evtimer_new(t->http->base, on_deadline, t);
    t->easy = ok && t->timer ? prov_handles_take(&t->http->handles) : NULL;
    if (!t->easy || configure(t, request) != CURLE_OK)
        return TG_NOMEM;
    if (curl_multi_add_handle(t->http->events.multi, t->easy) == CURLM_OK)
        return TG_OK;
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
    return TG_NOMEM;
}

struct prov_transfer *prov_transfer_start(struct prov_http *http,
                                          const struct prov_http_request *request,
                                          struct tg_error *err)
{
    struct prov_transfer *t = tg_calloc(1, sizeof(*t));
    if (!t) {
        tg_buf_free(request->body);
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    int64_t now = tg_mono_ns();
    t->http = http;
    t->owner = true;
    t->handlers = request->handlers;
    t->arg = request->arg;
    t->may_connect = request->may_connect;
    t->head.location = request->location;
    t->head.location_max = request->location_max;
    t->get = !request->body;
    if (request->body) {
        t->body = *request->body;
        *request->body = (struct tg_buf){ .max = t->body.max };
    }
    t->active_ns = now;
    t->idle_ns = request->idle_timeout_ms * NS_PER_MS;
    t->deadline_ns = now + request->timeout_ms * NS_PER_MS;
    tg_buf_init(&t->in, PROV_HTTP_AHEAD_MAX);
    TAILQ_INSERT_TAIL(&http->all, t, in_all);
    http->n_all++;
    if (prepare(t, request)) {
        release(t);
        tg_fail(err, TG_NOMEM, "out of memory, or the URL is not usable");
        return NULL;
    }
    arm(t, now);
    return t;
}

void prov_transfer_pause(struct prov_transfer *t, bool paused)
{
    t->held = paused;
    if (paused)
        return;
    t->active_ns = tg_mono_ns();
    make_ready(t);
    kick(t->http);
}

bool prov_transfer_sent(const struct prov_transfer *t)
{
    return t->body_read > 0;
}

void prov_transfer_free(struct prov_transfer *t)
{
    if (!t)
        return;
    t->owner = false;
    t->doomed = true;
    drop_easy(t); /* closes now */
    if (t->http->delivering != t)
        release(t);
}

void prov_transfer_linger(struct prov_transfer *t)
{
    if (!t || t->done || !t->easy || t->curl_paused) {
        prov_transfer_free(t);
        return;
    }
    int64_t now = tg_mono_ns();
    t->owner = false;
    t->held = false;
    t->in.n = 0; /* its bytes may be in use further up the stack */
    t->deadline_ns = now + (int64_t)PROV_HTTP_LINGER_MS * NS_PER_MS;
    arm(t, now);
}

struct prov_http *prov_http_new(struct event_base *base, struct tg_error *err)
{
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, tg_alloc, tg_free, tg_realloc, tg_strdup,
                             tg_calloc) != CURLE_OK) {
        tg_fail(err, TG_NOMEM, "libcurl cannot be initialised");
        return NULL;
    }
    struct prov_http *http = tg_calloc(1, sizeof(*http));
    if (!http) {
        curl_global_cleanup();
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    http->base = base;
    http->handles.configure = configure_handle;
    TAILQ_INIT(&http->all);
    TAILQ_INIT(&http->ready);
    http->events = (struct prov_curl_events){
        .base = base, .arg = http, .drive = drive, .lost = on_lost
    };
    http->kick = evtimer_new(base, on_kick, http);
    if (!http->kick || !prov_curl_events_open(&http->events)) {
        prov_http_free(http);
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    curl_multi_setopt(http->events.multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    return http;
}

void prov_http_free(struct prov_http *http)
{
    if (!http)
        return;
    struct prov_transfer *t;
    while ((t = TAILQ_FIRST(&http->all)))
        release(t); /* lingering ones; owners have freed theirs */
    prov_handles_free(&http->handles);
    prov_curl_events_close(&http->events);
    if (http->kick)
        event_free(http->kick);
    tg_free(http);
    curl_global_cleanup();
}

uint64_t prov_http_connections(const struct prov_http *http)
{
    return http->opened;
}

size_t prov_http_transfers(const struct prov_http *http)
{
    return http->n_all;
}

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

enum { WAIT_MS = 5000 };

/* One loop with a server, a client and a provider on it. */
struct bench {
    struct event_base *base;
    struct mock mock;
    struct prov_http *http;
    struct prov_backend *backend;
    struct chat_request request;
    struct prov_call call;
};

static void bench_options(struct bench *b, struct prov_openai_options o)
{
    char url[64];
    struct tg_error err;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/", (unsigned)b->mock.port);
    o.name = "mock";
    if (!o.base_url)
        o.base_url = url;
    prov_backend_free(b->backend);
    b->backend = prov_openai_new(b->http, &o, &err);
    CHECK(b->backend);
}

static void bench_open(struct bench *b, const char *answer)
{
    struct tg_error err;
    *b = (struct bench){ .request = { .stream = true } };
    b->base = event_base_new();
    mock_start(&b->mock, b->base);
    b->mock.script.answer = answer;
    b->http = prov_http_new(b->base, &err);
    CHECK(b->http);
    b->call = (struct prov_call){ .request = &b->request, .model = TG_STR("m"), .max_tokens = 5 };
    bench_options(b, (struct prov_openai_options){ .api_key = "sk-secret" });
}

static void bench_close(struct bench *b)
{
    prov_backend_free(b->backend);
    prov_http_free(b->http);
    mock_stop(&b->mock);
    event_base_free(b->base);
}

static void begin(struct bench *b, struct record *r)
{
    struct tg_error err;
    r->attempt = prov_start(b->backend, &b->call, record_event, r, &err);
    CHECK(r->attempt);
    CHECK_INT(r->events, 0);
}

/* One attempt to its end. */
static void run(struct bench *b, struct record *r)
{
    record_init(r);
    begin(b, r);
    CHECK(loop_until(b->base, &r->ends, 1, WAIT_MS));
}

static void check_hello(const struct record *r)
{
    CHECK_INT(r->ends, 1);
    CHECK_INT(r->last.kind, CHAT_EVENT_FINISH);
    CHECK_STR(r->text.p, "Hello, world");
    CHECK_INT(r->usage.input.n, 11);
    CHECK_INT(r->usage.output.n, 3);
    CHECK_INT(r->started, 1);
}

static void check_error(const struct record *r, enum chat_error_kind kind, bool billed)
{
    CHECK_INT(r->ends, 1);
    CHECK_INT(r->last.kind, CHAT_EVENT_ERROR);
    CHECK_STR(chat_error_name(r->last.error), chat_error_name(kind));
    CHECK_INT(r->last.billed, billed);
    CHECK(r->error.n > 0);
}

static void streamed(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, mock_stream);
    run(&b, &r);
    check_hello(&r);
    CHECK(strstr(b.mock.request.p, "POST /v1/chat/completions HTTP/1.1\r\n"));
    CHECK(strstr(b.mock.request.p, "Authorization: Bearer sk-secret\r\n"));
    CHECK(strstr(b.mock.request.p, "\"stream_options\":{\"include_usage\":true}"));
    CHECK(!strstr(b.mock.request.p, "Expect:"));
    record_free(&r);
    bench_close(&b);
}

static void not_streamed(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, mock_whole);
    b.request.stream = false;
    run(&b, &r);
    check_hello(&r);
    record_free(&r);
    /* The server's type decides: it may not know streaming, or nothing else. */
    b.request.stream = true;
    run(&b, &r);
    check_hello(&r);
    record_free(&r);
    b.request.stream = false;
    b.mock.script.answer = mock_stream;
    run(&b, &r);
    check_hello(&r);
    record_free(&r);
    bench_close(&b);
}

static void connections_are_reused(void)
{
    struct bench b;
    bench_open(&b, mock_stream);
    for (int i = 0; i < 5; i++) {
        struct record r;
        run(&b, &r);
        check_hello(&r);
        record_free(&r);
        loop_for(b.base, 5);
    }
    CHECK_INT(prov_http_connections(b.http), 1);
    CHECK_INT(prov_http_transfers(b.http), 0);
    CHECK_INT(b.mock.accepted, 1);
    bench_close(&b);
}

/* The end of the message comes after [DONE] was read and the attempt freed. */
static void late_end_keeps_the_connection(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, mock_stream);
    b.mock.script.n = strlen(mock_stream) - 5;
    b.mock.script.repeat = 1;
    b.mock.script.tail = "0\r\n\r\n";
    run(&b, &r);
    check_hello(&r);
    record_free(&r);
    loop_for(b.base, 50);
    run(&b, &r);
    record_free(&r);
    loop_for(b.base, 50);
    CHECK_INT(b.mock.accepted, 1);
    bench_close(&b);
    /* One that never comes costs the connection, but no more than half a second. */
    bench_open(&b, mock_stream);
    b.mock.script.n = strlen(mock_stream) - 5;
    run(&b, &r);
    check_hello(&r);
    record_free(&r);
    CHECK(loop_until(b.base, &b.mock.peer_closed, 1, 1000));
    bench_close(&b);
}

/* A request that was handed over is never sent a second time. */
static void nothing_is_sent_twice(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, mock_stream);
    run(&b, &r);
    record_free(&r);
    b.mock.script.close_on_second = true;
    run(&b, &r);
    check_error(&r, CHAT_ERROR_TRUNCATED, true);
    loop_for(b.base, 20);
    CHECK_INT(b.mock.requests, 2);
    record_free(&r);
    bench_close(&b);
    /* A connection found closed before that is replaced. */
    bench_open(&b, mock_stream);
    b.mock.script.close_idle_ms = 5;
    for (int i = 0; i < 3; i++) {
        run(&b, &r);
        check_hello(&r);
        record_free(&r);
        loop_for(b.base, 30);
    }
    CHECK_INT(b.mock.accepted, 3);
    bench_close(&b);
}

static void refused_connection(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, mock_stream);
    bench_options(&b, (struct prov_openai_options){ .base_url = "http://127.0.0.1:1/v1" });
    run(&b, &r);
    check_error(&r, CHAT_ERROR_CONNECT, false);
    record_free(&r);
    bench_options(&b, (struct prov_openai_options){ .base_url = "http://nothing.invalid/v1" });
    run(&b, &r);
    check_error(&r, CHAT_ERROR_CONNECT, false);
    record_free(&r);
    /* TLS to what does not speak it. */
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/v1", (unsigned)b.mock.port);
    bench_options(&b, (struct prov_openai_options){ .base_url = url, .connect_timeout_ms = 200 });
    record_init(&r);
    begin(&b, &r);
    CHECK(loop_until(b.base, &r.ends, 1, WAIT_MS));
    CHECK_INT(r.last.kind, CHAT_EVENT_ERROR);
    CHECK_INT(r.last.billed, false);
    record_free(&r);
    bench_close(&b);
}

static void no_proxy_of_the_environment(void)
{
    struct bench b;
    struct record r;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    bench_open(&b, mock_stream);
    run(&b, &r);
    check_hello(&r);
    record_free(&r);
    bench_close(&b);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void bad_options(void)
{
    static const char *const urls[] = { NULL, "", "ftp://x", "http://a b", "https://x?y" };
    struct bench b;
    struct tg_error err;
    bench_open(&b, mock_stream);
    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        struct prov_openai_options o = { .name = "p", .base_url = urls[i] };
        CHECK(!prov_openai_new(b.http, &o, &err));
        CHECK_INT(err.code, TG_INVALID);
    }
    struct prov_openai_options o = { "p", "https://x", "key\r\nX: y", 0, 0, 0, 0, 0, NULL };
    CHECK(!prov_openai_new(b.http, &o, &err));
    bench_close(&b);
}

static void every_cut_is_truncated(void)
{
    struct bench b;
    bench_open(&b, mock_stream);
    size_t n = strlen(mock_stream), done = (size_t)(strstr(mock_stream, "[DONE]") - mock_stream);
    for (size_t cut = 1; cut < n; cut += cut < done ? 7 : 1) {
        struct record r;
        b.mock.script.cut = cut;
        run(&b, &r);
        bool finished = r.last.kind == CHAT_EVENT_FINISH;
        bool truncated = r.last.kind == CHAT_EVENT_ERROR && r.last.billed &&
                         r.last.error == CHAT_ERROR_TRUNCATED;
        record_free(&r);
        CHECK(cut < done + 8 ? truncated : finished);
    }
    bench_close(&b);
}

static void cancel_closes_at_once(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, mock_stream);
    for (int mid = 0; mid < 2; mid++) {
        b.mock.script.hang = mid == 0;
        b.mock.script.n = strlen(mock_stream) - 40; /* stops in the middle */
        b.mock.peer_closed = 0;
        size_t before = b.mock.requests;
        record_init(&r);
        begin(&b, &r);
        CHECK(loop_until(b.base, &b.mock.requests, before + 1, WAIT_MS));
        if (mid)
            CHECK(loop_until(b.base, &r.events, 3, WAIT_MS));
        int64_t now = tg_mono_ns();
        size_t events = r.events;
        prov_free(r.attempt);
        r.attempt = NULL;
        CHECK(loop_until(b.base, &b.mock.peer_closed, 1, WAIT_MS));
        CHECK(b.mock.closed_ns - now < 100 * 1000000);
        loop_for(b.base, 5);
        CHECK_INT(r.events, events);
        CHECK_INT(r.ends, 0);
        record_free(&r);
    }
    bench_close(&b);
}

static void freed_in_any_callback(void)
{
    struct bench b;
    for (size_t at = 1; at <= 5; at++) {
        struct record r;
        bench_open(&b, mock_stream);
        record_init(&r);
        r.free_at = at;
        begin(&b, &r);
        CHECK(loop_until(b.base, &r.events, at, WAIT_MS));
        loop_for(b.base, 5);
        CHECK_INT(r.events, at);
        CHECK(!r.attempt);
        record_free(&r);
        bench_close(&b);
    }
}

static void backend_outlived_by_its_attempt(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, mock_stream);
    record_init(&r);
    begin(&b, &r);
    prov_backend_free(b.backend);
    b.backend = NULL;
    CHECK(loop_until(b.base, &r.ends, 1, WAIT_MS));
    check_hello(&r);
    record_free(&r);
    bench_close(&b);
}

static void timeouts(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, mock_stream);
    bench_options(&b, (struct prov_openai_options){ .idle_timeout_ms = 60 });
    b.mock.script.hang = true;
    int64_t begun = tg_mono_ns();
    run(&b, &r);
    check_error(&r, CHAT_ERROR_TIMEOUT, true);
    CHECK(r.end_ns - begun >= 55 * 1000000 && r.end_ns - begun < 1000 * 1000000);
    CHECK_STR(r.error.p, "no byte came for 0.06 s");
    record_free(&r);
    /* In the middle of the stream. */
    b.mock.script.hang = false;
    b.mock.script.n = strlen(mock_stream) - 40;
    run(&b, &r);
    check_error(&r, CHAT_ERROR_TIMEOUT, true);
    CHECK_STR(r.text.p, "Hello, world");
    record_free(&r);
    /* The whole answer, here by the call's own limit. */
    bench_options(&b, (struct prov_openai_options){ .idle_timeout_ms = 5000 });
    b.call.timeout_ms = 60;
    run(&b, &r);
    check_error(&r, CHAT_ERROR_TIMEOUT, true);
    record_free(&r);
    bench_close(&b);
}

static void slow_but_alive(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    bench_options(&b, (struct prov_openai_options){ .idle_timeout_ms = 5000 });
    b.call.timeout_ms = 120;
    b.mock.script.repeat = SIZE_MAX; /* never ends by itself */
    b.mock.script.tail = ": ping\n\n";
    run(&b, &r);
    CHECK_INT(r.ends, 1);
    CHECK_INT(r.last.kind, CHAT_EVENT_ERROR);
    record_free(&r);
    bench_close(&b);
}

static void connect_timeout(void)
{
    struct bench b;
    struct record r;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM, 0), fill[8];
    CHECK(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 0) == 0);
    getsockname(listener, (struct sockaddr *)&a, &n);
    for (int i = 0; i < 8; i++) { /* a full backlog: the next SYN is not answered */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fill[i], (struct sockaddr *)&a, sizeof(a)) == 0)
            continue;
    }
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", (unsigned)ntohs(a.sin_port));
    bench_open(&b, mock_stream);
    bench_options(&b, (struct prov_openai_options){ .base_url = url, .connect_timeout_ms = 100,
                                                    .idle_timeout_ms = 20 });
    run(&b, &r);
    check_error(&r, CHAT_ERROR_TIMEOUT, false);
    record_free(&r);
    bench_close(&b);
    for (int i = 0; i < 8; i++)
        close(fill[i]);
    close(listener);
}

static void pause_holds_the_sender(void)
{
    struct bench b;
    struct record r;
    static char tail[8192];
    memset(tail, 'x', sizeof(tail) - 1);
    memcpy(tail, "data: {\"choices\":[{\"delta\":{\"content\":\"", 39);
    memcpy(tail + sizeof(tail) - 1 - 8, "\"}}]}\n\n", 8);
    tail[sizeof(tail) - 2] = '\n';
    bench_open(&b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    bench_options(&b, (struct prov_openai_options){ .idle_timeout_ms = 50, .answer_max = 1 << 30 });
    b.mock.script.repeat = 4000; /* 32 MB */
    b.mock.script.tail = tail;
    record_init(&r);
    r.pause_at = 3;
    begin(&b, &r);
    CHECK(loop_until(b.base, &r.events, 3, WAIT_MS));
    loop_for(b.base, 200); /* beyond the idle time, which does not run */
    CHECK_INT(r.events, 3);
    CHECK_INT(r.ends, 0);
    size_t held = b.mock.repeated;
    CHECK(held < 2500); /* what sockets hold, not the whole */
    prov_pause(r.attempt, false);
    CHECK(loop_until(b.base, &r.events, 1000, WAIT_MS));
    CHECK(b.mock.repeated > held || held == 4000);
    prov_free(r.attempt);
    r.attempt = NULL;
    record_free(&r);
    bench_close(&b);
}

static void pause_and_resume_lose_nothing(void)
{
    struct bench b;
    struct record r;
    for (size_t at = 1; at <= 4; at++) {
        bench_open(&b, mock_stream);
        record_init(&r);
        r.pause_at = at;
        begin(&b, &r);
        CHECK(loop_until(b.base, &r.events, at, WAIT_MS));
        loop_for(b.base, 20);
        CHECK_INT(r.events, at);
        prov_pause(r.attempt, false);
        CHECK(loop_until(b.base, &r.ends, 1, WAIT_MS));
        check_hello(&r);
        record_free(&r);
        bench_close(&b);
    }
}

static void http_errors(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 38\r\n\r\n"
                   "{\"error\":{\"message\":\"slow down, ok?\"}}");
    run(&b, &r);
    check_error(&r, CHAT_ERROR_STATUS, false);
    CHECK_INT(r.last.http_status, 429);
    CHECK_INT(r.last.retry_after_ms, 7000);
    CHECK_STR(r.error.p, "slow down, ok?");
    CHECK_INT(r.started, 0);
    record_free(&r);
    b.mock.script.answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                           "Content-Length: 0\r\n\r\n";
    run(&b, &r);
    check_error(&r, CHAT_ERROR_STATUS, false);
    CHECK_INT(r.last.http_status, 302);
    record_free(&r);
    /* An error body without end is cut. */
    static char tail[4096];
    memset(tail, 'e', sizeof(tail) - 1);
    b.mock.script.answer = "HTTP/1.1 500 Oops\r\n\r\n";
    b.mock.script.repeat = SIZE_MAX;
    b.mock.script.tail = tail;
    run(&b, &r);
    check_error(&r, CHAT_ERROR_STATUS, false);
    record_free(&r);
    bench_close(&b);
}

static void not_http(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, "hello there\r\n");
    b.mock.script.close = true;
    run(&b, &r);
    check_error(&r, CHAT_ERROR_TRUNCATED, true);
    record_free(&r);
    b.mock.script = (struct mock_script){ .answer = "HTTP/1.1 200 OK\r\n", .repeat = SIZE_MAX,
                                          .tail = "X-Long: 0123456789012345678901234567890\r\n" };
    run(&b, &r);
    check_error(&r, CHAT_ERROR_LIMIT, true);
    record_free(&r);
    bench_close(&b);
}

static void answers_have_a_maximum(void)
{
    struct bench b;
    struct record r;
    bench_open(&b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    bench_options(&b, (struct prov_openai_options){ .answer_max = 20000 });
    b.mock.script.repeat = SIZE_MAX;
    b.mock.script.tail = "data: {\"choices\":[{\"delta\":{\"content\":\"0123456789\"}}]}\n\n";
    run(&b, &r);
    check_error(&r, CHAT_ERROR_LIMIT, true);
    CHECK(r.text.n <= 20000);
    record_free(&r);
    b.mock.script.answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
    run(&b, &r);
    check_error(&r, CHAT_ERROR_LIMIT, true);
    record_free(&r);
    bench_close(&b);
}

static void two_hundred_at_once(void)
{
    enum { N = 200 };
    struct bench b;
    static struct record r[N];
    struct tg_error err;
    bench_open(&b, mock_stream);
    bench_options(&b, (struct prov_openai_options){ .transfers_max = N });
    for (int i = 0; i < N; i++) {
        record_init(&r[i]);
        begin(&b, &r[i]);
    }
    CHECK(!prov_start(b.backend, &b.call, record_event, &r[0], &err));
    CHECK_INT(err.code, TG_LIMIT);
    for (int i = 0; i < N; i++)
        CHECK(loop_until(b.base, &r[i].ends, 1, WAIT_MS));
    for (int i = 0; i < N; i++) {
        check_hello(&r[i]);
        record_free(&r[i]);
    }
    CHECK_INT(b.mock.requests, N);
    bench_close(&b);
}

/* Every allocation of ours and of curl's fails once: an error or an answer, never a leak or a
 * hang. */
static void no_memory(void)
{
    bool finished = false;
    size_t failures = 0;
    for (uint64_t nth = 1; nth < 5000 && !finished; nth++) {
        struct bench b;
        struct record r;
        struct tg_error err;
        bench_open(&b, mock_stream);
        bench_options(&b, (struct prov_openai_options){ .timeout_ms = 2000 });
        record_init(&r);
        tg_alloc_fail_nth(nth);
        r.attempt = prov_start(b.backend, &b.call, record_event, &r, &err);
        bool ok = !r.attempt || loop_until(b.base, &r.ends, 1, WAIT_MS);
        finished = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        failures += !r.attempt || r.last.kind == CHAT_EVENT_ERROR;
        bool timeout = r.ends && r.last.kind == CHAT_EVENT_ERROR &&
                       r.last.error == CHAT_ERROR_TIMEOUT;
        record_free(&r);
        bench_close(&b);
        CHECK(ok);
        CHECK(!timeout);
    }
    CHECK(finished);
    CHECK(failures > 20);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(streamed), CASE(not_streamed), CASE(connections_are_reused),
        CASE(late_end_keeps_the_connection), CASE(nothing_is_sent_twice), CASE(refused_connection),
        CASE(no_proxy_of_the_environment), CASE(bad_options), CASE(every_cut_is_truncated),
        CASE(cancel_closes_at_once), CASE(freed_in_any_callback),
        CASE(backend_outlived_by_its_attempt), CASE(timeouts), CASE(slow_but_alive),
        CASE(connect_timeout), CASE(pause_holds_the_sender), CASE(pause_and_resume_lose_nothing),
        CASE(http_errors), CASE(not_http), CASE(answers_have_a_maximum), CASE(two_hundred_at_once),
        CASE(no_memory),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

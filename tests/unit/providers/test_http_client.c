#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "providers/http_client.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

enum { WAIT_MS = 5000, SMALL = 100, LARGE = 200000 };

/* One loop with a server and a client on it; what came of the last transfer. */
struct bench {
    struct event_base *base;
    struct mock mock;
    struct prov_http *http;
    struct prov_transfer *transfer;
    size_t ends;
    enum prov_http_end end;
    bool sent;
};

static void on_head(void *arg, const struct prov_http_head *head)
{
    (void)arg;
    CHECK_INT(head->status, 200);
}

static size_t on_body(void *arg, struct tg_str data)
{
    (void)arg;
    return data.n;
}

static void on_done(void *arg, const struct prov_http_result *result)
{
    struct bench *b = arg;
    b->end = result->end;
    b->sent = result->sent;
    b->ends++;
}

static void open_bench(struct bench *b)
{
    struct tg_error err;
    *b = (struct bench){ .base = event_base_new() };
    mock_start(&b->mock, b->base);
    b->mock.script.answer = mock_whole;
    b->http = prov_http_new(b->base, &err);
    CHECK(b->http);
}

static void close_bench(struct bench *b)
{
    prov_http_free(b->http);
    mock_stop(&b->mock);
    event_base_free(b->base);
}

/* Posts n bytes. */
static void start(struct bench *b, size_t n)
{
    char url[64];
    struct tg_error err;
    struct tg_buf body;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", (unsigned)b->mock.port);
    tg_buf_init(&body, LARGE);
    for (size_t i = 0; i < n; i++)
        tg_buf_addc(&body, (char)('a' + i % 26));
    struct prov_http_request request = {
        .url = url,
        .body = &body,
        .connect_timeout_ms = WAIT_MS,
        .idle_timeout_ms = WAIT_MS,
        .timeout_ms = WAIT_MS,
        .handlers = { on_head, on_body, on_done },
        .arg = b,
    };
    b->ends = 0;
    b->transfer = prov_transfer_start(b->http, &request, &err);
    CHECK(b->transfer);
    CHECK(!prov_transfer_sent(b->transfer));
}

static void post(struct bench *b, size_t n)
{
    start(b, n);
    CHECK(loop_until(b->base, &b->ends, 1, WAIT_MS));
    CHECK(prov_transfer_sent(b->transfer) == b->sent);
    prov_transfer_free(b->transfer);
}

/* Bodies of either kind, in turns on one connection and one handle, arrive as they are. */
static void bodies_arrive(void)
{
    static const size_t sizes[] = { SMALL, LARGE, 0, 32 << 10, 1, (32 << 10) + 1, SMALL };
    struct bench b;
    open_bench(&b);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        post(&b, sizes[i]);
        CHECK_INT(b.end, PROV_HTTP_DONE);
        const char *body = strstr(b.mock.request.p, "\r\n\r\n") + 4;
        CHECK_INT(b.mock.request.n - (size_t)(body - b.mock.request.p), sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            CHECK(body[k] == (char)('a' + k % 26));
    }
    CHECK_INT(b.mock.accepted, 1);
    close_bench(&b);
}

/* A kept connection that the server closes when it has read the next request: curl would send that
 * again on another one. */
static void nothing_is_sent_again(void)
{
    static const size_t sizes[] = { 1, SMALL, LARGE };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct bench b;
        open_bench(&b);
        post(&b, SMALL);
        b.mock.script.close_on_second = true;
        post(&b, sizes[i]);
        CHECK_INT(b.end, PROV_HTTP_BROKEN);
        CHECK(b.sent);
        loop_for(b.base, 20);
        CHECK_INT(b.mock.requests, 2);
        b.mock.script.close_on_second = false; /* and the handle is good for another one */
        post(&b, sizes[i]);
        CHECK_INT(b.end, PROV_HTTP_DONE);
        CHECK_INT(b.mock.requests, 3);
        close_bench(&b);
    }
}

/* A server that closes a kept connection while nobody uses it: what is still watched for that
 * connection does not turn the loop, and the next request goes on another one. */
static void an_idle_connection_is_closed(void)
{
    struct bench b;
    open_bench(&b);
    b.mock.script.close_idle_ms = 5;
    post(&b, SMALL);
    clock_t used = clock();
    loop_for(b.base, 100);
    used = clock() - used;
    CHECK(used < CLOCKS_PER_SEC / 20);
    post(&b, SMALL);
    CHECK_INT(b.end, PROV_HTTP_DONE);
    CHECK_INT(b.mock.accepted, 2);
    close_bench(&b);
}

/* Nothing counts as sent before there is a connection. */
static void not_sent_without_a_connection(void)
{
    static const size_t sizes[] = { SMALL, LARGE };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct bench b;
        open_bench(&b);
        mock_stop(&b.mock);
        post(&b, sizes[i]);
        CHECK_INT(b.end, PROV_HTTP_CONNECT);
        CHECK(!b.sent);
        mock_start(&b.mock, b.base);
        close_bench(&b);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(bodies_arrive),
        CASE(nothing_is_sent_again),
        CASE(an_idle_connection_is_closed),
        CASE(not_sent_without_a_connection),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

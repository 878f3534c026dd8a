#include "tests/unit/gateway/http_site.h"

#include "config/base/alloc.h"

/* Sends text, then leaves; ms until on_gone, -1 when it never came. */
static double gone_after(const char *text, size_t extra, enum leaving how)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    say(&s, &c, text);
    spin(&s, 10);
    CHECK(s.asked == 1 && s.held && s.gone == 0);
    static char more[70000];
    memcpy(more, "GET /", 5);
    if (extra)
        CHECK(say_n(&s, &c, more, extra));
    spin(&s, 10);
    int64_t start = tg_mono_ns();
    end_side(&c, how);
    spin(&s, 110);
    bool right = s.gone == 1 && s.context_right && gw_http_requests(s.http) == 0 &&
                 gw_http_connections(s.http) == 0;
    double ms = right ? (double)(s.gone_ns - start) / 1e6 : -1;
    hang_up(&c);
    close_site(&s);
    return ms;
}

static void a_client_that_goes_cancels(void)
{
    static const char *const texts[] = { GET("/hold"), GET("/stream") };
    for (int i = 0; i < 2; i++) {
        for (enum leaving how = LEAVE_END; how <= LEAVE_RESET; how++) {
            if (how == LEAVE_FAREWELL && !over_tls)
                continue;
            double alone = gone_after(texts[i], 0, how);
            double behind = gone_after(texts[i], 30, how);
            double full = gone_after(texts[i], 66000, how);
            CHECK(alone >= 0 && alone < 30);
            CHECK(behind >= 0 && behind < 30);
            CHECK(full >= 0 && full < 100);
        }
    }
}

static void back_pressure(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_slim(&s, 4096);
    static char block[16384];
    memset(block, 'x', sizeof(block));
    say(&s, &c, GET("/stream"));
    spin(&s, 10);
    size_t wrote = 0;
    do { /* once more where the kernel took the rest after all, as it may (TLS counts coarsely) */
        s.writable = 0;
        while (wrote < (32 << 20) &&
               gw_http_write(s.held, (struct tg_str){ block, sizeof(block) })) {
            wrote += sizeof(block);
            turn(&s);
        }
        CHECK(wrote > 0 && wrote < (32 << 20)); /* it said stop */
        wrote += sizeof(block);
        spin(&s, 20);
    } while (s.writable);
    for (int i = 0; i < 2000 && !s.writable; i++) {
        hear(&c);
        spin(&s, 1);
    }
    CHECK_INT(s.writable, 1);
    CHECK(gw_http_write(s.held, TG_STR("last")));
    gw_http_end(s.held);
    CHECK(wait_for(&s, &c, "4\r\nlast\r\n0\r\n\r\n", 3000));
    size_t x = 0;
    for (const char *p = strstr(c.got.p, "\r\n\r\n"); *p; p++)
        x += *p == 'x';
    CHECK_INT(x, wrote);
    hang_up(&c);
    close_site(&s);
}

/* Answers whose memory is taken: whole to a client that reads, and freed with one that leaves. */
static void large_answers(void)
{
    static char ask[300000], size[128];
    struct site s;
    open_site(&s);
    struct client c = connect_slim(&s, 4096), gone = connect_slim(&s, 4096);
    memset(ask, 'x', sizeof(ask));
    int head = snprintf(ask, sizeof(ask), "POST /echo HTTP/1.1\r\nHost: a\r\n"
                                          "Content-Length: %zu\r\n\r\n", sizeof(size) * 2000);
    ask[head] = 'y';
    size_t body = sizeof(size) * 2000, all = (size_t)head + body;
    ask[all - 1] = 'z';
    snprintf(size, sizeof(size), "Content-Length: %zu\r\n\r\nPOST yx", body + 5);
    CHECK(say_n(&s, &gone, ask, all));
    CHECK(say_n(&s, &c, ask, all));
    say(&s, &c, GET("/echo"));
    CHECK(wait_for(&s, &gone, "POST y", 1000));
    hang_up(&gone);
    CHECK(wait_for(&s, &c, "GET ", 3000)); /* the next answer stands right behind it */
    CHECK(strstr(c.got.p, size) && strstr(c.got.p, "xzHTTP/1.1 200 OK\r\n"));
    const char *echo = strstr(c.got.p, "POST y");
    CHECK_INT(strchr(echo, 'z') - echo, 5 + body - 1);
    hang_up(&c);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    close_site(&s);
}

static void streams(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    say(&s, &c, GET("/stream"));
    CHECK(wait_for(&s, &c, "Transfer-Encoding: chunked\r\n\r\n", 1000));
    CHECK(gw_http_write(s.held, TG_STR("ab")) && gw_http_write(s.held, TG_STR("")));
    CHECK(wait_for(&s, &c, "2\r\nab\r\n", 1000));
    gw_http_end(s.held);
    CHECK(wait_for(&s, &c, "2\r\nab\r\n0\r\n\r\n", 1000));
    tg_buf_reset(&c.got);
    say(&s, &c, GET("/stream"));
    spin(&s, 10);
    gw_http_write(s.held, TG_STR("ab"));
    gw_http_abort(s.held); /* the end without the last chunk */
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(!c.reset && c.cut == over_tls);
    CHECK(strstr(c.got.p, "2\r\nab\r\n") && !strstr(c.got.p, "\r\n0\r\n"));
    hang_up(&c);
    c = connect_to(&s);
    say(&s, &c, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    spin(&s, 10);
    gw_http_write(s.held, TG_STR("ab"));
    gw_http_end(s.held);
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(!c.reset && !c.cut && strstr(c.got.p, "Connection: close\r\n\r\nab"));
    CHECK_INT(c.got.p[c.got.n - 1], 'b');
    hang_up(&c);
    c = connect_to(&s);
    say(&s, &c, "GET /stream HTTP/1.0\r\n\r\n");
    spin(&s, 10);
    gw_http_abort(s.held); /* must not look like a whole answer: a reset */
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(c.reset);
    hang_up(&c);
    CHECK_INT(s.gone, 0);
    close_site(&s);
}

static void timeouts(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.header_timeout_ms = limits.body_timeout_ms = limits.idle_timeout_ms = 60;
    open_on(&s, &limits);
    struct client silent = connect_to(&s), head = connect_to(&s), body = connect_to(&s),
                  idle = connect_to(&s);
    say(&s, &idle, GET("/echo"));
    say(&s, &body, POST("/echo", "Content-Length: 9\r\n", "ab"));
    for (int i = 0; i < 30 && !head.ended; i++) { /* a trickle does not extend the time */
        try_say(&head, "G", 1);
        spin(&s, 5);
        hear(&head);
    }
    CHECK(head.ended && !head.reset && strstr(head.got.p, "408 Request Timeout"));
    CHECK(wait_for(&s, &body, NULL, 500) && strstr(body.got.p, "408 Request Timeout"));
    CHECK(wait_for(&s, &silent, NULL, 500) && silent.got.n == 0);
    CHECK(wait_for(&s, &idle, NULL, 500) && strstr(idle.got.p, "200 OK") &&
          !strstr(idle.got.p, "408"));
    hang_up(&silent);
    hang_up(&head);
    hang_up(&body);
    hang_up(&idle);
    struct client held = connect_to(&s); /* a request that runs has none of these timeouts */
    say(&s, &held, GET("/hold"));
    spin(&s, 150);
    CHECK(s.held && s.gone == 0);
    hang_up(&held);
    close_site(&s);
}

static void write_stall(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.write_timeout_ms = 80;
    open_on(&s, &limits);
    struct client c = connect_slim(&s, 4096);
    static char block[1 << 20];
    memset(block, 'x', sizeof(block));
    say(&s, &c, GET("/stream"));
    spin(&s, 10);
    for (int i = 0; i < 16; i++)
        gw_http_write(s.held, (struct tg_str){ block, sizeof(block) });
    CHECK(s.gone == 0);
    spin(&s, 300);
    CHECK(s.gone == 1 && s.context_right && gw_http_connections(s.http) == 0);
    hang_up(&c);
    close_site(&s);
}

static void drains(void)
{
    struct site s;
    open_site(&s);
    struct client busy = connect_to(&s), idle = connect_to(&s), fresh = connect_to(&s);
    say(&s, &idle, GET("/echo"));
    say(&s, &busy, GET("/hold"));
    CHECK(wait_for(&s, &idle, "GET ", 1000));
    spin(&s, 10);
    leave(&fresh, GET("/echo")); /* arrives with the drain */
    gw_http_drain(s.http);
    CHECK(wait_for(&s, &idle, NULL, 500));
    CHECK(wait_for(&s, &fresh, NULL, 500));
    CHECK(strstr(fresh.got.p, "Connection: close") && strstr(fresh.got.p, "GET "));
    CHECK(gw_http_requests(s.http) == 1 && s.held);
    gw_http_respond(s.held, 200, NULL, TG_STR("bye"));
    CHECK(wait_for(&s, &busy, NULL, 500));
    CHECK(!busy.reset && strstr(busy.got.p, "Connection: close") && strstr(busy.got.p, "bye"));
    hang_up(&idle);
    hang_up(&busy);
    hang_up(&fresh);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    CHECK_INT(s.gone, 0);
    close_site(&s);
}

static void limits_connections(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.connections = 2;
    open_on(&s, &limits);
    struct client a = connect_to(&s), b = connect_to(&s), c = connect_to(&s);
    say(&s, &a, GET("/echo"));
    leave(&c, GET("/echo"));
    CHECK(wait_for(&s, &a, "GET ", 500));
    spin(&s, 30);
    hear(&c);
    CHECK(gw_http_connections(s.http) == 2 && c.got.n == 0 && !c.ended); /* waits, not refused */
    hang_up(&b);
    CHECK(wait_for(&s, &c, "GET ", 500));
    gw_http_accept(s.http, false);
    hang_up(&a);
    spin(&s, 20);
    struct client d = connect_to(&s);
    leave(&d, GET("/echo"));
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 1);
    gw_http_accept(s.http, true);
    CHECK(wait_for(&s, &d, "GET ", 500));
    hang_up(&c);
    hang_up(&d);
    close_site(&s);
}

static void limits_bodies_in_flight(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.bodies_in_flight = 1000;
    open_on(&s, &limits);
    struct client a = connect_to(&s), b = connect_to(&s), c = connect_to(&s);
    static char block[601];
    memset(block, 'b', 600);
    say(&s, &a, POST("/hold", "Content-Length: 600\r\n", ""));
    say(&s, &a, block);
    spin(&s, 10);
    say(&s, &b, POST("/echo", "Content-Length: 600\r\n", ""));
    CHECK(wait_for(&s, &b, NULL, 500));
    CHECK(strstr(b.got.p, "503 Service Unavailable") && strstr(b.got.p, "Retry-After: 1\r\n"));
    say(&s, &c, POST("/echo", "Transfer-Encoding: chunked\r\n", "258\r\n"));
    say(&s, &c, block);
    CHECK(wait_for(&s, &c, NULL, 500) && strstr(c.got.p, "503 Service Unavailable"));
    gw_http_respond(s.held, 200, NULL, TG_STR("done"));
    hang_up(&b);
    b = connect_to(&s);
    say(&s, &b, POST("/echo", "Content-Length: 600\r\n", ""));
    say(&s, &b, block);
    CHECK(wait_for(&s, &b, "POST bbbb", 500)); /* room again */
    hang_up(&a);
    hang_up(&b);
    hang_up(&c);
    close_site(&s);
}

/* Whichever allocation of ours fails, the client gets an end, and the next one is served. */
static void survives_failing_allocations(void)
{
    struct site s;
    static const char room[4096], text[] =
        POST("/echo", "Connection: close\r\nTransfer-Encoding: chunked\r\n",
             "3\r\nabc\r\n0\r\n\r\n");
    open_site(&s);
    size_t served = 0, tried = 0;
    for (; tried < 30; tried++) {
        struct client c = connect_to(&s);
        tg_buf_add(&c.got, room, sizeof(room)); /* so that the client itself allocates nothing */
        tg_buf_reset(&c.got);
        tg_alloc_fail_nth(tried + 1);
        say_n(&s, &c, text, sizeof(text) - 1);
        bool ended = wait_for(&s, &c, NULL, 1000);
        tg_alloc_fail_nth(0);
        served += strstr(c.got.p, "POST abc") != NULL;
        hang_up(&c);
        CHECK(ended);
    }
    spin(&s, 20);
    CHECK(served > 0 && served < tried);
    CHECK(gw_http_connections(s.http) == 0 && gw_http_requests(s.http) == 0);
    close_site(&s);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_client_that_goes_cancels),
        CASE(back_pressure),
        CASE(large_answers),
        CASE(streams),
        CASE(timeouts),
        CASE(write_stall),
        CASE(drains),
        CASE(limits_connections),
        CASE(limits_bodies_in_flight),
        CASE(survives_failing_allocations),
    };
    return site_main(cases, sizeof(cases) / sizeof(*cases), false, argc, argv);
}

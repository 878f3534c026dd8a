/* What only TLS has. (test_http_server.c and test_http_flow.c run all of theirs over TLS too.) */
#include "tests/unit/gateway/http_site.h"

#include <event2/bufferevent.h>

#include "config/base/log.h"
#include "gateway/http_conn.h"

static struct client connect_with(const struct site *s, const struct pair *own, int version)
{
    struct client c = { .fd = dial(s, 0) };
    c.ssl = client_tls(c.fd, own, version);
    tg_buf_init(&c.got, 1 << 20);
    return c;
}

static struct client connect_plain(const struct site *s)
{
    struct client c = { .fd = dial(s, 0) };
    tg_buf_init(&c.got, 1 << 20);
    return c;
}

/* Whether a request over it is answered, and how it ends when it is not. */
static bool served(struct site *s, struct client *c)
{
    leave(c, GET("/echo"));
    return wait_for(s, c, "200 OK", 300);
}

static struct gw_tls *load(const struct pair *shown, const char *client_ca, bool only_13)
{
    struct cfg_tls settings = { shown->cert_file, shown->key_file, client_ca, only_13 };
    struct gw_tls *t;
    struct tg_error err = { 0 };
    gw_tls_load(&settings, time(NULL), &t, &err);
    CHECK_STR(err.text, "");
    return t;
}

static void versions(void)
{
    static const int all[] = { TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };
    struct site s;
    struct gw_tls *only_13 = load(&site_pair, NULL, true);
    open_site(&s);
    for (int strict = 0; strict < 2; strict++) {
        gw_http_set_tls(s.http, strict ? only_13 : site_tls);
        for (int i = 0; i < 3; i++) {
            struct client c = connect_with(&s, NULL, all[i]);
            CHECK_INT(served(&s, &c), i > strict);
            CHECK(i <= strict || SSL_version(c.ssl) == all[i]);
            CHECK(SSL_get_current_compression(c.ssl) == NULL);
            hang_up(&c);
        }
    }
    close_site(&s);
    gw_tls_free(only_13);
}

static void only_http_1_1_is_spoken(void)
{
    struct site s;
    const unsigned char *chosen;
    unsigned n;
    open_site(&s);
    struct client both = connect_to(&s), h2 = connect_to(&s), none = connect_to(&s);
    SSL_set_alpn_protos(both.ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    SSL_set_alpn_protos(h2.ssl, (const unsigned char *)"\x02h2", 3);
    CHECK(served(&s, &both) && served(&s, &none) && !served(&s, &h2));
    SSL_get0_alpn_selected(both.ssl, &chosen, &n);
    CHECK(n == 8 && memcmp(chosen, "http/1.1", 8) == 0);
    CHECK(h2.ended && gw_http_connections(s.http) == 2);
    hang_up(&both);
    hang_up(&h2);
    hang_up(&none);
    close_site(&s);
}

static void client_certificates(void)
{
    struct pair ca, mine, old, foreign;
    struct site s;
    pair_make(&ca, "ca", NULL, -1, 90);
    pair_make(&mine, "mine", &ca, -1, 90);
    pair_make(&old, "old", &ca, -3, -1);
    pair_make(&foreign, "foreign", NULL, -1, 90);
    struct gw_tls *t = load(&site_pair, ca.cert_file, false);
    open_site(&s);
    gw_http_set_tls(s.http, t);
    const struct pair *const shown[] = { &mine, NULL, &old, &foreign };
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (int i = 0; i < 4; i++) {
            struct client c = connect_with(&s, shown[i], version);
            CHECK_INT(served(&s, &c), i == 0);
            CHECK(i == 0 || c.ended);
            hang_up(&c);
        }
    CHECK_INT(s.asked, 2);
    close_site(&s);
    gw_tls_free(t);
    pair_free(&ca);
    pair_free(&mine);
    pair_free(&old);
    pair_free(&foreign);
}

/* A session that began under other rules does not get around the present ones. */
static void a_swap_is_for_new_connections(void)
{
    struct pair next;
    struct site s;
    pair_make(&next, "next", NULL, -1, 90);
    struct gw_tls *t = load(&next, next.cert_file, false);
    open_site(&s);
    struct client c = connect_to(&s);
    CHECK(served(&s, &c));
    SSL_SESSION *session = SSL_get1_session(c.ssl);
    gw_http_set_tls(s.http, t);
    tg_buf_reset(&c.got);
    CHECK(served(&s, &c)); /* the old one keeps what it has */
    struct client later = connect_to(&s);
    SSL_set_verify(later.ssl, SSL_VERIFY_NONE, NULL); /* it would take any certificate */
    SSL_set_session(later.ssl, session);
    SSL_SESSION_free(session);
    CHECK(!served(&s, &later) && later.ended);
    gw_http_set_tls(s.http, NULL);
    struct client plain = connect_plain(&s);
    CHECK(served(&s, &plain) && served(&s, &c));
    hang_up(&c);
    hang_up(&later);
    hang_up(&plain);
    close_site(&s);
    gw_tls_free(t);
    pair_free(&next);
}

static void tickets_resume(void)
{
    struct site s;
    open_site(&s);
    struct client first = connect_to(&s), second = connect_to(&s);
    CHECK(served(&s, &first));
    SSL_SESSION *session = SSL_get1_session(first.ssl);
    SSL_set_session(second.ssl, session);
    SSL_SESSION_free(session);
    CHECK(served(&s, &second) && SSL_session_reused(second.ssl));
    hang_up(&first);
    hang_up(&second);
    close_site(&s);
}

static void plain_http_is_told(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_plain(&s);
    static char more[200000];
    say(&s, &c, POST("/echo", "Content-Length: 200000\r\n", ""));
    CHECK(say_n(&s, &c, more, sizeof(more)));
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(!c.reset && strncmp(c.got.p, "HTTP/1.1 400 Bad Request\r\n", 26) == 0);
    CHECK(strstr(c.got.p, "speaks TLS: use https://") && s.asked == 0);
    hang_up(&c);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    close_site(&s);
}

/* Whatever the loop is made like: with a change list, which bears no copies of descriptors, what is
 * left of one in the kernel's list would wake it without end. */
static void plain_http_leaves_the_loop_in_peace(void)
{
    struct site s;
    struct timespec cpu[2];
    const struct timeval a_while = { 0, 100000 };
    setenv("EVENT_EPOLL_USE_CHANGELIST", "1", 1);
    open_site(&s);
    unsetenv("EVENT_EPOLL_USE_CHANGELIST");
    struct client c = connect_plain(&s);
    CHECK(try_say(&c, GET("/echo"), strlen(GET("/echo"))) > 0);
    CHECK(wait_for(&s, &c, "speaks TLS: use https://", 1000));
    event_base_loopexit(s.base, &a_while);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu[0]);
    event_base_dispatch(s.base);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu[1]);
    int64_t spent = (cpu[1].tv_sec - cpu[0].tv_sec) * INT64_C(1000000000) + cpu[1].tv_nsec -
                    cpu[0].tv_nsec;
    CHECK(spent < 10000000);
    hang_up(&c);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    close_site(&s);
}

static size_t lines_of(int fd, const char *event)
{
    static char text[100000];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    size_t found = 0;
    text[n > 0 ? n : 0] = '\0';
    for (const char *p = text; (p = strstr(p, event)); p++)
        found++;
    return found;
}

static void garbage_is_told_once(void)
{
    char path[300];
    struct site s;
    snprintf(path, sizeof(path), "%s/log", pair_folder());
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    tg_log_set_fd(fd);
    open_site(&s);
    for (int i = 0; i < 20; i++) {
        struct client c = connect_plain(&s);
        say(&s, &c, i % 2 ? "\x16\x03\x01\xff\xff garbage garbage" : "SSH-2.0-x\r\n");
        bool ended = wait_for(&s, &c, NULL, 500);
        hang_up(&c);
        CHECK(ended);
    }
    for (int i = 0; i < 5; i++) { /* those that only look whether the port is there are no news */
        struct client c = connect_plain(&s);
        spin(&s, 2);
        hang_up(&c);
    }
    spin(&s, 20);
    tg_log_set_fd(2);
    CHECK_INT(lines_of(fd, "tls-refused"), 1);
    CHECK_INT(gw_http_connections(s.http), 0);
    close_site(&s);
    close(fd);
    unlink(path);
}

/* A handshake that never ends holds up nobody, and no longer than a head may take. */
static void slow_handshakes(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.header_timeout_ms = 120;
    open_on(&s, &limits);
    struct client silent = connect_plain(&s), begun = connect_plain(&s), good = connect_to(&s);
    int64_t start = tg_mono_ns();
    say(&s, &begun, "\x16\x03\x01");
    CHECK(served(&s, &good));
    CHECK((tg_mono_ns() - start) / 1000000 < 100 || silent.ended);
    CHECK(wait_for(&s, &silent, NULL, 1000) && wait_for(&s, &begun, NULL, 1000));
    CHECK(silent.got.n == 0 && begun.got.n == 0);
    CHECK((tg_mono_ns() - start) / 1000000 >= 110);
    CHECK_INT(s.asked, 1);
    hang_up(&silent);
    hang_up(&begun);
    hang_up(&good);
    close_site(&s);
}

/* The request and the end of file in one packet: the answer comes, as without TLS. */
static void a_request_and_its_end_together(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    CHECK(served(&s, &c));
    tg_buf_reset(&c.got);
    CHECK(try_say(&c, GET("/echo"), strlen(GET("/echo"))) > 0);
    end_side(&c, LEAVE_FAREWELL);
    CHECK(wait_for(&s, &c, NULL, 500));
    CHECK(c.got.p && strstr(c.got.p, "200 OK") && !c.cut && !c.reset);
    hang_up(&c);
    close_site(&s);
}

/* It says farewell, is still owed much, and is gone then. (Each write says that the farewell was
 * received: taken for an end of file it would be tried for ever.) */
static void a_client_that_is_owed_much_says_farewell_and_goes(void)
{
    struct site s;
    static char much[8 << 20];
    open_site(&s);
    struct client c = connect_slim(&s, 4096);
    memset(much, 'm', sizeof(much));
    say(&s, &c, GET("/hold"));
    spin(&s, 20);
    CHECK(s.held);
    gw_http_respond(s.held, 200, "text/plain", (struct tg_str){ much, sizeof(much) });
    spin(&s, 20);
    SSL_shutdown(c.ssl);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 1); /* it may still read */
    end_side(&c, LEAVE_RESET);
    int64_t end = tg_mono_ns() + 200000000;
    while (gw_http_connections(s.http) && tg_mono_ns() < end)
        event_base_loop(s.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    CHECK_INT(gw_http_connections(s.http), 0);
    hang_up(&c);
    close_site(&s);
}

/* Where the socket is full when the last byte has left, the farewell follows as soon as there is
 * room. (It is filled behind the back of TLS, so the client looks at the bytes themselves.) */
static void a_farewell_waits_for_room(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    for (int reads = 0; reads < 2; reads++) {
        limits.write_timeout_ms = reads ? 5000 : 100;
        open_on(&s, &limits);
        struct client c = connect_slim(&s, 4096);
        say(&s, &c, GET("/stream"));
        spin(&s, 10);
        struct gw_conn *conn = s.http->conns;
        int fd = bufferevent_getfd(conn->bev);
        /* as long as an acknowledgement may be delayed, since each makes room */
        for (int quiet = 0; quiet < 250; quiet++, poll(NULL, 0, 1))
            while (send(fd, "z", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
                quiet = 0;
        conn->server->draining = true; /* the connection ends behind the answer */
        conn->rq.framing = GW_FRAMING_CLOSE;
        gw_http_end(s.held);
        CHECK(conn->state == CONN_CLOSING && conn->wait == WAIT_FAREWELL);
        for (int i = 0; reads && i < 100 && conn->farewells < 2; i++)
            spin(&s, 20);
        CHECK(reads == 0 || (conn->wait == WAIT_FAREWELL && conn->farewells > 1));
        SSL_free(c.ssl);
        c.ssl = NULL;
        if (!reads)
            spin(&s, 220); /* in vain, and given up */
        CHECK(wait_for(&s, &c, NULL, 1000) && c.got.n > 1000);
        bool told = memcmp(c.got.p + c.got.n - 24, "\x17\x03\x03\0\x13", 5) == 0;
        CHECK(!reads || told);
        hang_up(&c);
        close_site(&s);
    }
}

static void a_drain_waits_for_a_handshake(void)
{
    struct site s;
    open_site(&s);
    struct client idle = connect_to(&s), shaking = connect_to(&s), silent = connect_plain(&s);
    CHECK(served(&s, &idle));
    leave(&shaking, GET("/echo"));
    spin(&s, 5); /* its hello was answered; it has not looked yet */
    gw_http_drain(s.http);
    CHECK(wait_for(&s, &silent, NULL, 300) && wait_for(&s, &idle, NULL, 300) && !idle.cut);
    CHECK(wait_for(&s, &shaking, NULL, 500) && !shaking.cut);
    CHECK(strstr(shaking.got.p, "200 OK") && strstr(shaking.got.p, "Connection: close"));
    hang_up(&idle);
    hang_up(&shaking);
    hang_up(&silent);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    close_site(&s);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(versions),
        CASE(only_http_1_1_is_spoken),
        CASE(client_certificates),
        CASE(a_swap_is_for_new_connections),
        CASE(tickets_resume),
        CASE(plain_http_is_told),
        CASE(plain_http_leaves_the_loop_in_peace),
        CASE(garbage_is_told_once),
        CASE(slow_handshakes),
        CASE(a_request_and_its_end_together),
        CASE(a_farewell_waits_for_room),
        CASE(a_client_that_is_owed_much_says_farewell_and_goes),
        CASE(a_drain_waits_for_a_handshake),
    };
    return site_main(cases, sizeof(cases) / sizeof(*cases), true, argc, argv);
}

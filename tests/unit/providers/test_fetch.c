#include "providers/fetch.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/base/alloc.h"
#include "providers/download.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

enum { WAIT_MS = 5000, BYTES_MAX = 1000 };

#define PNG "\x89PNG\r\n\x1a\n"
#define ANSWER(type, body) "HTTP/1.1 200 OK\r\n" type "Connection: close\r\n\r\n" body
#define REDIRECT(location) "HTTP/1.1 302 Found\r\n" location "Content-Length: 0\r\n\r\n"

/* One loop with a server and a client on it, and what came of a fetch. */
static struct bench {
    struct event_base *base;
    struct mock mock;
    struct prov_http *http;
    struct cfg_fetch_host host[2];
    struct cfg_fetch rules;
    struct prov_fetch *fetch;
    size_t done, held, room;
    bool ok, ours, free_inside;
    char text[300], type[32], data[64];
    size_t data_n;
} b;

static void open_bench(const char *answer)
{
    struct tg_error err;
    b = (struct bench){ .base = event_base_new(), .room = SIZE_MAX };
    mock_start(&b.mock, b.base);
    b.mock.script.answer = answer;
    b.mock.script.close = true;
    b.http = prov_http_new(b.base, &err);
    CHECK(b.http);
    b.host[0] = (struct cfg_fetch_host){ .name = TG_STR("127.0.0.1"), .port = b.mock.port };
    b.host[1] = (struct cfg_fetch_host){ .name = TG_STR("localhost"), .port = b.mock.port };
    b.rules = (struct cfg_fetch){ .hosts = b.host, .n_hosts = 2, .redirects = 3,
                                  .allow_private = true };
}

static void close_bench(void)
{
    prov_fetch_free(b.fetch);
    prov_http_free(b.http);
    mock_stop(&b.mock);
    event_base_free(b.base);
}

static bool may_hold(void *arg, size_t more)
{
    CHECK(arg == &b);
    b.held += more;
    return b.held <= b.room;
}

static void on_done(void *arg, const struct prov_fetch_result *r)
{
    CHECK(arg == &b);
    b.done++;
    b.ok = r->ok;
    b.ours = r->ours;
    snprintf(b.text, sizeof(b.text), "%s", r->text);
    snprintf(b.type, sizeof(b.type), "%s", r->type ? r->type->name : "");
    b.data_n = r->data.n;
    if (r->data.n && r->data.n <= sizeof(b.data))
        memcpy(b.data, r->data.p, r->data.n);
    if (b.free_inside) {
        prov_fetch_free(b.fetch);
        b.fetch = NULL;
    }
}

/* Begins one of "http://HOST:PORT/a#b"; false with *err. */
static bool begin(const char *host, int64_t timeout_ms, struct tg_error *err)
{
    char url[100];
    int n = snprintf(url, sizeof(url), "http://%s:%u/a?b#c", host, (unsigned)b.mock.port);
    struct prov_fetch_request request = {
        .url = { url, (size_t)n }, .kind = CHAT_PART_IMAGE, .rules = &b.rules,
        .bytes_max = BYTES_MAX, .timeout_ms = timeout_ms, .may_hold = may_hold, .done = on_done,
        .arg = &b,
    };
    b.fetch = prov_fetch_start(b.http, &request, err);
    return b.fetch;
}

static void run(const char *host)
{
    struct tg_error err;
    if (!begin(host, WAIT_MS, &err))
        CHECK_FAIL("%s", err.text);
    CHECK(b.done == 0 && loop_until(b.base, &b.done, 1, WAIT_MS));
    CHECK_INT(b.done, 1);
}

static void what_is_fine(void)
{
    static const char *const answers[][2] = {
        { ANSWER("Content-Type: image/png\r\n", PNG), "image/png" },
        { ANSWER("Content-Type: IMAGE/PNG; a=b\r\n", PNG), "image/png" },
        { ANSWER("Content-Type: image/jpg\r\n", "\xff\xd8\xff\xe0"), "image/jpeg" },
        { ANSWER("", PNG), "image/png" },
        { ANSWER("Content-Type: application/octet-stream\r\n", "GIF89a"), "image/gif" },
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        open_bench(answers[i][0]);
        run("127.0.0.1");
        CHECK_STR(b.text, "");
        CHECK(b.ok && b.held == b.data_n && b.data_n >= 4);
        CHECK_STR(b.type, answers[i][1]);
        CHECK(strncmp(b.mock.request.p, "GET /a?b HTTP/1.1\r\n", 19) == 0);
        CHECK(!strstr(b.mock.request.p, "Authorization") && !strstr(b.mock.request.p, "Cookie"));
        close_bench();
    }
}

static void what_is_not(void)
{
    static const char *const answers[][2] = {
        { ANSWER("Content-Type: text/html\r\n", PNG), "says that it is \"text/html\"" },
        { ANSWER("Content-Type: \xff\x01image\r\n", PNG), "says that it is \"" },
        { ANSWER("Content-Type: audio/wav\r\n", PNG), "says that it is \"audio/wav\"" },
        { ANSWER("Content-Type: image/jpeg\r\n", PNG), "first bytes are not those of image/jpeg" },
        { ANSWER("", "<html>"), "it is no image" },
        { ANSWER("", ""), "it is no image" },
        { "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "answered 404" },
        { "HTTP/1.1 206 Part\r\nContent-Length: 0\r\n\r\n", "answered 206" },
        { "HTTP/1.1 304 Not Modified\r\n\r\n", "answered 304" },
        { "not HTTP at all\r\n\r\n", "" },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nGIF89a", "" },
        { REDIRECT(""), "redirects to what is no URL" },
        { REDIRECT("Location: http://\r\n"), "redirects to what is no URL" },
        { REDIRECT("Location: /again\r\n"), "redirects more than 3 times" },
        { REDIRECT("Location: http://other.invalid/\r\n"),
          "redirects, and other.invalid, port 80, is not among" },
        { REDIRECT("Location: http://127.0.0.1/\r\n"), "127.0.0.1, port 80, is not among" },
        { REDIRECT("Location: http://user:word@127.0.0.1/\r\n"), "a user's name" },
        { REDIRECT("Location: file:///etc/passwd\r\n"), "malformed" },
        { REDIRECT("Location: gopher://127.0.0.1/\r\n"), "malformed" },
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        open_bench(answers[i][0]);
        run("127.0.0.1");
        if (b.ok || b.ours || !strstr(b.text, answers[i][1]) || !b.text[0])
            CHECK_FAIL("%s: ok %d, %s", answers[i][0], b.ok, b.text);
        close_bench();
    }
}

/* What is not allowed is never asked: no connection is made. */
static void forbidden(void)
{
    struct tg_error err;
    open_bench(ANSWER("", PNG));
    CHECK(!begin("127.0.0.2", WAIT_MS, &err) && err.code == TG_INVALID);
    CHECK(strstr(err.text, "127.0.0.2, port ") && strstr(err.text, "media.fetch.hosts"));
    CHECK(!begin("user@127.0.0.1", WAIT_MS, &err) && strstr(err.text, "user's name"));
    CHECK(!begin("", WAIT_MS, &err) && strstr(err.text, "malformed"));
    b.rules.allow_private = false;
    run("127.0.0.1");
    CHECK(!b.ok && strstr(b.text, "no address on the public internet"));
    prov_fetch_free(b.fetch);
    b.done = 0;
    run("localhost"); /* an allowed name that resolves to what is not */
    CHECK(!b.ok && strstr(b.text, "no address on the public internet"));
    prov_fetch_free(b.fetch);
    b.done = 0;
    run("0x7f.1"); /* curl reads it as 127.0.0.1, and so does the list */
    CHECK(!b.ok && strstr(b.text, "no address on the public internet"));
    CHECK_INT(prov_http_connections(b.http), 0);
    CHECK_INT(b.mock.accepted, 0);
    close_bench();
}

/* A connection that a provider left open is not used, nor is one left to it. */
static void connections_are_its_own(void)
{
    open_bench("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nGIF89a");
    b.mock.script.close = false;
    for (size_t i = 0; i < 3; i++) {
        b.done = 0;
        run("127.0.0.1");
        CHECK(b.ok);
        prov_fetch_free(b.fetch);
    }
    b.fetch = NULL;
    CHECK_INT(prov_http_connections(b.http), 3);
    close_bench();
}

static void too_large(void)
{
    open_bench("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nGIF89a");
    b.mock.script.repeat = 1000;
    b.mock.script.tail = "0123456789";
    b.free_inside = true;
    run("127.0.0.1");
    CHECK(!b.ok && !b.ours && strstr(b.text, "larger than 1000 bytes"));
    close_bench();
    open_bench(ANSWER("", PNG));
    b.room = 5;
    run("127.0.0.1");
    CHECK(!b.ok && b.ours && strstr(b.text, "not enough memory"));
    close_bench();
}

static void too_slow(void)
{
    open_bench("");
    b.mock.script.hang = true;
    struct tg_error err;
    CHECK(begin("127.0.0.1", 50, &err));
    CHECK(loop_until(b.base, &b.done, 1, WAIT_MS));
    CHECK(!b.ok && strstr(b.text, "in time"));
    close_bench();
    open_bench("");
    CHECK(!begin("127.0.0.1", 0, &err) && strstr(err.text, "in time"));
    close_bench();
}

static void given_up(void)
{
    struct tg_error err;
    open_bench("");
    b.mock.script.hang = true;
    CHECK(begin("127.0.0.1", WAIT_MS, &err));
    CHECK(loop_until(b.base, &b.mock.requests, 1, WAIT_MS));
    prov_fetch_free(b.fetch);
    b.fetch = NULL;
    CHECK(loop_until(b.base, &b.mock.peer_closed, 1, WAIT_MS));
    CHECK_INT(b.done, 0);
    close_bench();
    prov_fetch_free(NULL);
}

static void places(void)
{
    struct prov_place p;
    char out[64];
    CHECK_INT(prov_url_place("HTTPS://Example.COM/a b", &p, out, sizeof(out)), TG_INVALID);
    CHECK_INT(prov_url_place("https://e.example:443/a/../b#c", &p, out, sizeof(out)), TG_OK);
    CHECK_STR(p.host, "e.example");
    CHECK(p.port == 443 && p.scheme_port == 443 && !strchr(out, '#'));
    CHECK_INT(prov_url_place("http://[::1]:81", &p, out, sizeof(out)), TG_OK);
    CHECK_STR(p.host, "[::1]");
    CHECK(p.port == 81 && p.scheme_port == 80);
    CHECK_INT(prov_url_place("http://e.example/", &p, out, 10), TG_LIMIT);
    CHECK_INT(prov_url_place("ftp://e.example/", &p, out, sizeof(out)), TG_INVALID);
    CHECK_INT(prov_url_place("e.example", &p, out, sizeof(out)), TG_INVALID);
    CHECK_INT(prov_url_place("http://e.example:0/", &p, out, sizeof(out)), TG_INVALID);
}

static void failing_allocations(void)
{
    bool ok = false;
    for (uint64_t nth = 1; nth < 400 && !ok; nth++) {
        struct tg_error err;
        open_bench(ANSWER("Content-Type: image/png\r\n", PNG));
        tg_alloc_fail_nth(nth);
        if (begin("127.0.0.1", 500, &err))
            CHECK(loop_until(b.base, &b.done, 1, WAIT_MS));
        bool whole = tg_alloc_count() < nth; /* none failed */
        tg_alloc_fail_nth(0);
        ok = b.ok && whole;
        close_bench();
    }
    CHECK(ok);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(what_is_fine), CASE(what_is_not), CASE(forbidden), CASE(connections_are_its_own),
        CASE(too_large),    CASE(too_slow),    CASE(given_up),  CASE(places),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}

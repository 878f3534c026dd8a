/* The clients of the proxy benchmark: so many connections, each of which sends its next request
 * when the one before is answered. Prints one JSON object. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/proxy/net.h"

enum { EVENTS = 256, HEADERS_MAX = 2048 };

struct client {
    int fd;
    bool open, waiting;
    size_t body_at; /* of the answer, 0: its head has not come */
    bool chunked;
    size_t length;
    size_t seen; /* of a stream: bytes that were looked at for stamps */
    int64_t sent_ns;
    struct net_buf in, out;
};

struct times {
    int64_t *ns;
    size_t n, max;
};

static struct {
    uint16_t port;
    const char *path, *model;
    char headers[HEADERS_MAX];
    unsigned connections, tokens;
    double seconds, warm;
    bool stream;
} asked = { .path = "/v1/chat/completions", .model = "default", .connections = 1, .tokens = 16,
            .seconds = 3, .warm = 1 };

static int poller;
static bool measuring, stopping;
static struct times answers, chunks;
static size_t errors;
static char first_error[200];
static struct net_buf request;

static void note(struct times *t, int64_t ns)
{
    if (!measuring)
        return;
    if (t->n == t->max) {
        t->max = t->max ? t->max * 2 : 1 << 16;
        t->ns = realloc(t->ns, t->max * sizeof(*t->ns));
        if (!t->ns)
            net_die("memory");
    }
    t->ns[t->n++] = ns;
}

static void make_request(void)
{
    char body[1024], head[HEADERS_MAX + 512];
    int n = snprintf(body, sizeof(body),
                     "{\"model\":\"%s\",\"max_tokens\":%u,\"stream\":%s,\"messages\":[{\"role\":"
                     "\"system\",\"content\":\"You are a helpful assistant.\"},{\"role\":\"user\","
                     "\"content\":\"What is the capital of France?\"}]}",
                     asked.model, asked.tokens, asked.stream ? "true" : "false");
    int h = snprintf(head, sizeof(head),
                     "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%u\r\ncontent-type: application/json\r\n"
                     "content-length: %d\r\n%s\r\n", asked.path, asked.port, n, asked.headers);
    net_add(&request, head, (size_t)h);
    net_add(&request, body, (size_t)n);
}

static void watch(struct client *c, int op)
{
    struct epoll_event e = { .events = EPOLLIN | (c->out.n || !c->open ? EPOLLOUT : 0),
                             .data.ptr = c };
    epoll_ctl(poller, op, c->fd, &e);
}

static void ask(struct client *c)
{
    bool was = c->out.n > 0;
    c->sent_ns = net_now_ns();
    c->waiting = true;
    c->body_at = c->seen = 0;
    net_add(&c->out, request.p, request.n);
    if (c->open && net_write(c->fd, &c->out) && (c->out.n > 0) != was)
        watch(c, EPOLL_CTL_MOD);
}

static void dial(struct client *c)
{
    c->fd = net_connect(asked.port);
    if (c->fd < 0)
        net_die("connect");
    c->open = false;
    c->in.n = c->out.n = 0;
    watch(c, EPOLL_CTL_ADD);
    ask(c);
}

static void fail(struct client *c, const char *what)
{
    errors++;
    if (!first_error[0])
        snprintf(first_error, sizeof(first_error), "%s: %.*s", what,
                 (int)(c->in.n < 120 ? c->in.n : 120), c->in.p ? c->in.p : "");
    close(c->fd);
    if (!stopping)
        dial(c);
}

/* Each chunk of the upstream has the time at which it was written between two @. */
static void read_stamps(struct client *c)
{
    int64_t now = net_now_ns();
    for (;;) {
        char *from = memchr(c->in.p + c->seen, '@', c->in.n - c->seen);
        char *to = from ? memchr(from + 1, '@', c->in.n - (size_t)(from + 1 - c->in.p)) : NULL;
        if (!to)
            return;
        note(&chunks, now - strtoll(from + 1, NULL, 10));
        c->seen = (size_t)(to + 1 - c->in.p);
    }
}

/* Whether the answer is whole. */
static bool is_whole(struct client *c)
{
    if (!c->body_at) {
        c->body_at = net_head(&c->in);
        if (!c->body_at)
            return false;
        const char *length = net_header(&c->in, c->body_at, "content-length:");
        c->length = length ? strtoul(length, NULL, 10) : 0;
        c->chunked = !length;
        c->seen = c->body_at;
    }
    if (asked.stream)
        read_stamps(c);
    if (!c->chunked)
        return c->in.n >= c->body_at + c->length;
    return c->in.n >= c->body_at + 5 && memcmp(c->in.p + c->in.n - 5, "0\r\n\r\n", 5) == 0;
}

static void on_answer(struct client *c)
{
    if (c->in.n < 12 || memcmp(c->in.p + 8, " 200", 4) != 0 ||
        (asked.stream && !memmem(c->in.p, c->in.n, "data: [DONE]", 12))) {
        fail(c, "not a good answer");
        return;
    }
    note(&answers, net_now_ns() - c->sent_ns);
    c->in.n = 0;
    c->waiting = false;
    if (!stopping)
        ask(c);
}

static void on_event(struct client *c, uint32_t events)
{
    if (!c->open && (events & EPOLLOUT))
        c->open = true;
    if (c->open && c->out.n) {
        if (!net_write(c->fd, &c->out)) {
            fail(c, "write");
            return;
        }
        watch(c, EPOLL_CTL_MOD);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    int got = net_read(c->fd, &c->in);
    if (got < 0)
        fail(c, c->in.n ? "cut off" : "closed");
    else if (got > 0 && is_whole(c))
        on_answer(c);
}

static void turn(int64_t until)
{
    struct epoll_event events[EVENTS];
    int64_t left = (until - net_now_ns()) / 1000000;
    int n = epoll_wait(poller, events, EVENTS, left > 0 ? (int)left : 0);
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
}

static void run(void)
{
    struct client *clients = calloc(asked.connections, sizeof(*clients));
    if (!clients)
        net_die("memory");
    for (unsigned i = 0; i < asked.connections; i++) {
        dial(&clients[i]);
        if (i % 64 == 63)
            turn(0);
    }
    int64_t begin = net_now_ns() + (int64_t)(asked.warm * 1e9);
    while (net_now_ns() < begin)
        turn(begin);
    measuring = true;
    fprintf(stderr, "begin\n");
    begin = net_now_ns();
    int64_t end = begin + (int64_t)(asked.seconds * 1e9);
    while (net_now_ns() < end)
        turn(end);
    double took = (double)(net_now_ns() - begin) / 1e9;
    fprintf(stderr, "end\n");
    stopping = true;
    size_t n = answers.n;
    printf("{\"connections\":%u,\"seconds\":%.3f,\"requests\":%zu,\"per_second\":%.1f,"
           "\"errors\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"chunks\":%zu,\"chunk_p50_us\":%.1f,"
           "\"chunk_p99_us\":%.1f}\n",
           asked.connections, took, n, (double)n / took, errors,
           net_quantile_us(answers.ns, n, 0.5), net_quantile_us(answers.ns, n, 0.99), chunks.n,
           net_quantile_us(chunks.ns, chunks.n, 0.5), net_quantile_us(chunks.ns, chunks.n, 0.99));
    if (errors)
        fprintf(stderr, "first error: %s\n", first_error);
}

static void add_header(const char *text)
{
    size_t n = strlen(asked.headers);
    snprintf(asked.headers + n, sizeof(asked.headers) - n, "%s\r\n", text);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "port", required_argument, NULL, 'p' },   { "path", required_argument, NULL, 'P' },
        { "model", required_argument, NULL, 'm' },  { "header", required_argument, NULL, 'H' },
        { "connections", required_argument, NULL, 'c' },
        { "seconds", required_argument, NULL, 's' }, { "warm", required_argument, NULL, 'w' },
        { "tokens", required_argument, NULL, 't' }, { "stream", no_argument, NULL, 'S' },
        { NULL, 0, NULL, 0 } };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'p': asked.port = (uint16_t)strtoul(optarg, NULL, 10); break;
        case 'P': asked.path = optarg; break;
        case 'm': asked.model = optarg; break;
        case 'H': add_header(optarg); break;
        case 'c': asked.connections = (unsigned)strtoul(optarg, NULL, 10); break;
        case 's': asked.seconds = strtod(optarg, NULL); break;
        case 'w': asked.warm = strtod(optarg, NULL); break;
        case 't': asked.tokens = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'S': asked.stream = true; break;
        default:
            fprintf(stderr, "usage: proxy_load --port N [--path P] [--model M] [--header H] "
                            "[--connections N] [--seconds S] [--warm S] [--tokens N] [--stream]\n");
            return 2;
        }
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    make_request();
    run();
    return 0;
}

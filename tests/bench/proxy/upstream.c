/* The provider of the proxy benchmark: answers every POST as a chat completion would be, at once
 * and as cheaply as can be, so that what is measured is in front of it. A stream has as many chunks
 * as the request's max_tokens, one every --gap-us, each with the time at which it was written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/bench/proxy/net.h"

enum { EVENTS = 256 };

struct peer {
    int fd;
    bool writing;
    uint32_t left; /* chunks of its stream; 0: none runs */
    bool ending;   /* the last parts of the stream come next */
    int64_t due_ns;
    struct net_buf in, out;
    struct peer *prev, *next; /* those that stream */
};

static int poller, timer_fd;
static int64_t gap_ns = 1000000, timer_ns;
static struct peer *streams;

static const char whole[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"The capital of "
    "France is Paris.\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":20,"
    "\"completion_tokens\":8,\"total_tokens\":28}}";

static void add_chunk(struct peer *p, const char *data)
{
    char head[32];
    net_add(&p->out, head, (size_t)snprintf(head, sizeof(head), "%zx\r\n", strlen(data) + 8));
    net_add(&p->out, "data: ", 6);
    net_add(&p->out, data, strlen(data));
    net_add(&p->out, "\n\n\r\n", 4);
}

static void watch(struct peer *p, bool writing)
{
    struct epoll_event e = { .events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = p };
    if (writing != p->writing)
        epoll_ctl(poller, EPOLL_CTL_MOD, p->fd, &e);
    p->writing = writing;
}

static void set_timer(int64_t at_ns)
{
    struct itimerspec t = { .it_value = { at_ns / 1000000000, at_ns % 1000000000 } };
    if (timer_ns && timer_ns <= at_ns)
        return;
    timer_ns = at_ns;
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void stream_on(struct peer *p)
{
    p->next = streams;
    p->prev = NULL;
    if (streams)
        streams->prev = p;
    streams = p;
    set_timer(p->due_ns);
}

static void stream_off(struct peer *p)
{
    if (p->prev)
        p->prev->next = p->next;
    else if (streams == p)
        streams = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->prev = p->next = NULL;
    p->left = 0;
}

static void hang_up(struct peer *p)
{
    if (p->left || p->ending)
        stream_off(p);
    close(p->fd);
    free(p->in.p);
    free(p->out.p);
    free(p);
}

/* Streams are spread over the gap, or all would come in one burst. */
static void answer(struct peer *p, size_t head, size_t body)
{
    static uint64_t n_streams;
    char text[512];
    const char *limit = memmem(p->in.p + head, body, "\"max_tokens\":", 13);
    if (!memmem(p->in.p + head, body, "\"stream\":true", 13)) {
        int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                                             "content-length: %zu\r\n\r\n", sizeof(whole) - 1);
        net_add(&p->out, text, (size_t)n);
        net_add(&p->out, whole, sizeof(whole) - 1);
        return;
    }
    net_add(&p->out, text, (size_t)snprintf(text, sizeof(text),
                                            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                                            "transfer-encoding: chunked\r\n\r\n"));
    p->left = limit ? (uint32_t)strtoul(limit + 13, NULL, 10) : 1;
    p->ending = true;
    p->due_ns = net_now_ns() + (int64_t)(n_streams++ * 7919 % 1000) * gap_ns / 1000;
    stream_on(p);
}

static void next_chunk(struct peer *p, int64_t now)
{
    char text[256];
    if (p->left) {
        p->left--;
        snprintf(text, sizeof(text),
                 "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                 "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@%lld@ \"},"
                 "\"finish_reason\":null}]}", (long long)net_now_ns());
        add_chunk(p, text);
        p->due_ns += gap_ns;
        if (p->due_ns < now)
            p->due_ns = now;
        return;
    }
    add_chunk(p, "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                 "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
                 "\"stop\"}]}");
    add_chunk(p, "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                 "\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,"
                 "\"completion_tokens\":8,\"total_tokens\":28}}");
    add_chunk(p, "[DONE]");
    net_add(&p->out, "0\r\n\r\n", 5);
    p->ending = false;
    stream_off(p);
}

static void run_streams(void)
{
    uint64_t count;
    int64_t now = net_now_ns(), next = INT64_MAX;
    if (read(timer_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        net_die("timer");
    timer_ns = 0;
    for (struct peer *p = streams, *after; p; p = after) {
        after = p->next;
        if (p->due_ns <= now) {
            next_chunk(p, now);
            watch(p, !net_write(p->fd, &p->out) || p->out.n); /* a broken one is read as such */
        }
        if (p->ending && p->due_ns < next)
            next = p->due_ns;
    }
    if (next != INT64_MAX)
        set_timer(next);
}

/* False: the connection is over. */
static bool serve(struct peer *p)
{
    int got = net_read(p->fd, &p->in);
    if (got < 0)
        return false;
    for (size_t head; !p->ending && (head = net_head(&p->in)) != 0;) {
        const char *length = net_header(&p->in, head, "content-length:");
        size_t body = length ? strtoul(length, NULL, 10) : 0;
        if (p->in.n < head + body)
            break;
        answer(p, head, body);
        net_cut(&p->in, head + body);
    }
    if (!net_write(p->fd, &p->out))
        return false;
    watch(p, p->out.n > 0);
    return true;
}

static void add_peer(int fd)
{
    struct peer *p = calloc(1, sizeof(*p));
    if (!p)
        net_die("memory");
    p->fd = fd;
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
    static int listener, timer; /* their addresses are their events' marks */
    uint16_t port = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--port") == 0)
            port = (uint16_t)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--gap-us") == 0)
            gap_ns = strtoll(argv[i + 1], NULL, 10) * 1000;
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = net_listen(&port);
    timer = timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event l = { .events = EPOLLIN, .data.ptr = &listener };
    struct epoll_event t = { .events = EPOLLIN, .data.ptr = &timer };
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &l);
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &t);
    printf("%u\n", port);
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (events[i].data.ptr == &timer)
                run_streams();
            else if (events[i].data.ptr != &listener && !serve(p))
                hang_up(p);
            for (int fd; events[i].data.ptr == &listener && (fd = net_accept(listener)) >= 0;)
                add_peer(fd);
        }
    }
}

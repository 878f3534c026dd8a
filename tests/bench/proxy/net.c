#include "tests/bench/proxy/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 64 << 10, BACKLOG = 4096 };

int64_t net_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

_Noreturn void net_die(const char *what)
{
    fprintf(stderr, "proxy benchmark: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

int net_listen(uint16_t *port)
{
    struct sockaddr_in at = loopback(*port);
    socklen_t n = sizeof(at);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&at, &n))
        net_die("listen");
    *port = ntohs(at.sin_port);
    return fd;
}

int net_accept(int fd)
{
    int got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (got >= 0)
        no_delay(got);
    return got;
}

int net_connect(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    no_delay(fd);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

static void reserve(struct net_buf *b, size_t more)
{
    if (b->n + more <= b->max)
        return;
    b->max = (b->n + more) * 2;
    b->p = realloc(b->p, b->max);
    if (!b->p)
        net_die("memory");
}

void net_add(struct net_buf *b, const char *p, size_t n)
{
    reserve(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void net_cut(struct net_buf *b, size_t n)
{
    b->n -= n;
    memmove(b->p, b->p + n, b->n);
}

/* Read through one place for all connections: thousands of them stay small. */
int net_read(int fd, struct net_buf *b)
{
    static char room[READ_SIZE];
    ssize_t n = read(fd, room, sizeof(room));
    if (n > 0) {
        net_add(b, room, (size_t)n);
        return 1;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

bool net_write(int fd, struct net_buf *b)
{
    while (b->n) {
        ssize_t n = send(fd, b->p, b->n, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        net_cut(b, (size_t)n);
    }
    return true;
}

size_t net_head(const struct net_buf *b)
{
    const char *end = b->n ? memmem(b->p, b->n, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end - b->p) + 4 : 0;
}

const char *net_header(const struct net_buf *b, size_t n, const char *name)
{
    size_t length = strlen(name);
    for (size_t at = 0; at + length < n;) {
        const char *line = memchr(b->p + at, '\n', n - at);
        if (!line)
            return NULL;
        at = (size_t)(line - b->p) + 1;
        if (at + length < n && strncasecmp(b->p + at, name, length) == 0) {
            const char *value = b->p + at + length;
            return value + strspn(value, " ");
        }
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double net_quantile_us(int64_t *ns, size_t n, double share)
{
    if (n == 0)
        return 0;
    qsort(ns, n, sizeof(*ns), compare);
    size_t at = (size_t)(share * (double)n);
    return (double)ns[at < n ? at : n - 1] / 1000;
}

/* What the two programs of the proxy benchmark share: sockets on loopback, a growing buffer, the
 * clock that both stamp and read. Linux; single thread. */
#ifndef TESTS_BENCH_PROXY_NET_H
#define TESTS_BENCH_PROXY_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t net_now_ns(void); /* CLOCK_MONOTONIC */

/* Prints "PROGRAM: what: cause" and ends with status 1. */
_Noreturn void net_die(const char *what);

int net_listen(uint16_t *port); /* 0: any; *port becomes the bound one */
int net_accept(int fd);         /* non-blocking; -1: none */
int net_connect(uint16_t port); /* non-blocking, connected or under way; -1: cannot */

struct net_buf {
    char *p;
    size_t n, max;
};
void net_add(struct net_buf *b, const char *p, size_t n);
void net_cut(struct net_buf *b, size_t n); /* the first n bytes */
/* Reads what there is. 1: some came, 0: nothing now, -1: the end or an error. */
int net_read(int fd, struct net_buf *b);
/* Writes what can be. False: the connection broke. */
bool net_write(int fd, struct net_buf *b);

/* Bytes up to and with the empty line behind a head, or 0 while it is not whole. */
size_t net_head(const struct net_buf *b);
/* The value of a header within the first n bytes (name in lower case, with its colon), or NULL. */
const char *net_header(const struct net_buf *b, size_t n, const char *name);

/* The n-th of sorted times, as a share from 0 to 1, in microseconds. Sorts. */
double net_quantile_us(int64_t *ns, size_t n, double share);

#endif

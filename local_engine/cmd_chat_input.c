#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "local_engine/cmd_chat.h"

enum { LINE_MAX_BYTES = 1 << 20, INPUT_MAX_BYTES = 16 << 20 };

void le_lines_init(struct le_lines *l, int fd, int signals)
{
    *l = (struct le_lines){ .fd = fd, .signals = signals };
    tg_buf_init(&l->text, LINE_MAX_BYTES);
}

void le_lines_free(struct le_lines *l)
{
    tg_buf_free(&l->text);
}

/* Waits for more input. False at its end, or when a signal came. */
static bool read_more(struct le_lines *l)
{
    struct pollfd fds[2] = { { .fd = l->fd, .events = POLLIN },
                             { .fd = l->signals, .events = POLLIN } };
    char block[4096];
    if (poll(fds, 2, -1) < 0)
        return errno == EINTR;
    if (fds[1].revents) {
        struct signalfd_siginfo info;
        ssize_t got = read(l->signals, &info, sizeof(info));
        return got < 0; /* taken by nobody else: an interrupt */
    }
    ssize_t n = read(l->fd, block, sizeof(block));
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n == 0) {
        l->ended = true;
        return l->text.n > 0; /* a last line without an end */
    }
    return tg_buf_add(&l->text, block, (size_t)n) == TG_OK;
}

bool le_lines_next(struct le_lines *l, const char *prompt, struct tg_str *line)
{
    tg_buf_drop(&l->text, l->taken);
    l->taken = 0;
    fputs(prompt, stderr);
    for (;;) {
        const char *end = l->text.n ? memchr(l->text.p, '\n', l->text.n) : NULL;
        if (end || (l->ended && l->text.n)) {
            size_t n = end ? (size_t)(end - l->text.p) : l->text.n;
            *line = (struct tg_str){ l->text.p, n };
            l->taken = end ? n + 1 : n;
            return true;
        }
        if (l->ended || !read_more(l))
            return false;
    }
}

int le_read_all(int fd, int signals, struct tg_buf *out)
{
    char block[4096];
    ssize_t n = 1;
    tg_buf_init(out, INPUT_MAX_BYTES);
    while (n != 0 && !out->failed) {
        struct pollfd fds[2] = { { .fd = fd, .events = POLLIN },
                                 { .fd = signals, .events = POLLIN } };
        if (poll(fds, 2, -1) < 0)
            continue; /* EINTR: nothing else can go wrong with two open descriptors */
        if (fds[1].revents)
            return 130;
        n = read(fd, block, sizeof(block));
        if (n < 0 && errno != EINTR) {
            fprintf(stderr, "chat: standard input: %s\n", strerror(errno));
            return 1;
        }
        if (n > 0)
            tg_buf_add(out, block, (size_t)n);
    }
    if (out->failed) {
        fprintf(stderr, "chat: standard input is larger than %d MiB\n", INPUT_MAX_BYTES >> 20);
        return 1;
    }
    if (out->n == 0) {
        fprintf(stderr, "chat: there is no prompt: standard input is empty\n");
        return 1;
    }
    return 0;
}

#include <assert.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "local_engine/engine_internal.h"

/* Texts of one token fit, so that a ring that has gone round once allocates no more. */
enum { TEXT_KEPT = 4096 };

void le_cell_init(struct le_cell *c)
{
    *c = (struct le_cell){ .event.job = 0 };
    for (int i = 0; i < LE_TEXTS; i++)
        tg_buf_init(&c->text[i], LE_EVENT_TEXT_MAX);
}

void le_cell_free(struct le_cell *c)
{
    for (int i = 0; i < LE_TEXTS; i++)
        tg_buf_free(&c->text[i]);
}

void le_cell_reset(struct le_cell *c)
{
    c->event = (struct le_event){ .job = 0 };
    c->error[0] = '\0';
    for (int i = 0; i < LE_TEXTS; i++) {
        if (c->text[i].cap > TEXT_KEPT)
            tg_buf_free(&c->text[i]);
        tg_buf_reset(&c->text[i]);
    }
}

enum tg_status le_ring_init(struct le_ring *r, size_t tokens, size_t others)
{
    *r = (struct le_ring){ .cap = tokens + others, .tokens_max = tokens, .fd = -1 };
    r->cell = tg_calloc(r->cap, sizeof(*r->cell));
    if (!r->cell)
        return TG_NOMEM;
    for (size_t i = 0; i < r->cap; i++) {
        le_cell_init(&r->cell[i]);
        tg_buf_add(&r->cell[i].text[LE_TEXT_CONTENT], NULL, 0);
        if (tg_buf_add(&r->cell[i].text[LE_TEXT_REASONING], NULL, 0))
            return TG_NOMEM;
    }
    r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return r->fd < 0 ? TG_IO : TG_OK;
}

void le_ring_free(struct le_ring *r)
{
    for (size_t i = 0; r->cell && i < r->cap; i++)
        le_cell_free(&r->cell[i]);
    tg_free(r->cell);
    r->cell = NULL;
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

static struct le_cell *grow(struct le_ring *r)
{
    assert(r->count < r->cap);
    return &r->cell[(r->head + r->count++) % r->cap];
}

static void announce(struct le_ring *r)
{
    uint64_t one = 1;
    if (r->count == 1 && write(r->fd, &one, sizeof(one)) < 0)
        assert(!"an eventfd took no 1");
}

void le_ring_push(struct le_ring *r, struct le_cell *c)
{
    struct le_cell *at = grow(r), old = *at;
    *at = *c;
    *c = old;
    le_cell_reset(c);
    if (at->event.kind == LE_EVENT_TOKEN)
        r->tokens++;
    assert(r->tokens <= r->tokens_max);
    announce(r);
}

void le_ring_put(struct le_ring *r, const struct le_event *event, const char *error)
{
    struct le_cell *at = grow(r);
    assert(event->kind != LE_EVENT_TOKEN);
    le_cell_reset(at);
    at->event = *event;
    if (error) {
        size_t n = strnlen(error, sizeof(at->error) - 1);
        memcpy(at->error, error, n);
        at->error[n] = '\0';
    }
    announce(r);
}

bool le_ring_pop(struct le_ring *r, struct le_cell *c)
{
    if (r->count == 0)
        return false;
    struct le_cell *at = &r->cell[r->head], old = *c;
    *c = *at;
    *at = old;
    r->head = (r->head + 1) % r->cap;
    if (c->event.kind == LE_EVENT_TOKEN)
        r->tokens--;
    if (--r->count == 0) {
        uint64_t drained;
        ssize_t got = read(r->fd, &drained, sizeof(drained));
        (void)got; /* the descriptor may have been drained by its loop */
    }
    return true;
}

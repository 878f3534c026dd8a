#include "providers/vector_reads.h"

#include <stdio.h>

#include "config/base/alloc.h"

enum { SMALL = 32 << 10 /* bytes: below a millisecond */ };

struct prov_reads {
    struct tg_workers *workers;
    struct prov_read *first;
};

/* A worker writes events and their memory, the loop the rest. */
struct prov_read {
    struct prov_reads *reads;
    struct prov_read *prev, *next;
    struct tg_buf body;
    struct chat_request request; /* of it only what reading needs */
    prov_event_fn fn; /* NULL: dropped */
    void *arg;
    struct tg_arena *arena;
    char error[PROV_ERROR_TEXT_MAX];
    size_t n, most;
    struct chat_event events[];
};

struct prov_reads *prov_reads_new(struct tg_workers *workers)
{
    struct prov_reads *reads = tg_calloc(1, sizeof(*reads));
    if (reads)
        reads->workers = workers;
    return reads;
}

static void release(struct prov_read *r)
{
    if (r->prev)
        r->prev->next = r->next;
    else
        r->reads->first = r->next;
    if (r->next)
        r->next->prev = r->prev;
    tg_arena_free(r->arena);
    tg_buf_free(&r->body);
    tg_free(r);
}

void prov_reads_free(struct prov_reads *reads)
{
    while (reads && reads->first)
        release(reads->first);
    tg_free(reads);
}

static void record(void *arg, const struct chat_event *e)
{
    struct prov_read *r = arg;
    if (r->n == r->most)
        return; /* there are no more: a vector of each input, usage, the end */
    r->events[r->n] = *e;
    if (e->text.n) { /* the only text is an error's */
        snprintf(r->error, sizeof(r->error), "%.*s", TG_FMT(e->text));
        r->events[r->n].text = tg_str_of(r->error);
    }
    r->n++;
}

static void work(void *arg)
{
    struct prov_read *r = arg;
    struct prov_reader reader;
    prov_reader_init(&reader, r->body.n, record, r);
    prov_vectors_read(&reader, tg_buf_str(&r->body), &r->request, &r->arena);
    prov_reader_free(&reader);
}

static void done(void *arg)
{
    struct prov_read *r = arg;
    for (size_t i = 0; i < r->n && r->fn; i++)
        r->fn(r->arg, &r->events[i]);
    release(r);
}

struct prov_read *prov_read_start(struct prov_reads *reads, struct tg_buf *body,
                                  const struct chat_request *request, prov_event_fn fn, void *arg)
{
    size_t most = request->n_inputs + 2;
    if (!reads || body->n < SMALL)
        return NULL;
    struct prov_read *r = tg_calloc(1, sizeof(*r) + most * sizeof(r->events[0]));
    if (!r)
        return NULL;
    r->reads = reads;
    r->request = (struct chat_request){ .n_inputs = request->n_inputs,
                                        .dimensions = request->dimensions };
    r->fn = fn;
    r->arg = arg;
    r->most = most;
    r->body = *body;
    if (tg_workers_submit(reads->workers, work, done, r) != TG_OK) {
        tg_free(r);
        return NULL;
    }
    r->next = reads->first;
    if (r->next)
        r->next->prev = r;
    reads->first = r;
    tg_buf_init(body, body->max);
    return r;
}

void prov_read_drop(struct prov_read *r)
{
    if (r)
        r->fn = NULL;
}

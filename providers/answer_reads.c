#include "providers/answer_reads.h"

#include <stdio.h>

#include "config/base/alloc.h"

enum {
    SMALL = 32 << 10, /* bytes: below a millisecond */
    MEMORY_MAX = 96 << 20, /* of a copy: text is below an answer's 16 MiB, logprobs take more */
};

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
    struct tg_arena *arena;  /* what a reader of vectors made */
    struct tg_arena *copies; /* of what the events point to */
    struct chat_event *events;
    size_t n, cap;
    bool failed; /* no memory for all of them */
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
    tg_arena_free(r->copies);
    tg_free(r->events);
    tg_buf_free(&r->body);
    tg_free(r);
}

void prov_reads_free(struct prov_reads *reads)
{
    while (reads && reads->first)
        release(reads->first);
    tg_free(reads);
}

static bool copy_text(struct prov_read *r, struct tg_str *text)
{
    if (text->n)
        *text = tg_arena_str(r->copies, *text);
    return !text->n || text->p;
}

/* Vectors stay where they are, in r->arena; all else goes with the tree that it was read from. */
static bool copy_parts(struct prov_read *r, struct chat_event *e)
{
    if (e->n_logprobs) {
        const struct chat_logprobs *copy = chat_logprobs_copy(r->copies, e);
        if (!copy)
            return false;
        e->logprobs = copy->list;
    }
    return copy_text(r, &e->text) && copy_text(r, &e->id) && copy_text(r, &e->name) &&
           copy_text(r, &e->said_type) && copy_text(r, &e->said_code) &&
           copy_text(r, &e->said_param);
}

static bool make_room(struct prov_read *r)
{
    if (r->n < r->cap)
        return true;
    size_t cap = r->cap ? 2 * r->cap : 16;
    struct chat_event *more = tg_realloc_array(r->events, cap, sizeof(*more));
    if (!more)
        return false;
    r->events = more;
    r->cap = cap;
    return true;
}

static void record(void *arg, const struct chat_event *e)
{
    struct prov_read *r = arg;
    struct chat_event copy = *e;
    if (r->failed || !make_room(r) || !copy_parts(r, &copy))
        r->failed = true;
    else
        r->events[r->n++] = copy;
}

static void work(void *arg)
{
    struct prov_read *r = arg;
    struct prov_reader reader;
    prov_reader_init(&reader, r->body.n, record, r);
    reader.logprobs = r->request.logprobs;
    if (r->request.n_inputs)
        prov_vectors_read(&reader, tg_buf_str(&r->body), &r->request, &r->arena);
    else
        prov_reader_whole(&reader, tg_buf_str(&r->body));
    prov_reader_free(&reader);
}

static void done(void *arg)
{
    static const struct chat_event no_memory = { .kind = CHAT_EVENT_ERROR,
                                                 .error = CHAT_ERROR_LIMIT,
                                                 .billed = true,
                                                 .retry_after_ms = -1,
                                                 .text = { "out of memory", 13 } };
    struct prov_read *r = arg;
    for (size_t i = 0; i < r->n && r->fn && !r->failed; i++)
        r->fn(r->arg, &r->events[i]);
    if (r->failed && r->fn)
        r->fn(r->arg, &no_memory);
    release(r);
}

struct prov_read *prov_read_start(struct prov_reads *reads, struct tg_buf *body,
                                  const struct chat_request *request, prov_event_fn fn, void *arg)
{
    if (!reads || body->n < SMALL)
        return NULL;
    struct prov_read *r = tg_calloc(1, sizeof(*r));
    if (r)
        r->copies = tg_arena_new(MEMORY_MAX);
    if (!r || !r->copies) {
        tg_free(r);
        return NULL;
    }
    r->reads = reads;
    r->request = (struct chat_request){ .n_inputs = request->n_inputs,
                                        .dimensions = request->dimensions,
                                        .logprobs = request->logprobs };
    r->fn = fn;
    r->arg = arg;
    r->body = *body;
    if (tg_workers_submit(reads->workers, work, done, r) != TG_OK) {
        tg_arena_free(r->copies);
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

#include "providers/local_memory.h"

#include <pthread.h>

#include "config/base/alloc.h"

/* One answer. The text is behind its ids, in the same block. */
struct thought {
    struct thought *next; /* the one kept after it */
    int64_t kept_ns;
    size_t n_calls, n_text;
    char ids[][PROV_CALL_ID_MAX];
};

struct prov_memory {
    pthread_mutex_t lock; /* requests with large bodies are prepared on workers */
    struct prov_memory_limits limits;
    struct thought *oldest, *newest;
    size_t n_calls, bytes;
};

struct prov_memory *prov_memory_new(const struct prov_memory_limits *limits)
{
    struct prov_memory *m = tg_calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    m->limits = *limits;
    return m;
}

static size_t size_of(const struct thought *t)
{
    return sizeof(*t) + t->n_calls * sizeof(*t->ids) + t->n_text;
}

static void forget_oldest(struct prov_memory *m)
{
    struct thought *t = m->oldest;
    m->oldest = t->next;
    if (!m->oldest)
        m->newest = NULL;
    m->n_calls -= t->n_calls;
    m->bytes -= size_of(t);
    tg_free(t);
}

static void forget_old(struct prov_memory *m, int64_t now_ns)
{
    while (m->oldest && now_ns - m->oldest->kept_ns > m->limits.age_ns)
        forget_oldest(m);
}

void prov_memory_free(struct prov_memory *m)
{
    if (!m)
        return;
    while (m->oldest)
        forget_oldest(m);
    pthread_mutex_destroy(&m->lock);
    tg_free(m);
}

static void append(struct prov_memory *m, struct thought *t)
{
    while (m->oldest && (m->n_calls + t->n_calls > m->limits.calls ||
                         m->bytes + size_of(t) > m->limits.bytes))
        forget_oldest(m);
    if (m->newest)
        m->newest->next = t;
    else
        m->oldest = t;
    m->newest = t;
    m->n_calls += t->n_calls;
    m->bytes += size_of(t);
}

enum tg_status prov_memory_keep(struct prov_memory *m, const char (*ids)[PROV_CALL_ID_MAX],
                                size_t n, struct tg_str text, int64_t now_ns)
{
    const struct prov_memory_limits *l = &m->limits;
    size_t head = sizeof(struct thought) + n * PROV_CALL_ID_MAX;
    if (n > l->calls || text.n > l->bytes || head > l->bytes - text.n)
        return TG_LIMIT;
    struct thought *t = tg_calloc(1, head + text.n);
    if (!t)
        return TG_NOMEM;
    t->kept_ns = now_ns;
    t->n_calls = n;
    t->n_text = text.n;
    memcpy(t->ids, ids, n * sizeof(*ids));
    if (text.n)
        memcpy(t->ids[n], text.p, text.n);
    pthread_mutex_lock(&m->lock);
    forget_old(m, now_ns);
    append(m, t);
    pthread_mutex_unlock(&m->lock);
    return TG_OK;
}

static bool has_call(const struct thought *t, struct tg_str id)
{
    for (size_t i = 0; i < t->n_calls; i++)
        if (tg_str_eq(tg_str_of(t->ids[i]), id))
            return true;
    return false;
}

enum tg_status prov_memory_find(struct prov_memory *m, struct tg_str id, int64_t now_ns, size_t max,
                                struct tg_arena *arena, struct tg_str *out)
{
    *out = (struct tg_str){ NULL, 0 };
    enum tg_status status = TG_OK;
    pthread_mutex_lock(&m->lock);
    forget_old(m, now_ns);
    const struct thought *t = m->oldest;
    while (t && !has_call(t, id))
        t = t->next;
    if (t && t->n_text <= max) {
        *out = tg_arena_str(arena, (struct tg_str){ t->ids[t->n_calls], t->n_text });
        status = out->p ? TG_OK : TG_NOMEM;
    }
    pthread_mutex_unlock(&m->lock);
    return status;
}

size_t prov_memory_bytes(struct prov_memory *m)
{
    pthread_mutex_lock(&m->lock);
    size_t bytes = m->bytes;
    pthread_mutex_unlock(&m->lock);
    return bytes;
}

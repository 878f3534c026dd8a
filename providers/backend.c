#include "providers/backend_internal.h"

#include <stdio.h>
#include <sys/random.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"

enum tg_status prov_backend_init(struct prov_backend *b, const struct prov_ops *ops,
                                 const char *name, bool local)
{
    *b = (struct prov_backend){ .ops = ops, .local = local, .refs = 1 };
    b->name = tg_strdup(name);
    return b->name ? TG_OK : TG_NOMEM;
}

void prov_unref(struct prov_backend *b)
{
    if (--b->refs > 0)
        return;
    tg_free(b->name);
    b->name = NULL;
    b->ops->destroy(b);
}

void prov_backend_free(struct prov_backend *b)
{
    if (b)
        prov_unref(b);
}

struct prov_attempt *prov_start(struct prov_backend *b, const struct prov_call *call,
                                prov_event_fn fn, void *arg, struct tg_error *err)
{
    struct prov_attempt *a = b->ops->start(b, call, fn, arg, err);
    if (a) {
        a->backend = b;
        b->refs++;
    }
    return a;
}

enum tg_status prov_write(const struct prov_backend *b, const struct prov_call *call,
                          struct tg_buf *out)
{
    tg_buf_init(out, 0);
    return b->ops->write ? b->ops->write(b, call, out) : TG_UNSUPPORTED;
}

void prov_pause(struct prov_attempt *a, bool paused)
{
    a->backend->ops->pause(a, paused);
}

void prov_free(struct prov_attempt *a)
{
    if (a)
        a->backend->ops->end(a);
}

bool prov_may_be_billed(const struct prov_attempt *a)
{
    return a->backend->ops->may_be_billed && a->backend->ops->may_be_billed(a);
}

const char *prov_name(const struct prov_backend *b)
{
    return b->name;
}

bool prov_is_local(const struct prov_backend *b)
{
    return b->local;
}

bool prov_salt(uint64_t *salt)
{
    if (getrandom(salt, sizeof(*salt), GRND_NONBLOCK) == (ssize_t)sizeof(*salt))
        return true;
    *salt = (uint64_t)tg_mono_ns() ^ ((uint64_t)tg_wall_ms() << 20);
    return false;
}

void prov_call_id(char out[PROV_CALL_ID_MAX], uint64_t salt, uint64_t n)
{
    uint64_t x = salt + n * 0x9E3779B97F4A7C15u; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    snprintf(out, PROV_CALL_ID_MAX, "call_%016llx", (unsigned long long)(x ^ (x >> 31)));
}

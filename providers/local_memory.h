/* What the local model thought before the calls of an answer, under the ids of those calls: for
 * clients that send the calls back without it. In memory only; bounded in calls, bytes and age, the
 * oldest answer is forgotten first. Times are tg_mono_ns and do not go back. Any thread. */
#ifndef PROVIDERS_LOCAL_MEMORY_H
#define PROVIDERS_LOCAL_MEMORY_H

#include "config/base/arena.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "providers/backend_internal.h"

struct prov_memory; /* opaque */

struct prov_memory_limits {
    size_t calls;   /* of all answers together */
    size_t bytes;   /* of all that is held, ids and bookkeeping too */
    int64_t age_ns; /* what is older is not found, and freed when the memory is next used */
};

/* Those of a local backend. THOUGHT: bytes of one answer's reasoning; more is not remembered. */
enum {
    PROV_MEMORY_CALLS = 1024,
    PROV_MEMORY_BYTES = 4 << 20,
    PROV_MEMORY_THOUGHT = 1 << 20,
    PROV_MEMORY_AGE_MS = 3600 * 1000,
};

/* NULL when out of memory. Owned by the caller. */
struct prov_memory *prov_memory_new(const struct prov_memory_limits *limits);
void prov_memory_free(struct prov_memory *m); /* NULL allowed */

/* Remembers a copy of text, once, for n calls. TG_LIMIT (it does not fit into an empty memory) and
 * TG_NOMEM: nothing changed, and these calls will not be found. */
enum tg_status prov_memory_keep(struct prov_memory *m, const char (*ids)[PROV_CALL_ID_MAX],
                                size_t n, struct tg_str text, int64_t now_ns);
/* *out: a copy in the arena, empty when nothing of at most max bytes is remembered under id.
 * TG_NOMEM: the arena cannot hold it. */
enum tg_status prov_memory_find(struct prov_memory *m, struct tg_str id, int64_t now_ns, size_t max,
                                struct tg_arena *arena, struct tg_str *out);
/* Bytes held now: never above the limit, and more than all texts together. */
size_t prov_memory_bytes(struct prov_memory *m);

#endif

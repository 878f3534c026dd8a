/* What every backend is built on: a table of functions and a count of who still needs it. */
#ifndef PROVIDERS_BACKEND_INTERNAL_H
#define PROVIDERS_BACKEND_INTERNAL_H

#include "providers/backend.h"

struct prov_ops {
    struct prov_attempt *(*start)(struct prov_backend *b, const struct prov_call *call,
                                  prov_event_fn fn, void *arg, struct tg_error *err);
    void (*pause)(struct prov_attempt *a, bool paused);
    /* Frees now, or when the callback that runs has returned; then prov_unref. */
    void (*end)(struct prov_attempt *a);
    void (*destroy)(struct prov_backend *b);
    bool (*may_be_billed)(const struct prov_attempt *a); /* NULL: never */
    /* NULL: nothing is sent. Any thread; out is empty and without a maximum that holds. */
    enum tg_status (*write)(const struct prov_backend *b, const struct prov_call *call,
                            struct tg_buf *out);
};

/* First member of every backend. An attempt holds a reference, so that a reload can free a backend
 * while its last answers are under way. */
struct prov_backend {
    const struct prov_ops *ops;
    char *name; /* owned */
    bool local;
    uint32_t refs;
};

/* First member of every attempt. */
struct prov_attempt {
    struct prov_backend *backend;
};

/* TG_NOMEM when the name cannot be copied. The owner holds the first reference. */
enum tg_status prov_backend_init(struct prov_backend *b, const struct prov_ops *ops,
                                 const char *name, bool local);
void prov_unref(struct prov_backend *b);

enum { PROV_CALL_ID_MAX = 32 };
/* A number that differs between runs of the program. false: it can be guessed, since the system had
 * no random ones. */
bool prov_salt(uint64_t *salt);
/* "call_" and 16 hex digits of salt and n: unlikely to repeat within a conversation, and as hard to
 * guess as the salt. */
void prov_call_id(char out[PROV_CALL_ID_MAX], uint64_t salt, uint64_t n);

#endif

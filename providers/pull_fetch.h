/* One fetch under way, and what a response head means for it. Used by pull.c only.
 *
 * What an attempt asks for: everything, or what lies behind the bytes that are there. Those are
 * kept when the host's SHA-256 of now is the one that was noted with them, or, where no host tells
 * one, when the server confirms their entity tag or date (If-Range). Whatever else comes starts
 * anew. */
#ifndef PROVIDERS_PULL_FETCH_H
#define PROVIDERS_PULL_FETCH_H

#include "providers/pull_file.h"

enum { PROV_NOTE_MAX = 400 };

enum prov_verdict {
    PROV_GO_ON,    /* of a head: the body is the file's bytes; of a body: nothing was wrong */
    PROV_REDIRECT, /* of a head only: to location */
    PROV_COMPLETE, /* all bytes are there; of a look: all that can be known is */
    PROV_RETRY,    /* may go better next time; why says what happened */
    PROV_RESTART,  /* what has come does not belong to what the server has now; why */
    PROV_FATAL,    /* err says why */
};

struct prov_fetch {
    struct prov_getter *getter;
    const struct prov_pull *p;
    struct prov_pull_file file;
    struct prov_pull_state state;
    struct tg_error *err;
    bool looking;     /* HEAD: nothing is written */
    bool at_named;    /* the request under way goes to p->url's own host */
    bool resumed;     /* some of the file is of an earlier attempt */
    bool last_chance; /* it was fetched anew because the hash was wrong */
    enum prov_verdict verdict;
    int64_t asked_from;
    int64_t wait_ms;             /* that the server asks for; -1: none */
    char url[PROV_LOCATION_MAX]; /* of the request under way */
    char location[PROV_LOCATION_MAX];
    char why[PROV_NOTE_MAX];
};

/* A line for people. */
void prov_note(struct prov_fetch *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Fills why and returns v. */
enum prov_verdict prov_because(struct prov_fetch *f, enum prov_verdict v, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "host:port" of a URL: what may be shown of one that a signature is part of. Borrowed. */
struct tg_str prov_host_of(const char *url);

/* Takes from the head what is told of the file into f->state, and says what to do. */
enum prov_verdict prov_judge(struct prov_fetch *f, const struct prov_get_head *h);

#endif

/* Fetches one file of a model: resumable, checked, put in place at once. Beside DIR/NAME there are
 *
 *     NAME.part   what has come so far, locked while somebody fetches it
 *     NAME.json   {"url","size","sha256","etag","time","linked","checked","complete"}: what was
 *                 told of the file, by the host (X-Linked-Size, X-Linked-ETag of its first answer)
 *                 or, of a plain server, by Content-Length and ETag; once complete, what was
 *                 checked
 *
 * and a process that is killed at any moment leaves them so that the next one goes on. Blocking;
 * one thread. */
#ifndef PROVIDERS_PULL_H
#define PROVIDERS_PULL_H

#include <limits.h>

#include "config/base/sha256.h"
#include "config/base/status.h"
#include "providers/download.h"

enum prov_pull_phase {
    PROV_PULL_HASHING, /* what an earlier run left is read again */
    PROV_PULL_FETCHING,
    PROV_PULL_WAITING, /* between two tries */
    PROV_PULL_STORING, /* the last bytes go to the disk */
};

struct prov_pull {
    const char *url;
    const char *dir;     /* exists */
    const char *name;    /* one segment that cfg_model_path_ok accepts, ending in .gguf */
    const char *page;    /* where a licence is accepted, for errors; or NULL */
    const char *token;   /* sent to the host of url over https or to this machine, and to nobody
                          * else; or NULL */
    const char *sha256;  /* 64 lower-case digits that the file must have, or NULL: as the host
                          * says */
    const char *ca_file; /* or NULL */
    bool insecure;       /* plain http to other machines too */
    bool hash_again;     /* a file that is there already is read and compared */
    uint32_t tries;      /* failures in a row without progress before giving up, at least 1 */
    int64_t connect_ms, stall_ms;
    /* total -1: unknown. false: stop (TG_CANCELLED; what has come is kept). */
    bool (*on_progress)(void *arg, enum prov_pull_phase phase, int64_t done, int64_t total);
    void (*on_note)(void *arg, const char *text); /* one line for people: a retry, a restart */
    void *arg;
};

struct prov_pull_look {
    bool there;   /* complete: there is nothing to fetch */
    int64_t size; /* -1: the server does not say */
    int64_t have; /* bytes of it that need not be fetched again */
};

struct prov_pull_done {
    char path[PATH_MAX];
    int64_t size;
    char sha256[TG_SHA256_HEX + 1];
    bool checked; /* against a SHA-256 that somebody told; false: the length alone was */
    bool was_there;
};

/* What is there and what would come, without fetching it (HEAD). TG_NOTFOUND: the server has no
 * such file; TG_UNSUPPORTED: it wants a token or a licence accepted; TG_INVALID: the URL, the name,
 * or a file in the way; TG_IO; TG_CANCELLED; TG_NOMEM. A server that answers no HEAD is no error:
 * the size is unknown then. */
enum tg_status prov_pull_look(struct prov_getter *g, const struct prov_pull *p,
                              struct prov_pull_look *out, struct tg_error *err);
/* Fetches it. Errors as above; TG_AGAIN: somebody else is at it (with the pid); TG_CLOSED: gave up
 * after p->tries, which the next run continues; TG_INVALID: what came is not the file (hash, length
 * or no GGUF), and was thrown away; TG_LIMIT: no room on the disk. */
enum tg_status prov_pull_fetch(struct prov_getter *g, const struct prov_pull *p,
                               struct prov_pull_done *out, struct tg_error *err);

/* Makes the folder and those above it. TG_IO with the folder's name. */
enum tg_status prov_pull_folder(const char *dir, struct tg_error *err);
/* TG_LIMIT when the disk of dir has not `bytes` left for this user. */
enum tg_status prov_pull_room(const char *dir, int64_t bytes, struct tg_error *err);

/* The .gguf files of a repository, as its host lists them (HOST/api/models/REPOSITORY/tree/main).
 * on_file for each whose path cfg_model_path_ok accepts; size -1 when not told. TG_NOTFOUND: the
 * host gives no list; TG_IO, TG_INVALID (the host's URL, or no JSON), TG_LIMIT, TG_CANCELLED,
 * TG_NOMEM. */
enum tg_status prov_pull_list(struct prov_getter *g, const struct prov_pull *p, const char *host,
                              const char *repository,
                              void (*on_file)(void *arg, struct tg_str path, int64_t size),
                              struct tg_error *err);

#endif

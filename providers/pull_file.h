/* The files of one download on the disk (see pull.h): NAME.part with its lock and running hash, and
 * NAME.json. Used by pull.c only. */
#ifndef PROVIDERS_PULL_FILE_H
#define PROVIDERS_PULL_FILE_H

#include "providers/pull.h"

enum { PROV_PULL_URL_MAX = 4096 };

/* What NAME.json holds. */
struct prov_pull_state {
    char url[PROV_PULL_URL_MAX];
    int64_t size;                   /* -1: not known */
    char sha256[TG_SHA256_HEX + 1]; /* "": not known */
    char etag[PROV_ETAG_MAX];       /* prov_get_head.validator; "": none */
    bool linked;                    /* sha256 is the host's own word for what url is now */
    bool checked;                   /* complete only: sha256 was told, not just computed */
    bool complete;
};

struct prov_pull_file {
    int fd;    /* -1: not open */
    int64_t n; /* bytes in it, all hashed */
    struct tg_sha256 hash;
    char path[PATH_MAX], part[PATH_MAX], json[PATH_MAX];
    const char *dir;
};

/* Names only; opens nothing. TG_LIMIT: the path is too long. */
enum tg_status prov_pull_file_name(struct prov_pull_file *f, const char *dir, const char *name,
                                   struct tg_error *err);
/* Opens or creates NAME.part and locks it. n is its size, of which nothing is hashed yet. TG_AGAIN:
 * another process has the lock. TG_IO. */
enum tg_status prov_pull_file_open(struct prov_pull_file *f, struct tg_error *err);
/* Opens the complete file instead, to be read. TG_IO. */
enum tg_status prov_pull_file_open_whole(struct prov_pull_file *f, struct tg_error *err);
/* Hashes what is there; tick is asked now and then. TG_CANCELLED, TG_IO. */
enum tg_status prov_pull_file_hash(struct prov_pull_file *f, const struct prov_pull *p,
                                   struct tg_error *err);
/* Throws away what has come. */
enum tg_status prov_pull_file_restart(struct prov_pull_file *f, struct tg_error *err);
/* TG_LIMIT: the disk is full; TG_IO. What was written before stays. */
enum tg_status prov_pull_file_append(struct prov_pull_file *f, const char *p, size_t n,
                                     struct tg_error *err);
/* To the disk, and its size compared with n. */
enum tg_status prov_pull_file_sync(struct prov_pull_file *f, struct tg_error *err);
/* Renames NAME.part to NAME. */
enum tg_status prov_pull_file_finish(struct prov_pull_file *f, struct tg_error *err);
/* Removes NAME.part and NAME.json: what came is of no use. */
void prov_pull_file_discard(struct prov_pull_file *f);
void prov_pull_file_close(struct prov_pull_file *f);
/* The first four bytes are "GGUF". */
bool prov_pull_file_is_gguf(const struct prov_pull_file *f);

/* False: absent, or not such a file; *s is empty then. */
bool prov_pull_state_read(const char *json, struct prov_pull_state *s);
/* Replaces the file at once. */
enum tg_status prov_pull_state_write(const struct prov_pull_file *f,
                                     const struct prov_pull_state *s, struct tg_error *err);

#endif

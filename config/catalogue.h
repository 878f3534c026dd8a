/* The catalogue of models that `tollgate pull` knows: names, and the repository and file that each
 * stands for. Sizes and hashes are not in it: the host tells them when a file is fetched. */
#ifndef CONFIG_CATALOGUE_H
#define CONFIG_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/base/str.h"

enum { CFG_PARTS_MAX = 1000, CFG_MODEL_NAME_MAX = 400 };

struct cfg_model_file {
    const char *model;      /* "gemma-4-e2b-it"; NULL for a file named by its repository */
    const char *tag;        /* "q4_0"; NULL as above */
    const char *about;      /* one line on the model; NULL as above */
    const char *repository; /* OWNER/NAME */
    const char *file;       /* its path in the repository; of a split file, the first part */
    uint32_t parts;         /* 1, or N of "...-00001-of-0000N.gguf" */
    bool is_default;        /* what the model's name alone means */
};

struct cfg_catalogue; /* opaque */

/* path NULL: the catalogue that is built into the program. Refused whole, with the JSON path, when
 * anything in it is unknown or malformed. *out is owned by the caller. TG_INVALID, TG_NOTFOUND,
 * TG_IO, TG_LIMIT, TG_NOMEM. */
enum tg_status cfg_catalogue_load(const char *path, struct cfg_catalogue **out,
                                  struct tg_error *err);
/* The same from text in memory; name stands for it in errors. */
enum tg_status cfg_catalogue_parse(struct tg_str text, const char *name,
                                   struct cfg_catalogue **out, struct tg_error *err);
void cfg_catalogue_free(struct cfg_catalogue *c); /* NULL allowed */

const char *cfg_catalogue_version(const struct cfg_catalogue *c);
/* Where repositories are: "https://huggingface.co". */
const char *cfg_catalogue_host(const struct cfg_catalogue *c);
size_t cfg_catalogue_count(const struct cfg_catalogue *c);
/* Borrowed until the catalogue is freed. Files of a model follow each other, its default first. */
const struct cfg_model_file *cfg_catalogue_at(const struct cfg_catalogue *c, size_t i);

/* "MODEL:TAG", "MODEL" (its first file) or "OWNER/REPOSITORY/PATH.gguf" (any file of the host), in
 * either case of letters for the first two. *out is borrowed until the catalogue is freed.
 * TG_NOTFOUND says what there is; TG_INVALID, TG_NOMEM. */
enum tg_status cfg_catalogue_find(struct cfg_catalogue *c, const char *name,
                                  const struct cfg_model_file **out, struct tg_error *err);

/* "a/b.gguf", of letters, digits and . _ - alone, no segment beginning with '.' or '-': what may
 * stand in a URL and be made a file's name as it is. False for anything else. */
bool cfg_model_path_ok(struct tg_str path);
/* Parts that a file's name tells: N of "...-00001-of-0000N.gguf", else 1. 0: the numbers make no
 * sense. */
uint32_t cfg_model_parts(struct tg_str file);
/* The path of part i (from 0) of a file whose name tells `parts` parts, into out[n]: file itself
 * when it is one. False when it does not fit. */
bool cfg_model_part(const char *file, uint32_t parts, uint32_t i, char *out, size_t n);

#endif

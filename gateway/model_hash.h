/* The SHA-256 of a model's file: what calibrations are kept under. Hashing gigabytes takes minutes,
 * so results are kept in model-hashes.json of dataDir, by device, inode, size and times of
 * modification and of change; a file that is the same by these is not read again. Blocks on the
 * disk: a worker, or before the loop runs. */
#ifndef GATEWAY_MODEL_HASH_H
#define GATEWAY_MODEL_HASH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "config/base/sha256.h"
#include "config/base/status.h"
#include "local_engine/file_id.h"

/* A model of one file has that file's SHA-256 (what sha256sum prints). One that is split,
 * NAME-00001-of-000NN.gguf with the others beside it, has the SHA-256 of its parts' hashes, written
 * as hexadecimal digits one behind the other, in order. */
enum { GW_MODEL_HASH_SMALL = 16 << 20 };

/* Where it is, and what of it the engine opened: borrowed. */
struct gw_model_place {
    const char *data_dir, *model;
    const struct le_file_id *opened; /* [n_opened], its parts in order; 0: whatever is there now */
    size_t n_opened;
};

/* One file of at most GW_MODEL_HASH_SMALL bytes: read in a tenth of a second, so that nobody has to
 * wait for its hash. */
bool gw_model_hash_is_small(const char *model);
/* TG_AGAIN: it would have to be read. TG_CLOSED: what was opened is there no more (err says which
 * file, and what helps). TG_IO, TG_NOTFOUND, TG_NOMEM. */
enum tg_status gw_model_hash_known(const struct gw_model_place *place,
                                   char hex[TG_SHA256_HEX + 1], struct tg_error *err);
/* Reads what is not known, and keeps it for the next time (failing that is only logged).
 * TG_CANCELLED soon after *stop became true. TG_IO also for a file that changes meanwhile;
 * otherwise as above. */
enum tg_status gw_model_hash(const struct gw_model_place *place, const atomic_bool *stop,
                             char hex[TG_SHA256_HEX + 1], struct tg_error *err);

#endif

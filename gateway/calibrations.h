/* Files of calibrations: `calibration.json` in dataDir, and MODEL.calibration.json beside a model
 * MODEL.gguf. They are read on a worker or before the loop runs; any thread. */
#ifndef GATEWAY_CALIBRATIONS_H
#define GATEWAY_CALIBRATIONS_H

#include "config/base/status.h"
#include "policy/calibration.h"

enum { GW_CALIBRATION_FILE_MAX = 8 << 20 };

/* In order of precedence: the first that fits a key is used. */
struct gw_calibrations {
    struct pol_calibration *list; /* owned */
    size_t n, stale; /* stale: passed over, made for another version of the features */
};

void gw_calibrations_free(struct gw_calibrations *c);
/* Adds those of a file behind what c has. A file that is not there has none. Errors name the file,
 * and the path in it; c stays as it was. */
enum tg_status gw_calibrations_add(struct gw_calibrations *c, const char *path,
                                   struct tg_error *err);
/* One more, in the place of the one with its key if there is one. TG_LIMIT, TG_NOMEM. */
enum tg_status gw_calibrations_put(struct gw_calibrations *c, const struct pol_calibration *one,
                                   struct tg_error *err);
/* Replaces the file whole (files.h). TG_INVALID, and nothing is written: it could not be read
 * again, because a number is beyond the limits of calibration_json.h. TG_LIMIT, TG_IO, TG_NOMEM. */
enum tg_status gw_calibrations_write(const struct gw_calibrations *c, const char *path,
                                     struct tg_error *err);
/* DIR/calibration.json, and MODEL.calibration.json for MODEL.gguf (any other name: all of it and
 * .calibration.json). Owned by the caller; NULL when out of memory. */
char *gw_calibrations_of_dir(const char *data_dir);
char *gw_calibrations_of_model(const char *model);

#endif

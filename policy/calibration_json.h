/* Calibrations as JSON: {"version":1,"calibrations":[{"model":...,...}, ...]} (README.md). Pure,
 * any thread. */
#ifndef POLICY_CALIBRATION_JSON_H
#define POLICY_CALIBRATION_JSON_H

#include "config/base/buf.h"
#include "config/base/json.h"
#include "policy/calibration.h"

enum { POL_CALIBRATIONS_MAX = 256, POL_CALIBRATION_FILE_VERSION = 1 };

/* Everything is checked: unknown members and features, what is missing, ranges, a map that falls, a
 * key that comes twice. *out: *n calibrations, owned by the caller (tg_free). Those of another
 * version of the features are passed over after their key was read, and counted in *stale.
 * TG_INVALID with "calibrations[0].weights.x: cause"; TG_NOMEM. */
enum tg_status pol_calibrations_parse(const struct tg_json *root, struct pol_calibration **out,
                                      size_t *n, size_t *stale, struct tg_error *err);
/* One to a line; numbers so that they read back as they were. out->failed tells of memory. */
enum tg_status pol_calibrations_print(const struct pol_calibration *list, size_t n,
                                      struct tg_buf *out);
/* The five members of a key in the object v, whose other members are not looked at. path: of v,
 * for errors. The features' version is any number from 1 to 1000. */
enum tg_status pol_key_parse(const struct tg_json *v, const char *path, struct pol_key *key,
                             struct tg_error *err);

#endif

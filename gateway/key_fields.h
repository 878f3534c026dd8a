/* What can be said of an API key, in words: read from options and from JSON by the same rules, and
 * printed. Any thread; internal to gateway/. */
#ifndef GATEWAY_KEY_FIELDS_H
#define GATEWAY_KEY_FIELDS_H

#include "config/base/buf.h"
#include "telemetry/keys.h"

/* name, routes, models, tags (lists with commas, "" for none), local_only (true, false), budget
 * ("$20/month"), rpm, tpm, concurrent (numbers; "none" for those four), expires ("30d" from now,
 * "2027-01-31", "2027-01-31T12:00:00Z", "never"). TG_INVALID: err = "FIELD: cause"; TG_NOTFOUND: no
 * such field. */
enum tg_status gw_key_set(struct tel_key_spec *spec, const char *field, struct tg_str text,
                          int64_t now_ms, struct tg_error *err);
/* A JSON object with some of these members: lists as arrays of strings, limits as numbers, null for
 * none. TG_INVALID, TG_LIMIT, TG_NOMEM. Foreign input: nothing of spec is valid after an error. */
enum tg_status gw_key_read(struct tg_str body, int64_t now_ms, struct tel_key_spec *spec,
                           struct tg_error *err);
/* {"overlap": "24h"}, or nothing at all: the default. */
enum tg_status gw_key_read_overlap(struct tg_str body, int64_t *overlap_ms, struct tg_error *err);
/* {}, or nothing at all. */
enum tg_status gw_key_read_none(struct tg_str body, struct tg_error *err);
/* Whether the configuration has the routes and models that spec names: a mistyped one would be a
 * key that opens nothing. */
enum tg_status gw_key_check_names(const struct tel_key_spec *spec, const struct cfg_settings *s,
                                  struct tg_error *err);

/* {"id": ..., ...} in one line; secret NULL: without. Failures stick to out. */
enum tg_status gw_key_print(const struct tel_api_key *k, const char *secret, int64_t now_ms,
                            struct tg_buf *out);
/* "active", "expired", "revoked" */
const char *gw_key_state_name(enum tel_key_state state);
/* "$20/month"; "" without. */
void gw_key_print_budget(const struct tel_api_key *k, char out[64]);
/* "2027-01-31T12:00:00Z" */
void gw_key_print_time(int64_t ms, char out[32]);

#endif

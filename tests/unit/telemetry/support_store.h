/* Helpers of the telemetry tests: folders, a clock that is set by hand, reservations that wait,
 * and a second look at the databases past the code under test. */
#ifndef TESTS_UNIT_TELEMETRY_SUPPORT_STORE_H
#define TESTS_UNIT_TELEMETRY_SUPPORT_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "telemetry/store.h"

enum { DOLLAR = 1000000000 };

struct rig {
    char dir[96];
    struct tel_store *store;
    atomic_int_fast64_t now_ms; /* 0: the real clock */
    int64_t lease_nano;
    uint32_t in_flight;
};

/* A fresh folder; 2026-11-20 12:00 UTC. False on failure. */
bool rig_make(struct rig *r);
enum tg_status rig_open(struct rig *r, struct tg_error *err);
/* rig_make, log_begin and rig_open, and a budget "cloud" of 1000 a month with leases of 100: its
 * index; -1 on failure. */
int rig_begin(struct rig *r, uint32_t in_flight);
void rig_close(struct rig *r);
/* Closes and removes the folder. */
void rig_drop(struct rig *r);

/* Flushes and dispatches until the ledger has answered all that was asked. */
void rig_pump(struct rig *r);
/* tel_reserve, waiting if need be. */
enum tel_outcome rig_reserve(struct rig *r, int budget, int64_t amount, uint64_t *id);
/* The same, for 5 s at most, without a flush: as the loop does it. */
enum tel_outcome rig_reserve_unhurried(struct rig *r, int budget, int64_t amount, uint64_t *id);

/* One integer out of a database of the folder; -999 when there is none. */
int64_t rig_query(const struct rig *r, const char *file, const char *sql);
/* Runs SQL in a database of the folder. */
bool rig_exec(const struct rig *r, const char *file, const char *sql);
/* Overwrites n bytes of a file at an offset with 0xa5; creates it when missing. */
bool rig_damage(const struct rig *r, const char *file, long offset, size_t n);

/* Lines of the log that hold text, since log_begin; the log goes to a file until log_end. */
void log_begin(const struct rig *r);
int log_count(const struct rig *r, const char *text);
void log_end(void);

/* xorshift: the same numbers on every machine. */
uint64_t next_random(uint64_t *state);

#endif

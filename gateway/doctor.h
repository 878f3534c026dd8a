/* The checks of `tollgate doctor`. Each adds lines to a report: what was looked at, whether it is
 * well, and how to mend it. None changes anything on the machine. */
#ifndef GATEWAY_DOCTOR_H
#define GATEWAY_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "config/settings.h"
#include "config/survey.h"
#include "local_engine/load.h"

enum { GW_CHECKS_MAX = 160 };

enum gw_check_state { GW_CHECK_OK, GW_CHECK_WARN, GW_CHECK_FAIL };

struct gw_check {
    enum gw_check_state state;
    const char *area; /* "device", "memory", ...; static */
    char text[600];
    char remedy[400]; /* "": none is needed */
};

struct gw_doctor {
    const struct cfg_survey *survey;     /* of the configuration, as far as it can be read */
    const struct cfg_settings *settings; /* NULL: it is not valid */
    bool no_selftest;
    le_open_fn *open; /* tests: instead of le_device_open */
    struct gw_check checks[GW_CHECKS_MAX];
    size_t n;
};

/* Adds a line; remedy NULL: none. Beyond GW_CHECKS_MAX lines are dropped. */
void gw_check_add(struct gw_doctor *d, enum gw_check_state state, const char *area,
                  const char *remedy, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* doctor_config.c: keys, the port, folders and their disks, open files. */
void gw_check_keys(struct gw_doctor *d);
void gw_check_port(struct gw_doctor *d);
/* doctor_tls.c: certificate, key and the certificates that clients' are checked with. */
void gw_check_tls(struct gw_doctor *d);
void gw_check_folders(struct gw_doctor *d);
void gw_check_descriptors(struct gw_doctor *d);
/* doctor_access.c: API keys, the admin API. */
void gw_check_access(struct gw_doctor *d);
/* doctor_engine.c: processor, memory, Vulkan, the model and whether it fits; seconds. */
void gw_check_engine(struct gw_doctor *d);

#endif

/* Pauses between the rows of a transaction: where the loop and the telemetry thread share a core, a
 * batch written in one go keeps the loop waiting for as long as that takes. */
#ifndef TELEMETRY_PACE_H
#define TELEMETRY_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct tel_pace {
    int wake_fd; /* readable: somebody waits, so no pauses until the next start; not read from */
    bool hurry;
    unsigned rows;
    int64_t since_ns;
};

/* Before a batch. hurry: without pauses. */
void tel_pace_start(struct tel_pace *p, bool hurry);
/* Behind a row: after every few it sleeps for three times as long as they took. p may be NULL. */
void tel_pace_row(struct tel_pace *p);

#endif

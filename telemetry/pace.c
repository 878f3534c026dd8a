#include "telemetry/pace.h"

#include <poll.h>
#include <time.h>

#include "config/base/clock.h"

enum {
    ROWS = 8,               /* some 40 us of work: a longer sleep's wake-ups would cost more */
    PAUSES = 3,             /* of a core that is busy otherwise, a quarter */
    PAUSE_NS_MAX = 2000000, /* rows that took longer waited for something else */
};

void tel_pace_start(struct tel_pace *p, bool hurry)
{
    p->hurry = hurry;
    p->rows = 0;
    p->since_ns = tg_mono_ns();
}

void tel_pace_row(struct tel_pace *p)
{
    if (!p || p->hurry || ++p->rows % ROWS)
        return;
    int64_t due = PAUSES * (tg_mono_ns() - p->since_ns);
    struct timespec pause = { .tv_nsec = due < PAUSE_NS_MAX ? due : PAUSE_NS_MAX };
    struct pollfd fd = { .fd = p->wake_fd, .events = POLLIN };
    p->hurry = ppoll(&fd, 1, &pause, NULL) > 0;
    p->since_ns = tg_mono_ns();
}

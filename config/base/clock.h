/* Time. Policy takes times as arguments; everyone else reads them here. */
#ifndef TG_BASE_CLOCK_H
#define TG_BASE_CLOCK_H

#include <stdint.h>

/* Monotonic nanoseconds, for intervals and deadlines. */
int64_t tg_mono_ns(void);
/* Wall-clock milliseconds since 1970 UTC, for records. */
int64_t tg_wall_ms(void);

#endif

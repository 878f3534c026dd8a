/* Names of machines. */
#ifndef CONFIG_HOST_H
#define CONFIG_HOST_H

#include <stdbool.h>

#include "config/base/str.h"

/* "localhost", 127.0.0.0/8 or ::1 (without brackets): this machine, whatever a resolver says. */
bool cfg_is_loopback(struct tg_str host);

#endif

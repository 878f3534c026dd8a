/* Which process holds a TCP port or a data folder of this machine: for errors that say it is taken.
 * All read /proc and block shortly: for start-up and commands only. */
#ifndef GATEWAY_HOLDER_H
#define GATEWAY_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who listens on a port. Writes "NAME (pid N)" and returns true, or false when nobody is found or
 * may be looked at. */
bool gw_port_holder(uint16_t port, char *out, size_t n);
/* Likewise the gateway that a data folder is in use by: what its file "lock" names and has the
 * folder open. Takes no lock: a gateway may start meanwhile. */
bool gw_folder_holder(const char *dir, char *out, size_t n);

#endif

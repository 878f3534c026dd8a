/* Who listens on a TCP port of this machine: for the error that says it is taken. */
#ifndef GATEWAY_PORT_HOLDER_H
#define GATEWAY_PORT_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes "NAME (pid N)" and returns true, or false when nobody is found or may be looked at. Reads
 * /proc; blocks shortly: for start-up only. */
bool gw_port_holder(uint16_t port, char *out, size_t n);

#endif

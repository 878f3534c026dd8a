/* How much memory there is, control groups included. */
#ifndef LE_MEMORY_H
#define LE_MEMORY_H

#include <stdint.h>

struct le_memory {
    uint64_t total;     /* bytes this process could ever have */
    uint64_t available; /* bytes it could have now; the system's file cache counts as free */
};
/* What the system tells: /proc/meminfo, and the limits of the process's control group (version 1
 * and 2) and of those above it. UINT64_MAX: it does not tell. root: prefix of all paths, "" but in
 * tests. Reads files: some tens of microseconds. */
void le_memory_read(const char *root, struct le_memory *out);

#endif

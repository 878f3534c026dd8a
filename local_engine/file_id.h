/* Which file was opened, and in which state: equal for the same one that nobody has written to. */
#ifndef LE_FILE_ID_H
#define LE_FILE_ID_H

#include <stdint.h>
#include <time.h>

struct le_file_id {
    uint64_t device, inode, size;      /* size in bytes */
    struct timespec modified, changed; /* mtime and ctime */
};

#endif

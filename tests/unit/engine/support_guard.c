#include "tests/unit/engine/support_guard.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILLING = 0xa5 };

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A first page holds the size of all, then comes filling, the memory and the page that faults. */
void *guard_new(size_t n)
{
    const size_t page = page_size(), data = (n + page - 1) / page * page, all = data + 2 * page;
    uint8_t *base = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (mprotect(base + page + data, page, PROT_NONE) != 0) {
        munmap(base, all);
        return NULL;
    }
    memset(base, FILLING, page + data);
    memcpy(base, &all, sizeof(all));
    return base + page + data - n;
}

bool guard_free(void *p)
{
    if (!p)
        return true;
    const size_t page = page_size();
    uint8_t *base = (uint8_t *)p - (uintptr_t)p % page - page;
    size_t all;
    bool clean = true;
    memcpy(&all, base, sizeof(all));
    for (const uint8_t *b = base + sizeof(all); b < (uint8_t *)p; b++)
        clean = clean && *b == FILLING;
    munmap(base, all);
    return clean;
}

/* Memory: buffers of activations, caches, and arenas for packed weights. */
#include <string.h>
#include <sys/mman.h>

#include "config/base/alloc.h"
#include "local_engine/cpu/cpu.h"

enum { MIB = 1 << 20, ARENA_BYTES = 64 * MIB, HUGE_BYTES = 2 * MIB };

struct cpu_arena {
    struct cpu_arena *next;
    void *raw;
    uint8_t *base; /* raw, aligned to a huge page */
    size_t size, used;
};

static void *aligned(void *raw)
{
    return (void *)(((uintptr_t)raw + CPU_ALIGN - 1) / CPU_ALIGN * CPU_ALIGN);
}

bool cpu_block_reserve(struct cpu_block *b, size_t n)
{
    if (n <= b->size)
        return true;
    tg_free(b->raw);
    *b = (struct cpu_block){ .raw = tg_alloc(n + CPU_ALIGN) };
    if (!b->raw)
        return false;
    b->p = aligned(b->raw);
    b->size = n;
    return true;
}

bool cpu_bytes_count(struct le_backend *be, uint64_t n)
{
    if (n > be->bytes_max - be->bytes)
        return false;
    be->bytes += n;
    return true;
}

/* A cache in tiles has its last tile in full, which takes up to tile_keys - 1 cells more than n
 * holds; how wide a cell is comes with the op, and is n at most. Cells are halves in `fast` unless
 * their width fits no tile, so there is room for floats: pages that are not used take none. */
static size_t elements(const struct le_backend *be, size_t n, bool tiles)
{
    size_t width = n < CPU_KV_WIDTH_MAX ? n : CPU_KV_WIDTH_MAX;
    return tiles ? n + (be->set->tile_keys - 1) * width : n;
}

struct le_buf *cpu_buf_new(struct le_backend *be, size_t n, enum le_buf_kind kind,
                           struct tg_error *err)
{
    bool tiles = kind == LE_BUF_KV && be->set->tile > 0;
    bool halves = tiles && be->precision == LE_FAST;
    uint64_t bytes;
    /* The system would promise more than it has, and end the process once it is used. */
    if (__builtin_mul_overflow(n, halves ? sizeof(uint16_t) : sizeof(float), &bytes) ||
        !cpu_bytes_count(be, bytes)) {
        tg_fail(err, TG_NOMEM, "no memory for a buffer of %llu MiB: the machine has %llu MiB, "
                "other buffers take %llu MiB of it", (unsigned long long)n / (1 << 18),
                (unsigned long long)(be->bytes_max >> 20), (unsigned long long)(be->bytes >> 20));
        return NULL;
    }
    struct le_buf *b = tg_calloc(1, sizeof(*b));
    void *raw = tg_calloc(elements(be, n, tiles) + CPU_ALIGN / sizeof(float), sizeof(float));
    if (!b || !raw) {
        tg_free(b);
        tg_free(raw);
        tg_fail(err, TG_NOMEM, "no memory for a buffer of %llu bytes", (unsigned long long)bytes);
        return NULL;
    }
    *b = (struct le_buf){ .raw = raw, .p = aligned(raw), .n = n, .tiles = tiles, .halves = halves,
                          .next = be->bufs };
    be->bufs = b;
    return b;
}

struct le_buf *cpu_bytes_new(struct le_backend *be, size_t bytes)
{
    return cpu_buf_new(be, bytes / sizeof(float) + 1, LE_BUF_DEVICE, NULL);
}

struct le_buf *cpu_buf_const(struct le_backend *be, const float *values, size_t n,
                             struct tg_error *err)
{
    struct le_buf *b = cpu_buf_new(be, n, LE_BUF_DEVICE, err);
    if (b)
        memcpy(b->p, values, n * sizeof(float));
    return b;
}

/* Gigabytes of weights are read for each token: huge pages spare most of the look-ups of addresses.
 * One arena after the other is filled, so that no more than the end of the last is wasted. */
static struct cpu_arena *arena_new(size_t size)
{
    struct cpu_arena *a = tg_calloc(1, sizeof(*a));
    void *raw = tg_alloc(size + HUGE_BYTES);
    if (!a || !raw) {
        tg_free(a);
        tg_free(raw);
        return NULL;
    }
    uintptr_t base = ((uintptr_t)raw + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    *a = (struct cpu_arena){ .raw = raw, .base = (uint8_t *)base, .size = size };
    (void)madvise(a->base, size, MADV_HUGEPAGE); /* advice: may be refused */
    return a;
}

uint8_t *cpu_arena_take(struct le_backend *be, size_t bytes, struct tg_error *err)
{
    bytes = (bytes + CPU_ALIGN - 1) / CPU_ALIGN * CPU_ALIGN;
    struct cpu_arena *a = be->arenas;
    bool fits = cpu_bytes_count(be, bytes);
    if (fits && (!a || bytes > a->size - a->used)) {
        a = arena_new(bytes > ARENA_BYTES ? bytes : ARENA_BYTES);
        if (a) {
            a->next = be->arenas;
            be->arenas = a;
        }
    }
    if (!fits || !a) {
        tg_fail(err, TG_NOMEM, "no memory for %llu MiB of packed weights: the machine has %llu "
                "MiB, %llu MiB of it are taken: choose a smaller file, a smaller context, or "
                "precision exact, which packs nothing", (unsigned long long)bytes / MIB,
                (unsigned long long)be->bytes_max / MIB, (unsigned long long)be->bytes / MIB);
        return NULL;
    }
    uint8_t *p = a->base + a->used;
    a->used += bytes;
    return p;
}

void cpu_memory_free(struct le_backend *be)
{
    while (be->bufs) {
        struct le_buf *next = be->bufs->next;
        tg_free(be->bufs->raw);
        tg_free(be->bufs);
        be->bufs = next;
    }
    while (be->weights) {
        struct le_weight *next = be->weights->next;
        tg_free(be->weights);
        be->weights = next;
    }
    while (be->arenas) {
        struct cpu_arena *next = be->arenas->next;
        tg_free(be->arenas->raw);
        tg_free(be->arenas);
        be->arenas = next;
    }
    tg_free(be->scratch.raw);
    tg_free(be->shared.raw);
}

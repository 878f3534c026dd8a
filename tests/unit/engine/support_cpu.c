#include "tests/unit/engine/support_cpu.h"

#include <string.h>

bool cpu_pair_open(struct pair *p, const struct cpu_options *oracle,
                   const struct cpu_options *other)
{
    memset(p, 0, sizeof(*p));
    p->random = 0x2545f4914f6cdd1du;
    if (cpu_open(oracle, &p->ops[0], &p->be[0], NULL) ||
        cpu_open(other, &p->ops[1], &p->be[1], NULL)) {
        pair_close(p);
        return false;
    }
    return true;
}

struct pair_buf cpu_pair_cache(struct pair *p, size_t n)
{
    struct pair_buf b = { .n = n };
    for (int side = 0; side < 2; side++)
        b.b[side] = p->ops[side]->buf_new(p->be[side], n, LE_BUF_KV, NULL);
    if (!b.b[1])
        b.b[0] = NULL;
    return b;
}

bool cpu_same_bits(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof(*a)) == 0;
}

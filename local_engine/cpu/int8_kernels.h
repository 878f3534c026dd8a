/* Products of packed groups with rounded inputs, over the vectors of one instruction set.
 *
 * An output is one F32 accumulator, to which each block of 32 columns is added in order: whatever
 * the tile, the same operations (add_block). A few inputs are multiplied straight from the packed
 * group; from PANEL_INPUTS on, a part of a group is unpacked once for all of them. */
#ifndef LE_CPU_INT8_KERNELS_H
#define LE_CPU_INT8_KERNELS_H

#include "local_engine/cpu/int8_types.h"

enum {
    PANEL_INPUTS = 12, /* from so many inputs on */
    PANEL_BLOCKS = 48, /* a panel fits the first cache, or nearly so with its inputs */
    PANEL_ROWS = 256,  /* so many inputs' part for a panel fits the second cache */
    PREFETCH = 1536,   /* bytes ahead */
};

struct product {
    uint64_t in;
    const uint8_t *groups, *x;
    float *dst;
    size_t group_bytes, x_bytes, dst_stride;
    uint32_t n_groups, n_out, n;
};

/* Adds a block to an output: a is the dot of the quants, or with halves(type) that of the first 16
 * columns and b of the last. The one place where an output is rounded. */
INLINE vfloats add_block(uint32_t type, const struct operands *w, const struct cpu_int8_input *x,
                         vfloats a, vfloats b, vfloats sum)
{
    if (halves(type)) {
        sum = v_fma(v_fma(b, w->d[1], v_mul(a, w->d[0])), v_all(x->dx), sum);
        if (minima(type))
            sum = v_fma(w->c[1], v_all(x->sum_b), v_fma(w->c[0], v_all(x->sum_a), sum));
    } else {
        sum = v_fma(a, v_mul(w->d[0], v_all(x->dx)), sum);
        if (minima(type))
            sum = v_fma(w->c[0], v_all(x->sum), sum);
    }
    return sum;
}

INLINE const struct cpu_int8_input *input_at(const uint8_t *x, size_t x_bytes, int r)
{
    return (const struct cpu_int8_input *)(const void *)(x + (size_t)r * x_bytes);
}

/* Adds a block to the outputs of n inputs, which are x_bytes apart. */
INLINE void add_blocks(uint32_t type, int n, const struct operands *w, const uint8_t *x,
                       size_t x_bytes, vfloats sum[])
{
    const int bits = bits_of(type), steps = halves(type) ? 4 : STEPS;
    vints a[8], b[8];
    EACH (r, n) {
        a[r] = start_of(type, input_at(x, x_bytes, r), 0);
        b[r] = halves(type) ? start_of(type, input_at(x, x_bytes, r), 1) : a[r];
    }
    v_dots(bits, steps, n, w->u, x, x_bytes, a);
    if (halves(type))
        v_dots(bits, steps, n, w->u + 4, x + 16, x_bytes, b);
    EACH (r, n)
        sum[r] = add_block(type, w, input_at(x, x_bytes, r), v_float(a[r]), v_float(b[r]), sum[r]);
}

/* Block j of the chunk at p with n inputs, which are at the chunk's first block. */
INLINE void direct_block(uint32_t type, int n, const uint8_t *p, int j, const uint8_t *x,
                         size_t x_bytes, vfloats sum[])
{
    struct cpu_int8_layout at = cpu_int8_layout(type);
    const int bytes = at.size * LANES * CPU_INT8_COLUMNS / at.columns;
    struct operands w;
    EACH (k, bytes / 64)
        __builtin_prefetch(p + PREFETCH + j * bytes + 64 * k);
    unpack(type, p, j, &w);
    add_blocks(type, n, &w, x + (size_t)j * sizeof(struct cpu_int8_input), x_bytes, sum);
}

/* n inputs from x on with one group, straight from it. */
INLINE void direct(uint32_t type, int n, const struct product *p, const uint8_t *group,
                   const uint8_t *x, float *dst, uint32_t lanes)
{
    struct cpu_int8_layout at = cpu_int8_layout(type);
    vfloats sum[8];
    EACH (r, n)
        sum[r] = v_all(0);
    const int blocks = at.columns / CPU_INT8_COLUMNS;
    size_t chunks = (size_t)((p->in + at.columns - 1) / at.columns);
    for (size_t c = 0; c < chunks; c++) {
        if (n == 1) { /* straight code is worth its size */
            EACH (j, blocks)
                direct_block(type, n, group, j, x, p->x_bytes, sum);
        } else {
            for (int j = 0; j < blocks; j++)
                direct_block(type, n, group, j, x, p->x_bytes, sum);
        }
        group += (size_t)at.size * LANES;
        x += (size_t)blocks * sizeof(struct cpu_int8_input);
    }
    EACH (r, n)
        v_write(dst + (size_t)r * p->dst_stride, lanes, sum[r]);
}

/* n inputs from x on, which is at the panel's first block, with a panel. */
INLINE void tile(uint32_t type, int n, const struct product *p, const struct operands *panel,
                 size_t blocks, const uint8_t *x, float *dst, uint32_t lanes, bool first)
{
    vfloats sum[8];
    EACH (r, n)
        sum[r] = first ? v_all(0) : v_read(dst + (size_t)r * p->dst_stride, lanes);
    EACH (r, n) /* the next tile's: each a page of its own, so that nothing else fetches them */
        __builtin_prefetch(dst + (size_t)(n + r) * p->dst_stride, 1);
    for (size_t b = 0; b < blocks; b++)
        add_blocks(type, n, &panel[b], x + b * sizeof(struct cpu_int8_input), p->x_bytes, sum);
    EACH (r, n)
        v_write(dst + (size_t)r * p->dst_stride, lanes, sum[r]);
}

/* Unpacks the chunks that hold `blocks` blocks from the packed bytes at group. */
INLINE void fill_panel(uint32_t type, const uint8_t *group, size_t blocks, struct operands *panel)
{
    int per_chunk = cpu_int8_layout(type).columns / CPU_INT8_COLUMNS;
    for (size_t b = 0; b < blocks; b += (size_t)per_chunk) {
        for (int j = 0; j < per_chunk; j++)
            unpack(type, group, j, &panel[b + (size_t)j]);
        group += (size_t)cpu_int8_layout(type).size * LANES;
    }
}

/* Before the tile of inputs r .. r + step - 1 of n: their share of the next group's part of a
 * panel, `bytes` from p on, so that it has come when it is unpacked. */
static inline void fetch_share(const uint8_t *p, size_t bytes, uint32_t r, uint32_t step,
                               uint32_t n)
{
    for (size_t k = bytes * r / n / 64 * 64; k < bytes * (r + step) / n; k += 64)
        __builtin_prefetch(p + k, 0, 2);
}

#endif

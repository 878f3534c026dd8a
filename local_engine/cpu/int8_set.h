/* A kernel set from its vectors: the kernels of each type, and the products over them. */
#ifndef LE_CPU_INT8_SET_H
#define LE_CPU_INT8_SET_H

#include "local_engine/cpu/int8_kernels.h"
#include "local_engine/cpu/int8_rows.h"

/* For one type; the arrays are for 1, 2, 4 and 8 inputs. */
struct type_kernels {
    void (*direct[3])(const struct product *p, const uint8_t *group, const uint8_t *x, float *dst,
                      uint32_t lanes);
    void (*fill)(const uint8_t *group, size_t blocks, struct operands *panel);
    void (*tile[4])(const struct product *p, const struct operands *panel, size_t blocks,
                    const uint8_t *x, float *dst, uint32_t lanes, bool first);
};

#define DIRECT(type, n)                                                                            \
    static void direct_##type##_##n(const struct product *p, const uint8_t *group,                 \
                                    const uint8_t *x, float *dst, uint32_t lanes)                  \
    {                                                                                              \
        direct(LE_TYPE_##type, n, p, group, x, dst, lanes);                                        \
    }
#define TILE(type, n)                                                                              \
    static void tile_##type##_##n(const struct product *p, const struct operands *panel,           \
                                  size_t blocks, const uint8_t *x, float *dst, uint32_t lanes,     \
                                  bool first)                                                      \
    {                                                                                              \
        tile(LE_TYPE_##type, n, p, panel, blocks, x, dst, lanes, first);                           \
    }
#define TYPE_KERNELS(type)                                                                         \
    DIRECT(type, 1)                                                                                \
    DIRECT(type, 2)                                                                                \
    DIRECT(type, 4)                                                                                \
    TILE(type, 1)                                                                                  \
    TILE(type, 2)                                                                                  \
    TILE(type, 4)                                                                                  \
    TILE(type, 8)                                                                                  \
    static void fill_##type(const uint8_t *group, size_t blocks, struct operands *panel)           \
    {                                                                                              \
        fill_panel(LE_TYPE_##type, group, blocks, panel);                                          \
    }
#define TYPE_ENTRY(type)                                                                           \
    [LE_TYPE_##type] = {                                                                           \
        { direct_##type##_1, direct_##type##_2, direct_##type##_4 },                               \
        fill_##type,                                                                               \
        { tile_##type##_1, tile_##type##_2, tile_##type##_4, tile_##type##_8 },                    \
    },
#define ALL_TYPES(f)                                                                               \
    f(Q4_0) f(Q4_1) f(Q5_0) f(Q5_1) f(Q8_0) f(Q2_K) f(Q3_K) f(Q4_K) f(Q5_K) f(Q6_K) f(IQ4_NL)      \
        f(IQ4_XS) f(MXFP4)

ALL_TYPES(TYPE_KERNELS)
static const struct type_kernels kernels[LE_TYPE_MXFP4 + 1] = { ALL_TYPES(TYPE_ENTRY) };

/* Index of the largest power of two <= n, at most `largest`. */
static int size_below(uint32_t n, int largest)
{
    int i = largest;
    while (1u << i > n)
        i--;
    return i;
}

static uint32_t lanes_of(const struct product *p, uint32_t group)
{
    uint32_t left = p->n_out - group * LANES;
    return left < LANES ? left : LANES;
}

static void product_direct(const struct type_kernels *k, const struct product *p)
{
    for (uint32_t g = 0; g < p->n_groups; g++) {
        for (uint32_t r = 0; r < p->n;) {
            int i = size_below(p->n - r, 2);
            k->direct[i](p, p->groups + g * p->group_bytes, p->x + r * p->x_bytes,
                         p->dst + r * p->dst_stride + (size_t)g * LANES, lanes_of(p, g));
            r += 1u << i;
        }
    }
}

/* Panels of PANEL_BLOCKS blocks, outermost, so that the inputs' part for one stays in the second
 * cache while all groups pass; dst holds the sums between two panels. At most PANEL_ROWS inputs. */
static void product_panels(const struct type_kernels *k, const struct product *p,
                           struct cpu_int8_layout at)
{
    struct operands panel[PANEL_BLOCKS];
    size_t per_chunk = at.columns / CPU_INT8_COLUMNS;
    size_t total = (size_t)((p->in + at.columns - 1) / at.columns) * per_chunk;
    for (size_t b = 0; b < total; b += PANEL_BLOCKS) {
        size_t blocks = total - b < PANEL_BLOCKS ? total - b : PANEL_BLOCKS;
        const uint8_t *x = p->x + b * sizeof(struct cpu_int8_input);
        const uint8_t *part = p->groups + b / per_chunk * at.size * LANES;
        for (uint32_t g = 0; g < p->n_groups; g++, part += p->group_bytes) {
            k->fill(part, blocks, panel);
            for (uint32_t r = 0; r < p->n;) {
                int i = size_below(p->n - r, 3);
                fetch_share(part + p->group_bytes, blocks / per_chunk * at.size * LANES, r, 1u << i,
                            p->n);
                k->tile[i](p, panel, blocks, x + r * p->x_bytes,
                           p->dst + r * p->dst_stride + (size_t)g * LANES, lanes_of(p, g), b == 0);
                r += 1u << i;
            }
        }
    }
}

/* cpu/pack.h: matmul. */
static void product(uint32_t type, uint64_t in, const uint8_t *groups, uint32_t n_groups,
                    uint32_t n_out, const uint8_t *x, uint32_t n, float *dst, size_t dst_stride)
{
    struct product p = {
        .in = in,
        .groups = groups,
        .x = x,
        .dst = dst,
        .group_bytes = cpu_int8_group_bytes(type, in, LANES),
        .x_bytes = cpu_int8_input_bytes(in),
        .dst_stride = dst_stride,
        .n_groups = n_groups,
        .n_out = n_out,
    };
    for (; n > 0; n -= p.n) {
        p.n = n < PANEL_ROWS ? n : PANEL_ROWS;
        if (p.n < PANEL_INPUTS)
            product_direct(&kernels[type], &p);
        else
            product_panels(&kernels[type], &p, cpu_int8_layout(type));
        p.x += p.n * p.x_bytes;
        p.dst += p.n * dst_stride;
    }
}

#endif
